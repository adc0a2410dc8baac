"""Importance: what many explanations say together about each column, with intervals over the rows explained.

Each row's attributions are first divided by their own total, |φ_j| / Σ|φ|, so that rows with large scores do not
drown the others; a column's importance is the mean of these shares, and all shares add up to one. Rows whose
attributions are all zero say nothing about shares and are left out (and counted). The interval is the percentile
bootstrap over rows: it covers the choice of the sample, not the choice of method or baseline.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.stats import rankdata

from auditkit.statistics.resampling import multinomial_replicates

Floats = npt.NDArray[np.float64]
REPLICATES = 2_000


@dataclass(frozen=True, slots=True)
class Importance:
    """Per part: mean share of |φ| with its interval, and mean signed attribution. n: rows that count."""

    share: Floats
    lower: Floats
    upper: Floats
    signed: Floats
    n: int


def shares(values: Floats) -> Floats:
    """Each row's |φ| divided by its total; rows of zeros are left out. values: [n, parts].

    >>> shares(np.array([[1.0, -3.0], [0.0, 0.0]])).tolist()
    [[0.25, 0.75]]
    """
    magnitude = np.abs(values)
    total = magnitude.sum(axis=1, keepdims=True)
    kept = total[:, 0] > 0
    return magnitude[kept] / total[kept]


def mean_interval(values: Floats, confidence: float, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """Percentile bootstrap interval of the means of the columns of [n, k], n >= 1: (lower [k], upper [k])."""
    n = len(values)
    drawn = multinomial_replicates(np.ones(n, dtype=np.int64), REPLICATES, rng)
    means = drawn.T @ values / n
    edge = (1 - confidence) / 2
    lower, upper = np.quantile(means, [edge, 1 - edge], axis=0)
    return lower, upper


def importance(
    values: Floats, confidence: float, rng: np.random.Generator, together: Floats | None = None
) -> Importance | None:
    """Importance of each part from attributions [n, parts]; None where no row has an attribution other than zero.

    together: [parts, k] of 0 and 1, which parts are added up to one; shares are of magnitudes before that, so that
    parts of opposite sign do not cancel.
    """
    each = shares(values)
    if len(each) == 0:
        return None
    if together is not None:
        each, values = each @ together, values @ together
    lower, upper = mean_interval(each, confidence, rng)
    return Importance(each.mean(axis=0), lower, upper, values.mean(axis=0), len(each))


def agreement(first: Floats, second: Floats, present: npt.NDArray[np.bool_] | None = None) -> Floats:
    """Spearman's rank correlation of |φ| between two methods, row by row, for rows where it is defined.

    first, second: [n, parts]. A row in which either method gives every part the same magnitude has no ranks to
    compare and is left out; so is every row with fewer than three parts. present: [n, parts], which a row has.

    >>> agreement(np.array([[1.0, -2.0, 3.0]]), np.array([[10.0, 20.0, 30.0]])).tolist()
    [1.0]
    """
    if present is not None:
        pairs = zip(first, second, present, strict=True)
        return np.concatenate([np.zeros(0), *(agreement(a[None, own], b[None, own]) for a, b, own in pairs)])
    if first.shape[1] < 3:
        return np.zeros(0)
    a, b = (rankdata(np.abs(part), axis=1) for part in (first, second))
    a, b = a - a.mean(axis=1, keepdims=True), b - b.mean(axis=1, keepdims=True)
    scale = np.sqrt((a**2).sum(axis=1) * (b**2).sum(axis=1))
    kept = scale > 0
    return (a * b).sum(axis=1)[kept] / scale[kept]


def median_interval(values: Floats, confidence: float, rng: np.random.Generator) -> tuple[float, float]:
    """Percentile bootstrap interval of the median of [n], n >= 1."""
    drawn = np.median(values[rng.integers(0, len(values), size=(REPLICATES, len(values)))], axis=1)
    edge = (1 - confidence) / 2
    lower, upper = np.quantile(drawn, [edge, 1 - edge])
    return float(lower), float(upper)
