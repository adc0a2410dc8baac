"""Rates by group: point values from counts, intervals from resampled counts.

Point values are fairlearn's `MetricFrame(...).by_group` wherever that is defined. A rate over no rows is no rate; it is
never taken for 0. The interval is the percentile interval of the resamples, or Wilson's where a rate rests on fewer
than 20 successes or failures: there the percentile interval falls short, and is a mere point for a rate of 0 or 1.
"""

from collections.abc import Iterator

import numpy as np

from auditkit.evidence.metrics import MetricRow
from auditkit.fairness.counting.counts import joined
from auditkit.fairness.groups.definitions import Rate
from auditkit.fairness.groups.margin import FEWEST_CLUSTERS, Fraction, Margin, fraction_of
from auditkit.fairness.settings import Settings
from auditkit.statistics.intervals import wilson
from auditkit.statistics.resampling import percentile_interval

FEW = 20


def reason_not_judged(rate: Rate, n: int, minimum: int) -> str:
    """Why a rate over n rows is not judged, or nothing.

    >>> from auditkit.fairness.groups.definitions import RATES
    >>> reason_not_judged(RATES["true_positive_rate"], 7, 30)
    'only 7 rows with a positive label, fewer than the 30 needed to judge'
    """
    if n == 0:
        return f"no {rate.among}"
    if n < minimum:
        return (
            f"only {n} {rate.among if n > 1 else rate.among.replace('rows', 'row', 1)}, fewer than the {minimum} "
            + ("needed to judge")
        )
    return ""


def reasons_not_judged(rate: Rate, fraction: Fraction, minimum: int) -> list[str]:
    """Why the rate of each group is not judged, or nothing where it is."""
    reasons = []
    for at, rows in enumerate(fraction.rows.tolist()):
        reason, n = reason_not_judged(rate, rows, minimum), float(fraction.n[at])
        if not reason and fraction.clusters is not None and fraction.clusters[at] < FEWEST_CLUSTERS:
            held = int(fraction.clusters[at])
            reason = f"{rows:,} {rate.among} in only {held} clusters, fewer than the {FEWEST_CLUSTERS} needed to judge"
        if not reason and n < minimum * (1 - 1e-9):
            reason = f"{rows:,} {rate.among} that tell as much as {n:.1f} plain ones, fewer than the {minimum} needed"
        reasons.append(reason)
    return reasons


def rate_rows(
    margin: Margin, rate: Rate, settings: Settings, split: str = ""
) -> Iterator[tuple[MetricRow, tuple[int, int]]]:
    """A metric row for each group, with the fraction behind it: rows, whatever they weigh."""
    fraction = margin.fraction(rate)
    successes, n = fraction.successes, fraction.n
    lower, upper = wilson(np.where(n > 0, successes, 0), np.maximum(n, 1), settings.confidence)
    few = np.minimum(successes, n - successes) < FEW
    many = np.flatnonzero(~few & (n >= settings.minimum_group))
    if len(many) and margin.plain:
        drawn, drawn_n = margin.drawn(rate, many, fraction)
        lower[many], upper[many] = percentile_interval(drawn / np.maximum(drawn_n, 1), settings.confidence)
    reasons = reasons_not_judged(rate, fraction, settings.minimum_group)
    numerators, _ = fraction_of(margin.counts.cells, rate)
    for place, group in enumerate(margin.counts.names):
        reason = reasons[place]
        row = MetricRow(
            "fairness",
            rate.name,
            split=split,
            attribute=joined(margin.counts.attributes),
            group=group,
            value=None if reason else float(successes[place] / n[place]),
            lower=None if reason else float(lower[place]),
            upper=None if reason else float(upper[place]),
            confidence=None if reason else settings.confidence,
            n=int(fraction.rows[place]),
            unit="rate",
            better=rate.better,
            status="insufficient" if reason else "ok",
            reason=reason,
            method="" if reason else _method(margin, float(n[place]), bool(few[place]), settings.replicates),
        )
        yield row, (int(numerators[place]), int(fraction.rows[place]))


def _method(margin: Margin, n: float, few: bool, replicates: int) -> str:
    if not margin.plain:
        of = "the weights" if not margin.by_design else "strata" if margin.clusters is None else "clusters"
        return f"Wilson's interval for an effective {n:,.1f} rows, which {of} leave"
    if few:
        return f"Wilson's interval (fewer than {FEW} successes or failures)"
    return f"percentile bootstrap, {replicates:,} resamples"
