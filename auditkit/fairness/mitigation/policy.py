"""A policy: from which score on each group gets the positive decision.

A deterministic policy has one threshold per group. A randomised one draws between several for every person, as Hardt,
Price and Srebro (2016) do: two people of one group with the same score may then be decided differently. Either is a
list of steps (threshold, chance) per group, whose chances add up to 1; a person is positive with the sum of the chances
of those thresholds that the score reaches.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from auditkit.errors import InputError
from auditkit.fairness.counting.counts import Counts, Floats, Group, GroupCodes, Integers, joined
from auditkit.fairness.release import PairedCounts
from auditkit.fairness.scores.bins import ScoreCounts
from auditkit.fairness.scores.thresholds import place_of

Kind = Literal["deterministic", "randomised"]
KINDS: tuple[Kind, ...] = ("deterministic", "randomised")
Steps = tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class Policy:
    """Steps (threshold, chance) of every group; infinity is the threshold that nobody reaches.

    otherwise: the threshold of a group that is not in it.

    >>> Policy(("sex",), (("f",), ("m",)), (((0.4, 1.0),), ((0.5, 0.25), (0.6, 0.75))), 0.5).kind
    'randomised'
    """

    attributes: tuple[str, ...]
    groups: tuple[Group, ...]
    steps: tuple[Steps, ...]
    otherwise: float

    @classmethod
    def same(cls, counts: ScoreCounts | GroupCodes, threshold: float) -> Policy:
        """One threshold for all."""
        return cls(counts.attributes, counts.groups, (((float(threshold), 1.0),),) * len(counts.groups), threshold)

    @classmethod
    def at_places(cls, counts: ScoreCounts, places: Sequence[int], threshold: float) -> Policy:
        """One threshold per group: the edge at its place, at the last of which nobody is positive."""
        edges = [*counts.edges[:-1].tolist(), float("inf")]
        return cls(counts.attributes, counts.groups, tuple(((edges[place], 1.0),) for place in places), threshold)

    @property
    def kind(self) -> Kind:
        """Whether any group's threshold is drawn."""
        return "randomised" if any(len(steps) > 1 for steps in self.steps) else "deterministic"

    @property
    def named(self) -> dict[str, Steps]:
        """Group name → its steps."""
        return {joined(group): steps for group, steps in zip(self.groups, self.steps, strict=True)}

    @property
    def thresholds(self) -> dict[str, float]:
        """Group name → the score from which it is positive. Raises InputError where thresholds are drawn."""
        if self.kind == "randomised":
            raise InputError("a randomised policy has several thresholds per group; see `named`")
        return {name: steps[0][0] for name, steps in self.named.items()}

    def chances(self, groups: GroupCodes, scores: npt.ArrayLike) -> Floats:
        """The chance of a positive decision of every row, float64 [n]. scores: [n], as the policy was fitted on."""
        self._check(groups.attributes)
        values = np.asarray(scores, dtype=np.float64)
        found = np.zeros(len(values))
        for at, steps in enumerate(self._steps(groups.groups)):
            mine = np.flatnonzero(groups.codes == at)
            own = values[mine]
            for threshold, chance in steps:
                found[mine] += chance * (own >= threshold)
        return found

    def chances_by_bin(self, counts: ScoreCounts) -> Floats:
        """The chance of a positive decision, float64 [groups, bins]; a threshold moves up to the next edge."""
        self._check(counts.attributes)
        found = np.zeros((len(counts.groups), counts.bins))
        for at, steps in enumerate(self._steps(counts.groups)):
            for threshold, chance in steps:
                place = counts.bins if threshold > 1 else place_of(counts, max(0.0, threshold))
                found[at, place:] += chance
        return found

    def moved(self, counts: ScoreCounts, threshold: float) -> PairedCounts:
        """Rows by group, label, today's decision (one threshold for all) and the policy's.

        Of a randomised policy the expected numbers, rounded to whole people.
        """
        chances = self.chances_by_bin(counts)[:, None, :]
        today = np.arange(counts.bins) >= place_of(counts, threshold)
        return paired(counts.attributes, counts.groups, [
            (counts.cells[..., before == today].sum(axis=2),
             (counts.cells * chances)[..., before == today].sum(axis=2)) for before in (False, True)
        ])  # fmt: skip

    def decide(self, counts: ScoreCounts) -> Counts:
        """Counts by decision under this policy; of a randomised one expected numbers, rounded to whole people."""
        return decided(self.moved(counts, 0.0))

    def _steps(self, groups: Sequence[Group]) -> list[Steps]:
        known = dict(zip(self.groups, self.steps, strict=True))
        return [known.get(group, ((self.otherwise, 1.0),)) for group in groups]

    def _check(self, attributes: tuple[str, ...]) -> None:
        if attributes != self.attributes:
            raise InputError(
                f"the policy has thresholds for groups by {joined(self.attributes)}, the rows are counted by "
                f"{joined(attributes)}; count them the same way"
            )


def paired(
    attributes: tuple[str, ...], groups: tuple[Group, ...], parts: Sequence[tuple[npt.NDArray, npt.NDArray]]
) -> PairedCounts:
    """Rows by today's decision and the new one. parts: for today's negative and positive decisions each the rows and
    how many of them are expected to become positive, [groups, label] both."""
    cells = np.zeros((len(groups), 2, 2, 2), dtype=np.int64)
    for before, (rows, expected) in enumerate(parts):
        cells[:, :, before, 1] = np.rint(expected)
        cells[:, :, before, 0] = rows - cells[:, :, before, 1]
    return PairedCounts(attributes, groups, cells)


def decided(moved: PairedCounts) -> Counts:
    """The counts by the new decision alone."""
    return Counts(moved.attributes, moved.groups, np.asarray(moved.cells.sum(axis=2), dtype=np.int64))


def right(counts: Counts) -> Integers:
    """Right decisions of every group, int64 [groups]."""
    found: Integers = counts.cells[:, 0, 0] + counts.cells[:, 1, 1]
    return found
