"""Logistic regressions fitted together are those that scikit-learn fits one by one."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from auditkit.attribution.logistic import balanced, boundaries
from auditkit.errors import InputError


@pytest.mark.parametrize(
    ("rows", "width", "positive", "strength"), [(60, 8, 20, 1.0), (50, 90, 6, 1.0), (80, 4, 40, 30)]
)
def test_scikit_learn_finds_the_same(rows, width, positive, strength):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(rows, width)) / np.sqrt(width)
    labels = np.full((5, rows), -1.0)
    for line in labels:
        line[rng.permutation(rows)[:positive]] = 1.0
    normals, constants = boundaries(x, labels, balanced(labels), strength)
    for line, normal, constant in zip(labels, normals, constants, strict=True):
        oracle = LogisticRegression(C=strength, class_weight="balanced", tol=1e-10, max_iter=20_000).fit(x, line)
        assert normal == pytest.approx(oracle.coef_[0], abs=1e-4)
        assert constant == pytest.approx(oracle.intercept_[0], abs=1e-4)


def test_a_weight_of_zero_leaves_a_row_out():
    rng = np.random.default_rng(0)
    x, labels = rng.normal(size=(40, 3)), np.repeat([[1.0, -1.0]], 20, axis=0).reshape(1, 40)
    kept = np.arange(40)[None] % 5 != 0
    whole = boundaries(x, labels, balanced(labels, kept), 1.0)[0]
    alone = boundaries(x[kept[0]], labels[:, kept[0]], balanced(labels[:, kept[0]]), 1.0)[0]
    assert whole == pytest.approx(alone, abs=1e-6)


def test_a_strength_without_a_minimum_in_reach_is_refused():
    with pytest.raises(InputError, match="smaller"):
        boundaries(np.array([[-1.0], [1.0]]), np.array([[-1.0, 1.0]]), np.ones((1, 2)), 1e30)
