"""The error tree and the error heat map as sections."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from auditkit.evidence.section import Section
from auditkit.fairness.sentences import NOT_JUDGED
from auditkit.fairness.slices.error_figures import heatmap_figure, tree_figure
from auditkit.fairness.slices.view import slice_sections
from auditkit.theme import NO_VALUE, interval, number

_TREE_READING = (
    "Left is everybody; each step to the right divides the rows by one question. A box is as high as it has rows and "
    "as dark as its mean loss on rows that took no part in growing the tree. A triangle marks branches that are "
    "confirmed to be worse than the rows outside them. The table adds the share of all errors that lie in each branch."
)
_TREE_HOW = (
    "Rows were split in two by a seeded hash. On one half the tree was grown: of all questions about one column that "
    "which tells most about the loss, only where it is significant at 5 % after Bonferroni over all questions. Rates, "
    "shares and lifts are of the other half. Intervals hold for all nodes at once; worse than the rest is tested "
    "one-sided (Fisher's exact for 0/1 losses, else a permutation of Welch's t), adjusted by Holm over all nodes."
)
_MAP_READING = (
    "Each cell is the mean loss of the rows that share both values, the darker the worse, with the number of rows. "
    "Cells of too few rows are not judged. Intervals are shown when pointing at a cell."
)
_MAP_HOW = (
    "{chosen} Whether the cells tell anything is tested against tables with the same margins (0/1 losses), shuffled "
    "losses or chi-squared (very many rows). Intervals are Wilson's, or Student's t where losses are not 0 and 1, and "
    "hold for all cells at once."
)
_SEARCHED = (
    "Of {pairs:,} pairs of columns this one tells most about the losses in one half of the rows, by the loss its cells "
    "explain beyond chance; the cells shown are of the other half."
)
_NAMED = "The pair was named beforehand; the cells are of all rows."


def error_analysis_sections(evidence: Any) -> list[Section]:
    """Where a model is wrong: worst slices, error tree, error heat map; those for which there is evidence."""
    slices, tree, cells = (evidence.table(f"fairness/{name}") for name in ("slices", "error_tree", "error_heatmap"))
    made: list[Section] = []
    if slices is not None and tree is not None:
        made += slice_sections(slices, tree.column("loss")[0].as_py())
    if tree is not None:
        made += tree_sections(tree)
    if cells is not None:
        made += heatmap_sections(cells)
    return made


def tree_sections(table: pa.Table) -> list[Section]:
    """The section of an error tree. table: the evidence `error_tree`."""
    lines = table.to_pylist()
    title = "Error tree"
    if len(lines) < 2:
        finding = "No question about any column tells where the errors lie: none divides them better than chance."
        if lines and lines[0]["search_loss"] == 0:
            finding = "There is nothing to divide: no searched row has an error."
        return [Section(key="error-tree", title=title, finding=finding, how=_TREE_HOW)]
    shown = pa.table(
        {
            "rows that": [line["slice"] for line in lines],
            "verdict": [_verdict(line) for line in lines],
            "rows": [number(line["n"], "rows") for line in lines],
            "mean loss [interval]": [_valued(line) for line in lines],
            "share of all loss": [number(line["coverage"], "rate") for line in lines],
            "times everyone's": [NO_VALUE if line["lift"] is None else f"{line['lift']:.2f}" for line in lines],
            "where grown": [number(line["search_loss"], line["unit"]) for line in lines],
        }
    )
    return [
        Section(
            key="error-tree",
            title=title,
            finding=_tree_finding(lines),
            figure=tree_figure(table),
            reading=_TREE_READING,
            table=shown,
            how=_TREE_HOW,
        )
    ]


def _verdict(line: dict[str, Any]) -> str:
    if line["parent"] is None:
        return NO_VALUE
    return NOT_JUDGED if line["loss"] is None else "worse than the rest" if line["confirmed"] else "not confirmed"


def _valued(line: dict[str, Any]) -> str:
    if line["loss"] is None:
        return NO_VALUE
    low, high = line["lower"], line["upper"]
    return f"{number(line['loss'], line['unit'], low, high)} {interval(low, high, line['unit'])}"


def _tree_finding(lines: list[dict[str, Any]]) -> str:
    found = [line for line in lines if line["confirmed"]]
    if not found:
        return "No branch is confirmed to be worse than the rows outside it."
    worst = max(found, key=lambda line: line["loss"])
    rate = worst["unit"] == "rate"
    value = number(worst["loss"], worst["unit"], worst["lower"], worst["upper"])
    share, size = number(worst["coverage"], "rate"), number(worst["confirm_n"] / lines[0]["confirm_n"], "rate")
    mine = f"{value} wrong" if rate else f"mean loss {value}"
    everyone = number(lines[0]["loss"], worst["unit"])
    return (
        f"Worst confirmed branch: {worst['slice']}, with {mine}; everyone has {everyone}. "
        f"It holds {share} of all {'errors' if rate else 'loss'} in {size} of the rows."
    )


def heatmap_sections(table: pa.Table) -> list[Section]:
    """The section of an error heat map. table: the evidence `error_heatmap`."""
    if table.num_rows == 0:
        return []
    lines = table.to_pylist()
    first, judged = lines[0], [line for line in lines if line["loss"] is not None]
    shown = pa.table(
        {
            first["down"]: [line["row_label"] for line in lines],
            _apart(first["across"], first["down"]): [line["column_label"] for line in lines],
            "rows in the cell": [number(line["n"], "rows") for line in lines],
            "mean loss [interval]": [_valued(line) if line["loss"] is not None else NOT_JUDGED for line in lines],
            "share of all loss": [number(line["coverage"], "rate") for line in lines],
        }
    )
    chosen = _SEARCHED.format(pairs=first["pairs"]) if first["searched"] else _NAMED
    return [
        Section(
            key="error-heatmap",
            title=f"Errors by {first['down']} and {first['across']}",
            finding=_map_finding(first, judged, len(lines) - len(judged), 0.05),
            figure=heatmap_figure(table),
            reading=_MAP_READING,
            table=shown,
            how=_MAP_HOW.format(chosen=chosen),
        )
    ]


def _apart(name: str, other: str) -> str:
    taken = {other, "rows in the cell", "mean loss [interval]", "share of all loss"}
    return f"{name} (across)" if name in taken else name


def _map_finding(first: dict[str, Any], judged: list[dict[str, Any]], left_out: int, level: float) -> str:
    small = f" {left_out} cells have too few rows to be judged." if left_out else ""
    names = f"{first['down']} and {first['across']}"
    p = "< 0.001" if first["p"] < 0.001 else f"= {first['p']:.3f}"
    if not judged or first["p"] > level:
        return f"No pair of columns is confirmed to tell where the errors lie; {names} came closest (p {p}).{small}"
    worst = max(judged, key=lambda line: line["lower"])
    value = number(worst["loss"], worst["unit"], worst["lower"], worst["upper"])
    return (
        f"{names} tell where the errors lie (p {p}): worst are {worst['row_label']}, {worst['column_label']} "
        f"with {value}; everyone has {number(first['overall'], first['unit'])}.{small}"
    )
