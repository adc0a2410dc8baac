"""Where is it wrong? Worst slices, error tree and error heat map of one table, as evidence."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy.typing as npt

from auditkit.errors import InputError
from auditkit.evidence.metrics import Caveat, Findings, MetricRow
from auditkit.fairness.slices import search_halves
from auditkit.fairness.slices.halves import split_rows
from auditkit.fairness.slices.heatmap import error_heatmap
from auditkit.fairness.slices.tree import grow

_SLICE = "on the half of the rows that was not searched; holds for all listed slices at once"
_BRANCH = "on the half of the rows that the tree was not grown on; holds for all nodes at once"
_MAP = "share of the losses' variance that the cells explain beyond chance, on rows that did not choose the pair"


def error_analysis_findings(
    columns: Mapping[str, Any],
    loss: npt.ArrayLike,
    *,
    seed: int = 0,
    confidence: float = 0.95,
    minimum_group: int = 30,
    split: str = "",
    pair: tuple[str, str] | None = None,
) -> Findings:
    """Tables `slices`, `error_tree` and `error_heatmap`, and what they confirm as metric rows.

    columns, loss: as `find_slices` takes them; rows without a loss are to be left out beforehand. pair: the columns of
    the heat map, searched for when left out. A table that cannot be searched leaves a caveat and no number.

    >>> sex, hours = ["f", "m"] * 1600, [at // 2 % 80 for at in range(3200)]
    >>> wrong = [s == "f" and h < 20 for s, h in zip(sex, hours)]
    >>> found = error_analysis_findings({"sex": sex, "hours": hours}, wrong)
    >>> sorted(found.tables)
    ['error_heatmap', 'error_tree', 'slices']
    >>> [row.detail for row in found.metrics if row.metric == "branch_error_rate"]
    ['hours < 20 and sex = f']
    """
    made = Findings()
    try:
        halves = split_rows(columns, loss, None, seed)
    except InputError as problem:
        text = f"no worst slice was searched for: {problem}"
        made.caveats.append(Caveat("fairness", text, "fairness/slices", "note"))
        return made
    what, unit = ("error_rate", "rate") if halves.binary else ("mean_loss", "")
    row = partial(MetricRow, "fairness", split=split, confidence=confidence)
    worst = partial(row, unit=unit, better="lower")
    slices = search_halves(halves, seed=seed, confidence=confidence)
    made.tables["slices"] = slices.table()
    made.metrics.append(row("confirmed_slices", value=float(len(slices.found)), n=halves.rows, better="lower"))
    made.metrics += [
        worst(
            f"slice_{what}",
            detail=one.text,
            value=one.confirm_loss,
            lower=one.loss_lower,
            upper=one.loss_upper,
            n=one.confirm_n,
            method=_SLICE,
        )
        for one in slices.found
    ]
    tree = grow(halves, seed=seed, confidence=confidence)
    made.tables["error_tree"] = tree.table()
    made.metrics.append(row("confirmed_branches", value=float(len(tree.confirmed)), n=halves.rows, better="lower"))
    made.metrics += [
        worst(
            f"branch_{what}",
            detail=node.text,
            value=node.seen.loss,
            lower=node.seen.loss_lower,
            upper=node.seen.loss_upper,
            n=node.seen.n,
            method=_BRANCH,
        )
        for node in tree.confirmed
        if node.leaf and node.seen is not None
    ]
    try:
        shown = error_heatmap(halves, pair, minimum_rows=minimum_group, seed=seed, confidence=confidence)
    except InputError as problem:
        made.caveats.append(Caveat("fairness", f"no error heat map: {problem}", "fairness/error_heatmap", "note"))
        return made
    made.tables["error_heatmap"] = shown.table()
    names = f"{shown.down.name} and {shown.across.name}"
    made.metrics.append(
        row("error_explained", detail=names, value=shown.explained, n=int(shown.n.sum()), unit="rate", method=_MAP)
    )
    return made
