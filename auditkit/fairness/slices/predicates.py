"""Predicates: the conditions slices are made of, and a table's columns as codes on which they are quickly tested.

A column is cut into bins. Of a category there is one bin for each value that is frequent enough; of a number, one for
each of its few values, or eight that hold about equally many rows. Rows without a value are a bin of their own. A
predicate is a set of a column's bins: one category, one run of neighbouring number bins (`hours < 35`,
`35 ≤ hours < 48`), or `is missing`. Bounds of numbers are the roundest that cut between the same two neighbouring
values. Bins depend on the column alone, never on the losses.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from auditkit.errors import InputError
from auditkit.fairness.counting.columns import encode, numbers_of
from auditkit.subject.data import label_text

BINS = 8
"""Bins of a number with more values than that."""
MOST_CATEGORIES = 50
"""The most frequent categories of a column that are tried."""

Kind = Literal["equals", "range", "missing"]
Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
Booleans = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Predicate:
    """One condition on one column.

    kind: `equals` (the value, as text), `range` (`low` ≤ value < `high`; None where open) or `missing`. Bounds of
    dates are seconds since 1970. text: the condition as a person reads it; plain text, names in it as users gave them.
    """

    column: str
    kind: Kind
    text: str
    value: str | None = None
    low: float | None = None
    high: float | None = None

    def holds(self, column: pa.Array) -> Booleans:
        """Which rows of the column fulfil the condition, bool [n].

        >>> Predicate("hours", "range", "hours < 35", high=35.0).holds(pa.array([20, 40, None])).tolist()
        [True, False, False]
        """
        if _is_number(column.type):
            numbers = _numbers(column)
            if self.kind == "missing":
                return np.isnan(numbers)
            low, high = (-math.inf if self.low is None else self.low), (math.inf if self.high is None else self.high)
            below = numbers < high if self.high is not None else ~np.isnan(numbers)
            inside: Booleans = (numbers >= low) & below
            return inside if self.kind == "range" else numbers == float(self.value or "nan")
        codes, names = encode(column, _category)
        return codes == (-1 if self.kind == "missing" else names.index(self.value) if self.value in names else -2)


@dataclass(frozen=True)
class Coded:
    """A column as bins. codes: int64 [n]; member: bool [predicates, bins], the bins of each predicate."""

    name: str
    codes: Integers
    predicates: tuple[Predicate, ...]
    member: Booleans

    @property
    def bins(self) -> int:
        """How many bins there are, rows that no predicate speaks of included."""
        return int(self.member.shape[1])


def code(name: str, column: pa.Array, minimum_rows: int) -> Coded:
    """A column's bins and predicates. minimum_rows: a category with fewer rows gets no predicate.

    Raises InputError for a column that holds neither numbers, dates, text nor booleans.

    >>> coded = code("hours", pa.array([20, 40, 40, None]), 1)
    >>> [predicate.text for predicate in coded.predicates]
    ['hours = 20', 'hours = 40', 'hours is missing']
    """
    if _is_number(column.type):
        return _coded_number(name, _numbers(column), _shown(column.type))
    if pa.types.is_nested(column.type):
        raise InputError(f"column {name!r} holds {column.type}; give one plain value per row, or leave it out")
    codes, names = encode(column, _category)
    rows = np.bincount(codes + 1, minlength=len(names) + 1)
    frequent = [at for at in np.argsort(-rows[1:], kind="stable")[:MOST_CATEGORIES] if rows[at + 1] >= minimum_rows]
    place = np.full(len(names) + 1, len(frequent) + 1)
    place[0] = len(frequent)
    place[np.array(frequent, dtype=np.int64) + 1] = np.arange(len(frequent))
    predicates = [Predicate(name, "equals", f"{name} = {names[at]}", value=names[at]) for at in frequent]
    member = np.eye(len(frequent) + 1, len(frequent) + 2, dtype=bool)
    return _coded(name, place[codes + 1], predicates, member, missing=bool(rows[0]))


def _coded(name: str, codes: Integers, predicates: list[Predicate], member: Booleans, missing: bool) -> Coded:
    """With `is missing`, the last line of `member`, where rows are missing, and without that line where none are."""
    if missing:
        return Coded(name, codes, (*predicates, Predicate(name, "missing", f"{name} is missing")), member)
    return Coded(name, codes, tuple(predicates), member[:-1])


def _coded_number(name: str, numbers: Floats, shown: Callable[[float], str]) -> Coded:
    missing = np.isnan(numbers)
    known = np.sort(numbers[~missing] if missing.any() else numbers)
    first = np.flatnonzero(np.concatenate([[True], known[1:] > known[:-1]])) if len(known) else np.zeros(0, np.int64)
    few = len(first) <= BINS
    starts = first if few else np.unique(np.searchsorted(known, known[len(known) * np.arange(BINS) // BINS]))
    values = known[starts]
    cuts = values if few else _round_cuts(known, starts)
    bins = len(values)
    codes = np.searchsorted(values[1:], numbers, side="right").astype(np.int64)
    codes[missing] = bins
    predicates, member = [], []
    for low in range(bins):
        for high in range(low + 1, bins + 1):
            if high - low == bins:
                continue
            predicates.append(_range(name, cuts, low, high, few, shown))
            member.append((np.arange(bins + 1) >= low) & (np.arange(bins + 1) < high))
    member.append(np.arange(bins + 1) == bins)
    return _coded(name, codes, predicates, np.array(member), missing=bool(missing.any()))


def _range(name: str, cuts: Floats, low: int, high: int, few: bool, shown: Callable[[float], str]) -> Predicate:
    """The condition that holds for the bins from `low` to before `high`."""
    bottom = float(cuts[low]) if low else None
    top = float(cuts[high]) if high < len(cuts) else None
    if few and high == low + 1:
        value = shown(float(cuts[low]))
        return Predicate(name, "equals", f"{name} = {value}", value=repr(float(cuts[low])))
    if bottom is None:
        return Predicate(name, "range", f"{name} < {shown(top or 0.0)}", high=top)
    if top is None:
        return Predicate(name, "range", f"{name} ≥ {shown(bottom)}", low=bottom)
    return Predicate(name, "range", f"{shown(bottom)} ≤ {name} < {shown(top)}", low=bottom, high=top)


def _round_cuts(known: Floats, starts: Integers) -> Floats:
    """Above the values before `starts` and not above those at it, the roundest number; known: sorted."""
    cuts = known[starts].copy()
    for place, start in enumerate(starts.tolist()):
        if start:
            cuts[place] = _roundest(float(known[start - 1]), float(known[start]))
    return cuts


def _roundest(below: float, value: float) -> float:
    if not (math.isfinite(below) and math.isfinite(value)):
        return value
    top = math.floor(math.log10(max(abs(below), abs(value)))) if below or value else 0
    for digits in range(-top, 16 - top):
        found = math.floor(value * 10.0**digits) / 10.0**digits if abs(digits) < 300 else value
        if below < found <= value:
            return found
    return value


def _is_number(kind: pa.DataType) -> bool:
    return (
        pa.types.is_integer(kind)
        or pa.types.is_floating(kind)
        or pa.types.is_decimal(kind)
        or pa.types.is_date(kind)
        or pa.types.is_timestamp(kind)
    )


def _numbers(column: pa.Array) -> Floats:
    """A column as float64 [n], NaN where it is missing; dates and times in seconds since 1970."""
    if pa.types.is_date(column.type) or pa.types.is_timestamp(column.type):
        column = column.cast(pa.timestamp("s", getattr(column.type, "tz", None)), safe=False).cast(pa.int64())
    column = column.cast(pa.float64(), safe=False)
    return numbers_of(column.fill_null(math.nan), np.float64)


def _shown(kind: pa.DataType) -> Callable[[float], str]:
    if pa.types.is_date(kind):
        return lambda seconds: str(np.datetime64(int(seconds), "s").astype("datetime64[D]"))
    if pa.types.is_timestamp(kind):
        return lambda seconds: str(np.datetime64(math.ceil(seconds), "s"))
    return lambda number: f"{number:.10g}"


def _category(value: object) -> str | None:
    return str(value) if isinstance(value, bool) else None if value == "" else label_text(value)
