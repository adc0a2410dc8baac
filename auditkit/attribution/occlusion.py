"""Occlusion: what the score loses when one part alone is replaced by its baseline.

    φ_i = f(x) - f(x with part i at the baseline)

A part is a column of a table, a cell of an image, a word of a text or a window of time in a channel of a series. No
gradient is needed, and each number is a change of the score that really happens. It does not add up where parts
interact, or where one can stand in for another.

Source: Zeiler and Fergus, "Visualizing and Understanding Convolutional Networks", ECCV 2014, arXiv:1311.2901.
"""

from __future__ import annotations

import torch
from torch import Tensor

from auditkit.attribution.explicands import Explicands, PartAttribution
from auditkit.attribution.method import Method, space_allows
from auditkit.engine.rows import Plan, Rows, Scorer


def occlusion(engine: Scorer, explicands: Explicands) -> PartAttribution:
    """Attributions of every row from one forward row per part."""
    given, partition, places = explicands.given, explicands.partition, explicands.places

    def build(index: Tensor) -> Rows:
        example, part = places[index].unbind(dim=1)
        rows = given.take(example)
        points = []
        for x, b, label in zip(rows.points, explicands.baseline.take(example), partition.labels, strict=True):
            hidden = label[None] == part.reshape(-1, *[1] * label.ndim)
            points.append(torch.where(hidden, b, x))
        return Rows(tuple(points), rows.contrast, rows.held)

    example, part = places.unbind(dim=1)
    without = engine.scores(Plan(len(places), build))
    values = torch.zeros((len(explicands), len(partition.parts)), dtype=torch.float64, device=without.device)
    values[example, part] = explicands.scores[example] - without
    maps, cells = None, explicands.cells
    if cells is not None:
        sizes = torch.bincount(cells.flatten(), minlength=len(partition.parts))
        maps = (values / sizes)[:, cells.flatten()].reshape(len(explicands), *cells.shape)
    evaluations = torch.bincount(example, minlength=len(explicands))
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
