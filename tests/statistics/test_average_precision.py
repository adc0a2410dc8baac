"""Average precision: scikit-learn's value, a derivative that is one, and an interval that covers."""

import numpy as np
import pytest
from sklearn.metrics import average_precision_score

from auditkit.statistics.average_precision import average_precision, averaged
from auditkit.statistics.bounded_means import bounded_mean
from auditkit.statistics.intervals import wilson


def drawn(n, seed=0, digits=None, apart=1.0):
    rng = np.random.default_rng(seed)
    positive = rng.random(n) < 0.25
    positive[0] = True
    scores = rng.normal(size=n) + apart * positive
    return positive, scores if digits is None else scores.round(digits)


@pytest.mark.parametrize("digits", [None, 0, 1])
@pytest.mark.parametrize("n", [1, 2, 40, 500])
def test_the_value_is_scikit_learns(n, digits):
    positive, scores = drawn(n, n, digits)
    assert average_precision(positive, scores).value == pytest.approx(
        average_precision_score(positive, scores), abs=1e-12
    )


@pytest.mark.parametrize("digits", [None, 0])
def test_the_influence_is_the_derivative_of_weighted_average_precision(digits):
    positive, scores = drawn(30, 4, digits)
    found = average_precision(positive, scores)
    step = 1e-6
    for row in range(30):
        weights = np.ones(30)
        weights[row] += step
        there = average_precision_score(positive, scores, sample_weight=weights)
        assert found.influence[row] == pytest.approx((there - found.value) / step, abs=1e-5)
    assert found.influence.sum() == pytest.approx(0, abs=1e-12)


def test_the_interval_covers_and_keeps_a_width_at_one():
    true = average_precision(*drawn(300_000, 9)).value
    inside = [average_precision(*drawn(200, seed)).interval() for seed in range(300)]
    assert 0.90 <= np.mean([each.lower <= true <= each.upper for each in inside]) <= 0.99
    perfect = average_precision([True] * 5 + [False] * 20, np.arange(25)[::-1]).interval()
    assert (perfect.value, perfect.upper) == (1, 1)
    assert perfect.lower == pytest.approx(float(wilson(5, 5)[0]))


def test_the_mean_of_two_is_no_surer_where_they_are_the_same():
    one = average_precision(*drawn(400, 2))
    alone, twice = averaged([one]), averaged([one, one])
    assert twice.value == alone.value
    assert twice.upper - twice.lower == pytest.approx(alone.upper - alone.lower, rel=0.25)
    other = average_precision(*drawn(400, 3))
    apart = averaged([one, other])
    assert apart.upper - apart.lower < 0.85 * (alone.upper - alone.lower)


def test_a_row_that_is_positive_is_needed():
    with pytest.raises(ValueError, match="a positive row"):
        average_precision([False, False], [0.1, 0.2])
    with pytest.raises(ValueError, match="finite scores"):
        average_precision([False, True], [0.1, np.nan])


def test_means_of_zeros_and_ones_have_wilsons_interval():
    for ones in (0, 1, 7, 10):
        found = bounded_mean([1.0] * ones + [0.0] * (10 - ones))
        assert (found.lower, found.upper) == pytest.approx(tuple(float(edge) for edge in wilson(ones, 10)))


def test_means_of_shares_are_covered():
    rng = np.random.default_rng(0)
    hits = 0
    for _ in range(400):
        found = bounded_mean(rng.binomial(5, 0.03, size=150) / 5)
        hits += found.lower <= 0.03 <= found.upper
    assert 0.92 <= hits / 400 <= 0.99
