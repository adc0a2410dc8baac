"""Conformal p-values, and thresholds that keep their promise about the share of normal rows they flag.

Scores are larger the stranger a row. Against n calibration rows that the threshold has not seen being made, the
p-value of a new row is (1 + how many calibration scores are at least as large) / (1 + n). For a row exchangeable with
the calibration rows it is uniform or larger: P(p <= a) <= a, whatever the scores' distribution
(Vovk, Gammerman and Shafer 2005, Algorithmic Learning in a Random World).

A threshold at the k-th smallest of n calibration scores flags a share of all normal rows that varies with the
calibration sample as Beta(n + 1 - k, k) (exactly, for continuous scores; no more, with ties). Two choices of k:
`marginal_order` keeps the share at the level on average over calibration samples, `order_statistic` keeps it at the
level with a stated confidence for the sample at hand, a tolerance limit (Wilks 1941, Annals of Mathematical Statistics
12(1), 91-96; Bates, Candès, Lei, Romano and Sesia 2023, Annals of Statistics 51(1), 149-178).
"""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import betainc, betaincinv

from auditkit.statistics.intervals import Floats


def conformal_p_values(calibration: npt.ArrayLike, scores: npt.ArrayLike) -> Floats:
    """The p-value of each score against the calibration scores.

    calibration: finite [n], at least one. scores: [...]; a score that is not a number gets a p-value that is none.

    >>> conformal_p_values([1, 2, 3], [0, 2, 9]).tolist()
    [1.0, 0.75, 0.25]
    """
    known = np.sort(np.asarray(calibration, dtype=np.float64))
    if known.size == 0 or not np.isfinite(known).all():
        raise ValueError("p-values need at least one calibration score, all of them finite")
    asked = np.asarray(scores, dtype=np.float64)
    at_least = len(known) - np.searchsorted(known, asked, side="left")
    return np.where(np.isnan(asked), np.nan, (1 + at_least) / (1 + len(known)))


def marginal_order(n: int, level: float = 0.05) -> int | None:
    """The k whose threshold flags at most `level` of normal rows on average; None where n is too small for any.

    >>> marginal_order(1000), marginal_order(18)
    (951, None)
    """
    k = math.ceil((n + 1) * (1 - level) - 1e-9)
    return k if k <= n else None


def order_statistic(n: int, level: float = 0.05, confidence: float = 0.95) -> int | None:
    """The smallest k whose threshold flags at most `level` with this confidence; None where n is too small for any.

    >>> order_statistic(1000), order_statistic(200), order_statistic(59), order_statistic(58)
    (962, 196, 59, None)
    """
    low, high = 1, n + 1
    while low < high:
        middle = (low + high) // 2
        if 1 - betainc(middle, n + 1 - middle, 1 - level) < confidence:
            low = middle + 1
        else:
            high = middle
    return low if low <= n else None


def fewest_rows(level: float = 0.05, confidence: float = 0.95) -> int:
    """The fewest calibration rows that allow such a threshold: the first n with (1 - level)^n <= 1 - confidence.

    >>> fewest_rows()
    59
    """
    return math.ceil(math.log(1 - confidence) / math.log(1 - level) - 1e-9)


def flagged_share(n: int, k: int, quantiles: npt.ArrayLike = (0.05, 0.95)) -> tuple[float, Floats]:
    """Mean and quantiles of the share of normal rows that the k-th smallest of n calibration scores flags.

    >>> mean, edges = flagged_share(1000, 951)
    >>> round(100 * mean, 2), (100 * edges).round(2).tolist()
    (5.0, [3.92, 6.18])
    """
    asked = np.asarray(quantiles, dtype=np.float64)
    return (n + 1 - k) / (n + 1), np.asarray(betaincinv(n + 1 - k, k, asked))


@dataclass(frozen=True, slots=True)
class Threshold:
    """Rows that score above `value` are flagged: at most `level` of normal rows, with `confidence`.

    `k` is its place among the `n` calibration scores; `mean`, `low` and `high` tell the share of normal rows that such
    a threshold flags: on average, and from the 5th to the 95th percentile of calibration samples.
    """

    value: float
    n: int
    k: int
    level: float
    confidence: float
    mean: float
    low: float
    high: float


def conformal_threshold(calibration: npt.ArrayLike, level: float = 0.05, confidence: float = 0.95) -> Threshold | None:
    """The lowest threshold among finite calibration scores [n] that keeps the promise; None where n is too small.

    >>> conformal_threshold(range(1000)).value
    961.0
    """
    known = np.sort(np.asarray(calibration, dtype=np.float64))
    if not np.isfinite(known).all():
        raise ValueError("a threshold needs finite calibration scores")
    k = order_statistic(len(known), level, confidence)
    if k is None:
        return None
    mean, (low, high) = flagged_share(len(known), k)
    return Threshold(float(known[k - 1]), len(known), k, level, confidence, mean, float(low), float(high))
