"""Per-class counts and what follows from them: recall, precision and their mean over classes.

The interval of balanced accuracy joins the classes' independent recalls, each with Wilson's interval, by squaring and
adding (Newcombe 1998; Donner and Zou 2012). Unlike a bootstrap of the confusion counts it keeps a width where every row
is right.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from auditkit.statistics.intervals import wilson
from auditkit.statistics.roc import Estimate

Counts = npt.NDArray[np.int64]


def confusion_counts(labels: npt.ArrayLike, predicted: npt.ArrayLike, classes: int) -> Counts:
    """Rows by true class and predicted class, int64 [classes, classes].

    >>> confusion_counts([0, 0, 1], [0, 1, 1], 2).tolist()
    [[1, 1], [0, 1]]
    """
    places = np.asarray(labels, dtype=np.int64) * classes + np.asarray(predicted, dtype=np.int64)
    return np.bincount(places, minlength=classes**2).reshape(classes, classes)


def balanced_accuracy(counts: Counts, confidence: float = 0.95) -> Estimate:
    """The mean recall of the classes that have rows, with its interval.

    >>> [round(edge, 3) for edge in balanced_accuracy(np.array([[90, 10], [2, 8]]))]
    [0.85, 0.686, 0.928]
    """
    rows, right = counts.sum(axis=1), np.diag(counts)
    there = rows > 0
    rates = right[there] / rows[there]
    lower, upper = wilson(right[there], rows[there], confidence)
    value, classes = float(rates.mean()), int(there.sum())
    below, above = np.linalg.norm(rates - lower) / classes, np.linalg.norm(upper - rates) / classes
    return Estimate(value, max(0.0, value - float(below)), min(1.0, value + float(above)))
