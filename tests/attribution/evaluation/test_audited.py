"""The evaluation in an audit: its tables, rows and words, and how they are shown."""

from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pytest
import torch
from torch import nn

from auditkit.attribution.analysis import AttributionAnalysis
from auditkit.attribution.evaluation import figures
from auditkit.attribution.view import sections
from auditkit.engine.analysis import Context
from auditkit.engine.ledger import Ledger
from auditkit.engine.progress import Progress
from auditkit.evidence.metrics import Findings, select
from auditkit.spec import AuditSpec
from auditkit.subject.data import Schema, Split
from auditkit.subject.model import Model
from auditkit.subject.preprocessing import Numeric, TablePreprocessing
from auditkit.subject.subject import Subject

FEATURES = ("a", "b", "c", "d", "<e>")
SCHEMA = Schema(features=FEATURES, classes=("no", "yes"), label="y", positive="yes")
METHODS = ["integrated_gradients", "occlusion"]


def rows(name: str, seed: int) -> Split:
    rng = np.random.default_rng(seed)
    columns = {feature: rng.normal(size=80) for feature in FEATURES}
    return Split(name, name, pa.table(columns | {"y": rng.choice(["no", "yes"], 80)}), SCHEMA)


def conclude(**settings) -> Findings:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(5, 8), nn.Tanh(), nn.Linear(8, 1))
    network[0].weight.data *= 3
    preprocessing = TablePreprocessing(numeric=tuple(Numeric(name=name) for name in FEATURES), categorical=())
    model = Model(network, SCHEMA.classes, preprocessing, device=torch.device("cpu"))
    audited = Subject("tanh", model, (rows("train", 1), rows("test", 2)), SCHEMA)
    spec = AuditSpec(attribution={"rows": 60, "methods": METHODS} | settings)
    return AttributionAnalysis().conclude(Context(audited, spec, Ledger(), Progress(quiet=True)), {})


@pytest.fixture(scope="module")
def findings() -> Findings:
    return conclude()


def shown(findings: Findings) -> dict:
    evidence = SimpleNamespace(
        rows=findings.metrics, table=findings.tables.get, caveats=findings.caveats, info={"schema": {}}
    )
    return {section.key: section for section in sections(evidence)}


def test_a_gate_can_ask_whether_a_method_is_believable(findings):
    table = findings.tables["attribution/quorum"].to_pylist()
    verdicts = {line["method"]: line["status"] for line in table if line["check"] == "verdict"}
    assert set(verdicts) == set(METHODS)
    for row in select(findings.metrics, metric="believable"):
        expected = {"believable": 1.0, "not believable": 0.0}.get(verdicts[row.detail])
        assert (row.value, row.n) == (expected, 32)
        assert (row.status == "ok") is (expected is not None)
    for metric in ("deletion_area", "insertion_area", "faithfulness", "infidelity", "randomisation", "max_sensitivity"):
        found = select(findings.metrics, metric=metric)
        assert {row.detail for row in found} == set(METHODS)
        assert all(row.lower <= row.value <= row.upper and row.n == 32 for row in found)


def test_the_tables_hold_what_the_rows_say(findings):
    lines = findings.tables["attribution/evaluation"].to_pylist()
    for row in select(findings.metrics, metric="faithfulness"):
        (line,) = [
            line
            for line in lines
            if (line["method"], line["metric"], line["of"]) == (row.detail, "faithfulness", "attribution")
        ]
        assert line["value"] == row.value
    curves = findings.tables["attribution/evaluation_curves"].to_pylist()
    own = [line for line in curves if line["method"] == METHODS[0] and line["of"] == "attribution"]
    ends = {(line["curve"], line["share"]): line["value"] for line in own}
    assert (ends["deletion", 0.0], ends["deletion", 1.0]) == pytest.approx((1, 0))
    assert (ends["insertion", 0.0], ends["insertion", 1.0]) == pytest.approx((0, 1))


def test_methods_are_compared_by_their_weightiest_parts(findings):
    for metric in ("top_agreement", "sign_agreement"):
        (row,) = select(findings.metrics, metric=metric)
        assert row.detail == " · ".join(METHODS)
        assert 0.5 < row.value <= 1


def test_the_same_audit_says_the_same(findings):
    again = conclude()
    assert all(table.equals(again.tables[name]) for name, table in findings.tables.items())


def test_it_can_be_left_out():
    findings = conclude(evaluate=False)
    assert not [name for name in findings.tables if "evaluation" in name or "quorum" in name]
    assert not select(findings.metrics, metric="believable")
    assert not {"believable", "faithfulness"} & set(shown(findings))


def test_the_page_says_the_verdict_and_shows_each_figure_beside_its_nulls(findings):
    found = shown(findings)
    believable, faithful = found["believable"], found["faithfulness"]
    assert believable.finding[0].isupper()
    assert "32 of the explained rows" in believable.how
    assert believable.table.column("method").to_pylist() == ["Integrated Gradients", "Occlusion"]
    assert "beside" in faithful.finding
    assert {"random attribution", "input magnitude", "random model"} <= set(faithful.table.column_names)


def test_the_matrix_has_a_cell_for_each_check_that_applies(findings):
    figure = figures.quorum(findings.tables["attribution/quorum"], {"integrated_gradients": "IG", "occlusion": "<b>"})
    heat, text, verdicts = figure.data
    assert np.array(heat.z).shape == (2, 5)
    assert (len(text.text), len(verdicts.text)) == (8, 2)
    assert "<b>" not in figure.to_json()
    assert "&lt;b&gt;" in figure.layout.yaxis.ticktext[1]
    assert not any("rank correlation" in head for head in figure.layout.xaxis.ticktext)


def test_the_curves_show_the_nulls_once(findings):
    figure = figures.faithfulness(
        findings.tables["attribution/evaluation_curves"], {"integrated_gradients": "IG", "occlusion": "O"}, "occlusion"
    )
    named = [trace.name for trace in figure.data if trace.showlegend]
    assert sorted(named) == sorted(["IG", "O", "random attribution", "input magnitude", "random model"])
