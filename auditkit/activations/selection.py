"""Selection: which rows are kept while a split streams by, decided by the row alone.

Every row has a priority, a hash of its position and the audit's seed. A reservoir keeps the rows with the smallest
priorities; as the choice depends on no other row, order, batch size and merging cannot change it.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]


def priority(rows: npt.NDArray, seed: int) -> npt.NDArray[np.uint64]:
    """A uniform 64-bit hash per row (SplitMix64 of the position, offset by the seed).

    >>> bool((priority(np.arange(3), 0) == priority(np.arange(3), 0)).all())
    True
    """
    with np.errstate(over="ignore"):
        mixed = (np.asarray(rows).astype(np.uint64) + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
        mixed ^= np.uint64(seed) * np.uint64(0xD1342543DE82EF95)
        mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return mixed ^ (mixed >> np.uint64(31))


def sampled(rows: npt.NDArray, wanted: int, available: int, seed: int) -> npt.NDArray[np.bool_]:
    """Which rows belong to a sample of about `wanted` of `available` rows: those whose hash is small enough."""
    if wanted >= available:
        return np.ones(len(rows), dtype=bool)
    return priority(rows, seed) < np.uint64(int(wanted / available * 2.0**64))


@dataclass
class Reservoir:
    """Keeps the vectors, labels and predictions of at most `size` rows."""

    size: int
    seed: int
    rows: Ints = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    labels: Ints = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    predictions: Ints = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    vectors: npt.NDArray[np.float32] | None = None

    def wants(self, rows: npt.NDArray) -> npt.NDArray[np.int64]:
        """Positions in `rows` that could still be kept, so that only these leave the device."""
        order = np.lexsort((rows, priority(rows, self.seed)))[: self.size]
        if len(self.rows) < self.size:
            return order
        worst = priority(self.rows, self.seed).max()
        return order[priority(rows[order], self.seed) <= worst]

    def update(
        self, rows: npt.NDArray, labels: npt.NDArray, predictions: npt.NDArray, vectors: npt.NDArray[np.float32]
    ) -> None:
        """Take in rows with their labels [n], predictions [n] and vectors [n, width]."""
        self.rows = np.concatenate([self.rows, rows])
        self.labels = np.concatenate([self.labels, labels])
        self.predictions = np.concatenate([self.predictions, predictions])
        self.vectors = vectors if self.vectors is None else np.concatenate([self.vectors, vectors])
        order = np.lexsort((self.rows, priority(self.rows, self.seed)))[: self.size]
        self.rows, self.labels, self.predictions = self.rows[order], self.labels[order], self.predictions[order]
        self.vectors = self.vectors[order]

    def merge(self, other: Reservoir) -> None:
        """Take in what another kept."""
        if other.vectors is not None:
            self.update(other.rows, other.labels, other.predictions, other.vectors)
