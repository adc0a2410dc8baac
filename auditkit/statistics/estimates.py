"""Numbers of groups compared, pair by pair, with bounds that hold for all pairs at once.

A group's number is `value` with the standard error `error` on the scale where it is nearest to normal: itself
(`plain`), its logarithm (`log`, for what is positive), or the logarithm of its distance to 1 (`below one`, for R²).
At c standard errors each group has limits on its own scale; those of a pair are joined by squaring and adding
(Donner and Zou 2012, Statistical Methods in Medical Research 21(4), 347-359), for a ratio on the logarithmic scale.

c is the quantile of the largest studentised difference between two of the groups when there is none: drawn from
normal means whose variances are estimated with each group's degrees of freedom (Games and Howell 1976, Journal of
Educational Statistics 1(2), 113-125, for any sizes and variances), and never below Tukey's for known variances.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from auditkit.statistics.simultaneous import Pairs, largest_deviations, range_critical

Integers = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Scale = Literal["plain", "log", "below one"]
WORK = 10_000_000


@dataclass(frozen=True)
class Estimates:
    """One number of several groups. value, error, freedom: float64 [groups]; errors stand on the scale."""

    value: Floats
    error: Floats
    freedom: Floats
    scale: Scale = "plain"

    def limits(self, critical: float | Floats) -> tuple[Floats, Floats]:
        """Each group's limits at `critical` standard errors."""
        away = critical * self.error
        if self.scale == "plain":
            return self.value - away, self.value + away
        if self.scale == "log":
            return self.value * np.exp(-away), self.value * np.exp(away)
        return 1 - (1 - self.value) * np.exp(away), 1 - (1 - self.value) * np.exp(-away)

    def intervals(self, confidence: float) -> tuple[Floats, Floats]:
        """Each group's interval by itself, at the quantile of Student's t."""
        from scipy.special import stdtrit

        return self.limits(np.asarray(stdtrit(self.freedom, 0.5 + confidence / 2), dtype=np.float64))

    def chosen(self, places: Integers) -> Estimates:
        """The same of some of the groups."""
        return Estimates(self.value[places], self.error[places], self.freedom[places], self.scale)

    def critical(self, confidence: float, rng: np.random.Generator, draws: int) -> float:
        """The c that holds for all pairs. draws: how many sets of means are drawn at most."""
        draws = max(1000, min(draws, WORK // len(self.error) ** 2))
        error = self.error[:, None] / self.error.max()
        deviations = error * rng.standard_normal((len(error), draws))
        freedom = self.freedom[:, None]
        variances = error**2 * rng.chisquare(freedom, (len(error), draws)) / freedom
        largest = largest_deviations(deviations, variances)
        return max(float(np.quantile(largest, confidence)), range_critical([len(error)], confidence))

    def pairs(self, kind: Literal["difference", "ratio"], critical: float) -> Pairs:
        """Every pair of groups: first minus second, or the smaller over the larger, with bounds."""
        low, high = self.limits(critical)
        i, j = np.triu_indices(len(self.value), 1)
        if kind == "difference":
            return differences(i, j, self.value, low, high)
        with np.errstate(divide="ignore"):
            logs = differences(i, j, np.log(self.value), np.log(low), np.log(high))
        return folded(logs)


def differences(i: npt.NDArray, j: npt.NDArray, value: Floats, low: Floats, high: Floats) -> Pairs:
    """First minus second, bounds from those of the two by squaring and adding."""
    apart = value[i] - value[j]
    lower = apart - np.hypot(value[i] - low[i], high[j] - value[j])
    upper = apart + np.hypot(high[i] - value[i], value[j] - low[j])
    return Pairs(i, j, apart, lower, upper)


def folded(logs: Pairs) -> Pairs:
    """Differences of logarithms as ratios, the smaller over the larger, with bounds in [0, 1].

    >>> half = folded(Pairs(np.array([0]), np.array([1]), np.log([2.0]), np.log([0.8]), np.log([4.0])))
    >>> [edge.item() for edge in (half.estimate, half.lower, half.upper)]
    [0.5, 0.25, 1.0]
    """
    nearest = np.maximum(0.0, np.maximum(logs.lower, -logs.upper))
    farthest = np.maximum(np.abs(logs.lower), np.abs(logs.upper))
    return Pairs(logs.first, logs.second, np.exp(-np.abs(logs.estimate)), np.exp(-farthest), np.exp(-nearest))
