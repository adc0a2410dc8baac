"""Streamed means and scatter matrices of row vectors, per class and around all classes' means together.

Batches are centred before they are squared and joined by the pairwise update of Chan, Golub and LeVeque (1983, The
American Statistician 37(3), 242-247), in float64, so that any order and any split of the rows gives the same moments.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

Floats = npt.NDArray[np.float64]


class ClassMoments:
    """Counts and means per class, and the scatter of rows around the mean of their own class.

    counts: [classes]; means: [classes, width], zero for a class without rows; within: [width, width], a sum (not
    divided by n). Width is known once rows have come.
    """

    def __init__(self, classes: int) -> None:
        self.counts: Floats = np.zeros(classes)
        self.means: Floats = np.zeros((classes, 0))
        self.within: Floats = np.zeros((0, 0))

    @property
    def rows(self) -> int:
        """How many rows were seen."""
        return int(self.counts.sum())

    @property
    def width(self) -> int:
        """How long the vectors are; 0 before any came."""
        return self.means.shape[1]

    def update(self, vectors: Tensor, places: Tensor) -> None:
        """Take in finite rows [n, width] with their class places, int64 [n]."""
        if len(vectors) == 0:
            return
        exact = vectors.double()
        part = ClassMoments(len(self.counts))
        counts = torch.bincount(places, minlength=len(self.counts)).double()
        sums = exact.new_zeros(len(self.counts), exact.shape[1]).index_add_(0, places, exact)
        means = sums / counts.clamp(min=1)[:, None]
        centred = exact - means[places]
        part.counts, part.means = counts.cpu().numpy(), means.cpu().numpy()
        part.within = (centred.T @ centred).cpu().numpy()
        self.merge(part)

    def merge(self, other: ClassMoments) -> None:
        """Take in what another has seen."""
        if other.rows == 0:
            return
        if self.rows == 0:
            self.counts, self.means = other.counts.copy(), other.means.copy()
            self.within = other.within.copy()
            return
        total = self.counts + other.counts
        share = other.counts / np.maximum(total, 1)
        step = other.means - self.means
        self.within = self.within + other.within + (step * (self.counts * share)[:, None]).T @ step
        self.means = self.means + step * share[:, None]
        self.counts = total

    @property
    def mean(self) -> Floats:
        """The mean of all rows, [width]."""
        return self.counts @ self.means / max(self.rows, 1)

    @property
    def total(self) -> Floats:
        """The scatter of all rows around their common mean, [width, width]: within plus between the classes."""
        between = self.means - self.mean
        return self.within + (between * self.counts[:, None]).T @ between
