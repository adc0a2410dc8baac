"""Score-CAM: each channel is weighted by the score of the picture (or series) seen through it, without any gradient.

    H_k = A_k scaled up to the row, from 0 to 1,   s_k = f(b + H_k (x - b)),   map = max(0, Σ_k softmax(s)_k A_k)

A channel that lights up where the evidence lies leaves the score high when only what it lights up is left of the
picture, the rest being the baseline b. A channel that is the same everywhere hides nothing and says nothing: it gets
no weight. Because weights come from a softmax they depend on the scale of the score: where it runs over many units, one
channel takes all. The map shows places only and does not add up to the score. It takes one forward row per channel.

Source: Wang et al., "Score-CAM", CVPR Workshops 2020, arXiv:1910.01279.
"""

from __future__ import annotations

import torch
from torch import Tensor

from auditkit.attribution.cam.layer import layer_of, maps_allow, placed, scaled_up, shown
from auditkit.attribution.explicands import Explicands, PartAttribution
from auditkit.attribution.method import Method
from auditkit.engine.rows import Plan, Rows, Scorer


def score_cam(engine: Scorer, explicands: Explicands, layer: str | None = None) -> PartAttribution:
    """Non-negative maps of every row; parts add up their pixels. layer: by name, the last convolution where None.

    Raises InputError for a layer that shows no maps.
    """
    read, given, parts = layer_of(engine, explicands, layer), explicands.given, []
    for index, batch in engine.batches(len(explicands), lambda index: shown(engine, read, given.take(index))):
        engine.count(len(index))
        parts.append(batch)
    maps = torch.cat(parts)
    channels = maps.shape[1]
    varied = maps.amax(dim=(2, 3)) > maps.amin(dim=(2, 3))

    def build(index: Tensor) -> Rows:
        example, channel = index // channels, index % channels
        rows = given.take(example)
        (x,), (b,) = rows.points, explicands.baseline.take(example)
        mask = from_0_to_1(scaled_up(maps[example, channel], x))
        return Rows((b + mask * (x - b),), rows.contrast)

    scores = engine.scores(Plan(len(maps) * channels, build)).reshape(len(maps), channels)
    weights = torch.softmax(scores.masked_fill(~varied, -torch.inf), dim=1).nan_to_num(0.0)
    found = (weights[:, :, None, None] * maps.double()).sum(dim=1).relu()
    return placed(explicands, found, evaluations=1 + channels)


def from_0_to_1(maps: Tensor) -> Tensor:
    """Maps [n, ...] moved and scaled so that each runs from 0 to 1; 0 everywhere for one without a range.

    >>> from_0_to_1(torch.tensor([[2.0, 4.0, 6.0]])).tolist()
    [[0.0, 0.5, 1.0]]
    """
    every = tuple(range(1, maps.ndim))
    low = maps.amin(dim=every, keepdim=True)
    wide = maps.amax(dim=every, keepdim=True) - low
    return (maps - low) / torch.where(wide > 0, wide, 1)


METHOD = Method(
    name="score_cam",
    title="Score-CAM",
    complete=False,
    signed=False,
    direction="larger: what is left of the picture here keeps the target high; evidence against it is not shown",
    cost="1 forward row, and 1 per channel of the layer",
    run=lambda engine, rows, told: score_cam(engine, rows, told.layer),
    valid_for=lambda model, inputs: maps_allow(model, inputs, "Score-CAM", gradients=False),
    in_audits=False,
)
