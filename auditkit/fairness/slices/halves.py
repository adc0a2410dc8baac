"""A table's columns as bins, and its rows in two halves: one to search in, one to confirm on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from auditkit.errors import InputError
from auditkit.fairness.counting.columns import as_column, as_columns, as_numbers
from auditkit.fairness.slices.confirm import hash_split
from auditkit.fairness.slices.predicates import Coded, code

FEWEST = 32
"""Rows that a slice or a branch has at least, however few rows there are in all."""

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Half:
    """Some of a table's rows, in an order that does not depend on the one they were given in."""

    columns: list[Coded]
    loss: Floats


@dataclass(frozen=True)
class Halves:
    """Both halves of a table. minimum_rows: fewest rows, within the half that is searched, of what is looked for."""

    search: Half
    confirm: Half
    minimum_rows: int

    @property
    def binary(self) -> bool:
        """Whether losses are errors, 0 and 1."""
        return all(bool(((half.loss == 0) | (half.loss == 1)).all()) for half in (self.search, self.confirm))

    @property
    def rows(self) -> int:
        """Rows of both halves."""
        return len(self.search.loss) + len(self.confirm.loss)

    @property
    def mean(self) -> float:
        """The mean loss of all rows."""
        return float((self.search.loss.sum() + self.confirm.loss.sum()) / self.rows)


def split_rows(columns: Mapping[str, Any], loss: npt.ArrayLike, minimum_rows: int | None, seed: int) -> Halves:
    """Code a table's columns and split its rows by a seeded hash of what they hold.

    columns: name → column [n] (Arrow, numpy, list, or a whole table or data frame). loss: [n], finite, not negative.
    minimum_rows: 1 % of a half, at least 32, when left out. The contents of either half depend on the seed and on the
    rows, never on their order.

    Raises InputError for columns of different lengths, losses that are none, or too few rows.

    >>> halves = split_rows({"sex": ["f", "m"] * 200}, [0, 1] * 200, None, 0)
    >>> halves.rows, halves.minimum_rows, halves.mean, halves.binary
    (400, 32, 0.5, True)
    """
    named = as_columns(columns, "columns")
    losses = checked_losses(loss, named)
    if seed < 0:
        raise InputError(f"slices: seed must be at least 0, got {seed}")
    fewest = max(FEWEST, -(-len(losses) // 200)) if minimum_rows is None else minimum_rows
    coded = [code(name, column, fewest) for name, column in named.items()]
    order, first = hash_split([column.codes for column in coded], losses, seed)
    search, confirm = order[first], order[~first]
    if len(search) < fewest or not len(confirm):
        raise InputError(
            f"{len(losses):,} rows are too few to search one half for slices of at least {fewest:,} rows and confirm "
            "them on the other; give more rows or a smaller minimum_rows"
        )

    def half(rows: npt.NDArray[np.int64]) -> Half:
        parts = [Coded(column.name, column.codes[rows], column.predicates, column.member) for column in coded]
        return Half(parts, losses[rows])

    return Halves(half(search), half(confirm), fewest)


def checked_losses(loss: npt.ArrayLike, columns: Mapping[str, pa.Array]) -> Floats:
    """Losses as float64 [n], one for each row of the columns. Raises InputError where they are not that."""
    column = as_column(loss, "loss")
    if pa.types.is_boolean(column.type):
        column = column.cast(pa.int8())
    losses = as_numbers(column, "loss", "slices") + 0.0
    if (losses < 0).any():
        raise InputError(
            f"slices: loss is negative, first in row {int((losses < 0).argmax()) + 1:,}; give errors as 0 and 1, or "
            "losses of which none is below zero"
        )
    if not columns:
        raise InputError("slices: no column was given; give at least one to look for slices in")
    for name, values in columns.items():
        if len(values) != len(losses):
            raise InputError(
                f"slices: column {name!r} has {len(values):,} rows, loss {len(losses):,}; give one value for each row"
            )
    return losses
