"""Columns of numbers as they are needed here: finite, and one for each row."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from auditkit.errors import InputError

Floats = npt.NDArray[np.float64]


def finite_numbers(values: npt.ArrayLike, name: str, rows: int) -> Floats:
    """Finite numbers, float64 [rows]. Raises InputError, calling them `name`, otherwise.

    >>> finite_numbers([1, float("nan")], "labels", 2)
    Traceback (most recent call last):
    ...
    auditkit.errors.InputError: labels are missing or infinite in 1 of 2 rows, first in row 2; remove these rows or \
correct them
    """
    found = np.asarray(values, dtype=np.float64)
    if found.shape != (rows,):
        raise InputError(f"{name} have shape {found.shape}, but groups were given for {rows:,} rows")
    bad = ~np.isfinite(found)
    if bad.any():
        raise InputError(
            f"{name} are missing or infinite in {int(bad.sum()):,} of {rows:,} rows, first in row "
            f"{int(bad.argmax()) + 1:,}; remove these rows or correct them"
        )
    return found
