"""What the fairness numbers say, in sentences. Nothing is computed here: rows are picked and written out."""

from __future__ import annotations

from collections.abc import Sequence

from auditkit.evidence.metrics import MetricRow
from auditkit.fairness.groups.definitions import FOUR_FIFTHS, GAPS, RATES
from auditkit.theme import interval, number

NOT_JUDGED = "not judged"
_COMPARED = ("selection_rate", "true_positive_rate", "false_positive_rate")


def shown(row: MetricRow, between: str = " ") -> str:
    """A row's value with its interval, or that it is not judged."""
    if row.status != "ok":
        return NOT_JUDGED
    return f"{number(row.value, row.unit, row.lower, row.upper)}{between}{interval(row.lower, row.upper, row.unit)}"


def four_fifths_finding(rows: Sequence[MetricRow], attributes: Sequence[str]) -> str:
    """What the selection rate ratios say of four-fifths, in one sentence."""
    ratios = {row.attribute: row for row in rows if row.metric == "demographic_parity_ratio"}
    words: dict[str, list[str]] = {"below four-fifths": [], "undecided": [], "at least four-fifths": [], NOT_JUDGED: []}
    for attribute in attributes:
        if (row := ratios.get(attribute)) is not None:
            words[_against_four_fifths(row)].append(f"{attribute} ({shown(row)})" if row.status == "ok" else attribute)
    parts = [f"{word} by {' and '.join(names)}" for word, names in words.items() if names]
    return f"The ratio of selection rates is {', '.join(parts)}." if parts else "No attribute could be compared."


def _against_four_fifths(row: MetricRow) -> str:
    if row.status != "ok" or row.lower is None or row.upper is None:
        return NOT_JUDGED
    if row.upper < FOUR_FIFTHS:
        return "below four-fifths"
    return "at least four-fifths" if row.lower >= FOUR_FIFTHS else "undecided"


def widest_finding(rows: Sequence[MetricRow], attribute: str) -> str:
    """Where an attribute's groups differ most, among selection and error rates, in one sentence."""
    gaps = {GAPS[row.metric].rates[0]: row for row in rows if row.attribute == attribute and _is_plain_gap(row)}
    ranked = sorted((rate for rate in _COMPARED if rate in gaps), key=lambda rate: -(gaps[rate].value or 0.0))
    if not ranked:
        return f"By {attribute}, fewer than two groups could be judged."
    rate, gap = ranked[0], gaps[ranked[0]]
    groups = [row for row in rows if row.metric == rate and row.attribute == attribute and row.status == "ok"]
    high, low = (choose(groups, key=lambda row: row.value or 0.0) for choose in (max, min))
    sure = "" if (gap.lower or 0) > 0 else "; groups that are alike could differ as much by chance"
    return (
        f"By {attribute}, the {RATES[rate].title} differs most: {_value(high)} for {high.group} against {_value(low)} "
        f"for {low.group}, a gap of {shown(gap)}{sure}."
    )


def _value(row: MetricRow) -> str:
    return number(row.value, row.unit, row.lower, row.upper)


def _is_plain_gap(row: MetricRow) -> bool:
    gap = GAPS.get(row.metric)
    return gap is not None and gap.kind == "difference" and len(gap.rates) == 1 and row.status == "ok"
