"""Groups of the same rankings compared, from resamples: what one group gains another loses, so pairs go together.

For numbers that are ratios the logarithm is compared, else the number itself. Of every pair the difference's standard
error is that of its resamples; c is the quantile of the largest studentised difference over all pairs, never below
Tukey's, and widened as Student's t is for few queries. What does not vary between resamples cannot be judged.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from auditkit.fairness.groups.definitions import Kind
from auditkit.fairness.outcomes.comparisons import Floats, Integers, folded
from auditkit.statistics.intervals import normal_quantile
from auditkit.statistics.simultaneous import Pairs, range_critical


@dataclass(frozen=True)
class Resampled:
    """A number of several groups and its resamples. value: [groups], as shown; centre: [groups] and drawn:
    [groups, draws], on the scale of `kind` (logarithms for a ratio); floor: [groups], least variances; freedom: one
    less than the units that were resampled. share: [groups], of all candidates, where attention is dealt out: a
    group's own varies less than its difference to another."""

    kind: Kind
    value: Floats
    centre: Floats
    drawn: Floats
    floor: Floats
    freedom: float
    share: Floats | None = None

    def chosen(self, places: Integers) -> Resampled:
        """The same of some of the groups."""
        value, centre, drawn, floor = (part[places] for part in (self.value, self.centre, self.drawn, self.floor))
        share = None if self.share is None else self.share[places]
        return Resampled(self.kind, value, centre, drawn, floor, self.freedom, share)

    def errors(self) -> Floats:
        """Each group's standard error on the scale, [groups]; 0 where nothing varies."""
        spread = self.drawn.var(axis=1) * self._fewer
        least = self.floor if self.share is None else self.floor * (1 - self.share)
        return np.sqrt(np.where(spread > 1e-20, np.maximum(spread, least), least))

    @property
    def _fewer(self) -> float:
        return (self.freedom + 1) / self.freedom

    def _student(self, confidence: float) -> float:
        from scipy.special import stdtrit

        return float(stdtrit(self.freedom, 0.5 + confidence / 2))

    def intervals(self, confidence: float) -> tuple[Floats, Floats]:
        """Each group's interval by itself."""
        away = self._student(confidence) * self.errors()
        if self.kind == "difference":
            return np.clip(self.value - away, 0, 1), np.clip(self.value + away, 0, 1)
        lower, upper = np.exp(self.centre - away), np.exp(self.centre + away)
        return np.minimum(lower, self.value), np.maximum(upper, self.value)

    def pairs(self, confidence: float) -> tuple[Pairs, float]:
        """Every pair of groups with bounds for all at once, and the c of these bounds."""
        i, j = np.triu_indices(len(self.value), 1)
        error, largest = np.zeros(len(i)), np.zeros(self.drawn.shape[1])
        for at, (first, second) in enumerate(zip(i, j, strict=True)):
            apart = self.drawn[first] - self.drawn[second]
            error[at] = np.sqrt(max(apart.var() * self._fewer, self.floor[first] + self.floor[second]))
            if error[at] > 1e-10:
                np.maximum(largest, np.abs(apart - apart.mean()) / error[at], out=largest)
        c = max(float(np.quantile(largest, confidence)), range_critical([len(self.value)], confidence))
        c *= self._student(confidence) / normal_quantile(confidence)
        away = c * error
        if self.kind == "difference":
            apart = self.value[i] - self.value[j]
            return Pairs(i, j, apart, np.maximum(apart - away, -1), np.minimum(apart + away, 1)), c
        centre = self.centre[i] - self.centre[j]
        ratios = folded(Pairs(i, j, centre, centre - away, centre + away))
        small, large = np.minimum(self.value[i], self.value[j]), np.maximum(self.value[i], self.value[j])
        shown = np.divide(small, large, out=np.ones(len(i)), where=large > 0)
        return Pairs(i, j, shown, np.minimum(ratios.lower, shown), np.maximum(ratios.upper, shown)), c
