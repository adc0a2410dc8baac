"""The frontier: the best accuracy for every allowed gap, and the cheapest change that keeps a gap within a limit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from auditkit.errors import InputError, nearest
from auditkit.fairness.mitigation.deterministic import Judged, Search, gap_of
from auditkit.fairness.mitigation.policy import KINDS, Kind, Policy, decided, right
from auditkit.fairness.mitigation.randomised import programme_of_counts
from auditkit.fairness.mitigation.targets import allowed, target
from auditkit.fairness.scores.bins import ScoreCounts

LIMITS = 20


@dataclass(frozen=True)
class Choice:
    """A policy with what it brings on the counts it was fitted on.

    limit: what it was allowed; gap: what it has, a difference or a ratio; both and accuracy are shares.
    most: the accuracy that no policy of its kind within the limit is above; accuracy itself where the search was exact.
    gained, lost: people per group who get, or no longer get, the positive decision, against today's threshold.
    """

    limit: float
    policy: Policy
    gap: float
    accuracy: float
    gained: tuple[int, ...]
    lost: tuple[int, ...]
    most: float


@dataclass(frozen=True)
class Frontier:
    """The best accuracy for each allowed gap, from strict to loose. `today` is one threshold for all.

    unjudged: groups with too few rows for the metric's rates; they keep today's threshold and do not enter the gap.
    """

    metric: str
    today: Choice
    choices: tuple[Choice, ...]
    unjudged: tuple[str, ...]
    kind: Kind = "deterministic"

    def table(self) -> pa.Table:
        """One record per choice and group, today's first (limit null). `threshold` is null where it is drawn."""
        records = [
            {
                "metric": self.metric,
                "limit": None if choice is self.today else choice.limit,
                "gap": choice.gap,
                "accuracy": choice.accuracy,
                "group": name,
                "threshold": steps[0][0] if len(steps) == 1 else None,
                "steps": [{"threshold": threshold, "chance": chance} for threshold, chance in steps],
                "gained": choice.gained[at],
                "lost": choice.lost[at],
            }
            for choice in (self.today, *self.choices)
            for at, (name, steps) in enumerate(choice.policy.named.items())
        ]
        return pa.Table.from_pylist(records)


class Fitting:
    """Fits policies of one kind to the score counts of some rows."""

    def __init__(
        self, counts: ScoreCounts, metric: str, threshold: float, minimum_group: int, kind: Kind = "deterministic"
    ) -> None:
        if kind not in KINDS:
            raise InputError(f"{kind!r} is no kind of policy; {nearest(kind, KINDS)}")
        self.counts, self.gap, self.threshold, self.kind = counts, target(metric), threshold, kind
        self.judged = Judged.of(counts, self.gap, threshold, minimum_group)
        self.today = self._choice(1.0, Policy.same(counts, threshold))
        self.minimum_group = minimum_group

    def best(self, limits: Sequence[float]) -> list[Choice]:
        """The best choice within each limit; limits from strict to loose."""
        if self.kind == "randomised":
            programme = programme_of_counts(self.counts, self.gap, self.threshold, self.minimum_group)
            return [self._choice(limit, programme.within(limit).policy) for limit in limits]
        search, found = Search(self.judged), []
        for limit in limits:
            places, most = search.within(limit)
            policy = Policy.at_places(self.counts, self.judged.all_places(places), self.threshold)
            found.append(self._choice(limit, policy, (most + self.judged.kept_right) / self.counts.rows))
        return found

    def limits(self, count: int = LIMITS) -> list[float]:
        """Evenly spread limits, up to the gap of today's or of the most accurate policy."""
        free = self._choice(1.0, Policy.at_places(
            self.counts, self.judged.all_places(Search(self.judged).worth.argmax(axis=1)), self.threshold))  # fmt: skip
        if self.gap.kind == "ratio":
            return np.linspace(1, max(0.01, min(free.gap, self.today.gap)), count + 1)[1:].tolist()
        return np.linspace(0, max(free.gap, self.today.gap), count + 1)[1:].tolist()

    def is_useful(self, choice: Choice) -> bool:
        """Whether a policy keeps at least half of what today's has over one decision for everybody, gapless as that is.

        Counted over the groups that are judged.
        """
        cells = self.counts.cells[self.judged.places].sum(axis=2)
        nothing = cells.sum(axis=0).max() / cells.sum()
        today, mine = (
            right(one.policy.decide(self.counts))[self.judged.places].sum() / cells.sum()
            for one in (self.today, choice)
        )
        return bool(mine > nothing and mine - nothing >= (today - nothing) / 2)

    def holds(self, gap: float, limit: float) -> bool:
        """Whether a gap is within a limit."""
        return gap <= limit if self.gap.kind == "difference" else gap >= limit

    def _choice(self, limit: float, policy: Policy, most: float | None = None) -> Choice:
        moved = policy.moved(self.counts, self.threshold)
        after = decided(moved)
        accuracy = float(right(after).sum() / self.counts.rows)
        return Choice(
            limit,
            policy,
            gap_of(after, self.gap, self.judged.places),
            accuracy,
            tuple(moved.cells[:, :, 0, 1].sum(axis=1).tolist()),
            tuple(moved.cells[:, :, 1, 0].sum(axis=1).tolist()),
            accuracy if most is None else most,
        )


def frontier(
    counts: ScoreCounts,
    metric: str,
    threshold: float = 0.5,
    limits: Sequence[float] | None = None,
    minimum_group: int = 30,
    kind: Kind = "deterministic",
) -> Frontier:
    """The best accuracy for each allowed gap, with thresholds by group.

    metric: a gap of selection, true positive or false positive rates, as a difference or a ratio, such as
    `demographic_parity_difference`, `equalized_odds_difference` or `four_fifths`. threshold: today's, for all. limits:
    by default 20, up to the gap of today's or of the most accurate policy. kind: `deterministic`, one threshold per
    group, or `randomised`, a draw between several. Raises InputError where fewer than two groups can be judged.
    """
    fitting = Fitting(counts, metric, threshold, minimum_group, kind)
    chosen = fitting.limits() if limits is None else [allowed(fitting.gap, limit) for limit in limits]
    ordered = sorted(chosen, reverse=fitting.gap.kind == "ratio")
    found = tuple(fitting.best(ordered))
    return Frontier(fitting.gap.name, fitting.today, found, fitting.judged.unjudged, kind)


def cheapest_change(
    counts: ScoreCounts,
    metric: str,
    limit: float,
    threshold: float = 0.5,
    minimum_group: int = 30,
    kind: Kind = "deterministic",
) -> tuple[Choice, Choice]:
    """Today and the thresholds that bring the gap within the limit at the smallest loss of accuracy.

    The same choice twice where the limit already holds. Arguments as in `frontier`.
    """
    fitting = Fitting(counts, metric, threshold, minimum_group, kind)
    limit = allowed(fitting.gap, limit)
    if fitting.holds(fitting.today.gap, limit):
        return fitting.today, fitting.today
    return fitting.today, fitting.best([limit])[0]
