"""Whether a column only says which row is which: a data frame's index, a customer number, a name.

Nothing can be learned from such a column but the rows themselves. A different text in every row is one. Whole numbers
that all differ may be amounts too, so they are taken for identifiers only where something else speaks for it: they rise
or fall from row to row, all have one length of eight digits or more, or lie so close together that drawn numbers would
have repeated (of n numbers drawn from r, two are alike but for a chance of about exp(-n²/2r); the birthday problem).
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from auditkit.starter.columns import IDENTITY, Column

FEWEST = 20
"""of fewer rows that all differ nothing is said"""
EXPECTED = 3.0
"""so many pairs of equal numbers would be there by chance, of which there is none"""
LONG = 8
"""whole numbers of one length, and of at least so many digits, are account or telephone numbers"""
INDEX = "row numbers of a data frame, which pandas writes as a column without a name"


def names_rows(table: pa.Table, column: Column) -> str:
    """Why a column seems to do nothing but name rows; empty where it does not.

    >>> from auditkit.starter.columns import columns_of
    >>> rows = pa.table({"": range(30), "ref": [f"A{n}" for n in range(30)], "pay": [n * n % 91 for n in range(30)]})
    >>> [names_rows(rows, column).split(",")[0] for column in columns_of(rows)]
    ['row numbers of a data frame', 'a different word in every row', '']
    """
    known = column.rows - column.missing
    if column.holds == "text" or known == 0:
        return ""
    unlike = column.distinct == known
    if column.unnamed and unlike and column.whole:
        return INDEX
    if column.words & IDENTITY and column.distinct > 0.9 * known:
        return "names rows"
    if not unlike or known < FEWEST:
        return ""
    if column.holds == "category":
        return "a different word in every row, as identifiers are"
    if column.whole and _numbered(table, column):
        return "a different whole number in every row, as identifiers are"
    return ""


def _numbered(table: pa.Table, column: Column) -> bool:
    """Whether whole numbers that all differ look dealt out and not measured."""
    values = table.column(column.name).drop_null().to_numpy().astype(np.float64)
    steps = np.diff(values)
    if (steps > 0).all() or (steps < 0).all():
        return True
    digits = {len(str(abs(int(edge)))) for edge in (column.low, column.high)}
    if len(digits) == 1 and digits.pop() >= LONG and column.low > 0:
        return True
    return len(values) ** 2 / (2 * (column.high - column.low + 1)) >= EXPECTED
