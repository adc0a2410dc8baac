"""From a table of counts to all rates and gaps, overall, by attribute and by intersection.

Rows are resampled 10,000 times as they were drawn (see `auditkit.fairness.groups.draws`). Nothing is judged on too few
rows: a rate over fewer than `minimum_group` rows is `insufficient`, and a gap names the groups that it had to leave
out.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import combinations

from auditkit.evidence.metrics import MetricRow
from auditkit.fairness.counting.counts import Counts, joined
from auditkit.fairness.groups.against import against_rows
from auditkit.fairness.groups.definitions import GAPS, RATES
from auditkit.fairness.groups.derived import derived_rows
from auditkit.fairness.groups.draws import MAXIMUM_INTERSECTION, Design, Draws
from auditkit.fairness.groups.gaps import Comparison
from auditkit.fairness.groups.margin import Fraction
from auditkit.fairness.groups.rates import rate_rows
from auditkit.fairness.settings import Settings


@dataclass(slots=True)
class Inference:
    """What was inferred: rows of rates, derived metrics, gaps between groups and distances from everybody; behind them
    fractions, pairs of groups and counts.

    fractions: (numerator, denominator) for each of `rates`. left_out: intersections with too many groups to compare.
    effective: attributes → rate → its effective counts, where rows are weighted or drawn from strata or clusters.
    """

    rates: list[MetricRow] = field(default_factory=list)
    derived: list[MetricRow] = field(default_factory=list)
    gaps: list[MetricRow] = field(default_factory=list)
    against: list[MetricRow] = field(default_factory=list)
    fractions: list[tuple[int, int]] = field(default_factory=list)
    pairs: list[dict[str, object]] = field(default_factory=list)
    counts: list[Counts] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    effective: dict[tuple[str, ...], dict[str, Fraction]] = field(default_factory=dict)


def subsets(attributes: Sequence[str], intersections: bool = True) -> list[tuple[str, ...]]:
    """The attributes alone and crossed: all combinations of up to three attributes, pairs where there are more.

    >>> subsets(["sex", "race"])
    [('sex',), ('race',), ('sex', 'race')]
    """
    deepest = 1 if not intersections else len(attributes) if len(attributes) <= 3 else 2
    return [subset for size in range(1, deepest + 1) for subset in combinations(attributes, size)]


def infer(
    counts: Counts, settings: Settings, split: str = "", design: Design | None = None, complete: bool = True
) -> Inference:
    """All rates and gaps. Overall rates stand first, with no attribute and no group.

    design: how the rows were drawn, where not one by one. complete: whether combinations that nobody belongs to are
    groups as well, which cannot be judged; otherwise counts are taken to be all there is to know.
    """
    found = Inference()
    draws = Draws(counts, settings, design, complete)
    for attributes in [(), *subsets(counts.attributes, settings.intersections)]:
        groups = counts.margin(attributes)
        if len(groups.groups) > MAXIMUM_INTERSECTION:
            found.left_out.append(joined(attributes))
            reason = f"{len(groups.groups)} groups are more than the {MAXIMUM_INTERSECTION} that can be compared"
            found.gaps.extend(gaps_not_judged(groups, reason, split))
            continue
        margin = draws.of(attributes)
        for rate in RATES.values():
            for row, fraction in rate_rows(margin, rate, settings, split):
                found.rates.append(row)
                found.fractions.append(fraction)
        if len(attributes) <= 1:
            found.derived.extend(derived_rows(margin, settings, split))
        found.counts.append(margin.counts)
        if not margin.plain:
            found.effective[attributes] = {rate.name: margin.fraction(rate) for rate in RATES.values()}
        if attributes:
            comparison = Comparison(margin, settings, split)
            found.gaps.extend(comparison.gap_row(gap) for gap in GAPS.values())
            found.against.extend(against_rows(margin, settings, split))
            if len(attributes) == 1:
                found.pairs.extend(comparison.pair_records())
    return found


def gaps_not_judged(counts: Counts, reason: str, split: str = "") -> Iterator[MetricRow]:
    """The gaps of groups that cannot be compared: not judged, so that no gate over them passes."""
    for gap in GAPS.values():
        yield MetricRow(
            "fairness",
            gap.name,
            split=split,
            attribute=joined(counts.attributes),
            n=counts.rows,
            unit=gap.unit,
            better=gap.better,
            status="insufficient",
            reason=reason,
            compares=gap.rates,
        )
