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

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from auditkit.fairness.counting.counts import GroupCodes, joined
from auditkit.fairness.groups.definitions import Kind
from auditkit.fairness.groups.draws import MAXIMUM_INTERSECTION
from auditkit.fairness.groups.inference import subsets
from auditkit.fairness.settings import Settings
from auditkit.statistics.simultaneous import Pairs, largest_deviations, range_critical

Integers = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Scale = Literal["plain", "log", "below one"]
WORK = 10_000_000


@dataclass(frozen=True)
class Grouping:
    """One attribute, or several crossed: its groups' names and the place among them of each of the finest groups."""

    attribute: str
    names: list[str]
    places: Integers


def groupings(groups: GroupCodes, settings: Settings) -> tuple[list[Grouping], list[str]]:
    """Everybody as one group, then all attributes and their intersections; and those with too many groups to compare.

    >>> both = GroupCodes(("sex", "age"), (("f", "old"), ("m", "old"), ("m", "young")), np.array([0, 1, 2]), {})
    >>> [(found.attribute, found.places.tolist()) for found in groupings(both, Settings())[0]]
    [('', [0, 0, 0]), ('sex', [0, 1, 1]), ('age', [0, 0, 1]), ('sex × age', [0, 1, 2])]
    """
    found, left_out = [Grouping("", [""], np.zeros(len(groups.groups), dtype=np.int64))], []
    for attributes in subsets(groups.attributes, settings.intersections):
        keep = [groups.attributes.index(name) for name in attributes]
        projected = [tuple(group[place] for place in keep) for group in groups.groups]
        occurring = sorted(set(projected))
        place = {group: at for at, group in enumerate(occurring)}
        if len(occurring) > MAXIMUM_INTERSECTION:
            left_out.append(joined(attributes))
            continue
        places = np.array([place[group] for group in projected], dtype=np.int64)
        found.append(Grouping(joined(attributes), [joined(group) for group in occurring], places))
    return found, left_out


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

    def pairs(self, kind: Kind, critical: float) -> Pairs:
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


def widest(kind: Kind, pairs: Pairs, value: Floats, names: Sequence[str]) -> str:
    """The pair behind the gap: larger – smaller for a difference, smaller / larger for a ratio."""
    at = int(np.abs(pairs.estimate).argmax() if kind == "difference" else pairs.estimate.argmin())
    first, second = int(pairs.first[at]), int(pairs.second[at])
    high, low = (first, second) if value[first] >= value[second] else (second, first)
    return f"{names[high]} – {names[low]}" if kind == "difference" else f"{names[low]} / {names[high]}"
