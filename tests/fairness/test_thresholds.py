"""Rates against threshold: against fairlearn and the rows themselves."""

from itertools import product

import numpy as np
import pyarrow as pa
import pytest
from fairlearn.metrics import MetricFrame, selection_rate

from auditkit.errors import InputError
from auditkit.fairness.counting.counts import encode_groups
from auditkit.fairness.scores.bins import ScoreCounts
from auditkit.fairness.scores.thresholds import SHOWN, decision_curves, place_of, rate_curves, rates_at


def count(group: np.ndarray, truth: np.ndarray, scores: np.ndarray, bins: int = 200) -> ScoreCounts:
    return ScoreCounts.tally(encode_groups({"group": pa.array(group)}, "here"), truth, scores, bins)


def test_rates_at_a_threshold_are_those_of_fairlearn() -> None:
    rng = np.random.default_rng(0)
    group, truth, scores = rng.choice(["a", "b"], 3000), rng.random(3000) < 0.4, rng.random(3000)
    counts = count(group, truth, scores)
    frame = MetricFrame(metrics=selection_rate, y_true=truth, y_pred=scores >= 0.3, sensitive_features=group)
    table = rates_at(counts, 0.3)
    assert table.column("selection_rate").to_pylist() == pytest.approx(frame.by_group.tolist(), abs=1e-12)
    assert table.column("threshold").to_pylist() == [0.3, 0.3]
    curves = rate_curves(counts)
    for name, k in product(SHOWN, (0, 60, 199)):
        assert curves[name][:, k].tolist() == rates_at(counts, k / 200).column(name).to_pylist()
    assert curves["selection_rate"][:, 200].tolist() == [0, 0]


def test_curves_hold_every_row_once() -> None:
    rng = np.random.default_rng(1)
    counts = count(rng.choice(["a", "b", "c"], 500), rng.random(500) < 0.5, rng.random(500), bins=20)
    assert (decision_curves(counts).sum(axis=(1, 2)) == counts.cells.sum(axis=(1, 2))[:, None]).all()


def test_a_rate_over_no_rows_is_null() -> None:
    counts = count(np.array(["a", "a", "b"]), np.array([True, False, False]), np.array([0.9, 0.1, 0.4]))
    assert rates_at(counts, 0.5).column("true_positive_rate").to_pylist() == [1.0, None]
    with pytest.raises(InputError, match="between 0 and 1"):
        rates_at(counts, 50)


def test_a_threshold_moves_up_to_the_next_edge() -> None:
    counts = count(np.array(["a", "b"]), np.array([True, False]), np.array([0.9, 0.1]), bins=10)
    assert [place_of(counts, threshold) for threshold in (0, 0.3, 0.31, 1)] == [0, 3, 4, 10]
