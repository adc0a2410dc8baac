"""The slices with the worst loss, found exactly: all of up to `depth` conditions on different columns.

A slice of n rows with summed loss s is scored as SliceLine does (Sagadeeva and Boehm 2021, SliceLine: Fast,
Linear-Algebra-based Slice Finding for ML Model Debugging, SIGMOD, 2290-2299), against all N rows with mean loss e:

    score = alpha · (s / n / e - 1) - (1 - alpha) · (N / n - 1)

A slice as large and as bad as everybody scores 0; only positive scores count. Every slice within another has at most
its summed loss, at least `minimum_rows` rows, and at least s / (largest loss) of them; since the score rises with s and
falls with n as long as it is positive, that bounds what any slice inside can reach. Predicates, pairs of columns and
whole branches whose bound is no better than what is in hand are left out without loss.

Sums are counted, not gathered: the histogram of two columns' bins, over the rows with a loss, gives the summed losses,
hence the bounds, of every pair of their predicates (a run of bins is a sum of its bins); only pairs of columns that
pass are counted over all rows. One histogram over two columns and two others holds four such pairs.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from auditkit.fairness.slices.predicates import Coded

ALPHA = 0.99
"""Weight of the loss against the size. At SliceLine's usual 0.95 a slice of 2 % of rows would have to be 3.6 times as
bad as everybody to score at all; here 1.5 times is enough."""

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
_FEW_BINS = 100
"""Two columns of no more bins than this, crossed, are counted as one: a table of two such still fits a fast cache."""

Name = Callable[[int], tuple[tuple[int, int], ...]]


@dataclass(frozen=True, slots=True)
class Candidate:
    """A slice that scores. members: (column, predicate) places; n: rows; total: their summed loss."""

    score: float
    members: tuple[tuple[int, int], ...]
    n: int
    total: float

    @property
    def rank(self) -> tuple[object, ...]:
        """Sort key: the best score first; of equal ones the fewest conditions, then the most rows."""
        return (-round(self.score, 10), len(self.members), -self.n, self.members)


@dataclass
class _Best:
    """The `size` best candidates so far, and the score that a new one has to exceed."""

    size: int
    held: list[Candidate] = field(default_factory=list)
    bar: float = 0.0

    def offer(self, scores: Floats, n: Floats, totals: Floats, members: Sequence[tuple[tuple[int, int], ...]]) -> None:
        order = np.argsort(-scores, kind="stable")[: self.size].tolist()
        new = [Candidate(float(scores[at]), members[at], round(n[at]), float(totals[at])) for at in order]
        self.held = sorted([*self.held, *new], key=lambda candidate: candidate.rank)[: self.size]
        if len(self.held) == self.size:
            self.bar = max(self.bar, self.held[-1].score)


def _within(members: tuple[tuple[int, int], ...], at: int, kept: Integers) -> Name:
    """The slices within one that have a further condition, on column `at`."""
    return lambda place: (*members, (at, int(kept[place])))


def _crossing(first: int, mine: Integers, second: int, other: Integers) -> Name:
    """The slices of a condition on each of two columns, as a flattened table has them."""
    return lambda place: (
        (first, int(mine[place // len(other)])),
        (second, int(other[place % len(other)])),
    )


@dataclass(frozen=True)
class _Block:
    """One column, or two neighbours, coded as one: a histogram of two blocks holds up to four pairs of columns."""

    places: tuple[int, ...]
    shape: tuple[int, ...]
    codes: Integers
    lossy: Integers

    def histogram(
        self, other: _Block, count: Callable[[Integers, int], npt.NDArray], lossy: bool = False
    ) -> list[tuple[tuple[int, int], npt.NDArray]]:
        """For each pair of columns, of this block and the other, the table [bins, bins] that `count` makes of codes."""
        mine, others = (self.lossy, other.lossy) if lossy else (self.codes, other.codes)
        places, shape, codes = self.places, self.shape, mine
        if other is not self:
            places, shape = places + other.places, shape + other.shape
            codes = mine * math.prod(other.shape) + others
        pairs = [(a, b) for a in self.places for b in other.places if a < b]
        if not pairs:
            return []
        cells = count(codes, math.prod(shape)).reshape(shape)
        return [
            ((a, b), cells.sum(axis=tuple(at for at, place in enumerate(places) if place not in (a, b))))
            for a, b in pairs
        ]


def _blocks(columns: Sequence[Coded], places: Sequence[int], lossy: Integers) -> list[_Block]:
    """Neighbouring columns by twos where their bins, crossed, are few."""
    blocks: list[_Block] = []
    for place in places:
        column, last = columns[place], blocks[-1] if blocks else None
        if last and len(last.places) == 1 and last.shape[0] * column.bins <= _FEW_BINS:
            codes = last.codes * column.bins + column.codes
            blocks[-1] = _Block((*last.places, place), (*last.shape, column.bins), codes, codes[lossy])
        else:
            blocks.append(_Block((place,), (column.bins,), column.codes, column.codes[lossy]))
    return blocks


class _Search:
    """One search over columns of bins [n] and losses [n]."""

    def __init__(self, columns: Sequence[Coded], loss: Floats, minimum_rows: int, alpha: float, size: int) -> None:
        self.columns, self.loss, self.minimum, self.alpha = columns, loss, minimum_rows, alpha
        self.rows, self.mean, self.largest = len(loss), float(loss.mean()), float(loss.max())
        self.members = [column.member.astype(np.float64) for column in columns]
        self.lossy = np.flatnonzero(loss)
        self.flat = bool((loss[self.lossy] == 1).all())
        self.best = _Best(size)
        self.counted = 0

    def score(self, total: Floats, n: Floats) -> Floats:
        with np.errstate(divide="ignore", invalid="ignore"):
            value = self.alpha * (total / n / self.mean - 1) - (1 - self.alpha) * (self.rows / n - 1)
        return np.where(n >= self.minimum, value, -np.inf)

    def bound(self, total: Floats) -> Floats:
        """The best score of any slice whose summed loss is at most this; a hair more, against rounding."""
        return self.score(total, np.maximum(self.minimum, total / self.largest)) + 1e-9

    def totals(self, codes: Integers, bins: int, loss: Floats) -> Floats:
        return np.bincount(codes, weights=None if self.flat else loss, minlength=bins).astype(np.float64)

    def singles(self) -> list[Integers]:
        """Score every predicate; return, for each column, those that a better slice could lie within."""
        sums = []
        for at, column in enumerate(self.columns):
            loss = self.loss[self.lossy]
            total = self.members[at] @ self.totals(column.codes[self.lossy], column.bins, loss)
            n = self.members[at] @ np.bincount(column.codes, minlength=column.bins)
            sums.append((n, total))
            self.take(self.score(total, n), n, total, _within((), at, np.arange(len(n))))
        return [np.flatnonzero((n >= self.minimum) & (self.bound(total) > self.best.bar)) for n, total in sums]

    def take(self, score: Floats, n: Floats, total: Floats, members: Name) -> None:
        """Keep those that beat the bar. members: what the slice at a place of the (flattened) scores is made of."""
        self.counted += score.size
        good = np.flatnonzero(score.ravel() > self.best.bar)
        if len(good) > self.best.size:
            good = good[np.argsort(-score.ravel()[good], kind="stable")[: self.best.size]]
        if len(good):
            names = [members(int(place)) for place in good]
            self.best.offer(score.ravel()[good], n.ravel()[good], total.ravel()[good], names)

    def pairs(self, kept: list[Integers], deeper: bool) -> list[tuple[float, tuple[int, int], tuple[int, int]]]:
        """Score every pair; where `deeper` is asked for, return the pairs a better slice could lie within."""
        blocks = _blocks(self.columns, [at for at, places in enumerate(kept) if len(places)], self.lossy)
        within = []
        for left, right in itertools.combinations_with_replacement(blocks, 2):
            promising = []
            cells = left.histogram(
                right, lambda codes, bins: self.totals(codes, bins, self.loss[self.lossy]), lossy=True
            )
            for (first, second), table in cells:
                total = self.members[first][kept[first]] @ table @ self.members[second][kept[second]].T
                if self.bound(total.max()) > self.best.bar:
                    promising.append((first, second, total))
            if not promising:
                continue
            counts = dict(left.histogram(right, lambda codes, bins: np.bincount(codes, minlength=bins)))
            for first, second, total in promising:
                mine, other = kept[first], kept[second]
                n = self.members[first][mine] @ counts[first, second] @ self.members[second][other].T
                self.take(self.score(total, n), n, total, _crossing(first, mine, second, other))
                if deeper:
                    bound = np.where(n >= self.minimum, self.bound(total), -np.inf)
                    for a, b in np.argwhere(bound > self.best.bar).tolist():
                        within.append((float(bound[a, b]), (first, int(mine[a])), (second, int(other[b]))))
        return sorted(within, key=lambda entry: (-entry[0], entry[1:]))

    def inside(self, members: tuple[tuple[int, int], ...], rows: Integers, kept: list[Integers], more: int) -> None:
        """Score what lies within a slice: one further condition on a later column, and `more` after that."""
        loss = self.loss[rows]
        for at in range(members[-1][0] + 1, len(self.columns)):
            if not len(kept[at]):
                continue
            codes, wide = self.columns[at].codes[rows], self.members[at][kept[at]]
            bins = self.columns[at].bins
            n = wide @ np.bincount(codes, minlength=bins)
            total = wide @ np.bincount(codes, weights=loss, minlength=bins)
            score = self.score(total, n)
            self.take(score, n, total, _within(members, at, kept[at]))
            if more:
                for place in np.flatnonzero((n >= self.minimum) & (self.bound(total) > self.best.bar)).tolist():
                    inner = rows[self.columns[at].member[kept[at][place]][codes]]
                    self.inside((*members, (at, int(kept[at][place]))), inner, kept, more - 1)


@dataclass(frozen=True, slots=True)
class Ranking:
    """The best candidates, best first, and how many slices had to be scored for them."""

    candidates: list[Candidate]
    scored: int


def rank_slices(
    columns: Sequence[Coded], loss: Floats, *, minimum_rows: int, depth: int = 2, size: int = 200, alpha: float = ALPHA
) -> Ranking:
    """The `size` best slices of at least `minimum_rows` rows and at most `depth` conditions, exactly.

    columns: bins of [n] rows. loss: float64 [n], finite, none negative. A third condition multiplies the work by up to
    the number of predicates.

    >>> import pyarrow as pa
    >>> from auditkit.fairness.slices.predicates import code
    >>> colour = code("colour", pa.array(["red", "blue"] * 50), 1)
    >>> found = rank_slices([colour], np.tile([1.0, 0.0], 50), minimum_rows=10).candidates
    >>> [(colour.predicates[place].text, one.n, one.total) for one in found for _, place in one.members]
    [('colour = red', 50, 50.0)]
    """
    if not len(loss) or not loss.any():
        return Ranking([], 0)
    run = _Search(columns, loss, minimum_rows, alpha, size)
    kept = run.singles()
    if depth >= 2:
        for bound, first, second in run.pairs(kept, depth > 2):
            if bound <= run.best.bar:
                break
            inside = columns[first[0]].member[first[1]][columns[first[0]].codes]
            inside &= columns[second[0]].member[second[1]][columns[second[0]].codes]
            run.inside((first, second), np.flatnonzero(inside), kept, depth - 3)
    return Ranking([candidate for candidate in run.best.held if candidate.score > 0], run.counted)
