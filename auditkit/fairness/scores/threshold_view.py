"""Another threshold as sections: gaps and rates as they would be, beside those of the decisions that were judged."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pyarrow as pa

from auditkit.evidence.metrics import MetricRow, select
from auditkit.evidence.section import Section
from auditkit.fairness.figures import gap_overview, rates_by_group
from auditkit.fairness.groups.definitions import GAPS, RATES
from auditkit.fairness.sentences import four_fifths_finding, shown, widest_finding
from auditkit.fairness.view import rate_table
from auditkit.theme import number

HERE, JUDGED = "at this threshold", "as judged"
_GAPS_READING = (
    "Each dot is the widest gap between any two groups, the line its bounds. On the left 0 is equal, on the right 1; "
    "left of the dashed line the smaller selection rate is below four-fifths of the larger."
)
_RATES_READING = (
    "Filled: a group's rate at this threshold, with its interval. Hollow: as judged. The dotted line is the rate of "
    "everybody. Of many groups the lowest and the highest are drawn, and all as marks in the strip above them."
)
_HOW = (
    "Counted anew from the rows by group, label and score. Intervals are Wilson's; gaps have bounds for all pairs of "
    "groups at once at the critical value of Tukey's range, without resampling, and may be a little narrower than a "
    "check of these decisions would give. A threshold chosen by looking at these rows has to be judged on others; "
    "different thresholds for different groups may be unlawful where decisions about people are concerned."
)
_CARDS = (
    ("Selection rate", "selection_rate", ""),
    ("Accuracy", "accuracy", ""),
    ("Selection-rate ratio, worst", "demographic_parity_ratio", "gap"),
    ("Equalized-odds gap, worst", "equalized_odds_difference", "gap"),
)


def threshold_cards(
    rows: Sequence[MetricRow], judged: Sequence[MetricRow], attribute: str
) -> list[tuple[str, MetricRow | None, MetricRow | None]]:
    """The numbers to know first: label, the row at this threshold, the row as judged."""
    found = []
    for label, metric, kind in _CARDS:
        of = attribute if kind == "gap" else ""
        pair = [next(iter(select(part, metric=metric, attribute=of, group="")), None) for part in (rows, judged)]
        found.append((label, pair[0], pair[1]))
    return found


def threshold_sections(rows: Sequence[MetricRow], judged: Sequence[MetricRow], attribute: str) -> list[Section]:
    """The gaps and the rates of one attribute. rows: those of `rows_at`. judged: those of the evidence, one split."""
    gaps = [row for row in rows if row.metric in GAPS and row.metric != "four_fifths" and row.attribute == attribute]
    before = {row.metric: row for row in judged if row.metric in GAPS and row.attribute == attribute}
    compared = [replace(row, attribute=HERE) for row in gaps]
    compared += [replace(row, attribute=JUDGED) for row in before.values()]
    mine = [row for row in rows if row.attribute == attribute and row.metric in RATES and row.group]
    old = [row for row in judged if row.attribute == attribute and row.metric in RATES and row.group]
    overall = {row.metric: row for row in rows if not row.attribute and row.metric in RATES}
    sizes = {row.group: row.n or 0 for row in mine if row.metric == "selection_rate"}
    rates = rates_by_group(mine, overall, sizes, old)
    rates.update_xaxes(range=[-0.03, 1.05])  # a scale that stays, so that dots are seen to move
    return [
        Section(
            key="threshold-gaps",
            title=f"Gaps by {attribute} at another threshold",
            finding=four_fifths_finding(rows, [attribute]),
            figure=gap_overview(compared, [HERE, JUDGED]) if any(row.status == "ok" for row in gaps) else None,
            reading=_GAPS_READING,
            table=pa.table(
                {
                    "gap": [GAPS[row.metric].title for row in gaps],
                    HERE: [shown(row) for row in gaps],
                    JUDGED: [shown(before[row.metric]) if row.metric in before else "–" for row in gaps],
                    "widest between": [row.detail or row.reason for row in gaps],
                    "not judged": [number(len(row.unjudged), "rows") for row in gaps],
                }
            ),
            how=_HOW,
        ),
        Section(
            key="threshold-rates",
            title=f"Rates by {attribute} at another threshold",
            finding=widest_finding(rows, attribute),
            figure=rates,
            reading=_RATES_READING,
            table=rate_table(mine),
            how=_HOW,
        ),
    ]
