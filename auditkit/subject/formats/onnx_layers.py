"""ONNX operations that are torch modules: layers with weights, normalisations, pools and activations.

Each rule looks at an operation and gives the module that does the same, or None where it has to stay a function (its
weights are computed, say). Weights are taken over as they are. What torch does otherwise, such as padding that differs
between the two sides, is done around the module.

Source: the ONNX operator schemas, https://onnx.ai/onnx/operators/.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from auditkit.subject.formats.onnx_graph import ObstacleError
from auditkit.subject.formats.onnx_network import Given, Made

WIDEST = 4096
"""padding that one side of an axis may get"""


def through(module: nn.Module, x: Tensor, *_others: Any) -> Any:
    """A module's output for its one input."""
    return module(x)


def padded(module: nn.Module, x: Tensor, *_others: Any, pads: list[int], value: float = 0.0) -> Any:
    """A module's output for its input with a margin of `value`; pads as torch has them, last axis first."""
    return module(nn.functional.pad(x, pads, value=value))


def _layer(module: nn.Module, **weights: Tensor | None) -> Made:
    """A module made on the meta device, given its weights."""
    for name, weight in weights.items():
        is_buffer = name in module._buffers
        if weight is not None:
            own = weight.detach().clone().contiguous()
            setattr(module, name, own if is_buffer else nn.Parameter(own, own.is_floating_point()))
    if any(part.is_meta for part in (*module.parameters(), *module.buffers())):
        raise ObstacleError("a layer lacks some of its weights")
    return Made(through, (0,), module)


def _meta(kind: Any, *arguments: Any, **named: Any) -> nn.Module:
    return kind(*arguments, **named, device="meta")


def _linear(weight: Tensor, bias: Tensor | None) -> Made:
    return _layer(_meta(nn.Linear, weight.shape[1], weight.shape[0], bias=bias is not None), weight=weight, bias=bias)


def gemm(given: Given) -> Made | None:
    """Gemm(x, w, b) with constant w and b: a linear layer; its two factors become part of the weights."""
    weight, bias = given.constant(1), given.constant(2)
    if weight is None or weight.ndim != 2 or given.attributes.get("transA", 0) or (given.has(2) and bias is None):
        return None
    weight = weight if given.attributes.get("transB", 0) else weight.T
    alpha, beta = given.attributes.get("alpha", 1.0), given.attributes.get("beta", 1.0)
    if bias is not None:
        if bias.ndim > 1 and bias.shape[0] != 1:
            return None
        bias = (bias.reshape(-1) * beta if beta != 1.0 else bias.reshape(-1)).expand(len(weight))
    return _linear(weight * alpha if alpha != 1.0 else weight, bias)


def matmul(given: Given) -> Made | None:
    """MatMul(x, w) with a constant matrix w, and the bias that is added to it next: a linear layer."""
    weight = given.constant(1)
    if weight is None or weight.ndim != 2 or not given.value(0).is_floating_point() or given.value(0).ndim < 2:
        return None
    return _linear(weight.T, given.bias)


def gather(given: Given) -> Made | None:
    """Gather(table, ids) along the first axis of a constant table of numbers: an embedding."""
    table = given.constant(0)
    if table is None or table.ndim != 2 or not table.is_floating_point() or given.attributes.get("axis", 0) != 0:
        return None
    made = _layer(_meta(nn.Embedding, *table.shape), weight=table)
    return Made(_looked_up, (1,), made.module)


def _looked_up(module: nn.Module, ids: Tensor) -> Any:
    return module(ids)


def sides(given: Given, axes: int) -> tuple[list[int], list[int]]:
    """Padding before and after each of the spatial axes."""
    if given.attributes.get("auto_pad", "NOTSET") not in ("NOTSET", "VALID", ""):
        raise ObstacleError(f"operator {given.kind} pads as {given.attributes['auto_pad']}")
    pads = given.attributes.get("pads") or [0] * (2 * axes)
    if len(pads) != 2 * axes or not all(0 <= one <= WIDEST for one in pads):
        raise ObstacleError(f"operator {given.kind} has padding {pads[:8]}")
    return pads[:axes], pads[axes:]


def _margins(before: list[int], after: list[int]) -> list[int]:
    return [one for pair in zip(reversed(before), reversed(after), strict=True) for one in pair]


def _around(module: nn.Module, made: Made, before: list[int], after: list[int], value: float = 0.0) -> Made:
    """The module after padding where it cannot pad by itself."""
    if before == after:
        return made
    return Made(partial(padded, pads=_margins(before, after), value=value), (0,), module)


def convolution(given: Given) -> Made | None:
    """Conv with constant weights, over one, two or three spatial axes."""
    weight, bias = given.constant(1), given.constant(2)
    if weight is None or (given.has(2) and bias is None) or not 3 <= weight.ndim <= 5:
        raise ObstacleError("operator Conv has weights that are computed")
    axes = weight.ndim - 2
    before, after = sides(given, axes)
    groups = given.attributes.get("group", 1)
    module = _meta(
        (nn.Conv1d, nn.Conv2d, nn.Conv3d)[axes - 1],
        weight.shape[1] * groups,
        weight.shape[0],
        tuple(weight.shape[2:]),
        stride=tuple(given.attributes.get("strides", [1] * axes)),
        padding=tuple(before) if before == after else 0,
        dilation=tuple(given.attributes.get("dilations", [1] * axes)),
        groups=groups,
        bias=bias is not None,
    )
    return _around(module, _layer(module, weight=weight, bias=bias), before, after)


def transposed_convolution(given: Given) -> Made | None:
    """ConvTranspose with constant weights and equal padding on both sides."""
    weight, bias = given.constant(1), given.constant(2)
    if weight is None or (given.has(2) and bias is None) or not 3 <= weight.ndim <= 5:
        raise ObstacleError("operator ConvTranspose has weights that are computed")
    axes = weight.ndim - 2
    before, after = sides(given, axes)
    extra = given.attributes.get("output_padding", [0] * axes)
    if before != after or "output_shape" in given.attributes or max(extra) > WIDEST:
        raise ObstacleError("operator ConvTranspose pads its two sides differently")
    groups = given.attributes.get("group", 1)
    module = _meta(
        (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)[axes - 1],
        weight.shape[0],
        weight.shape[1] * groups,
        tuple(weight.shape[2:]),
        stride=tuple(given.attributes.get("strides", [1] * axes)),
        padding=tuple(before),
        output_padding=tuple(extra),
        groups=groups,
        bias=bias is not None,
        dilation=tuple(given.attributes.get("dilations", [1] * axes)),
    )
    return _layer(module, weight=weight, bias=bias)


def batch_norm(given: Given) -> Made | None:
    """BatchNormalization with its stored mean and variance."""
    if given.attributes.get("training_mode", 0) or given.outputs > 1:
        raise ObstacleError("operator BatchNormalization is in training mode; export network.eval()")
    weight, bias, mean, variance = (given.constant(place) for place in range(1, 5))
    if weight is None or bias is None or mean is None or variance is None:
        raise ObstacleError("operator BatchNormalization has weights that are computed")
    kind = {2: nn.BatchNorm1d, 3: nn.BatchNorm1d, 4: nn.BatchNorm2d, 5: nn.BatchNorm3d}[given.value(0).ndim]
    module = _meta(
        kind, len(weight), eps=given.attributes.get("epsilon", 1e-5),
        momentum=1 - given.attributes.get("momentum", 0.9),
    )  # fmt: skip
    counted = torch.tensor(0)
    return _layer(
        module, weight=weight, bias=bias, running_mean=mean, running_var=variance, num_batches_tracked=counted
    )


def layer_norm(given: Given) -> Made | None:
    """LayerNormalization over the last axes."""
    x, weight, bias = given.value(0), given.constant(1), given.constant(2)
    shape = tuple(x.shape[given.attributes.get("axis", -1) :])
    if weight is None or (given.has(2) and bias is None) or tuple(weight.shape) != shape or given.outputs > 1:
        raise ObstacleError("operator LayerNormalization has weights that are computed or of another shape")
    epsilon = given.attributes.get("epsilon", 1e-5)
    module = _meta(nn.LayerNorm, shape, eps=epsilon, bias=bias is not None)
    return _layer(module, weight=weight, bias=None if bias is None else bias.reshape(shape))


def instance_norm(given: Given) -> Made | None:
    """InstanceNormalization."""
    weight, bias = given.constant(1), given.constant(2)
    if weight is None or bias is None:
        raise ObstacleError("operator InstanceNormalization has weights that are computed")
    kind = {3: nn.InstanceNorm1d, 4: nn.InstanceNorm2d, 5: nn.InstanceNorm3d}[given.value(0).ndim]
    module = _meta(kind, len(weight), eps=given.attributes.get("epsilon", 1e-5), affine=True)
    return _layer(module, weight=weight, bias=bias)


def pool(given: Given) -> Made | None:
    """MaxPool and AveragePool."""
    axes = given.value(0).ndim - 2
    before, after = sides(given, axes)
    if given.outputs > 1 or given.attributes.get("storage_order", 0) or not 1 <= axes <= 3:
        raise ObstacleError(f"operator {given.kind} gives places, too")
    settings: dict[str, Any] = {
        "kernel_size": tuple(given.attributes["kernel_shape"]),
        "stride": tuple(given.attributes.get("strides", [1] * axes)),
        "padding": tuple(before) if before == after else 0,
        "ceil_mode": bool(given.attributes.get("ceil_mode", 0)),
    }
    dilation = tuple(given.attributes.get("dilations", [1] * axes))
    if given.kind == "MaxPool":
        module: nn.Module = (nn.MaxPool1d, nn.MaxPool2d, nn.MaxPool3d)[axes - 1](dilation=dilation, **settings)
        return _around(module, Made(through, (0,), module), before, after, -math.inf)
    counted = bool(given.attributes.get("count_include_pad", 0))
    if (before != after and not counted) or set(dilation) != {1}:
        raise ObstacleError("operator AveragePool pads its two sides differently")
    module = (nn.AvgPool1d, nn.AvgPool2d, nn.AvgPool3d)[axes - 1](count_include_pad=counted, **settings)
    return _around(module, Made(through, (0,), module), before, after)


def global_pool(given: Given) -> Made | None:
    """GlobalAveragePool and GlobalMaxPool: one number for each channel."""
    axes = given.value(0).ndim - 2
    average = (nn.AdaptiveAvgPool1d, nn.AdaptiveAvgPool2d, nn.AdaptiveAvgPool3d)
    largest = (nn.AdaptiveMaxPool1d, nn.AdaptiveMaxPool2d, nn.AdaptiveMaxPool3d)
    return Made(through, (0,), (average if given.kind == "GlobalAveragePool" else largest)[axes - 1](1))


def clip(given: Given) -> Made | None:
    """Clip between two constants: ReLU, ReLU6 or Hardtanh."""
    if "min" in given.attributes or "max" in given.attributes:
        low, high = given.attributes.get("min", -math.inf), given.attributes.get("max", math.inf)
    elif any(given.has(place) and given.constant(place) is None for place in (1, 2)):
        return None
    else:
        ends = [given.constant(place) for place in (1, 2)]
        low, high = (end if one is None else one.item() for one, end in zip(ends, (-math.inf, math.inf), strict=True))
    if not given.value(0).is_floating_point() or not low < high:
        return None
    if (low, high) == (0, 6):
        return Made(through, (0,), nn.ReLU6())
    return Made(through, (0,), nn.ReLU() if (low, high) == (0, math.inf) else nn.Hardtanh(low, high))


def prelu(given: Given) -> Made | None:
    """PRelu with one constant slope for each channel, or one for all."""
    slope = given.constant(1)
    if slope is None:
        return None
    channels = given.value(0).shape[1] if given.value(0).ndim > 1 else 1
    many = slope.numel() == channels and slope.shape[slope.ndim - given.value(0).ndim + 1 :][:1] == (channels,)
    if slope.numel() != 1 and not many:
        return None
    return _layer(_meta(nn.PReLU, slope.numel()), weight=slope.reshape(-1))


def dropout(given: Given) -> Made | None:
    """Dropout, which lets everything through."""
    training = given.constant(2)
    if (given.has(2) and (training is None or bool(training))) or given.outputs > 1:
        raise ObstacleError("operator Dropout is in training mode; export network.eval()")
    ratio = given.constant(1)
    share = given.attributes.get("ratio", 0.5) if ratio is None else float(ratio)
    return Made(through, (0,), nn.Dropout(share))


def softmax(given: Given) -> Made | None:
    """Softmax and LogSoftmax along one axis; before version 13 they ran over all axes from one on."""
    axis, axes = given.attributes.get("axis", 1 if given.version < 13 else -1), given.value(0).ndim
    if given.version < 13 and axis % axes != axes - 1:
        raise ObstacleError(f"operator {given.kind} runs over several axes")
    return Made(through, (0,), nn.Softmax(dim=axis) if given.kind == "Softmax" else nn.LogSoftmax(dim=axis))


def activation(given: Given) -> Made | None:
    """Nonlinearities without weights."""
    attributes = given.attributes
    if given.kind == "HardSigmoid" and (attributes.get("alpha", 0.2), attributes.get("beta", 0.5)) != (0.2, 0.5):
        sixth = math.isclose(attributes.get("alpha", 0.2), 1 / 6, rel_tol=1e-6) and attributes.get("beta") == 0.5
        return Made(through, (0,), nn.Hardsigmoid()) if sixth else None
    makers: dict[str, Callable[[], nn.Module]] = {
        "Relu": nn.ReLU,
        "Sigmoid": nn.Sigmoid,
        "Tanh": nn.Tanh,
        "Softplus": nn.Softplus,
        "Softsign": nn.Softsign,
        "HardSwish": nn.Hardswish,
        "Mish": nn.Mish,
        "Identity": nn.Identity,
        "LeakyRelu": lambda: nn.LeakyReLU(attributes.get("alpha", 0.01)),
        "Elu": lambda: nn.ELU(attributes.get("alpha", 1.0)),
        "Celu": lambda: nn.CELU(attributes.get("alpha", 1.0)),
        "Gelu": lambda: nn.GELU(attributes.get("approximate", "none")),
    }
    return Made(through, (0,), makers[given.kind]()) if given.kind in makers else None


Rule = Callable[[Given], Made | None]
LAYERS: dict[str, Rule] = {
    "Gemm": gemm,
    "MatMul": matmul,
    "Gather": gather,
    "Conv": convolution,
    "ConvTranspose": transposed_convolution,
    "BatchNormalization": batch_norm,
    "LayerNormalization": layer_norm,
    "InstanceNormalization": instance_norm,
    "MaxPool": pool,
    "AveragePool": pool,
    "GlobalAveragePool": global_pool,
    "GlobalMaxPool": global_pool,
    "Clip": clip,
    "PRelu": prelu,
    "Dropout": dropout,
    "Softmax": softmax,
    "LogSoftmax": softmax,
    **dict.fromkeys(
        ("Relu", "Sigmoid", "Tanh", "Softplus", "Softsign", "HardSwish", "HardSigmoid", "Mish", "LeakyRelu", "Elu",
         "Celu", "Gelu"), activation,
    ),
}  # fmt: skip
"""operator → rule"""
