"""ONNX operations that are functions of tensors: a table from an operator's name to a maker.

A maker looks at the operation's attributes and constants once and gives the function that is run. Arithmetic,
comparison and reduction stand here; what moves numbers about is in `onnx_arranging.py`.

Source: the ONNX operator schemas, https://onnx.ai/onnx/operators/.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial, reduce
from typing import Any

import torch
from torch import Tensor

from auditkit.subject.formats.onnx_arranging import ARRANGING
from auditkit.subject.formats.onnx_binding import Maker, bounded, numbers, plain, with_axes
from auditkit.subject.formats.onnx_graph import ObstacleError
from auditkit.subject.formats.onnx_network import Given, Made


def pairwise(function: Callable[[Tensor, Tensor], Tensor]) -> Maker:
    """A function of two inputs or more that are broadcast."""
    return lambda given: Made(partial(_pairwise, function), tuple(range(len(given.values))))


def _pairwise(function: Callable[[Tensor, Tensor], Tensor], *values: Tensor) -> Tensor:
    bounded(torch.broadcast_shapes(*(one.shape for one in values)))
    return reduce(function, values)


def _divided(a: Tensor, b: Tensor) -> Tensor:
    return a / b if a.is_floating_point() else torch.div(a, b, rounding_mode="trunc")


def _power(a: Tensor, b: Tensor) -> Tensor:
    return torch.pow(a, b).to(a.dtype)


def _make_modulo(given: Given) -> Made:
    return Made(partial(_pairwise, torch.fmod if given.attributes.get("fmod", 0) else torch.remainder), (0, 1))


def _make_mean(given: Given) -> Made:
    return Made(_mean, tuple(range(len(given.values))))


def _mean(*values: Tensor) -> Tensor:
    return _pairwise(torch.add, *values) / len(values)


def _make_gemm(given: Given) -> Made:
    """A product of computed matrices; with constant weights it is a layer."""
    flags = [given.attributes.get(name, 0) for name in ("transA", "transB")]
    factors = [given.attributes.get(name, 1.0) for name in ("alpha", "beta")]
    return Made(partial(_gemm, flags, factors), tuple(range(len(given.values))))


def _gemm(flags: list[int], factors: list[float], a: Tensor, b: Tensor, c: Tensor | None = None) -> Tensor:
    product = factors[0] * ((a.T if flags[0] else a) @ (b.T if flags[1] else b))
    return product if c is None else product + factors[1] * c


def _make_einsum(given: Given) -> Made:
    return Made(partial(torch.einsum, given.attributes["equation"]), tuple(range(len(given.values))))


def reduction(function: Callable[..., Tensor]) -> Maker:
    """A reduction over axes that stand in an attribute or in the second input."""

    def make(given: Given) -> Made:
        keep, nothing = bool(given.attributes.get("keepdims", 1)), bool(given.attributes.get("noop_with_empty_axes", 0))
        return with_axes(partial(_reduced, function, keep, nothing), given)

    return make


def _reduced(function: Callable[..., Tensor], keep: bool, nothing: bool, x: Tensor, axes: Any) -> Tensor:
    found = numbers(axes)
    if not found and nothing:
        return x
    return function(x, tuple(found) if found else tuple(range(x.ndim)), keep).to(x.dtype)


def _norm(power: int, x: Tensor, axes: tuple[int, ...], keep: bool) -> Tensor:
    return torch.linalg.vector_norm(x, power, axes, keep)


def _squares(x: Tensor, axes: tuple[int, ...], keep: bool) -> Tensor:
    return x.square().sum(axes, keep)


def arg(function: Callable[..., Tensor]) -> Maker:
    """The place of the largest or smallest number; the first one of several."""

    def make(given: Given) -> Made:
        if given.attributes.get("select_last_index", 0):
            raise ObstacleError(f"operator {given.kind} takes the last of several places")
        axis, keep = given.attributes.get("axis", 0), bool(given.attributes.get("keepdims", 1))
        return Made(partial(function, dim=axis, keepdim=keep), (0,))

    return make


def _make_softmax(given: Given) -> Made:
    """Of constants; elsewhere it is a layer."""
    function = torch.softmax if given.kind == "Softmax" else torch.log_softmax
    return Made(partial(function, dim=given.attributes.get("axis", -1)), (0,))


def _make_clip(given: Given) -> Made:
    if "min" in given.attributes or "max" in given.attributes:
        return Made(partial(torch.clamp, min=given.attributes.get("min"), max=given.attributes.get("max")), (0,))
    return Made(_clip, tuple(range(len(given.values))))


def _clip(x: Tensor, low: Tensor | None = None, high: Tensor | None = None) -> Tensor:
    x = x if low is None else torch.maximum(x, low)
    return x if high is None else torch.minimum(x, high)


def _make_cumulated(given: Given) -> Made:
    axis = given.constant(1)
    if axis is None or given.attributes.get("exclusive", 0) or given.attributes.get("reverse", 0):
        raise ObstacleError("operator CumSum is of a form that is not known")
    return Made(partial(torch.cumsum, dim=int(axis)), (0,))


def _prelu(x: Tensor, slope: Tensor) -> Tensor:
    return torch.where(x < 0, x * slope, x)


def _make_hard_sigmoid(given: Given) -> Made:
    return Made(partial(_hard_sigmoid, given.attributes.get("alpha", 0.2), given.attributes.get("beta", 0.5)), (0,))


def _hard_sigmoid(alpha: float, beta: float, x: Tensor) -> Tensor:
    return (alpha * x + beta).clamp(0, 1)


def _make_recurrence(given: Given) -> Made:
    from auditkit.subject.formats.onnx_recurrent import recurrent

    return recurrent(given)


OPERATORS: dict[str, Maker] = {
    **ARRANGING,
    "Add": pairwise(torch.add),
    "Sub": pairwise(torch.sub),
    "Mul": pairwise(torch.mul),
    "Div": pairwise(_divided),
    "Pow": pairwise(_power),
    "Max": pairwise(torch.maximum),
    "Min": pairwise(torch.minimum),
    "Sum": pairwise(torch.add),
    "Mean": _make_mean,
    "Mod": _make_modulo,
    "Equal": pairwise(torch.eq),
    "Greater": pairwise(torch.gt),
    "GreaterOrEqual": pairwise(torch.ge),
    "Less": pairwise(torch.lt),
    "LessOrEqual": pairwise(torch.le),
    "And": pairwise(torch.logical_and),
    "Or": pairwise(torch.logical_or),
    "Xor": pairwise(torch.logical_xor),
    "Not": plain(torch.logical_not),
    "IsNaN": plain(torch.isnan),
    "Neg": plain(torch.neg),
    "Abs": plain(torch.abs),
    "Sign": plain(torch.sign),
    "Floor": plain(torch.floor),
    "Ceil": plain(torch.ceil),
    "Round": plain(torch.round),
    "Reciprocal": plain(torch.reciprocal),
    "Sqrt": plain(torch.sqrt),
    "Exp": plain(torch.exp),
    "Log": plain(torch.log),
    "Erf": plain(torch.erf),
    "Sin": plain(torch.sin),
    "Cos": plain(torch.cos),
    "PRelu": plain(_prelu),
    "Relu": plain(torch.relu),
    "Sigmoid": plain(torch.sigmoid),
    "Tanh": plain(torch.tanh),
    "MatMul": plain(torch.matmul),
    "Gemm": _make_gemm,
    "Einsum": _make_einsum,
    "HardSigmoid": _make_hard_sigmoid,
    "Softmax": _make_softmax,
    "LogSoftmax": _make_softmax,
    "Clip": _make_clip,
    "CumSum": _make_cumulated,
    "ArgMax": arg(torch.argmax),
    "ArgMin": arg(torch.argmin),
    "ReduceMean": reduction(torch.mean),
    "ReduceSum": reduction(torch.sum),
    "ReduceMax": reduction(torch.amax),
    "ReduceMin": reduction(torch.amin),
    "ReduceL1": reduction(partial(_norm, 1)),
    "ReduceL2": reduction(partial(_norm, 2)),
    "ReduceSumSquare": reduction(_squares),
    "ReduceLogSumExp": reduction(torch.logsumexp),
    "LSTM": _make_recurrence,
    "GRU": _make_recurrence,
}
"""operator → maker"""
