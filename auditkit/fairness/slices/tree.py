"""The error tree: where the rows with a loss lie, told by a few questions; grown on one half, confirmed on the other.

    tree = error_tree(columns, prediction != label)
    [node.text for node in tree.nodes if node.confirmed]

The idea is that of the error analysis of the Responsible AI Toolbox (a shallow tree over what goes wrong), with three
differences. It looks at all rows and re-uses losses that are stored, so that nothing is predicted again. It stops where
chance would do as well: a branch is divided only if the best of all its divisions is significant at 5 % after
Bonferroni over them, in the half it is grown on. And what a node shows comes from the other half, which had no part in
choosing it: its mean loss with bounds that hold for all nodes at once, and a test of whether it is worse than all rows
outside it (`confirm.py`), Holm over all nodes.

A division asks of one column whether a number lies below one of its quantile cuts, whether a category is one value, or
whether there is a value at all; rows without a value are a branch of their own. Of the divisions of a node with n rows,
summed loss s and variance v, that one is taken whose

    Σ over branches of s_k² / n_k  -  s² / n,   over v,

is the least likely by chance (chi-squared; for 0/1 losses that is Pearson's test of homogeneity). It is computed from
histograms of bins, level by level, so that the work is the number of rows times columns times depth.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from scipy.special import chdtrc

from auditkit.errors import InputError
from auditkit.fairness.slices.confirm import Confirmation, confirm_slices, mean_interval
from auditkit.fairness.slices.halves import Half, Halves, split_rows
from auditkit.fairness.slices.predicates import Coded

DEPTH = 3
GROWTH_LEVEL = 0.05

_COUNT, _NUMBER, _TEXT = pa.int64(), pa.float64(), pa.string()
SCHEMA = pa.schema(
    {"node": _COUNT, "parent": _COUNT, "depth": _COUNT, "leaf": pa.bool_(), "condition": _TEXT, "slice": _TEXT}
    | {"n": _COUNT, "search_n": _COUNT, "search_loss": _NUMBER, "search_coverage": _NUMBER, "confirm_n": _COUNT}
    | {"loss": _NUMBER, "lower": _NUMBER, "upper": _NUMBER, "coverage": _NUMBER, "lift": _NUMBER, "gap": _NUMBER}
    | {"gap_lower": _NUMBER, "gap_upper": _NUMBER, "p": _NUMBER, "adjusted_p": _NUMBER, "confirmed": pa.bool_()}
    | {"unit": _TEXT, "reason": _TEXT}
)
"""The columns of the evidence table; `loss` to `confirmed` are of the half that confirms. See `Node`."""

Floats = npt.NDArray[np.float64]
Booleans = npt.NDArray[np.bool_]
Integers = npt.NDArray[np.int64]


@dataclass
class Node:
    """A branch: the rows that fulfil all conditions on the way to it. The root, 0, is everybody.

    condition: the last condition, text: all of them. n: rows of both halves. seen: what the other half says, None for
    the root. coverage: the share of all loss that lies in it (the share of all errors); lift: its mean over everyone's.
    """

    node: int
    parent: int | None
    depth: int
    column: int | None = None
    bins: dict[int, Booleans] = field(default_factory=dict)
    condition: str = "all rows"
    text: str = "all rows"
    leaf: bool = True
    search: Booleans = field(default_factory=lambda: np.zeros(0, dtype=bool))
    confirm: Booleans = field(default_factory=lambda: np.zeros(0, dtype=bool))
    seen: Confirmation | None = None

    @property
    def confirmed(self) -> bool:
        """Whether it is worse than the rows outside it, by the half it was not grown on."""
        return self.seen is not None and self.seen.confirmed


@dataclass(frozen=True)
class ErrorTree:
    """A grown and confirmed tree. Nodes come parents first; the first is everybody."""

    nodes: list[Node]
    halves: Halves
    confidence: float

    @property
    def confirmed(self) -> list[Node]:
        """The nodes that are worse than the rows outside them."""
        return [node for node in self.nodes if node.confirmed]

    def table(self) -> pa.Table:
        """One record per node, with the columns of `SCHEMA`."""
        grown, other = self.halves.search.loss, self.halves.confirm.loss
        unit = "rate" if self.halves.binary else ""
        return pa.Table.from_pylist([_record(node, grown, other, unit) for node in self.nodes], SCHEMA)


def error_tree(
    columns: Mapping[str, Any],
    loss: npt.ArrayLike,
    *,
    depth: int = DEPTH,
    minimum_rows: int | None = None,
    seed: int = 0,
    confidence: float = 0.95,
) -> ErrorTree:
    """Grow an error tree and confirm its nodes. Arguments as in `find_slices`; depth: divisions on the way to a leaf.

    minimum_rows: fewest rows of a branch in the half that the tree is grown on; only the branch of rows without a value
    may have fewer, and is then not judged. The result does not depend on the order of rows.

    Raises InputError for columns of different lengths, losses that are none, or too few rows.

    >>> sex, hours = np.array(["f", "m"] * 1600), np.arange(3200) // 2 % 80
    >>> tree = error_tree({"sex": sex, "hours": hours}, (sex == "f") & (hours < 20))
    >>> [node.text for node in tree.nodes if node.confirmed and node.leaf]
    ['hours < 20 and sex = f']
    """
    return grow(split_rows(columns, loss, minimum_rows, seed), depth, seed, confidence)


def grow(halves: Halves, depth: int = DEPTH, seed: int = 0, confidence: float = 0.95) -> ErrorTree:
    """`error_tree` of rows that are already split and coded."""
    if not 1 <= depth <= DEPTH:
        raise InputError(f"slices: an error tree has a depth from 1 to {DEPTH}, got {depth}")
    if not 0.5 < confidence < 1:
        raise InputError(f"slices: confidence must lie between 0.5 and 1, got {confidence:g}; 0.95 is usual")
    search, confirm = halves.search, halves.confirm
    every = np.ones(len(search.loss), dtype=bool), np.ones(len(confirm.loss), dtype=bool)
    used = [
        np.bincount(mine.codes, minlength=mine.bins) + np.bincount(other.codes, minlength=mine.bins) > 0
        for mine, other in zip(search.columns, confirm.columns, strict=True)
    ]
    nodes = [Node(0, None, 0, search=every[0], confirm=every[1])]
    level = nodes[:]
    for _ in range(depth):
        below: list[Node] = []
        for node, division in zip(level, _divisions(level, search, halves.minimum_rows), strict=True):
            if division is not None:
                node.leaf = False
                below += _children(node, division, search, confirm, used, len(nodes) + len(below))
        nodes += below
        level = below
    fewest = halves.minimum_rows
    judged = [node for node in nodes[1:] if fewest <= node.confirm.sum()]
    rng = np.random.default_rng([seed, 0x7EEE])
    told = confirm_slices([node.confirm for node in judged], confirm.loss, confidence, rng, others=1)
    for node, seen in zip(judged, told, strict=True):
        node.seen = seen
    for node in nodes[1:]:
        if node.seen is None:
            rows = int(node.confirm.sum())
            node.seen = Confirmation(rows, reason=f"{rows:,} rows to confirm on, fewer than {fewest:,}")
    low, high = mean_interval(confirm.loss, 1 - (1 - confidence) / (len(judged) + 1), halves.binary)
    nodes[0].seen = Confirmation(len(confirm.loss), float(confirm.loss.mean()), low, high)
    return ErrorTree(nodes, halves, confidence)


Division = tuple[int, list[Booleans]]
"""A column's place and the bins of each branch."""


def _divisions(level: list[Node], half: Half, fewest: int) -> list[Division | None]:
    """The best division of each node of a level, None where none is better than chance."""
    place = np.full(len(half.loss), -1)
    for at, node in enumerate(level):
        place[node.search] = at
    rows = np.flatnonzero(place >= 0)
    if not len(rows):
        return [None] * len(level)
    place, loss = place[rows], half.loss[rows]
    n = np.bincount(place, minlength=len(level))
    total = np.bincount(place, weights=loss, minlength=len(level))
    squares = np.bincount(place, weights=loss * loss, minlength=len(level))
    best: list[tuple[float, float, Division] | None] = [None] * len(level)
    tried = [0] * len(level)
    for at, column in enumerate(half.columns):
        codes = place * column.bins + column.codes[rows]
        shape = len(level), column.bins
        counts = np.bincount(codes, minlength=shape[0] * shape[1]).reshape(shape)
        totals = np.bincount(codes, weights=loss, minlength=shape[0] * shape[1]).reshape(shape)
        divisions = list(branches(column))
        for here in range(len(level)):
            variance = squares[here] / max(1, n[here]) - (total[here] / max(1, n[here])) ** 2
            if variance <= 1e-12 * squares[here] or n[here] < 2 * fewest:
                continue
            for sides in divisions:
                found = _significance(counts[here], totals[here], sides, float(variance), fewest)
                if found is None:
                    continue
                tried[here] += 1
                p, gain = found
                known = best[here]
                if known is None or (p, -gain) < (known[0], -known[1]):
                    best[here] = p, gain, (at, sides)
    return [
        None if found is None or found[0] * tries > GROWTH_LEVEL else found[2]
        for found, tries in zip(best, tried, strict=True)
    ]


def branches(column: Coded) -> Iterator[list[Booleans]]:
    """All divisions of a column: the bins of each branch, which together are all bins once.

    >>> from auditkit.fairness.slices.predicates import code
    >>> coded = code("sex", pa.array(["f", "m", None]), 1)
    >>> [[int(side.sum()) for side in sides] for sides in branches(coded)]
    [[1, 2, 1], [1, 2, 1], [3, 1]]
    """
    missing = np.zeros(column.bins, dtype=bool)
    for predicate, member in zip(column.predicates, column.member, strict=True):
        if predicate.kind == "missing":
            missing = member
    ordered = any(predicate.kind == "range" for predicate in column.predicates)
    for predicate, member in zip(column.predicates, column.member, strict=True):
        if predicate.kind == "missing":
            yield [~member, member]
        elif not ordered or member[0]:
            sides = [member, ~member & ~missing]
            yield [*sides, missing] if missing.any() else sides


def _significance(
    counts: Integers, totals: Floats, sides: list[Booleans], variance: float, fewest: int
) -> tuple[float, float] | None:
    """How likely by chance a division is, and what it explains; None where a branch has too few rows."""
    n = [int(counts[side].sum()) for side in sides]
    if min(n[:2]) < fewest:
        return None
    sums = [float(totals[side].sum()) for side in sides]
    gain = sum(s * s / k for s, k in zip(sums, n, strict=True) if k) - sum(sums) ** 2 / sum(n)
    freedom = sum(k > 0 for k in n) - 1
    return float(chdtrc(freedom, max(0.0, gain) / variance)), gain


def _children(
    node: Node, division: Division, search: Half, confirm: Half, used: list[Booleans], number: int
) -> list[Node]:
    at, sides = division
    made: list[Node] = []
    for side in sides:
        inside = node.search & side[search.columns[at].codes], node.confirm & side[confirm.columns[at].codes]
        if not (inside[0].any() or inside[1].any()):
            continue
        bins = node.bins | {at: node.bins.get(at, used[at]) & side}
        texts = {place: _told(search.columns[place], mask, used[place]) for place, mask in bins.items()}
        made.append(
            Node(
                number + len(made),
                node.node,
                node.depth + 1,
                column=at,
                bins=bins,
                condition=texts[at],
                text=" and ".join(texts.values()),
                search=inside[0],
                confirm=inside[1],
            )
        )
    return made


def _told(column: Coded, bins: Booleans, used: Booleans) -> str:
    """A set of a column's bins, of those that have rows, as a person reads it."""
    missing = np.zeros(column.bins, dtype=bool)
    for predicate, member in zip(column.predicates, column.member, strict=True):
        if (member & used == bins).all():
            return predicate.text
        if predicate.kind == "missing":
            missing = member
    if (bins == used & ~missing).all():
        return f"{column.name} is not missing"
    left_out = [
        str(predicate.value)
        for predicate, member in zip(column.predicates, column.member, strict=True)
        if predicate.kind == "equals" and member.sum() == 1 and not (member & bins).any()
    ]
    return f"{column.name} ≠ {', '.join(left_out)}"


def _record(node: Node, grown: Floats, other: Floats, unit: str) -> dict[str, Any]:
    seen = node.seen or Confirmation(0)
    search_n, mine, total = int(node.search.sum()), float(grown[node.search].sum()), float(other.sum())
    mean = total / len(other)
    return {
        "node": node.node,
        "parent": node.parent,
        "depth": node.depth,
        "leaf": node.leaf,
        "condition": node.condition,
        "slice": node.text,
        "n": search_n + seen.n,
        "search_n": search_n,
        "search_loss": mine / search_n if search_n else None,
        "search_coverage": mine / float(grown.sum()) if grown.any() else None,
        "confirm_n": seen.n,
        "loss": seen.loss,
        "lower": seen.loss_lower,
        "upper": seen.loss_upper,
        "coverage": float(other[node.confirm].sum()) / total if total else None,
        "lift": seen.loss / mean if seen.loss is not None and mean else None,
        "gap": seen.gap,
        "gap_lower": seen.lower,
        "gap_upper": seen.upper,
        "p": seen.p,
        "adjusted_p": seen.adjusted_p,
        "confirmed": seen.confirmed,
        "unit": unit,
        "reason": seen.reason,
    }
