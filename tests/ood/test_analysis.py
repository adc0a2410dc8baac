"""The discipline end to end, on a model and shifts made so that the right answer is known."""

import numpy as np
import pyarrow as pa
import pytest
import torch
from torch import nn

from auditkit.engine.analysis import Context, Observation
from auditkit.engine.ledger import Ledger
from auditkit.engine.local import run_pass
from auditkit.engine.progress import Progress
from auditkit.errors import InputError
from auditkit.evidence.metrics import select
from auditkit.ood.analysis import OodAnalysis
from auditkit.ood.bank import priorities
from auditkit.ood.fusion import calibrate
from auditkit.ood.panel import Panel
from auditkit.ood.scores import ScoreObserver, Scores
from auditkit.ood.view import sections
from auditkit.spec import AuditSpec
from auditkit.subject.data import Schema, Split
from auditkit.subject.model import Model
from auditkit.subject.preprocessing import ImagePreprocessing, fit_table
from auditkit.subject.subject import Subject

SCHEMA = Schema(("a", "b", "kind"), ("no", "yes"), "y", "yes", ("sex",))


class Net(nn.Module):
    """Confident far from the boundary: a gross error in `a` looks like a very sure case to logits."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.body = nn.Sequential(nn.Linear(2, 8), nn.ReLU())
        self.head = nn.Linear(8, 2)
        with torch.no_grad():
            self.body[0].weight[:, 0] = torch.tensor([1.0, -1.0] * 4)
            self.head.weight[0] = torch.tensor([-1.0, 1.0] * 4)
            self.head.weight[1] = torch.tensor([1.0, -1.0] * 4)

    def forward(self, numbers, codes):
        return self.head(self.body(numbers))


def table(n, seed, scale=1.0, shift=0.0, labels=True):
    rng = np.random.default_rng(seed)
    a, b = rng.normal(size=n), rng.normal(size=n)
    columns = {
        "a": a * scale + shift,
        "b": b,
        "kind": rng.choice(["x", "y"], size=n),
        "sex": np.where(np.arange(n) < 12, "rare", rng.choice(["f", "m"], size=n)),
    }
    if labels:
        columns["y"] = np.where(a + 0.2 * b > 0, "yes", "no")
    return pa.table(columns)


def make(splits):
    train = next((split for split in splits if split.role == "train"), splits[0])
    preprocessing = fit_table(train, SCHEMA.features)
    model = Model(Net(), SCHEMA.classes, preprocessing, device=torch.device("cpu"))
    return Subject("toy", model, tuple(splits), SCHEMA)


def split(name, role, n, seed, **more):
    return Split(name, role, table(n, seed, **more), SCHEMA)


STANDARD = (("train", 1500, 1), ("validation", 900, 2), ("test", 1000, 3))


def standard(*sets):
    return [split(name, name, n, seed) for name, n, seed in STANDARD] + list(sets)


def findings_of(subject, batch_size=None, **ood):
    context = Context(subject, AuditSpec(ood=ood, batch_size=batch_size), Ledger(), Progress(quiet=True))
    analysis = OodAnalysis()
    return analysis.conclude(context, run_pass(context, [analysis])[analysis.name])


def one(findings, metric, split, detail=""):
    (row,) = select(findings.metrics, metric=metric, split=split, detail=detail)
    return row


@pytest.fixture(scope="module")
def wrong_unit():
    return findings_of(make(standard(split("wrong", "ood", 800, 4, scale=100.0), split("same", "ood", 800, 5))))


def test_a_wrong_unit_is_seen_in_the_inputs_and_missed_by_the_logits(wrong_unit):
    for name in ("input_mahalanobis", "input_max_z", "fused"):
        assert one(wrong_unit, "auroc", "wrong", name).lower > 0.95
    for name in ("msp", "max_logit", "energy", "gen"):
        assert one(wrong_unit, "auroc", "wrong", name).upper < 0.5
    assert one(wrong_unit, "inverted_detectors", "wrong").value == 4
    told = [caveat.text for caveat in wrong_unit.caveats]
    assert "the detector msp calls wrong more normal than normal rows" in told


def test_a_set_like_the_normal_rows_is_told_from_them_by_nobody(wrong_unit):
    for row in select(wrong_unit.metrics, metric="auroc", split="same"):
        assert abs(row.value - 0.5) < 0.06
    assert one(wrong_unit, "inverted_detectors", "same").value == 0


def test_the_threshold_keeps_its_promise_on_normal_rows(wrong_unit):
    for row in select(wrong_unit.metrics, metric="id_flag_rate"):
        assert row.lower <= 0.05
        assert row.n == 1000
    thresholds = {record["detector"]: record for record in wrong_unit.tables["thresholds"].to_pylist()}
    assert (thresholds["msp"]["n"], thresholds["msp"]["k"]) == (900, 866)
    assert thresholds["fused"]["n"] + 0 < 900, "one half calibrates the detectors, the other their combination"


def test_the_column_to_blame_is_named(wrong_unit):
    blamed = [record for record in wrong_unit.tables["columns"].to_pylist() if record["split"] == "wrong"]
    assert blamed[0]["column"] == "a"
    assert blamed[0]["share"] > 0.99


def test_flag_rates_by_group_name_the_groups_that_are_too_small(wrong_unit):
    rows = {row.group: row for row in select(wrong_unit.metrics, metric="group_flag_rate")}
    assert rows["rare"].status == "insufficient"
    assert rows["f"].n + rows["m"].n == 988
    gap = one(wrong_unit, "flag_rate_difference", "test", "fused")
    assert gap.unjudged == ("rare",)
    assert gap.value == pytest.approx(abs(rows["f"].value - rows["m"].value))
    assert gap.lower <= gap.value <= gap.upper


def test_the_score_table_agrees_with_the_rates(wrong_unit):
    scores = wrong_unit.tables["scores"].to_pandas()
    assert scores.groupby("split").size().to_dict() == {"same": 800, "test": 1000, "validation": 900, "wrong": 800}
    test = scores[scores["split"] == "test"]
    assert test["flagged"].mean() == one(wrong_unit, "id_flag_rate", "test", "fused").value
    assert test["fused_p"].between(0, 1).all()
    uniform = (test["fused_p"].astype(float) <= 0.5).mean()
    assert uniform == pytest.approx(0.5, abs=0.08)
    halves = scores[scores["split"] == "validation"]["fused"].isna().mean()
    assert halves == pytest.approx(0.5, abs=0.06), "rows that made the p-values have none of their own"


def test_batches_do_not_change_the_numbers(wrong_unit):
    again = findings_of(
        make(standard(split("wrong", "ood", 800, 4, scale=100.0), split("same", "ood", 800, 5))), batch_size=97
    )
    for left, right in zip(wrong_unit.metrics, again.metrics, strict=True):
        assert left.value == pytest.approx(right.value, abs=1e-4)


def test_the_same_audit_twice_is_the_same_to_the_last_bit():
    first, second = (findings_of(make(standard(split("far", "ood", 100, 4, shift=3.0)))) for _ in range(2))
    assert first.metrics == second.metrics
    assert all(first.tables[name].equals(second.tables[name]) for name in first.tables)


def test_without_a_set_there_are_flag_rates_only_and_it_is_said():
    findings = findings_of(make(standard()))
    (row,) = select(findings.metrics, metric="auroc")
    assert (row.status, row.value) == ("not applicable", None)
    assert one(findings, "id_flag_rate", "test", "fused").status == "ok"


def test_too_few_validation_rows_set_no_threshold():
    splits = [split("train", "train", 500, 1), split("validation", "validation", 58, 2), split("test", "test", 200, 3)]
    findings = findings_of(make([*splits, split("far", "ood", 100, 4, shift=5.0)]))
    row = one(findings, "id_flag_rate", "test", "msp")
    assert row.status == "insufficient"
    assert "needs 59" in row.reason
    assert one(findings, "auroc", "far", "fused").status == "insufficient"
    assert one(findings, "auroc", "far", "msp").status == "ok"
    assert findings.tables["thresholds"]["threshold"].null_count == len(findings.tables["thresholds"])


def test_no_validation_no_test_and_no_training_split_each_say_so():
    far = split("far", "ood", 100, 4, shift=5.0)
    no_validation = findings_of(make([split("train", "train", 500, 1), split("test", "test", 200, 3), far]))
    assert "no validation split" in one(no_validation, "detection_rate", "far", "msp").reason
    assert one(no_validation, "auroc", "far", "mahalanobis").status == "ok"
    no_test = findings_of(make([split("train", "train", 500, 1), split("validation", "validation", 200, 2), far]))
    assert "no test split" in one(no_test, "auroc", "far", "msp").reason
    no_train = findings_of(make([split("validation", "validation", 200, 2), split("test", "test", 200, 3), far]))
    assert one(no_train, "auroc", "far", "msp").status == "ok"
    refused = {r["detector"]: r["reason"] for r in no_train.tables["detectors"].to_pylist() if r["status"] != "ok"}
    assert "no training split" in refused["mahalanobis"]


@pytest.mark.parametrize("rows", [1, 20])
def test_a_set_of_few_rows_is_not_judged(rows):
    findings = findings_of(make(standard(split("few", "ood", rows, 4))))
    for metric in ("auroc", "fpr_at_95_id_tpr", "fpr_at_95_ood_tpr", "detection_rate"):
        row = one(findings, metric, "few", "mahalanobis")
        assert (row.status, row.value) == ("insufficient", None)


def test_a_training_split_of_one_class_still_gives_distances():
    splits = standard(split("far", "ood", 100, 4, scale=50.0))
    one_class = splits[0].table.set_column(4, "y", pa.array(["yes"] * 1500))
    findings = findings_of(make([Split("train", "train", one_class, SCHEMA), *splits[1:]]))
    assert one(findings, "auroc", "far", "mahalanobis").status == "ok"
    refused = {r["detector"]: r["reason"] for r in findings.tables["detectors"].to_pylist() if r["status"] != "ok"}
    assert "one class only" in refused["relative_mahalanobis"]


def test_outputs_that_are_not_finite_are_counted_and_never_scored():
    subject = make(standard(split("far", "ood", 100, 4, shift=5.0)))
    context = Context(subject, AuditSpec(), Ledger(), Progress(quiet=True))
    analysis = OodAnalysis()

    class Breaking:
        """Lets the analysis see NaN logits in the first rows of test."""

        name, title = analysis.name, analysis.title
        needs, conclude = analysis.needs, analysis.conclude

        def observe(self, context, split, earlier):
            observer = analysis.observe(context, split, earlier)
            if split.name == "test":
                keep = observer.update

                def update(seen):
                    logits = seen.logits.clone()
                    logits[seen.rows < 9] = torch.nan
                    keep(Observation(seen.rows, seen.labels, logits, seen.features, seen.inputs))

                observer.update = update
            return observer

    findings = analysis.conclude(context, run_pass(context, [Breaking()])["ood"])
    test = findings.tables["scores"].to_pandas().query("split == 'test'")
    assert test["mahalanobis"].isna().sum() == 9
    assert test["flagged"].isna().sum() == 9
    assert one(findings, "id_flag_rate", "test", "fused").n == 991
    assert any("9 of 1,000 rows have logits or features that are not finite" in c.text for c in findings.caveats)


def test_detectors_can_be_chosen_and_a_typo_is_answered():
    far = split("far", "ood", 100, 4, shift=5.0)
    findings = findings_of(make(standard(far)), detectors=["msp", "knn"])
    assert {row.detail for row in select(findings.metrics, metric="auroc")} == {"msp", "knn", "fused"}
    assert any("sees no inputs" in caveat.text for caveat in findings.caveats)
    with pytest.raises(InputError, match="did you mean 'mahalanobis'"):
        findings_of(make(standard(far)), detectors=["mahalanobiss"])


def test_images_are_judged_without_the_table_detectors():
    rng = np.random.default_rng(0)
    schema = Schema(("images",), ("dark", "light"), "y")

    def images(name, role, n, level):
        labels = np.arange(n) % 2
        pixels = (rng.normal(size=(n, 1, 4, 4)) + level * labels[:, None, None, None]).astype(np.float32)
        return Split(name, role, pa.table({"y": np.array(["dark", "light"])[labels]}), schema, {"images": pixels})

    torch.manual_seed(0)
    module = nn.Sequential(nn.Flatten(), nn.Linear(16, 6), nn.ReLU(), nn.Linear(6, 2))
    splits = (
        images("train", "train", 300, 2),
        images("validation", "validation", 200, 2),
        images("test", "test", 200, 2),
        images("far", "ood", 100, 40),
    )
    model = Model(module, schema.classes, ImagePreprocessing(shape=(1, 4, 4)), device=torch.device("cpu"))
    findings = findings_of(Subject("toy", model, splits, schema))
    assert not select(findings.metrics, detail=("input_mahalanobis", "input_max_z"))
    assert one(findings, "detection_rate", "far", "mahalanobis").value > 0.4
    assert "columns" not in findings.tables


def test_halves_of_validation_are_those_of_the_rows_whatever_their_order():
    rng = np.random.default_rng(0)
    rows = rng.permutation(400)
    values = {"gen": rng.normal(size=400), "mahalanobis": rng.normal(size=400)}
    strange = np.zeros(400, dtype=bool)
    order = np.argsort(rows)
    shuffled = calibrate(Scores(rows, values, strange, {}), list(values), 0)
    sorted_ = calibrate(Scores(rows[order], {k: v[order] for k, v in values.items()}, strange, {}), list(values), 0)
    assert np.array_equal(shuffled.fused, sorted_.fused)
    assert abs((priorities(rows, 0) % 2 == 0).mean() - 0.5) < 0.1


def test_the_fused_p_value_is_uniform_for_detectors_that_depend_on_each_other():
    rng, small = np.random.default_rng(1), []
    for seed in range(400):
        shared = rng.normal(size=401)
        values = {name: shared + 0.3 * rng.normal(size=401) for name in ("gen", "mahalanobis", "knn")}
        known = Scores(np.arange(400), {k: v[:400] for k, v in values.items()}, np.zeros(400, dtype=bool), {})
        new = Scores(np.arange(1), {k: v[400:] for k, v in values.items()}, np.zeros(1, dtype=bool), {})
        fusion = calibrate(known, list(values), seed)
        small.append(fusion.p_values(fusion.statistic(new))[0] <= 0.1)
    assert np.mean(small) == pytest.approx(0.1, abs=0.045)


def test_two_halves_of_a_split_scored_apart_and_merged_are_the_whole():
    panel = Panel(())
    whole, left, right = (ScoreObserver(panel) for _ in range(3))
    for observer, rows in ((whole, range(10)), (right, range(6, 10)), (left, range(6))):
        observer.update(Observation(np.array(rows), np.zeros(len(rows), dtype=int), torch.zeros(len(rows), 2)))
    right.merge(left)
    assert right.scores().rows.tolist() == whole.scores().rows.tolist() == list(range(10))


class FakeEvidence:
    caveats, info = (), {}

    def __init__(self, findings):
        self.rows, self._tables = findings.metrics, findings.tables

    def table(self, name):
        return self._tables.get(name.removeprefix("ood/"))


def test_the_report_says_plainly_who_calls_the_wrong_unit_normal(wrong_unit):
    shown = {section.key: section for section in sections(FakeEvidence(wrong_unit))}
    assert "wrong is told apart by the fused score" in shown["separation"].finding
    assert (
        "the logit detectors maximum softmax probability, maximum logit, free energy and generalised entropy call its "
        "rows more normal than normal ones" in shown["separation"].finding
    )
    assert set(shown) == {"separation", "flags", "columns", "groups", "detectors"}
    assert "a (100 %) in wrong" in shown["columns"].finding
    for section in shown.values():
        assert section.finding
        assert section.how


def test_every_view_copes_with_what_is_missing(wrong_unit):
    partial = FakeEvidence(wrong_unit)
    for gone in list(wrong_unit.tables):
        partial._tables = {name: table for name, table in wrong_unit.tables.items() if name != gone}
        assert all(section.finding for section in sections(partial))
    partial._tables = {}
    assert all(section.finding for section in sections(partial))
    partial.rows = []
    assert sections(partial) == []


def test_hostile_names_are_escaped_in_figures():
    name = "<b>x</b>"
    findings = findings_of(make(standard(split(name, "ood", 100, 4, scale=100.0))))
    for section in sections(FakeEvidence(findings)):
        if section.figure is not None:
            text = section.figure.to_json()
            assert "<b>x" not in text.replace("\\u003c", "<")
