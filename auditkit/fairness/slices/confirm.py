"""Confirmation of slices on rows that took no part in finding them.

Whoever looks through thousands of slices finds a bad one, whether or not there is any. So the rows are split in two by
a seeded hash of what they hold: slices are searched in one half, and the few that lead are tested in the other. A
slice is confirmed when both say so:

* the one-sided test of "no worse than the rest", adjusted for the number of slices tested (Holm 1979, Scandinavian
  Journal of Statistics 6, 65-70), so that the chance to confirm any slice that is no worse stays at 1 - confidence.
  For 0/1 losses it is Fisher's exact test (hypergeometric); otherwise a permutation of Welch's t, exact where rows are
  exchangeable and right in large samples where only the means are alike (Janssen 1997, Statistics & Probability
  Letters 36, 9-21), or Welch's t itself where slice and rest are both large;
* the interval of its gap to the rest, which holds for all slices tested at once (Bonferroni): Newcombe's limits from
  Wilson's for 0/1 losses, Welch's otherwise.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import gammaln, logsumexp, stdtr, stdtrit

from auditkit.statistics.intervals import normal_quantile, score_interval
from auditkit.statistics.simultaneous import pairwise_differences

PERMUTATIONS = 4999
LARGE = 2000
"""Rows on either side from which Welch's t is used as it is."""

Floats = npt.NDArray[np.float64]
Booleans = npt.NDArray[np.bool_]
Hashes = npt.NDArray[np.uint64]


def _mixed(values: Hashes) -> Hashes:
    """The finaliser of splitmix64 (Steele, Lea and Flood 2014, OOPSLA, 453-472)."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))


def _seeded(seed: int) -> np.uint64:
    return np.uint64((seed + 1) * 0x9E3779B97F4A7C15 % 2**64)


def hash_split(columns: Sequence[npt.NDArray[np.int64]], loss: Floats, seed: int) -> tuple[npt.NDArray, Booleans]:
    """An order of the rows, and which of them (in that order) are for the search; the others are to confirm.

    columns: codes [n] each; loss: float64 [n]. A row's place and half depend on what it holds, on the seed, and, among
    rows that hold the same, on which of these it is: the order in which rows are given changes neither half's
    contents. Each row goes to either half with equal chance, independently of the others.
    """
    golden = np.uint64(0x9E3779B97F4A7C15)
    key = _mixed(loss.view(np.uint64) + _seeded(seed))
    for codes in columns:
        key = _mixed(key * np.uint64(3) + codes.astype(np.uint64) + golden)
    order = np.argsort(key, kind="stable")
    ordered = key[order]
    start = np.concatenate([[True], ordered[1:] != ordered[:-1]]) if len(key) else np.zeros(0, dtype=bool)
    place = np.arange(len(key))
    repeat = (place - np.maximum.accumulate(np.where(start, place, 0))).astype(np.uint64)
    return order, (_mixed(ordered + (repeat + np.uint64(1)) * golden) >> np.uint64(63)).astype(bool)


def hypergeometric_tail(bad: int, n: int, all_bad: int, rows: int) -> float:
    """P(at least `bad` of n rows are bad), n drawn from `rows` of which `all_bad` are bad: Fisher's one-sided p.

    >>> round(hypergeometric_tail(3, 4, 4, 8), 4)  # the lady tasting tea
    0.2429
    """
    top = min(n, all_bad)
    if bad <= max(0, n + all_bad - rows):
        return 1.0
    x = np.arange(bad, top + 1, dtype=np.float64)
    if not len(x):
        return 0.0

    def choose(a: float, b: Floats) -> Floats:
        return gammaln(a + 1) - gammaln(b + 1) - gammaln(a - b + 1)

    log = choose(all_bad, x) + choose(rows - all_bad, n - x) - choose(rows, np.array(float(n)))
    return float(min(1.0, np.exp(logsumexp(log))))


def holm(p: Sequence[float]) -> list[float]:
    """Holm's adjusted p-values, in the order given.

    >>> [round(adjusted, 3) for adjusted in holm([0.01, 0.04, 0.03])]
    [0.03, 0.06, 0.06]
    """
    values = np.asarray(p, dtype=np.float64)
    order = np.argsort(values, kind="stable")
    steps = np.minimum(1.0, np.maximum.accumulate(values[order] * np.arange(len(values), 0, -1)))
    adjusted = np.empty_like(values)
    adjusted[order] = steps
    return [float(value) for value in adjusted]


@dataclass(frozen=True, slots=True)
class Confirmation:
    """What the other half says of a slice. Numbers are None where `reason` says why there are none.

    loss: the slice's mean, with loss_lower and loss_upper; gap: to the mean of all rows outside it, with lower and
    upper. p: one-sided, of this slice alone; adjusted_p: over all slices tested.
    """

    n: int
    loss: float | None = None
    loss_lower: float | None = None
    loss_upper: float | None = None
    gap: float | None = None
    lower: float | None = None
    upper: float | None = None
    p: float | None = None
    adjusted_p: float | None = None
    confirmed: bool = False
    reason: str = ""


def confirm_slices(
    members: Sequence[Booleans], loss: Floats, confidence: float, rng: np.random.Generator, others: int = 0
) -> list[Confirmation]:
    """Hold each slice against the rows outside it. members: bool [n] each; loss: float64 [n], of the second half.

    others: further intervals that are to hold together with those of the slices.

    >>> slices = [np.arange(1000) < 100, np.arange(1000) % 3 == 0]
    >>> found = confirm_slices(slices, (np.arange(1000) % 10 < 1 + 4 * slices[0]) * 1.0, 0.95, np.random.default_rng(0))
    >>> found[0].loss, round(found[0].gap, 2), found[0].confirmed, found[1].confirmed
    (0.5, 0.4, True, False)
    """
    tested = [inside for inside in members if 0 < inside.sum() < len(loss)]
    level = 1 - (1 - confidence) / max(1, len(tested) + others)
    binary = bool(((loss == 0) | (loss == 1)).all())
    made: list[Confirmation] = []
    for inside in members:
        n = int(inside.sum())
        if not 0 < n < len(loss):
            where = "in it" if n == 0 else "outside it"
            made.append(Confirmation(n, reason=f"the half that confirms has no rows {where}"))
        elif binary:
            made.append(_binary(inside, loss, level, len(tested) + others > 1))
        else:
            made.append(_numeric(inside, loss, level, rng))
    adjusted = iter(holm([one.p for one in made if one.p is not None]))
    return [
        one if one.p is None else _judged(one, next(adjusted), confidence) for one in made
    ]  # fmt: skip


def mean_interval(loss: Floats, level: float, binary: bool) -> tuple[float, float]:
    """The interval of a mean loss: Wilson's with continuity correction for 0/1 losses, Student's t otherwise.

    >>> [round(edge, 3) for edge in mean_interval(np.repeat([0.0, 1.0], [51, 5]), 0.95, True)]
    [0.033, 0.204]
    """
    if binary:
        low, high = score_interval(loss.sum(), len(loss), normal_quantile(level), corrected=True)
        return float(low), float(high)
    if len(loss) < 2:
        return 0.0, float("inf")
    reach = float(stdtrit(len(loss) - 1, (1 + level) / 2)) * float(loss.std(ddof=1)) / float(np.sqrt(len(loss)))
    return max(0.0, float(loss.mean()) - reach), float(loss.mean()) + reach


def _judged(one: Confirmation, adjusted: float, confidence: float) -> Confirmation:
    confirmed = adjusted <= 1 - confidence and one.lower is not None and one.lower > 0
    numbers = (one.n, one.loss, one.loss_lower, one.loss_upper, one.gap, one.lower, one.upper)
    return Confirmation(*numbers, one.p, adjusted, confirmed, one.reason)


def _binary(inside: Booleans, loss: Floats, level: float, corrected: bool) -> Confirmation:
    rows, n = len(loss), int(inside.sum())
    every, bad = int(loss.sum()), int(loss[inside].sum())
    z = normal_quantile(level)
    low, high = score_interval(bad, n, z, corrected)
    gap = pairwise_differences([bad, every - bad], [n, rows - n], z, corrected)
    bounds = float(gap.estimate[0]), float(gap.lower[0]), float(gap.upper[0])
    return Confirmation(n, bad / n, float(low), float(high), *bounds, hypergeometric_tail(bad, n, every, rows))


def _numeric(inside: Booleans, loss: Floats, level: float, rng: np.random.Generator) -> Confirmation:
    mine, rest = loss[inside], loss[~inside]
    if min(len(mine), len(rest)) < 2:
        return Confirmation(len(mine), reason="fewer than two rows on one side: the spread cannot be told")
    a, b = mine.var(ddof=1) / len(mine), rest.var(ddof=1) / len(rest)
    gap = float(mine.mean() - rest.mean())
    if a + b == 0:
        return Confirmation(len(mine), reason="the losses do not vary, within it or outside it")
    freedom = (a + b) ** 2 / (a**2 / (len(mine) - 1) + b**2 / (len(rest) - 1))
    reach = float(stdtrit(freedom, (1 + level) / 2)) * float(np.sqrt(a + b))
    own = float(stdtrit(len(mine) - 1, (1 + level) / 2)) * float(np.sqrt(a))
    t = gap / float(np.sqrt(a + b))
    large = min(len(mine), len(rest)) >= LARGE
    p = float(stdtr(freedom, -t)) if large else _permutation_p(t, loss, len(mine), rng)
    mean = float(mine.mean())
    return Confirmation(len(mine), mean, max(0.0, mean - own), mean + own, gap, gap - reach, gap + reach, p)


def _permutation_p(t: float, loss: Floats, n: int, rng: np.random.Generator) -> float:
    """The share of random slices of n rows whose Welch's t is at least `t`, the slice itself counted among them."""
    rows, centred = len(loss), loss - loss.mean()
    few = min(n, rows - n)
    drawn = [centred[rng.choice(rows, few, replace=False, shuffle=False)] for _ in range(PERMUTATIONS)]
    total = np.array([part.sum() for part in drawn])
    squares = np.array([part @ part for part in drawn])
    every, every_squares = centred.sum(), centred @ centred
    mean, other = total / few, (every - total) / (rows - few)
    spread = np.maximum(0, squares - few * mean**2) / (few - 1) / few
    spread += np.maximum(0, every_squares - squares - (rows - few) * other**2) / (rows - few - 1) / (rows - few)
    gap = (mean - other) if n == few else (other - mean)
    with np.errstate(divide="ignore", invalid="ignore"):
        drawn_t = np.where(gap == 0, 0.0, gap / np.sqrt(spread))
    return float((1 + (drawn_t >= t - 1e-12).sum()) / (1 + PERMUTATIONS))
