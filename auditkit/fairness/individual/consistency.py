"""Consistency: are people who are alike decided alike? Decisions beside those of the nearest neighbours.

    consistency = 1 - mean over rows i of | ŷ_i - mean of ŷ over the k nearest neighbours of i |

(Zemel, Wu, Swersky, Pitassi and Dwork 2013, "Learning Fair Representations", ICML, section 5). Numbers are
standardised, categories become one column of 0 and 1 each, nearness is Euclidean, neighbours are exact. A row is no
neighbour of itself; AIF360 counts it as one, which lifts the value: for k neighbours of its own, a row's distance from
its neighbours' mean shrinks by (k - 1)/k. Where several rows tie for the last places, the mean over all of them takes
these places, so that the order of rows does not matter.

What counts as alike is decided by the features and their scaling, not by this number: with a proxy of the attribute
among the features, unequal treatment is perfectly consistent. The interval takes neighbours as given and rows as
drawn one by one; rows share neighbours, so that it is a little too narrow where decisions cluster.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from auditkit.errors import InputError
from auditkit.evidence.metrics import Caveat, Findings, MetricRow
from auditkit.fairness.counting.columns import Column, as_column, numbers_of
from auditkit.fairness.counting.counts import GroupCodes, encode_column
from auditkit.fairness.outcomes.averages import Average
from auditkit.fairness.outcomes.comparisons import groupings
from auditkit.fairness.settings import Settings

Floats = npt.NDArray[np.float64]
NEIGHBOURS = 5
MAXIMUM_ROWS = 10_000
MAXIMUM_CATEGORIES = 200
CHUNK = 512
TIE = 1e-9


@dataclass(frozen=True)
class Space:
    """Rows as points. points: float64 [n, dimensions]; left_out: columns that tell no one apart, or too many."""

    points: Floats
    left_out: tuple[str, ...] = ()
    filled: tuple[tuple[str, int], ...] = ()


def space(columns: Mapping[str, Column]) -> Space:
    """Numbers standardised (missing ones at the mean), categories and truth values one column of 0 and 1 each.

    A column with one value, or with more than 200 categories, is left out. Raises InputError where none is left.

    >>> space({"age": pa.array([1, 3]), "town": pa.array(["a", "b"])}).points.tolist()
    [[-1.0, 1.0, 0.0], [1.0, 0.0, 1.0]]
    """
    parts: list[Floats] = []
    left_out, filled = [], []
    for name, given in columns.items():
        column = as_column(given, name)
        kind = column.type
        if pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind):
            floats = column.cast(pa.float64(), safe=False)
            values = numbers_of(floats.fill_null(np.nan), np.float64).copy()
            known = np.isfinite(values)
            spread = values[known].std() if known.any() else 0.0
            if not spread > 0:
                left_out.append(name)
                continue
            if not known.all():
                filled.append((name, int((~known).sum())))
            mean = values[known].mean()
            parts.append((np.where(known, values, mean) - mean)[:, None] / spread)
        else:
            codes, names = encode_column(column)
            if not 2 <= len(names) <= MAXIMUM_CATEGORIES:
                left_out.append(name)
                continue
            parts.append(np.eye(len(names))[codes])
    if not parts:
        raise InputError("consistency needs a feature by which people differ; none of the columns given is one")
    return Space(np.concatenate(parts, axis=1), tuple(left_out), tuple(filled))


def neighbour_means(points: Floats, decision: npt.ArrayLike, k: int = NEIGHBOURS, itself: bool = False) -> Floats:
    """The mean decision of every row's k nearest neighbours, float64 [n]; ties share the last places evenly.

    points: [n, d]; decision: numbers [n]. itself: whether a row counts among its own neighbours, as in AIF360.
    Raises ValueError where there are not enough rows.

    >>> neighbour_means(np.array([[0.0], [1.0], [3.0]]), [1, 0, 0], k=1).tolist()
    [0.0, 1.0, 0.0]
    """
    y, n = np.asarray(decision, dtype=np.float64), len(points)
    if not 1 <= k <= n - (not itself):
        raise ValueError(f"{n} rows have no {k} neighbours each")
    means, squares = np.zeros(n), (points**2).sum(axis=1)
    for start in range(0, n, CHUNK):
        some = np.arange(start, min(start + CHUNK, n))
        apart = squares[some, None] + squares - 2 * points[some] @ points.T
        np.maximum(apart, 0.0, out=apart)
        if not itself:
            apart[np.arange(len(some)), some] = np.inf
        last = np.partition(apart, k - 1, axis=1)[:, k - 1 : k]
        slack = TIE * (1 + squares[some, None])
        nearer = apart < last - slack
        tied = (apart <= last + slack) & ~nearer
        places = k - nearer.sum(axis=1)
        means[some] = (nearer @ y + places * (tied @ y) / tied.sum(axis=1)) / k
    return means


def consistency_findings(
    columns: Mapping[str, Column],
    decision: npt.ArrayLike,
    groups: GroupCodes,
    settings: Settings,
    k: int = NEIGHBOURS,
    maximum_rows: int = MAXIMUM_ROWS,
) -> Findings:
    """Consistency overall and by group, and the largest difference between groups.

    columns: features, name → [n]. decision: 0 or 1 [n] (or a score). At most `maximum_rows` rows, drawn by the seed,
    are looked at, and a caveat says so.
    """
    y = np.asarray(decision, dtype=np.float64)
    lengths = {len(column) for column in columns.values()}
    if lengths - {len(y)} or len(groups.codes) != len(y):
        raise InputError(f"consistency: features, groups and the {len(y):,} decisions must be of the same rows")
    caveats: list[Caveat] = []
    rows = np.arange(len(y))
    if len(y) > maximum_rows:
        rng = np.random.default_rng([*settings.seed, zlib.crc32(b"consistency")])
        rows = np.sort(rng.choice(len(y), maximum_rows, replace=False))
        text = f"consistency was measured among {maximum_rows:,} of {len(y):,} rows, drawn at random"
        caveats.append(Caveat("fairness", text, "fairness/consistency", "note"))
    taken = pa.array(rows)
    try:
        if len(rows) <= k:
            raise InputError(f"{len(rows)} rows have no {k} neighbours each")
        found = space({name: column.take(taken) for name, column in columns.items()})
    except InputError as problem:
        row = MetricRow("fairness", "consistency", status="insufficient", reason=str(problem))
        return Findings(metrics=[row], caveats=caveats)
    caveats += list(_caveats(found, len(rows)))
    apart = np.abs(y[rows] - neighbour_means(found.points, y[rows], k))
    metrics: list[MetricRow] = []
    every, _ = groupings(groups, settings)
    for grouping in every:
        codes = grouping.places[groups.codes[rows]]
        average = _average(apart, codes, len(grouping.names), k, settings)
        metrics += average.group_rows(grouping, settings)
        if grouping.attribute:
            metrics.append(average.gap_row(grouping, settings))
    return Findings(metrics=metrics, caveats=caveats)


def _caveats(found: Space, rows: int) -> Sequence[Caveat]:
    made = []
    if found.left_out:
        names = ", ".join(map(repr, found.left_out[:8]))
        text = f"columns with one value, or more than {MAXIMUM_CATEGORIES} categories, do not say who is alike: {names}"
        made.append(Caveat("fairness", text, "fairness/consistency", "note"))
    if found.filled:
        names = ", ".join(f"{name} ({count:,} of {rows:,})" for name, count in found.filled[:8])
        text = f"missing numbers were taken for the mean when looking for neighbours: {names}"
        made.append(Caveat("fairness", text, "fairness/consistency", "note"))
    return made


def _average(apart: Floats, codes: npt.NDArray, groups: int, k: int, settings: Settings) -> Average:
    n = np.bincount(codes, minlength=groups)
    rows = np.maximum(n, 1)
    mean = np.bincount(codes, apart, minlength=groups) / rows
    spread = np.maximum(np.bincount(codes, apart**2, minlength=groups) / rows - mean**2, 0.0)
    smoothed = (mean * n + 1 / k) / (n + 1)
    error = np.sqrt(np.where(spread > 0, spread, smoothed / k) / rows)
    reasons = [f"only {found} rows, fewer than the {settings.minimum_group} needed to judge"
               if found < max(2, settings.minimum_group) else "" for found in n.tolist()]  # fmt: skip
    how = f"{k} nearest neighbours, a row not among its own; standard error over rows, neighbours taken as given"
    return Average("consistency", 1 - mean, error, n, reasons, how=how)
