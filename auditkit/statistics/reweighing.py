"""Reweighing: the weights under which two ways of sorting rows are independent (Kamiran and Calders 2012).

    w(g, y) = n(g) n(y) / (n n(g, y))

so that the weighted rows of group g with label y are as many as they would be, were the two independent, while groups
and labels keep their sizes. Source: Knowledge and Information Systems 33, 1-33, section 5.2.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt


def independence_weights(cells: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """The weight of a row in each cell, float64 [groups, labels], for the rows in each, int64 [groups, labels].

    Every cell must hold a row: no weight could make up for rows that are not there.

    >>> independence_weights(np.array([[2, 1], [1, 2]])).tolist()
    [[0.75, 1.5], [1.5, 0.75]]
    """
    weights: npt.NDArray[np.float64] = (
        cells.sum(axis=1, keepdims=True) * cells.sum(axis=0, keepdims=True) / cells.sum() / cells
    )
    return weights
