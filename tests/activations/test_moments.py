"""Streaming statistics: any division and order of the rows gives the answer of the whole."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from auditkit.activations.extremes import TopRows
from auditkit.activations.moments import Covariance, UnitMoments, effective_rank
from auditkit.activations.projection import principal_axes
from auditkit.activations.selection import Reservoir, priority, sampled

divisions = st.tuples(st.integers(0, 2**31), st.lists(st.integers(1, 39), max_size=5), st.booleans())


def values(seed: int, n: int = 40, units: int = 3) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return np.round(rng.normal(size=(n, units)) * 3, 1).astype(np.float32) + np.float32(1000) * rng.integers(0, 2)


def pieces(rows: np.ndarray, cuts: list[int], backwards: bool) -> list[np.ndarray]:
    parts = [part for part in np.split(rows, sorted(set(cuts))) if len(part)]
    return parts[::-1] if backwards else parts


@settings(max_examples=60, deadline=None)
@given(divisions)
def test_moments_and_covariance_do_not_depend_on_the_division(division):
    seed, cuts, backwards = division
    data = values(seed)
    rows = np.random.default_rng(seed).permutation(len(data))
    merged, covariance = UnitMoments((-0.99, 0.99)), Covariance()
    for part in pieces(rows, cuts, backwards):
        moments, own = UnitMoments((-0.99, 0.99)), Covariance()
        moments.update(torch.from_numpy(data[part])[:, None, :])
        own.update(torch.from_numpy(data[part]))
        merged.merge(moments)
        covariance.merge(own)
    exact = data.astype(np.float64)
    np.testing.assert_allclose(merged.mean, exact.mean(axis=0), rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(merged.spread, exact.std(axis=0), rtol=1e-9, atol=1e-12)
    assert merged.low.tolist() == exact.min(axis=0).tolist()
    assert merged.high.tolist() == exact.max(axis=0).tolist()
    assert merged.zeros.tolist() == (exact == 0).sum(axis=0).tolist()
    assert merged.saturated.tolist() == (np.abs(data) >= np.float32(0.99)).sum(axis=0).tolist()
    assert (merged.rows, merged.values) == (40, 40)
    np.testing.assert_allclose(covariance.matrix, np.cov(exact.T, bias=True), rtol=1e-9, atol=1e-9)


@settings(max_examples=60, deadline=None)
@given(divisions)
def test_top_rows_do_not_depend_on_the_division_even_with_ties(division):
    seed, cuts, backwards = division
    data = np.random.default_rng(seed).integers(0, 4, size=(40, 3)).astype(np.float32)
    rows = np.random.default_rng(seed).permutation(40)
    merged = TopRows(5)
    for part in pieces(rows, cuts, backwards):
        own = TopRows(5)
        own.update(torch.from_numpy(data[part]), part, part % 2, part % 3)
        merged.merge(own)
    for unit in range(3):
        expected = sorted(range(40), key=lambda row, unit=unit: (-data[row, unit], row))[:5]
        assert merged.rows[:, unit].tolist() == expected
        assert merged.values[:, unit].tolist() == [data[row, unit] for row in expected]
        assert merged.labels[:, unit].tolist() == [row % 2 for row in expected]
        assert merged.predictions[:, unit].tolist() == [row % 3 for row in expected]


@settings(max_examples=60, deadline=None)
@given(divisions)
def test_a_reservoir_does_not_depend_on_the_division(division):
    seed, cuts, backwards = division
    data = values(seed, units=2)
    rows = np.random.default_rng(seed).permutation(40)
    merged = Reservoir(7, seed)
    for part in pieces(rows, cuts, backwards):
        own = Reservoir(7, seed)
        wants = part[own.wants(part)]
        own.update(wants, wants % 2, wants % 3, data[wants])
        merged.merge(own)
    expected = sorted(range(40), key=lambda row: int(priority(np.array([row]), seed)[0]))[:7]
    assert merged.rows.tolist() == expected
    assert np.array_equal(merged.vectors, data[expected])


def test_a_reservoir_is_a_fair_sample():
    hits = np.zeros(50)
    for seed in range(400):
        kept = Reservoir(10, seed)
        rows = np.arange(50)
        kept.update(rows, rows, rows, np.zeros((50, 1), np.float32))
        hits[kept.rows] += 1
    assert abs(hits - 80).max() < 5 * np.sqrt(400 * 0.2 * 0.8)
    assert abs(sampled(np.arange(100_000), 1000, 100_000, 0).sum() - 1000) < 150


@pytest.mark.parametrize("directions", [1, 3, 8])
def test_effective_rank_counts_equal_directions(directions):
    rng = np.random.default_rng(0)
    basis, _ = np.linalg.qr(rng.normal(size=(8, 8)))
    covariance = basis[:, :directions] @ basis[:, :directions].T
    assert effective_rank(5 * covariance) == pytest.approx(directions, abs=1e-9)


def test_effective_rank_of_a_known_spectrum():
    share = np.array([0.5, 0.25, 0.25])
    assert effective_rank(np.diag(4 * share)) == pytest.approx(2**1.5)
    assert effective_rank(np.zeros((3, 3))) is None


def test_rows_that_are_not_finite_are_counted_and_left_out():
    data = torch.tensor([[1.0, 2.0], [float("nan"), 1.0], [3.0, 4.0], [1.0, float("inf")]])
    moments, covariance = UnitMoments(), Covariance()
    moments.update(data[:, None, :])
    covariance.update(data)
    assert moments.mean.tolist() == [2.0, 3.0]
    assert (moments.rows, moments.strange, covariance.rows) == (2, 2, 2)


def test_axes_and_coordinates_are_those_of_scikit_learn():
    from sklearn.decomposition import PCA

    data = np.random.default_rng(0).normal(size=(200, 6)) @ np.diag([5, 3, 2, 1, 1, 0.5]) + 10
    covariance = Covariance()
    covariance.update(torch.from_numpy(data))
    ours = principal_axes(covariance.mean, covariance.matrix)
    theirs = PCA(2).fit(data)
    np.testing.assert_allclose(ours.explained[:2], theirs.explained_variance_ratio_, rtol=1e-10)
    np.testing.assert_allclose(np.abs(ours.place(data)), np.abs(theirs.transform(data)), rtol=1e-8, atol=1e-8)
    assert (ours.axes[np.abs(ours.axes).argmax(axis=0), [0, 1]] > 0).all()
    assert principal_axes(np.zeros(2), np.zeros((2, 2))) is None
