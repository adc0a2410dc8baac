"""Small cells withheld, so that counts can be given away: no withheld number can be computed from what is published.

Published are the counts of every attribute, of attributes crossed, and of everybody: rows by group, label and decision,
and the rows of each group. A number below the limit is withheld (primary suppression), a zero too, since it can tell
what was decided about everybody in a group. That alone protects nothing, because totals give the number back. So for
each withheld number the least and the greatest value are found that all published numbers together allow, as whole
numbers. A small number must keep a range as wide as the limit, one withheld for its sake at least two values; until
they do, one more number is withheld (complementary suppression): one that the bound rests on, as the dual prices of
the linear programme tell, first in groups that are incomplete already, then where the fewest rows are lost.

Source: Hundepool et al. (2012), Statistical Disclosure Control, chapter 4; Fischetti and Salazar (2001), Management
Science 47(7), 1008-1027, whose attacker this is. A limit of 10 is usual in official health statistics.

The attacker knows what is published here and nothing else: who knows some of the people, or has a second publication of
the same rows with other cells withheld, can tell more. Some hundred crossed groups take seconds, not milliseconds.

A group with a withheld number is not judged: it is `insufficient` in every metric, and a gate over it never passes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from auditkit.errors import InputError
from auditkit.fairness.counting.counts import MISSING, Counts, Group, Integers, Weights, joined
from auditkit.fairness.groups.inference import subsets

SMALLEST = 10
OTHER = "(other)"
Booleans = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Shown:
    """What is published of one margin. cells: int64 [groups, label, decision]; rows: int64 [groups]; what is withheld
    is 0 there and True in `withheld` (like cells) and `rows_withheld`. weights: of whole groups, 0 where incomplete."""

    groups: tuple[Group, ...]
    cells: Integers
    rows: Integers
    withheld: Booleans
    rows_withheld: Booleans
    weights: Weights | None = None

    @property
    def incomplete(self) -> Booleans:
        """Which groups lack a number: bool [groups]."""
        return self.withheld.any(axis=(1, 2)) | self.rows_withheld


@dataclass(frozen=True)
class SuppressedCounts(Counts):
    """Counts with small cells withheld. `cells` is 0 for all of an incomplete group: no rate of it can be judged.

    margins: attributes → what is published; they do not add up, since each lacks other groups.
    """

    smallest: int = SMALLEST
    margins: Mapping[tuple[str, ...], Shown] = field(default_factory=lambda: MappingProxyType({}))

    @classmethod
    def of(
        cls, attributes: tuple[str, ...], smallest: int, margins: Mapping[tuple[str, ...], Shown]
    ) -> SuppressedCounts:
        """The counts over `attributes`, which must be one of the margins."""
        shown = margins[attributes]
        whole = ~shown.incomplete
        return cls(attributes, shown.groups, shown.cells * whole.reshape(-1, 1, 1), shown.weights, smallest, margins)

    @property
    def shown(self) -> Shown:
        """What is published over all the attributes."""
        return self.margins[self.attributes]

    @property
    def rows(self) -> int:
        """How many rows were counted, withheld ones among them."""
        return int(self.margins[()].rows[0])

    @property
    def incomplete(self) -> list[str]:
        """The names of the groups that lack a number."""
        return [name for name, lacks in zip(self.names, self.shown.incomplete, strict=True) if lacks]

    @property
    def missing(self) -> dict[str, int]:
        """Attribute → rows without a value of it, where there are any and their number is published."""
        found = {}
        for name in self.attributes:
            shown = self.margins[(name,)]
            if (MISSING,) in shown.groups and not shown.rows_withheld[shown.groups.index((MISSING,))]:
                found[name] = int(shown.rows[shown.groups.index((MISSING,))])
        return found

    def margin(self, attributes: Sequence[str]) -> SuppressedCounts:
        """What is published over some of the attributes. Raises InputError where nothing is."""
        wanted = tuple(attributes)
        if wanted not in self.margins:
            raise InputError(f"counts over {joined(wanted)!r} were not published with the small cells withheld")
        return SuppressedCounts.of(wanted, self.smallest, self.margins)

    def plain(self) -> Counts:
        """The same as counts that know of no withholding: an incomplete group has no rows."""
        return Counts(self.attributes, self.groups, self.cells, self.weights)

    def table(self, split: str = "") -> pa.Table:
        """One record per group with its rows and cells, null where withheld."""
        shown = self.shown
        same = {"split": [split] * len(self.groups), "attribute": [joined(self.attributes)] * len(self.groups)}
        columns = {"n": (shown.rows, shown.rows_withheld)} | {
            name: (shown.cells[:, label, decision], shown.withheld[:, label, decision])
            for name, label, decision in (("tn", 0, 0), ("fp", 0, 1), ("fn", 1, 0), ("tp", 1, 1))
        }
        made = {name: pa.array(values, pa.int64(), mask=mask) for name, (values, mask) in columns.items()}
        table = pa.table({**same, "group": self.names, **made})
        if shown.weights is not None:
            for name, weight in zip(("tn", "fp", "fn", "tp"), shown.weights.total.reshape(-1, 4).T, strict=True):
                table = table.append_column(f"weight_{name}", pa.array(weight, mask=shown.incomplete))
        return table


def suppress(counts: Counts, smallest: int = SMALLEST) -> SuppressedCounts:
    """Withhold every number below `smallest`, and as many others as it takes that none can be computed.

    Raises InputError where all rows together are fewer than `smallest`, or the limit is below 2.

    >>> cells = np.array([[[40, 30], [20, 60]], [[20, 15], [3, 12]], [[50, 30], [25, 11]]])
    >>> kept = suppress(Counts(("race",), (("a",), ("b",), ("c",)), cells))
    >>> kept.incomplete, kept.rows
    (['b', 'c'], 316)
    """
    if smallest < 2:
        raise InputError(f"smallest must be at least 2, got {smallest}; 10 is usual")
    if isinstance(counts, SuppressedCounts):
        raise InputError("small cells are withheld from these counts already")
    if counts.rows < smallest:
        raise InputError(f"there are only {counts.rows} rows in all, fewer than the {smallest} that may be published")
    return _withheld(counts, smallest, Disclosure(counts, smallest).withheld())


def merge_small(counts: Counts, smallest: int = SMALLEST, other: str = OTHER) -> Counts:
    """Values of an attribute with a cell of label × decision below `smallest`, merged into one, where there are two.

    >>> cells = np.array([[[90, 90], [90, 90]], [[2, 1], [0, 3]], [[5, 1], [1, 3]]])
    >>> merge_small(Counts(("race",), (("a",), ("b",), ("c",)), cells)).groups
    (('(other)',), ('a',))
    """
    renamed: dict[str, dict[str, str]] = {}
    for attribute in counts.attributes:
        margin = counts.margin([attribute])
        low = margin.cells.reshape(-1, 4).min(axis=1) < smallest
        small = [group[0] for group, is_small in zip(margin.groups, low, strict=True) if is_small]
        renamed[attribute] = dict.fromkeys(small, other) if len(small) > 1 else {}
    names = [
        tuple(renamed[attribute].get(value, value) for attribute, value in zip(counts.attributes, group, strict=True))
        for group in counts.groups
    ]
    groups = tuple(sorted(set(names)))
    places = np.array([groups.index(name) for name in names], dtype=np.int64)
    cells = np.zeros((len(groups), 2, 2), dtype=np.int64)
    np.add.at(cells, places, counts.cells)
    weights = None if counts.weights is None else counts.weights.added(places, len(groups))
    return Counts(counts.attributes, groups, cells, weights)


def _withheld(counts: Counts, smallest: int, hidden: Mapping[tuple[str, ...], Booleans]) -> SuppressedCounts:
    """hidden: attributes → bool [groups, 5], the four cells and the group's rows."""
    margins = {}
    for attributes, mask in hidden.items():
        part = counts.margin(attributes)
        cells, rows = mask[:, :4].reshape(-1, 2, 2), mask[:, 4]
        whole = ~np.asarray(mask.any(axis=1))[:, None, None]
        weights = None if part.weights is None else Weights(part.weights.total * whole, part.weights.squares * whole)
        margins[attributes] = Shown(
            part.groups, part.cells * ~cells, part.cells.sum(axis=(1, 2)) * ~rows, cells, rows, weights
        )
    return SuppressedCounts.of(counts.attributes, smallest, margins)


class Disclosure:
    """What an attacker can compute: each number that could be published is a sum of unknown cells, none below 0.

    sums: bool [numbers, cells], which of the finest cells each number is a sum of; values: int64 [numbers].
    """

    def __init__(self, counts: Counts, smallest: int) -> None:
        from scipy.sparse import csr_array

        self.smallest = smallest
        self.margins = {attributes: counts.margin(attributes) for attributes in _published(counts.attributes)}
        sums, values = [], []
        for attributes, part in self.margins.items():
            _, places = counts.places(attributes)
            inside = places == np.arange(len(part.groups))[:, None]
            cells = (inside[:, None, :, None] & np.eye(4, dtype=bool)[:, None, :]).reshape(len(part.groups), 4, -1)
            sums.append(np.concatenate([cells, cells.any(axis=1, keepdims=True)], axis=1).reshape(-1, cells.shape[2]))
            flat = part.cells.reshape(-1, 4)
            values.append(np.concatenate([flat, flat.sum(axis=1, keepdims=True)], axis=1).ravel())
        self.sums, self.values = np.concatenate(sums), np.concatenate(values)
        depth = [len(attributes) for attributes, part in self.margins.items() for _ in range(5 * len(part.groups))]
        self.depth = np.array(depth)
        self.fixed = self.sums.all(axis=1)
        self.hidden = (self.values < smallest) & ~self.fixed
        self.apart = np.where(self.hidden, smallest, 1)
        self.low, self.high = self.values.copy(), self.values.copy()
        self.matrix = csr_array(self.sums.astype(np.float64))

    def withheld(self) -> dict[tuple[str, ...], Booleans]:
        """Attributes → what is withheld: bool [groups, 5], the four cells and the group's rows."""
        waiting = np.flatnonzero(self.hidden).tolist()
        while waiting:
            number = waiting.pop()
            while (complement := self._exposed(number)) is not None:
                self.hidden[complement] = True
                waiting.append(complement)
        found, start = {}, 0
        for attributes, part in self.margins.items():
            stop = start + 5 * len(part.groups)
            found[attributes] = self.hidden[start:stop].reshape(-1, 5)
            start = stop
        return found

    def _exposed(self, number: int) -> int | None:
        """A published number to withhold too, or None where this one is protected."""
        if self._protected(number):
            return None
        prices = np.zeros(len(self.values))
        for sign in (1, -1):
            prices += self._attack(sign * self.sums[number].astype(float))
            if self._protected(number):
                return None
        open_ones = ~self.hidden & ~self.fixed
        candidates = np.flatnonzero(open_ones & (prices > 1e-9))
        if not len(candidates):
            candidates = np.flatnonzero(open_ones & (self.sums & self.sums[number]).any(axis=1))
        whole = ~np.repeat(self.hidden.reshape(-1, 5).any(axis=1), 5)
        lost = np.repeat(self.values[4::5], 5) * whole
        order = np.lexsort((self.values[candidates], -self.depth[candidates], lost[candidates]))
        return int(candidates[order[0]])

    def _protected(self, number: int) -> bool:
        return bool(self.high[number] - self.low[number] >= self.apart[number])

    def _attack(self, target: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Minimise a sum of cells given all that is published, and note what every number then is: `low` and `high` are
        the least and greatest seen, and stay possible as more is withheld. Returns what each number costs."""
        from scipy.optimize import Bounds, LinearConstraint, linprog, milp

        known = np.flatnonzero(~self.hidden)
        matrix, told = self.matrix[known], self.values[known]
        relaxed = linprog(target, A_eq=matrix, b_eq=told, bounds=(0, None), method="highs")  # type: ignore[call-overload]
        if not relaxed.success:
            raise RuntimeError(f"the linear programme was not solved: {relaxed.message}")
        cells = np.rint(relaxed.x)
        if not np.array_equal(matrix @ cells, told):
            whole = milp(target, constraints=LinearConstraint(matrix, told, told), bounds=Bounds(0, np.inf),
                         integrality=np.ones(len(target), dtype=np.int64), options={"time_limit": 10.0})  # fmt: skip
            cells = np.rint(whole.x) if whole.x is not None else cells
        if np.array_equal(matrix @ cells, told):
            told_then = np.rint(self.matrix @ cells).astype(np.int64)
            self.low, self.high = np.minimum(self.low, told_then), np.maximum(self.high, told_then)
        prices = np.zeros(len(self.values))
        prices[known] = np.abs(relaxed.eqlin.marginals)
        return prices


def _published(attributes: tuple[str, ...]) -> list[tuple[str, ...]]:
    """The margins that are published: everybody, each attribute, crossed ones, and all of them."""
    return list(dict.fromkeys([(), *subsets(attributes), attributes]))
