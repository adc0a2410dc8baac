"""Is there any difference between the groups' rates? An exact-margin permutation test on the table groups × 2.

If group and outcome have nothing to do with each other, every assignment of the outcomes to the rows is as likely as
the one observed. Shuffling the outcomes keeps both margins of the table, so the successes by group are one draw of the
multivariate hypergeometric distribution: a million rows cost no more than a thousand.

The statistic is the largest |z| over the groups, each against the rate of all, in standard deviations of that draw:

    z_g = (k_g - n_g·p) / sqrt(p·(1 - p)·n_g·(N - n_g) / (N - 1)),    p = K / N

Over groups and not over pairs, because unfairness mostly has one group stand out. For six groups of 200, one at 0.42
and the others at 0.30, the test at level 0.05 finds it in 74 % of samples, and in 71 % with pairs (which for groups of
one size is the largest minus the smallest rate); for two groups that deviate to opposite sides, at 0.38 and 0.22,
pairs would be a little ahead (78 against 74 %). Studentised, because a plain largest gap is that of the smallest group.

The p-value counts the observed table among the draws, p = (1 + #{drawn >= observed}) / (1 + B), which makes the test
hold its level exactly and keeps p from being 0. It tells how surprising the table is, not how large the gap is: a
large p-value says that no difference was shown, never that there is none.

Sources: Patefield (1981), Applied Statistics 30(1), 91-97 (tables with fixed margins); Phipson and Smyth (2010),
Statistical Applications in Genetics and Molecular Biology 9(1), 39 (the added one); Westfall and Young (1993),
Resampling-Based Multiple Testing, ch. 2 (the largest of several statistics).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from auditkit.statistics.intervals import Floats

MAXIMUM_ROWS = 10**9
_ROUNDING = 1e-9


@dataclass(frozen=True, slots=True)
class AnyDifference:
    """What the test found. largest: the group with the largest |z|, `statistic` that z's size.

    at_floor: no drawn table was as extreme, so that `p_value` is 1 / (1 + tables) and the exact one is smaller still.
    """

    p_value: float
    statistic: float
    largest: int
    tables: int
    at_floor: bool


def largest_deviation(successes: npt.ArrayLike, n: npt.ArrayLike) -> Floats:
    """The largest |z| over groups, each against all, of one table or of many with the same margins.

    successes: counts [..., groups], n: [groups], each at least 1, two groups at least. Returns [...]; all zero where
    there are no successes or no failures.

    >>> largest_deviation([12, 4], [20, 20]).round(3).item()
    2.55
    """
    return np.asarray(_deviations(successes, n).max(axis=-1))


def _deviations(successes: npt.ArrayLike, n: npt.ArrayLike) -> Floats:
    k, size = np.asarray(successes, dtype=np.float64), np.asarray(n, dtype=np.float64)
    total = size.sum()
    rate = k.sum(axis=-1, keepdims=True) / total
    variance = rate * (1 - rate) * size * (total - size) / (total - 1)
    return np.abs(k - size * rate) / np.sqrt(np.where(variance > 0, variance, np.inf))


def any_difference(
    successes: npt.ArrayLike, n: npt.ArrayLike, rng: np.random.Generator, tables: int = 10_000
) -> AnyDifference:
    """Test whether the groups' rates differ at all.

    successes, n: counts [groups], 0 <= successes <= n, n >= 1, two groups at least, fewer than 10^9 rows in all.
    tables: how many tables with these margins are drawn. Where every row or none is a success there is one table only,
    and p is 1. Raises ValueError for counts that are not so.

    >>> test = any_difference([60, 60, 84], [200, 200, 200], np.random.default_rng(0), tables=999)
    >>> test.largest, test.p_value < 0.05
    (2, True)
    """
    return any_difference_of([permuted(successes, n, rng, tables)])


@dataclass(frozen=True, slots=True)
class Permuted:
    """One part of the rows: every group's |z|, [groups], and the largest |z| of every drawn table, [tables]."""

    observed: Floats
    drawn: Floats


def permuted(successes: npt.ArrayLike, n: npt.ArrayLike, rng: np.random.Generator, tables: int = 10_000) -> Permuted:
    """Draw the tables of a part. Arguments as in `any_difference`."""
    k, size = _checked(successes, n)
    if tables < 1:
        raise ValueError(f"a permutation test needs at least one table, got {tables}")
    shuffled = rng.multivariate_hypergeometric(size, int(k.sum()), size=tables, method="marginals")
    return Permuted(_deviations(k, size), largest_deviation(shuffled, size))


def any_difference_of(parts: Sequence[Permuted]) -> AnyDifference:
    """Test whether groups differ in any of several parts of the rows, each with a rate and a permutation of its own.

    parts: with as many tables each; for equalized odds, the rows with a positive and those with a negative label. The
    statistic is the largest |z| over all parts; `largest` counts through the groups of the first part, then through
    those of the second, and so on.

    >>> rng = np.random.default_rng(0)
    >>> parts = [permuted(k, [200, 300], rng, tables=999) for k in ([40, 60], [14, 60])]
    >>> test = any_difference_of(parts)
    >>> test.largest >= 2, test.p_value < 0.01  # a group of the second part
    (True, True)
    """
    deviations = np.concatenate([part.observed for part in parts])
    drawn = np.max([part.drawn for part in parts], axis=0)
    statistic, tables = float(deviations.max()), len(drawn)
    extreme = int((drawn >= statistic * (1 - _ROUNDING)).sum())
    return AnyDifference((1 + extreme) / (1 + tables), statistic, int(deviations.argmax()), tables, extreme == 0)


def _checked(successes: npt.ArrayLike, n: npt.ArrayLike) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    k, size = np.asarray(successes, dtype=np.int64), np.asarray(n, dtype=np.int64)
    if k.ndim != 1 or k.shape != size.shape or len(k) < 2:
        raise ValueError("a test of any difference needs the successes and rows of at least two groups")
    if (size < 1).any() or (k < 0).any() or (k > size).any():
        raise ValueError("a test of any difference needs counts with 0 <= successes <= n and n >= 1")
    if size.sum() >= MAXIMUM_ROWS:
        raise ValueError(f"a permutation test takes fewer than {MAXIMUM_ROWS:,} rows, got {size.sum():,}")
    return k, size
