"""Strategies: the ways in which a model reaches each class, as clusters of what its answers rest on.

Each explained row is the vector of its attributions, divided by their total magnitude and square-rooted with the sign
kept, s_j = sign(φ_j)·sqrt(|φ_j| / Σ|φ|). All such vectors have length one, rows with large scores do not drown the
others, and few large shares do not hide many small ones (the distance is Hellinger's where all signs agree). Rows
that are predicted as the same class are clustered by k-means. The number of clusters is the one from two to five with
the largest mean silhouette (Rousseeuw 1987), each cluster having eight rows or more; a class whose best silhouette is
below 0.1, or with fewer than sixteen rows, is one strategy.

Of each cluster the medoid (the row with the smallest summed distance to the others) stands for it, and the row that is
farthest from the medoid shows how wide it is.

Source: Lapuschkin, Wäldchen, Binder, Montavon, Samek, Müller, "Unmasking Clever Hans predictors", Nature
Communications 10, 1096 (2019): spectral clusters of heat maps, class by class; k-means is used here since it gives
every row a place and no neighbourhood has to be chosen.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Places = npt.NDArray[np.int64]
MOST, FEWEST = 5, 8
"""clusters of a class at most; rows of a cluster at least"""
APART = 0.1
"""mean silhouette below which a class is one strategy"""


@dataclass(frozen=True, slots=True)
class Strategy:
    """A cluster. name: its class. number: within the class, from 1 by falling size, 0 for a class as a whole.

    rows: positions among the explained rows [n], the medoid and the farthest of them by position. silhouette: of the
    class's clustering, None where the class is one strategy.
    """

    name: str
    number: int
    rows: Places
    medoid: int
    farthest: int
    silhouette: float | None = None


def mass(values: Floats) -> Floats:
    """Each row's |φ| divided by its total; rows of zeros stay zeros. values: [n, parts].

    >>> mass(np.array([[1.0, -3.0], [0.0, 0.0]])).tolist()
    [[0.25, 0.75], [0.0, 0.0]]
    """
    magnitude = np.abs(values)
    total = magnitude.sum(axis=1, keepdims=True)
    return magnitude / np.where(total > 0, total, 1.0)


def directions(values: Floats) -> Floats:
    """Rows as vectors of length one, sign(φ)·sqrt(|φ| / Σ|φ|). values: [n, parts].

    >>> directions(np.array([[1.0, -3.0]])).round(3).tolist()
    [[0.5, -0.866]]
    """
    return np.sign(values) * np.sqrt(mass(values))


def strategies(values: Floats, classes: npt.NDArray, seed: int) -> list[Strategy]:
    """The strategies of every class, by class and then by size. Rows without any attribution belong to none.

    values: attributions [n, parts]. classes: what each row is predicted as, [n], anything that can be sorted.

    >>> values = np.repeat(np.eye(3), 10, axis=0) + 0.01
    >>> [len(found.rows) for found in strategies(values, np.repeat(["a", "a", "b"], 10), seed=0)]
    [10, 10, 10]
    """
    vectors, found = directions(values), []
    for name in sorted(set(classes.tolist())):
        own = np.flatnonzero((classes == name) & (np.abs(values).sum(axis=1) > 0))
        labels, silhouette = clusters(vectors[own], seed)
        sizes = np.bincount(labels)
        for number, label in enumerate(np.argsort(-sizes, kind="stable"), start=1):
            rows = own[labels == label]
            if not len(rows):
                continue
            medoid, farthest = _telling(vectors[rows])
            found.append(Strategy(str(name), number, rows, int(rows[medoid]), int(rows[farthest]), silhouette))
    return found


def clusters(vectors: Floats, seed: int) -> tuple[Places, float | None]:
    """The cluster of every row, int64 [n], and the mean silhouette; all 0 and None where there is but one."""
    one = np.zeros(len(vectors), dtype=np.int64)
    if len(vectors) < 2 * FEWEST or (distinct := len(np.unique(vectors.round(9), axis=0))) < 2:
        return one, None
    from sklearn.cluster import KMeans
    from sklearn.metrics import silhouette_score

    best, best_labels = APART, one
    for count in range(2, min(MOST, len(vectors) // FEWEST) + 1):
        if distinct < count:
            break
        labels = KMeans(count, n_init=10, random_state=seed).fit_predict(vectors)
        if np.bincount(labels, minlength=count).min() < FEWEST:
            continue
        score = float(silhouette_score(vectors, labels))
        if score > best:
            best, best_labels = score, labels.astype(np.int64)
    return best_labels, None if best_labels is one else best


def _telling(vectors: Floats) -> tuple[int, int]:
    """The medoid and the row farthest from it, among [n, parts]."""
    apart = np.sqrt(np.maximum(0.0, _squared(vectors)))
    medoid = int(apart.sum(axis=1).argmin())
    return medoid, int(apart[medoid].argmax())


def _squared(vectors: Floats) -> Floats:
    inner = vectors @ vectors.T
    own = np.diag(inner)
    return own[:, None] + own[None, :] - 2 * inner


def plane(vectors: Floats) -> Floats:
    """The rows on the two directions in which they vary most, [n, 2], each turned so that it is repeatable.

    >>> plane(np.array([[1.0, 0.0], [-1.0, 0.0]]))[:, 0].tolist()
    [1.0, -1.0]
    """
    centred = vectors - vectors.mean(axis=0) if len(vectors) else vectors
    if len(centred) < 2 or not centred.any():
        return np.zeros((len(centred), 2))
    axes = np.linalg.svd(centred, full_matrices=False)[2][:2]
    axes = axes * np.sign(axes[np.arange(len(axes)), np.abs(axes).argmax(axis=1)])[:, None]
    placed = centred @ axes.T
    return np.pad(placed, ((0, 0), (0, 2 - placed.shape[1])))


def word_values(values: Floats, words: list[list[str]], fewest: int) -> tuple[Floats, tuple[str, ...]]:
    """Texts: attributions by word in place of by position, [n, words], and the words that `fewest` rows or more have.

    What rarer words hold is added up, without its signs, in a last part, "other words", so that totals stay what they
    are.
    values: [n, positions]. words: those at each row's positions, "" where there is none to be explained.
    """
    seen: dict[str, set[int]] = {}
    for row, found in enumerate(words):
        for word in found:
            if word:
                seen.setdefault(word, set()).add(row)
    names = tuple(sorted(word for word, rows in seen.items() if len(rows) >= fewest))
    place: Mapping[str, int] = {word: index for index, word in enumerate(names)}
    result = np.zeros((len(words), len(names) + 1))
    for row, found in enumerate(words):
        for position, word in enumerate(found):
            at = place.get(word, len(names))
            result[row, at] += values[row, position] if at < len(names) else abs(values[row, position])
    return result, (*names, "other words")
