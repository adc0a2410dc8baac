"""The layer a class activation map is read from: which one it is, what it shows, and how the score rests on it.

The layer is the last convolution whose output has more than one place (`grad_cam.last_convolution` of pictures, the
last 1-D one of series) or the one that is named. Its output is read by a hook that is gone when the pass is over, and
cut from the graph there, so that a gradient goes back to the layer and no further. Maps of a series have a height of 1;
that they run along time is seen from gradients: their later places rest on later steps.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from auditkit.attribution.explicands import Explicands, PartAttribution, attribution
from auditkit.attribution.grad_cam import COARSE, last_convolution
from auditkit.attribution.method import Inputs, Validity
from auditkit.attribution.recurrent import differentiating
from auditkit.engine.rows import Rows, Scorer
from auditkit.engine.space import Answering
from auditkit.errors import InputError
from auditkit.subject.model import evaluating

FEW = 4
"""a map of a series with fewer places than this is called coarse"""


def layer_of(engine: Scorer, explicands: Explicands, name: str | None) -> nn.Module:
    """The layer to read: the one named, or the last convolution whose output has more than one place.

    Raises InputError for a name that is none, where the model has no such convolution, and for a layer of a series
    that does not run along time.
    """
    row = explicands.given.take(torch.zeros(1, dtype=torch.int64, device=explicands.given.contrast.device))
    series = row.points[0].ndim == 3
    if name is None:
        found = last_along_time(engine.model, row.points) if series else last_convolution(engine.model, row.points)
        if found is None:
            kind = "1-D convolution along time" if series else "2-D convolution with a spatial output"
            raise InputError(f"the model has no {kind}; name a layer that shows where something is")
        return engine.model.layer(found[0])
    layer = engine.model.layer(name)
    if series and not _along_time(engine.model, layer, row.points):
        raise InputError(f"the places of layer {name!r} do not follow each other in time")
    return layer


def last_along_time(model: Answering, inputs: Inputs) -> tuple[str, int] | None:
    """The last 1-D convolution to run whose output has several places that follow time, and how many they are.

    inputs: one row [1, T, C].
    """
    names: list[str] = []
    named = [(name, part) for name, part in model.module.named_modules() if isinstance(part, nn.Conv1d)]
    hooks = [part.register_forward_hook(lambda *_, name=name: names.append(name)) for name, part in named]
    try:
        with evaluating(model.module), torch.inference_mode():
            model.logits(inputs)
    finally:
        for hook in hooks:
            hook.remove()
    for name in reversed(names):
        with evaluating(model.module):
            if places := _along_time(model, model.layer(name), inputs):
                return name, places
    return None


def _along_time(model: Answering, layer: nn.Module, inputs: Inputs) -> int:
    """How many places the layer's maps of a series have where their later half rests on later steps; else 0."""
    x = inputs[0].detach().clone().requires_grad_(True)
    with differentiating(model.module), _reading(layer, cut=False) as seen:
        model.logits((x,))
        if len(seen) != 1 or not isinstance(seen[0], Tensor) or seen[0].ndim != 3 or not seen[0].requires_grad:
            return 0
        places = seen[0].shape[2]
        if places < 2:
            return 0
        middles = []
        for half in (seen[0][:, :, : places // 2], seen[0][:, :, -(places // 2) :]):
            wave = torch.cos(torch.arange(half[0].numel(), dtype=half.dtype, device=half.device)).reshape(half[0].shape)
            (slope,) = torch.autograd.grad((half * wave).sum(), x, retain_graph=True)
            steps = slope.abs().sum(dim=(0, 2)).double()
            middles.append(float((steps * torch.arange(len(steps), device=steps.device)).sum() / steps.sum()))
    return places if middles[1] > middles[0] + 0.1 * x.shape[1] else 0


def shown(engine: Scorer, layer: nn.Module, rows: Rows) -> Tensor:
    """What the layer shows of the rows: [n, K, h, w], detached. Raises InputError where it shows no such maps."""
    with torch.inference_mode(), _reading(layer, cut=False) as seen:
        engine.space.logits(rows.points, rows.held)
    return _maps(seen, rows).clone()


def shown_with_slopes(engine: Scorer, layer: nn.Module, rows: Rows) -> tuple[Tensor, Tensor]:
    """What the layer shows, and the gradient of each row's score with respect to it: both [n, K, h, w], detached.

    Raises InputError where the layer shows no maps, or the score does not rest on it.
    """
    with differentiating(engine.model.module), _reading(layer, cut=True) as seen:
        logits = engine.space.logits(tuple(part.detach() for part in rows.points), rows.held)
        maps, scores = _maps(seen, rows), (logits * rows.contrast).sum(dim=1)
        slopes = torch.autograd.grad(scores.sum(), seen[0], allow_unused=True)[0] if scores.requires_grad else None
    if slopes is None:
        raise InputError("no gradient leads from the score back to the layer; name one that the score rests on")
    return maps.detach(), slopes.reshape(maps.shape)


def placed(explicands: Explicands, maps: Tensor, evaluations: int) -> PartAttribution:
    """Coarse maps [n, h, w], scaled up to the row and divided evenly among its channels."""
    (x,) = explicands.given.points
    whole = (scaled_up(maps, x) / x.shape[1 if x.ndim == 4 else 2]).expand_as(x)
    spent = torch.full((len(maps),), evaluations, dtype=torch.int64).numpy()
    return attribution(explicands, (whole,), spent)


def scaled_up(maps: Tensor, like: Tensor) -> Tensor:
    """Maps [n, h, w] at the places of rows, bilinearly: [n, 1, H, W] of pictures, [n, T, 1] of series.

    >>> scaled_up(torch.tensor([[[0.0, 1.0]]]), torch.zeros(1, 4, 7)).flatten().tolist()
    [0.0, 0.25, 0.75, 1.0]
    """
    size = like.shape[2:] if like.ndim == 4 else (1, like.shape[1])
    fine = nn.functional.interpolate(maps[:, None], size, mode="bilinear", align_corners=False)
    return fine if like.ndim == 4 else fine[:, 0, 0, :, None]


def maps_allow(model: Answering, inputs: Inputs, title: str, gradients: bool) -> Validity:
    """Refused without a convolution that has places (or, where they are needed, gradients), degraded where few."""
    for what in ("gradients", "layers") if gradients else ("layers",):
        if what in model.lacks:
            return Validity("refused", model.lacks[what], expected=True)
    if len(inputs) != 1 or inputs[0].ndim not in (3, 4) or not inputs[0].is_floating_point():
        return Validity("refused", f"{title} is for images and series", expected=True)
    if inputs[0].ndim == 3:
        along = last_along_time(model, inputs)
        if along is None:
            return Validity("refused", "the model has no 1-D convolution along time", expected=True)
        if along[1] < FEW:
            return Validity("degraded", f"the map of layer {along[0]!r} has only {along[1]} places")
        return Validity()
    found = last_convolution(model, inputs)
    if found is None:
        return Validity("refused", "the model has no 2-D convolution with a spatial output", expected=True)
    layer, (height, width) = found
    if height * width < COARSE:
        return Validity("degraded", f"the map of layer {layer!r} has only {height} x {width} places")
    return Validity()


@contextmanager
def _reading(layer: nn.Module, cut: bool) -> Iterator[list[Any]]:
    """A list of what the layer gives in a forward pass. cut: the pass goes on from copies that begin a new graph."""
    seen: list[Any] = []

    def note(_module: nn.Module, _inputs: Any, output: Any) -> Tensor | None:
        if isinstance(output, Tensor) and cut:
            seen.append(output.detach().requires_grad_(True))
            return seen[-1].clone()
        seen.append(output.clone() if isinstance(output, Tensor) else output)
        return None

    hook = layer.register_forward_hook(note)
    try:
        yield seen
    finally:
        hook.remove()


def _maps(seen: list[Any], rows: Rows) -> Tensor:
    """The one output, [n, K, h, w]; of series with a height of 1."""
    if len(seen) != 1:
        times = "does not run" if not seen else f"runs {len(seen)} times in one pass"
        raise InputError(f"the layer {times}, so there is no one map of it; name one that runs once")
    (output,), wide = seen, rows.points[0].ndim
    if not isinstance(output, Tensor) or output.ndim != wide or len(output) != len(rows):
        shape = list(output.shape) if isinstance(output, Tensor) else type(output).__name__
        needed = "[rows, channels, height, width]" if wide == 4 else "[rows, channels, steps]"
        raise InputError(f"the layer gives {shape} for {len(rows)} rows; maps {needed} are needed")
    return output if wide == 4 else output[:, :, None]
