"""Disparity drivers: which features the gap between two groups' mean scores comes from.

Where attributions add up, f(x) = f(b) + Σ_j φ_j(x) + r(x), and all rows are explained against one baseline b for one
target, f(b) cancels between two groups A and B, and the gap of their mean scores is exactly

    mean_A f - mean_B f  =  Σ_j (mean_A φ_j - mean_B φ_j)  +  (mean_A r - mean_B r),

one contribution for each feature and a remainder, which is what the attributions fall short of and is shown as a part
of its own. The gap is on the scale of the score (log-odds, or the number that is predicted), not of decisions.

The intervals of the contributions and the remainder hold all together with the stated confidence: rows are drawn again
within each group, and every contribution's interval reaches c standard errors to both sides, where c is the quantile of
the largest deviation in standard errors over all contributions. The interval of the gap is its own. They cover the
choice of the rows, not that of the baseline or of the method: from another baseline the same gap divides otherwise.

A contribution says through which feature the model makes the difference, not why people differ in it, and not whether
that is fair. A feature can drive the gap because the groups differ in it, or because the model reads it differently:
one that is alike in both groups contributes a little where the model reads it together with another that is not.

Sources: Lundberg (2020), "Explaining quantitative measures of fairness", FATE workshop at KDD (the decomposition);
Sundararajan, Taly, Yan (2017), arXiv:1703.01365 (completeness); Efron and Tibshirani (1993), An Introduction to the
Bootstrap, ch. 16; Westfall and Young (1993), Resampling-Based Multiple Testing, ch. 2 (the largest of several).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from auditkit.statistics.intervals import Floats
from auditkit.statistics.resampling import multinomial_replicates, percentile_interval

REPLICATES = 2_000


@dataclass(frozen=True, slots=True)
class Drivers:
    """A gap and what it is made of: `gap` is the sum of `contribution` [features] and `remainder`.

    lower, upper: [features], simultaneous with those of the remainder; critical: their width in standard errors.
    means: [2, features], mean attribution in the first and second group. relative_remainder: |remainder| by the larger
    of |gap| and a tenth of the summed sizes of all contributions (where they cancel, the gap itself is no measure).
    """

    gap: float
    gap_lower: float
    gap_upper: float
    contribution: Floats
    lower: Floats
    upper: Floats
    remainder: float
    remainder_lower: float
    remainder_upper: float
    relative_remainder: float
    critical: float
    means: Floats
    n: tuple[int, int]


def drivers(
    values: Floats,
    scores: Floats,
    first: npt.NDArray[np.bool_],
    second: npt.NDArray[np.bool_],
    rng: np.random.Generator,
    confidence: float = 0.95,
    replicates: int = REPLICATES,
) -> Drivers:
    """Divide the gap of the first group's mean score to the second's among the features.

    values: attributions [n, features], all against one baseline and for one target. scores: [n], of that target. first,
    second: which rows belong to each group, bool [n]; two rows or more each. Raises ValueError for fewer.

    >>> values = np.array([[2.0, 1.0], [4.0, 1.0], [0.0, 1.0], [2.0, 1.0]])
    >>> women = np.array([True, True, False, False])
    >>> found = drivers(values, values.sum(axis=1) - 7, women, ~women, np.random.default_rng(0))
    >>> found.gap, found.contribution.tolist(), found.remainder
    (2.0, [2.0, 0.0], 0.0)
    """
    parts = np.column_stack([values, scores - values.sum(axis=1)])
    sides = [parts[first], parts[second]]
    if min(map(len, sides)) < 2:
        raise ValueError("a gap is divided between two groups of two rows or more each")
    means = np.array([side.mean(axis=0) for side in sides])
    found = means[0] - means[1]
    drawn = [_redrawn(side, replicates, rng) for side in sides]
    deviations = drawn[0] - drawn[1] - found
    variances = [side.var(axis=0) / len(side) for side in sides]
    unbiased = [variance * len(side) / (len(side) - 1) for variance, side in zip(variances, sides, strict=True)]
    spread, error = np.sqrt(sum(variances)), np.sqrt(sum(unbiased))
    scale = np.abs(parts).max() or 1.0
    varying = spread > 1e-12 * scale
    critical = 0.0
    if varying.any():
        largest = np.abs(deviations[:, varying] / spread[varying]).max(axis=1)
        critical = float(np.quantile(largest, confidence))
    reach = np.where(varying, critical * error, 0.0)
    gap = float(found.sum())
    edges = percentile_interval(deviations.sum(axis=1) + gap, confidence)
    measure = max(abs(gap), float(np.abs(found[:-1]).sum()) / 10)
    return Drivers(
        gap=gap,
        gap_lower=float(edges[0]),
        gap_upper=float(edges[1]),
        contribution=found[:-1],
        lower=(found - reach)[:-1],
        upper=(found + reach)[:-1],
        remainder=float(found[-1]),
        remainder_lower=float(found[-1] - reach[-1]),
        remainder_upper=float(found[-1] + reach[-1]),
        relative_remainder=abs(float(found[-1])) / measure if measure > 0 else 0.0,
        critical=critical,
        means=means[:, :-1],
        n=(len(sides[0]), len(sides[1])),
    )


def _redrawn(side: Floats, replicates: int, rng: np.random.Generator) -> Floats:
    """Column means of rows drawn again with replacement, [replicates, columns]."""
    drawn = multinomial_replicates(np.ones(len(side), dtype=np.int64), replicates, rng)
    return drawn.T @ side / len(side)
