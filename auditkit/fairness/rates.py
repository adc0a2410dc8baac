"""Rates by group: point values from counts, intervals from resampled counts.

Point values are fairlearn's `MetricFrame(...).by_group` wherever that is defined. A rate over no rows is no rate; it is
never taken for 0. The interval is the percentile interval of the resamples, or Wilson's where a rate rests on fewer
than 20 successes or failures: there the percentile interval falls short, and is a mere point for a rate of 0 or 1.
"""

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from auditkit.evidence.metrics import MetricRow
from auditkit.fairness.counts import Counts, joined
from auditkit.fairness.definitions import Cell, Rate
from auditkit.fairness.settings import Settings
from auditkit.statistics.intervals import wilson
from auditkit.statistics.resampling import percentile_interval

Integers = npt.NDArray[np.integer]
FEW = 20


def total_of(cells: Integers, chosen: Sequence[Cell]) -> Integers:
    """The rows in the chosen cells. cells: [groups, label, decision, ...]; returns [groups, ...]."""
    (label, decision), *rest = chosen
    total: Integers = cells[:, label, decision].copy()
    for label, decision in rest:
        total += cells[:, label, decision]
    return total


def fraction_of(cells: Integers, rate: Rate) -> tuple[Integers, Integers]:
    """A rate's numerator and denominator. cells: [groups, label, decision, ...]; both returned as [groups, ...].

    >>> from auditkit.fairness.definitions import RATES
    >>> [part.tolist() for part in fraction_of(np.array([[[5, 1], [2, 4]]]), RATES["true_positive_rate"])]
    [[4], [6]]
    """
    return total_of(cells, rate.numerator), total_of(cells, rate.denominator)


def reason_not_judged(rate: Rate, n: int, minimum: int) -> str:
    """Why a rate over n rows is not judged, or nothing.

    >>> from auditkit.fairness.definitions import RATES
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


def rate_rows(
    counts: Counts, resamples: Integers, rate: Rate, settings: Settings, split: str = ""
) -> Iterator[tuple[MetricRow, tuple[int, int]]]:
    """A metric row for each group, with the fraction behind it.

    resamples: [groups, label, decision, replicates], the counts' cells as resampling gives them.
    """
    successes, n = fraction_of(counts.cells, rate)
    lower, upper = wilson(np.where(n > 0, successes, 0), np.maximum(n, 1), settings.confidence)
    few = np.minimum(successes, n - successes) < FEW
    many = np.flatnonzero(~few & (n >= settings.minimum_group))
    if len(many):
        drawn, drawn_n = fraction_of(resamples[many], rate)
        lower[many], upper[many] = percentile_interval(drawn / np.maximum(drawn_n, 1), settings.confidence)
    attribute = joined(counts.attributes)
    for place, group in enumerate(counts.names):
        k, total = int(successes[place]), int(n[place])
        reason = reason_not_judged(rate, total, settings.minimum_group)
        row = MetricRow(
            "fairness",
            rate.name,
            split=split,
            attribute=attribute,
            group=group,
            value=None if reason else k / total,
            lower=None if reason else float(lower[place]),
            upper=None if reason else float(upper[place]),
            confidence=None if reason else settings.confidence,
            n=total,
            unit="rate",
            better=rate.better,
            status="insufficient" if reason else "ok",
            reason=reason,
            method="" if reason else _method(bool(few[place]), settings.replicates),
        )
        yield row, (k, total)


def _method(few: bool, replicates: int) -> str:
    if few:
        return f"Wilson's interval (fewer than {FEW} successes or failures)"
    return f"percentile bootstrap, {replicates:,} resamples"
