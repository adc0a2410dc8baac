"""Grad-CAM++: Grad-CAM in which places, not only channels, count as much as the score rises with them.

    w_k = Σ_ij α_kij max(0, g_kij),   α_kij = g_kij² / (2 g_kij² + g_kij³ Σ_ab A_kab),   map = max(0, Σ_k w_k A_k)

A is what the layer shows and g the gradient of the score with respect to it. The weights α make several small objects
count like one large one, where Grad-CAM's mean over places drowns them. They follow from the second and third
derivatives of exp(score), which are powers of g only where everything behind the layer is piecewise linear, as it is
in ReLU networks; elsewhere they are an approximation. Where the score ignores a place (g = 0), its weight is 0. The map
shows places only, no evidence against the score, and does not add up to it.

Source: Chattopadhay, Sarkar, Howlader, Balasubramanian, "Grad-CAM++", WACV 2018, arXiv:1710.11063.
"""

from __future__ import annotations

import torch
from torch import Tensor

from auditkit.attribution.cam.layer import layer_of, maps_allow, placed, shown_with_slopes
from auditkit.attribution.explicands import Explicands, PartAttribution
from auditkit.attribution.method import Method
from auditkit.engine.rows import Scorer


def weighted(maps: Tensor, slopes: Tensor) -> Tensor:
    """The rectified map [n, h, w] of what a layer shows and of its gradients, both [n, K, h, w].

    With one place a channel's weight is g² max(0, g) / (2 g² + A g³):

    >>> weighted(torch.tensor([[[[4.0]]]]), torch.tensor([[[[0.5]]]])).tolist()
    [[[0.5]]]
    """
    squares = slopes.square()
    below = 2 * squares + slopes * squares * maps.sum(dim=(2, 3), keepdim=True)
    shares = torch.where((squares > 0) & (below != 0), squares / torch.where(below != 0, below, 1), 0)
    channels = (shares * slopes.relu()).sum(dim=(2, 3), keepdim=True)
    return (channels * maps).sum(dim=1).relu()


def grad_cam_plus_plus(engine: Scorer, explicands: Explicands, layer: str | None = None) -> PartAttribution:
    """Non-negative maps of every row; parts add up their pixels. layer: by name, the last convolution where None.

    Raises InputError for a layer that shows no maps.
    """
    read, maps = layer_of(engine, explicands, layer), []

    def work(index: Tensor) -> Tensor:
        return weighted(*shown_with_slopes(engine, read, explicands.given.take(index)))

    for index, batch in engine.batches(len(explicands), work):
        engine.count(len(index), backward=True)
        maps.append(batch)
    return placed(explicands, torch.cat(maps), evaluations=1)


METHOD = Method(
    name="grad_cam_plus_plus",
    title="Grad-CAM++",
    complete=False,
    signed=False,
    direction="larger: channels active here speak for the target; evidence against it is not shown",
    cost="1 forward and 1 backward row",
    run=lambda engine, rows, told: grad_cam_plus_plus(engine, rows, told.layer),
    valid_for=lambda model, inputs: maps_allow(model, inputs, "Grad-CAM++", gradients=True),
    in_audits=False,
)
