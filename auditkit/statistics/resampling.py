"""Resampling from counts.

Resampling rows with replacement and then counting them into cells is exactly one multinomial draw over the cells, so
the bootstrap of anything that depends on counts alone costs the same at a thousand rows and at a billion
(Efron and Tibshirani 1993, An Introduction to the Bootstrap, ch. 5 and 13).
"""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import numpy.typing as npt

from auditkit.statistics.intervals import Floats

Counts = npt.NDArray[np.integer]


def multinomial_replicates(counts: npt.ArrayLike, replicates: int, rng: np.random.Generator) -> Counts:
    """Tables of counts as resampling the rows with replacement would give them.

    counts: non-negative integers of any shape, at least one positive. Returns integers [*counts.shape, replicates] (32
    bits wide where they fit, 64 otherwise); every replicate has the sum of `counts`. Raises ValueError for an empty
    table. Two threads draw a half each from streams of their own, so that the result is the same on any machine.

    >>> multinomial_replicates([3, 0, 7], 1000, np.random.default_rng(0)).sum(axis=0).tolist() == [10] * 1000
    True
    """
    cells = np.asarray(counts, dtype=np.int64)
    flat = cells.ravel()
    total = int(flat.sum())
    if total < 1 or (flat < 0).any():
        raise ValueError("a table to resample needs non-negative counts and at least one row")
    filled = np.flatnonzero(flat)
    drawn = np.zeros((flat.size, replicates), dtype=np.int32 if total < 2**31 else np.int64)

    def fill(half: slice, stream: np.random.Generator) -> None:
        size = len(range(*half.indices(replicates)))
        drawn[filled, half] = stream.multinomial(total, flat[filled] / total, size=size).T

    halves = (slice(None, replicates // 2), slice(replicates // 2, None))
    with ThreadPoolExecutor(len(halves)) as pool:
        list(pool.map(fill, halves, rng.spawn(len(halves))))
    return drawn.reshape(*cells.shape, replicates)


def percentile_interval(replicates: npt.ArrayLike, confidence: float = 0.95) -> tuple[Floats, Floats]:
    """The percentile bootstrap interval: the quantiles that leave half of the rest on either side.

    replicates: float [..., replicates], finite. Returns (lower, upper), each [...].

    >>> percentile_interval(np.arange(1001) / 1000, 0.9)
    (array(0.05), array(0.95))
    """
    values = np.asarray(replicates, dtype=np.float64)
    rest = (1 - confidence) / 2
    lower, upper = np.quantile(values, [rest, 1 - rest], axis=-1)
    return np.asarray(lower), np.asarray(upper)
