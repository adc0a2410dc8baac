"""An interval of a weighted mean of magnitudes: Σ w_b·|d_b| over bands b, as the calibration error is one.

Magnitudes never cancel, so that noise alone lifts the estimate: by much where the true d_b are small beside their
errors, hardly where they are large. The percentile bootstrap adds that lift once more and covers a true value of zero
never. Here the interval is the set of values that a test does not reject. Between "nothing anywhere" and "much
everywhere" the bands are moved along one path, each by its own standard error e_b,

    d_b(t) = max(0, |observed d_b| + t·e_b),

and the interval reaches over those t for which the observed value lies within the middle of what samples from d(t)
would show. For t so low that every band is at zero, that is the test of the null hypothesis at its own variance, so
that the interval begins at zero exactly where that test does not reject. Moving every band by its own error keeps a
single large band large while bands of noise vanish. The number of rows in a band is random too.

In simulations of 100 to 20,000 rows in ten bands, with errors in all bands, in one, and in none, 95 % intervals covered
in 93 to 99 % (at zero 97.5 %, since there is no other side to miss on). It cannot be exact everywhere: few rows do not
tell whether an error is spread over all bands or sits in one, and what covers the one more tightly covers the other too
seldom. Source of the principle: Neyman (1937),
Philosophical Transactions of the Royal Society A 236, 333-380; of the lift: Bröcker and Smith (2007), Weather and
Forecasting 22(3), 651-661.
"""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from auditkit.statistics.intervals import Floats
from auditkit.statistics.roc import Estimate

STEPS = 16
FARTHEST = 6.0


def mean_magnitude_interval(
    means: npt.ArrayLike,
    rows: npt.ArrayLike,
    variances: npt.ArrayLike,
    null_variances: npt.ArrayLike,
    rng: np.random.Generator,
    confidence: float = 0.95,
    draws: int = 1000,
) -> Estimate:
    """The mean of |means| weighted by rows, with its interval.

    means: [bands], the observed mean of each band's rows. rows: [bands], each at least 1. variances: [bands], of one
    row of a band about its mean; null_variances: the same were the true mean 0. Bands of few rows borrow from the null
    variance, since their own says little. Raises ValueError for bands without rows.

    >>> rng = np.random.default_rng(0)
    >>> found = mean_magnitude_interval([0.01, -0.02, 0.01], [50, 60, 40], [0.2] * 3, [0.2] * 3, rng)
    >>> round(found.value, 4), found.lower
    (0.014, 0.0)
    """
    d, n = np.asarray(means, dtype=np.float64), np.asarray(rows, dtype=np.float64)
    if not len(d) or (n < 1).any():
        raise ValueError("a mean of magnitudes needs bands with at least one row each")
    null = np.asarray(null_variances, dtype=np.float64)
    variance = (n * np.asarray(variances, dtype=np.float64) + 2 * null) / (n + 1)
    total, tail = float(n.sum()), (1 - confidence) / 2
    value = float((n * np.abs(d)).sum() / total)
    drawn = rng.multinomial(int(total), n / total, size=draws)
    standard = np.sqrt(drawn) * rng.standard_normal(drawn.shape)
    noise, error = standard * np.sqrt(variance), np.sqrt(np.maximum(variance, 1e-12) / n)

    def moved(t: float) -> Floats:
        return np.maximum(0.0, np.abs(d) + t * error)

    def shown(t: float) -> Floats:
        return np.asarray(np.abs(drawn * moved(t) + noise).sum(axis=1) / total)

    nothing = -float((np.abs(d) / error).max())
    upper = _last(lambda t: float((shown(t) <= value).mean()) > tail, nothing, FARTHEST)
    lower = None
    if float((np.abs(standard * np.sqrt(null)).sum(axis=1) / total >= value).mean()) <= tail:
        lower = _last(lambda t: float((shown(t) >= value).mean()) <= tail, nothing, FARTHEST)
    low = 0.0 if lower is None else float((n * moved(lower)).sum() / total)
    high = float((n * moved(upper)).sum() / total)
    return Estimate(value, min(low, value), max(high, value))


def _last(holds: Callable[[float], bool], low: float, high: float) -> float:
    """The largest t from `low` to `high` for which something holds that holds below and not above, by halving."""
    for _ in range(STEPS):
        middle = (low + high) / 2
        low, high = (middle, high) if holds(middle) else (low, middle)
    return high
