"""Occlusion: what the score loses when one part alone is replaced by its baseline.

    φ_i = f(x) - f(x with part i at the baseline)

A part is a column of a table, a cell of an image, a word of a text or a window of time in a channel of a series. No
gradient is needed, and each number is a change of the score that really happens. It does not add up where parts
interact, or where one can stand in for another.

Source: Zeiler and Fergus, "Visualizing and Understanding Convolutional Networks", ECCV 2014, arXiv:1311.2901.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from auditkit.attribution.explicands import Explicands, PartAttribution
from auditkit.attribution.method import Method, space_allows
from auditkit.engine.rows import Plan, Rows, Scorer


@dataclass(frozen=True, slots=True)
class _Columns:
    """Which numbers of a flattened point belong to each part.

    order: the numbers' places, sorted by part. first, size: int64 [parts]. single: whether each part has one number.
    """

    order: Tensor
    first: Tensor
    size: Tensor
    single: bool

    @classmethod
    def of(cls, label: Tensor, parts: int) -> _Columns:
        """label: int64, the part of each number."""
        size = torch.bincount(label.flatten(), minlength=parts)
        order = label.flatten().argsort(stable=True)
        return cls(order, size.cumsum(0) - size, size, bool((size == 1).all()))

    def at(self, part: Tensor) -> tuple[Tensor, Tensor]:
        """Rows and columns of the numbers that belong to part i in row i; part: int64 [rows]."""
        row = torch.arange(len(part), device=part.device)
        if self.single:
            return row, self.order[part]
        size = self.size[part]
        row = row.repeat_interleave(size)
        within = torch.arange(len(row), device=part.device) - (size.cumsum(0) - size)[row]
        return row, self.order[self.first[part][row] + within]


def occlusion(engine: Scorer, explicands: Explicands) -> PartAttribution:
    """Attributions of every row from one forward row per part."""
    given, partition = explicands.given, explicands.partition
    examples, parts = explicands.places.unbind(dim=1)

    columns = [_Columns.of(label, len(partition.parts)) for label in partition.labels]

    def build(index: Tensor) -> Rows:
        example, part = examples[index], parts[index]
        rows, points = given.take(example), []
        for x, b, hidden in zip(rows.points, explicands.baseline.points, columns, strict=True):
            row, column = hidden.at(part)
            flat, other = x.flatten(1), b.flatten(1)
            flat[row, column] = other[0, column] if len(other) == 1 else other[example[row], column]
            points.append(flat.reshape(x.shape))
        return Rows(tuple(points), rows.contrast, rows.held)

    without = engine.scores(Plan(len(parts), build))
    values = torch.zeros((len(explicands), len(partition.parts)), dtype=torch.float64, device=without.device)
    values[examples, parts] = explicands.scores[examples] - without
    maps, cells = None, explicands.cells
    if cells is not None:
        sizes = torch.bincount(cells.flatten(), minlength=len(partition.parts))
        maps = (values / sizes)[:, cells.flatten()].reshape(len(explicands), *cells.shape)
    evaluations = torch.bincount(examples, minlength=len(explicands))
    return PartAttribution(values, evaluations.cpu().numpy(), maps)


METHOD = Method(
    name="occlusion",
    title="Occlusion",
    complete=False,
    signed=True,
    direction="positive: the target falls when the part is replaced by its baseline",
    cost="1 forward row per column, cell, word or window",
    run=lambda engine, rows, _told: occlusion(engine, rows),
    valid_for=space_allows,
    slopes=False,
)
