"""Whether a column tells the label: the outcome in other words, or a number from which it follows.

By its name, where that speaks of the same outcome (is_recid beside two_year_recid, price_band beside price). By its
values, where the label follows from them and they from the label:

* classes, and a column of values that repeat: the commonest class for each value is nearly always right;
* classes, and numbers: sorted by them, the rows of each class stand together, as with an amount and its bands;
* numbers, and a column of values that repeat: labels hardly differ where the values do not, or the other way round;
* numbers, and numbers: they rise or fall together all the way (rank correlation).

A column that is missing for some rows tells the label too where it is missing for one class alone.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from auditkit.starter.columns import OUTCOME, Column

Integers = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
GIVEN_AWAY = 0.1
"""a column that leaves less than this share of the errors of always saying the commonest class is the label itself"""
SPREAD_LEFT = 0.001
"""likewise of the variance of numbers"""
TOGETHER = 0.999
"""numbers of this rank correlation are one number in two forms"""
FEWEST = 3
"""a value of fewer rows than this stands together too easily"""
NAMED = "by its name, the outcome again"
ITSELF = "next to the label itself"
FOLLOWS = "the label follows from it"
MISSING = "missing where the label is of one kind"


@dataclass(frozen=True)
class Truth:
    """The label column. codes int64 [n]: the place of each row's class, -1 where it is not known; numbers float64 [n]:
    what a regression predicts, None where there are classes."""

    column: Column
    codes: Integers
    numbers: Floats | None = None

    @property
    def known(self) -> npt.NDArray[np.bool_]:
        """The rows with a label, [n]."""
        return self.codes >= 0 if self.numbers is None else np.isfinite(self.numbers)


def tells(table: pa.Table, column: Column, truth: Truth) -> str:
    """Why a column seems to tell the label; empty where it does not.

    >>> from auditkit.starter.columns import columns_of
    >>> rows = pa.table({"late": [0, 1] * 20, "days": [0, 31, 2, 45] * 10, "pay": [5, 2, 1, 4, 3] * 8})
    >>> late, days, pay = columns_of(rows)
    >>> truth = Truth(late, np.array([0, 1] * 20))
    >>> tells(rows, days, truth), tells(rows, pay, truth)
    ('next to the label itself', '')
    """
    if _named_again(column, truth.column):
        return NAMED
    known = truth.known
    if column.holds in ("text", "else") or known.sum() < 2 * FEWEST:
        return ""
    if column.few or (column.distinct <= column.rows // 10):
        places = _places(table, column)[known]
        if truth.numbers is None and _gives_away(places, truth.codes[known]):
            return ITSELF
        if truth.numbers is not None and _within(places, truth.numbers[known]) <= SPREAD_LEFT:
            return FOLLOWS
        if truth.numbers is not None and column.few and _stand_together(truth.numbers[known], places):
            return ITSELF
    if column.missing and column.distinct > 1 and truth.numbers is None:
        absent = _absent(table, column)[known].astype(np.int64)
        if _gives_away(absent, truth.codes[known]):
            return MISSING
    if column.holds != "number" or column.missing:
        return ""
    values = _numbers(table, column)[known]
    if truth.numbers is None:
        return FOLLOWS if not column.few and _stand_together(values, truth.codes[known]) else ""
    return FOLLOWS if not column.few and _rank_correlation(values, truth.numbers[known]) >= TOGETHER else ""


def _named_again(column: Column, label: Column) -> bool:
    """Whether the name speaks of the label's outcome: by a word for outcomes that both have, or all of its words."""
    shared = column.words & label.words
    long = any(len(word) > 1 and not word.isdigit() for word in label.words)
    return bool(shared & OUTCOME) or (long and label.words <= column.words)


def _gives_away(places: Integers, codes: Integers) -> bool:
    """Whether the commonest class for each value is nearly always right."""
    counts = np.zeros((int(places.max()) + 1, int(codes.max()) + 1))
    np.add.at(counts, (places, codes), 1)
    errors, before = 1 - counts.max(axis=1).sum() / counts.sum(), 1 - counts.sum(axis=0).max() / counts.sum()
    return bool(before > 0 and errors <= GIVEN_AWAY * before)


def _within(places: Integers, numbers: Floats) -> float:
    """The share of the numbers' variance that is left among rows of one value."""
    rows = np.maximum(np.bincount(places), 1)
    means = np.bincount(places, numbers) / rows
    whole = float(np.square(numbers - numbers.mean()).sum())
    return float(np.square(numbers - means[places]).sum()) / whole if whole > 0 else 1.0


def _stand_together(numbers: Floats, codes: Integers) -> bool:
    """Whether the rows of every code stand together once sorted by the numbers, of which no two codes share one."""
    present, counts = np.unique(codes, return_counts=True)
    if len(present) < 2 or counts.min() < FEWEST:
        return False
    order = np.lexsort((codes, numbers))
    changes = np.flatnonzero(np.diff(codes[order]))
    apart = numbers[order][changes] < numbers[order][changes + 1]
    return len(changes) == len(present) - 1 and bool(apart.all())


def _rank_correlation(first: Floats, second: Floats) -> float:
    """Spearman's, without its sign."""
    from scipy.stats import rankdata

    one, two = (rankdata(side) - (len(first) + 1) / 2 for side in (first, second))
    size = float(np.sqrt((one @ one) * (two @ two)))
    return abs(float(one @ two)) / size if size > 0 else 0.0


def _places(table: pa.Table, column: Column) -> Integers:
    """The place of each row's value among the different ones; missing ones are a value of their own."""
    encoded = pc.fill_null(table.column(column.name).cast(pa.string()), "").combine_chunks().dictionary_encode()
    found: Integers = encoded.indices.to_numpy().astype(np.int64)
    return found


def _absent(table: pa.Table, column: Column) -> npt.NDArray[np.bool_]:
    values = table.column(column.name)
    gone = pc.is_null(values, nan_is_null=True).to_numpy()
    return np.asarray(gone, dtype=bool)


def _numbers(table: pa.Table, column: Column) -> Floats:
    found: Floats = table.column(column.name).cast(pa.float64(), safe=False).to_numpy()
    return found
