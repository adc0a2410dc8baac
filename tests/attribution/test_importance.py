"""Shares, their intervals, agreement."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.stats import spearmanr

from auditkit.attribution.importance import agreement, importance, mean_interval, median_interval, shares

ATTRIBUTIONS = arrays(np.float64, (6, 4), elements=st.floats(-1e3, 1e3).map(lambda v: round(v, 3)))


@given(ATTRIBUTIONS, st.floats(0.1, 100))
def test_shares_add_up_and_do_not_depend_on_a_rows_scale(values, factor):
    each = shares(values)
    assert each.sum(axis=1) == pytest.approx(1)
    assert shares(values * factor) == pytest.approx(each)


@given(ATTRIBUTIONS, ATTRIBUTIONS)
def test_agreement_is_spearmans_of_the_magnitudes(first, second):
    expected = []
    for a, b in zip(np.abs(first), np.abs(second), strict=True):
        if len(set(a)) > 1 and len(set(b)) > 1:
            expected.append(spearmanr(a, b).statistic)
    assert agreement(first, second) == pytest.approx(expected, abs=1e-9)


def test_importance_of_nothing_is_none():
    assert importance(np.zeros((5, 3)), 0.95, np.random.default_rng(0)) is None
    assert len(agreement(np.ones((4, 2)), np.ones((4, 2)))) == 0


def test_intervals_cover_the_truth_about_as_often_as_they_say():
    rng = np.random.default_rng(0)
    mean = median = 0
    for _ in range(200):
        draw = rng.exponential(size=(120, 1))
        lower, upper = mean_interval(draw, 0.9, rng)
        mean += int(lower[0] <= 1 <= upper[0])
        low, high = median_interval(draw[:, 0], 0.9, rng)
        median += int(low <= np.log(2) <= high)
    assert 0.82 <= mean / 200 <= 0.96
    assert 0.82 <= median / 200 <= 0.97
