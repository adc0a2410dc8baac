"""The best policy with one threshold per group within an allowed gap: an exact search over all edges of the bins.

A rate falls as its threshold rises, so the thresholds whose rate lies in a window are a run of edges, and the most
right decisions of a run come from a table of running maxima. For a gap of one rate, the windows that start at a rate
that occurs are all there is to try.

For two rates (equalized odds) every group is tried as the one with the lowest first rate, at each of its edges. That
fixes its second rate f too, and with it where all others must lie; what they could reach there bounds the policy from
above. Such anchors are taken in the order of their bounds and opened into the windows of the second rate that hold f,
until no bound is above the best policy found. This is exact. Should the windows be more than a search can open (very
many groups and wide gaps), it ends with the best policy so far and says what the bounds still leave room for.

Ties in accuracy go to the policy that changes the fewest decisions.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from auditkit.errors import InputError
from auditkit.fairness.counting.counts import Counts, Floats, Integers, joined
from auditkit.fairness.groups.definitions import RATES, Gap
from auditkit.fairness.groups.margin import fraction_of
from auditkit.fairness.scores.bins import ScoreCounts
from auditkit.fairness.scores.thresholds import decision_curves, place_of

MOST_WINDOWS, CHUNK = 3_000_000, 100_000
_TOLERANCE = 1e-12


@dataclass(frozen=True)
class Judged:
    """The groups of score counts that a policy can be fitted for; the others keep today's threshold.

    places: int64 [judged]; rates: [rates, judged, bins + 1], by threshold; right: int64 [groups, bins + 1].
    """

    counts: ScoreCounts
    gap: Gap
    today: int
    places: Integers
    rates: Floats
    right: Integers
    selected: Integers

    @classmethod
    def of(cls, counts: ScoreCounts, gap: Gap, threshold: float, minimum_group: int) -> Judged:
        """Raises InputError where fewer than two groups have enough rows."""
        if counts.rows == 0:
            raise InputError("the score counts hold no rows; count some first")
        curves = decision_curves(counts)
        fractions = [fraction_of(curves, RATES[name]) for name in gap.rates]
        minimum = max(1, minimum_group)
        judged = np.flatnonzero(np.min([n[:, 0] for _, n in fractions], axis=0) >= minimum)
        if len(judged) < 2:
            among = " and ".join(RATES[name].among for name in gap.rates)
            raise InputError(
                f"thresholds by {joined(counts.attributes)}: a gap needs two groups with at least {minimum} {among}, "
                f"and {len(judged)} of {len(counts.groups)} have them; give more rows or lower the smallest group"
            )
        rates = np.array([k[judged] / n[judged] for k, n in fractions])
        right, selected = curves[:, 0, 0] + curves[:, 1, 1], curves[:, :, 1].sum(axis=1)
        return cls(counts, gap, place_of(counts, threshold), judged, rates, right, selected)

    @property
    def unjudged(self) -> tuple[str, ...]:
        """The names of the groups that are left out."""
        return tuple(name for at, name in enumerate(self.counts.names) if at not in self.places)

    @property
    def kept_right(self) -> int:
        """Right decisions of the groups that are left out."""
        return int(np.delete(self.right[:, self.today], self.places).sum())

    def all_places(self, judged: npt.ArrayLike) -> list[int]:
        """The places of all groups."""
        every = np.full(len(self.counts.groups), self.today)
        every[self.places] = judged
        return [int(place) for place in every]


def gap_of(decided: Counts, gap: Gap, groups: npt.ArrayLike) -> float:
    """The gap between some groups as it stands; a ratio over rates that are all 0 is 0: nobody is alike in nothing."""
    sizes = []
    for name in gap.rates:
        k, n = (part[np.asarray(groups)] for part in fraction_of(decided.cells, RATES[name]))
        shares = k / np.maximum(n, 1)
        low, high = float(shares.min()), float(shares.max())
        sizes.append(high - low if gap.kind == "difference" else low / high if high > 0 else 0.0)
    return max(sizes) if gap.kind == "difference" else min(sizes)


class Search:
    """Searches the best thresholds of the judged groups."""

    def __init__(self, judged: Judged) -> None:
        self.judged, self.bins = judged, judged.counts.bins
        changed = np.abs(judged.selected - judged.selected[:, [judged.today]])
        self.weight = judged.counts.rows + 1
        self.worth = (judged.right * self.weight - changed)[judged.places]
        self.runs = _Runs(self.worth)
        everybody = np.zeros(len(self.worth), dtype=np.int64)
        self.best: tuple[int, Integers] = int(self.worth[:, 0].sum()), everybody

    def within(self, limit: float) -> tuple[Integers, int]:
        """The places of the best policy within a limit, [judged], and how many right decisions are out of the question.

        The second is an upper bound for the right decisions of the judged groups that any such policy makes. Limits
        must be asked for from strict to loose: what was found within a stricter one starts the next search; the first
        starts from accepting everybody, which leaves no gap.
        """
        bound = self._one(limit) if len(self.judged.rates) == 1 else self._two(limit)
        return self.best[1], -(-max(bound, self.best[0]) // self.weight)

    def _upper(self, start: Floats, limit: float) -> Floats:
        """The highest rate that is allowed beside a lowest one."""
        return start + limit if self.judged.gap.kind == "difference" else start / limit

    def _lower(self, end: Floats, limit: float) -> Floats:
        """The lowest rate that is allowed beside a highest one."""
        return end - limit if self.judged.gap.kind == "difference" else end * limit

    def _inside(self, which: int, low: Floats, high: Floats) -> tuple[Integers, Integers]:
        """The first and last place whose rate lies in [low, high], per judged group: [judged, windows] each."""
        first = np.empty((len(self.worth), len(low)), dtype=np.int64)
        last = np.empty_like(first)
        for g, falling in enumerate(self.judged.rates[which]):
            rising = falling[::-1]
            last[g] = self.bins - np.searchsorted(rising, low - _TOLERANCE, side="left")
            first[g] = self.bins - (np.searchsorted(rising, high + _TOLERANCE, side="right") - 1)
        return first, last

    def _one(self, limit: float) -> int:
        start = np.unique(self.judged.rates[0])
        start = start[start > 0] if self.judged.gap.kind == "ratio" else start
        first, last = self._inside(0, start, self._upper(start, limit))
        self._keep(first, last)
        return -1

    def _keep(self, first: Integers, last: Integers) -> None:
        """Keep the best policy of these runs, where it is better than what is known."""
        open_ = (first <= last).all(axis=0)
        if not open_.any():
            return
        first, last = first[:, open_], last[:, open_]
        total = sum(self.runs.largest(g, first[g], last[g]) for g in range(len(first)))
        at = int(np.argmax(total))
        worth = int(np.asarray(total)[at])
        if worth > self.best[0]:
            places = [self.runs.where(g, int(first[g, at]), int(last[g, at])) for g in range(len(first))]
            self.best = worth, np.array(places)

    def _two(self, limit: float) -> int:
        anchors = self._anchors(limit)
        second = np.unique(self.judged.rates[1])
        second = second[second > 0] if self.judged.gap.kind == "ratio" else second
        first, last = self._inside(1, second, self._upper(second, limit))
        begin = np.searchsorted(second, self._lower(anchors.second, limit) - _TOLERANCE)
        many = np.searchsorted(second, anchors.second + _TOLERANCE, side="right") - begin
        until = np.cumsum(many)
        at, budget = 0, MOST_WINDOWS // len(self.worth)
        while at < len(many) and anchors.bound[at] > self.best[0]:
            if until[at] > budget:
                return int(anchors.bound[at])
            stop = int(np.searchsorted(until, until[at] + (CHUNK // len(self.worth) if at else 0), side="right"))
            stop = max(at + 1, stop)
            which = np.repeat(np.arange(at, stop), many[at:stop])
            window = np.arange(len(which)) - np.repeat(
                until[at:stop] - many[at:stop] - until[at] + many[at], many[at:stop]
            )
            window += begin[which]
            self._keep(
                np.maximum(anchors.first[:, which], first[:, window]),
                np.minimum(anchors.last[:, which], last[:, window]),
            )
            at = stop
        return -1

    def _anchors(self, limit: float) -> _Anchors:
        """Every place of every group as that of the lowest first rate, in falling order of what it could be worth."""
        size = self.bins + 1
        lowest, second = self.judged.rates[0].ravel(), self.judged.rates[1].ravel()
        group, place = np.divmod(np.arange(len(lowest)), size)
        if self.judged.gap.kind == "ratio":
            kept = (lowest > 0) & (second > 0)
            lowest, second, group, place = lowest[kept], second[kept], group[kept], place[kept]
        first, last = self._inside(0, lowest, self._upper(lowest, limit))
        first_of_second, last_of_second = self._inside(1, self._lower(second, limit), self._upper(second, limit))
        near_first, near_last = np.maximum(first, first_of_second), np.minimum(last, last_of_second)
        own = np.arange(len(group))
        first[group, own] = last[group, own] = near_first[group, own] = near_last[group, own] = place
        open_ = np.flatnonzero((near_first <= near_last).all(axis=0))
        bound = np.zeros(len(open_), dtype=np.int64)
        for g in range(len(first)):
            bound += self.runs.largest(g, near_first[g, open_], near_last[g, open_])
        order = np.argsort(-bound, kind="stable")
        chosen = open_[order]
        return _Anchors(second[chosen], first[:, chosen], last[:, chosen], bound[order])


@dataclass(frozen=True)
class _Anchors:
    """second: their second rate; first, last: the runs that the first rate leaves, [judged, anchors]; bound: worth."""

    second: Floats
    first: Integers
    last: Integers
    bound: Integers


class _Runs:
    """The largest value of any run of places, from a table of maxima over runs of 1, 2, 4, … places."""

    def __init__(self, values: Integers) -> None:
        self.values, levels = values, [values]
        width = 1
        while 2 * width <= values.shape[1]:
            before = levels[-1]
            levels.append(np.maximum(before[:, :-width], before[:, width:]))
            width *= 2
        self.table = np.full((len(levels), *values.shape), np.iinfo(np.int64).min)
        for level, maxima in enumerate(levels):
            self.table[level, :, : maxima.shape[1]] = maxima
        lengths = np.maximum(1, np.arange(values.shape[1] + 1))
        self.level = np.log2(lengths).astype(np.int64)

    def largest(self, group: int, low: Integers, high: Integers) -> Integers:
        """The largest values of a group over places low to high, elementwise; low <= high."""
        level = self.level[high - low + 1]
        found: Integers = np.maximum(self.table[level, group, low], self.table[level, group, high - 2**level + 1])
        return found

    def where(self, group: int, low: int, high: int) -> int:
        """The place of that largest value."""
        return low + int(self.values[group, low : high + 1].argmax())
