"""One common difference, and one common ratio, of two groups' rates over strata: Mantel and Haenszel's.

In stratum k the first group has a of n₁ successes, the second b of n₀, and N = n₁ + n₀ rows:

    difference = Σ (a·n₀ - b·n₁)/N  /  Σ n₁·n₀/N            ratio = Σ a·n₀/N  /  Σ b·n₁/N

Both weigh strata by what these can tell, stay sound for many small strata, and are the plain difference and ratio where
there is one stratum. Variances are Sato's for the difference and Greenland and Robins' for the logarithm of the ratio:
consistent both for few large and for many small strata. A stratum with rows of one group only has weight zero.

Whether one number speaks for all strata is told by Cochran's Q, Σ (d - d̄)²/v over the strata's differences, against
chi-square with one degree less than there are strata. The v are taken with a success and a failure added to each group,
so that a rate of 0 or 1 does not weigh infinitely. Q is not given for strata too small for it.

Sources: Mantel and Haenszel (1959), JNCI 22, 719-748; Greenland and Robins (1985), Biometrics 41, 55-68; Sato (1989),
Biometrics 45, 1323-1324; Cochran (1954), Biometrics 10, 101-129.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from auditkit.statistics.intervals import normal_quantile

Floats = npt.NDArray[np.float64]
FEW = 20
"""Of fewer successes or failures than this the variance of a difference is not taken below that of smoothed rates."""
LEAST = 10
"""Rows of both groups that a stratum needs to take part in the test of homogeneity."""


@dataclass(frozen=True, slots=True)
class Common:
    """A common difference and ratio with bounds. `ratio` is None where neither group has a success."""

    difference: float
    lower: float
    upper: float
    ratio: float | None
    ratio_lower: float
    ratio_upper: float


@dataclass(frozen=True, slots=True)
class Homogeneity:
    """Cochran's Q over `strata` strata: do they share one difference?"""

    statistic: float
    degrees: int
    p_value: float
    strata: int


def simultaneous_critical(comparisons: int, confidence: float = 0.95) -> float:
    """Standard errors that bounds need so that all of so many hold together (Bonferroni).

    >>> round(simultaneous_critical(1), 3), round(simultaneous_critical(10), 3)
    (1.96, 2.807)
    """
    return normal_quantile(1 - (1 - confidence) / max(1, comparisons))


def mantel_haenszel(
    first: npt.ArrayLike, first_n: npt.ArrayLike, second: npt.ArrayLike, second_n: npt.ArrayLike, critical: float = 1.96
) -> Common:
    """The first group's rate less, and over, the second's, common to all strata, with bounds at `critical` errors.

    first, second: successes [strata]; first_n, second_n: rows [strata]. Raises ValueError where no stratum has both.
    With no success in one group, the ratio's bounds come from counts with half a success added to each group.

    >>> found = mantel_haenszel([12], [20], [4], [20])
    >>> round(found.difference, 3), found.ratio
    (0.4, 3.0)
    """
    a, n1, b, n0 = _shared(first, first_n, second, second_n)
    total = n1 + n0
    weight = n1 * n0 / total
    difference = float(((a * n0 - b * n1) / total).sum() / weight.sum())
    error = math.sqrt(_difference_variance(a, n1, b, n0, difference))
    lower, upper = max(-1.0, difference - critical * error), min(1.0, difference + critical * error)
    over, under = float((a * n0 / total).sum()), float((b * n1 / total).sum())
    if over == under == 0:
        return Common(difference, lower, upper, None, 0.0, math.inf)
    ratio = over / under if under else math.inf
    if over == 0 or under == 0:
        added = 0.5 / len(a)
        a, b, n1, n0 = a + added, b + added, n1 + 2 * added, n0 + 2 * added
        total = n1 + n0
    centre, spread = _log_ratio(a, n1, b, n0)
    low, high = math.exp(centre - critical * spread), math.exp(centre + critical * spread)
    return Common(difference, lower, upper, ratio, low if over else 0.0, high if under else math.inf)


def homogeneity(
    first: npt.ArrayLike, first_n: npt.ArrayLike, second: npt.ArrayLike, second_n: npt.ArrayLike
) -> Homogeneity | None:
    """Cochran's Q over the strata with rows enough of both groups; None where fewer than two have.

    >>> found = homogeneity([50, 20], [100, 100], [30, 40], [100, 100])
    >>> found.degrees, found.p_value < 0.001
    (1, True)
    """
    from scipy.special import chdtrc

    a, n1, b, n0 = (np.asarray(part, dtype=np.float64) for part in (first, first_n, second, second_n))
    enough = (n1 >= LEAST) & (n0 >= LEAST)
    if enough.sum() < 2:
        return None
    a, n1, b, n0 = a[enough], n1[enough], b[enough], n0[enough]
    d = a / n1 - b / n0
    v = _smoothed_variance(a, n1) + _smoothed_variance(b, n0)
    mean = (d / v).sum() / (1 / v).sum()
    q, degrees = float(((d - mean) ** 2 / v).sum()), len(d) - 1
    return Homogeneity(q, degrees, float(chdtrc(degrees, q)), len(d))


def _shared(*parts: npt.ArrayLike) -> tuple[Floats, ...]:
    a, n1, b, n0 = (np.asarray(part, dtype=np.float64) for part in parts)
    if not ((a >= 0) & (a <= n1) & (b >= 0) & (b <= n0)).all():
        raise ValueError("strata need counts with 0 <= successes <= rows for both groups")
    both = (n1 > 0) & (n0 > 0)
    if not both.any():
        raise ValueError("no stratum has rows of both groups")
    return a[both], n1[both], b[both], n0[both]


def _smoothed_variance(successes: Floats, n: Floats) -> Floats:
    rate = (successes + 1) / (n + 2)
    return rate * (1 - rate) / n


def _difference_variance(a: Floats, n1: Floats, b: Floats, n0: Floats, difference: float) -> float:
    total = n1 + n0
    weight = n1 * n0 / total
    p = (n1**2 * b - n0**2 * a + n1 * n0 * (n0 - n1) / 2) / total**2
    q = (a * (n0 - b) + b * (n1 - a)) / (2 * total)
    sato = float((difference * p.sum() + q.sum()) / weight.sum() ** 2)
    fewest = min(a.sum(), b.sum(), (n1 - a).sum(), (n0 - b).sum())
    if fewest >= FEW:
        return max(sato, 0.0)
    smoothed = weight**2 * (_smoothed_variance(a, n1) + _smoothed_variance(b, n0))
    return max(sato, float(smoothed.sum() / weight.sum() ** 2))


def _log_ratio(a: Floats, n1: Floats, b: Floats, n0: Floats) -> tuple[float, float]:
    """Logarithm of the common ratio and its standard error."""
    total = n1 + n0
    over, under = float((a * n0 / total).sum()), float((b * n1 / total).sum())
    variance = float(((n1 * n0 * (a + b) - a * b * total) / total**2).sum()) / (over * under)
    return math.log(over / under), math.sqrt(max(variance, 0.0))
