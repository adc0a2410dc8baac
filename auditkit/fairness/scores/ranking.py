"""How well scores rank, within groups and between them, from score counts alone.

AUC       the chance that a positive row scores above a negative one of the same group, ties counting one half
xAUC      the same with the positive of one group and the negative of another; that xAUC(a, b) and xAUC(b, a) differ
          tells a score that favours a group where the groups' own AUCs are alike (Kallus and Zhou 2019, "The Fairness
          of Risk Scores Beyond Classification", NeurIPS)
ABROCA    the area between two groups' ROC curves, where crossings do not cancel (Gardner, Brooks and Baker 2019,
          "Evaluating the Fairness of Predictive Student Models Through Slicing Analysis", LAK)
average precision   mean of precision over the steps of recall, as in scikit-learn

Scores of one bin are ties: the values are exactly those of scores rounded to their bins, and an AUC of 200 bins is off
from that of the rows by less than half the chance that a positive and a negative row share a bin.

Intervals of areas are DeLong's variance in Wilson's form, as in `auditkit.statistics.roc`. The largest difference
over all pairs of groups has Bonferroni bounds. Noise alone keeps ABROCA above zero, so its value over groups
exchanged at random within labels stands beside it.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from auditkit.fairness.scores.bins import ScoreCounts
from auditkit.statistics.intervals import Floats, normal_quantile, score_interval
from auditkit.statistics.roc import Estimate

Weights = npt.NDArray


def area(negatives: Weights, positives: Weights) -> float:
    """The area under the ROC curve of binned scores; NaN where a side is empty. Arguments: rows per bin, [bins].

    >>> area(np.array([1, 1, 0]), np.array([0, 1, 1]))
    0.875
    """
    return float(areas(np.asarray(negatives)[None], np.asarray(positives)[None])[0, 0])


def areas(negatives: Weights, positives: Weights) -> Floats:
    """All areas at once: [j, i] → the chance that a positive of row i scores above a negative of row j.

    negatives: [J, bins], positives: [I, bins]. Returns float64 [I, J], NaN where a side is empty.
    """
    n, m = np.asarray(negatives, dtype=np.float64), np.asarray(positives, dtype=np.float64)
    below = np.cumsum(n, axis=1) - n / 2
    total = m.sum(axis=1)[:, None] * n.sum(axis=1)[None]
    return np.divide(m @ below.T, total, out=np.full(total.shape, np.nan), where=total > 0)


def group_areas(counts: ScoreCounts) -> Floats:
    """The AUC of each group, float64 [groups]; NaN where a group lacks a label."""
    return np.diag(cross_areas(counts)).copy()


def cross_areas(counts: ScoreCounts) -> Floats:
    """xAUC: [i, j] → the chance that a positive of group i scores above a negative of group j. float64 [G, G]."""
    return areas(counts.cells[:, 0], counts.cells[:, 1])


def area_variance(negatives: Weights, positives: Weights) -> tuple[float, float]:
    """An area and DeLong's variance once each side has one more row that beats half of the other: never zero.

    negatives, positives: rows per bin [bins], neither empty.
    """
    n, m = np.asarray(negatives, dtype=np.float64), np.asarray(positives, dtype=np.float64)
    above = (np.cumsum(n) - n / 2) / n.sum()
    below = 1 - (np.cumsum(m) - m / 2) / m.sum()
    centre, variance = 0.0, 0.0
    for share, rows in ((above, m), (below, n)):
        total = rows.sum()
        mean = ((share * rows).sum() + 0.5) / (total + 1)
        squares = (rows * (share - mean) ** 2).sum() + (0.5 - mean) ** 2
        centre += mean / 2
        variance += squares / total / total
    return float(centre), float(variance)


def area_interval(negatives: Weights, positives: Weights, confidence: float = 0.95) -> Estimate:
    """The area with its interval: `auditkit.statistics.roc.auroc_interval` of the binned scores."""
    centre, variance = area_variance(negatives, positives)
    rows = max(centre * (1 - centre) / variance, 1.0) if variance > 0 else 1.0
    value = area(negatives, positives)
    lower, upper = score_interval(value * rows, rows, normal_quantile(confidence))
    return Estimate(value, float(lower), float(upper))


def widest_difference(
    counts: ScoreCounts, crossed: bool = False, confidence: float = 0.95
) -> tuple[Estimate, tuple[str, str]]:
    """The largest difference between two groups' AUC (or, crossed, their two xAUC), and the pair, larger first.

    Every group needs rows of both labels and there must be two groups. Bounds hold for all pairs at once (Bonferroni);
    a pair's join the two areas' own, squaring and adding (Newcombe 1998, Statistics in Medicine 17, 873-890), since
    plain standard errors cover in 92 to 93 % where a group has a hundred rows.
    """
    first, second = np.triu_indices(len(counts.groups), 1)
    level = 1 - (1 - confidence) / len(first)
    sides = [(first, second), (second, first)] if crossed else [(first, first), (second, second)]
    one, other = (
        np.array([area_interval(counts.cells[j, 0], counts.cells[i, 1], level) for i, j in zip(*side, strict=True)])
        for side in sides
    )
    difference = one[:, 0] - other[:, 0]
    low = difference - np.hypot(one[:, 0] - one[:, 1], other[:, 2] - other[:, 0])
    high = difference + np.hypot(one[:, 2] - one[:, 0], other[:, 0] - other[:, 1])
    size = np.abs(difference)
    at = int(size.argmax())
    pair = (int(first[at]), int(second[at])) if difference[at] >= 0 else (int(second[at]), int(first[at]))
    lower = float(np.maximum(0.0, np.maximum(low, -high)).max())
    upper = float(min(1.0, np.maximum(np.abs(low), np.abs(high)).max()))
    return Estimate(float(size[at]), lower, upper), (counts.names[pair[0]], counts.names[pair[1]])


def roc_curve(negatives: Weights, positives: Weights) -> tuple[Floats, Floats]:
    """False and true positive rates at every edge from above the last to the first, float64 [..., bins + 1] each.

    negatives, positives: rows per bin, [..., bins].
    """
    n, m = (_from_above(side) for side in (negatives, positives))
    return n / n[..., -1:], m / m[..., -1:]


def _from_above(side: Weights) -> Floats:
    """How many rows lie in a bin or above it, from none to all: float64 [..., bins + 1]."""
    rows = np.asarray(side, dtype=np.float64)[..., ::-1]
    return np.concatenate([np.zeros((*rows.shape[:-1], 1)), np.cumsum(rows, axis=-1)], axis=-1)


def area_between(first: tuple[Weights, Weights], second: tuple[Weights, Weights]) -> float:
    """ABROCA: the area between two ROC curves, exact for curves made of straight pieces, crossings included.

    first, second: (negatives, positives) per bin, no side empty.

    >>> area_between((np.array([1, 0]), np.array([0, 1])), (np.array([1, 1]), np.array([1, 1])))
    0.5
    """
    (n, m), (other_n, other_m) = ([np.asarray(side)[None] for side in pair] for pair in (first, second))
    return float(areas_between((n, m), (other_n, other_m))[0])


def areas_between(first: tuple[Weights, Weights], second: tuple[Weights, Weights]) -> Floats:
    """ABROCA of many pairs of curves at once: float64 [pairs]. first, second: (negatives, positives), [pairs, bins].

    The curves are laid end to end, each two units after the one before, and walked along once.
    """
    pairs = len(np.asarray(first[0]))
    apart = 2.0 * np.arange(pairs)[:, None]
    curves = [((x + apart).ravel(), y.ravel()) for x, y in (roc_curve(*side) for side in (first, second))]
    grid = np.unique(np.concatenate([x for x, _ in curves]))
    left, right = (a - b for a, b in zip(_between(*curves[0], grid), _between(*curves[1], grid), strict=True))
    total = np.abs(left) + np.abs(right)
    crossing = left * right < 0
    height = np.where(crossing, np.divide(left**2 + right**2, total, out=np.zeros_like(total), where=total > 0), total)
    pair = (grid[:-1] / 2).astype(np.int64)
    within = grid[:-1] - 2.0 * pair < 1
    weights = (np.diff(grid) * height / 2)[within]
    total_area: Floats = np.bincount(pair[within], weights=weights, minlength=pairs).astype(np.float64)
    return total_area


def _between(x: Floats, y: Floats, grid: Floats) -> tuple[Floats, Floats]:
    """A curve's heights at the start and the end of each piece of the grid: between pieces it may rise straight up."""
    at, first = np.unique(x, return_index=True)
    last = np.append(first[1:], len(x)) - 1
    piece = np.searchsorted(at, grid[:-1], side="right") - 1
    start, end = y[last[piece]], y[first[piece + 1]]
    slope = (end - start) / (at[piece + 1] - at[piece])
    return start + slope * (grid[:-1] - at[piece]), start + slope * (grid[1:] - at[piece])


def area_between_by_chance(
    first: tuple[Weights, Weights], second: tuple[Weights, Weights], draws: int, rng: np.random.Generator
) -> Floats:
    """ABROCA of `draws` exchanges of the two groups' members within each label, sizes kept: float64 [draws]."""
    drawn = [
        rng.multivariate_hypergeometric(a + b, int(a.sum()), size=draws) for a, b in zip(first, second, strict=True)
    ]
    left = [a + b - some for a, b, some in zip(first, second, drawn, strict=True)]
    return areas_between((drawn[0], drawn[1]), (left[0], left[1]))


def average_precision(negatives: Weights, positives: Weights) -> float:
    """The sum over thresholds of the step in recall times precision; NaN without positives.

    >>> average_precision(np.array([1, 1, 0]), np.array([0, 1, 1]))
    0.8333333333333333
    """
    m = np.asarray(positives, dtype=np.float64)[::-1]
    reached = np.cumsum(m)
    selected = reached + np.cumsum(np.asarray(negatives, dtype=np.float64)[::-1])
    if reached[-1] == 0:
        return float("nan")
    precision = np.divide(reached, selected, out=np.zeros_like(reached), where=selected > 0)
    return float((m * precision).sum() / reached[-1])
