"""A bounded sample of rows that does not depend on the order in which they came.

Every row has a priority, a hash of the seed and its place in the split; the bank keeps the rows with the smallest. It
is a simple random sample without replacement, and two banks merged are the bank of all rows together.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from torch import Tensor

Priorities = npt.NDArray[np.uint64]


def priorities(rows: npt.NDArray[np.int64], seed: int) -> Priorities:
    """A well-mixed 64-bit number for each row: the SplitMix64 finaliser (Steele, Lea and Flood, OOPSLA 2014).

    >>> priorities(np.arange(2), seed=0).tolist()
    [16294208416658607535, 7960286522194355700]
    """
    with np.errstate(over="ignore"):
        z = (rows.astype(np.uint64) + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
        z = z + np.uint64(seed % 2**64) * np.uint64(0xD1B54A32D192ED03)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return z ^ (z >> np.uint64(31))


class Bank:
    """At most `size` row vectors, float32 [rows, width], in the order of their priorities."""

    def __init__(self, size: int, seed: int) -> None:
        self.size, self.seed = size, seed
        self.keys: Priorities = np.zeros(0, dtype=np.uint64)
        self.vectors: npt.NDArray[np.float32] = np.zeros((0, 0), dtype=np.float32)

    def update(self, vectors: Tensor, rows: npt.NDArray[np.int64]) -> None:
        """Take in [n, width] with the rows' places in the split."""
        if len(rows) == 0:
            return
        keys = priorities(rows, self.seed)
        if len(self.keys) == self.size:
            wanted = np.flatnonzero(keys < self.keys[-1])
            if len(wanted) == 0:
                return
            vectors, keys = vectors[wanted], keys[wanted]
        self._keep(keys, vectors.float().cpu().numpy())

    def merge(self, other: Bank) -> None:
        """Take in what another has kept."""
        if len(other.keys):
            self._keep(other.keys, other.vectors)

    def _keep(self, keys: Priorities, vectors: npt.NDArray[np.float32]) -> None:
        if len(self.keys):
            keys, vectors = np.concatenate([self.keys, keys]), np.concatenate([self.vectors, vectors])
        order = np.argsort(keys, kind="stable")[: self.size]
        self.keys, self.vectors = keys[order], vectors[order]
