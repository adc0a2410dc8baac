"""Agreement and stability against arithmetic and scipy."""

import numpy as np
import pytest
from scipy.stats import spearmanr

from auditkit.attribution.evaluation.agreement import sign_agreement, spearman, top_agreement, top_parts
from auditkit.attribution.evaluation.estimate import estimate
from auditkit.attribution.evaluation.stability import stability

RNG = np.random.default_rng(0)


def test_rank_correlation_is_scipys():
    first, second = RNG.normal(size=(2, 5, 9)).round(1)
    theirs = [spearmanr(a, b).statistic for a, b in zip(first, second, strict=True)]
    assert spearman(first, second) == pytest.approx(theirs)
    present = RNG.random((5, 9)) < 0.7
    theirs = [spearmanr(a[p], b[p]).statistic for a, b, p in zip(first, second, present, strict=True)]
    assert spearman(first, second, present) == pytest.approx(theirs)


def test_what_has_no_ranking_says_nothing():
    assert np.isnan(spearman(np.ones((1, 4)), np.arange(4.0)[None])).all()
    assert np.isnan(spearman(np.ones((1, 2)), np.ones((1, 2)))).all()


def test_the_weightiest_parts_and_their_signs():
    first, second = np.array([[5.0, -4, 3, 0, 0]]), np.array([[5.0, 4, 0, 3, 0]])
    assert top_parts(first, 4).sum() == 3
    assert top_agreement(first, second, 3) == pytest.approx(2 / 3)
    assert sign_agreement(first, second, 3) == pytest.approx(1 / 3)
    assert np.isnan(top_agreement(np.zeros((1, 3)), np.zeros((1, 3))))


def test_noise_around_the_same_values_is_as_stable_as_it_is_small():
    values = RNG.normal(size=(50, 20))
    steady = stability(values, [values + RNG.normal(0, 0.01, values.shape) for _ in range(2)]).mean()
    loose = stability(values, [values + RNG.normal(0, 3, values.shape) for _ in range(2)]).mean()
    assert steady > 0.99 > 0.5 > loose


def test_a_mean_of_weighted_rows_and_its_interval():
    values, weights = RNG.normal(2, 1, size=400), np.ones(400)
    found = estimate(values, weights)
    half = 1.96 * values.std() / 20
    assert found.value == pytest.approx(values.mean())
    assert (found.lower, found.upper) == pytest.approx((found.value - half, found.value + half), abs=0.02)
    heavy = estimate(np.array([1.0, 5.0, np.nan]), np.array([3.0, 1.0, 9.0]))
    assert (heavy.value, heavy.n) == (2.0, 2)
    assert estimate(np.array([np.nan])) is None


def test_models_are_resampled_beside_rows():
    """Rows that agree about each model leave the choice of models as the only doubt."""
    models = RNG.normal(0, 1, size=8)
    table = np.tile(models, (200, 1))
    found = estimate(table)
    assert found.upper - found.lower == pytest.approx(2 * 1.96 * models.std() / np.sqrt(8), rel=0.2)


def test_many_rows_have_the_interval_that_resampling_them_gives():
    values = RNG.normal(2, 1, size=5000)
    weights = RNG.random(5000)
    found, few = estimate(values, weights), estimate(values[:1000], weights[:1000])
    assert found.upper - found.lower == pytest.approx((few.upper - few.lower) / np.sqrt(5), rel=0.15)
