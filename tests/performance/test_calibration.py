"""Calibration error, Brier score and log loss against hand cases and scikit-learn."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sklearn.metrics import brier_score_loss, log_loss

from auditkit.performance.calibration import (
    bin_confidence,
    brier_scores,
    calibration_error,
    calibration_error_replicates,
    calibration_interval,
    error_by_chance,
    log_losses,
)


def test_a_confidence_of_exactly_one_counts_in_the_last_bin():
    confidence, correct = [1.0, 1.0, 0.9, 0.9], [True, False, True, False]
    bins = bin_confidence(confidence, correct, 2)
    assert bins.rows.tolist() == [0, 4]
    assert calibration_error(bins) == pytest.approx(0.95 - 0.5)


def test_the_textbook_case_has_no_bin_of_its_own_for_one():
    assert calibration_error(bin_confidence([0.95, 1.0], [True, False], 10)) == pytest.approx(0.475)


def test_a_perfectly_calibrated_table_has_no_error():
    confidence = np.repeat([0.6, 0.8], [10, 10])
    correct = np.r_[[True] * 6, [False] * 4, [True] * 8, [False] * 2]
    assert calibration_error(bin_confidence(confidence, correct, 10)) == pytest.approx(0)


@given(
    hnp.arrays(np.float64, 40, elements=st.floats(0, 1)),
    hnp.arrays(np.bool_, 40),
    st.integers(2, 20),
)
def test_the_error_is_the_weighted_distance_of_the_definition(confidence, correct, bins):
    edges, expected = np.linspace(0, 1, bins + 1), 0.0
    for low, high in itertools.pairwise(edges):
        inside = (confidence * bins >= round(low * bins)) & (confidence * bins < round(high * bins))
        inside |= (confidence == 1) & (high == 1)
        if inside.any():
            expected += inside.mean() * abs(confidence[inside].mean() - correct[inside].mean())
    assert calibration_error(bin_confidence(confidence, correct, bins)) == pytest.approx(expected, abs=1e-12)


def test_the_replicates_are_those_of_resampled_rows():
    rng = np.random.default_rng(0)
    confidence = rng.uniform(0.5, 1, size=2000)
    correct = rng.uniform(size=2000) < confidence - 0.1
    drawn = calibration_error_replicates(confidence, correct, 10, 4000, np.random.default_rng(1))
    slow = []
    for _ in range(600):
        rows = rng.integers(0, 2000, size=2000)
        slow.append(calibration_error(bin_confidence(confidence[rows], correct[rows], 10)))
    assert drawn.mean() == pytest.approx(np.mean(slow), abs=0.001)
    assert drawn.std() == pytest.approx(np.std(slow), rel=0.1)


def test_the_error_by_chance_is_that_of_rows_right_as_often_as_stated():
    rng = np.random.default_rng(4)
    confidence = rng.uniform(0.5, 1, size=1000)
    chance = error_by_chance(confidence, 15, 2000, rng)
    tossed = [
        calibration_error(bin_confidence(confidence, rng.uniform(size=1000) < confidence, 15)) for _ in range(300)
    ]
    assert chance.mean() == pytest.approx(np.mean(tossed), rel=0.03)
    assert chance.std() == pytest.approx(np.std(tossed), rel=0.15)


@pytest.mark.parametrize("off_by", [0.0, 0.02, 0.1])
def test_the_interval_covers_the_true_error(off_by):
    rng, covered = np.random.default_rng(5), 0
    for _ in range(150):
        confidence = rng.uniform(0.5, 1, size=800)
        right = rng.uniform(size=800) < confidence - off_by
        error = calibration_error(bin_confidence(confidence, right, 15))
        drawn = calibration_error_replicates(confidence, right, 15, 400, rng)
        lower, upper = calibration_interval(error, drawn, error_by_chance(confidence, 15, 400, rng), 0.95)
        covered += lower <= off_by <= upper
    assert covered / 150 >= 0.93


def test_proper_scores_equal_scikit_learn():
    rng = np.random.default_rng(2)
    probabilities = rng.dirichlet([1, 2, 3], size=200)
    labels = rng.integers(0, 3, size=200)
    assert log_losses(np.log(probabilities), labels).mean() == pytest.approx(log_loss(labels, probabilities), rel=1e-12)
    binary = probabilities[:, :2] / probabilities[:, :2].sum(axis=1, keepdims=True)
    truth = labels % 2
    assert brier_scores(binary, truth).mean() / 2 == pytest.approx(brier_score_loss(truth, binary[:, 1]), rel=1e-12)
