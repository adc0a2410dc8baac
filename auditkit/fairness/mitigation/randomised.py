"""The best policy that draws between thresholds, within an allowed gap: a linear programme over the corners of hulls.

Every group mixes the corners of its own ROC hull (`auditkit.fairness.mitigation.roc`); rates, gaps and the objective
are linear in the mixing weights, so the best policy is a linear programme with a few dozen corners per group, however
many rows there are. With an allowed gap of 0 this is the optimum of Hardt, Price and Srebro (2016) that fairlearn's
ThresholdOptimizer looks for on a grid of 1,000 rates; here there is no grid, and any gap can be allowed for, or a ratio
asked for, equalized odds included. A corner solution mixes one or two thresholds in most groups, and three at most
under equalized odds.

Of policies of the same worth the one that changes the fewest decisions is taken.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from auditkit.errors import InputError, nearest
from auditkit.fairness.counting.counts import Floats, GroupCodes, joined
from auditkit.fairness.groups.definitions import RATES, Gap
from auditkit.fairness.mitigation.policy import Policy, Steps
from auditkit.fairness.mitigation.roc import Hull, hull_of_scores, hulls_of_counts
from auditkit.fairness.mitigation.targets import OBJECTIVES, allowed, target
from auditkit.fairness.scores.bins import ScoreCounts

_AMONG = {"selection_rate": "rows", "true_positive_rate": "positives", "false_positive_rate": "negatives"}
"""Rate → the rows of a hull that it is a share of."""
_NEGLIGIBLE = 1e-9
_CHANGE = 1e-7
"""What changing everybody's decision counts for, beside the objective."""


@dataclass(frozen=True)
class Optimum:
    """The best policy on the rows it was fitted on. objective, gap: expected values there.

    objective: accuracy, or the groups' balanced accuracies weighted by their rows, as fairlearn has it. unjudged:
    groups with too few rows, which keep today's threshold and are in neither number.
    """

    policy: Policy
    objective: float
    gap: float
    unjudged: tuple[str, ...]


def optimise_thresholds(
    scores: npt.ArrayLike,
    truth: npt.ArrayLike,
    groups: GroupCodes,
    constraint: str = "demographic_parity",
    *,
    limit: float = 0.0,
    objective: str = "accuracy_score",
    threshold: float = 0.5,
    minimum_group: int = 1,
) -> Optimum:
    """The best randomised thresholds for rows. scores: any finite numbers [n]; truth: bool [n].

    constraint: a gap (`equalized_odds_difference`, `four_fifths`) or fairlearn's name for its being 0
    (`equalized_odds`); limit: the gap that is allowed, or the ratio asked for. objective: `accuracy_score` or
    `balanced_accuracy_score`. threshold: today's, kept by groups with fewer than `minimum_group` rows.
    Raises InputError for scores that are missing and for fewer than two groups that can be judged.

    >>> from auditkit.fairness.counting.counts import encode_groups
    >>> import pyarrow as pa
    >>> groups = encode_groups({"sex": pa.array(["f", "f", "m", "m"])}, "here")
    >>> found = optimise_thresholds([0.1, 0.6, 0.4, 0.8], [False, True, False, True], groups)
    >>> found.objective, found.policy.kind
    (1.0, 'deterministic')
    """
    values, label = np.asarray(scores, dtype=np.float64), np.asarray(truth, dtype=bool)
    if not len(values) == len(label) == len(groups.codes):
        raise InputError(
            f"{len(values):,} scores, {len(label):,} labels and {len(groups.codes):,} rows of groups; give one of each "
            "for every row"
        )
    if not np.isfinite(values).all():
        raise InputError("scores are missing or infinite; remove these rows or correct them")
    hulls = []
    for at in range(len(groups.groups)):
        mine = np.flatnonzero(groups.codes == at)
        hulls.append(hull_of_scores(values[mine], label[mine]))
    today = np.bincount(groups.codes[values >= threshold], minlength=len(hulls)).tolist()
    programme = Programme(groups, hulls, target(constraint), today, threshold, minimum_group, objective)
    return programme.within(limit)


def programme_of_counts(counts: ScoreCounts, gap: Gap, threshold: float, minimum_group: int) -> Programme:
    """The programme over score counts: thresholds are edges of the bins, which is all that binning costs."""
    selected = counts.decided(counts.edges.searchsorted(threshold)).cells[..., 1].sum(axis=1)
    return Programme(counts, hulls_of_counts(counts), gap, selected.tolist(), threshold, minimum_group)


class Programme:
    """The linear programme of some groups' hulls. selected: how many of each group are positive today."""

    def __init__(
        self,
        groups: GroupCodes | ScoreCounts,
        hulls: Sequence[Hull],
        gap: Gap,
        selected: Sequence[int],
        threshold: float,
        minimum_group: int,
        objective: str = "accuracy_score",
    ) -> None:
        if objective not in OBJECTIVES:
            raise InputError(f"{objective!r} is no objective; {nearest(objective, OBJECTIVES)}")
        self.groups, self.gap, self.threshold = groups, gap, threshold
        minimum = max(1, minimum_group)
        enough = [min(getattr(hull, _AMONG[name]) for name in gap.rates) >= minimum for hull in hulls]
        self.judged = [at for at, it_is in enumerate(enough) if it_is]
        if len(self.judged) < 2:
            among = " and ".join(RATES[name].among for name in gap.rates)
            raise InputError(
                f"thresholds by {joined(groups.attributes)}: a gap needs two groups with at least {minimum} {among}, "
                f"and {len(self.judged)} of {len(hulls)} have them; give more rows or lower the smallest group"
            )
        self.hulls = [hulls[at] for at in self.judged]
        self.rows = sum(hull.rows for hull in self.hulls)
        self.values = [self._value(hull, objective) for hull in self.hulls]
        self.changed = [
            np.abs(hull.false_positives + hull.true_positives - selected[at]) / self.rows
            for at, hull in zip(self.judged, self.hulls, strict=True)
        ]

    def _value(self, hull: Hull, objective: str) -> Floats:
        """What each corner adds to the objective."""
        if objective == "accuracy_score":
            return (hull.true_positives + hull.negatives - hull.false_positives) / self.rows
        if not hull.positives or not hull.negatives:
            raise InputError("balanced accuracy needs positive and negative labels in every group")
        balanced = (hull.rate("true_positive_rate") + 1 - hull.rate("false_positive_rate")) / 2
        return balanced * hull.rows / self.rows

    def within(self, limit: float) -> Optimum:
        """The best policy within a limit."""
        from scipy.optimize import linprog

        matrix, sums = self._conditions(allowed(self.gap, limit))
        extra = 2 * len(self.gap.rates)
        cost = np.concatenate(
            [*(_CHANGE * c - v for v, c in zip(self.values, self.changed, strict=True)), [0.0] * extra]
        )
        found = linprog(
            cost,
            A_ub=matrix,
            b_ub=np.concatenate([np.zeros(matrix.shape[0] - len(self.gap.rates)), self._slack(limit)]),
            A_eq=sums,
            b_eq=np.ones(len(self.hulls)),
            bounds=[(0.0, None)] * (len(cost) - extra) + self._ends(),
            method="highs-ds",
        )
        if found.x is None:
            raise InputError(f"no thresholds bring the {self.gap.title} to {limit:g}: {found.message}")
        return self._optimum(found.x[: len(cost) - extra])

    def _ends(self) -> list[tuple[float, None]]:
        """Where the ends of each rate may lie; those of a ratio above 0, by one row of the largest group."""
        least = [
            0.0 if self.gap.kind == "difference" else 1 / max(getattr(hull, _AMONG[name]) for hull in self.hulls)
            for name in self.gap.rates
        ]
        return [(least[at // 2], None) for at in range(2 * len(least))]

    def _slack(self, limit: float) -> list[float]:
        return [limit if self.gap.kind == "difference" else 0.0] * len(self.gap.rates)

    def _conditions(self, limit: float) -> tuple[Any, Any]:
        """lowest <= every group's rate <= highest, and the two within the limit; weights of a group add up to 1."""
        from scipy import sparse

        build: Any = sparse

        groups, rates = len(self.hulls), len(self.gap.rates)
        sums = build.block_diag([np.ones((1, len(hull.thresholds))) for hull in self.hulls])
        blocks = []
        for at, name in enumerate(self.gap.rates):
            mixed = build.block_diag([hull.rate(name)[None, :] for hull in self.hulls])
            ends = np.zeros((2, groups, 2 * rates))
            ends[0, :, 2 * at + 1], ends[1, :, 2 * at] = -1.0, 1.0
            blocks += [
                build.hstack([mixed, build.csr_array(ends[0])]),
                build.hstack([-mixed, build.csr_array(ends[1])]),
            ]
        between = np.zeros((rates, 2 * rates))
        for at in range(rates):
            low, high = (-1.0, 1.0) if self.gap.kind == "difference" else (-1.0, limit)
            between[at, 2 * at], between[at, 2 * at + 1] = low, high
        nothing = build.csr_array((rates, sums.shape[1]))
        matrix = build.vstack([*blocks, build.hstack([nothing, build.csr_array(between)])]).tocsr()
        return matrix, build.hstack([sums, build.csr_array((groups, 2 * rates))]).tocsr()

    def _optimum(self, weights: Floats) -> Optimum:
        steps: list[Steps] = [((self.threshold, 1.0),)] * len(self.groups.groups)
        objective, gap_rates = 0.0, np.zeros((len(self.gap.rates), len(self.hulls)))
        ends = np.cumsum([len(hull.thresholds) for hull in self.hulls])
        for at, part in enumerate(np.split(weights, ends[:-1])):
            hull = self.hulls[at]
            used = np.flatnonzero(part > _NEGLIGIBLE)
            chance = part[used] / part[used].sum()
            order = np.argsort(hull.thresholds[used])
            steps[self.judged[at]] = tuple(
                (float(hull.thresholds[used[place]]), float(chance[place])) for place in order
            )
            objective += float(self.values[at][used] @ chance)
            gap_rates[:, at] = [hull.rate(name)[used] @ chance for name in self.gap.rates]
        low, high = gap_rates.min(axis=1), gap_rates.max(axis=1)
        gap = (high - low).max() if self.gap.kind == "difference" else (low / np.where(high > 0, high, np.inf)).min()
        names = [joined(group) for group in self.groups.groups]
        unjudged = tuple(name for at, name in enumerate(names) if at not in self.judged)
        policy = Policy(self.groups.attributes, self.groups.groups, tuple(steps), self.threshold)
        return Optimum(policy, objective, float(gap), unjudged)
