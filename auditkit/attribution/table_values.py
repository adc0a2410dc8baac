"""A table as numbers of values: every column has a list of the values that occur, and a row is one place in each.

Rows are then integers [n, columns], whatever the columns hold, and what depends on a single value (what changing to it
costs, whether that is allowed) is looked up. Differences of numbers are in units of the column's spread, the quartiles'
distance / 1.349 (a normal distribution's standard deviation; the standard deviation itself where the quartiles are
equal); a different word counts 1, and so does a number that is missing on one side.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from auditkit.errors import InputError, nearest

Codes = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Way = Literal["up", "down"]
"""the only direction in which a number may change"""


@dataclass(frozen=True)
class Column:
    """One column. values: what occurs, the explained row's own among them, at place `own`.

    position: float64 [values], numbers in units of the spread, 0 for words and what is missing. label: int64 [values],
    which of two values differ other than as numbers. cost: float64 [values], how far each is from the row's own.
    allowed: bool [values], what the row may be changed to.
    """

    name: Hashable
    values: Any
    own: int
    number: bool
    position: Floats
    label: Codes
    cost: Floats
    allowed: npt.NDArray[np.bool_]


@dataclass(frozen=True)
class TableValues:
    """All columns, the training rows as codes [n, columns], and the row to explain as codes [columns]."""

    columns: tuple[Column, ...]
    training: Codes
    row: Codes

    @classmethod
    def of(
        cls,
        training: pd.DataFrame,
        row: pd.DataFrame,
        immutable: Sequence[str] = (),
        monotone: Mapping[str, Way] | None = None,
        categorical: Sequence[str] = (),
    ) -> TableValues:
        """The values of a table and of a row (a frame of one). Raises InputError for columns that are not there.

        >>> known = pd.DataFrame({"age": [20, 30, 40], "job": ["a", "b", "b"]})
        >>> found = TableValues.of(known, known.iloc[:1], monotone={"age": "up"})
        >>> found.columns[0].allowed.tolist(), found.columns[1].cost.tolist()
        ([True, True, True], [0.0, 1.0])
        """
        ways = dict(monotone or {})
        twice = training.columns[training.columns.duplicated()]
        if len(twice):
            raise InputError(f"training: there are several columns {twice[0]!r}; give each a name of its own")
        for name in (*immutable, *ways, *categorical):
            if name not in training.columns:
                raise InputError(f"there is no column {name!r}; {nearest(name, map(str, training.columns))}")
        columns, codes = [], []
        for name in training.columns:
            found, places = _column(training[name], row[name], name in categorical, name in immutable, ways.get(name))
            columns.append(found)
            codes.append(places)
        every = np.stack(codes, axis=1)
        return cls(tuple(columns), every[:-1], every[-1])

    @property
    def allowed(self) -> list[Codes]:
        """Of each column, the values it may be changed to, without its own, the cheapest first."""
        found = []
        for column in self.columns:
            places = np.flatnonzero(column.allowed & (np.arange(len(column.values)) != column.own))
            found.append(places[np.argsort(column.cost[places], kind="stable")])
        return found

    def frame(self, codes: Codes) -> pd.DataFrame:
        """Rows [n, columns] as a table of the training rows' types."""
        return pd.DataFrame({c.name: c.values.take(codes[:, place]) for place, c in enumerate(self.columns)})

    def adopted(self, donors: Codes) -> Codes:
        """The row with all values of the donors [n, columns] that it may be changed to."""
        found = np.tile(self.row, (len(donors), 1))
        for place, column in enumerate(self.columns):
            taken = column.allowed[donors[:, place]]
            found[taken, place] = donors[taken, place]
        return found

    def changed(self, codes: Codes) -> Codes:
        """int64 [n]: how many columns differ from the row."""
        return np.asarray((codes != self.row).sum(axis=1))

    def cost(self, codes: Codes) -> Floats:
        """float64 [n]: the sum of all changes from the row."""
        return np.asarray(sum((c.cost[codes[:, place]] for place, c in enumerate(self.columns)), np.zeros(len(codes))))

    def distance(self, codes: Codes, others: Codes) -> Floats:
        """float64 [n, others]: the sum of the columns' differences between rows."""
        from scipy.spatial.distance import cdist

        one, two = (self._placed(part) for part in (codes, others))
        return np.asarray(cdist(one[0], two[0], "cityblock") + cdist(one[1], two[1], "hamming") * len(self.columns))

    def _placed(self, codes: Codes) -> tuple[Floats, Floats]:
        """Positions and labels, float64 [n, columns] each."""
        places = list(enumerate(self.columns))
        return (
            np.stack([column.position[codes[:, place]] for place, column in places], axis=1),
            np.stack([column.label[codes[:, place]] for place, column in places], axis=1).astype(np.float64),
        )


def _column(
    known: pd.Series, own: pd.Series, categorical: bool, immutable: bool, way: Way | None
) -> tuple[Column, Codes]:
    """A column, and the codes of its training rows with the explained row's behind them."""
    name = known.name
    number = pd.api.types.is_numeric_dtype(known) and not pd.api.types.is_bool_dtype(known) and not categorical
    if way is not None and (way not in ("up", "down") or not number):
        raise InputError(f"monotone: {name!r} is {way!r}; write 'up' or 'down', of columns that hold numbers")
    both = pd.concat([known, _cast(own, known)], ignore_index=True)
    codes, values = pd.factorize(both, use_na_sentinel=False)
    place, missing = int(codes[-1]), np.asarray(pd.isna(values))
    position = np.zeros(len(values))
    if number:
        numbers = np.asarray(values.to_numpy(dtype=np.float64, na_value=np.nan))
        position = np.where(missing, 0.0, numbers) / _spread(np.asarray(known.dropna(), dtype=np.float64))
    label = missing.astype(np.int64) if number else np.arange(len(values))
    cost = np.where(label == label[place], np.abs(position - position[place]), 1.0)
    allowed = ~missing & (not immutable)
    if way is not None:
        sign = 1 if way == "up" else -1
        allowed &= (sign * (position - position[place]) >= 0) & (not missing[place])
    allowed[place] = True
    return Column(name, values, place, number, position, label, cost, allowed), codes.astype(np.int64)


def _cast(own: pd.Series, known: pd.Series) -> pd.Series:
    """The row's value in the training column's type. Raises InputError where it does not fit in it."""
    value, kind = own.iloc[0], known.dtype
    unknown = isinstance(kind, pd.CategoricalDtype) and not pd.isna(value) and value not in kind.categories
    try:
        cast = None if unknown else own.astype(kind)
    except (TypeError, ValueError):
        cast = None
    if cast is None or (not pd.isna(value) and (pd.isna(cast.iloc[0]) or cast.iloc[0] != value)):
        shown = value.item() if isinstance(value, np.generic) else value
        raise InputError(f"row: {known.name!r} is {shown!r}, which is no value of its training column ({known.dtype})")
    return cast


def _spread(values: Floats) -> float:
    if not len(values):
        return 1.0
    low, high = np.quantile(values, [0.25, 0.75])
    return float((high - low) / 1.349 or values.std() or 1.0)
