"""Disparity drivers: an exact decomposition, intervals that hold together."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditkit.insights.drivers import drivers

RNG = np.random.default_rng


@given(st.integers(0, 10_000), st.integers(2, 30), st.integers(2, 30), st.integers(1, 6))
def test_contributions_and_remainder_are_the_gap(seed, n, m, k):
    rng = RNG(seed)
    values, scores = rng.normal(size=(n + m, k)), rng.normal(size=n + m)
    first = np.arange(n + m) < n
    found = drivers(values, scores, first, ~first, RNG(0), replicates=200)
    assert found.gap == pytest.approx(scores[first].mean() - scores[~first].mean())
    assert found.contribution.sum() + found.remainder == pytest.approx(found.gap)
    assert (found.lower <= found.contribution).all()
    assert (found.contribution <= found.upper).all()


def test_a_linear_model_is_divided_into_its_terms():
    rng, weights = RNG(0), np.array([2.0, -1.0, 0.0])
    group = np.arange(400) < 150
    x = rng.normal(size=(400, 3)) + group[:, None] * np.array([1.0, 1.0, 1.0])
    values = weights * (x - x.mean(axis=0))
    found = drivers(values, x @ weights + 3, group, ~group, RNG(1))
    expected = weights * (x[group].mean(axis=0) - x[~group].mean(axis=0))
    assert found.contribution == pytest.approx(expected)
    assert found.remainder == pytest.approx(0, abs=1e-12)
    assert found.relative_remainder < 1e-12
    assert found.lower[0] > 0 > found.upper[1]
    assert found.lower[2] == found.upper[2] == 0


def test_the_baseline_cancels():
    rng = RNG(2)
    values, group = rng.normal(size=(60, 4)), np.arange(60) % 3 == 0
    a, b = (drivers(values, values.sum(axis=1) + start, group, ~group, RNG(0)) for start in (0.0, 17.0))
    assert a.gap == pytest.approx(b.gap)
    assert b.remainder == pytest.approx(0, abs=1e-9)


def test_all_intervals_hold_together():
    """Skewed attributions with features that depend on each other, 200 draws: all eight intervals cover at once."""
    mixing, together, gaps = RNG(3).normal(size=(8, 8)), 0, 0
    for seed in range(200):
        rng = RNG([4, seed])
        group = np.arange(140) < 50
        values = (rng.exponential(size=(140, 8)) - 1) @ mixing
        found = drivers(values, values.sum(axis=1), group, ~group, rng, replicates=400)
        together += bool(((found.lower <= 0) & (found.upper >= 0)).all())
        gaps += found.gap_lower <= 0 <= found.gap_upper
    assert 0.90 <= together / 200 <= 0.99
    assert 0.89 <= gaps / 200 <= 0.99


def test_what_falls_short_is_a_part_of_its_own():
    values, group = np.ones((20, 2)), np.arange(20) < 10
    found = drivers(values, 2 + 0.5 * group, group, ~group, RNG(0))
    assert found.contribution.tolist() == [0, 0]
    assert found.remainder == pytest.approx(0.5)
    assert found.relative_remainder == pytest.approx(1)


def test_one_row_is_not_enough():
    group = np.arange(5) < 1
    with pytest.raises(ValueError, match="two rows or more"):
        drivers(np.ones((5, 2)), np.ones(5), group, ~group, RNG(0))
