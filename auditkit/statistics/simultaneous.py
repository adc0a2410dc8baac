"""Bounds on the differences and ratios between many groups' rates that hold for all pairs at once.

For the largest of many gaps the percentile bootstrap is wrong: the largest gap of a resample lies above the largest
gap of the sample, and the interval never reaches zero even where all groups are alike. Here every pair of groups gets
bounds from one common critical value c, so that all of them hold together, and with them the largest:

    largest true gap  ≥  max over pairs of max(0, lower bound of |d|)
    largest true gap  ≤  max over pairs of the upper bound of |d|

c is the quantile of the largest studentised difference over all pairs. It is taken from the resamples, and never below
the quantile of the studentised range (Tukey), which resamples of near-degenerate rates would undercut; that floor is
exact for equally sized groups and conservative otherwise (Hayter 1984, Annals of Statistics 12(1), 61-75).

A pair's bounds join the two rates' own Wilson intervals at c standard errors: squaring and adding for a difference
(Newcombe 1998, Statistics in Medicine 17, 873-890, methods 10 and 11), and the like for a ratio (Donner and Zou 2012,
Statistical Methods in Medical Research 21(4), 347-359). One pair uses plain Wilson intervals; several use those with
continuity correction, since far in the tail the plain ones promise too much for groups of thirty.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt

from auditkit.statistics.intervals import Floats, score_interval
from auditkit.statistics.resampling import quantiles

Places = npt.NDArray[np.int64]


def largest_deviations(deviations: npt.NDArray, variances: npt.NDArray) -> npt.NDArray[np.float32]:
    """Per replicate, the largest |e_i - e_j| / sqrt(v_i + v_j) over all pairs of groups.

    deviations, variances: [groups, replicates], at least two groups, variances positive. Returns float32 [replicates].

    >>> largest_deviations(np.array([[0.0], [3.0], [1.0]]), np.array([[1.0], [3.0], [1.0]])).tolist()
    [1.5]
    """
    e, v = np.ascontiguousarray(deviations, dtype=np.float32), np.ascontiguousarray(variances, dtype=np.float32)
    groups, replicates = e.shape
    largest = np.zeros(replicates, dtype=np.float32)
    squared, total = np.empty((2, replicates), dtype=np.float32)
    for i in range(groups - 1):
        for j in range(i + 1, groups):
            np.subtract(e[i], e[j], out=squared)
            np.multiply(squared, squared, out=squared)
            np.add(v[i], v[j], out=total)
            np.divide(squared, total, out=squared)
            np.maximum(largest, squared, out=largest)
    return np.sqrt(largest)


def studentised_deviations(successes: npt.NDArray, n: npt.NDArray, rates: npt.ArrayLike) -> npt.NDArray[np.float32]:
    """Per replicate, the largest studentised deviation of a difference between two groups' rates from its truth.

    successes, n: [groups, replicates], the replicates' counts. rates: [groups], the rates they were drawn from.
    One success and one failure are added to every group (Agresti and Caffo 2000, The American Statistician 54(4),
    280-288), which keeps the standard error of a rate at 0 or 1 from vanishing. Returns float32 [replicates].
    """
    total = n + np.float32(2)
    smoothed = (successes + np.float32(1)) / total
    deviations = smoothed - np.asarray(rates, dtype=np.float64)[:, None]
    return largest_deviations(deviations, smoothed * (1 - smoothed) / total)


_GRID, _STEP = np.linspace(-8.0, 8.0, 161, retstep=True)
_DENSITY = np.exp(-_GRID * _GRID / 2) / math.sqrt(2 * math.pi)


def _normal_below(shift: float) -> Floats:
    """The standard normal's distribution function on the grid moved by `shift`."""
    return np.array([0.5 * math.erfc(-(x + shift) / math.sqrt(2)) for x in _GRID.tolist()])


def _range_below(width: float, groups: Sequence[int]) -> float:
    """P(range <= width) for independent sets of standard normals, by integration over the smallest of each set."""
    within = _normal_below(width) - _normal_below(0.0)
    return math.prod(float(k * np.sum(_DENSITY * within ** (k - 1)) * _STEP) for k in groups)


@cache
def _range_quantile(groups: tuple[int, ...], confidence: float) -> float:
    low, high = 0.0, 20.0
    while high - low > 1e-7:
        middle = (low + high) / 2
        low, high = (middle, high) if _range_below(middle * math.sqrt(2), groups) < confidence else (low, middle)
    return high


def range_critical(groups: Sequence[int], confidence: float = 0.95) -> float:
    """Tukey's critical value, in standard errors of a difference, for all pairs within each of several families.

    groups: how many groups each independent family compares (one number for a single rate; two for equalized odds).

    >>> round(range_critical([2]), 3), round(range_critical([8]), 3), round(range_critical([2, 2]), 3)
    (1.96, 3.031, 2.236)
    """
    if not groups or min(groups) < 2:
        raise ValueError("a comparison needs at least two groups in every family")
    return _range_quantile(tuple(sorted(groups)), confidence)


def critical_value(largest: npt.NDArray, groups: Sequence[int], confidence: float = 0.95) -> float:
    """The common c: the quantile of the resamples' largest studentised deviation, never below Tukey's.

    largest: [replicates], from `studentised_deviations` (over families: the elementwise maximum).
    """
    return max(float(quantiles(largest, [confidence])[0]), range_critical(groups, confidence))


@dataclass(frozen=True, slots=True)
class Pairs:
    """A comparison of every pair of groups: places of the first and second group, estimate and bounds, all [pairs]."""

    first: Places
    second: Places
    estimate: Floats
    lower: Floats
    upper: Floats


def _limits(successes: npt.ArrayLike, n: npt.ArrayLike, critical: float, corrected: bool) -> tuple[Floats, ...]:
    k, total = np.asarray(successes, dtype=np.float64), np.asarray(n, dtype=np.float64)
    return k / total, *score_interval(k, total, critical, corrected)


def pairwise_differences(successes: npt.ArrayLike, n: npt.ArrayLike, critical: float, corrected: bool = False) -> Pairs:
    """First minus second rate for every pair of groups, with bounds at `critical` standard errors.

    successes, n: counts [groups], at least two.

    >>> pairs = pairwise_differences([56, 48], [70, 80], 1.96)  # Newcombe 1998, table II, case (a), method 10
    >>> [edge.round(4).item() for edge in (pairs.estimate[0], pairs.lower[0], pairs.upper[0])]
    [0.2, 0.0524, 0.3339]
    """
    rate, low, high = _limits(successes, n, critical, corrected)
    i, j = np.triu_indices(len(rate), 1)
    difference = rate[i] - rate[j]
    lower = difference - np.hypot(rate[i] - low[i], high[j] - rate[j])
    upper = difference + np.hypot(high[i] - rate[i], rate[j] - low[j])
    return Pairs(i, j, difference, np.maximum(lower, -1.0), np.minimum(upper, 1.0))


def pairwise_signed_ratios(
    successes: npt.ArrayLike, n: npt.ArrayLike, critical: float, corrected: bool = False
) -> Pairs:
    """First over second rate for every pair of groups, with bounds at `critical` standard errors.

    successes, n: counts [groups], at least two. Over a rate of 0 the estimate is infinite, or NaN where both are 0; the
    upper bound is infinite where the second rate may be 0.

    >>> pairs = pairwise_signed_ratios([56, 48], [70, 80], 1.96)
    >>> [edge.round(4).item() for edge in (pairs.estimate[0], pairs.lower[0], pairs.upper[0])]
    [1.3333, 1.0783, 1.6629]
    """
    rate, low, high = _limits(successes, n, critical, corrected)
    i, j = np.triu_indices(len(rate), 1)
    lower, upper = _ratio_limits((rate[i], low[i], high[i]), (rate[j], low[j], high[j]))
    with np.errstate(divide="ignore", invalid="ignore"):
        return Pairs(i, j, rate[i] / rate[j], lower, upper)


def pairwise_ratios(successes: npt.ArrayLike, n: npt.ArrayLike, critical: float, corrected: bool = False) -> Pairs:
    """The smaller over the larger rate for every pair of groups, with bounds at `critical` standard errors.

    successes, n: counts [groups], at least two. The ratio lies in [0, 1]; bounds of a pair of which either could be
    the larger reach up to 1. That folds the bounds of `pairwise_signed_ratios` over 1, so that a ratio near 1 is
    covered more often than they promise. A pair of two zero rates has no ratio: its estimate is NaN, its bounds [0, 1].

    >>> pairs = pairwise_ratios([48, 56], [80, 70], 1.96)
    >>> [edge.round(4).item() for edge in (pairs.estimate[0], pairs.lower[0], pairs.upper[0])]
    [0.75, 0.6013, 0.9274]
    """
    signed = pairwise_signed_ratios(successes, n, critical, corrected)
    rate = np.asarray(successes, dtype=np.float64) / np.asarray(n, dtype=np.float64)
    first, second = rate[signed.first], rate[signed.second]
    with np.errstate(divide="ignore", invalid="ignore"):
        estimate = np.minimum(first, second) / np.maximum(first, second)
        inverse_lower, inverse_upper = np.where(signed.lower > 0, 1 / signed.lower, np.inf), 1 / signed.upper
    lowest = np.minimum(signed.lower, inverse_upper)
    highest = np.where(signed.upper < 1, signed.upper, np.where(signed.lower > 1, inverse_lower, 1.0))
    return Pairs(signed.first, signed.second, estimate, np.clip(lowest, 0, 1), np.clip(highest, 0, 1))


def _ratio_limits(first: tuple[Floats, ...], second: tuple[Floats, ...]) -> tuple[Floats, Floats]:
    """Donner and Zou's limits of a ratio from (rate, lower, upper) of both, multiplied out so that they stay finite
    where a rate or its limit is 0; the upper limit is infinite where the second rate may be 0."""
    (rate, low, high), (other, other_low, other_high) = first, second
    product = rate * other
    small, large = low * (2 * rate - low), other_low * (2 * other - other_low)
    root = np.sqrt(np.maximum(0.0, product**2 - small * other_high * (2 * other - other_high)))
    reach = np.sqrt(np.maximum(0.0, product**2 - high * (2 * rate - high) * large))
    with np.errstate(divide="ignore", invalid="ignore"):
        lower = np.where(product + root > 0, small / (product + root), 0.0)
        upper = np.where(large > 0, (product + reach) / large, np.inf)
    return lower, upper


@dataclass(frozen=True, slots=True)
class Against:
    """Every group held against one rate of others: signed differences and ratios with bounds, all [groups]."""

    difference: Floats
    difference_lower: Floats
    difference_upper: Floats
    ratio: Floats
    ratio_lower: Floats
    ratio_upper: Floats


def against(
    successes: npt.ArrayLike, n: npt.ArrayLike, others: npt.ArrayLike, others_n: npt.ArrayLike, critical: float
) -> Against:
    """Each group's rate less, and over, the rate of others, with bounds at `critical` standard errors.

    successes, n: counts [groups]; others, others_n: those that each is held against, [groups]. A ratio over a rate of 0
    is NaN with bounds 0 and infinity.

    >>> found = against([56], [70], [48], [80], 1.96)
    >>> [edge.round(4).item() for edge in (found.difference[0], found.difference_lower[0], found.difference_upper[0])]
    [0.2, 0.0524, 0.3339]
    """
    corrected = np.size(successes) > 1
    rate, low, high = _limits(successes, n, critical, corrected)
    other, other_low, other_high = _limits(others, others_n, critical, corrected)
    difference = rate - other
    lower, upper = _ratio_limits((rate, low, high), (other, other_low, other_high))
    ratio = np.divide(rate, other, out=np.full(rate.shape, np.nan), where=other > 0)
    return Against(
        difference,
        difference - np.hypot(rate - low, other_high - other),
        difference + np.hypot(high - rate, other - other_low),
        ratio,
        lower,
        upper,
    )
