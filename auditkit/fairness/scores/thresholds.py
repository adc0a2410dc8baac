"""Thresholds: what moving them does, for everybody and group by group, from score counts alone.

A threshold is a place among the bins' edges: k means positive from edges[k] upwards, so 0 accepts everybody and `bins`
nobody. Cumulative sums give all rates at all thresholds at once. The frontier is the best accuracy that one
deterministic threshold per group reaches within each allowed gap: for two groups by trying every pair of thresholds,
for more by sweeping a window of the allowed width over the target rates; within it each group's thresholds are a run
of places, and the best of a run comes from a table of running maxima. For one rate that sweep is exact as long as all
rates that occur fit in it (2,000); otherwise, and for equalized odds over more than two groups, the windows stand at
evenly spread rates that occur, and what is found is reachable but may not be the best.

Thresholds by group that meet a constraint were proposed by Hardt, Price and Srebro (2016), who randomise between two
of them; a deterministic one treats equal scores in a group alike, and for that can lose some accuracy. Ties in accuracy
go to the policy that changes the fewest decisions. A policy is fitted on some rows and judged on others (`evaluate`).
Different thresholds for different groups may be unlawful where decisions about people are concerned: the frontier shows
what a gap costs and is no advice to use it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from auditkit.errors import InputError, nearest
from auditkit.evidence.metrics import MetricRow
from auditkit.fairness.counts import Counts, Group, Integers, joined
from auditkit.fairness.definitions import GAPS, RATES
from auditkit.fairness.gaps import Comparison
from auditkit.fairness.rates import fraction_of, rate_rows, reason_not_judged
from auditkit.fairness.scores.bins import Floats, ScoreCounts
from auditkit.fairness.settings import Settings
from auditkit.statistics.resampling import multinomial_replicates, percentile_interval

METRICS = ("demographic_parity_difference", "equal_opportunity_difference", "equalized_odds_difference")
SHOWN = ("selection_rate", "true_positive_rate", "false_positive_rate", "accuracy")
_WINDOWS, _WINDOWS_SQUARED = 2000, 120
_TOLERANCE = 1e-12


def place_of(counts: ScoreCounts, threshold: float) -> int:
    """The place of the lowest edge at or above a threshold; above 1 nobody is positive.

    Raises InputError for a threshold outside [0, 1].
    """
    if not 0 <= threshold <= 1:
        raise InputError(f"a threshold must lie between 0 and 1, got {threshold:g}")
    return int(np.searchsorted(counts.edges, threshold, side="left"))


def decision_curves(counts: ScoreCounts) -> Integers:
    """Every group's decisions at every threshold: int64 [groups, label, decision, bins + 1]."""
    reached = np.zeros((*counts.cells.shape[:2], counts.bins + 1), dtype=np.int64)
    reached[..., :-1] = np.cumsum(counts.cells[..., ::-1], axis=2)[..., ::-1]
    return np.stack([reached[..., :1] - reached, reached], axis=2)


def rate_curves(counts: ScoreCounts) -> dict[str, Floats]:
    """Selection, true positive, false positive rate and accuracy at every threshold: name → float64 [groups, bins + 1].

    NaN where a rate is over no rows.
    """
    curves = decision_curves(counts)
    return {name: _shares(*fraction_of(curves, RATES[name])) for name in SHOWN}


def _shares(k: npt.NDArray[np.integer], n: npt.NDArray[np.integer]) -> Floats:
    return np.divide(k, n, out=np.full(k.shape, np.nan), where=n > 0)


def rates_at(counts: ScoreCounts, threshold: float) -> pa.Table:
    """Each group's rates at one threshold, moved up to the next edge; null where a rate is over no rows.

    Columns: group, n, threshold (the edge used), selection_rate, true_positive_rate, false_positive_rate, accuracy.
    """
    place = place_of(counts, threshold)
    decided = counts.decided(place)
    size = len(counts.groups)
    table: dict[str, object] = {
        "group": counts.names,
        "n": decided.cells.sum(axis=(1, 2)),
        "threshold": [float(counts.edges[place])] * size,
    }
    for name in SHOWN:
        shares = _shares(*fraction_of(decided.cells, RATES[name]))
        table[name] = pa.array(shares, pa.float64(), mask=np.isnan(shares))
    return pa.table(table)


@dataclass(frozen=True)
class Policy:
    """One threshold per group: positive from edges[place] upwards. A group not in it has that of `otherwise`."""

    attributes: tuple[str, ...]
    groups: tuple[Group, ...]
    places: tuple[int, ...]
    otherwise: int
    bins: int

    @classmethod
    def same(cls, counts: ScoreCounts, threshold: float) -> Policy:
        """One threshold for all."""
        place = place_of(counts, threshold)
        return cls(counts.attributes, counts.groups, (place,) * len(counts.groups), place, counts.bins)

    @property
    def thresholds(self) -> dict[str, float]:
        """Group name → the score from which it is positive; infinity where nobody is."""
        reach = [place / self.bins if place < self.bins else float("inf") for place in self.places]
        return {joined(group): at for group, at in zip(self.groups, reach, strict=True)}

    def decide(self, counts: ScoreCounts) -> Counts:
        """Counts by decision under this policy. Raises InputError for other attributes or bins."""
        if counts.attributes != self.attributes or counts.bins != self.bins:
            raise InputError(
                f"the policy has thresholds for groups by {joined(self.attributes)} in {self.bins} bins, the counts "
                f"are by {joined(counts.attributes)} in {counts.bins}; count scores the same way"
            )
        known = dict(zip(self.groups, self.places, strict=True))
        return counts.decided([known.get(group, self.otherwise) for group in counts.groups])


@dataclass(frozen=True)
class Choice:
    """A policy with what it brings on the counts it was fitted on.

    gained, lost: people per group who get, or no longer get, the positive decision, against today's threshold.
    """

    limit: float
    policy: Policy
    gap: float
    accuracy: float
    gained: tuple[int, ...]
    lost: tuple[int, ...]


@dataclass(frozen=True)
class Frontier:
    """The best accuracy for each allowed gap. `today` is one threshold for all. Gaps and accuracies are shares.

    unjudged: groups with too few rows for the metric's rates; they keep today's threshold and do not enter the gap.
    """

    metric: str
    today: Choice
    choices: tuple[Choice, ...]
    unjudged: tuple[str, ...]

    def table(self) -> pa.Table:
        """One record per choice and group, today's first (limit null)."""
        records = [
            {
                "metric": self.metric,
                "limit": None if choice is self.today else choice.limit,
                "gap": choice.gap,
                "accuracy": choice.accuracy,
                "group": name,
                "threshold": threshold,
                "gained": choice.gained[at],
                "lost": choice.lost[at],
            }
            for choice in (self.today, *self.choices)
            for at, (name, threshold) in enumerate(choice.policy.thresholds.items())
        ]
        return pa.Table.from_pylist(records)


class _Search:
    """What searching policies needs of the counts.

    rates: [rates of the metric, judged groups, bins + 1]. worth: int64 [judged groups, bins + 1], right decisions, and
    as what breaks ties the fewest changed ones.
    """

    def __init__(self, counts: ScoreCounts, metric: str, threshold: float, minimum_group: int) -> None:
        if metric not in METRICS:
            raise InputError(f"{metric!r} is not a gap that thresholds can be chosen for; {nearest(metric, METRICS)}")
        if counts.rows == 0:
            raise InputError("the score counts hold no rows; count some first")
        self.counts, self.metric, self.place = counts, metric, place_of(counts, threshold)
        self.curves = decision_curves(counts)
        wanted = [RATES[name] for name in GAPS[metric].rates]
        fractions = [fraction_of(self.curves, rate) for rate in wanted]
        rows = np.min([n[:, 0] for _, n in fractions], axis=0)
        self.judged = np.flatnonzero(rows >= max(1, minimum_group))
        if len(self.judged) < 2:
            among = " and ".join(rate.among for rate in wanted)
            raise InputError(
                f"thresholds by {joined(counts.attributes)}: a gap needs two groups with at least "
                f"{max(1, minimum_group)} {among}, and {len(self.judged)} of {len(counts.groups)} have them; give more "
                "rows or lower the smallest group"
            )
        self.rates = np.array([k[self.judged] / n[self.judged] for k, n in fractions])
        self.right = self.curves[:, 0, 0] + self.curves[:, 1, 1]
        self.selected = self.curves[:, :, 1].sum(axis=1)
        changed = np.abs(self.selected - self.selected[:, [self.place]])
        self.worth = (self.right * (counts.rows + 1) - changed)[self.judged]

    @property
    def unjudged(self) -> tuple[str, ...]:
        return tuple(name for at, name in enumerate(self.counts.names) if at not in self.judged)

    def choice(self, limit: float, judged_places: npt.ArrayLike) -> Choice:
        """A choice from the places of the judged groups; the others stay where they are today."""
        places = np.full(len(self.counts.groups), self.place)
        places[self.judged] = judged_places
        every = np.arange(len(places))
        at = self.rates[:, np.arange(len(self.judged)), places[self.judged]]
        change = self.selected[every, places] - self.selected[:, self.place]
        return Choice(
            limit,
            Policy(
                self.counts.attributes,
                self.counts.groups,
                tuple(int(place) for place in places),
                self.place,
                self.counts.bins,
            ),
            gap=float((at.max(axis=1) - at.min(axis=1)).max()),
            accuracy=float(self.right[every, places].sum() / self.counts.rows),
            gained=tuple(int(n) for n in np.maximum(change, 0)),
            lost=tuple(int(n) for n in np.maximum(-change, 0)),
        )

    def best(self, limits: Sequence[float]) -> list[Choice]:
        """The best choice within each limit."""
        found = self._pairs(limits) if len(self.judged) == 2 else self._windows(limits)
        return [self.choice(limit, places) for limit, places in zip(limits, found, strict=True)]

    def _pairs(self, limits: Sequence[float]) -> list[Integers]:
        """Two groups: every pair of thresholds, in the order of their gaps, with the best so far."""
        gap = np.abs(self.rates[:, 0, :, None] - self.rates[:, 1, None, :]).max(axis=0).ravel()
        worth = (self.worth[0][:, None] + self.worth[1][None, :]).ravel()
        order = np.argsort(gap, kind="stable")
        running = np.maximum.accumulate(worth[order])
        leads = np.flatnonzero(np.diff(running, prepend=running[0] - 1))
        until = np.searchsorted(gap[order], np.asarray(limits) + _TOLERANCE, side="right") - 1
        chosen = order[leads[np.searchsorted(leads, until, side="right") - 1]]
        return list(np.stack(np.divmod(chosen, self.counts.bins + 1), axis=1))

    def _windows(self, limits: Sequence[float]) -> list[Integers]:
        """Any number of groups: the best run of thresholds of each group inside each window of target rates."""
        runs = _Runs(self.worth)
        starts = self._starts()
        found: list[Integers] = []
        best_so_far: tuple[int, Integers] | None = None
        for limit in limits:
            low, high = self._inside(starts, limit)
            open_ = (low <= high).all(axis=0)
            low, high = low[:, open_], high[:, open_]
            total = sum(runs.largest(g, low[g], high[g]) for g in range(len(low)))
            at = int(np.argmax(total))
            places = np.array([runs.where(g, int(low[g, at]), int(high[g, at])) for g in range(len(low))])
            worth = int(np.asarray(total)[at])
            if best_so_far is None or worth > best_so_far[0]:
                best_so_far = (worth, places)
            found.append(best_so_far[1])
        return found

    def _starts(self) -> list[Floats]:
        """The lower ends of the windows, per rate: rates that occur, all of them or evenly spread ones.

        For two rates the window of the most accurate policy of all is one of them.
        """
        most = _WINDOWS if len(self.rates) == 1 else _WINDOWS_SQUARED
        starts = []
        for rate in self.rates:
            occurring = np.unique(rate)
            if len(occurring) > most:
                spread = np.linspace(0, 1, most)
                occurring = np.unique([0.0, *occurring[np.searchsorted(occurring, spread).clip(0, len(occurring) - 1)]])
            starts.append(occurring)
        if len(starts) == 1:
            return starts
        free = self.rates[:, np.arange(len(self.judged)), self.worth.argmax(axis=1)].min(axis=1)
        first, second = np.meshgrid(*starts, indexing="ij")
        return [np.append(first.ravel(), free[0]), np.append(second.ravel(), free[1])]

    def _inside(self, starts: list[Floats], limit: float) -> tuple[Integers, Integers]:
        """Per judged group and window, the first and last place whose rates lie in it; [groups, windows] each."""
        shape = (len(self.judged), len(starts[0]))
        low, high = np.zeros(shape, dtype=np.int64), np.full(shape, self.counts.bins, dtype=np.int64)
        for rate, start in zip(self.rates, starts, strict=True):
            for g, falling in enumerate(rate):
                rising = falling[::-1]
                last = self.counts.bins - np.searchsorted(rising, start - _TOLERANCE, side="left")
                first = self.counts.bins - (np.searchsorted(rising, start + limit + _TOLERANCE, side="right") - 1)
                low[g], high[g] = np.maximum(low[g], first), np.minimum(high[g], last)
        return low, high


class _Runs:
    """The largest value of any run of places, from a table of maxima over runs of 1, 2, 4, … places."""

    def __init__(self, values: Integers) -> None:
        self.values, self.levels = values, [values]
        width = 1
        while 2 * width <= values.shape[1]:
            before = self.levels[-1]
            self.levels.append(np.maximum(before[:, :-width], before[:, width:]))
            width *= 2
        self.table = np.full((len(self.levels), *values.shape), np.iinfo(np.int64).min)
        for level, maxima in enumerate(self.levels):
            self.table[level, :, : maxima.shape[1]] = maxima

    def largest(self, group: int, low: Integers, high: Integers) -> Integers:
        """The largest values of a group over places low to high, elementwise; low <= high."""
        level = np.log2(high - low + 1).astype(np.int64)
        found: Integers = np.maximum(self.table[level, group, low], self.table[level, group, high - 2**level + 1])
        return found

    def where(self, group: int, low: int, high: int) -> int:
        """The place of that largest value."""
        return low + int(self.values[group, low : high + 1].argmax())


def frontier(
    counts: ScoreCounts,
    metric: str,
    threshold: float = 0.5,
    limits: Sequence[float] | None = None,
    minimum_group: int = 30,
) -> Frontier:
    """The best accuracy for each allowed gap, with one deterministic threshold per group.

    metric: demographic_parity_difference (selection rates), equal_opportunity_difference (true positive rates) or
    equalized_odds_difference (both error rates). threshold: today's, for all. limits: ascending, by default 40 up
    to the gap of today's or of the most accurate policy. Raises InputError where fewer than two groups can be judged.
    """
    search = _Search(counts, metric, threshold, minimum_group)
    if limits is None:
        free = search.best([1.0])[0]
        now = search.choice(1.0, np.full(len(search.judged), search.place)).gap
        limits = np.linspace(0, max(free.gap, now), 41)[1:].tolist()
    ordered = sorted(float(limit) for limit in limits)
    if ordered and ordered[0] < 0:
        raise InputError(f"an allowed gap cannot be negative, got {ordered[0]:g}")
    today = search.choice(1.0, np.full(len(search.judged), search.place))
    return Frontier(metric, today, tuple(search.best(ordered)), search.unjudged)


def cheapest_change(
    counts: ScoreCounts, metric: str, limit: float, threshold: float = 0.5, minimum_group: int = 30
) -> tuple[Choice, Choice]:
    """Today and the thresholds that bring the gap within the limit at the smallest loss of accuracy.

    The same choice twice where the limit already holds. Arguments as in `frontier`.
    """
    search = _Search(counts, metric, threshold, minimum_group)
    if limit < 0:
        raise InputError(f"an allowed gap cannot be negative, got {limit:g}")
    today = search.choice(limit, np.full(len(search.judged), search.place))
    return today, today if today.gap <= limit else search.best([limit])[0]


def evaluate(policy: Policy, counts: ScoreCounts, settings: Settings, split: str = "") -> list[MetricRow]:
    """What a policy brings on other rows than it was fitted on: accuracy, rates by group and gaps, with intervals.

    Given its thresholds a policy is a decision, so these are the intervals of any decision: multinomial resampling
    of the counts, and bounds that hold for all pairs of groups at once for the gaps.
    """
    decided = policy.decide(counts)
    if decided.rows == 0:
        raise InputError("the score counts hold no rows to judge a policy on; count some first")
    resamples = multinomial_replicates(decided.cells, settings.replicates, np.random.default_rng(settings.seed))
    comparison = Comparison(decided, resamples, settings, split)
    right = resamples[:, 0, 0].sum(axis=0) + resamples[:, 1, 1].sum(axis=0)
    lower, upper = percentile_interval(right / decided.rows, settings.confidence)
    value = float((decided.cells[:, 0, 0] + decided.cells[:, 1, 1]).sum() / decided.rows)
    why = reason_not_judged(RATES["accuracy"], decided.rows, settings.minimum_group)
    accuracy = MetricRow(
        "fairness",
        "accuracy",
        split=split,
        value=None if why else value,
        lower=None if why else min(float(lower), value),
        upper=None if why else max(float(upper), value),
        confidence=None if why else settings.confidence,
        n=decided.rows,
        unit="rate",
        better="higher",
        status="insufficient" if why else "ok",
        reason=why,
        method="" if why else f"percentile bootstrap, {settings.replicates:,} resamples",
    )
    rates = [row for name in SHOWN for row, _ in rate_rows(decided, resamples, RATES[name], settings, split)]
    return [accuracy, *rates, *(comparison.gap_row(GAPS[metric]) for metric in METRICS)]
