"""The analysis sees what a check sees: the same counts, from batches in any order and merged halves."""

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch

from auditkit.engine.analysis import Observation
from auditkit.errors import InputError
from auditkit.evidence.metrics import select
from auditkit.fairness.analysis import FairnessAnalysis, FairnessObserver
from auditkit.fairness.check import check_fairness
from auditkit.spec import AuditSpec, FairnessSpec
from auditkit.subject.data import Role, Schema, Split

N = 400
RNG = np.random.default_rng(0)
SEX = RNG.choice(["Female", "Male"], N)
RACE = RNG.choice(["A", "B", "C"], N)
LABELS = RNG.integers(0, 3, N)
LOGITS = RNG.normal(size=(N, 3)) + 1.5 * np.eye(3)[LABELS]


def split_of(name: str, role: Role, schema: Schema, sex: np.ndarray = SEX) -> Split:
    return Split(name, role, pa.table({"sex": sex, "race": RACE, "y": LABELS.astype(str)}), schema)


def context_of(positive: str | None = "1", sensitive: tuple[str, ...] = ("sex", "race"), **fairness: Any) -> Any:
    schema = Schema((), ("0", "1", "2"), "y", positive, sensitive)
    spec = AuditSpec(fairness=FairnessSpec(replicates=500, **fairness))
    return SimpleNamespace(subject=SimpleNamespace(split=lambda _: None, schema=schema), spec=spec)


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
        LABELS, LOGITS.argmax(axis=1), sensitive_features={"sex": SEX, "race": RACE}, positive=1, replicates=500
    )
    mine = {(row.metric, row.attribute, row.group, row.detail): row for row in found.metrics}
    assert len(mine) == len(check.metrics)
    for row in check.metrics:
        twin = mine[row.metric, row.attribute, row.group, row.detail]
        assert (twin.value, twin.n, twin.status, twin.unjudged) == (row.value, row.n, row.status, row.unjudged)
        assert twin.split == "test"
    assert set(found.tables) == {"counts", "rates", "gaps", "pairs", "shrunken", "four_fifths"}


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
    assert list(seen) == ["train", "test"]
    assert {row.split for row in conclude(context, seen).metrics} == {"train", "test"}


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
