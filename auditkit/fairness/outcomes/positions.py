"""Positions in rankings and what they are worth: attention, relevance, and pairs in the right order.

A ranking orders the candidates of one query by falling score. Candidates with the same score share the positions that
they take up together: each gets their mean, as over all ways to break the tie, so that nothing hangs on the order of
rows.

attention   a cumulative sum C(r) over the first r positions, from which all else follows:
            logarithmic 1 / log2(1 + r), as in DCG (Järvelin and Kekäläinen 2002, ACM TOIS 20(4), 422-446);
            geometric 0.8^(r - 1), a reader who goes on with a chance of 0.8 (Moffat and Zobel 2008, ACM TOIS 27(1));
            top k, 1 for the first k positions and 0 after
NDCG        Σ relevance · attention, over its largest possible value, ties in score averaged as in scikit-learn
pairs       of two candidates of one query, the one of higher relevance should score higher; ties count one half
            (Beutel et al. 2019, "Fairness in Recommendation Ranking through Pairwise Comparisons", KDD)
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Integers = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
PATIENCE = 0.8
MOST_LEVELS = 20


@dataclass(frozen=True)
class Positions:
    """Rows in the order of queries and falling scores. order: int64 [n], places in the data; the rest as ordered:
    query and run (ties of one query): int64 [n]; starts: int64 [queries + 1]; run_starts: int64 [runs + 1]."""

    order: Integers
    query: Integers
    run: Integers
    starts: Integers
    run_starts: Integers

    @classmethod
    def of(cls, scores: Floats, query: Integers) -> Positions:
        """The rankings. scores: float64 [n], the highest comes first. query: int64 [n], 0 to queries - 1, all used."""
        order = np.lexsort((-scores, query))
        q, s = query[order], scores[order]
        new = np.ones(len(s), dtype=bool)
        new[1:] = (q[1:] != q[:-1]) | (s[1:] != s[:-1])
        run_starts = np.append(np.flatnonzero(new), len(s))
        starts = np.append(np.flatnonzero(np.append(True, q[1:] != q[:-1])), len(s))
        return cls(order, q, np.cumsum(new) - 1, starts, run_starts)

    @property
    def sizes(self) -> Integers:
        """Candidates of each query, int64 [queries]."""
        return np.diff(self.starts)

    def attention(self, cumulative: Floats) -> Floats:
        """What each row's position is worth, float64 [n], as ordered. cumulative: C(0), C(1), … up to the longest.

        >>> tied = Positions.of(np.array([0.5, 0.9, 0.5]), np.zeros(3, dtype=np.int64))
        >>> tied.attention(top(1, 3)).tolist(), tied.attention(top(2, 3)).tolist()
        ([1.0, 0.0, 0.0], [1.0, 0.5, 0.5])
        """
        first = self.run_starts[:-1]
        begin = self.starts[self.query[first]]
        size = np.diff(self.run_starts)
        mean: Floats = (cumulative[first - begin + size] - cumulative[first - begin]) / size
        return mean[self.run]


def logarithmic(longest: int) -> Floats:
    """C(0) to C(longest) of 1 / log2(1 + r).

    >>> logarithmic(2).round(4).tolist()
    [0.0, 1.0, 1.6309]
    """
    return np.append(0.0, np.cumsum(1 / np.log2(1 + np.arange(1, longest + 1))))


def geometric(longest: int) -> Floats:
    """C(0) to C(longest) of 0.8^(r - 1)."""
    return np.asarray((1 - PATIENCE ** np.arange(longest + 1)) / (1 - PATIENCE))


def top(k: int, longest: int) -> Floats:
    """C(0) to C(longest) of the first k positions."""
    return np.minimum(np.arange(longest + 1), k).astype(np.float64)


def ndcg(positions: Positions, relevance: Floats) -> Floats:
    """NDCG of each query, float64 [queries]; NaN where nothing is relevant. relevance: float64 [n], as ordered, >= 0.

    >>> one = Positions.of(np.array([3.0, 2.0, 1.0]), np.zeros(3, dtype=np.int64))
    >>> ndcg(one, np.array([0.0, 1.0, 0.0])).round(4).tolist()
    [0.6309]
    """
    longest = int(positions.sizes.max())
    cumulative = logarithmic(longest)
    queries = len(positions.sizes)
    gained = np.bincount(positions.query, positions.attention(cumulative) * relevance, minlength=queries)
    best = relevance[np.lexsort((-relevance, positions.query))]
    rank = np.arange(len(best)) - positions.starts[positions.query]
    ideal = np.bincount(positions.query, best * np.diff(cumulative)[rank], minlength=queries)
    return np.divide(gained, ideal, out=np.full(queries, np.nan), where=ideal > 0)


def right_pairs(
    scores: Floats, query: Integers, relevance: Floats, groups: Integers, count: int
) -> tuple[Floats, Floats]:
    """Per query and group: pairs in the right order, and pairs, of a more relevant candidate of the group and a less
    relevant one of any other group: float64 [queries, groups] each.

    scores, relevance: float64 [n]; query, groups: int64 [n], `count` groups. At most 20 levels of relevance.

    >>> scores, relevance = np.array([0.9, 0.5, 0.1]), np.array([1.0, 0.0, 1.0])
    >>> found = right_pairs(scores, np.zeros(3, dtype=np.int64), relevance, np.array([0, 1, 0]), 2)
    >>> [part.tolist() for part in found]
    [[[1.0, 0.0]], [[2.0, 0.0]]]
    """
    _, rank = np.unique(scores, return_inverse=True)
    levels, level = np.unique(relevance, return_inverse=True)
    if len(levels) > MOST_LEVELS:
        raise ValueError(f"{len(levels)} levels of relevance are more than {MOST_LEVELS}")
    width, queries = int(rank.max()) + 1, int(query.max()) + 1
    key = query * width + rank
    right, every = np.zeros((2, queries, count))
    for higher in range(1, len(levels)):
        for group in range(count):
            ours = (level == higher) & (groups == group)
            theirs = np.sort(key[(level < higher) & (groups != group)])
            if not ours.any() or not len(theirs):
                continue
            mine = key[ours]
            begin, end = (np.searchsorted(theirs, (query[ours] + more) * width) for more in (0, 1))
            below, upto = (np.searchsorted(theirs, mine, side=side) for side in ("left", "right"))
            right[:, group] += np.bincount(query[ours], (below + upto) / 2 - begin, minlength=queries)
            every[:, group] += np.bincount(query[ours], end - begin, minlength=queries)
    return right, every
