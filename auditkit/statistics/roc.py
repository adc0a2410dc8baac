"""The area under the ROC curve, exact with ties, and false positive rates at a given true positive rate.

The area is the probability that a positive row scores above a negative one, ties counting one half. It comes from
ranks, in O(n log n), and so do its structural components: for each positive the share of negatives below it, for each
negative the share of positives above it. Their spread gives DeLong's variance, without assumptions on the scores
(DeLong, DeLong and Clarke-Pearson 1988, Biometrics 44(3), 837-845; by ranks: Sun and Xu 2014, IEEE Signal Processing
Letters 21(11), 1389-1393).

Near 1, where good detectors live, that variance shrinks to nothing and area ± z·error covers far too seldom (33 % of
draws at an area of 0.999 and 30 rows a side, where 95 % were promised; the logit scale does no better). The interval
here is Wilson's, for the number of rows that would give a proportion the same variance, after each side was given one
pseudo row that beats half of the other side, in the manner of Agresti and Coull. In simulations with normal scores of
equal and unequal spread and 30 to 1000 rows a side it covered in 93 to 100 % of draws for areas from 0.5 to 0.999; at
an area of exactly 1 it still has a width.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from auditkit.statistics.intervals import Floats, normal_quantile, score_interval


class Estimate(NamedTuple):
    """A value with its interval."""

    value: float
    lower: float
    upper: float


Weighed = tuple[npt.ArrayLike, npt.ArrayLike]


def structural_components(
    negatives: npt.ArrayLike, positives: npt.ArrayLike, weights: Weighed | None = None
) -> tuple[Floats, Floats]:
    """How far each row agrees with the order: the share of positives above a negative, of negatives below a positive.

    negatives, positives: finite scores [n] and [m], larger meaning more positive; ties count one half. Both means are
    the area. weights: of the negatives [n] and of the positives [m]; shares are then shares of weight. Raises
    ValueError for an empty side or a score that is not finite.

    >>> below, above = structural_components([1, 2], [2, 3])
    >>> below.tolist(), above.tolist()
    ([1.0, 0.75], [0.75, 1.0])
    """
    n, m = _checked(negatives), _checked(positives)
    if weights is None:
        return 1 - _share_below(n, np.sort(m)), _share_below(m, np.sort(n))
    n_weights, m_weights = (np.asarray(side, dtype=np.float64) for side in weights)
    return 1 - _weight_below(n, m, m_weights), _weight_below(m, n, n_weights)


def _share_below(values: Floats, others: Floats) -> Floats:
    strictly = np.searchsorted(others, values, side="left")
    weakly = np.searchsorted(others, values, side="right")
    return (strictly + weakly) / (2 * len(others))


def _weight_below(values: Floats, others: Floats, weights: Floats) -> Floats:
    order = np.argsort(others, kind="stable")
    up_to = np.concatenate([[0.0], np.cumsum(weights[order])])
    strictly = up_to[np.searchsorted(others[order], values, side="left")]
    weakly = up_to[np.searchsorted(others[order], values, side="right")]
    return np.asarray((strictly + weakly) / (2 * up_to[-1]))


def _checked(scores: npt.ArrayLike) -> Floats:
    values = np.asarray(scores, dtype=np.float64)
    if values.size == 0 or not np.isfinite(values).all():
        raise ValueError("a ROC curve needs at least one positive and one negative row, with finite scores")
    return values


def auroc(negatives: npt.ArrayLike, positives: npt.ArrayLike) -> float:
    """The area under the ROC curve. Arguments as in `structural_components`.

    >>> auroc([1, 2], [2, 3])
    0.875
    """
    return float(structural_components(negatives, positives)[1].mean())


def delong_variance(negatives: npt.ArrayLike, positives: npt.ArrayLike) -> float:
    """DeLong's variance of the area; needs two rows a side.

    >>> delong_variance([1, 2], [2, 3])
    0.03125
    """
    below, above = structural_components(negatives, positives)
    return _variance(below, above)


def _variance(below: Floats, above: Floats) -> float:
    return float(below.var(ddof=1) / len(below) + above.var(ddof=1) / len(above))


def auroc_interval(negatives: npt.ArrayLike, positives: npt.ArrayLike, confidence: float = 0.95) -> Estimate:
    """The area with its interval. Arguments as in `structural_components`.

    >>> [round(edge, 3) for edge in auroc_interval(range(10), range(100, 110))]
    [1.0, 0.713, 1.0]
    """
    below, above = structural_components(negatives, positives)
    centre, variance = _with_pseudo_rows(below, above)
    return _wilson_like(float(above.mean()), centre, variance, confidence)


def weighted_auroc_interval(
    negatives: npt.ArrayLike,
    positives: npt.ArrayLike,
    weights: Weighed,
    confidence: float = 0.95,
    clusters: tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]] | None = None,
) -> Estimate:
    """The area of weighted rows with its interval: a row of weight 2 stands for two people, but is one observation.

    weights: of the negatives [n] and of the positives [m], all above 0. clusters: which cluster every row is of, int64
    [n] and [m], where rows of a cluster depend on each other; their components are then summed before they are squared
    (Obuchowski 1997, Biometrics 53(2), 567-578). Else as `auroc_interval`, whose interval this is where all weigh the
    same.

    >>> weighted_auroc_interval([1, 2], [2, 3], ([1, 1], [1, 3])).value
    0.9375
    """
    parts = structural_components(negatives, positives, weights)
    centre, area, pseudo, influence = 0.0, 0.0, 0.0, []
    for components, side in zip(parts, weights, strict=True):
        weight = np.asarray(side, dtype=np.float64)
        area = float((weight * components).sum() / weight.sum())
        extra = weight.mean()
        total = weight.sum() + extra
        mean = ((weight * components).sum() + 0.5 * extra) / total
        centre += float(mean) / 2
        lost_degree = (len(weight) + 1) / len(weight)
        influence.append(weight * (components - mean) / total * lost_degree)
        pseudo += float((extra * (0.5 - mean) / total * lost_degree) ** 2)
    every = np.concatenate(influence)
    if clusters is not None:
        codes = np.unique(np.concatenate(clusters), return_inverse=True)[1]
        every = np.bincount(codes, every)
    return _wilson_like(area, centre, float((every**2).sum()) + pseudo, confidence)


def _with_pseudo_rows(below: Floats, above: Floats) -> tuple[float, float]:
    """The area and its variance once each side has one more row, which beats half of the other side."""
    more_below, more_above = np.append(below, 0.5), np.append(above, 0.5)
    variance = more_below.var(ddof=1) / len(below) + more_above.var(ddof=1) / len(above)
    return float(more_below.mean() + more_above.mean()) / 2, float(variance)


def _wilson_like(area: float, centre: float, variance: float, confidence: float) -> Estimate:
    if variance == 0:  # every component is one half: all rows are tied
        variance = np.inf
    rows = max(centre * (1 - centre) / variance, 1.0)
    lower, upper = score_interval(area * rows, rows, normal_quantile(confidence))
    return Estimate(area, float(lower), float(upper))


def macro_auroc(labels: npt.ArrayLike, scores: npt.ArrayLike, confidence: float = 0.95) -> Estimate:
    """The mean over classes of one class against the rest, with an interval that knows the classes share their rows.

    labels: class places [n], two classes at least. scores: finite [n, classes]. Classes no row belongs to are left out
    of the mean. The variance is that of the mean of all classes' structural components, row by row, which for two
    classes is DeLong's. Raises ValueError where a class has all rows.

    >>> scores = np.array([[0.9, 0.1], [0.7, 0.3], [0.4, 0.6], [0.8, 0.2]])
    >>> macro_auroc([0, 0, 1, 1], scores).value
    0.75
    """
    places, values = np.asarray(labels), np.asarray(scores, dtype=np.float64)
    present = np.unique(places)
    influence = np.zeros(len(places))
    areas, centres, widening = [], [], 0.0
    for place in present:
        inside = places == place
        below, above = structural_components(values[~inside, place], values[inside, place])
        areas.append(above.mean())
        centre, variance = _with_pseudo_rows(below, above)
        centres.append(centre)
        if min(len(below), len(above)) > 1:
            variance -= _variance(below, above)
        widening += variance / len(present) ** 2
        influence[inside] += (above - above.mean()) / len(above) / len(present)
        influence[~inside] += (below - below.mean()) / len(below) / len(present)
    joint = float((influence**2).sum())
    return _wilson_like(float(np.mean(areas)), float(np.mean(centres)), joint + widening, confidence)


def fpr_at_tpr(negatives: npt.ArrayLike, positives: npt.ArrayLike, tpr: float = 0.95) -> float:
    """The share of negatives at or above the highest threshold that keeps at least `tpr` of the positives.

    The threshold is exact (a score that occurs), and ties go with the positives.

    >>> fpr_at_tpr([0, 1, 2, 3], [1, 2, 3, 4], tpr=0.75)
    0.5
    """
    n, m = np.sort(_checked(negatives)), np.sort(_checked(positives))
    return float(_at_or_above(n, m[len(m) - _kept(len(m), tpr)]) / len(n))


def _kept(rows: int, tpr: float) -> int:
    return max(1, int(np.ceil(tpr * rows - 1e-9)))


def _at_or_above(ordered: Floats, threshold: npt.ArrayLike) -> npt.NDArray[np.int64]:
    return len(ordered) - np.searchsorted(ordered, threshold, side="left")


def fpr_at_tpr_interval(
    negatives: npt.ArrayLike,
    positives: npt.ArrayLike,
    rng: np.random.Generator,
    tpr: float = 0.95,
    confidence: float = 0.95,
    draws: int = 4000,
) -> Estimate:
    """`fpr_at_tpr` with an interval in which the threshold is uncertain too.

    Of the sample's positives, Binomial(m, tpr) lie at or above the population's threshold; given a threshold that s of
    n negatives reach, their rate is drawn from Jeffreys' posterior Beta(s + 1/2, n - s + 1/2), which keeps a width at 0
    and 1. The interval holds the middle `confidence` of the draws.
    """
    n, m = np.sort(_checked(negatives)), np.sort(_checked(positives))
    value = fpr_at_tpr(n, m, tpr)
    kept = rng.binomial(len(m), tpr, size=draws)
    threshold = np.where(kept > 0, m[len(m) - np.maximum(kept, 1)], np.inf)
    reached = _at_or_above(n, threshold)
    rates = rng.beta(reached + 0.5, len(n) - reached + 0.5)
    rest = (1 - confidence) / 2
    lower, upper = np.quantile(rates, [rest, 1 - rest])
    lower, upper = (0.0 if value == 0 else lower), (1.0 if value == 1 else upper)
    return Estimate(value, float(min(lower, value)), float(max(upper, value)))
