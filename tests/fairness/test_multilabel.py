"""Sets of labels: equal to scikit-learn, standard errors that hold, the worst label found."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import settings as limits
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, f1_score, hamming_loss

from auditkit.errors import InputError
from auditkit.evidence.metrics import Findings, MetricRow, select
from auditkit.fairness.counting.counts import GroupCodes
from auditkit.fairness.outcomes.multilabel import multilabel_findings
from auditkit.fairness.outcomes.multilabel_view import multilabel_sections
from auditkit.fairness.settings import Settings


def people(codes: np.ndarray) -> GroupCodes:
    return GroupCodes(("sex",), tuple((f"g{at}",) for at in range(int(codes.max()) + 1)), codes.astype(np.int64), {})


def only(rows: list[MetricRow], **where: str) -> MetricRow:
    (row,) = select(rows, **where)
    return row


def sample(seed: int, n: int = 600, width: int = 4) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    y = (rng.normal(size=(n, width)) + rng.normal(size=(n, 1)) > 0.4).astype(int)
    hard = rng.normal(size=(n, 1))
    return rng.integers(0, 2, n), y, np.where(rng.normal(size=(n, width)) + hard > 1.2, 1 - y, y)


def found(codes: np.ndarray, y: np.ndarray, p: np.ndarray, minimum: int = 1) -> Findings:
    return multilabel_findings(people(codes), y, p, Settings(minimum, 300))


@limits(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 5))
def test_values_are_those_of_scikit_learn(seed: int, width: int) -> None:
    codes, y, p = sample(seed, 120, width)
    rows = found(codes, y, p).metrics
    for at in range(2):
        mine = codes == at
        expected = {
            "subset_accuracy": accuracy_score(y[mine], p[mine]),
            "hamming_loss": hamming_loss(y[mine], p[mine]),
            "label_macro_f1": f1_score(y[mine], p[mine], average="macro" if width > 1 else "binary", zero_division=0),
            "label_micro_f1": f1_score(y[mine].ravel(), p[mine].ravel(), zero_division=0),
        }
        for metric, value in expected.items():
            assert only(rows, metric=metric, group=f"g{at}").value == pytest.approx(value, abs=1e-12)
        for label in range(width):
            row = only(rows, metric="selection_rate", group=f"g{at}", detail=f"label_{label}")
            assert row.value == pytest.approx(p[mine, label].mean(), abs=1e-12)


def test_standard_errors_know_that_labels_go_together() -> None:
    truth = {"label_macro_f1": [], "label_micro_f1": [], "hamming_loss": []}
    errors: dict[str, list[float]] = {name: [] for name in truth}
    for seed in range(120):
        codes, y, p = sample(seed, 400)
        rows = found(codes, y, p).metrics
        for name in truth:
            row = only(rows, metric=name, attribute="")
            truth[name].append(row.value)
            errors[name].append((row.upper - row.lower) / 2 / 1.966)
    for name, values in truth.items():
        assert np.mean(errors[name]) == pytest.approx(np.std(values), rel=0.2)


def test_the_label_with_the_planted_gap_is_the_worst() -> None:
    codes, y, p = sample(1, 3000)
    p[(codes == 1) & (np.random.default_rng(2).random(3000) < 0.5), 2] = 1
    made = multilabel_findings(
        people(codes), pd.DataFrame(y, columns=list("abcd")), pd.DataFrame(p, columns=list("abcd")), Settings()
    )
    worst = only(made.metrics, metric="worst_label_demographic_parity_difference")
    assert worst.lower > 0.1
    assert worst.detail == "c: g1 – g0"
    shown = multilabel_sections(SimpleNamespace(rows=made.metrics, table=lambda name: None))
    assert "label c: g1 – g0" in shown[0].finding
    assert made.tables["label_counts"].num_rows == 4 * 3


def test_columns_are_matched_by_name() -> None:
    codes, y, p = sample(3, 200, 2)
    first = multilabel_findings(people(codes), {"a": y[:, 0], "b": y[:, 1]}, {"a": p[:, 0], "b": p[:, 1]}, Settings())
    other = multilabel_findings(people(codes), {"a": y[:, 0], "b": y[:, 1]}, {"b": p[:, 1], "a": p[:, 0]}, Settings())
    assert first.metrics == other.metrics


def test_a_label_nobody_has_is_no_number() -> None:
    codes, y, p = sample(4)
    y[:, 1] = p[:, 1] = 0
    rows = found(codes, y, p, minimum=30).metrics
    assert only(rows, metric="label_macro_f1", group="g0").status == "insufficient"
    assert only(rows, metric="equal_opportunity_difference", detail="label_1").status == "insufficient"
    assert only(rows, metric="worst_label_equal_opportunity_difference").unjudged == ("g0 (label label_1)",
                                                                                     "g1 (label label_1)")  # fmt: skip


def test_input_that_cannot_be_judged() -> None:
    codes, y, p = sample(5, 60)
    with pytest.raises(InputError, match="other than 0 and 1"):
        found(codes, y + 1, p)
    with pytest.raises(InputError, match="different columns"):
        multilabel_findings(people(codes), {"a": y[:, 0]}, {"b": p[:, 0]}, Settings())
    with pytest.raises(InputError, match="groups were given for 60 rows"):
        found(codes, y[:50], p[:50])
