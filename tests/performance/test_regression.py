"""Figures of predicted numbers against scikit-learn, and their intervals against truth."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.metrics import mean_absolute_error, mean_squared_error, r2_score

from auditkit.performance.regression.observer import Numbers
from auditkit.performance.regression.scores import generalisation_gap, score_rows
from auditkit.performance.regression.tables import bins_table, residuals_table


def numbers(truth, predicted) -> Numbers:
    return Numbers(np.arange(len(truth)), np.asarray(truth, float), np.asarray(predicted, float))


@settings(max_examples=60, deadline=None)
@given(arrays(np.float64, 40, elements=st.floats(-1e4, 1e4, width=32)), st.integers(0, 2**32 - 1))
def test_figures_are_those_of_scikit_learn(truth, seed):
    predicted = truth + np.random.default_rng(seed).normal(3, 50, 40)
    truth = truth + np.linspace(0, 1, 40)
    found = {row.metric: row.value for row in score_rows("test", numbers(truth, predicted), 0.95)}
    assert found["mae"] == pytest.approx(mean_absolute_error(truth, predicted), rel=1e-12)
    assert found["rmse"] == pytest.approx(np.sqrt(mean_squared_error(truth, predicted)), rel=1e-12)
    assert 1 - found["r2"] == pytest.approx(1 - r2_score(truth, predicted), rel=1e-12)
    assert found["bias"] == pytest.approx(float(np.mean(predicted - truth)), rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("tails", ["normal", "laplace"])
def test_intervals_cover_the_truth_in_about_as_many_draws_as_they_say(tails):
    rng, draws, rows = np.random.default_rng(0), 400, 200
    spread, bias = 2.0, 0.5
    error = (lambda: rng.normal(0, 1, rows)) if tails == "normal" else (lambda: rng.laplace(0, np.sqrt(0.5), rows))
    mean_absolute = np.mean(np.abs(bias + (rng.normal(0, 1, 10**6) if tails == "normal" else
                                           rng.laplace(0, np.sqrt(0.5), 10**6))))  # fmt: skip
    true = {"mae": mean_absolute, "rmse": np.sqrt(1 + bias**2), "r2": 1 - (1 + bias**2) / spread**2, "bias": bias}
    covered = dict.fromkeys([*true, "gap"], 0)
    for _ in range(draws):
        sides = [numbers(y := rng.normal(0, spread, rows), y + bias + error()) for _ in range(2)]
        for row in score_rows("test", sides[1], 0.95):
            covered[row.metric] += row.lower <= true[row.metric] <= row.upper
        gap = generalisation_gap(*sides, 0.95)
        covered["gap"] += gap.lower <= 0 <= gap.upper
    assert all(0.91 <= count / draws <= 0.99 for count in covered.values()), covered


def test_a_row_without_spread_has_a_number_and_no_interval():
    truth = np.arange(40.0)
    found = {row.metric: row for row in score_rows("test", numbers(truth, truth + 2), 0.95)}
    assert (found["mae"].value, found["mae"].lower) == (2.0, None)
    flat = {row.metric: row for row in score_rows("test", numbers(np.ones(40), truth), 0.95)}
    assert flat["r2"].status == "insufficient"


def test_bins_hold_every_row_once_and_their_means():
    rng = np.random.default_rng(1)
    found = numbers(rng.normal(size=500), np.round(rng.normal(size=500), 1))
    lines = bins_table({"test": found}, 0.95).to_pylist()
    rows = np.array([line["rows"] for line in lines])
    assert rows.sum() == 500
    assert rows @ [line["truth"] for line in lines] / 500 == pytest.approx(found.truth.mean())
    assert rows @ [line["prediction"] for line in lines] / 500 == pytest.approx(found.predicted.mean())
    assert sum(residuals_table({"test": found})["rows"].to_pylist()) == 500
