"""Nearest neighbours between two sets of rows, exact, in blocks. Euclidean, float64."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Places = npt.NDArray[np.int64]
BLOCK = 2**24
"""distances held in memory at once"""


def nearest(rows: Floats, others: Floats, k: int = 1, same: bool = False) -> tuple[Floats, Places]:
    """Distances and places in `others` of the k nearest of each row, nearest first: [n, k] each.

    rows: [n, d], others: [m, d] with m >= k. same: both are the same set, and a row is no neighbour of itself.

    >>> distances, places = nearest(np.array([[0.0], [5.0]]), np.array([[1.0], [5.0]]))
    >>> distances[:, 0].tolist(), places[:, 0].tolist()
    ([1.0, 0.0], [0, 1])
    """
    squares, step = (others**2).sum(axis=1), max(1, BLOCK // max(len(others), 1))
    distances, places = np.empty((len(rows), k)), np.empty((len(rows), k), dtype=np.int64)
    for start in range(0, len(rows), step):
        part = rows[start : start + step]
        between = (part**2).sum(axis=1)[:, None] + squares - 2 * part @ others.T
        if same:
            between[np.arange(len(part)), start + np.arange(len(part))] = np.inf
        found = np.argpartition(between, k - 1, axis=1)[:, :k]
        exact = np.sqrt(((part[:, None] - others[found]) ** 2).sum(axis=2))
        order = np.lexsort((found, exact), axis=1)
        places[start : start + step] = np.take_along_axis(found, order, axis=1)
        distances[start : start + step] = np.take_along_axis(exact, order, axis=1)
    return distances, places
