"""Resampling the rows of a fairness check: as they were drawn.

Rows drawn one by one are one multinomial draw over the cells of the joint table; rows drawn from strata are one such
draw for each stratum, which keeps its size; rows that come in clusters (several visits of one patient, several loans of
one household) are drawn a whole cluster at a time. The resamples of fewer attributes are sums over the others.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from auditkit.errors import InputError
from auditkit.fairness.counting.columns import Column, as_numbers
from auditkit.fairness.counting.counts import Counts, Floats, GroupCodes, Integers, encode_column
from auditkit.fairness.groups.margin import FEWEST_CLUSTERS, Clusters, Margin
from auditkit.fairness.settings import Settings
from auditkit.statistics.resampling import cluster_replicates, multinomial_replicates, weighted_replicates

MAXIMUM_INTERSECTION = 200


@dataclass(frozen=True)
class Strata:
    """Rows drawn within strata: the counts of each stratum, which add up to those of all rows."""

    parts: tuple[Counts, ...]


@dataclass(frozen=True)
class Clustered:
    """Rows drawn a cluster at a time. held: which cluster holds rows of which cell; total: what they weigh, [entries];
    stratum: int64 [clusters], the stratum of each."""

    held: Clusters
    total: Floats
    stratum: Integers


Design: TypeAlias = Strata | Clustered


def checked_weights(column: pa.Array | None, where: str = "predictions") -> Floats | None:
    """Weights as float64 [n], or None where there are none.

    Raises InputError for weights that are missing, negative, or all zero.

    >>> checked_weights(pa.array([1.5, -1]), "people.csv")
    Traceback (most recent call last):
    ...
    auditkit.errors.InputError: people.csv: sample_weight is negative in 1 of 2 rows, first in row 2; a weight says \
how many people a row stands for
    """
    if column is None:
        return None
    weights = as_numbers(column, "sample_weight", where)
    negative = weights < 0
    if negative.any():
        raise InputError(
            f"{where}: sample_weight is negative in {int(negative.sum()):,} of {len(weights):,} rows, first in row "
            f"{int(negative.argmax()) + 1:,}; a weight says how many people a row stands for"
        )
    if not weights.any():
        raise InputError(f"{where}: every sample_weight is 0; give weights that say how many people a row stands for")
    return weights


def design_of(
    counts: Counts,
    groups: GroupCodes,
    truth: npt.NDArray[np.bool_],
    decision: npt.NDArray[np.bool_],
    weights: Floats | None = None,
    strata: Column | None = None,
    clusters: Column | None = None,
    where: str = "predictions",
) -> Design | None:
    """The design of rows that strata or clusters were named for; None where neither was.

    truth, decision: bool [n]; weights: float64 [n]; strata, clusters: columns of n values, a missing one being a value
    of its own. Raises InputError for a cluster that lies in several strata, and for too few clusters.
    """
    if strata is None and clusters is None:
        return None
    layer = np.zeros(len(truth), dtype=np.int64) if strata is None else encode_column(strata)[0]
    if clusters is None:
        parts = [
            Counts.tally(groups, truth[inside], decision[inside], inside, weights=None if weights is None else
                         weights[inside])
            for inside in (np.flatnonzero(layer == one) for one in np.unique(layer))
        ]  # fmt: skip
        return Strata(tuple(parts))
    codes, names = encode_column(clusters)
    if len(names) < FEWEST_CLUSTERS:
        raise InputError(
            f"{where}: the rows lie in {len(names)} clusters, and fewer than {FEWEST_CLUSTERS} tell too little about "
            "how much clusters differ; leave the clusters out only if rows are independent of each other"
        )
    first = np.full(len(names), -1, dtype=np.int64)
    first[codes] = layer
    if (first[codes] != layer).any():
        torn = names[int(codes[int((first[codes] != layer).argmax())])]
        raise InputError(f"{where}: cluster {torn!r} lies in several strata; a cluster must lie in one")
    flat = (groups.codes * 2 + truth) * 2 + decision
    cells = 4 * len(groups.groups)
    entries, places = np.unique(codes * cells + flat, return_inverse=True)
    total = np.bincount(places.ravel(), weights)
    return Clustered(Clusters(entries // cells, entries % cells), np.asarray(total, dtype=np.float64), first)


class Draws:
    """The resamples of any margin: sums of one joint draw, or a draw of its own where the joint table is too large.

    complete: whether combinations of values that nobody belongs to are groups too, without rows.
    """

    def __init__(self, counts: Counts, settings: Settings, design: Design | None = None, complete: bool = True) -> None:
        self.counts, self.settings, self.design, self.complete = counts, settings, design, complete
        self.rng = np.random.default_rng(settings.seed)

    @cached_property
    def joint(self) -> npt.NDArray | None:
        """The joint table's resamples, where it is not too large."""
        return self._draw(self.counts.attributes) if len(self.counts.groups) <= MAXIMUM_INTERSECTION else None

    def of(self, attributes: Sequence[str]) -> Margin:
        """The margin over some of the attributes."""
        counts = self.counts.margin(attributes)
        held = self._held(attributes) if isinstance(self.design, Clustered) else None
        margin = Margin(counts, self._resamples(attributes, counts), self.design is not None, held)
        return margin.completed(MAXIMUM_INTERSECTION) if self.complete else margin

    def _resamples(self, attributes: Sequence[str], counts: Counts) -> npt.NDArray:
        if self.joint is None:
            return self._draw(attributes)
        _, places = self.counts.places(attributes)
        cells = np.zeros((len(counts.groups), *self.joint.shape[1:]), dtype=self.joint.dtype)
        for source, target in enumerate(places):
            cells[target] += self.joint[source]
        return cells

    def _draw(self, attributes: Sequence[str]) -> npt.NDArray:
        whole = self.counts.margin(attributes)
        if isinstance(self.design, Clustered):
            held, size = self._held(attributes), 4 * len(whole.groups)
            entries = (held.cluster, held.cell, self.design.total)
            drawn = cluster_replicates(entries, size, self.design.stratum, self.settings.replicates, self.rng)
            return drawn.reshape(-1, 2, 2, self.settings.replicates)
        parts = [self.counts] if self.design is None else self.design.parts
        every = [self._rows(part.margin(attributes), whole) for part in parts]
        return every[0] if len(every) == 1 else np.sum(every, axis=0)

    def _rows(self, part: Counts, whole: Counts) -> npt.NDArray:
        """Resamples of one stratum's rows, by the groups of the whole."""
        rows: npt.NDArray = multinomial_replicates(part.cells, self.settings.replicates, self.rng)
        if part.weights is not None:
            rows = weighted_replicates(rows, part.cells, part.weights.total, part.weights.squares, self.rng)
        if part.groups == whole.groups:
            return rows
        drawn = np.zeros((len(whole.groups), *rows.shape[1:]), dtype=rows.dtype)
        drawn[[whole.groups.index(group) for group in part.groups]] = rows
        return drawn

    def _held(self, attributes: Sequence[str]) -> Clusters:
        assert isinstance(self.design, Clustered)
        _, places = self.counts.places(attributes)
        held = self.design.held
        return Clusters(held.cluster, places[held.cell // 4] * 4 + held.cell % 4)
