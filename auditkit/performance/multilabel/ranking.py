"""How well a row's labels are ranked above those it does not have, row by row.

label ranking average precision   mean over the row's labels of: how many of its labels stand at or above it, divided by
                                  how many of all do; 1 for a row that has none or all of the labels
coverage error                    how far down the ranking one has to go to meet all of the row's labels; 0 for none

Ties count as the worst. Both are scikit-learn's. Sources: Schapire and Singer 2000, Machine Learning 39, 135-168;
Tsoumakas, Katakis and Vlahavas 2010, Data Mining and Knowledge Discovery Handbook, 667-685.
"""

from __future__ import annotations

import numpy as np

from auditkit.performance.multilabel.observer import Flags, Floats


def ranking_precision(truth: Flags, scores: Floats) -> Floats:
    """Label ranking average precision of each row, float64 [n]. truth: bool [n, L]; scores: finite float64 [n, L].

    >>> ranking_precision(np.array([[True, False, False], [False, False, True]]),
    ...                   np.array([[0.75, 0.5, 1.0], [1.0, 0.2, 0.1]])).round(4).tolist()
    [0.5, 0.3333]
    """
    order = np.argsort(-scores, axis=1, kind="stable")
    mine, values = np.take_along_axis(truth, order, axis=1), np.take_along_axis(scores, order, axis=1)
    last = _last_of_ties(values)
    found = np.take_along_axis(np.cumsum(mine, axis=1), last, axis=1)
    labels = truth.sum(axis=1)
    share = np.where(mine, found / (last + 1), 0.0).sum(axis=1) / np.maximum(labels, 1)
    return np.where((labels == 0) | (labels == truth.shape[1]), 1.0, share)


def coverage(truth: Flags, scores: Floats) -> Floats:
    """How many labels score at least as high as the lowest of the row's own, float64 [n]; 0 where it has none.

    >>> coverage(np.array([[True, False, False], [False, False, True]]),
    ...          np.array([[0.75, 0.5, 1.0], [1.0, 0.2, 0.1]])).tolist()
    [2.0, 3.0]
    """
    lowest = np.where(truth, scores, np.inf).min(axis=1, keepdims=True)
    found: Floats = (scores >= lowest).sum(axis=1).astype(np.float64)
    return found


def _last_of_ties(values: Floats) -> np.ndarray:
    """Of descending values [n, L] the place of the last one that is equal, int64 [n, L]."""
    width = values.shape[1]
    ends = np.ones(values.shape, dtype=bool)
    ends[:, :-1] = values[:, 1:] != values[:, :-1]
    places = np.where(ends, np.arange(width), width)
    found: np.ndarray = np.minimum.accumulate(places[:, ::-1], axis=1)[:, ::-1]
    return found
