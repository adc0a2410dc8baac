"""Insights inside an audit: on the census table the gap is divided to within one percent, planted proxies are named."""

from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pytest
import torch
from torch import nn

from auditkit.attribution.analysis import AttributionAnalysis
from auditkit.engine.analysis import Context, Observation
from auditkit.engine.ledger import Ledger
from auditkit.engine.local import observers_of, run_pass
from auditkit.engine.progress import Progress
from auditkit.evidence.metrics import Findings, select, to_table
from auditkit.insights.analysis import InsightsAnalysis, Sampled
from auditkit.insights.explained import NotExplainedError, explained_columns
from auditkit.insights.view import sections
from auditkit.run import run_audit
from auditkit.spec import AuditSpec
from auditkit.subject.builtin.adult import adult
from auditkit.subject.data import Schema, Split
from auditkit.subject.model import Model
from auditkit.subject.preprocessing import fit_preprocessing
from auditkit.subject.subject import Subject
from auditkit.training.architectures.mlp import MLP

SPEC = AuditSpec(attribution={"methods": ["integrated_gradients"], "evaluate": False}, analyses=["attribution"])


def trained(splits: dict[str, Split], schema: Schema, epochs: int, hidden: tuple[int, ...]) -> Subject:
    preprocessing = fit_preprocessing(splits["train"], schema, {"kind": "table"})
    torch.manual_seed(0)
    network = MLP(classes=2, hidden=hidden, norm="none", dropout=0.0, **preprocessing.arguments())
    inputs, labels = preprocessing.encode(splits["train"]), torch.from_numpy(splits["train"].labels)
    optimiser, order = torch.optim.Adam(network.parameters(), 1e-2), torch.Generator().manual_seed(0)
    for _ in range(epochs):
        for batch in torch.randperm(len(labels), generator=order).split(512):
            optimiser.zero_grad()
            nn.functional.cross_entropy(network(*(part[batch] for part in inputs)), labels[batch]).backward()
            optimiser.step()
    model = Model(network.eval(), schema.classes, preprocessing, device=torch.device("cpu"))
    return Subject("s", model, (splits["train"], splits["test"]), schema)


def findings_of(subject: Subject, spec: AuditSpec = SPEC) -> tuple[Findings, Findings]:
    """What attribution finds, and the insights after it."""
    before = Context(subject, spec, Ledger(), Progress(quiet=True))
    attribution = AttributionAnalysis().conclude(before, {})
    context = Context(subject, spec, Ledger(), Progress(quiet=True), attribution.tables.get)
    insights = InsightsAnalysis()
    observers = observers_of(run_pass(context, [insights]), insights.name)
    return attribution, insights.conclude(context, observers)


def shown(found: Findings, features: tuple[str, ...]) -> list:
    info = {"schema": {"features": list(features)}}
    evidence = SimpleNamespace(rows=found.metrics, table=found.tables.get, caveats=found.caveats, info=info)
    return sections(evidence)


@pytest.fixture(scope="module")
def census() -> tuple[Subject, Findings, Findings]:
    splits, schema = adult()
    only = Schema(schema.features, schema.classes, schema.label, schema.positive, ("sex",))
    kept = {name: Split(name, splits[name].role, splits[name].table, only) for name in ("train", "test")}
    subject = trained(kept, only, epochs=1, hidden=(32, 16))
    return subject, *findings_of(subject)


def test_on_the_census_contributions_add_up_to_the_gap_within_one_percent(census):
    _, attribution, found = census
    lines = found.tables["insights/drivers"].to_pylist()
    gap = next(line for line in lines if line["kind"] == "gap")
    features = [line for line in lines if line["kind"] == "feature"]
    assert (gap["group"], gap["reference"]) == ("Female", "Male")
    assert gap["n"] + gap["reference_n"] == 256
    assert sum(line["contribution"] for line in features) == pytest.approx(gap["contribution"], rel=0.01)
    assert all(line["lower"] < line["contribution"] < line["upper"] for line in features)
    (share,) = select(found.metrics, metric="score_gap_remainder", attribute="sex", group="Female")
    assert share.value <= 0.01
    facts = attribution.tables["attribution/rows"].to_pylist()
    sexes = census[0].splits[1].column("sex").to_pylist()
    means = [np.mean([line["score"] for line in facts if sexes[line["row"]] == sex]) for sex in ("Female", "Male")]
    assert gap["contribution"] == pytest.approx(means[0] - means[1])
    assert gap["upper"] < 0


def test_on_the_census_known_proxies_are_named_beside_their_use(census):
    subject, attribution, found = census
    lines = {line["column"]: line for line in found.tables["insights/proxies"].to_pylist()}
    assert "sex" not in lines  # the attribute is no proxy of itself
    best = max((line for line in lines.values() if line["kind"] == "feature"), key=lambda line: line["auc"])
    assert best["column"] == "relationship"  # husband, wife
    assert best["lower"] > 0.8
    assert lines["relationship"]["found"]
    share = next(
        line["share"]
        for line in attribution.tables["attribution/global"].to_pylist()
        if line["column"] == "relationship" and not line["attribute"]
    )
    assert lines["relationship"]["share"] == share
    assert lines["penultimate features"]["kind"] == "representation"
    text = " ".join(section.finding for section in shown(found, subject.schema.features))
    assert "relationship (area" in text
    assert "The model is given sex itself." in text
    assert "add up to it but for" in text


def planted(n: int, seed: int) -> pa.Table:
    rng = np.random.default_rng(seed)
    sex = rng.choice(["f", "m"], n)
    return pa.table(
        {
            "stand-in <b>": (sex == "f") + rng.normal(scale=0.3, size=n),
            "fair": rng.normal(size=n),
            "independent": rng.choice(["p", "q", "r"], n),
            "sex": sex,
            "y": np.where(2.0 * (sex == "f") + rng.normal(size=n) > 1, "yes", "no"),
        }
    )


@pytest.fixture(scope="module")
def made_up() -> Subject:
    columns = ("stand-in <b>", "fair", "independent")
    schema = Schema(columns, ("no", "yes"), "y", positive="yes", sensitive=("sex",))
    splits = {name: Split(name, name, planted(1200, place), schema) for place, name in enumerate(("train", "test"))}
    return trained(splits, schema, epochs=12, hidden=(16,))


def test_a_planted_proxy_drives_the_gap_and_is_named(made_up):
    _, found = findings_of(made_up)
    proxies = {line["column"]: line for line in found.tables["insights/proxies"].to_pylist()}
    assert {name for name, line in proxies.items() if line["found"]} == {"stand-in <b>", "penultimate features"}
    features = [line for line in found.tables["insights/drivers"].to_pylist() if line["kind"] == "feature"]
    parts = {line["column"]: line for line in features}
    gap = sum(line["contribution"] for line in features)
    assert gap < 0  # of men to women
    assert parts["stand-in <b>"]["upper"] < 0.9 * gap
    assert all(abs(line["contribution"]) < 0.1 * abs(gap) for name, line in parts.items() if name != "stand-in <b>")
    drawn = [section.figure.to_json() for section in shown(found, made_up.schema.features) if section.figure]
    assert len(drawn) == 2
    assert not any("<b>" in text.replace("\\u003c", "<") for text in drawn)
    again = findings_of(made_up)[1]
    assert to_table(again.metrics).equals(to_table(found.metrics))
    assert all(table.equals(again.tables[name]) for name, table in found.tables.items())


def test_groups_too_small_are_named_and_not_judged(made_up):
    spec = AuditSpec(attribution={"methods": ["integrated_gradients"], "rows": 20}, fairness={"minimum_group": 25})
    _, found = findings_of(made_up, spec)
    (line,) = found.tables["insights/drivers"].to_pylist()
    assert line["status"] == "insufficient"
    assert line["contribution"] is None
    assert "fewer than 25" in line["reason"]
    assert any("Not judged" in section.finding for section in shown(found, made_up.schema.features))


def test_what_is_missing_is_said(made_up):
    context = Context(made_up, SPEC, Ledger(), Progress(quiet=True))
    found = InsightsAnalysis().conclude(context, {})
    (row,) = select(found.metrics, metric="score_gap")
    assert row.status == "not applicable"
    assert "run the attribution analysis" in row.reason
    assert found.tables["insights/proxies"].num_rows == 3  # no pass, no penultimate features; no shares
    assert {line["share"] for line in found.tables["insights/proxies"].to_pylist()} == {None}
    assert any("was not divided" in section.finding for section in shown(found, ()))
    nobody = Subject("s", made_up.model, tuple(
        Split(s.name, s.role, s.table, Schema(s.schema.features, s.schema.classes, "y")) for s in made_up.splits
    ), Schema(made_up.schema.features, made_up.schema.classes, "y"))  # fmt: skip
    (row,) = InsightsAnalysis().conclude(Context(nobody, SPEC, Ledger(), Progress(quiet=True)), {}).metrics
    assert "no sensitive columns" in row.reason


def test_a_gap_is_not_divided_where_targets_or_baselines_differ():
    methods = pa.table({"method": ["m"], "title": ["M"], "complete": [True]})
    values = pa.table({"method": ["m"] * 2, "row": [0, 1], "column": ["x"] * 2, "value": [1.0, 2.0]})
    rows = {"method": ["m"] * 2, "row": [0, 1], "target": ["a", "a"], "score": [1.0, 2.0], "baseline_score": [0.0, 0.0]}

    def told(**changed: list) -> str:
        tables = {"attribution/methods": methods, "attribution/rows": pa.table(rows | changed),
                  "attribution/explanations": values}  # fmt: skip
        with pytest.raises(NotExplainedError) as problem:
            explained_columns(tables.get)
        return str(problem.value)

    assert "different targets" in told(target=["a", "b"])
    assert "different baselines" in told(baseline_score=[0.0, 0.5])


def test_the_sample_of_features_is_mergeable():
    wanted = np.array([1, 4, 6])

    def seen(rows: list[int]) -> Sampled:
        own = Sampled(wanted)
        features = torch.tensor(rows, dtype=torch.float32)[:, None] * torch.ones(2)
        own.update(Observation(np.array(rows), np.zeros(len(rows)), torch.zeros(len(rows), 2), features))
        return own

    first, second = seen([0, 1, 2, 3]), seen([4, 5, 6, 7])
    assert first.features() is None
    first.merge(second)
    assert first.features().tolist() == seen(list(range(8))).features().tolist() == [[1, 1], [4, 4], [6, 6]]


def test_inside_an_audit_the_insights_read_what_was_finished(made_up, tmp_path, monkeypatch):
    import auditkit.run as runner

    known = {"attribution": AttributionAnalysis, "insights": InsightsAnalysis}
    monkeypatch.setattr(runner, "_load_analysis", lambda name: known[name]())
    spec = SPEC.model_copy(update={"analyses": ["attribution", "insights"]})
    audit = run_audit(made_up, spec, tmp_path)
    assert audit.table("insights/drivers").num_rows == 5  # the gap, three columns, the remainder
    assert {row.metric for row in audit.rows if row.analysis == "insights"} == {
        "score_gap", "score_gap_remainder", "score_gap_driver", "proxy_auc", "representation_auc",
    }  # fmt: skip
    lines = audit.table("insights/proxies").to_pylist()
    assert all(line["share"] is not None for line in lines if line["kind"] == "feature")
