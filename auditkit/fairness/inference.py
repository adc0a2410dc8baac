"""From a table of counts to all rates and gaps, overall, by attribute and by intersection.

Rows are resampled 10,000 times by one multinomial draw over the cells of the joint table; the resamples of fewer
attributes are sums over the others. Nothing is judged on too few rows: a rate over fewer than `minimum_group` rows is
`insufficient`, and a gap names the groups that it had to leave out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import combinations

import numpy as np

from auditkit.evidence.metrics import MetricRow
from auditkit.fairness.counts import Counts, joined
from auditkit.fairness.definitions import GAPS, RATES
from auditkit.fairness.derived import derived_rows
from auditkit.fairness.gaps import Comparison
from auditkit.fairness.rates import Integers, rate_rows
from auditkit.fairness.settings import Settings
from auditkit.statistics.resampling import multinomial_replicates

MAXIMUM_INTERSECTION = 200


@dataclass(slots=True)
class Inference:
    """What was inferred: rows of rates, derived metrics and gaps; behind them fractions, pairs of groups and counts.

    fractions: (numerator, denominator) for each of `rates`. left_out: intersections with too many groups to compare.
    """

    rates: list[MetricRow] = field(default_factory=list)
    derived: list[MetricRow] = field(default_factory=list)
    gaps: list[MetricRow] = field(default_factory=list)
    fractions: list[tuple[int, int]] = field(default_factory=list)
    pairs: list[dict[str, object]] = field(default_factory=list)
    counts: list[Counts] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)


def subsets(attributes: Sequence[str], intersections: bool = True) -> list[tuple[str, ...]]:
    """The attributes alone and crossed: all combinations of up to three attributes, pairs where there are more.

    >>> subsets(["sex", "race"])
    [('sex',), ('race',), ('sex', 'race')]
    """
    deepest = 1 if not intersections else len(attributes) if len(attributes) <= 3 else 2
    return [subset for size in range(1, deepest + 1) for subset in combinations(attributes, size)]


def infer(counts: Counts, settings: Settings, split: str = "") -> Inference:
    """All rates and gaps. Overall rates stand first, with no attribute and no group."""
    found = Inference()
    draw = _Draw(counts, settings)
    for attributes in [(), *subsets(counts.attributes, settings.intersections)]:
        margin = counts.margin(attributes)
        if len(margin.groups) > MAXIMUM_INTERSECTION:
            found.left_out.append(joined(attributes))
            continue
        resamples = draw.of(attributes)
        for rate in RATES.values():
            for row, fraction in rate_rows(margin, resamples, rate, settings, split):
                found.rates.append(row)
                found.fractions.append(fraction)
        if len(attributes) <= 1:
            found.derived.extend(derived_rows(margin, resamples, settings, split))
        found.counts.append(margin)
        if attributes:
            comparison = Comparison(margin, resamples, settings, split)
            found.gaps.extend(comparison.gap_row(gap) for gap in GAPS.values())
            if len(attributes) == 1:
                found.pairs.extend(comparison.pair_records())
    return found


class _Draw:
    """The resamples of any margin: sums of one joint draw, or a draw of its own where the joint table is too large."""

    def __init__(self, counts: Counts, settings: Settings) -> None:
        self.counts, self.settings = counts, settings
        self.rng = np.random.default_rng(settings.seed)
        small = len(counts.groups) <= MAXIMUM_INTERSECTION
        self.joint = multinomial_replicates(counts.cells, settings.replicates, self.rng) if small else None

    def of(self, attributes: Sequence[str]) -> Integers:
        """Resampled cells of the margin over some attributes, [groups, label, decision, replicates]."""
        if self.joint is None:
            return multinomial_replicates(self.counts.margin(attributes).cells, self.settings.replicates, self.rng)
        groups, places = self.counts.places(attributes)
        cells = np.zeros((len(groups), *self.joint.shape[1:]), dtype=self.joint.dtype)
        for source, target in enumerate(places):
            cells[target] += self.joint[source]
        return cells
