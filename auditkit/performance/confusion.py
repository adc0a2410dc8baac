"""What follows from the confusion counts: rows are true classes, columns predicted ones, int64 [C, C]."""

import numpy as np
import numpy.typing as npt

from auditkit.statistics.intervals import wilson

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


def confusion_counts(labels: Ints, predictions: Ints, classes: int) -> Ints:
    """Count rows by true and predicted class.

    >>> confusion_counts(np.array([0, 1, 1]), np.array([0, 0, 1]), 2).tolist()
    [[1, 0], [1, 1]]
    """
    return np.bincount(labels * classes + predictions, minlength=classes * classes).reshape(classes, classes)


def balanced_accuracy(confusion: npt.NDArray) -> Floats:
    """The mean recall over classes that occur; counts [C, C, ...], the rest of the axes are kept.

    >>> float(balanced_accuracy(np.array([[8, 2], [0, 5]])))
    0.9
    """
    totals = confusion.sum(axis=1)
    right = np.einsum("cc...->c...", confusion)
    present = totals > 0
    recalls = np.divide(right, totals, out=np.zeros(right.shape), where=present)
    return recalls.sum(axis=0) / present.sum(axis=0)


def balanced_accuracy_interval(confusion: Ints, confidence: float = 0.95) -> tuple[float, float]:
    """The interval of balanced accuracy: the classes' independent recalls, each with Wilson's interval, joined.

    Distances to the bounds are squared and added (Zou and Donner 2008, Statistics in Medicine 27(10), 1693-1702).
    Unlike a bootstrap of the counts it keeps a width where a class is always, or never, found.

    >>> [round(edge, 3) for edge in balanced_accuracy_interval(np.array([[90, 10], [2, 8]]))]
    [0.691, 0.925]
    """
    rows, right = confusion.sum(axis=1), np.diag(confusion)
    there = rows > 0
    recalls, classes = right[there] / rows[there], int(there.sum())
    lower, upper = wilson(right[there], rows[there], confidence)
    mean = float(recalls.mean())
    below, above = np.linalg.norm(recalls - lower) / classes, np.linalg.norm(upper - recalls) / classes
    return max(0.0, mean - float(below)), min(1.0, mean + float(above))


def newcombe_difference(k1: int, n1: int, k2: int, n2: int, confidence: float) -> tuple[float, float, float]:
    """The difference k1/n1 - k2/n2 of two independent rates with Newcombe's interval (1998, method 10).

    >>> [round(value, 4) for value in newcombe_difference(56, 70, 48, 80, 0.95)]
    [0.2, 0.0524, 0.3339]
    """
    first, second = k1 / n1, k2 / n2
    (low1, high1), (low2, high2) = (wilson(k, n, confidence) for k, n in ((k1, n1), (k2, n2)))
    difference = first - second
    lower = difference - np.hypot(first - low1, high2 - second)
    upper = difference + np.hypot(high1 - first, second - low2)
    return difference, float(lower), float(upper)
