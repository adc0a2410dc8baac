"""Rows to score: every example with every coalition (and every background row), in this order.

A row is `mask · x + (1 - mask) · other`, in which one of the two is an exact 0, so that present numbers are the row's
own to the last digit. Where a batch holds all rows they are made by broadcasting; any others by their numbers.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from auditkit.attribution.partition import Partition
from auditkit.engine.rows import Rows
from auditkit.engine.space import Points

MASKS = 2**24
"""numbers of masks that are kept for all rows; more are made with each batch"""


@dataclass(frozen=True, slots=True)
class CoalitionRows:
    """What rows of k examples and m coalitions are made of.

    given: the examples. absent: what their parts are where they are absent, [1, ...] or [k, ...]; of the interventional
    game the background, [b, ...]. seats: int64 [k, players]. coalitions: bool [m, players]. masks: of `masks_of`.
    """

    given: Rows
    absent: Points
    interventional: bool
    seats: Tensor
    coalitions: Tensor
    partition: Partition
    masks: Points | None

    @property
    def shape(self) -> tuple[int, int, int]:
        """Examples, coalitions, background rows."""
        return len(self.given), len(self.coalitions), len(self.absent[0]) if self.interventional else 1

    def build(self, index: Tensor) -> Rows:
        """The rows of these numbers: int64 [n], in order where they are all."""
        k, m, b = self.shape
        return self._every() if len(index) == k * m * b else self._some(index)

    def _every(self) -> Rows:
        k, m, b = self.shape
        masks = self.masks
        if masks is None:
            masks = self._made(self.seats[:, None].expand(k, m, -1), self.coalitions.expand(k, m, -1))
        points = []
        for x, other, mask in zip(self.given.points, self.absent, masks, strict=True):
            present = mask.unsqueeze(-x.ndim)  # beside the background
            apart = other[None, None] if self.interventional else other[:, None, None]
            points.append(torch.addcmul((1 - present) * apart, present, x[:, None, None]).flatten(0, 2))
        held = tuple(part.repeat_interleave(m * b, dim=0) for part in self.given.held)
        return Rows(tuple(points), self.given.contrast.repeat_interleave(m * b, dim=0), held)

    def _some(self, index: Tensor) -> Rows:
        _, m, b = self.shape
        place, coalition = index // (m * b), index // b % m
        if self.masks is None:
            masks = self._made(self.seats[place], self.coalitions[coalition])
        else:
            masks = tuple(mask.index_select(0, coalition) for mask in self.masks)
        rows, points = self.given.take(place), []
        for x, other, mask in zip(rows.points, self.absent, masks, strict=True):
            apart = other[index % b] if self.interventional else other if len(other) == 1 else other[place]
            points.append(torch.addcmul((1 - mask) * apart, mask, x))
        return Rows(tuple(points), rows.contrast, rows.held)

    def _made(self, seats: Tensor, coalitions: Tensor) -> Points:
        parts = len(self.partition.parts)
        present = torch.zeros((*coalitions.shape[:-1], parts), dtype=torch.bool, device=seats.device)
        return _spread(present.scatter_(-1, seats, coalitions), self.given.points, self.partition)


def masks_of(coalitions: Tensor, points: Points, partition: Partition) -> Points | None:
    """For each point tensor [m, ...]: 1 where a number is present, 0 where it is not. coalitions: bool [m, parts].

    None where some parts are no players, or where masks would take too much memory.
    """
    numbers = sum(label.numel() for label in partition.labels)
    if coalitions.shape[1] != len(partition.parts) or len(coalitions) * numbers > MASKS:
        return None
    return _spread(coalitions, points, partition)


def _spread(present: Tensor, points: Points, partition: Partition) -> Points:
    return tuple(present[..., label].to(x.dtype) for x, label in zip(points, partition.labels, strict=True))
