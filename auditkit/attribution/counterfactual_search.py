"""The search for the smallest plausible change of a table's row that turns its decision; see `counterfactuals`.

Rows are codes (`table_values`). Everything that is scored goes through `Decisions`, in blocks, and is counted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import combinations
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from auditkit.attribution.table_values import Codes, Floats, TableValues
from auditkit.errors import InputError

BLOCK = 2048
"""rows scored at once"""
REFERENCE, PROBED = 10_000, 500
"""training rows that a changed row is compared with, and those that tell what is usual; drawn where there are more"""
FEW = 32
"""rows that are compared with training rows at once, where one that is plausible is enough"""
USUAL = 0.95
BEAM = 24
"""donors whose values are restored"""
VALUES = 500
"""values of one column that are tried in search of the fewest columns"""
STEPS = 16
"""values tried between a changed number and the row's own"""

Scores = Callable[[pd.DataFrame], Any]
"""a table of n rows → scores [n] or [n, classes]"""


class Decisions:
    """What is decided of rows, scored block by block. evaluations: rows scored so far."""

    def __init__(self, scores: Scores, values: TableValues, threshold: float) -> None:
        self.scores, self.values, self.threshold = scores, values, threshold
        self.evaluations = 0

    def scored(self, codes: Codes) -> Floats:
        """float64 [n] or [n, classes]."""
        self.evaluations += len(codes)
        given = self.scores(self.values.frame(codes))
        found = np.asarray(given.detach().cpu() if hasattr(given, "detach") else given, dtype=np.float64)
        if found.ndim == 2 and found.shape[1] == 1:
            found = found[:, 0]
        if found.ndim not in (1, 2) or len(found) != len(codes):
            raise InputError(f"scores: the function gives shape {list(found.shape)} for {len(codes)} rows")
        if not np.isfinite(found).all():
            raise InputError("scores: the function gives scores that are missing or infinite")
        return found

    def decided(self, scores: Floats) -> npt.NDArray[np.int64]:
        """int64 [n]."""
        if scores.ndim == 1:
            return (scores >= self.threshold).astype(np.int64)
        return scores.argmax(axis=1).astype(np.int64)

    def of(self, codes: Codes) -> npt.NDArray[np.int64]:
        """int64 [n]: the decisions of rows."""
        parts = [self.decided(self.scored(codes[at : at + BLOCK])) for at in range(0, len(codes), BLOCK)]
        return np.concatenate(parts) if parts else np.zeros(0, dtype=np.int64)


class Search:
    """The search for one row."""

    def __init__(self, values: TableValues, decisions: Decisions, wanted: int | None, budget: int, seed: int) -> None:
        self.values, self.decisions, self.wanted, self.budget = values, decisions, wanted, budget
        self.rng = np.random.default_rng(seed)
        self.before = decisions.scored(values.row[None])
        self.decision = int(decisions.decided(self.before)[0])
        self.reference = self._drawn(values.training, REFERENCE)
        self.usual, self.limit = self._limits()
        self.unusual = False
        self.whole = all(len(found) <= VALUES for found in values.allowed)
        self.unlike, self.searched = 0, 0

    def run(self) -> tuple[Codes | None, str]:
        """The changed row [columns], or None and the reason in words."""
        if self.wanted == self.decision:
            return None, f"The decision is {self.decision} already, as was wanted."
        if not any(len(places) for places in self.values.allowed):
            return None, "No column of this row may change to any value that occurs in training."
        best = self._level_by_level()
        if best is not None and not self.whole:
            best = self._restored(best[None])
        if best is None:
            donors = self._donors()
            if not len(donors):
                return None, self._why()
            best = self._restored(donors)
            if best is None:
                return None, self._why()
        if not self.turned(best[None])[0]:
            return None, "The function scores the same row differently in other company, so nothing can be concluded."
        return best, ""

    def turned(self, codes: Codes) -> npt.NDArray[np.bool_]:
        """bool [n]: whether the decision is what is wanted."""
        found = self.decisions.of(codes)
        return found != self.decision if self.wanted is None else found == self.wanted

    def plausible(self, codes: Codes) -> npt.NDArray[np.bool_]:
        """bool [n]: whether rows are no further from training rows than is usual."""
        good = self.apart(codes) <= self.limit
        self.unusual |= bool((~good).any())
        return good

    def fewest(self, codes: Codes) -> bool:
        """Whether all changes of fewer columns than this row's were tried."""
        return self.whole and int(self.values.changed(codes[None])[0]) <= self.searched + 1

    def _level_by_level(self) -> Codes | None:
        """The best row by changes of one column, two, …, as far as the budget goes."""
        allowed, left = [_thinned(found, VALUES) for found in self.values.allowed], self.budget
        counts = [len(places) for places in allowed]
        for level in range(1, sum(count > 0 for count in counts) + 1):
            size = _subsets(counts, level)
            if size > left:
                break
            left -= size
            codes = self._changes(allowed, level, size)
            codes = codes[np.argsort(self.values.cost(codes), kind="stable")]
            for start in range(0, len(codes), BLOCK):
                block = codes[start : start + BLOCK]
                hits = block[self.turned(block)]
                for at in range(0, len(hits), FEW):
                    good = hits[at : at + FEW][self.plausible(hits[at : at + FEW])]
                    if len(good):
                        return good[0]
            self.searched = level
        return None

    def _changes(self, allowed: list[Codes], level: int, size: int) -> Codes:
        """Every change of exactly so many columns."""
        codes = np.tile(self.values.row, (size, 1))
        start = 0
        for places in combinations([place for place, found in enumerate(allowed) if len(found)], level):
            grid = np.meshgrid(*(allowed[place] for place in places), indexing="ij")
            stop = start + grid[0].size
            for place, part in zip(places, grid, strict=True):
                codes[start:stop, place] = part.ravel()
            start = stop
        return codes

    def _donors(self) -> Codes:
        """What the row becomes with the values of training rows that are decided otherwise, where it turns as well."""
        unlike = self.reference[self.turned(self.reference)]
        self.unlike = len(unlike)
        codes = np.unique(self.values.adopted(unlike), axis=0)
        codes = codes[np.argsort(self.values.cost(codes), kind="stable")]
        found: list[Codes] = []
        for start in range(0, len(codes), BLOCK):
            block = codes[start : start + BLOCK]
            hits = block[self.turned(block)]
            found.extend(hits[self.plausible(hits)] if len(hits) else hits)
            if len(found) >= BEAM:
                break
        return np.array(found[:BEAM], dtype=np.int64).reshape(-1, len(self.values.row))

    def _restored(self, codes: Codes) -> Codes | None:
        """The best row that restoring columns and moving numbers back leads to."""
        done: list[Codes] = []
        while len(codes):
            better = self._better(codes, self._restorations)
            stuck = np.array([found is None for found in better])
            closer = self._better(codes[stuck], self._approaches)
            done.extend(row for row, found in zip(codes[stuck], closer, strict=True) if found is None)
            moved = [found for found in (*better, *closer) if found is not None]
            codes = np.unique(np.array(moved, dtype=np.int64).reshape(-1, codes.shape[1]), axis=0)
        rows = np.array(done)
        order = np.lexsort((self.values.cost(rows), self.values.changed(rows)))
        return rows[order[0]] if len(order) else None

    def _better(self, codes: Codes, moves: Callable[[Codes], Iterator[Codes]]) -> list[Codes | None]:
        """For each row the cheapest of its moves that is still turned and plausible; None where there is none."""
        tried = [list(moves(row)) for row in codes]
        every = np.array([move for group in tried for move in group], dtype=np.int64).reshape(-1, codes.shape[1])
        good = self.turned(every) if len(every) else np.zeros(0, dtype=bool)
        good[good] = self.plausible(every[good])
        best: list[Codes | None] = []
        start = 0
        for group in tried:
            own = every[start : start + len(group)][good[start : start + len(group)]]
            best.append(own[np.argmin(self.values.cost(own))] if len(own) else None)
            start += len(group)
        return best

    def _restorations(self, codes: Codes) -> Iterator[Codes]:
        """The row with one of its changes undone."""
        for place in np.flatnonzero(codes != self.values.row):
            move = codes.copy()
            move[place] = self.values.row[place]
            yield move

    def _approaches(self, codes: Codes) -> Iterator[Codes]:
        """The row with one of its changed numbers nearer to its own."""
        for place in np.flatnonzero(codes != self.values.row):
            column = self.values.columns[place]
            nearer = np.flatnonzero(column.allowed & (column.cost < column.cost[codes[place]]) & (column.cost > 0))
            order = nearer[np.argsort(column.cost[nearer], kind="stable")]
            for value in _thinned(order, STEPS):
                move = codes.copy()
                move[place] = value
                yield move

    def _limits(self) -> tuple[float, float]:
        """How far training rows usually are from their nearest other one, and how far a changed row may be."""
        probed = self.rng.permutation(len(self.reference))[:PROBED]
        apart = self.values.distance(self.reference[probed], self.reference)
        apart[np.arange(len(probed)), probed] = np.inf
        nearest = apart.min(axis=1)
        usual = float(np.quantile(nearest, USUAL)) if len(self.reference) > 1 else 0.0
        return usual, max(usual, float(self.apart(self.values.row[None])[0])) * (1 + 1e-9)

    def apart(self, codes: Codes) -> Floats:
        """float64 [n]: the distance of rows to their nearest training row."""
        blocks = [codes[start : start + 256] for start in range(0, len(codes), 256)]
        parts = [self.values.distance(block, self.reference).min(axis=1) for block in blocks]
        return np.concatenate(parts) if parts else np.zeros(0)

    def _drawn(self, rows: Codes, most: int) -> Codes:
        return rows if len(rows) <= most else rows[np.sort(self.rng.choice(len(rows), most, replace=False))]

    def _why(self) -> str:
        goal = "another decision" if self.wanted is None else f"decision {self.wanted}"
        if not self.unlike:
            return (
                f"None of {len(self.reference):,} training rows gets {goal}, so there is none to learn a change from."
            )
        fixed = [
            str(c.name) for c, found in zip(self.values.columns, self.values.allowed, strict=True) if not len(found)
        ]
        kept = f" while {', '.join(fixed)} stay as they are" if fixed else ""
        if self.unusual:
            return f"Changes that lead to {goal}{kept} make a row unlike any that occurs in training."
        return f"None of {self.unlike:,} training rows with {goal} has values that turn this row{kept}."


def _subsets(counts: Sequence[int], size: int) -> int:
    """In how many ways so many columns can change: the elementary symmetric polynomial of the columns' values.

    >>> _subsets([2, 3, 4], 2)
    26
    """
    ways = [1] + [0] * size
    for count in counts:
        for taken in range(size, 0, -1):
            ways[taken] += ways[taken - 1] * count
    return ways[size]


def _thinned(places: Codes, most: int) -> Codes:
    """At most so many of them, evenly spread from the first to the last.

    >>> _thinned(np.arange(10), 4).tolist()
    [0, 3, 6, 9]
    """
    return places if len(places) <= most else places[np.linspace(0, len(places) - 1, most).astype(int)]
