"""Conformal p-values and thresholds against their exact distributions."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import beta, kstest

from auditkit.statistics.conformal import (
    conformal_p_values,
    conformal_threshold,
    fewest_rows,
    flagged_share,
    marginal_order,
    order_statistic,
)


@pytest.mark.parametrize(
    ("n", "mean", "low", "high"), [(100, 4.95, 1.99, 8.92), (200, None, 2.74, 7.72), (1000, None, 3.92, 6.18)]
)
def test_the_flagged_share_follows_its_beta_distribution(n, mean, low, high):
    found, edges = flagged_share(n, marginal_order(n))
    assert (100 * edges).round(2).tolist() == [low, high]
    if mean is not None:
        assert round(100 * found, 2) == mean


def test_five_thousand_rows_are_close_to_the_level():
    _, edges = flagged_share(5000, marginal_order(5000))
    assert (100 * edges).round(2).tolist() == [4.5, 5.52]


@pytest.mark.parametrize(("n", "k"), [(1000, 962), (200, 196), (100, 99), (59, 59), (58, None), (1, None)])
def test_the_order_statistic_that_is_sure_at_95_percent(n, k):
    assert order_statistic(n, 0.05, 0.95) == k


@given(st.integers(1, 3000), st.sampled_from([0.01, 0.05, 0.1]), st.sampled_from([0.9, 0.95, 0.99]))
def test_it_is_the_smallest_with_the_promised_confidence(n, level, confidence):
    k = order_statistic(n, level, confidence)
    assert (k is None) == (n < fewest_rows(level, confidence))
    if k is not None:
        assert beta.cdf(level, n + 1 - k, k) >= confidence - 1e-12
        assert k == 1 or beta.cdf(level, n + 2 - k, k - 1) < confidence


def test_the_threshold_keeps_its_promise_over_calibration_samples():
    rng = np.random.default_rng(0)
    shares = [1 - conformal_threshold(rng.uniform(size=300)).value for _ in range(3000)]
    assert np.mean(np.array(shares) <= 0.05) == pytest.approx(0.95, abs=0.03)
    assert np.mean(shares) == pytest.approx(conformal_threshold(np.arange(300)).mean, abs=0.001)


def test_p_values_of_rows_like_those_of_calibration_are_uniform():
    rng = np.random.default_rng(1)
    values = [conformal_p_values(rng.normal(size=199), rng.normal(size=1))[0] for _ in range(2000)]
    jittered = np.array(values) - rng.uniform(size=2000) / 200
    assert kstest(jittered, "uniform").pvalue > 0.01
    assert min(values) == 1 / 200, "a p-value is never zero"


@given(st.lists(st.integers(0, 4), min_size=1, max_size=20), st.integers(-1, 5))
def test_ties_count_against_the_new_row(calibration, score):
    expected = (1 + sum(known >= score for known in calibration)) / (1 + len(calibration))
    assert conformal_p_values(calibration, [score])[0] == expected


def test_no_score_has_no_p_value_and_no_calibration_is_refused():
    assert np.isnan(conformal_p_values([1.0, 2.0], [np.nan])[0])
    with pytest.raises(ValueError, match="at least one calibration score"):
        conformal_p_values([], [1.0])
    with pytest.raises(ValueError, match="finite"):
        conformal_threshold([np.nan] * 100)
