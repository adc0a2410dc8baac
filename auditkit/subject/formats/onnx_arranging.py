"""ONNX operations that move numbers about: shapes, slices, joins, look-ups, types and constants.

Source: the ONNX operator schemas, https://onnx.ai/onnx/operators/.
"""

from __future__ import annotations

import math
from functools import partial, reduce
from typing import Any

import torch
from torch import Tensor

from auditkit.subject.formats.onnx_binding import Bound, Maker, bound, bounded, numbers, plain, with_axes
from auditkit.subject.formats.onnx_graph import ObstacleError
from auditkit.subject.formats.onnx_layers import WIDEST
from auditkit.subject.formats.onnx_network import Given, Made

TYPES = {
    1: torch.float32, 2: torch.uint8, 3: torch.int8, 5: torch.int16, 6: torch.int32, 7: torch.int64, 9: torch.bool,
    10: torch.float16, 11: torch.float64, 16: torch.bfloat16,
}  # fmt: skip
"""ONNX's numbers of the number types"""


def _make_cast(given: Given) -> Made:
    if given.attributes["to"] not in TYPES:
        raise ObstacleError("operator Cast makes a type that torch does not have")
    return Made(partial(Tensor.to, dtype=TYPES[given.attributes["to"]]), (0,))


def _make_cast_like(given: Given) -> Made:
    return Made(partial(Tensor.to, dtype=given.value(1).dtype), (0,))


def _make_constant(given: Given) -> Made:
    """Constant: the one attribute that it has."""
    ((name, value),) = given.attributes.items()
    if name == "value":
        made = value
    elif name in ("value_int", "value_ints"):
        made = torch.tensor(value, dtype=torch.int64)
    elif name in ("value_float", "value_floats"):
        made = torch.tensor(value, dtype=torch.float32)
    else:
        raise ObstacleError("operator Constant holds no numbers")
    return Made(partial(_itself, made), ())


def _itself(value: Tensor) -> Tensor:
    return value


def _make_constant_of_shape(given: Given) -> Made:
    value = given.attributes.get("value", torch.zeros(1))
    return bound(partial(_filled, value.reshape(-1)[0].item(), value.dtype), given, first=0)


def _filled(value: float, kind: torch.dtype, shape: Any) -> Tensor:
    return torch.full(bounded(numbers(shape) or []), value, dtype=kind)


def _make_shape(given: Given) -> Made:
    return Made(partial(_shape, given.attributes.get("start", 0), given.attributes.get("end")), (0,))


def _shape(start: int, end: int | None, x: Tensor) -> Tensor:
    return torch.tensor(x.shape[start:end], dtype=torch.int64)


def _size(x: Tensor) -> Tensor:
    return torch.tensor(x.numel())


def _make_reshape(given: Given) -> Made:
    return bound(partial(_reshape, bool(given.attributes.get("allowzero", 0))), given)


def _reshape(zeros: bool, x: Tensor, wanted: Any) -> Tensor:
    sizes = numbers(wanted) or []
    return x.reshape([x.shape[at] if size == 0 and not zeros else size for at, size in enumerate(sizes)])


def _make_flatten(given: Given) -> Made:
    return Made(partial(_flatten, given.attributes.get("axis", 1)), (0,))


def _flatten(axis: int, x: Tensor) -> Tensor:
    axis = axis + x.ndim if axis < 0 else axis
    return x.flatten(1) if axis == 1 and x.ndim > 1 else x.reshape(math.prod(x.shape[:axis]), -1)


def _make_transpose(given: Given) -> Made:
    order = given.attributes.get("perm") or list(range(given.value(0).ndim))[::-1]
    return Made(partial(torch.permute, dims=tuple(order)), (0,))


def _make_squeeze(given: Given) -> Made:
    return with_axes(_squeeze, given)


def _squeeze(x: Tensor, axes: Any) -> Tensor:
    found = numbers(axes)
    return x.squeeze() if found is None else x.squeeze(tuple(found))


def _make_unsqueeze(given: Given) -> Made:
    return with_axes(_unsqueeze, given)


def _unsqueeze(x: Tensor, axes: Any) -> Tensor:
    found = numbers(axes) or []
    places = sorted(axis % (x.ndim + len(found)) for axis in found)
    return reduce(torch.unsqueeze, places, x)


def _make_gather(given: Given) -> Made:
    return Made(partial(_gather, given.attributes.get("axis", 0)), (0, 1))


def _gather(axis: int, x: Tensor, places: Tensor) -> Tensor:
    axis = axis % x.ndim
    flat = torch.where(places < 0, places + x.shape[axis], places).reshape(-1)
    return x.index_select(axis, flat).reshape([*x.shape[:axis], *places.shape, *x.shape[axis + 1 :]])


def _make_gather_elements(given: Given) -> Made:
    return Made(partial(_gather_elements, given.attributes.get("axis", 0)), (0, 1))


def _gather_elements(axis: int, x: Tensor, places: Tensor) -> Tensor:
    return x.gather(axis, torch.where(places < 0, places + x.shape[axis], places))


def _make_concat(given: Given) -> Made:
    return Made(partial(_concat, given.attributes["axis"]), tuple(range(len(given.values))))


def _concat(axis: int, *parts: Tensor) -> Tensor:
    return torch.cat(parts, dim=axis)


def _make_slices(given: Given) -> Made:
    if "starts" in given.attributes:
        told = [given.attributes.get(name) for name in ("starts", "ends", "axes")]
        return Made(Bound(_slice, tuple(enumerate([*told, None], 1)), 5), (0,))
    return bound(_slice, given, places=5)


def _slice(x: Tensor, starts: Any, ends: Any, axes: Any, steps: Any) -> Tensor:
    starts, ends, axes, steps = numbers(starts) or [], numbers(ends) or [], numbers(axes), numbers(steps)
    for place, (start, end) in enumerate(zip(starts, ends, strict=True)):
        axis, step = axes[place] if axes else place, steps[place] if steps else 1
        if step > 0:
            first, last, _ = slice(start, end, step).indices(x.shape[axis])
            x = x[(slice(None),) * (axis % x.ndim) + (slice(first, last, step),)]
        else:
            chosen = range(x.shape[axis])[start:end:step]
            x = x.index_select(axis, torch.tensor(list(chosen), dtype=torch.int64, device=x.device))
    return x


def _make_split(given: Given) -> Made:
    axis, parts = given.attributes.get("axis", 0), given.attributes.get("num_outputs", given.outputs)
    if "split" in given.attributes:
        return Made(partial(_split, axis, parts, sizes=given.attributes["split"]), (0,))
    return bound(partial(_split, axis, parts), given, places=2)


def _split(axis: int, parts: int, x: Tensor, sizes: Any = None) -> tuple[Tensor, ...]:
    found = numbers(sizes)
    return torch.split(x, -(-x.shape[axis] // parts) if found is None else found, dim=axis)


def _make_expand(given: Given) -> Made:
    return bound(_expand, given)


def _expand(x: Tensor, wanted: Any) -> Tensor:
    return x.expand(bounded(torch.broadcast_shapes(x.shape, numbers(wanted) or [])))


def _make_tile(given: Given) -> Made:
    return bound(_tile, given)


def _tile(x: Tensor, times: Any) -> Tensor:
    counts = numbers(times) or []
    bounded([x.numel(), *counts])
    return x.repeat(counts)


def _make_pad(given: Given) -> Made:
    mode = given.attributes.get("mode", "constant")
    if mode not in ("constant", "reflect", "edge"):
        raise ObstacleError(f"operator Pad fills by {mode}")
    value = given.attributes.get("value", 0.0)
    if given.has(2):
        found = given.constant(2)
        if found is None:
            raise ObstacleError("operator Pad fills with a number that is computed")
        value = found.item()
    if "pads" in given.attributes:
        return Made(Bound(partial(_pad, mode, value), ((1, given.attributes["pads"]), (2, None), (3, None)), 4), (0,))
    made = bound(partial(_pad, mode, value), given, places=4)
    return Made(made.call, tuple(place for place in made.takes))


def _pad(mode: str, value: float, x: Tensor, pads: Any, _value: Any, axes: Any) -> Tensor:
    sides, where = numbers(pads) or [], numbers(axes)
    places = list(range(x.ndim)) if where is None else [axis % x.ndim for axis in where]
    before, after = [0] * x.ndim, [0] * x.ndim
    for at, axis in enumerate(places):
        before[axis], after[axis] = sides[at], sides[at + len(places)]
    if max(*before, *after) > WIDEST:
        raise ObstacleError(f"operator Pad has padding {sides[:8]}")
    bounded([size + first + last for size, first, last in zip(x.shape, before, after, strict=True)])
    margins = [one for axis in reversed(range(x.ndim)) for one in (before[axis], after[axis])]
    if mode == "constant":
        return torch.nn.functional.pad(x, margins, value=value)
    while len(margins) > 2 and margins[-2:] == [0, 0]:
        margins = margins[:-2]
    return torch.nn.functional.pad(x, margins, mode="reflect" if mode == "reflect" else "replicate")


def _make_span(given: Given) -> Made:
    return Made(_span, (0, 1, 2))


def _span(start: Tensor, end: Tensor, step: Tensor) -> Tensor:
    first, last, by = (one.item() for one in (start, end, step))
    bounded([max(0, math.ceil((last - first) / by))])
    return torch.arange(first, last, by, dtype=start.dtype)


def _make_triangle(given: Given) -> Made:
    diagonal = given.constant(1)
    if given.has(1) and diagonal is None:
        raise ObstacleError("operator Trilu has a diagonal that is computed")
    function = torch.triu if given.attributes.get("upper", 1) else torch.tril
    return Made(partial(function, diagonal=0 if diagonal is None else int(diagonal)), (0,))


ARRANGING: dict[str, Maker] = {
    "Where": plain(torch.where),
    "Identity": plain(_itself),
    "Cast": _make_cast,
    "CastLike": _make_cast_like,
    "Constant": _make_constant,
    "ConstantOfShape": _make_constant_of_shape,
    "Shape": _make_shape,
    "Size": plain(_size),
    "Reshape": _make_reshape,
    "Flatten": _make_flatten,
    "Transpose": _make_transpose,
    "Squeeze": _make_squeeze,
    "Unsqueeze": _make_unsqueeze,
    "Gather": _make_gather,
    "GatherElements": _make_gather_elements,
    "Concat": _make_concat,
    "Slice": _make_slices,
    "Split": _make_split,
    "Expand": _make_expand,
    "Tile": _make_tile,
    "Pad": _make_pad,
    "Range": _make_span,
    "Trilu": _make_triangle,
}
"""operator → maker"""
