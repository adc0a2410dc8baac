"""Paired coalitions for KernelSHAP: a coalition and its complement, by size, in a random order without repetition.

A pair is known by its smaller half; of equal halves, by the one with the first player. Sizes get pairs in proportion to
their share of the Shapley kernel,

    W_s ∝ 1 / (s (F - s))    (of a size that is its own complement half as much)

but no more than there are: the smallest and the largest coalitions are few and weigh most, so that they are all taken
first, from the outside in. Each size keeps its order, and a larger draw begins with the smaller one.

Source: Lundberg and Lee, "A Unified Approach to Interpreting Model Predictions", NeurIPS 2017, arXiv:1705.07874;
pairs: Covert and Lee, "Improving KernelSHAP", AISTATS 2021, arXiv:2012.01536.
"""

from __future__ import annotations

from itertools import combinations
from math import comb

import numpy as np
import numpy.typing as npt


class Size:
    """All pairs whose smaller half has `size` of `players` players. total: how many. weight: their share W_s."""

    def __init__(self, players: int, size: int, seed: int) -> None:
        halves = 2 * size == players
        self.players, self.size, self.halves = players, size, halves
        self.total = comb(players, size) // (2 if halves else 1)
        self.weight = (0.5 if halves else 1.0) / (size * (players - size))
        self._rng = np.random.default_rng([seed, players, size])
        self._drawn = np.zeros((0, players), dtype=bool)
        self._known: set[bytes] = set()

    def first(self, count: int) -> npt.NDArray[np.bool_]:
        """bool [count, players]: the first pairs of this size's order, each by its smaller half."""
        if len(self._drawn) < count:
            self._drawn = self._rest() if 2 * count > self.total else self._more(count)
        return self._drawn[:count]

    def _rest(self) -> npt.NDArray[np.bool_]:
        """All pairs: those that were drawn, then the others, shuffled."""
        pairs = np.zeros((self.total, self.players), dtype=bool)
        pairs[:, 0] = self.halves
        others = combinations(range(int(self.halves), self.players), self.size - int(self.halves))
        members = np.array(list(others), dtype=np.int64).reshape(self.total, -1)
        np.put_along_axis(pairs, members, True, axis=1)
        fresh = [key.tobytes() not in self._known for key in np.packbits(pairs, axis=1)] if self._known else slice(None)
        return np.concatenate([self._drawn, self._rng.permutation(pairs[fresh])])

    def _more(self, count: int) -> npt.NDArray[np.bool_]:
        """As many pairs: those that were drawn, then others, drawn until they are new."""
        found = list(self._drawn)
        while len(found) < count:
            drawn = self._rng.random((count - len(found), self.players)).argsort(axis=1) < self.size
            if self.halves:
                drawn ^= ~drawn[:, :1]
            for pair in drawn:
                key = np.packbits(pair).tobytes()
                if key not in self._known:
                    self._known.add(key)
                    found.append(pair)
        return np.stack(found)


def sizes_of(players: int, seed: int) -> list[Size]:
    """All sizes of smaller halves, from one player on.

    >>> [(size.size, size.total) for size in sizes_of(4, 0)]
    [(1, 4), (2, 3)]
    """
    return [Size(players, size, seed) for size in range(1, players // 2 + 1)]


def allotted(sizes: list[Size], pairs: int) -> list[int]:
    """How many pairs each size gets: at least one, at most all it has, else in proportion to its weight.

    >>> allotted(sizes_of(6, 0), 17), allotted(sizes_of(6, 0), 100)
    ([6, 8, 3], [6, 15, 10])
    """
    weight = np.array([size.weight for size in sizes])
    total = np.array([size.total for size in sizes], dtype=float)
    given = np.zeros(len(sizes))
    free = np.ones(len(sizes), dtype=bool)
    while free.any():
        left = max(pairs - given[~free].sum(), 0)
        given[free] = left * weight[free] / weight[free].sum()
        full, low = free & (given >= total), free & (given < 1)
        if not (full | low).any():
            break
        fixed = full if full.any() else low
        given[fixed] = np.where(full, total, 1)[fixed]
        free &= ~fixed
    whole = np.floor(given + 1e-9)
    for place in np.argsort(whole - given, kind="stable")[: max(0, round(pairs - whole.sum()))]:
        whole[place] += whole[place] < total[place]
    return [int(count) for count in whole]
