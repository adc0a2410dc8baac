"""Proxies: how well each feature alone, and all penultimate features together, give a sensitive attribute away.

A feature that tells the groups apart can stand in for the attribute even where the model never sees that. How well it
does is the area under the ROC curve of a classifier that sees this feature alone, cross-validated in five folds: 0.5
tells nothing, 1 tells all; with more than two groups the mean over groups of each against the rest. A column's
classifier is the share of every group among the training rows with the same value (numbers are divided into sixteen
bins of equal rows; a missing number is a value of its own), each share drawn by one row towards that of all. The
penultimate features are read by ridge regression on the groups' indicators, as a linear layer would read them.

Areas are of each fold by itself and then averaged, so that folds need not be on one scale. The interval joins those of
the folds, which have no row in common (Zou and Donner 2008), and covers the choice of rows to be told apart.

What chance gives is measured: groups are dealt out anew within each fold, 199 times (99 for the penultimate features),
and everything is done again. Each area is then measured in standard deviations of what chance gave for its feature. A
feature's adjusted p-value counts in how many of the dealings the best of all features did as well, so that among them
all a false alarm is as rare as the level says (Westfall and Young 1993); a feature is found where that is below one
minus the confidence. With many rows even a faint trace is found, so read the area, not that it was found.

Sources: Feldman et al. (2015), "Certifying and removing disparate impact", KDD (predictability of the attribute);
Zou and Donner (2008), Statistics in Medicine 27(10), 1693-1702; Phipson and Smyth (2010), Statistical Applications in
Genetics and Molecular Biology 9(1), 39 (the added one).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.stats import rankdata

from auditkit.statistics.intervals import Floats
from auditkit.statistics.roc import macro_auroc

Codes = npt.NDArray[np.int64]
FOLDS, BINS, VALUES, DRAWS, FEWER, WIDEST = 5, 16, 63, 199, 99, 256
"""folds; bins of a number; most values of a category that stay apart; dealings for columns, and for penultimate
features; most directions of penultimate features"""
PENALTY = 0.01
"""of the ridge, by the number of training rows, for features of unit variance"""


@dataclass(frozen=True, slots=True)
class Proxy:
    """How well a feature tells the groups: the area with its interval, what chance reaches (its upper quantile at the
    confidence), the p-value alone and among all features, and whether that makes it one that is found."""

    auc: float
    lower: float
    upper: float
    chance: float
    p: float
    adjusted: float
    found: bool


def proxies(
    columns: Mapping[str, Codes], groups: Codes, rng: np.random.Generator, confidence: float = 0.95, draws: int = DRAWS
) -> dict[str, Proxy]:
    """How well each column alone tells the groups apart.

    columns: name → codes [n], from `number_codes` or `category_codes`. groups: int [n], 0 to k - 1, each with ten rows
    or more. Raises ValueError for smaller ones.

    >>> rng = np.random.default_rng(0)
    >>> groups = np.arange(400) % 2
    >>> told = {"proxy": np.where(rng.random(400) < 0.9, groups, 1 - groups), "noise": rng.integers(4, size=400)}
    >>> [name for name, proxy in proxies(told, groups, rng).items() if proxy.found]
    ['proxy']
    """
    folds = stratified_folds(groups, rng)
    dealt = _dealt(groups, folds, draws, rng)
    values, nulls = {}, {}
    for name, codes in columns.items():
        values[name] = _column_scores(codes, groups, folds)
        nulls[name] = areas_of_counts(_counts(codes, dealt, folds, int(groups.max()) + 1))
    best = np.max([_standard(null, null) for null in nulls.values()], axis=0) if nulls else np.zeros(0)
    return {name: _proxy(values[name], groups, folds, nulls[name], best, confidence) for name in columns}


def representation(
    features: npt.NDArray, groups: Codes, rng: np.random.Generator, confidence: float = 0.95, draws: int = FEWER
) -> Proxy:
    """How well penultimate features [n, width] together tell the groups apart. groups as in `proxies`.

    >>> rng = np.random.default_rng(0)
    >>> groups = np.arange(300) % 3
    >>> features = rng.normal(size=(300, 8)) + 3 * np.eye(8)[groups]
    >>> found = representation(features, groups, rng)
    >>> found.found, found.auc > 0.9
    (True, True)
    """
    folds = stratified_folds(groups, rng)
    dealt = np.concatenate([groups[None], _dealt(groups, folds, draws, rng)])
    k = int(groups.max()) + 1
    scores = _ridge_scores(_narrowed(np.asarray(features, dtype=np.float64)), dealt, folds, k)
    null = np.mean(
        [_areas(scores[folds == fold, 1:], dealt[1:, folds == fold]) for fold in range(FOLDS)], axis=0
    )  # fmt: skip
    return _proxy(scores[:, 0], groups, folds, null, _standard(null, null), confidence)


def number_codes(values: Floats) -> Codes:
    """Numbers [n] as bins of about equally many rows, by rank; what is not finite is a bin of its own.

    >>> number_codes(np.array([5.0, 1.0, np.nan, 1.0])).tolist()
    [2, 1, 0, 1]
    """
    codes = np.zeros(len(values), dtype=np.int64)
    finite = np.isfinite(values)
    if finite.any():
        edges = np.unique(np.quantile(values[finite], np.linspace(0, 1, BINS + 1)[1:-1], method="lower"))
        codes[finite] = 1 + np.unique(np.searchsorted(edges, values[finite], side="left"), return_inverse=True)[1]
    return codes


def category_codes(values: npt.NDArray) -> Codes:
    """Categories [n] as codes; beyond the 63 most frequent all are one.

    >>> category_codes(np.array(["b", "a", "b"])).tolist()
    [1, 0, 1]
    """
    _, codes, sizes = np.unique(np.asarray(values).astype(str), return_inverse=True, return_counts=True)
    rank = np.argsort(np.argsort(-sizes, kind="stable"))
    return np.where(rank[codes] < VALUES, codes if len(sizes) <= VALUES else rank[codes], VALUES).astype(np.int64)


def stratified_folds(groups: Codes, rng: np.random.Generator) -> Codes:
    """The fold of every row, each with the same mix of groups."""
    sizes = np.bincount(groups)
    if len(sizes) < 2 or sizes.min() < 2 * FOLDS:
        raise ValueError(f"groups to tell apart are two or more, with {2 * FOLDS} rows or more each")
    folds = np.zeros(len(groups), dtype=np.int64)
    for group in range(len(sizes)):
        rows = rng.permutation(np.flatnonzero(groups == group))
        folds[rows] = (np.arange(len(rows)) + group) % FOLDS
    return folds


def areas_of_counts(counts: npt.NDArray) -> Floats:
    """The cross-validated area of a column's classifier, from counts [..., folds, codes, groups].

    Rows of one code have one score, so counts are all it takes: the score of a code for a group is its share among the
    rows of the other folds, and the area is a sum over pairs of codes.

    >>> areas_of_counts(np.array([[[9, 0], [0, 9]]] * 2)).item()
    1.0
    """
    counts = np.asarray(counts, dtype=np.float64)
    scores = _shares(counts.sum(axis=-3, keepdims=True) - counts)
    areas = []
    for group in range(counts.shape[-1]):
        score, own = scores[..., group], counts[..., group]
        others = counts.sum(axis=-1) - own
        order = np.argsort(score, axis=-1, kind="stable")
        wins = _wins(*(np.take_along_axis(part, order, axis=-1) for part in (score, own, others)))
        areas.append(wins / (own.sum(axis=-1) * others.sum(axis=-1)))
    return np.asarray(np.mean(areas, axis=0).mean(axis=-1))


def _wins(score: Floats, own: Floats, others: Floats) -> Floats:
    """Pairs of a row of the group and one of the others that are in order, ties one half; all [..., codes], sorted."""
    below = np.cumsum(others, axis=-1) - others
    first = np.concatenate([np.ones_like(score[..., :1], dtype=bool), np.diff(score, axis=-1) > 0], axis=-1)
    last = np.concatenate([first[..., 1:], np.ones_like(first[..., :1])], axis=-1)
    under = np.maximum.accumulate(np.where(first, below, -1.0), axis=-1)
    upto = np.where(last, below + others, np.inf)
    upto = np.minimum.accumulate(upto[..., ::-1], axis=-1)[..., ::-1]
    return np.asarray((own * (under + upto) / 2).sum(axis=-1))


def _shares(counts: Floats) -> Floats:
    """The share of each group among rows of a code, drawn by one row towards its share of all: [..., codes, groups]."""
    overall = counts.sum(axis=-2, keepdims=True)
    overall = overall / overall.sum(axis=-1, keepdims=True)
    return ((counts + overall) / (counts.sum(axis=-1, keepdims=True) + 1)).round(12)


def _counts(codes: Codes, groups: Codes, folds: Codes, k: int) -> npt.NDArray[np.int64]:
    """Counts [..., folds, codes, k] of groups [..., n]."""
    width = int(codes.max()) + 1
    lines = groups.reshape(-1, len(codes))
    place = ((np.arange(len(lines))[:, None] * FOLDS + folds) * width + codes) * k + lines
    counts = np.bincount(place.ravel(), minlength=len(lines) * FOLDS * width * k)
    return counts.reshape(*groups.shape[:-1], FOLDS, width, k)


def _column_scores(codes: Codes, groups: Codes, folds: Codes) -> Floats:
    """Each row's scores [n, k] from the rows of the other folds."""
    counts = _counts(codes, groups, folds, int(groups.max()) + 1).astype(np.float64)
    return _shares(counts.sum(axis=0, keepdims=True) - counts)[folds, codes]


def _dealt(groups: Codes, folds: Codes, draws: int, rng: np.random.Generator) -> Codes:
    """The groups dealt out anew within each fold, [draws, n]."""
    dealt = np.tile(groups, (draws, 1))
    for fold in range(FOLDS):
        rows = np.flatnonzero(folds == fold)
        dealt[:, rows] = rng.permuted(dealt[:, rows], axis=1)
    return dealt


def _narrowed(features: Floats) -> Floats:
    """Features without those that never vary; of more than a quarter of the rows, or 256, the directions in which they
    vary most."""
    features = features - features.mean(axis=0)
    features = features[:, features.std(axis=0) > 1e-9 * np.abs(features).max(initial=0)]
    most = min(WIDEST, len(features) // 4)
    if features.shape[1] <= most:
        return features
    values, vectors = np.linalg.eigh(features.T @ features)
    kept = (np.arange(len(values)) >= len(values) - most) & (values > 1e-9 * values[-1])
    return features @ vectors[:, kept]


def _ridge_scores(features: Floats, dealt: Codes, folds: Codes, k: int) -> Floats:
    """Scores [n, dealings, k] by ridge regression on indicators, each row's from the rows of the other folds."""
    wanted = np.eye(k)[dealt].transpose(1, 0, 2).reshape(len(folds), -1)
    scores = np.zeros_like(wanted)
    if not features.shape[1]:
        return scores.reshape(len(folds), len(dealt), k)
    for fold in range(FOLDS):
        train, test = folds != fold, folds == fold
        mean, spread = features[train].mean(axis=0), features[train].std(axis=0)
        x, y = ((features[rows] - mean) / np.where(spread > 0, spread, 1.0) for rows in (train, test))
        inner = x.T @ x + PENALTY * len(x) * np.eye(x.shape[1])
        scores[test] = y @ np.linalg.solve(inner, x.T @ (wanted[train] - wanted[train].mean(axis=0)))
    return scores.reshape(len(folds), len(dealt), k)


def _areas(scores: Floats, dealt: Codes) -> Floats:
    """Macro areas [dealings] of scores [n, dealings, k] for the groups [dealings, n] of one fold."""
    areas = []
    for group in range(scores.shape[2]):
        ranks, own = rankdata(scores[:, :, group], axis=0).T, dealt == group
        m = own.sum(axis=1)
        areas.append(((ranks * own).sum(axis=1) - m * (m + 1) / 2) / (m * (own.shape[1] - m)))
    return np.asarray(np.mean(areas, axis=0))


def _standard(areas: npt.ArrayLike, null: Floats) -> Floats:
    """Areas in standard deviations of what chance gave; 0 where chance always gives the same."""
    spread = float(null.std())
    return (np.asarray(areas, dtype=np.float64) - null.mean()) / spread if spread > 1e-12 else np.zeros(np.shape(areas))


def _proxy(scores: Floats, groups: Codes, folds: Codes, null: Floats, best: Floats, confidence: float) -> Proxy:
    """From scores [n, k] and what chance gave: this feature's areas [draws], and the best of all features' in standard
    deviations [draws]."""
    each = [macro_auroc(groups[folds == fold], scores[folds == fold], confidence) for fold in range(FOLDS)]
    value = float(np.mean([one.value for one in each]))
    down, up = (
        float(np.sqrt(sum((one.value - edge) ** 2 for one, edge in zip(each, edges, strict=True)))) / FOLDS
        for edges in ([one.lower for one in each], [one.upper for one in each])
    )
    p = float(1 + (null >= value - 1e-12).sum()) / (1 + len(null))
    adjusted = float(1 + (best >= _standard(value, null) - 1e-9).sum()) / (1 + len(best))
    chance = float(np.quantile(null, confidence))
    return Proxy(
        value, max(0.0, value - down), min(1.0, value + up), chance, p, adjusted, adjusted <= 1 - confidence + 1e-12
    )
