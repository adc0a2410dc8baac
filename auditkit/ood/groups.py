"""How often rows of each group of people are called strange, and the largest difference between groups.

On rows like those of training, every group should be flagged at about the threshold's level; a group flagged more
often is treated as an outsider by whatever acts on the flags. Differences have bounds that hold for all pairs of
groups together (see `auditkit.statistics.simultaneous`); a group with too few rows is named and not judged.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from auditkit.statistics.simultaneous import pairwise_differences, range_critical

MISSING = "(missing)"
CORRECTED_FROM = 3
"""bounds for this many groups or more use Wilson intervals with continuity correction"""


@dataclass(frozen=True, slots=True)
class GroupFlags:
    """How many of a group's rows were flagged."""

    attribute: str
    group: str
    rows: int
    flagged: int


@dataclass(frozen=True, slots=True)
class Difference:
    """The largest difference of flag rates between two groups: `high` is flagged most, `low` least."""

    value: float
    lower: float
    upper: float
    high: str
    low: str


def flags_by_group(attribute: str, column: pa.ChunkedArray, flagged: npt.NDArray[np.bool_]) -> Iterator[GroupFlags]:
    """Count rows and flagged rows of each value of a column, in sorted order; nulls are a group of their own."""
    names = np.array([MISSING if value is None else str(value) for value in column.to_pylist()], dtype=object)
    for group in sorted(set(names)):
        inside = names == group
        yield GroupFlags(attribute, group, int(inside.sum()), int(flagged[inside].sum()))


def largest_difference(groups: list[GroupFlags], confidence: float = 0.95) -> Difference:
    """The largest difference between any two of these groups' flag rates; needs two groups with rows.

    >>> groups = [GroupFlags("sex", "a", 100, 10), GroupFlags("sex", "b", 100, 4)]
    >>> found = largest_difference(groups)
    >>> round(found.value, 2), found.lower, found.high, found.low
    (0.06, 0.0, 'a', 'b')
    """
    flagged, rows = [group.flagged for group in groups], [group.rows for group in groups]
    critical = range_critical([len(groups)], confidence)
    pairs = pairwise_differences(flagged, rows, critical, corrected=len(groups) >= CORRECTED_FROM)
    place = int(np.abs(pairs.estimate).argmax())
    first, second = groups[pairs.first[place]], groups[pairs.second[place]]
    if pairs.estimate[place] < 0:
        first, second = second, first
    lower = float(np.maximum(np.maximum(pairs.lower, -pairs.upper), 0.0).max())
    upper = float(np.maximum(pairs.upper, -pairs.lower).max())
    return Difference(abs(float(pairs.estimate[place])), lower, upper, first.group, second.group)
