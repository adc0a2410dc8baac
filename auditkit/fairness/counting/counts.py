"""Counts: how many rows fall in each cell of group × label × decision. All that fairness metrics depend on.

A group is a combination of the sensitive attributes' values that occurs; combinations that nobody belongs to are not
kept. Tables of counts add up: the counts of two halves of the data, merged, are those of the whole, and the counts of
fewer attributes are sums over the others.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from auditkit.errors import InputError, nearest
from auditkit.fairness.counting.columns import Column, encode

MISSING = "(missing)"
JOIN = " × "
MAXIMUM_GROUPS = 100
SMALL = 2**20

Integers = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Group = tuple[str, ...]


def joined(names: Sequence[str]) -> str:
    """How several attributes, or the values of a group, are written as one name.

    >>> joined(["sex", "race"])
    'sex × race'
    """
    return JOIN.join(names)


def _group_text(value: object) -> str | None:
    if value == "" or (isinstance(value, float) and value != value):
        return None
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)


@dataclass(frozen=True)
class GroupCodes:
    """Which group each row belongs to. codes: int64 [n], places in `groups`; missing: attribute → rows without it."""

    attributes: tuple[str, ...]
    groups: tuple[Group, ...]
    codes: Integers
    missing: Mapping[str, int]


def encode_column(column: Column) -> tuple[Integers, list[str]]:
    """A column's values as text in sorted order, and each row's place among them; missing ones are a group too.

    >>> codes, names = encode_column(pa.array(["b", None, "a", "b"]))
    >>> names, codes.tolist()
    (['(missing)', 'a', 'b'], [2, 0, 1, 2])
    """
    codes, names = encode(column, _group_text)
    missing = codes < 0
    if not missing.any():
        return codes, names
    every = sorted({*names, MISSING})
    place = np.array([*(every.index(name) for name in names), every.index(MISSING)])
    return place[codes], every


def encode_groups(columns: Mapping[str, Column], where: str) -> GroupCodes:
    """Each row's group over all the given attributes.

    `where` names the data in error sentences. Raises InputError for an attribute with one value only, or with so many
    that it is no grouping of people.
    """
    encoded = {attribute: encode_column(column) for attribute, column in columns.items()}
    for attribute, (_, values) in encoded.items():
        if len(values) < 2:
            only = f"has the one value {values[0]!r}" if values else "has no rows"
            raise InputError(
                f"{where}: sensitive column {attribute!r} {only}; groups are compared, so leave it out or give rows of "
                "at least two groups"
            )
        if len(values) > MAXIMUM_GROUPS:
            raise InputError(
                f"{where}: sensitive column {attribute!r} has {len(values):,} different values, more than the "
                f"{MAXIMUM_GROUPS} that can be compared; put them into bands first (for ages: 18-29, 30-44, …)"
            )
    named = [names for _, names in encoded.values()]
    occurring, joint = _occurring([codes for codes, _ in encoded.values()], [len(names) for names in named])
    groups = tuple(tuple(names[at] for names, at in zip(named, place, strict=True)) for place in occurring)
    missing = {
        attribute: int((codes == values.index(MISSING)).sum())
        for attribute, (codes, values) in encoded.items()
        if MISSING in values
    }
    return GroupCodes(tuple(columns), groups, joint, missing)


def _occurring(codes: Sequence[Integers], sizes: Sequence[int]) -> tuple[list[tuple[int, ...]], Integers]:
    """The combinations of codes that occur, in order, and each row's place among them.

    Where all combinations there could be fit a small table, counting them takes the place of sorting the rows.

    >>> _occurring([np.array([1, 0, 1]), np.array([0, 0, 0])], [2, 3])
    ([(0, 0), (1, 0)], array([1, 0, 1]))
    """
    possible = math.prod(sizes)
    if possible <= SMALL:
        joint = np.ravel_multi_index(tuple(codes), tuple(sizes)) if codes else np.zeros(0, dtype=np.int64)
        present = np.bincount(joint, minlength=possible) > 0
        combinations = np.stack(np.unravel_index(np.flatnonzero(present), tuple(sizes)), axis=1)
        places: Integers = (np.cumsum(present) - 1)[joint]
    else:
        combinations, places = np.unique(np.stack(codes, axis=1), axis=0, return_inverse=True)
    return [tuple(int(at) for at in combination) for combination in combinations], places.astype(np.int64).ravel()


@dataclass(frozen=True)
class Weights:
    """What the rows of every cell weigh: sums of their weights and of the squares, float64 [groups, label, decision].

    A weight is a sampling weight: a row of weight 2 stands for two people, but is one observation.
    """

    total: Floats
    squares: Floats

    def added(self, places: Integers, groups: int) -> Weights:
        """The sums over groups that have the same place, of which there are `groups`."""
        return Weights(_added(self.total, places, groups), _added(self.squares, places, groups))


def _added(cells: npt.NDArray, places: Integers, groups: int) -> npt.NDArray:
    found = np.zeros((groups, *cells.shape[1:]), dtype=cells.dtype)
    np.add.at(found, places, cells)
    return found


@dataclass(frozen=True)
class Counts:
    """Rows by group, label and decision. cells: int64 [groups, label, decision], label and decision 1 = positive.

    weights: what these rows weigh, where they were weighted.
    """

    attributes: tuple[str, ...]
    groups: tuple[Group, ...]
    cells: Integers
    weights: Weights | None = None

    @classmethod
    def tally(
        cls,
        groups: GroupCodes,
        truth: npt.NDArray[np.bool_],
        decision: npt.NDArray[np.bool_],
        rows: Integers | None = None,
        each: Integers | None = None,
        weights: Weights | Floats | None = None,
    ) -> Self:
        """Count rows. truth, decision: bool [n]; rows: int64 [n], their places in `groups.codes` (all, in order).

        each: int64 [n], how many rows a record stands for; one each where None. weights: float64 [n], of every row, or
        the sums of weights and squares over the rows of every record, float64 [n] each; None where all weigh the same.
        """
        codes = groups.codes if rows is None else groups.codes[rows]
        flat = codes * 4 + np.asarray(truth, dtype=np.int64) * 2 + np.asarray(decision, dtype=np.int64)
        size = 4 * len(groups.groups)
        cells = np.zeros(size, dtype=np.int64)
        if each is None:
            cells += np.bincount(flat, minlength=size)
        else:
            np.add.at(cells, flat, each)
        sums = None
        if weights is not None:
            one, squared = (weights.total, weights.squares) if isinstance(weights, Weights) else (weights, weights**2)
            total, squares = (np.bincount(flat, part, minlength=size).reshape(-1, 2, 2) for part in (one, squared))
            sums = Weights(total.astype(np.float64), squares.astype(np.float64))
        return cls(groups.attributes, groups.groups, cells.reshape(-1, 2, 2), sums)

    @property
    def missing(self) -> dict[str, int]:
        """Attribute → rows without a value of it, where there are any."""
        found = {name: self.margin([name]) for name in self.attributes}
        rows = {name: sum(int(c.sum()) for g, c in zip(part.groups, part.cells, strict=True) if g == (MISSING,))
                for name, part in found.items()}  # fmt: skip
        return {name: count for name, count in rows.items() if count}

    @property
    def totals(self) -> npt.NDArray:
        """What the rows of every cell weigh together: how many they are where they have no weights."""
        return self.cells if self.weights is None else self.weights.total

    @property
    def names(self) -> list[str]:
        """The groups' names, such as `Female × Black`."""
        return [joined(group) for group in self.groups]

    @property
    def rows(self) -> int:
        """How many rows were counted."""
        return int(self.cells.sum())

    def merge(self, other: Counts) -> Counts:
        """The counts of both together; groups are those that occur in either, in sorted order."""
        if self.attributes != other.attributes:
            raise ValueError(f"counts over {self.attributes} and {other.attributes} cannot be added")
        if (self.weights is None) != (other.weights is None):
            raise ValueError("counts with weights and counts without cannot be added")
        groups = tuple(sorted({*self.groups, *other.groups}))
        places = np.array([groups.index(group) for group in (*self.groups, *other.groups)], dtype=np.int64)
        both = np.concatenate([self.cells, other.cells])
        weights = None
        if self.weights is not None and other.weights is not None:
            pairs = zip((self.weights.total, self.weights.squares), (other.weights.total, other.weights.squares),
                        strict=True)  # fmt: skip
            weights = Weights(*(np.concatenate(pair) for pair in pairs)).added(places, len(groups))
        return Counts(self.attributes, groups, _added(both, places, len(groups)), weights)

    def margin(self, attributes: Sequence[str]) -> Counts:
        """The counts over some of the attributes, or over none: then one group `()` of everybody."""
        groups, places = self.places(attributes)
        weights = None if self.weights is None else self.weights.added(places, len(groups))
        return Counts(tuple(attributes), groups, _added(self.cells, places, len(groups)), weights)

    def completed(self, most: int) -> Counts:
        """The same with every combination of the attributes' values, those that nobody belongs to having no rows.

        Where there would be more than `most` groups, only those that occur stay.
        """
        values = [sorted({group[at] for group in self.groups}) for at in range(len(self.attributes))]
        possible = math.prod(len(each) for each in values)
        if possible == len(self.groups) or possible > most:
            return self
        groups = tuple(product(*values))
        places = np.array([groups.index(group) for group in self.groups], dtype=np.int64)
        weights = None if self.weights is None else self.weights.added(places, len(groups))
        return Counts(self.attributes, groups, _added(self.cells, places, len(groups)), weights)

    @property
    def nobody(self) -> int:
        """How many combinations of the attributes' values nobody belongs to, and are not among the groups."""
        values = [len({group[at] for group in self.groups}) for at in range(len(self.attributes))]
        return math.prod(values) - len(self.groups)

    def places(self, attributes: Sequence[str]) -> tuple[tuple[Group, ...], Integers]:
        """The groups over some of the attributes, sorted, and the place among them of each of the groups here."""
        for name in attributes:
            if name not in self.attributes:
                raise InputError(f"{name!r} is not one of the sensitive attributes; {nearest(name, self.attributes)}")
        keep = [self.attributes.index(name) for name in attributes]
        projected = [tuple(group[place] for place in keep) for group in self.groups]
        groups = tuple(sorted(set(projected)))
        return groups, np.array([groups.index(group) for group in projected], dtype=np.int64)

    def table(self, split: str = "") -> pa.Table:
        """One record per group with its rows and cells."""
        tn, fp, fn, tp = self.cells.reshape(-1, 4).T.tolist()
        same = {"split": [split] * len(tn), "attribute": [joined(self.attributes)] * len(tn), "group": self.names}
        n = self.cells.sum(axis=(1, 2)).tolist()
        table = pa.table({**same, "n": n, "tn": tn, "fp": fp, "fn": fn, "tp": tp})
        if self.weights is not None:
            for name, weight in zip(("tn", "fp", "fn", "tp"), self.weights.total.reshape(-1, 4).T, strict=True):
                table = table.append_column(f"weight_{name}", pa.array(weight))
        return table
