"""Grad-CAM: where in the picture the last convolution's channels speak for the score.

The channels of the last convolution with a spatial output are weighted by their mean gradient, summed, and what is
negative is cut off; the map is scaled up to the picture. It shows places only: it says nothing of pixels or of
evidence against the score, and does not add up to the score. Computed by captum.

Source: Selvaraju et al., "Grad-CAM", ICCV 2017, arXiv:1610.02391.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from auditkit.attribution.explicands import Explicands, PartAttribution, attribution
from auditkit.attribution.method import Inputs, Method, Validity
from auditkit.engine.rows import Scorer
from auditkit.engine.space import Answering
from auditkit.errors import InputError
from auditkit.subject.model import evaluating

COARSE = 16
"""a map with fewer places than this is called coarse"""


def last_convolution(model: Answering, inputs: tuple[Tensor, ...]) -> tuple[str, tuple[int, int]] | None:
    """The last 2-D convolution to run whose output is larger than 1 x 1, and that output's (height, width).

    inputs: one row.
    """
    seen: list[tuple[str, tuple[int, int]]] = []

    def note(name: str) -> Callable[[nn.Module, Any, Tensor], None]:
        def hook(_module: nn.Module, _inputs: Any, output: Tensor) -> None:
            if output.ndim == 4 and output.shape[2] * output.shape[3] > 1:
                seen.append((name, (int(output.shape[2]), int(output.shape[3]))))

        return hook

    named = model.module.named_modules()
    hooks = [part.register_forward_hook(note(name)) for name, part in named if isinstance(part, nn.Conv2d)]
    try:
        with evaluating(model.module), torch.inference_mode():
            model.logits(inputs)
    finally:
        for hook in hooks:
            hook.remove()
    return seen[-1] if seen else None


def grad_cam(engine: Scorer, explicands: Explicands, name: str | None = None) -> PartAttribution:
    """Non-negative maps of every row; the cells of the partition add up their pixels.

    name: of the layer to read, the last convolution with a spatial output where None. Raises InputError where the layer
    gives no maps.
    """
    from captum.attr import LayerAttribution, LayerGradCam

    given = explicands.given.points[0]
    found, shape = last_convolution(engine.model, (given[:1],)), tuple(given.shape[1:])
    if (found is None and name is None) or len(shape) != 3:
        raise ValueError("Grad-CAM needs a convolution with a spatial output; ask `METHODS` whether it is valid first")
    layer = engine.model.layer(name or found[0])  # type: ignore[index]
    maps = []

    def work(index: Tensor) -> Tensor:
        rows = explicands.given.take(index)
        method = LayerGradCam(lambda x: (engine.space.logits((x,)) * rows.contrast).sum(dim=1), layer)
        coarse = method.attribute(rows.points[0], relu_attributions=True)
        if not isinstance(coarse, Tensor) or coarse.ndim != 4:
            raise InputError(f"layer {name!r} gives no maps [rows, channels, height, width]; name one that does")
        return LayerAttribution.interpolate(coarse.detach(), shape[1:], "bilinear")

    for index, batch in engine.batches(len(explicands), work):
        engine.count(len(index), backward=True)
        maps.append(batch)
    values = torch.cat(maps)
    whole = (values / shape[0]).expand(-1, *shape)
    return attribution(explicands, (whole,), np.ones(len(explicands), dtype=np.int64))


def cam_allows(model: Answering, inputs: Inputs) -> Validity:
    """Refused without a spatial convolution, degraded where its map is coarse."""
    if "gradients" in model.lacks:
        return Validity("refused", model.lacks["gradients"], expected=True)
    if len(inputs) != 1 or inputs[0].ndim != 4:
        return Validity("refused", "Grad-CAM is for images", expected=True)
    found = last_convolution(model, inputs)
    if found is None:
        return Validity("refused", "the model has no 2-D convolution with a spatial output", expected=True)
    layer, (height, width) = found
    if height * width < COARSE:
        return Validity("degraded", f"the map of layer {layer!r} has only {height} x {width} places")
    return Validity()


METHOD = Method(
    name="grad_cam",
    title="Grad-CAM",
    complete=False,
    signed=False,
    direction="larger: channels active here speak for the target; evidence against it is not shown",
    cost="1 forward and 1 backward row",
    run=lambda engine, rows, told: grad_cam(engine, rows, told.layer),
    valid_for=cam_allows,
)
