"""Multinomial resampling against the plain bootstrap of rows and against the multinomial's own moments."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditkit.statistics.resampling import multinomial_replicates, percentile_interval, quantiles


@given(st.lists(st.integers(0, 400), min_size=2, max_size=12).filter(any), st.integers(2, 51))
def test_every_replicate_is_a_table_of_the_same_rows(counts: list[int], replicates: int) -> None:
    drawn = multinomial_replicates(counts, replicates, np.random.default_rng(0))
    assert drawn.shape == (len(counts), replicates)
    assert (drawn.sum(axis=0) == sum(counts)).all()
    assert (drawn[np.asarray(counts) == 0] == 0).all()


def test_moments_are_those_of_the_multinomial() -> None:
    counts = np.array([[50, 200], [250, 500]])
    drawn = multinomial_replicates(counts, 20_000, np.random.default_rng(1)).reshape(4, -1)
    p = counts.ravel() / 1000
    assert drawn.mean(axis=1) == pytest.approx(1000 * p, rel=0.01)
    assert np.cov(drawn) == pytest.approx(1000 * (np.diag(p) - np.outer(p, p)), abs=6)


def test_it_is_the_bootstrap_of_rows() -> None:
    """Quantiles of a group's rate agree with resampling the rows one by one, within Monte-Carlo error."""
    rng = np.random.default_rng(2)
    group, decision = rng.integers(0, 2, 300), rng.random(300) < 0.3
    counts = np.array([[np.sum((group == g) & (decision == d)) for d in (False, True)] for g in (0, 1)])
    drawn = multinomial_replicates(counts, 4000, rng)
    fast = drawn[0, 1] / drawn[0].sum(axis=0)
    rows = rng.integers(0, 300, (4000, 300))
    slow = (decision[rows] & (group[rows] == 0)).sum(axis=1) / (group[rows] == 0).sum(axis=1)
    for q in (0.025, 0.25, 0.5, 0.75, 0.975):
        assert np.quantile(fast, q) == pytest.approx(np.quantile(slow, q), abs=0.008)


def test_the_same_seed_gives_the_same_draw() -> None:
    first, second = (multinomial_replicates([30, 70], 999, np.random.default_rng(3)) for _ in range(2))
    assert (first == second).all()


def test_large_tables_do_not_overflow() -> None:
    drawn = multinomial_replicates([3_000_000_000, 1_000_000_000], 300, np.random.default_rng(4))
    assert (drawn.sum(axis=0) == 4_000_000_000).all()


@pytest.mark.parametrize("counts", [[0, 0], [-1, 5]])
def test_an_impossible_table_is_refused(counts: list[int]) -> None:
    with pytest.raises(ValueError, match="non-negative counts"):
        multinomial_replicates(counts, 10, np.random.default_rng(0))


def test_percentile_interval_is_the_quantiles() -> None:
    values = np.random.default_rng(5).normal(size=(3, 1000))
    lower, upper = percentile_interval(values, 0.9)
    assert lower == pytest.approx(np.quantile(values, 0.05, axis=1))
    assert upper == pytest.approx(np.quantile(values, 0.95, axis=1))


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=40), st.lists(st.floats(0, 1), min_size=1, max_size=4))
def test_quantiles_are_numpys_to_the_last_bit(values: list[float], shares: list[float]) -> None:
    for kind in (np.float64, np.float32):
        table = np.array([values, values[::-1]], dtype=kind)
        found = quantiles(table, shares)
        assert np.array_equal(found, [np.quantile(table, share, axis=-1) for share in shares])
