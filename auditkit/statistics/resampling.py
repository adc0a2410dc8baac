"""Resampling from counts.

Resampling rows with replacement and then counting them into cells is exactly one multinomial draw over the cells, so
the bootstrap of anything that depends on counts alone costs the same at a thousand rows and at a billion
(Efron and Tibshirani 1993, An Introduction to the Bootstrap, ch. 5 and 13).
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import numpy.typing as npt

from auditkit.statistics.intervals import Floats

Counts = npt.NDArray[np.integer]
MOST_DRAWN = 400_000_000
CHUNK = 4_000_000
WORTH_THREADS = 25_000


def multinomial_replicates(counts: npt.ArrayLike, replicates: int, rng: np.random.Generator) -> Counts:
    """Tables of counts as resampling the rows with replacement would give them.

    counts: non-negative integers of any shape, at least one positive. Returns integers [*counts.shape, replicates] (32
    bits wide where they fit, 64 otherwise); every replicate has the sum of `counts`. Raises ValueError for an empty
    table. Two halves have streams of their own and, where it pays, threads of their own: the same result everywhere.

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
    streams = rng.spawn(len(halves))
    if drawn.size < WORTH_THREADS:
        for half, stream in zip(halves, streams, strict=True):
            fill(half, stream)
    else:
        with ThreadPoolExecutor(len(halves)) as pool:
            list(pool.map(fill, halves, streams))
    return drawn.reshape(*cells.shape, replicates)


def percentile_interval(replicates: npt.ArrayLike, confidence: float = 0.95) -> tuple[Floats, Floats]:
    """The percentile bootstrap interval: the quantiles that leave half of the rest on either side.

    replicates: float [..., replicates], finite. Returns (lower, upper), each [...].

    >>> percentile_interval(np.arange(1001) / 1000, 0.9)
    (array(0.05), array(0.95))
    """
    rest = (1 - confidence) / 2
    lower, upper = quantiles(np.asarray(replicates, dtype=np.float64), [rest, 1 - rest])
    return lower, upper


def quantiles(values: npt.NDArray, shares: Sequence[float]) -> list[npt.NDArray]:
    """Quantiles along the last axis, each [...]: `np.quantile` of finite values, to the last bit.

    A check asks for hundreds of quantiles of a thousand values each, of which numpy's own way of asking takes the most.

    >>> [value.item() for value in quantiles(np.array([3.0, 1.0, 2.0]), [0.25, 1.0])]
    [1.5, 3.0]
    """
    last = values.shape[-1] - 1
    places = [min(max(share, 0.0), 1.0) * last for share in shares]
    below = [int(place) for place in places]
    above = [min(place + 1, last) for place in below]
    ordered = np.partition(values, sorted({*below, *above}), axis=-1)
    found = []
    for place, low, high in zip(places, below, above, strict=True):
        first, second, along = ordered[..., low], ordered[..., high], place - low
        step = second - first
        found.append(np.asarray(first + step * along if along < 0.5 else second - step * (1 - along)))
    return found


def cluster_replicates(
    totals: tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], Floats],
    cells: int,
    strata: npt.NDArray[np.int64],
    replicates: int,
    rng: np.random.Generator,
) -> Floats:
    """Tables of totals as resampling whole clusters, within their strata, would give them: float64 [cells, replicates].

    totals: (cluster, cell, total) of every cell of a cluster that is not empty, [entries] each. strata: the stratum of
    every cluster, int64 [clusters]; all 0 where there are none. Beyond `MOST_DRAWN` cluster draws the totals are drawn
    from the normal distribution with the clusters' covariance, which so many clusters cannot be told from.

    >>> one_each = (np.arange(3), np.zeros(3, dtype=np.int64), np.array([1.0, 2.0, 6.0]))
    >>> drawn = cluster_replicates(one_each, 1, np.arange(3), 500, np.random.default_rng(0))
    >>> sorted(set(drawn[0].tolist()))  # each cluster a stratum by itself: nothing varies
    [9.0]
    """
    from scipy.sparse import csr_array

    cluster, cell, total = totals
    table = csr_array((total, (cluster, cell)), shape=(len(strata), cells))
    if len(strata) * replicates > MOST_DRAWN:
        return _normal_totals(table, strata, replicates, rng)
    drawn = np.zeros((cells, replicates))
    for stratum in np.unique(strata):
        members = np.flatnonzero(strata == stratum)
        own = table[members].T.tocsr()
        step = max(1, CHUNK // len(members))
        for start in range(0, replicates, step):
            some = min(step, replicates - start)
            chosen = rng.integers(len(members), size=(some, len(members)))
            chosen += np.arange(some)[:, None] * len(members)
            times = np.bincount(chosen.ravel(), minlength=some * len(members)).reshape(some, len(members))
            drawn[:, start : start + some] += own @ times.T
    return drawn


def _normal_totals(table: Any, strata: npt.NDArray[np.int64], replicates: int, rng: np.random.Generator) -> Floats:
    covariance = np.zeros((table.shape[1], table.shape[1]))
    for stratum in np.unique(strata):
        own = table[np.flatnonzero(strata == stratum)]
        mean = np.asarray(own.mean(axis=0)).ravel()
        covariance += (own.T @ own).toarray() - own.shape[0] * np.outer(mean, mean)
    values, vectors = np.linalg.eigh(covariance)
    noise = rng.standard_normal((len(values), replicates))
    drawn = (vectors * np.sqrt(np.maximum(values, 0))) @ noise + np.asarray(table.sum(axis=0)).ravel()[:, None]
    return np.maximum(drawn, 0.0)


def weighted_replicates(rows: Counts, counts: npt.ArrayLike, total: Floats, squares: Floats, rng: Any) -> Floats:
    """What the rows of resampled counts weigh. rows: [..., replicates], resamples of `counts` [...].

    total, squares: sums of the weights of each cell's rows and of their squares, [...]. Rows of one cell that weigh
    differently are drawn with the mean and variance that their sum has; where all weigh the same this is exact.
    """
    n = np.maximum(np.asarray(counts, dtype=np.float64), 1.0)
    mean = total / n
    spread = np.sqrt(np.maximum(squares / n - mean**2, 0.0))
    noise = rng.standard_normal(rows.shape, dtype=np.float32) if (spread > 1e-9 * mean).any() else np.float32(0)
    drawn = rows * mean[..., None] + np.sqrt(rows) * spread[..., None] * noise
    return np.maximum(drawn, 0.0)
