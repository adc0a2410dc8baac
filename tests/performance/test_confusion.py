"""Confusion counts and what follows from them, against scikit-learn and published figures."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import balanced_accuracy_score, confusion_matrix

from auditkit.performance.confusion import (
    balanced_accuracy,
    balanced_accuracy_interval,
    confusion_counts,
    newcombe_difference,
)

rows = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=60)


@given(rows)
def test_counts_and_balanced_accuracy_equal_scikit_learn(pairs):
    labels, predictions = (np.array(side, dtype=np.int64) for side in zip(*pairs, strict=True))
    counts = confusion_counts(labels, predictions, 4)
    assert (counts == confusion_matrix(labels, predictions, labels=range(4))).all()
    recalls = [(predictions[labels == c] == c).mean() for c in np.unique(labels)]
    assert float(balanced_accuracy(counts)) == pytest.approx(np.mean(recalls), abs=1e-12)


def test_balanced_accuracy_of_two_full_classes_is_scikit_learns():
    labels, predictions = np.array([0, 0, 0, 1, 1]), np.array([0, 1, 0, 1, 1])
    value = balanced_accuracy(confusion_counts(labels, predictions, 2))
    assert float(value) == pytest.approx(balanced_accuracy_score(labels, predictions))


def test_without_an_error_the_interval_is_no_point():
    lower, upper = balanced_accuracy_interval(np.array([[30, 0], [0, 300]]))
    assert upper == 1
    assert 0.88 < lower < 0.98


def test_of_one_class_it_is_wilsons_interval_but_for_the_smoothing():
    lower, upper = balanced_accuracy_interval(np.array([[7000, 3000], [0, 0]]))
    assert (lower, upper) == pytest.approx((0.69094, 0.70890), abs=1e-4)


@pytest.mark.parametrize(
    ("rows", "recalls"),
    [
        ((200, 100), (0.9, 0.7)),
        ((200, 100), (0.99, 0.9)),
        ((200, 100), (1.0, 0.02)),
        ((36,) * 10, (0.99,) * 10),
        ((10,) * 100, (0.95,) * 100),
    ],
)
def test_the_interval_covers_the_truth_as_often_as_it_says(rows, recalls):
    rng, covered = np.random.default_rng(3), 0
    for _ in range(600):
        right = rng.binomial(rows, recalls)
        counts = np.diag(right) + np.roll(np.diag(rows - right), 1, axis=1)
        lower, upper = balanced_accuracy_interval(counts)
        covered += lower <= np.mean(recalls) <= upper
    assert covered / 600 >= 0.925


@pytest.mark.parametrize(
    ("counts", "published"),
    [
        ((56, 70, 48, 80), (0.0524, 0.3339)),
        ((9, 10, 3, 10), (0.1705, 0.8090)),
        ((6, 7, 2, 7), (0.0582, 0.8062)),
        ((5, 56, 0, 29), (-0.0381, 0.1926)),
    ],
)
def test_newcombes_interval_equals_his_published_table(counts, published):
    _, lower, upper = newcombe_difference(*counts, 0.95)
    assert (lower, upper) == pytest.approx(published, abs=5e-5)
