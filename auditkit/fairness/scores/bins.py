"""Score counts: how many rows fall in each cell of group × label × bin of the score. All that scores need kept.

Scores in [0, 1] are cut at equally spaced edges k / bins, each bin closed below and open above, the last one closed,
so that `score >= edges[k]` is the same as lying in bin k or above and every threshold on an edge is exact. Besides its
rows a cell keeps four sums, of the score, its square, the log loss and its square, so that mean score, Brier score, log
loss and their standard errors are those of the rows themselves and not of bin centres. Everything adds up: the counts
of two halves, merged, are those of the whole, and fewer attributes are sums over the others.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from auditkit.errors import InputError
from auditkit.fairness.counting.counts import Counts, Group, GroupCodes, Integers, joined

Floats = npt.NDArray[np.float64]
BINS = 200
SUMS = ("score", "score_squared", "log_loss", "log_loss_squared")
_COLUMNS = ("group", "label", "bin", "rows", *SUMS)
_METADATA = b"auditkit_score_counts"


def checked_scores(scores: npt.ArrayLike, where: str = "scores") -> Floats:
    """Scores as float64 [n], all in [0, 1]. Raises InputError that says what other numbers look like.

    >>> checked_scores([2.0, 97.5])
    Traceback (most recent call last):
    ...
    auditkit.errors.InputError: scores: scores go from 2 to 97.5, but must lie between 0 and 1; they look like \
percentages: divide them by 100
    """
    values = np.asarray(scores, dtype=np.float64)
    if values.ndim != 1:
        raise InputError(f"{where}: scores have {values.ndim} dimensions; give one number for each row")
    wrong = ~np.isfinite(values)
    if wrong.any():
        raise InputError(
            f"{where}: scores are missing or infinite in {int(wrong.sum()):,} of {len(values):,} rows, first in row "
            f"{int(wrong.argmax()) + 1:,}; remove these rows or correct them"
        )
    if len(values) and (values.min() < 0 or values.max() > 1):
        low, high = float(values.min()), float(values.max())
        raise InputError(
            f"{where}: scores go from {low:g} to {high:g}, but must lie between 0 and 1; {_looks_like(low, high)}"
        )
    return values


def _looks_like(low: float, high: float) -> str:
    if low >= -1e-6 and high <= 1 + 1e-6:
        return "they are off by rounding: clip them to [0, 1]"
    if low < 0:
        return "they look like logits or margins: turn them into probabilities first (sigmoid), or calibrate the model"
    if high <= 100:
        return "they look like percentages: divide them by 100"
    return "they look like points of a scorecard: give the probabilities they stand for"


@dataclass(frozen=True)
class ScoreCounts:
    """Rows by group, label and score bin. cells: int64 [groups, label, bin]; sums: float64 [4, groups, label, bin].

    >>> from auditkit.fairness.counting.counts import encode_groups
    >>> groups = encode_groups({"sex": pa.array(["f", "m", "f"])}, "here")
    >>> counts = ScoreCounts.tally(groups, np.array([True, False, False]), [0.9, 0.1, 1.0], bins=2)
    >>> counts.cells.tolist()
    [[[0, 1], [0, 1]], [[1, 0], [0, 0]]]
    """

    attributes: tuple[str, ...]
    groups: tuple[Group, ...]
    cells: Integers
    sums: Floats

    @classmethod
    def tally(
        cls,
        groups: GroupCodes,
        truth: npt.NDArray[np.bool_],
        scores: npt.ArrayLike,
        bins: int = BINS,
        rows: Integers | None = None,
        where: str = "scores",
    ) -> Self:
        """Count rows in one pass. truth: bool [n]; scores: [n] in [0, 1]; rows: their places in `groups.codes` (all).

        Raises InputError for scores outside [0, 1] or of another length.
        """
        if bins < 2:
            raise InputError(f"bins must be at least 2, got {bins}")
        values = checked_scores(scores, where)
        codes = groups.codes if rows is None else groups.codes[rows]
        label = np.asarray(truth, dtype=bool)
        if not len(values) == len(label) == len(codes):
            raise InputError(
                f"{where}: {len(values):,} scores, {len(label):,} labels and {len(codes):,} rows of groups; give one "
                "of each for every row"
            )
        flat = (codes * 2 + label) * bins + bin_of(values, bins)
        shape = (len(groups.groups), 2, bins)
        size = int(np.prod(shape))
        tiny = np.finfo(np.float64).eps
        loss = -np.log(np.clip(np.where(label, values, 1 - values), tiny, 1))
        sums = [np.bincount(flat, weights=what, minlength=size) for what in (values, values**2, loss, loss**2)]
        cells = np.bincount(flat, minlength=size).astype(np.int64).reshape(shape)
        return cls(
            groups.attributes, groups.groups, cells, np.array(sums, dtype=np.float64).reshape((len(SUMS), *shape))
        )

    @property
    def bins(self) -> int:
        """How many bins there are."""
        return int(self.cells.shape[2])

    @property
    def edges(self) -> Floats:
        """The edges of the bins, float64 [bins + 1]."""
        return edges_of(self.bins)

    @property
    def names(self) -> list[str]:
        """The groups' names, such as `Female × Black`."""
        return [joined(group) for group in self.groups]

    @property
    def rows(self) -> int:
        """How many rows were counted."""
        return int(self.cells.sum())

    def decided(self, places: npt.ArrayLike) -> Counts:
        """Counts by decision, positive from bin `places` upwards. places: one for all, or one per group; 0 to bins."""
        reached = np.arange(self.bins) >= np.broadcast_to(places, (len(self.groups),))[:, None, None]
        positive = (self.cells * reached).sum(axis=2)
        cells = np.stack([self.cells.sum(axis=2) - positive, positive], axis=2)
        return Counts(self.attributes, self.groups, cells)

    def merge(self, other: ScoreCounts) -> ScoreCounts:
        """The counts of both together; groups are those that occur in either, in sorted order."""
        if self.attributes != other.attributes or self.bins != other.bins:
            raise ValueError(
                f"score counts over {self.attributes} in {self.bins} bins and {other.attributes} in {other.bins} "
                "cannot be added"
            )
        groups = tuple(sorted({*self.groups, *other.groups}))
        cells = np.zeros((len(groups), 2, self.bins), dtype=np.int64)
        sums = np.zeros((len(SUMS), *cells.shape))
        for part in (self, other):
            to = [groups.index(group) for group in part.groups]
            cells[to] += part.cells
            sums[:, to] += part.sums
        return ScoreCounts(self.attributes, groups, cells, sums)

    def margin(self, attributes: Sequence[str]) -> ScoreCounts:
        """The counts over some of the attributes, or over none: then one group `()` of everybody."""
        groups, to = self.decided(0).places(attributes)
        cells = np.zeros((len(groups), 2, self.bins), dtype=np.int64)
        sums = np.zeros((len(SUMS), *cells.shape))
        np.add.at(cells, to, self.cells)
        for total, part in zip(sums, self.sums, strict=True):
            np.add.at(total, to, part)
        return ScoreCounts(tuple(attributes), groups, cells, sums)

    def to_table(self) -> pa.Table:
        """One record per filled cell; attributes, groups and bins stand in the schema's metadata."""
        at, label, place = np.nonzero(self.cells)
        columns = {
            "group": pa.array([list(self.groups[g]) for g in at], pa.list_(pa.string())),
            "label": label,
            "bin": place,
            "rows": self.cells[at, label, place],
            **{name: self.sums[which, at, label, place] for which, name in enumerate(SUMS)},
        }
        about = {"attributes": list(self.attributes), "groups": [list(g) for g in self.groups], "bins": self.bins}
        return pa.table(columns).replace_schema_metadata({_METADATA: json.dumps(about).encode()})

    @classmethod
    def from_table(cls, table: pa.Table) -> Self:
        """The inverse of `to_table`. Raises InputError for a table that did not come from there."""
        about = (table.schema.metadata or {}).get(_METADATA)
        if about is None or not set(_COLUMNS) <= set(table.column_names):
            raise InputError("this is no table of score counts; give one that `ScoreCounts.to_table` made")
        told = json.loads(about)
        groups = tuple(tuple(group) for group in told["groups"])
        cells = np.zeros((len(groups), 2, told["bins"]), dtype=np.int64)
        sums = np.zeros((len(SUMS), *cells.shape))
        lookup = {group: at for at, group in enumerate(groups)}
        at = np.array([lookup[tuple(group)] for group in table.column("group").to_pylist()], dtype=np.int64)
        label, place = (table.column(name).to_numpy() for name in ("label", "bin"))
        cells[at, label, place] = table.column("rows").to_numpy()
        for which, name in enumerate(SUMS):
            sums[which, at, label, place] = table.column(name).to_numpy()
        return cls(tuple(told["attributes"]), groups, cells, sums)


def edges_of(bins: int) -> Floats:
    """The edges k / bins, float64 [bins + 1]: the nearest number to each, so that 0.29 is an edge of 100 bins."""
    return np.arange(bins + 1) / bins


def bin_of(scores: Floats, bins: int) -> Integers:
    """The bin of each score in [0, 1]: the last k with edges[k] <= score; 1 lies in the last bin.

    >>> bin_of(np.array([0.0, 0.28, 0.29, 1.0]), 100).tolist()
    [0, 28, 29, 99]
    """
    edges = edges_of(bins)
    place = np.minimum((scores * bins).astype(np.int64), bins - 1)
    place -= scores < edges[place]
    place += (scores >= edges[place + 1]) & (place < bins - 1)
    return place
