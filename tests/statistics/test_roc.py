"""Areas and false positive rates against their definitions, scikit-learn, and simulated truth."""

from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score, roc_curve

from auditkit.statistics.roc import (
    auroc,
    auroc_interval,
    delong_variance,
    fpr_at_tpr,
    fpr_at_tpr_interval,
    macro_auroc,
    structural_components,
)

scores = st.lists(st.integers(-5, 5), min_size=2, max_size=25)
"""small integers, so that ties are common"""


@given(scores, scores)
def test_the_area_equals_scikit_learn_and_the_definition_over_all_pairs(negatives, positives):
    labels = [0] * len(negatives) + [1] * len(positives)
    assert auroc(negatives, positives) == pytest.approx(roc_auc_score(labels, negatives + positives), abs=1e-12)
    pairs = [(p > n) + 0.5 * (p == n) for p in positives for n in negatives]
    assert auroc(negatives, positives) == pytest.approx(np.mean(pairs), abs=1e-12)


@given(scores, scores)
def test_turning_the_scores_around_turns_the_area_around(negatives, positives):
    turned = auroc([-n for n in negatives], [-p for p in positives])
    assert auroc(negatives, positives) == pytest.approx(1 - turned, abs=1e-12)


@given(scores, scores)
def test_delongs_variance_equals_its_definition_over_all_pairs(negatives, positives):
    agree = np.array([[(p > n) + 0.5 * (p == n) for n in negatives] for p in positives])
    above, below = agree.mean(axis=1), agree.mean(axis=0)
    slow = above.var(ddof=1) / len(positives) + below.var(ddof=1) / len(negatives)
    assert delong_variance(negatives, positives) == pytest.approx(slow, abs=1e-12)
    found_below, found_above = structural_components(negatives, positives)
    assert found_above == pytest.approx(above)
    assert found_below == pytest.approx(below)


@given(scores, scores, st.sampled_from([0.5, 0.8, 0.9, 0.95, 1.0]))
def test_the_false_positive_rate_is_that_of_the_exact_curve(negatives, positives, tpr):
    labels = [0] * len(negatives) + [1] * len(positives)
    fpr, reached, _ = roc_curve(labels, negatives + positives, drop_intermediate=False)
    assert fpr_at_tpr(negatives, positives, tpr) == pytest.approx(fpr[reached >= tpr - 1e-9].min())


@given(scores, scores)
@settings(max_examples=50)
def test_intervals_hold_their_value_and_stay_within_bounds(negatives, positives):
    for found in (
        auroc_interval(negatives, positives),
        fpr_at_tpr_interval(negatives, positives, np.random.default_rng(0), draws=200),
    ):
        assert 0 <= found.lower <= found.value <= found.upper <= 1


@pytest.mark.parametrize(
    ("area", "spread", "negatives", "positives"),
    [(0.8, 1.0, 100, 100), (0.95, 1.0, 30, 30), (0.99, 3.0, 500, 50), (0.999, 1.0, 100, 100), (0.7, 0.3, 60, 200)],
)
def test_the_interval_covers_the_true_area(area, spread, negatives, positives):
    rng = np.random.default_rng(1)
    shift = NormalDist().inv_cdf(area) * np.sqrt(1 + spread**2)
    hits = 0
    for _ in range(300):
        found = auroc_interval(rng.normal(size=negatives), rng.normal(shift, spread, size=positives))
        hits += found.lower <= area <= found.upper
    assert hits / 300 >= 0.925


def test_a_perfect_area_still_has_a_width():
    found = auroc_interval(np.arange(50), np.arange(100, 150))
    assert (found.value, found.upper) == (1.0, 1.0)
    assert 0.88 < found.lower < 0.97


def test_two_classes_give_the_same_interval_by_macro_average():
    rng = np.random.default_rng(2)
    labels = rng.integers(0, 2, size=300)
    score = rng.normal(labels)
    both = macro_auroc(labels, np.stack([-score, score], axis=1))
    one = auroc_interval(score[labels == 0], score[labels == 1])
    assert both.value == pytest.approx(one.value, abs=1e-12)
    assert both.lower == pytest.approx(one.lower, abs=2e-3)
    assert both.upper == pytest.approx(one.upper, abs=2e-3)


def test_the_macro_average_equals_scikit_learn_and_its_interval_covers_resamples():
    rng = np.random.default_rng(3)
    labels = rng.integers(0, 4, size=600)
    logits = rng.normal(size=(600, 4)) + 1.2 * np.eye(4)[labels]
    p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    found = macro_auroc(labels, p)
    assert found.value == pytest.approx(roc_auc_score(labels, p, multi_class="ovr", average="macro"), abs=1e-12)
    drawn = []
    for _ in range(200):
        rows = rng.integers(0, 600, size=600)
        drawn.append(macro_auroc(labels[rows], p[rows]).value)
    assert found.upper - found.lower == pytest.approx(2 * 1.96 * np.std(drawn), rel=0.2)


def test_the_rate_at_a_drawn_threshold_covers_its_truth():
    rng, truth, hits = np.random.default_rng(4), 1 - NormalDist().cdf(NormalDist().inv_cdf(0.05) + 2), 0
    for _ in range(300):
        found = fpr_at_tpr_interval(rng.normal(size=150), rng.normal(2, 1, size=150), rng, draws=500)
        hits += found.lower <= truth <= found.upper
    assert hits / 300 >= 0.92


@pytest.mark.parametrize(("negatives", "positives"), [([], [1.0]), ([1.0], []), ([np.nan], [1.0]), ([1.0], [np.inf])])
def test_no_rows_and_no_finite_scores_are_refused(negatives, positives):
    with pytest.raises(ValueError, match="at least one positive and one negative row, with finite scores"):
        auroc(negatives, positives)
