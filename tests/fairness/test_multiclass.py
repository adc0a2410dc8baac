"""Decisions among classes: equal to fairlearn and scikit-learn, honest where a class is rare, judged by gates."""

from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pytest
from fairlearn.metrics import MetricFrame
from hypothesis import given
from hypothesis import settings as limits
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, f1_score, precision_score, recall_score

from auditkit.errors import InputError
from auditkit.evidence.metrics import Findings, MetricRow, select
from auditkit.fairness.counting.counts import GroupCodes
from auditkit.fairness.outcomes.multiclass import multiclass_findings
from auditkit.fairness.outcomes.multiclass_view import multiclass_sections
from auditkit.fairness.settings import Settings
from auditkit.gates import judge
from auditkit.spec import Gate

ORACLES = {
    "accuracy": accuracy_score,
    "macro_true_positive_rate": lambda y, p: recall_score(y, p, average="macro", zero_division=0),
    "macro_precision": lambda y, p: precision_score(y, p, average="macro", zero_division=0),
    "macro_f1": lambda y, p: f1_score(y, p, average="macro", zero_division=0),
}


def people(codes: np.ndarray) -> GroupCodes:
    return GroupCodes(("sex",), tuple((f"g{at}",) for at in range(int(codes.max()) + 1)), codes.astype(np.int64), {})


def found(codes: np.ndarray, y: np.ndarray, p: np.ndarray, minimum: int = 1, replicates: int = 400) -> Findings:
    return multiclass_findings(people(codes), pa.array(y), pa.array(p), Settings(minimum, replicates))


def only(rows: list[MetricRow], **where: str) -> MetricRow:
    (row,) = select(rows, **where)
    return row


@limits(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.integers(2, 5), st.integers(2, 4))
def test_point_values_are_those_of_fairlearn_and_scikit_learn(seed: int, classes: int, groups: int) -> None:
    rng = np.random.default_rng(seed)
    codes, names = np.r_[np.arange(groups), rng.integers(0, groups, 150)], np.array(list("abcde"))[:classes]
    y = rng.choice(names, len(codes))
    p = np.where(rng.random(len(codes)) < 0.6, y, rng.choice(names, len(codes)))
    rows = found(codes, y, p).metrics
    frame = MetricFrame(metrics=ORACLES, y_true=y, y_pred=p, sensitive_features=[f"g{code}" for code in codes])
    for metric in ORACLES:
        values = [only(rows, metric=metric, attribute="sex", group=f"g{at}") for at in range(groups)]
        for row in values:
            assert row.status != "ok" or row.value == pytest.approx(frame.by_group.loc[row.group, metric], abs=1e-12)
        assert only(rows, metric=metric, attribute="").value in (None, pytest.approx(frame.overall[metric], abs=1e-12))
        if all(row.status == "ok" for row in values):
            gap = only(rows, metric=f"{metric}_difference")
            assert gap.value == pytest.approx(frame.difference()[metric], abs=1e-12)
            assert gap.lower <= gap.value <= gap.upper
    for name in names:
        one = MetricFrame(metrics={"s": lambda y, p: np.mean(p)}, y_true=y == name, y_pred=p == name,
                          sensitive_features=codes)  # fmt: skip
        gap = only(rows, metric="demographic_parity_difference", detail=str(name))
        assert gap.value == pytest.approx(one.difference()["s"], abs=1e-12)


def sample(seed: int = 0, n: int = 4000, shift: float = 0.0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    codes, y = rng.integers(0, 3, n), rng.choice(["x", "y", "z"], n)
    p = np.where(rng.random(n) < 0.75, y, rng.choice(["x", "y", "z"], n))
    return codes, y, np.where((codes == 1) & (rng.random(n) < shift), "z", p)


def test_a_planted_gap_of_one_class_is_found_and_gates_see_it() -> None:
    rows = found(*sample(shift=0.4), replicates=2000).metrics
    worst = only(rows, metric="worst_class_demographic_parity_difference")
    assert worst.lower > 0.1
    assert worst.detail.startswith("z: g1 – ")
    single = only(rows, metric="demographic_parity_difference", detail="z")
    assert worst.value == single.value
    assert worst.lower <= single.lower
    assert worst.upper >= single.upper
    gate = Gate(at_most=0.05)
    verdicts = {result.subject: result.verdict for result in judge(rows, {"demographic_parity_difference": gate})}
    assert len(verdicts) == 3
    assert verdicts["sex · z"] == "fail"
    (one,) = judge(rows, {"demographic_parity_difference": Gate(at_most=0.05, of=["z"])})
    assert one.verdict == "fail"
    assert one.subject == "sex · z"


def test_the_worst_class_raises_no_false_alarm() -> None:
    alarms = 0
    for seed in range(60):
        rows = found(*sample(seed, 900), minimum=30).metrics
        alarms += any(only(rows, metric=f"worst_class_{name}_difference").lower > 0
                      for name in ("demographic_parity", "equal_opportunity"))  # fmt: skip
    assert alarms <= 8  # two families of at most 5 % each


def test_macro_intervals_cover() -> None:
    rng, k, hits = np.random.default_rng(5), 3, 0
    right = np.array([0.9, 0.7, 0.5])
    for _ in range(150):
        y = rng.choice(k, 300, p=[0.6, 0.3, 0.1])
        p = np.where(rng.random(300) < right[y], y, (y + 1) % k)
        rows = found(rng.integers(0, 2, 300), y.astype(str), p.astype(str)).metrics
        row = only(rows, metric="macro_true_positive_rate", attribute="")
        hits += row.lower <= right.mean() <= row.upper
    assert hits >= 0.9 * 150


def test_a_class_that_a_group_lacks_is_no_zero_and_no_pass() -> None:
    codes, y, p = sample()
    keep = (codes != 2) | (y != "z")
    rows = found(codes[keep], y[keep], p[keep], minimum=30).metrics
    lost = only(rows, metric="macro_true_positive_rate", group="g2")
    assert lost.status == "insufficient"
    assert "no rows of class 'z'" in lost.reason
    assert lost.value is None
    worst = only(rows, metric="worst_class_equal_opportunity_difference")
    assert worst.unjudged == ("g2 (class z)",)
    assert judge(rows, {"worst_class_equal_opportunity_difference": Gate(at_most=0.9)})[0].verdict == "inconclusive"
    assert judge(rows, {"macro_true_positive_rate_difference": Gate(at_most=0.9)})[0].verdict == "inconclusive"


def test_order_of_rows_changes_nothing() -> None:
    codes, y, p = sample(n=600)
    order = np.random.default_rng(0).permutation(600)
    assert found(codes, y, p).metrics == found(codes[order], y[order], p[order]).metrics


def test_input_that_cannot_be_judged() -> None:
    codes, y, p = sample(n=60)
    with pytest.raises(InputError, match="y_pred is missing"):
        multiclass_findings(people(codes), pa.array(y), pa.array([None, *p[1:]]), Settings())
    with pytest.raises(InputError, match="are no classes"):
        multiclass_findings(people(codes), pa.array(y), pa.array(p), Settings(), classes=["x", "y"])
    with pytest.raises(InputError, match="classes cannot be judged"):
        multiclass_findings(people(codes), pa.array(["x"] * 60), pa.array(["x"] * 60), Settings())


def test_sections_name_the_worst_class() -> None:
    made = found(*sample(shift=0.4), minimum=30)
    shown = multiclass_sections(SimpleNamespace(rows=made.metrics, table=lambda name: None))
    assert [section.key for section in shown] == ["class-gaps-0", "class-averages-0"]
    assert "class z: g1" in shown[0].finding
    assert shown[0].table.num_rows == 3
    assert multiclass_sections(SimpleNamespace(rows=[], table=lambda name: None)) == []
