"""Rankings as they were given, checked and put in order, and the kinds of attention that are held against a due."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from auditkit.errors import InputError
from auditkit.fairness.counting.columns import as_column, encode, refuse_missing
from auditkit.fairness.outcomes.numbers import finite_numbers
from auditkit.fairness.outcomes.positions import Floats, Integers, Positions, geometric, logarithmic, top


@dataclass(frozen=True)
class Rankings:
    """Checked input, as ordered by query and score: codes of the finest groups, scores and relevance where given."""

    codes: Integers
    scores: Floats
    relevance: Floats | None
    positions: Positions
    groups: int

    @classmethod
    def of(cls, codes: Integers, scores: Floats, relevance: Floats | None, query: Integers, groups: int) -> Rankings:
        """The rows put in order."""
        positions = Positions.of(scores, query)
        order = positions.order
        return cls(codes[order], scores[order], None if relevance is None else relevance[order], positions, groups)

    @property
    def queries(self) -> int:
        """How many there are."""
        return len(self.positions.sizes)

    @property
    def longest(self) -> int:
        """Candidates of the longest query."""
        return int(self.positions.sizes.max())

    def kept(self, rows: npt.NDArray[np.bool_]) -> Rankings:
        """The rankings of some of the rows alone, at least one."""
        _, query = np.unique(self.positions.query[rows], return_inverse=True)
        relevance = None if self.relevance is None else self.relevance[rows]
        return Rankings.of(self.codes[rows], self.scores[rows], relevance, query.astype(np.int64), self.groups)


@dataclass(frozen=True)
class Due:
    """A kind of attention held against a due. name: of the groups' rows; gap: of the gap; test: of the p-value."""

    name: str
    gap: str
    cumulative: Callable[[int], Floats]
    by_relevance: bool = False
    test: str = ""
    k: int = 0


def dues(levels: Sequence[int], relevant: bool) -> list[Due]:
    """All kinds that are measured. levels: the k of the top k; relevant: whether relevance is known.

    >>> [due.gap for due in dues((10,), True)]
    ['exposure_ratio', 'geometric_exposure_ratio', 'top_10_ratio', 'exposure_per_relevance_ratio']
    """
    found = [
        Due("exposure", "exposure_ratio", logarithmic, test="exposure_p_value"),
        Due("geometric_exposure", "geometric_exposure_ratio", geometric),
    ]
    for k in levels:
        cumulative = _top_of(k)
        found.append(Due(f"top_{k}_representation", f"top_{k}_ratio", cumulative, test=f"top_{k}_p_value", k=k))
    if relevant:
        found.append(Due("exposure_per_relevance", "exposure_per_relevance_ratio", logarithmic, by_relevance=True))
    return found


def _top_of(k: int) -> Callable[[int], Floats]:
    return lambda longest: top(k, longest)


def relevances(values: npt.ArrayLike, rows: int) -> Floats:
    """Relevance as float64 [rows], none negative. Raises InputError otherwise.

    >>> relevances([1, -1], 2)
    Traceback (most recent call last):
    ...
    auditkit.errors.InputError: relevance is negative in 1 of 2 rows, first in row 2; 0 means not relevant
    """
    found = finite_numbers(values, "relevance", rows)
    if (found < 0).any():
        raise InputError(
            f"relevance is negative in {int((found < 0).sum()):,} of {rows:,} rows, first in row "
            f"{int((found < 0).argmax()) + 1:,}; 0 means not relevant"
        )
    return found


def query_codes(values: Any, rows: int) -> Integers:
    """Each row's query as a number from 0, int64 [rows]; all of one query where None. Raises InputError if missing.

    >>> query_codes(["b", "a", "b"], 3).tolist()
    [1, 0, 1]
    """
    if values is None:
        return np.zeros(rows, dtype=np.int64)
    if isinstance(values, np.ndarray) and values.dtype.kind in "iu" and values.ndim == 1:
        codes: Integers = np.unique(values, return_inverse=True)[1].astype(np.int64)
    else:
        codes, _ = encode(as_column(values, "query"), lambda value: None if value == "" else str(value))
        refuse_missing(codes < 0, "query", "rankings")
    if len(codes) != rows:
        raise InputError(f"query has {len(codes):,} rows, but groups were given for {rows:,}")
    return codes


def levels(values: Sequence[int]) -> tuple[int, ...]:
    """The k of the top k, rising, each once. Raises InputError for what is no position.

    >>> levels([100, 10, 10])
    (10, 100)
    """
    for k in values:
        if isinstance(k, bool) or not isinstance(k, int | np.integer) or k < 1:
            raise InputError(f"top: {k!r} is no number of places; give whole numbers from 1, such as 10")
    return tuple(sorted({int(k) for k in values}))
