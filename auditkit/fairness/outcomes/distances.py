"""How far apart the predictions of two groups lie as distributions: statistical parity for numbers.

Wasserstein-1   ∫ |F(x) - G(x)| dx, how far predictions would have to move, on average, for the groups to be alike; in
                the predictions' own unit (Chzhen, Denis, Hebiri, Oneto and Pontil 2020, "Fair Regression with
                Wasserstein Barycenters", NeurIPS)
KS              max |F(x) - G(x)|, the largest gap in the share of predictions up to any one value (Agarwal, Dudík and
                Wu 2019, "Fair Regression: Quantitative Definitions and Reduction-Based Algorithms", ICML)

Both come from a histogram that adds up: with a bin for each distinct prediction where these are at most 1,024, else of
1,024 bins that hold as many rows each and stand for their mean. Noise keeps a distance above zero, so three things
stand beside the largest of all pairs of groups:

* what it would be by chance: its mean over rows dealt out to the groups anew, sizes kept;
* a p-value of the same deals, for the largest distance in units of its mean by chance (small groups lie apart anyway);
* an interval that holds for all pairs at once. With Ŵ of the sample and W of the truth, the triangle inequality gives
  |Ŵ - W| <= ∫ |(F̂ - F) - (Ĝ - G)| dx, whatever W is. The right side is drawn by resampling each group, its largest
  quantile over all pairs taken; so the interval reaches zero where the groups are alike, which a percentile interval
  never does, and errs on the wide side elsewhere.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Integers = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
MOST_BINS, DRAWN_BINS = 1024, 256
WORK, MOST_DRAWS, FEWEST_DRAWS = 400_000_000, 1000, 200


@dataclass(frozen=True)
class Histogram:
    """Rows by group and bin. cuts: [bins - 1], rising; counts: int64 [groups, bins]; sums: of their values [bins]."""

    cuts: Floats
    counts: Integers
    sums: Floats

    @classmethod
    def tally(cls, codes: Integers, groups: int, values: Floats, cuts: Floats | None = None) -> Histogram:
        """Count rows. codes: int64 [n]; values: float64 [n]. cuts: where bins end; chosen from these values if None.

        >>> Histogram.tally(np.array([0, 0, 1]), 2, np.array([1.0, 2.0, 2.0])).counts.tolist()
        [[1, 1], [0, 1]]
        """
        cuts = cuts_of(values) if cuts is None else cuts
        place, bins = np.searchsorted(cuts, values, side="right"), len(cuts) + 1
        counts = np.bincount(codes * bins + place, minlength=groups * bins).reshape(groups, bins)
        return cls(cuts, counts.astype(np.int64), np.bincount(place, values, minlength=bins).astype(np.float64))

    def merge(self, other: Histogram) -> Histogram:
        """Both together; they must have the same cuts and groups."""
        if self.counts.shape != other.counts.shape or not np.array_equal(self.cuts, other.cuts):
            raise ValueError("histograms with other groups or bins cannot be merged")
        return Histogram(self.cuts, self.counts + other.counts, self.sums + other.sums)

    def added(self, places: Integers, groups: int) -> Histogram:
        """Groups put together: those with the same place, of which there are `groups`."""
        counts = np.zeros((groups, self.counts.shape[1]), dtype=np.int64)
        np.add.at(counts, places, self.counts)
        return Histogram(self.cuts, counts, self.sums)

    def filled(self) -> tuple[Floats, Integers]:
        """What the bins with rows stand for, rising [bins], and their counts [groups, bins]."""
        rows = self.counts.sum(axis=0)
        return self.sums[rows > 0] / rows[rows > 0], self.counts[:, rows > 0]

    def quantiles(self, shares: Floats) -> Floats:
        """Each group's quantiles, [groups, shares]: the least value with that share of the group up to it."""
        values, counts = self.filled()
        reached = np.cumsum(counts, axis=1) / np.maximum(counts.sum(axis=1, keepdims=True), 1)
        return np.array([values[np.minimum(np.searchsorted(row, shares - 1e-12), len(values) - 1)] for row in reached])


def cuts_of(values: Floats, most: int = MOST_BINS) -> Floats:
    """Where bins end: before each distinct value but the first, or at quantiles where there are more than `most`."""
    ordered = np.sort(values)
    starts: Floats = ordered[1:][np.diff(ordered) > 0]
    if len(starts) < most:
        return starts
    return np.setdiff1d(np.unique(ordered[(np.arange(1, most) * len(ordered)) // most]), ordered[:1])


def distances(shares: Floats, values: Floats) -> tuple[Floats, Floats]:
    """Wasserstein-1 and KS of all pairs of groups, each [..., pairs] in the order of `np.triu_indices`.

    shares: of each group up to each bin, [..., groups, bins]. values: what bins stand for, [bins].

    >>> [found.tolist() for found in distances(np.array([[0.5, 1.0], [0.0, 1.0]]), np.array([1.0, 3.0]))]
    [[1.0], [0.5]]
    """
    groups, widths = shares.shape[-2], np.diff(values)
    first, second = np.triu_indices(groups, 1)
    wasserstein, largest = np.zeros((2, *shares.shape[:-2], len(first)))
    for at, (i, j) in enumerate(zip(first, second, strict=True)):
        apart = np.abs(shares[..., i, :-1] - shares[..., j, :-1])
        wasserstein[..., at] = apart @ widths
        largest[..., at] = apart.max(axis=-1, initial=0.0)
    return wasserstein, largest


@dataclass(frozen=True)
class Farthest:
    """The largest distance of all pairs. pair: places of its groups; chance: its mean where groups are alike."""

    value: float
    lower: float
    upper: float
    pair: tuple[int, int]
    chance: float
    p_value: float
    draws: int


def farthest(
    histogram: Histogram, confidence: float, rng: np.random.Generator, draws: int
) -> tuple[Farthest, Farthest]:
    """The largest Wasserstein-1 and KS distances between groups, each of which needs rows; two groups at least.

    draws: how many deals and resamples at most; fewer where groups are many. Both are made of at most 256 bins.
    """
    values, counts = histogram.filled()
    n = counts.sum(axis=1)
    exact = distances(np.cumsum(counts, axis=1) / n[:, None], values)
    values, counts = _coarser(values, counts)
    coarse = distances(np.cumsum(counts, axis=1) / n[:, None], values)
    times = int(np.clip(WORK // (len(exact[0]) * len(values)), FEWEST_DRAWS, min(MOST_DRAWS, draws)))
    null, noise = _drawn(counts, values, times, rng)
    first, second = np.triu_indices(len(n), 1)
    found = []
    for kind in (0, 1):
        ordinary = np.maximum(null[kind].mean(axis=0), np.finfo(np.float64).tiny)
        spread = np.maximum(noise[kind].mean(axis=0), np.finfo(np.float64).tiny)
        critical = float(np.quantile((noise[kind] / spread).max(axis=1), confidence))
        extreme = (null[kind] / ordinary).max(axis=1) >= (coarse[kind] / ordinary).max() * (1 - 1e-9)
        at = int(exact[kind].argmax())
        upper = float((exact[kind] + critical * spread).max())
        found.append(
            Farthest(
                value=float(exact[kind][at]),
                lower=float(np.maximum(exact[kind] - critical * spread, 0).max()),
                upper=min(upper, 1.0) if kind else upper,
                pair=(int(first[at]), int(second[at])),
                chance=float(null[kind].max(axis=1).mean()),
                p_value=float((1 + extreme.sum()) / (1 + times)),
                draws=times,
            )
        )
    return found[0], found[1]


def _coarser(values: Floats, counts: Integers) -> tuple[Floats, Integers]:
    """Neighbouring bins put together until there are at most `DRAWN_BINS`, about as many rows in each."""
    if len(values) <= DRAWN_BINS:
        return values, counts
    rows = counts.sum(axis=0)
    place = (np.cumsum(rows) - rows) * DRAWN_BINS // rows.sum()
    _, place = np.unique(place, return_inverse=True)
    fewer = np.zeros((counts.shape[0], place.max() + 1), dtype=np.int64)
    np.add.at(fewer.T, place, counts.T)
    return np.bincount(place, values * rows) / fewer.sum(axis=0), fewer


def _drawn(
    counts: Integers, values: Floats, times: int, rng: np.random.Generator
) -> tuple[tuple[Floats, Floats], tuple[Floats, Floats]]:
    """Distances of deals where groups are alike, and of the groups' resampling errors; [times, pairs] each."""
    n = counts.sum(axis=1)
    truth = np.cumsum(counts / n[:, None], axis=1)
    pairs = len(n) * (len(n) - 1) // 2
    null, noise = (tuple(np.zeros((2, times, pairs))) for _ in range(2))
    step = max(1, 20_000_000 // counts.size)
    for start in range(0, times, step):
        some = slice(start, min(times, start + step))
        size = len(range(*some.indices(times)))
        errors = np.stack(
            [rng.multinomial(int(total), row / total, size=size) for total, row in zip(n, counts, strict=True)], axis=1
        )
        for into, shares in (
            (null, np.cumsum(_dealt(counts, n, size, rng), axis=2) / n[:, None]),
            (noise, np.cumsum(errors, axis=2) / n[:, None] - truth),
        ):
            into[0][some], into[1][some] = distances(shares, values)
    return (null[0], null[1]), (noise[0], noise[1])


def _dealt(counts: Integers, n: Integers, times: int, rng: np.random.Generator) -> Integers:
    """Tables with the margins of `counts`: all rows dealt out to the groups anew, [times, groups, bins]."""
    dealt = np.zeros((times, *counts.shape), dtype=np.int64)
    pooled = counts.sum(axis=0)
    dealt[:, 0] = rng.multivariate_hypergeometric(pooled, int(n[0]), size=times)
    for one in dealt:
        left = pooled - one[0]
        for group in range(1, len(n) - 1):
            one[group] = rng.multivariate_hypergeometric(left, int(n[group]))
            left = left - one[group]
        one[-1] = left
    return dealt
