"""Average precision: the area under the precision-recall curve as a sum of steps, with an interval.

Going down the scores, AP = Σ (recall gained) × (precision there); rows of equal score are one step. It is the mean over
the positives i of T_i / R_i, the share of positives among the rows that score at least as high as i (R_i rows, T_i of
them positive), and equals scikit-learn's. Rows weigh in through every positive at or below them, so the variance is the
sum of squares of each row's derivative (the infinitesimal jackknife, Efron 1982, The Jackknife, the Bootstrap and Other
Resampling Plans, ch. 6), in O(n log n):

    dAP/dw_k = (y_k (T_k/R_k - AP + Σ 1/R_i) - Σ T_i/R_i²) / P        sums over positives i that score at most as k

The interval is Wilson's for as many rows as give a proportion that variance, and for no more than there are positives
(the binomial interval of Boyd, Eng and Page 2013, ECML PKDD, LNCS 8190, 451-466, in Wilson's form). In simulations
with normal scores, 100 to 1,000 rows and true values from 0.03 to 1 it covered in 92 to 100 % of draws with ten
positive rows or more, and in 88 to 99 % with three.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from auditkit.statistics.bounded_means import bounded_interval
from auditkit.statistics.intervals import Floats
from auditkit.statistics.roc import Estimate


@dataclass(frozen=True)
class AveragePrecision:
    """value; influence: each row's derivative, float64 [n]; positives: how many rows are positive."""

    value: float
    influence: Floats
    positives: int

    def interval(self, confidence: float = 0.95) -> Estimate:
        """The value with its interval."""
        return averaged([self], confidence)


def average_precision(positive: npt.ArrayLike, scores: npt.ArrayLike) -> AveragePrecision:
    """Average precision of scores [n], larger meaning more positive. positive: bool [n], one true at least.

    Raises ValueError without a positive row or with scores that are not finite.

    >>> round(average_precision([False, False, True, True], [0.1, 0.4, 0.35, 0.8]).value, 4)
    0.8333
    """
    truth, values = np.asarray(positive, dtype=bool), np.asarray(scores, dtype=np.float64)
    if not truth.any() or not np.isfinite(values).all():
        raise ValueError("average precision needs a positive row and finite scores")
    order = np.argsort(-values, kind="stable")
    descending, mine = values[order], truth[order].astype(np.float64)
    last = np.searchsorted(-descending, -descending, side="right") - 1  # of the rows of equal score
    first = np.searchsorted(-descending, -descending, side="left")
    above, found = (last + 1).astype(np.float64), np.cumsum(mine)[last]
    total = float(mine.sum())
    value = float((mine * found / above).sum() / total)
    from_here = [np.cumsum(part[::-1])[::-1][first] for part in (mine / above, mine * found / above**2)]
    influence = np.empty(len(values))
    influence[order] = (mine * (found / above - value + from_here[0]) - from_here[1]) / total
    return AveragePrecision(value, influence, int(total))


def averaged(found: list[AveragePrecision], confidence: float = 0.95) -> Estimate:
    """The mean of average precisions over the same rows, with an interval that knows that they share them."""
    value = float(np.mean([each.value for each in found]))
    influence = np.mean([each.influence for each in found], axis=0)
    least = value * (1 - value) / sum(each.positives for each in found)
    variance, fewest = max(float((influence**2).sum()), least), min(each.positives for each in found)
    return bounded_interval(value, variance, fewest, confidence)
