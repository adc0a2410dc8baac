"""The analysis sees what a check sees: the same counts, from batches in any order and merged halves."""

from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from auditkit.engine.analysis import Observation
from auditkit.errors import InputError
from auditkit.evidence.metrics import select
from auditkit.evidence.store import RunFolder
from auditkit.fairness.analysis import FairnessAnalysis, FairnessObserver
from auditkit.fairness.check import check_fairness
from auditkit.fairness.scores.at_threshold import decided_at
from auditkit.fairness.scores.evidence import counts_from_table
from auditkit.spec import AuditSpec, FairnessSpec, Gate
from auditkit.subject.data import Role, Schema, Split

N = 400
RNG = np.random.default_rng(0)
SEX = RNG.choice(["Female", "Male"], N)
RACE = RNG.choice(["A", "B", "C"], N)
LABELS = RNG.integers(0, 3, N)
LOGITS = RNG.normal(size=(N, 3)) + 1.5 * np.eye(3)[LABELS]


def probabilities() -> np.ndarray:
    """The probability of class 1, by the rounding of float32 that the model's logits have."""
    return torch.tensor(LOGITS, dtype=torch.float32).double().softmax(dim=-1)[:, 1].numpy()


def split_of(name: str, role: Role, schema: Schema, sex: np.ndarray = SEX) -> Split:
    return Split(name, role, pa.table({"sex": sex, "race": RACE, "y": LABELS.astype(str)}), schema)


def context_of(positive: str | None = "1", sensitive: tuple[str, ...] = ("sex", "race"), **fairness: Any) -> Any:
    schema = Schema((), ("0", "1", "2"), "y", positive, sensitive)
    spec = AuditSpec(fairness=FairnessSpec(replicates=500, **fairness))
    blind = SimpleNamespace(preprocessing=SimpleNamespace(columns=(), modality="table"), lacks={})
    subject = SimpleNamespace(split=lambda name: split_of(name, name, schema), schema=schema, model=blind)
    return SimpleNamespace(subject=subject, spec=spec)


def observe(observer: FairnessObserver, rows: np.ndarray, labels: np.ndarray = LABELS) -> FairnessObserver:
    logits = torch.tensor(LOGITS[rows], dtype=torch.float32)
    observer.update(Observation(rows=rows, labels=labels[rows], logits=logits))
    return observer


def observer_of(context: Any, split: Split) -> FairnessObserver:
    observer = FairnessAnalysis().observe(context, split, {})
    assert observer is not None
    return observer


def conclude(context: Any, observers: Mapping[str, FairnessObserver]) -> Any:
    return FairnessAnalysis().conclude(context, observers)


def test_it_equals_a_check_of_the_same_decisions() -> None:
    context = context_of()
    observer = observer_of(context, split_of("test", "test", context.subject.schema))
    for rows in np.array_split(RNG.permutation(N), 7):
        observe(observer, rows)
    found = conclude(context, {"test": observer})
    check = check_fairness(
        LABELS,
        LOGITS.argmax(axis=1),
        sensitive_features={"sex": SEX, "race": RACE},
        positive=1,
        replicates=500,
        scores=probabilities(),
    )
    theirs = {(row.metric, row.attribute, row.group, row.detail): row for row in check.metrics}
    assert len(found.metrics) > 300
    for row in found.metrics:
        if row.metric.startswith("counterfactual"):  # a check has no model to ask
            continue
        twin = theirs[row.metric, row.attribute, row.group, row.detail]
        assert (row.value, row.n, row.status, row.unjudged) == (twin.value, twin.n, twin.status, twin.unjudged)
        assert row.split == "test"
    assert set(found.tables) - {"flips"} <= set(check.tables)
    assert {"counts", "rates", "gaps", "score_counts", "reliability", "multicalibration"} <= set(found.tables)


def test_halves_merged_are_the_whole() -> None:
    context = context_of()
    split = split_of("test", "test", context.subject.schema)
    whole = observe(observer_of(context, split), np.arange(N))
    first = observe(observer_of(context, split), np.arange(N)[::2])
    first.merge(observe(observer_of(context, split), np.arange(N)[1::2]))
    assert (first.counts.cells == whole.counts.cells).all()
    assert conclude(context, {"test": first}).metrics == conclude(context, {"test": whole}).metrics


def test_reference_and_test_are_judged_and_the_others_sit_out() -> None:
    context = context_of()
    seen = {}
    for name, role in (("train", "train"), ("validation", "validation"), ("test", "test"), ("old", "ood")):
        split = split_of(name, role, context.subject.schema)  # type: ignore[arg-type]
        observer = FairnessAnalysis().observe(context, split, seen)
        if observer is not None:
            seen[name] = observe(observer, np.arange(N))
    assert list(seen) == ["train", "validation", "test"]
    found = conclude(context, seen)
    assert {row.split for row in found.metrics} == {"train", "test"}
    assert {row.split for row in found.metrics if row.metric == "brier_score"} == {"test"}
    assert set(found.tables["score_counts"]["split"].to_pylist()) == {"train", "validation", "test"}


def test_scores_are_kept_as_counts_that_tell_every_threshold_again(tmp_path: Path) -> None:
    context = context_of()
    observer = observe(observer_of(context, split_of("test", "test", context.subject.schema)), np.arange(N))
    run = RunFolder(tmp_path)
    run.write("fairness", conclude(context, {"test": observer}))
    kept = counts_from_table(pq.read_table(tmp_path / "fairness" / "score_counts.parquet"))["test"]
    assert kept.groups == observer.groups.groups
    selected = [int(((probabilities() >= 0.3) & (sex == SEX)).sum()) for sex in ("Female", "Male")]
    assert decided_at(kept, 0.3).margin(["sex"]).cells[:, :, 1].sum(axis=1).tolist() == selected


def test_a_model_of_two_classes_decides_at_one_half() -> None:
    context = context_of()
    schema = Schema((), ("0", "1"), "y", "1", ("sex", "race"))
    context.subject.schema = schema
    observer = observer_of(context, split_of("test", "test", schema))
    labels = (LABELS > 0).astype(int)
    logits = torch.tensor(LOGITS[:, :2], dtype=torch.float32)
    observer.update(Observation(rows=np.arange(N), labels=labels, logits=logits))
    (row,) = select(conclude(context, {"test": observer}).metrics, metric="decision_threshold")
    assert row.value == 0.5


def test_other_thresholds_are_fitted_on_validation_and_judged_on_test() -> None:
    context = context_of()
    context.subject.schema = Schema((), ("0", "1"), "y", "1", ("sex", "race"))
    seen = {}
    for name in ("validation", "test"):
        observer = observer_of(context, split_of(name, name, context.subject.schema))  # type: ignore[arg-type]
        labels, logits = (LABELS > 0).astype(int), torch.tensor(LOGITS[:, :2], dtype=torch.float32)
        observer.update(Observation(rows=np.arange(N), labels=labels, logits=logits))
        seen[name] = observer
    assert "frontier" in conclude(context, seen).tables
    assert "frontier" not in conclude(context, {"test": seen["test"]}).tables, (
        "never judged on the rows it was fitted to"
    )


def test_scores_that_are_no_numbers_are_said_and_not_counted() -> None:
    context = context_of()
    observer = observer_of(context, split_of("test", "test", context.subject.schema))
    logits = torch.tensor(LOGITS, dtype=torch.float32)
    logits[3] = torch.nan
    observer.update(Observation(rows=np.arange(N), labels=LABELS, logits=logits))
    found = conclude(context, {"test": observer})
    assert any("missing or infinite in 1 of 400 rows" in caveat.text for caveat in found.caveats)
    assert "score_counts" not in found.tables
    assert select(found.metrics, metric="selection_rate", group="Female")[0].status == "ok"


def test_validation_rows_of_one_group_sit_out() -> None:
    context = context_of()
    split = split_of("validation", "validation", context.subject.schema, np.full(N, "Male"))
    assert FairnessAnalysis().observe(context, split, {}) is None


def test_rows_without_a_label_are_counted_and_left_out() -> None:
    context = context_of()
    labels = LABELS.copy()
    labels[:10] = -1
    observer = observe(observer_of(context, split_of("test", "test", context.subject.schema)), np.arange(N), labels)
    assert observer.counts.rows == N - 10
    caveats = conclude(context, {"test": observer}).caveats
    assert any("10 rows without a label" in caveat.text for caveat in caveats)


@pytest.mark.parametrize(
    ("context", "reason"),
    [(context_of(sensitive=()), "no sensitive attribute"), (context_of(positive=None), "no positive class")],
)
def test_what_does_not_apply_is_said(context: Any, reason: str) -> None:
    analysis = FairnessAnalysis()
    assert not analysis.needs(context.subject, context.spec)
    (row,) = conclude(context, {}).metrics
    assert row.status == "not applicable"
    assert reason in row.reason


def test_a_split_of_one_group_is_refused() -> None:
    context = context_of()
    with pytest.raises(InputError, match="split 'test': sensitive column 'sex' has the one value 'Male'"):
        observer_of(context, split_of("test", "test", context.subject.schema, np.full(N, "Male")))


def test_settings_are_heeded() -> None:
    context = context_of(minimum_group=200, intersections=False, confidence=0.8)
    observer = observe(observer_of(context, split_of("test", "test", context.subject.schema)), np.arange(N))
    rows = conclude(context, {"test": observer}).metrics
    assert {row.attribute for row in rows} == {"", "sex", "race"}
    assert {row.confidence for row in rows if row.status == "ok"} == {0.8}
    assert {row.status for row in select(rows, attribute="race", metric="selection_rate")} == {"insufficient"}


def with_columns(context: Any, **columns: Any) -> Any:
    """The same audit, whose test split has more columns."""
    base = split_of("test", "test", context.subject.schema)
    table = base.table
    for name, values in columns.items():
        table = table.append_column(name, pa.array(values))
    more = Split("test", "test", table, context.subject.schema)
    context.subject.split = lambda _: more
    return context


def test_an_audit_keeps_weights_and_clusters_as_a_check_does() -> None:
    weights, household = RNG.gamma(2, 1, N), RNG.integers(0, 80, N)
    context = with_columns(context_of(weight="w", cluster="household"), w=weights, household=household)
    observer = observe(observer_of(context, context.subject.split("test")), np.arange(N))
    found = conclude(context, {"test": observer})
    check = check_fairness(
        LABELS, LOGITS.argmax(axis=1), sensitive_features={"sex": SEX, "race": RACE}, positive=1, replicates=500,
        sample_weight=weights, clusters=household,
    )  # fmt: skip
    for metric in ("selection_rate", "demographic_parity_difference", "accuracy_group_min"):
        mine, theirs = (select(rows, metric=metric) for rows in (found.metrics, check.metrics))
        assert [(row.value, row.lower, row.upper) for row in mine] == [(r.value, r.lower, r.upper) for r in theirs]
    assert "clusters leave" in select(found.metrics, metric="selection_rate")[0].method
    assert any("left out" in caveat.text for caveat in found.caveats)


def test_control_columns_and_population_shares_add_their_parts() -> None:
    department = RNG.choice(["x", "y"], N)
    shares = {"sex": {"Female": 0.7, "Male": 0.3}}
    context = with_columns(context_of(control=["department"], population=shares), department=department)
    observer = observe(observer_of(context, context.subject.split("test")), np.arange(N))
    found = conclude(context, {"test": observer})
    conditional = select(found.metrics, metric="conditional_demographic_parity_difference", attribute="sex")
    assert [row.detail for row in conditional] == ["given department"]
    ratio = select(found.metrics, metric="representation_ratio", group="Female")[0]
    assert ratio.value == pytest.approx((SEX == "Female").mean() / 0.7)
    assert {"conditional", "representation"} <= set(found.tables)


def test_gates_tell_how_many_wrong_labels_their_verdicts_stand() -> None:
    context = context_of()
    context.spec.gates["fairness/demographic_parity_difference"] = Gate(at_most=0.6, of=["sex"])
    observer = observe(observer_of(context, context.subject.split("test")), np.arange(N))
    table = conclude(context, {"test": observer}).tables["verdict_sensitivity"].to_pylist()
    assert [(record["attribute"], record["verdict"], record["errors"]) for record in table] == [
        ("sex", "pass", "groups")
    ]
    assert 0 < table[0]["stands_up_to"] < 0.25
