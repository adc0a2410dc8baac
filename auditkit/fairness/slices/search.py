"""The slices with the worst loss, found exactly: all of up to `depth` conditions on different columns.

A slice of n rows with summed loss s is scored, against the mean e and the standard deviation σ of all rows' losses, by
the mean loss it has at least, after an allowance for having been picked as the worst of very many:

    score = (s / n - CAUTION · σ / √n) / e - 1

Only positive scores count. Of a hundred thousand slices that are no worse than everybody, the one that looks worst
lies about four standard errors above it, so that few of them score at all, while a slice that is truly worse is ranked
by how much worse it is. (SliceLine's score, Sagadeeva and Boehm 2021, SIGMOD, 2290-2299, has a fixed price for
smallness instead, and in tables of ten thousand rows is led by the noise of the smallest slices.)

As there, the search is exact and prunes by bounds. Where it is positive, the score rises with s and falls with n; every
slice within another has at most its summed loss, at least `minimum_rows` rows, and at least s / (largest loss) of them;
and that bounds what any slice inside can reach. Predicates, pairs of columns and whole branches whose bound is no
better than what is in hand are left out without loss.

Sums are counted, not gathered. Columns are packed into blocks of few bins, crossed; the histogram of two blocks,
between the matrices that say which bins each predicate holds, gives all pairs of their predicates in two products.
First that is done over the rows with a loss, which gives the bounds; only blocks that pass are counted over all rows.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from auditkit.fairness.slices.predicates import Coded

CAUTION = 4.0
"""Standard errors that a slice has to lie above everybody to score."""

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
_FEW_BINS = 128
"""The most bins of a block of columns, crossed: a table of two such blocks still fits a fast cache."""

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


def _crossing(first: _Block, second: _Block) -> Name:
    """The slices of a predicate of each of two blocks, as a flattened table has them."""
    wide = len(second.predicates)
    return lambda place: tuple(sorted((first.predicates[place // wide], second.predicates[place % wide])))


@dataclass(frozen=True)
class _Block:
    """A few columns coded as one, so that a histogram of two blocks holds all pairs of their columns.

    predicates: (column, predicate) places; member: [predicates, bins]; codes: [n], lossy: those of rows with a loss;
    the others are the same times `_FEW_BINS`.
    """

    predicates: list[tuple[int, int]]
    member: Floats
    codes: Integers
    lossy: Integers
    shifted: Integers
    lossy_shifted: Integers

    def crossed(self, other: _Block, loss: Floats | None, lossy: bool) -> Floats:
        """Rows, or summed losses, of every pair of predicates [mine, others]; within a block those of two columns."""
        if other is self:
            codes = self.lossy if lossy else self.codes
            cells = np.bincount(codes, weights=loss, minlength=self.member.shape[1])
            return np.asarray((self.member * cells) @ self.member.T)
        codes = self.lossy_shifted + other.lossy if lossy else self.shifted + other.codes
        shape = self.member.shape[1], max(_FEW_BINS, other.member.shape[1])
        if shape[1] > _FEW_BINS:
            codes = (self.lossy if lossy else self.codes) * shape[1] + (other.lossy if lossy else other.codes)
        table = np.bincount(codes, weights=loss, minlength=shape[0] * shape[1]).reshape(shape).astype(np.float64)
        return np.asarray(self.member @ table[:, : other.member.shape[1]] @ other.member.T)

    def apart(self, other: _Block) -> npt.NDArray[np.bool_]:
        """Which pairs of predicates are of two columns, each pair once."""
        mine, others = (np.array([at for at, _ in block.predicates]) for block in (self, other))
        return mine[:, None] < others if other is self else mine[:, None] != others


def _blocks(columns: Sequence[Coded], kept: Sequence[Integers], used: Sequence[int], lossy: Integers) -> list[_Block]:
    """Columns packed by first fit, the widest first. used: the bins of each column that have rows."""
    packs: list[list[int]] = []
    for at in sorted((at for at, places in enumerate(kept) if len(places)), key=lambda at: (-used[at], at)):
        fits = (pack for pack in packs if math.prod(used[place] for place in pack) * used[at] <= _FEW_BINS)
        pack = next(fits, None)
        if pack is None:
            packs.append([at])
        else:
            pack.append(at)
    blocks = []
    for pack in packs:
        shape = tuple(used[at] for at in pack)
        codes = columns[pack[0]].codes
        for at in pack[1:]:
            codes = codes * used[at] + columns[at].codes
        bins = np.unravel_index(np.arange(math.prod(shape)), shape)
        member = np.concatenate(
            [columns[at].member[kept[at]][:, bin_of] for at, bin_of in zip(pack, bins, strict=True)]
        ).astype(np.float64)
        predicates = [(at, int(place)) for at in pack for place in kept[at]]
        bad = codes[lossy]
        blocks.append(_Block(predicates, member, codes, bad, codes * _FEW_BINS, bad * _FEW_BINS))
    return blocks


class _Search:
    """One search over columns of bins [n] and losses [n]."""

    def __init__(self, columns: Sequence[Coded], loss: Floats, minimum_rows: int, caution: float, size: int) -> None:
        self.columns, self.loss, self.minimum = columns, loss, minimum_rows
        self.mean, self.largest = float(loss.mean()), float(loss.max())
        self.error = caution * float(loss.std())
        self.members = [column.member.astype(np.float64) for column in columns]
        self.lossy = np.flatnonzero(loss)
        self.flat = bool((loss[self.lossy] == 1).all())
        self.best = _Best(size)
        self.counted = 0
        self.used: list[int] = []

    def score(self, total: Floats, n: Floats) -> Floats:
        with np.errstate(divide="ignore", invalid="ignore"):
            value = (total / n - self.error / np.sqrt(n)) / self.mean - 1
        return np.where(n >= self.minimum, value, -np.inf)

    def bound(self, total: Floats) -> Floats:
        """The best score of any slice whose summed loss is at most this; a hair more, against rounding."""
        return self.score(total, np.maximum(self.minimum, total / self.largest)) + 1e-9

    def singles(self) -> list[Integers]:
        """Score every predicate; return, for each column, those that a better slice could lie within."""
        sums = []
        loss = self.loss[self.lossy]
        for at, column in enumerate(self.columns):
            weights = None if self.flat else loss
            total = self.members[at] @ np.bincount(column.codes[self.lossy], weights=weights, minlength=column.bins)
            rows = np.bincount(column.codes, minlength=column.bins)
            self.used.append(int(np.flatnonzero(rows)[-1]) + 1)
            n = self.members[at] @ rows
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
        blocks = _blocks(self.columns, kept, self.used, self.lossy)
        loss = None if self.flat else self.loss[self.lossy]
        within = []
        for left, right in itertools.combinations_with_replacement(blocks, 2):
            total = left.crossed(right, loss, lossy=True)
            if self.bound(total.max()) <= self.best.bar:
                continue
            n = np.where(left.apart(right), left.crossed(right, None, lossy=False), 0.0)
            self.take(self.score(total, n), n, total, _crossing(left, right))
            if deeper:
                bound = np.where(n >= self.minimum, self.bound(total), -np.inf)
                for a, b in np.argwhere(bound > self.best.bar).tolist():
                    first, second = sorted((left.predicates[a], right.predicates[b]))
                    within.append((float(bound[a, b]), first, second))
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
    columns: Sequence[Coded],
    loss: Floats,
    *,
    minimum_rows: int,
    depth: int = 2,
    size: int = 200,
    caution: float = CAUTION,
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
    run = _Search(columns, loss, minimum_rows, caution, size)
    kept = run.singles()
    if depth >= 2:
        for bound, first, second in run.pairs(kept, depth > 2):
            if bound <= run.best.bar:
                break
            inside = columns[first[0]].member[first[1]][columns[first[0]].codes]
            inside &= columns[second[0]].member[second[1]][columns[second[0]].codes]
            run.inside((first, second), np.flatnonzero(inside), kept, depth - 3)
    return Ranking([candidate for candidate in run.best.held if candidate.score > 0], run.counted)
