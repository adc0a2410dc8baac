"""The convex hull of a group's ROC curve: all that a policy which draws between thresholds needs of its scores.

Every threshold is a point (false positive rate, true positive rate); a draw between thresholds is a point on the line
between theirs, so that randomised policies fill the hull of the curve and its corners are the only thresholds needed
(Provost and Fawcett 2001, Machine Learning 42, 203-231). Selection rate, accuracy and balanced accuracy are affine in
the two rates, hence the same corners serve for all of them. The upper chain is the pool-adjacent-violators fit of the
labels in the order of their scores (Fawcett and Niculescu-Mizil 2007, Machine Learning 68, 97-106): one sort,
cumulative sums and one pass. The lower chain is that of the opposite order.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from auditkit.fairness.counting.counts import Floats, Integers
from auditkit.fairness.scores.bins import ScoreCounts

Booleans = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Hull:
    """The corners of one group's curve: float64 thresholds, int64 false_positives and true_positives, [corners] each.

    The first is the threshold that nobody reaches, the last one of `upper` corners that everybody does; behind them
    stand the corners of the lower chain.
    """

    thresholds: Floats
    false_positives: Integers
    true_positives: Integers
    upper: int

    @property
    def negatives(self) -> int:
        """Rows with a negative label."""
        return int(self.false_positives[self.upper - 1])

    @property
    def positives(self) -> int:
        """Rows with a positive label."""
        return int(self.true_positives[self.upper - 1])

    @property
    def rows(self) -> int:
        """All rows."""
        return self.negatives + self.positives

    def rate(self, name: str) -> Floats:
        """selection_rate, true_positive_rate or false_positive_rate at every corner, [corners]."""
        if name == "selection_rate":
            return (self.false_positives + self.true_positives) / self.rows
        if name == "true_positive_rate":
            return self.true_positives / self.positives
        return self.false_positives / self.negatives


def hull_of_scores(scores: Floats, truth: Booleans) -> Hull:
    """The hull of rows. scores: float64 [n], finite; truth: bool [n].

    Thresholds lie halfway between neighbouring scores, as fairlearn's do.

    >>> hull = hull_of_scores(np.array([0.1, 0.4, 0.6, 0.9]), np.array([False, True, False, True]))
    >>> hull.thresholds[: hull.upper].tolist(), hull.true_positives[: hull.upper].tolist()
    ([inf, 0.75, 0.25, -inf], [0, 1, 2, 2])
    """
    if not len(scores):
        return Hull(np.array([np.inf, -np.inf]), np.zeros(2, dtype=np.int64), np.zeros(2, dtype=np.int64), 2)
    order = np.argsort(scores)[::-1]
    falling = scores[order]
    last = np.append(np.flatnonzero(falling[1:] != falling[:-1]), len(falling) - 1)
    above, below = falling[last[:-1]], falling[last[1:]]
    half = above / 2 + below / 2
    between = np.where((half > below) & (half <= above), half, above)
    true_positives = np.cumsum(truth[order], dtype=np.int64)[last]
    thresholds = np.concatenate([[np.inf], between, [-np.inf]])
    return _hull(thresholds, np.append(0, last + 1 - true_positives), np.append(0, true_positives))


def hulls_of_counts(counts: ScoreCounts) -> list[Hull]:
    """The hull of every group's bins; thresholds are their edges. A group without rows has the two end points only."""
    found = []
    for cells in counts.cells:
        reached = np.cumsum(cells[:, ::-1], axis=1)
        filled = np.flatnonzero(cells.sum(axis=0)[::-1])
        thresholds = np.append(np.inf, counts.edges[:-1][::-1][filled])
        found.append(_hull(thresholds, *(np.append(0, label[filled]) for label in reached)))
    return found


def _hull(thresholds: Floats, false_positives: Integers, true_positives: Integers) -> Hull:
    """The corners among points along a curve; at each step at least one row is added."""
    upper = _chain(false_positives, true_positives, rising=False)
    lower = _chain(false_positives, true_positives, rising=True)[1:-1]
    at = np.concatenate([upper, lower])
    return Hull(thresholds[at], false_positives[at], true_positives[at], len(upper))


def _chain(x: Integers, y: Integers, rising: bool) -> Integers:
    """Places of the corners of the concave chain above the points, or of the convex one below them (rising slopes)."""
    from scipy.optimize import isotonic_regression

    if len(x) < 3:
        return np.arange(len(x))
    gained, rows = np.diff(y), np.diff(x) + np.diff(y)
    fit = isotonic_regression(gained / rows, weights=rows.astype(np.float64), increasing=rising)
    places = np.asarray(fit.blocks, dtype=np.int64)
    while True:  # equal slopes side by side are one edge
        dx, dy = np.diff(x[places]), np.diff(y[places])
        turns = dx[:-1] * dy[1:] != dx[1:] * dy[:-1]
        if turns.all():
            return places
        places = places[np.concatenate([[True], turns, [True]])]
