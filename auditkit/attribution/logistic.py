"""Logistic regressions of many labellings of the same rows, fitted together.

For labels y = ±1 and weights ω of rows, each labelling's normal v and constant c

    minimise   |v|² / 2 + strength Σ ω log(1 + exp(-y (x·v + c)))

The curvature is nowhere above I + strength max(ω) XᵀX / 4, whatever the labels, so that one factorisation serves all
labellings and every step: each goes downhill without a search for its length, and steps are drawn out along the way
that they came (Nesterov's, begun anew wherever it leads uphill). A weight of zero leaves a row out, so that the folds
of a cross-validation are labellings too. The minimum is the same as scikit-learn's.

Source: Böhning and Lindsay, "Monotonicity of Quadratic-Approximation Algorithms", Annals of the Institute of
Statistical Mathematics 40, 1988; O'Donoghue and Candès, "Adaptive Restart for Accelerated Gradient Schemes",
Foundations of Computational Mathematics 15, 2015, arXiv:1204.3982.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.special import expit

from auditkit.errors import InputError

Floats = npt.NDArray[np.float64]
STEPS, ENOUGH = 3000, 1e-6


def boundaries(x: Floats, labels: Floats, weights: Floats, strength: float) -> tuple[Floats, Floats]:
    """Normals [m, width] and constants [m] of m labellings.

    x: float64 [n, width]. labels: ±1, float64 [m, n]. weights: float64 [m, n]. Raises InputError where the strength is
    too large for a minimum to be found.

    >>> normals, constants = boundaries(np.array([[-1.0], [1.0]]), np.array([[-1.0, 1.0]]), np.ones((1, 2)), 1.0)
    >>> normals.round(3).tolist(), (constants.round(3) + 0.0).tolist()
    ([[0.675]], [0.0])
    """
    rows = np.concatenate([x, np.ones((len(x), 1))], axis=1)
    ridge = np.ones(rows.shape[1])
    ridge[-1] = 0.0  # the constant is not held back
    pulls = strength * weights * labels
    inverse = np.linalg.inv(np.diag(ridge) + np.abs(pulls).max() / 4 * rows.T @ rows)
    found = ahead = np.zeros((len(labels), rows.shape[1]))
    pace = np.ones((len(labels), 1))
    for _ in range(STEPS):
        slope = ahead * ridge - (pulls * expit(-labels * (ahead @ rows.T))) @ rows
        if np.abs(slope).max() < ENOUGH:
            break
        then = ahead - slope @ inverse
        uphill = (slope * (then - found)).sum(axis=1, keepdims=True) > 0
        faster = np.where(uphill, 1.0, (1 + np.sqrt(1 + 4 * pace**2)) / 2)
        ahead = then + np.where(uphill, 0.0, (pace - 1) / faster) * (then - found)
        found, pace = then, faster
    else:
        raise InputError(f"strength: a logistic regression has not settled after {STEPS:,} steps; give a smaller one")
    return ahead[:, :-1], ahead[:, -1]


def balanced(labels: Floats, kept: npt.NDArray[np.bool_] | None = None) -> Floats:
    """Weights [m, n] that give both labels the same say, n / 2 each among the rows that are kept.

    >>> balanced(np.array([[1.0, -1.0, -1.0, -1.0]])).round(3).tolist()
    [[2.0, 0.667, 0.667, 0.667]]
    """
    kept = np.ones(labels.shape, dtype=bool) if kept is None else kept
    own = (labels > 0) & kept
    count, above = kept.sum(axis=1, keepdims=True), own.sum(axis=1, keepdims=True)
    return np.asarray(np.where(own, count / (2 * above), np.where(kept, count / (2 * (count - above)), 0.0)))
