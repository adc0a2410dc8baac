"""Estimate: a mean over rows with the interval that resampling the rows gives it.

Rows may weigh differently (a row whose score hardly moves has little to explain), so a mean is a ratio of sums, and
both are resampled together. Beyond a thousand rows the interval is the one of the normal distribution, which such means
have. Where each row was measured with several randomly drawn models, rows and models are both resampled, as either
could have been others.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

from auditkit.statistics.resampling import percentile_interval

Floats = npt.NDArray[np.float64]
REPLICATES = 2_000
MANY = 1_000
"""rows above which resampling them gives what the normal distribution gives"""


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean over `n` rows, with its percentile bootstrap interval."""

    value: float
    lower: float
    upper: float
    n: int


def estimate(values: Floats, weights: Floats | None = None, confidence: float = 0.95, seed: int = 0) -> Estimate | None:
    """The weighted mean of [n] rows, or of [n rows, m draws]; None where no row counts.

    values: NaN where a row says nothing, which is then left out. weights: [n], not negative.

    Source: Efron and Tibshirani, "An Introduction to the Bootstrap", 1993, chapters 6 and 13.

    >>> estimate(np.array([1.0, 3.0, np.nan]), np.array([3.0, 1.0, 1.0])).value
    1.5
    """
    table = values.reshape(len(values), -1)
    weight = np.ones(len(table)) if weights is None else weights
    each = np.where(np.isfinite(table), weight[:, None], 0.0)
    counted = each.sum(axis=1) > 0
    each, table = each[counted], np.where(each > 0, table, 0.0)[counted]
    n, draws = table.shape
    if n == 0:
        return None
    mean = float((each * table).sum() / each.sum())
    if n > MANY and draws == 1:
        error = float(np.sqrt(((each * (table - mean)) ** 2).sum()) / each.sum())
        half = NormalDist().inv_cdf((1 + confidence) / 2) * error
        return Estimate(mean, mean - half, mean + half, n)
    rows, columns = _times(n, seed), _times(draws, seed + 1)
    above, below = (((rows @ part) * columns).sum(axis=1) for part in (each * table, each))
    lower, upper = percentile_interval(above[below > 0] / below[below > 0], confidence)
    return Estimate(mean, float(lower), float(upper), n)


@lru_cache(maxsize=8)
def _times(n: int, seed: int) -> Floats:
    """[REPLICATES, n]: how often each of n is drawn; the same for all estimates, so that differences are alike too."""
    return np.random.default_rng([seed, 17]).multinomial(n, np.full(n, 1 / n), size=REPLICATES).astype(np.float64)
