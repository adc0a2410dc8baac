"""The error heat map: the mean loss by two columns at once, on rows that had no part in choosing the columns.

The pair is the one whose cells tell most about the losses in one half of the rows: with G the loss that cells explain
(Σ s_k² / n_k - s² / n over the variance, chi-squared with one degree of freedom less than there are cells when they
tell nothing), the pair with the largest (G - freedom) / √(2 · freedom). Its cells are then shown from the other half,
where the same G is held against chance: for 0/1 losses by drawing tables with the same margins (exact), for other
losses by shuffling them, or, from 20,000 rows, by chi-squared. A pair that the user names needs no search, and its
cells are shown from all rows.

A cell with fewer rows than `minimum_rows` is not judged and has no part in G. Intervals are Wilson's (Student's t where
losses are not 0 and 1) and hold for all cells at once (Bonferroni).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from scipy.special import chdtrc

from auditkit.errors import InputError
from auditkit.fairness.slices.confirm import mean_interval
from auditkit.fairness.slices.halves import Half, Halves
from auditkit.fairness.slices.predicates import Coded

MOST_BINS = 12
"""Values of a column that are shown; the rarer of them are joined as `other`."""
DRAWS = 1999
SHUFFLED = 20_000
OTHER, MISSING = "other", "missing"

_COUNT, _NUMBER, _TEXT = pa.int64(), pa.float64(), pa.string()
SCHEMA = pa.schema(
    {"down": _TEXT, "across": _TEXT, "row": _COUNT, "column": _COUNT, "row_label": _TEXT, "column_label": _TEXT}
    | {"n": _COUNT, "loss": _NUMBER, "lower": _NUMBER, "upper": _NUMBER, "coverage": _NUMBER, "overall": _NUMBER}
    | {"p": _NUMBER, "explained": _NUMBER, "searched": pa.bool_(), "pairs": _COUNT, "unit": _TEXT, "reason": _TEXT}
)
"""The columns of the evidence table, one record per cell; the last seven but `reason` are of the whole map."""

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Axis:
    """A column as the bins that a heat map shows. codes: [n], places among labels."""

    name: str
    labels: list[str]
    codes: Integers


def axis_of(column: Coded) -> Axis:
    """A column's bins as an axis: numbers in order, then values, `other` and `missing` where there are such.

    >>> from auditkit.fairness.slices.predicates import code
    >>> axis_of(code("sex", pa.array(["f", "m", None]), 1)).labels
    ['f', 'm', 'missing']
    """
    texts: dict[int, str] = {}
    for predicate, member in zip(column.predicates, column.member, strict=True):
        if member.sum() == 1:
            texts[int(member.argmax())] = (
                MISSING if predicate.kind == "missing" else _short(predicate.text, column.name)
            )
    rows = np.bincount(column.codes, minlength=column.bins)
    missing = [at for at in texts if _is_missing(column, at)]
    valued = sorted(at for at in texts if at not in missing)
    most = set(sorted(valued, key=lambda at: (-rows[at], at))[: MOST_BINS - 2] if len(valued) > MOST_BINS else valued)
    shown = [at for at in valued if at in most]
    rest = [at for at in range(column.bins) if at not in most and at not in missing and rows[at]]
    labels = [texts[at] for at in shown]
    place = np.zeros(column.bins, dtype=np.int64)
    place[shown] = np.arange(len(shown))
    for bins, label in ((rest, OTHER), (missing, MISSING)):
        if bins:
            place[bins] = len(labels)
            labels.append(label)
    return Axis(column.name, labels, place[column.codes])


def _is_missing(column: Coded, at: int) -> bool:
    return any(
        predicate.kind == "missing" and member[at]
        for predicate, member in zip(column.predicates, column.member, strict=True)
    )


def _short(text: str, name: str) -> str:
    """A condition without its column: `< 35`, `35 to 48`, `cook`."""
    low, between, high = text.partition(f" ≤ {name} < ")
    return f"{low} to {high}" if between else text.removeprefix(f"{name} ").removeprefix("= ")


@dataclass(frozen=True)
class HeatMap:
    """Mean losses by two columns. n, total, lower, upper: [down, across]; p: of "the cells tell nothing".

    explained: the share of the losses' variance that cells explain beyond chance. searched: whether the pair was looked
    for, among `pairs`. judged: cells with enough rows.
    """

    down: Axis
    across: Axis
    n: Integers
    total: Floats
    lower: Floats
    upper: Floats
    judged: npt.NDArray[np.bool_]
    overall: float
    p: float
    explained: float
    searched: bool
    pairs: int
    minimum_rows: int
    binary: bool

    def table(self) -> pa.Table:
        """One record per cell, with the columns of `SCHEMA`."""
        records = []
        whole = float(self.total.sum())
        for row, column in np.ndindex(*self.n.shape):
            judged = bool(self.judged[row, column])
            n, total = int(self.n[row, column]), float(self.total[row, column])
            records.append(
                {
                    "down": self.down.name,
                    "across": self.across.name,
                    "row": row,
                    "column": column,
                    "row_label": self.down.labels[row],
                    "column_label": self.across.labels[column],
                    "n": n,
                    "loss": total / n if judged else None,
                    "lower": float(self.lower[row, column]) if judged else None,
                    "upper": float(self.upper[row, column]) if judged else None,
                    "coverage": total / whole if judged and whole else None,
                    "overall": self.overall,
                    "p": self.p,
                    "explained": self.explained,
                    "searched": self.searched,
                    "pairs": self.pairs,
                    "unit": "rate" if self.binary else "",
                    "reason": "" if judged else f"{n:,} rows, fewer than {self.minimum_rows:,}",
                }
            )
        return pa.Table.from_pylist(records, SCHEMA)


def error_heatmap(
    halves: Halves,
    pair: tuple[str, str] | None = None,
    *,
    minimum_rows: int = 30,
    seed: int = 0,
    confidence: float = 0.95,
) -> HeatMap:
    """The heat map of the pair of columns that tells most about the losses, or of a given pair.

    halves: see `split_rows`. minimum_rows: a cell with fewer is not judged. Raises InputError for a pair that is not
    among the columns, and where there are fewer than two columns of at least two bins.

    >>> from auditkit.fairness.slices.halves import split_rows
    >>> sex, hours = np.array(["f", "m"] * 1600), np.arange(3200) // 2 % 8
    >>> halves = split_rows({"sex": sex, "hours": hours, "colour": ["a"] * 3200}, (sex == "f") & (hours < 4), None, 0)
    >>> shown = error_heatmap(halves)
    >>> shown.down.name, shown.across.name, shown.p < 0.05, round(shown.explained, 3)
    ('hours', 'sex', True, 1.0)
    """
    names = [column.name for column in halves.search.columns]
    if pair is not None:
        unknown = [name for name in pair if name not in names]
        if unknown or len(set(pair)) != 2:
            raise InputError(f"slices: a heat map needs two of the columns, got {', '.join(pair)}")
        chosen, pairs = (names.index(pair[0]), names.index(pair[1])), 1
    else:
        chosen, pairs = _most_told(halves.search, minimum_rows)
    columns = [_joined(halves, at) for at in chosen]
    half = halves.confirm if pair is None else None
    axes = [axis_of(column) for column in columns]
    if half is not None:
        cut = len(halves.search.loss)
        axes = [Axis(axis.name, axis.labels, axis.codes[cut:]) for axis in axes]
    if pair is None and len(axes[0].labels) < len(axes[1].labels):
        axes = axes[::-1]
    loss = halves.confirm.loss if half is not None else np.concatenate([halves.search.loss, halves.confirm.loss])
    return _filled(axes[0], axes[1], loss, halves.binary, pair is None, pairs, minimum_rows, seed, confidence)


def _joined(halves: Halves, at: int) -> Coded:
    first, second = halves.search.columns[at], halves.confirm.columns[at]
    return Coded(first.name, np.concatenate([first.codes, second.codes]), first.predicates, first.member)


def _told(n: npt.NDArray, total: Floats, variance: float, fewest: int) -> tuple[float, int]:
    """G of the cells with enough rows, and its degrees of freedom."""
    enough = n >= fewest
    k, s = n[enough].astype(np.float64), total[enough]
    if len(k) < 2 or variance <= 0:
        return 0.0, 0
    return max(0.0, float((s * s / k).sum() - s.sum() ** 2 / k.sum())) / variance, len(k) - 1


def pair_tables(axes: list[Axis], loss: Floats) -> Iterator[tuple[int, int, Integers, Floats]]:
    """For every two axes, their places, and rows and summed losses of each cell, flat."""
    lossy = np.flatnonzero(loss)
    weights = None if (loss[lossy] == 1).all() else loss[lossy]
    bad = [axis.codes[lossy] for axis in axes]
    for a, b in itertools.combinations(range(len(axes)), 2):
        wide = len(axes[b].labels)
        cells = wide * len(axes[a].labels)
        n = np.bincount(axes[a].codes * wide + axes[b].codes, minlength=cells)
        total = np.bincount(bad[a] * wide + bad[b], weights=weights, minlength=cells).astype(np.float64)
        yield a, b, n, total


def _most_told(half: Half, fewest: int) -> tuple[tuple[int, int], int]:
    axes = [axis_of(column) for column in half.columns]
    usable = [at for at, axis in enumerate(axes) if len(axis.labels) > 1]
    if len(usable) < 2:
        raise InputError(
            "slices: a heat map needs two columns of at least two values that enough rows share; give more columns"
        )
    variance, best = float(half.loss.var()), ((usable[0], usable[1]), -math.inf)
    for a, b, n, total in pair_tables([axes[at] for at in usable], half.loss):
        told, freedom = _told(n, total, variance, fewest)
        score = (told - freedom) / math.sqrt(2 * freedom) if freedom else -math.inf
        if score > best[1]:
            best = (usable[a], usable[b]), score
    return best[0], len(usable) * (len(usable) - 1) // 2


def _filled(
    down: Axis,
    across: Axis,
    loss: Floats,
    binary: bool,
    searched: bool,
    pairs: int,
    minimum_rows: int,
    seed: int,
    confidence: float,
) -> HeatMap:
    shape = len(down.labels), len(across.labels)
    cells = down.codes * shape[1] + across.codes
    n = np.bincount(cells, minlength=shape[0] * shape[1])
    total = np.bincount(cells, weights=loss, minlength=len(n)).astype(np.float64)
    judged = n >= minimum_rows
    level = 1 - (1 - confidence) / max(1, int(judged.sum()))
    lower, upper = np.zeros(len(n)), np.zeros(len(n))
    order = np.argsort(cells, kind="stable")
    parts = np.split(loss[order], np.cumsum(n)[:-1])
    for at in np.flatnonzero(judged).tolist():
        lower[at], upper[at] = mean_interval(parts[at], level, binary)
    inside = judged[cells]
    variance = float(loss[inside].var()) if inside.any() else 0.0
    told, freedom = _told(n, total, variance, minimum_rows)
    p = _by_chance(told, freedom, n[judged], cells[inside], loss[inside], binary, np.random.default_rng([seed, 0x4EA7]))
    share = max(0.0, (told - freedom) / max(1.0, float(inside.sum()) - 1 - freedom)) if freedom else 0.0
    return HeatMap(
        down,
        across,
        n.reshape(shape),
        total.reshape(shape),
        lower.reshape(shape),
        upper.reshape(shape),
        judged.reshape(shape),
        float(loss.mean()),
        p,
        min(1.0, share),
        searched,
        pairs,
        minimum_rows,
        binary,
    )


def _by_chance(
    told: float, freedom: int, n: Integers, cells: Integers, loss: Floats, binary: bool, rng: np.random.Generator
) -> float:
    """How often cells that tell nothing would seem to tell as much."""
    if not freedom:
        return 1.0
    size, total, variance = len(loss), float(loss.sum()), float(loss.var())
    if binary:
        drawn = rng.multivariate_hypergeometric(n, int(total), size=DRAWS, method="marginals").astype(np.float64)
    elif size <= SHUFFLED:
        _, places = np.unique(cells, return_inverse=True)
        drawn = np.array(
            [np.bincount(places, weights=rng.permutation(loss), minlength=len(n)) for _ in range(DRAWS // 2)]
        )
    else:
        return float(chdtrc(freedom, told))
    found = ((drawn * drawn / n).sum(axis=1) - total**2 / size) / variance
    return float((1 + (found >= told - 1e-9 * max(1.0, told)).sum()) / (1 + len(drawn)))
