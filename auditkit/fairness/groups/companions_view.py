"""Whether groups differ at all, and what this many people could have shown, as a section."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa

from auditkit.evidence.metrics import MetricRow, select
from auditkit.evidence.section import Section
from auditkit.fairness.counting.counts import JOIN
from auditkit.fairness.groups.definitions import RATES
from auditkit.fairness.sentences import NOT_JUDGED
from auditkit.theme import number, probability


def _title(detail: str) -> str:
    return RATES[detail].title if detail in RATES else "equalized odds"


def companions_section(rows: Sequence[MetricRow]) -> Section | None:
    """The section, where the rows hold permutation tests."""
    raw = select(rows, metric="any_gap_p_value")
    if not raw:
        return None
    adjusted = {(row.attribute, row.detail): row for row in select(rows, metric="any_gap_p_value_adjusted")}
    smallest = {row.attribute: row for row in select(rows, metric="smallest_detectable_gap")}
    records = [
        {
            "by": row.attribute,
            "rate": _title(row.detail),
            "p": _probability(row),
            "p, all tests together": _probability(adjusted.get((row.attribute, row.detail))),
            "smallest selection gap it could have shown": _gap(smallest.get(row.attribute)),
            "rows": number(row.n, "rows"),
        }
        for row in raw
    ]
    return Section(
        key="any-gap",
        title="Whether groups differ at all",
        finding=_finding(list(adjusted.values())),
        table=pa.Table.from_pylist(records),
        how="Permutation test: people are dealt out to groups anew with all totals kept, and the largest deviation of "
        "a group is compared. p-values are adjusted over all tests of the table (Holm). A large p is no sign of "
        "fairness: the column beside it tells how large a gap between the two smallest judged groups would have had to "
        "be to be seen with a chance of 80 %.",
    )


def _finding(adjusted: Sequence[MetricRow]) -> str:
    sure = [row for row in adjusted if row.value is not None and row.value <= 1 - (row.confidence or 0.95) + 1e-12]
    names = dict.fromkeys(row.attribute for row in sure)
    if not names:
        return "No rate differs between groups beyond what chance alone would show."
    single = [name for name in names if JOIN not in name]
    crossed = len(names) - len(single)
    rates = {name: [_title(row.detail) for row in sure if row.attribute == name] for name in single}
    parts = [f"{name} ({', '.join(titles)})" for name, titles in rates.items()]
    if crossed:
        parts.append("one intersection" if crossed == 1 else f"{crossed} intersections")
    return f"Rates differ beyond chance by {'; '.join(parts)}."


def _probability(row: MetricRow | None) -> str:
    return NOT_JUDGED if row is None or row.value is None else probability(row.value)


def _gap(row: MetricRow | None) -> str:
    return NOT_JUDGED if row is None or row.value is None else number(row.value, row.unit)
