"""Every group's number as a metric row, or why it has none, and groups of which a few rows carry the squared error.

The numbers and their intervals are those of `auditkit.statistics.error_measures`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from auditkit.evidence.metrics import Caveat, MetricRow
from auditkit.fairness.counting.counts import JOIN
from auditkit.fairness.outcomes.comparisons import Grouping
from auditkit.fairness.settings import Settings
from auditkit.statistics.error_measures import MEASURES, METHODS, Measure, estimates, top_share
from auditkit.statistics.error_moments import PREDICTED, Floats, Integers, Moments
from auditkit.statistics.estimates import Estimates

__all__ = ["MEASURES", "Measure", "dominated", "estimates", "group_rows", "reasons", "top_share"]

DOMINATED = 0.5


def reasons(moments: Moments, found: Estimates, measure: Measure, settings: Settings) -> list[str]:
    """Per group, why it has no number, or nothing."""
    needed = max(2, settings.minimum_group)
    found_reasons = []
    for rows, effective, error, variance in zip(
        moments.rows, moments.effective, found.error, moments.label_variance(), strict=True
    ):
        reason = ""
        if rows < needed:
            reason = f"only {rows} rows, fewer than the {needed} needed to judge"
        elif effective < needed - 1e-6:
            reason = f"{rows} weighted rows tell as much as {effective:.1f}, fewer than the {needed} needed to judge"
        elif measure.name == "r2" and variance <= 0:
            reason = "all labels are equal, so there is nothing to explain"
        elif not error > 0:
            same = "all errors are equal in size" if measure.feature != PREDICTED else "all predictions are equal"
            reason = f"{same}, so the spread is unknown"
        found_reasons.append(reason)
    return found_reasons


def group_rows(grouping: Grouping, moments: Moments, measure: Measure, settings: Settings) -> Iterator[MetricRow]:
    """Every group's number with its interval, or why there is none."""
    found = estimates(moments, measure)
    lower, upper = found.intervals(settings.confidence)
    made = METHODS[measure.scale]
    for at, reason in enumerate(reasons(moments, found, measure, settings)):
        row = MetricRow(
            "fairness",
            measure.name,
            attribute=grouping.attribute,
            group=grouping.names[at],
            n=int(moments.rows[at]),
            better=measure.better,
            status="insufficient",
            reason=reason or "not computed",
        )
        yield (
            row
            if reason
            else replace(
                row,
                value=float(found.value[at]),
                lower=float(lower[at]),
                upper=float(upper[at]),
                confidence=settings.confidence,
                status="ok",
                reason="",
                method=made,
            )
        )


def dominated(
    grouping: Grouping, codes: Integers, squared: Floats, moments: Moments, settings: Settings
) -> Iterator[Caveat]:
    """Groups of which a few rows carry most of the squared error."""
    if JOIN in grouping.attribute:
        return
    place = grouping.places[codes]
    for at, name in enumerate(grouping.names):
        if moments.rows[at] < max(2, settings.minimum_group):
            continue
        share = top_share(squared[place == at])
        if share > DOMINATED:
            whom = f"of {name} ({grouping.attribute})" if grouping.attribute else "of all"
            yield Caveat(
                "fairness",
                f"the largest 1 % of the errors {whom} carry {share:.0%} of its squared error: intervals of RMSE and "
                "R² rest on a few rows and may be too narrow",
                grouping.attribute or "fairness/root_mean_squared_error",
            )
