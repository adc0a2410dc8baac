"""How much of a verdict hangs on labels and groups being right, as a section. Nothing is computed here."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from auditkit.evidence.section import Section
from auditkit.fairness.groups.definitions import GAPS
from auditkit.fairness.sensitivity.figures import MOST_PANELS, gap_bands
from auditkit.theme import number

SHOWN = "equalized_odds_difference"
_ERRORS = {"labels": "labels", "groups": "group memberships"}
_READING = (
    "The line is the gap as observed; the band reaches from the smallest to the largest it could be if so many labels "
    "or group memberships were wrong, in the places where it matters most. Dotted: the gap there would be in truth if "
    "labels were wrong at random, alike in all groups."
)
_HOW = (
    "Worst cases are exact for each group's rate: errors up to the given share of the group's rows fall where they "
    "lower or raise it most. They are no estimate of how many errors there are. A verdict stands up to a share if even "
    "the worst such gap, moved by the interval it has, stays on its side of the limit (breakdown point)."
)


def sensitivity_sections(evidence: Any) -> list[Section]:
    """The section, where the evidence holds the table."""
    table = evidence.table("fairness/sensitivity")
    if table is None or table.num_rows == 0:
        return []
    verdicts = evidence.table("fairness/verdict_sensitivity")
    stands = [] if verdicts is None else verdicts.to_pylist()
    records = [record for record in table.to_pylist() if record["metric"] == SHOWN]
    panels: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for record in records:
        panels.setdefault((record["attribute"], record["errors"]), []).append(record)
    left = len(panels) - MOST_PANELS
    reading = _READING + (f" {left} more are in the evidence." if left > 0 else "")
    return [
        Section(
            key="sensitivity",
            title="If labels or groups were wrong",
            finding=_finding(stands, records),
            figure=gap_bands(panels) if panels else None,
            reading=reading if panels else "",
            table=_verdicts(stands) if stands else None,
            how=_HOW,
        )
    ]


def _finding(stands: Sequence[dict[str, Any]], records: Sequence[dict[str, Any]]) -> str:
    weak = sorted((each for each in stands if not each["stands_all"]), key=lambda each: each["stands_up_to"])
    if weak:
        first = weak[0]
        return (
            f"The verdict that hangs most on the data being right: {GAPS[first['metric']].title} by "
            f"{first['attribute']} ({first['verdict']}) stands while at most {_share(first)} of "
            f"{_ERRORS[first['errors']]} are wrong."
        )
    if stands:
        return "Every verdict stands even if a quarter of the labels or group memberships were wrong."
    one = [record for record in records if record["share"] == 0.01 and record["errors"] == "labels"]
    if not one:
        return "No gap could be judged."
    widest = max(one, key=lambda record: record["largest"] - record["smallest"])
    low, high = number(widest["smallest"], "points"), number(widest["largest"], "points")
    return (
        f"If 1 % of labels were wrong in the worst places, the {GAPS[SHOWN].title} by {widest['attribute']} could be "
        f"anything from {low} to {high}."
    )


def _verdicts(stands: Sequence[dict[str, Any]]) -> pa.Table:
    return pa.table(
        {
            "gate": [GAPS[each["metric"]].title for each in stands],
            "by": [each["attribute"] for each in stands],
            "condition": [each["condition"] for each in stands],
            "verdict": [each["verdict"] for each in stands],
            "if wrong": [_ERRORS[each["errors"]] for each in stands],
            "stands up to": [_share(each) for each in stands],
        }
    )


def _share(stands: dict[str, Any]) -> str:
    return "25 % or more" if stands["stands_all"] else f"{100 * stands['stands_up_to']:.2f} %"
