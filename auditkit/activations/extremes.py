"""Extremes: the rows that activate each unit most, kept while a split streams by.

For each unit the k largest values with their rows; equal values are ordered by row, so that order, batch size and
merging cannot change the answer. Rows in which the unit is at its largest say what it responds to.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from torch import Tensor


class TopRows:
    """values float64, rows, labels and predictions int64, all [k, units], best first."""

    def __init__(self, k: int) -> None:
        self.k = k
        self.values: npt.NDArray[np.float64] = np.zeros((0, 0))
        self.rows: npt.NDArray[np.int64] = np.zeros((0, 0), dtype=np.int64)
        self.labels = self.predictions = self.rows

    def update(self, vectors: Tensor, rows: npt.NDArray, labels: npt.NDArray, predictions: npt.NDArray) -> None:
        """Take in [n, units] with the rows' positions, labels and predictions [n]."""
        order = np.argsort(rows, kind="stable")
        sorted_vectors = vectors[_index(order, vectors)]
        count = min(self.k, len(order))
        best, where = sorted_vectors.sort(dim=0, descending=True, stable=True)
        places = order[where[:count].cpu().numpy()]
        part = TopRows(self.k)
        part.values = best[:count].double().cpu().numpy()
        part.rows, part.labels, part.predictions = rows[places], labels[places], predictions[places]
        self.merge(part)

    def merge(self, other: TopRows) -> None:
        """Take in what another kept."""
        if other.values.size == 0:
            return
        if self.values.size == 0:
            self.values, self.rows = other.values, other.rows
            self.labels, self.predictions = other.labels, other.predictions
            return
        values = np.concatenate([self.values, other.values])
        rows = np.concatenate([self.rows, other.rows])
        order = np.lexsort((rows, -values), axis=0)[: self.k]
        self.labels = np.take_along_axis(np.concatenate([self.labels, other.labels]), order, axis=0)
        self.predictions = np.take_along_axis(np.concatenate([self.predictions, other.predictions]), order, axis=0)
        self.values, self.rows = (np.take_along_axis(part, order, axis=0) for part in (values, rows))


def _index(order: npt.NDArray, like: Tensor) -> Tensor:
    import torch

    return torch.from_numpy(order).to(like.device)
