"""Occlusion: what the score loses when one part alone is replaced by its baseline.

    φ_i = f(x) - f(x with part i at the baseline)

A part is a column of a table or a cell of an image. No gradient is needed, and each number is a change of the score
that really happens. It does not add up where parts interact, or where one can stand in for another.

Source: Zeiler and Fergus, "Visualizing and Understanding Convolutional Networks", ECCV 2014, arXiv:1311.2901.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from auditkit.attribution.explicands import Attribution, Explicands
from auditkit.engine.rows import Plan, RowEngine, Rows


def occlusion(engine: RowEngine, explicands: Explicands) -> Attribution:
    """Attributions of every row from one forward row per part."""
    given, partition = explicands.given, explicands.partition
    parts = len(partition.parts)

    def build(index: Tensor) -> Rows:
        example, part = index // parts, index % parts
        rows = given.take(example)
        points = []
        for x, b, label in zip(rows.points, explicands.baseline.points, partition.labels, strict=True):
            hidden = label[None] == part.reshape(-1, *[1] * label.ndim)
            points.append(torch.where(hidden, b, x))
        return Rows(tuple(points), rows.contrast)

    without = engine.scores(Plan(len(explicands) * parts, build)).reshape(len(explicands), parts)
    values = explicands.scores[:, None] - without
    maps = None
    if explicands.shape is not None:
        cells = partition.labels[0][0]
        sizes = torch.bincount(cells.flatten(), minlength=parts)
        maps = (values / sizes)[:, cells.flatten()].reshape(len(explicands), *cells.shape)
    return Attribution(values, np.full(len(explicands), parts, dtype=np.int64), maps)
