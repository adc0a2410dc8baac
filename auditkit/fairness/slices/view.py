"""Slices as a section: which were found, which were not confirmed."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from auditkit.evidence.section import Section
from auditkit.fairness.slices.figures import slice_intervals
from auditkit.theme import NO_VALUE, interval, number, probability

_READING = (
    "Each dot is a slice's mean loss on rows that took no part in finding it, the line its interval, the dotted line "
    "everyone's. Filled dots are confirmed, open ones are not. The stroke is what the searched rows showed: too high, "
    "since the worst were picked there. Behind a slice stands how many rows it has."
)
_HOW = (
    "Rows were split in two by a seeded hash. One half was searched, exactly, for the slices whose mean loss, less "
    "four standard errors for having been picked, is highest. Those listed were tested on the other half: worse than "
    "the rest by a one-sided test (Fisher's exact for 0/1 losses, else a permutation of Welch's t), adjusted by Holm, "
    "and with a gap whose interval, joint for all listed, lies above zero. Only those that pass both are called found."
)


def slice_sections(table: pa.Table, overall: float) -> list[Section]:
    """The section of a slice search. table: as `SliceSearch.table` gives it; overall: the mean loss of everyone."""
    if table.num_rows == 0:
        finding = "No slice was found: none is both worse than everyone and large enough to be judged."
        return [Section(key="slices", title="Worst slices", finding=finding, how=_HOW)]
    lines = table.to_pylist()
    shown = pa.table(
        {
            "slice": [line["slice"] for line in lines],
            "verdict": ["found" if line["confirmed"] else "not confirmed" for line in lines],
            "rows": [number(line["n"], "rows") for line in lines],
            "mean loss [interval]": [_valued(line, "confirm_loss", "loss_lower", "loss_upper") for line in lines],
            "above the rest [interval]": [_gap(line) or line["reason"] for line in lines],
            "adjusted p": [_p(line["adjusted_p"]) for line in lines],
            "where searched": [number(line["search_loss"], line["unit"]) for line in lines],
        }
    )
    return [
        Section(
            key="slices",
            title="Worst slices",
            finding=_finding(lines, overall),
            figure=slice_intervals(table, overall),
            reading=_READING,
            table=shown,
            how=_HOW,
        )
    ]


def _finding(lines: list[dict[str, Any]], overall: float) -> str:
    found = [line for line in lines if line["confirmed"]]
    if not found:
        many = "The worst slice" if len(lines) == 1 else f"None of the {len(lines)} worst slices"
        return f"No slice was found: {many} of one half was{' not' if len(lines) == 1 else ''} confirmed on the other."
    worst = max(found, key=lambda line: line["confirm_loss"])
    what = "wrong" if worst["unit"] == "rate" else "mean loss"
    value = number(worst["confirm_loss"], worst["unit"], worst["loss_lower"], worst["loss_upper"])
    mine, everyone = f"{value} {what}", number(overall, worst["unit"])
    if worst["unit"] != "rate":
        mine = f"{what} {value}"
    others = len(found) - 1
    further = f" {others} further {'slice is' if others == 1 else 'slices are'} confirmed." if others else ""
    return f"Worst confirmed slice: {worst['slice']}, with {mine}; everyone has {everyone}.{further}"


def _valued(line: dict[str, Any], value: str, lower: str, upper: str, unit: str = "") -> str:
    if line[value] is None:
        return NO_VALUE
    unit = unit or line["unit"]
    low, high = line[lower], line[upper]
    return f"{number(line[value], unit, low, high)} {interval(low, high, unit)}"


def _gap(line: dict[str, Any]) -> str:
    if line["gap"] is None:
        return ""
    return _valued(line, "gap", "lower", "upper", "points" if line["unit"] == "rate" else "")


def _p(value: float | None) -> str:
    return probability(value)
