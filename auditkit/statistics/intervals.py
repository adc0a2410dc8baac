"""Confidence intervals of a proportion, and the normal quantile they rest on.

Wilson's interval inverts the score test: it keeps its level for few rows and for rates at or near 0 and 1, where the
usual p ± z·sqrt(p(1 - p)/n) shrinks to a point. With continuity correction it errs on the wide side, as intervals that
have to hold far out in the tail should. Sources: Wilson (1927), JASA 22(158), 209-212; Newcombe (1998), Statistics in
Medicine 17, 857-872 (methods 3 and 4); Brown, Cai and DasGupta (2001), Statistical Science 16(2), 101-133.
"""

from statistics import NormalDist

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


def normal_quantile(confidence: float) -> float:
    """The z of a two-sided interval at this confidence.

    >>> round(normal_quantile(0.95), 4)
    1.96
    """
    if not 0 < confidence < 1:
        raise ValueError(f"confidence must lie strictly between 0 and 1, got {confidence}")
    return NormalDist().inv_cdf(0.5 + confidence / 2)


def wilson(successes: npt.ArrayLike, n: npt.ArrayLike, confidence: float = 0.95) -> tuple[Floats, Floats]:
    """Wilson's score interval of a proportion, elementwise.

    successes, n: counts of any common shape, 0 <= successes <= n, n >= 1. Returns (lower, upper) as rates.
    Raises ValueError for counts that are not so.

    >>> lower, upper = wilson([0, 5], [10, 10])
    >>> lower.round(4).tolist(), upper.round(4).tolist()
    ([0.0, 0.2366], [0.2775, 0.7634])
    """
    return score_interval(successes, n, normal_quantile(confidence))


def score_interval(
    successes: npt.ArrayLike, n: npt.ArrayLike, z: float, corrected: bool = False
) -> tuple[Floats, Floats]:
    """Wilson's interval at `z` standard errors, with continuity correction if `corrected`. Arguments as in `wilson`.

    >>> [edge.round(4).item() for edge in score_interval(5, 56, 1.96, corrected=True)]
    [0.0333, 0.2037]
    """
    k, total = np.asarray(successes, dtype=np.float64), np.asarray(n, dtype=np.float64)
    if not ((total >= 1) & (k >= 0) & (k <= total)).all():
        raise ValueError("a proportion needs counts with 0 <= successes <= n and n >= 1")
    shift = 0.5 if corrected else 0.0
    low, below = _halves(k - shift, total, z)
    high, above = _halves(k + shift, total, z) if corrected else (low, below)
    lower, upper = np.maximum(low - below, 0.0), np.minimum(high + above, 1.0)
    return np.where(k == 0, 0.0, lower), np.where(k == total, 1.0, upper)


def _halves(k: Floats, n: Floats, z: float) -> tuple[Floats, Floats]:
    """The middle and half the distance of the two roots of (k - n·p)² = z²·n·p·(1 - p)."""
    spread = np.sqrt(np.maximum(0.0, k * (n - k) / n + z * z / 4))
    return (k + z * z / 2) / (n + z * z), z * spread / (n + z * z)
