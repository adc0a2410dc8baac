"""What is shown: from evidence alone, hostile names as text, missing evidence without a crash."""

import json
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pytest
import torch
from torch import nn

from auditkit.attribution.analysis import AttributionAnalysis
from auditkit.attribution.figures import explanation
from auditkit.attribution.view import explained_rows, sections
from auditkit.engine.analysis import Context
from auditkit.engine.ledger import Ledger
from auditkit.engine.progress import Progress
from auditkit.spec import AuditSpec
from auditkit.subject.data import Schema, Split
from auditkit.subject.model import Model
from auditkit.subject.preprocessing import ImagePreprocessing, Numeric, TablePreprocessing
from auditkit.subject.subject import Subject

HOSTILE = "<script>alert(1)</script>"


def evidence_of(subject: Subject) -> SimpleNamespace:
    spec = AuditSpec(attribution={"rows": 40}, fairness={"minimum_group": 10})
    findings = AttributionAnalysis().conclude(Context(subject, spec, Ledger(), Progress(quiet=True)), {})
    info = {"spec": spec.model_dump(), "schema": {"classes": list(subject.schema.classes)}}
    return SimpleNamespace(rows=findings.metrics, table=findings.tables.get, caveats=findings.caveats, info=info)


@pytest.fixture(scope="module")
def table_evidence() -> SimpleNamespace:
    torch.manual_seed(0)
    columns = (HOSTILE, 'quote" 🙂', *(f"column {place}" for place in range(12)))
    schema = Schema(features=columns, classes=(HOSTILE, "b"), label="y", sensitive=("g",))
    rng = np.random.default_rng(0)

    def split(name):
        data = {column: rng.normal(size=80) for column in columns}
        data |= {"y": rng.choice([HOSTILE, "b"], 80), "g": rng.choice([HOSTILE, "other"], 80)}
        return Split(name, name, pa.table(data), schema)

    preprocessing = TablePreprocessing(numeric=tuple(Numeric(name=column) for column in columns))
    module = nn.Sequential(nn.Linear(14, 8), nn.ReLU(), nn.Linear(8, 2))
    model = Model(module, schema.classes, preprocessing, device=torch.device("cpu"))
    return evidence_of(Subject("s", model, (split("train"), split("test")), schema))


@pytest.fixture(scope="module")
def picture_evidence() -> SimpleNamespace:
    torch.manual_seed(0)
    schema = Schema(features=("images",), classes=("a", "b", "c"), label="y")
    rng = np.random.default_rng(0)

    def split(name):
        images = rng.normal(size=(50, 3, 8, 8)).astype(np.float32)
        return Split(name, name, pa.table({"y": rng.choice(["a", "b", "c"], 50)}), schema, {"images": images})

    module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 3))
    model = Model(module, schema.classes, ImagePreprocessing(shape=(3, 8, 8)), device=torch.device("cpu"))
    return evidence_of(Subject("s", model, (split("train"), split("test")), schema))


def test_sections_state_a_finding_and_show_it(table_evidence, picture_evidence):
    keys = [section.key for section in sections(table_evidence)]
    assert keys[:4] == ["importance", "beeswarm", "examples", "groups-1"]
    assert keys[-1] == "checks"
    assert [section.key for section in sections(picture_evidence)][:2] == ["importance", "examples"]
    for evidence in (table_evidence, picture_evidence):
        for section in sections(evidence):
            assert section.finding.endswith(".")
            assert section.reading
            if section.key == "preflight":
                assert section.table.num_rows
                continue
            assert section.figure is not None
            assert section.figure.layout.title.text


def test_the_finding_names_the_largest_share(table_evidence):
    lines = [line for line in table_evidence.table("attribution/global").to_pylist() if not line["attribute"]]
    top = max((line for line in lines if line["method"] == "integrated_gradients"), key=lambda line: line["share"])
    assert top["column"] in sections(table_evidence)[0].finding


def test_hostile_names_never_reach_plotly_as_markup(table_evidence):
    for section in sections(table_evidence):
        if section.figure is None:
            continue
        drawn = json.dumps(json.loads(section.figure.to_json()))
        assert "<script>" not in drawn.replace("\\u003c", "<")


def test_one_row_can_be_shown_by_every_method(table_evidence, picture_evidence):
    for evidence in (table_evidence, picture_evidence):
        rows = explained_rows(evidence)
        assert rows.num_rows == 40
        row = rows.column("row")[3].as_py()
        for line in evidence.table("attribution/methods").to_pylist():
            figure = explanation(evidence, line["method"], row)
            assert (figure is None) == (line["status"] == "refused")
    assert explanation(table_evidence, "occlusion", -1) is None


def test_bars_of_a_complete_method_lead_from_the_baseline_to_the_row(table_evidence):
    rows = table_evidence.table("attribution/rows").to_pylist()
    line = next(line for line in rows if line["method"] == "integrated_gradients")
    (bars,) = explanation(table_evidence, "integrated_gradients", line["row"]).data
    assert bars.base[0] == pytest.approx(line["baseline_score"])
    assert bars.base[-1] + bars.x[-1] == pytest.approx(line["score"] + line["gap"])


def test_missing_evidence_gives_no_sections_or_a_reason():
    nothing = SimpleNamespace(rows=[], table=lambda name: None, caveats=[], info={})
    assert sections(nothing) == []
    assert explained_rows(nothing) is None
    assert explanation(nothing, "occlusion", 0) is None


def test_each_table_may_be_missing_alone(table_evidence):
    names = ("explanations", "rows", "methods", "inputs", "global", "baseline")
    for name in names:
        partial = SimpleNamespace(**vars(table_evidence))
        partial.table = lambda key, gone=name: None if key.endswith(gone) else table_evidence.table(key)
        assert isinstance(sections(partial), list)


def test_views_do_not_import_torch():
    code = (
        "import sys, auditkit.attribution.view, auditkit.activations.view;"
        "sys.exit(any(name in sys.modules for name in ('torch', 'captum', 'streamlit', 'lightning')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
