"""Structure: what one pass through a model shows of how it is made.

Methods that carry relevance backwards have a rule for each kind of layer they know. What they do not know they pass
over without a word, and their figures are then those of another model. So before such a method runs, one row is sent
through the model and everything that touches it is written down: every layer of torch.nn, with its kind and how often
it was called, and every operation outside such layers (`torch.nn.functional.relu`, `x * y`, `x.softmax(1)`), with how
many of its operands depend on the inputs. Each method compares that list with what it can do.

    seen = inspect(model, inputs)
    seen.kinds                 # {"Linear": ["0", "2"], "ReLU": ["1"]}
    seen.nonlinear()           # operations outside layers that are not linear in what depends on the inputs

Operations are seen by a `TorchFunctionMode`. Inside scripted modules nothing is seen; they are named as `opaque`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from auditkit.engine.rows import COUPLED
from auditkit.engine.space import Answering, InputSpace, Points
from auditkit.subject.activation_bytes import tensors_in
from auditkit.subject.model import evaluating


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


SHAPING = _words(
    "reshape view reshape_as view_as flatten unflatten ravel permute transpose swapaxes swapdims movedim moveaxis t T "
    "mT squeeze unsqueeze expand expand_as contiguous clone to type float double half bfloat16 cpu cuda getitem "
    "select narrow index_select take_along_dim gather cat concat concatenate stack hstack vstack chunk split unbind "
    "tensor_split flip roll dropout dropout1d dropout2d dropout3d feature_dropout alpha_dropout identity alias "
    "requires_grad_ unsafe_chunk unsafe_split"
)
"""operations that move values and change none (dropout: in eval mode)"""
SUMMING = _words(
    "add sub radd rsub neg mean sum pad repeat repeat_interleave tile masked_fill where index_add avg_pool1d "
    "avg_pool2d avg_pool3d adaptive_avg_pool1d adaptive_avg_pool2d adaptive_avg_pool3d batch_norm diagonal diag "
    "cumsum tril triu unfold fold pixel_shuffle pixel_unshuffle"
)
"""operations that are linear in all their operands together"""
MULTIPLYING = _words(
    "mul rmul multiply matmul rmatmul mm bmm mv dot linear bilinear einsum tensordot outer addmm baddbmm addbmm addmv "
    "conv1d conv2d conv3d conv_transpose1d conv_transpose2d conv_transpose3d lerp"
)
"""operations that are linear in each operand: in all that depends on the inputs only where that is one of them"""
DIVIDING = _words("div truediv divide true_divide")
SILENT = ("like", "new_")
"""operations whose name has one of these make a tensor out of another's shape"""
LINEAR_LAYERS = _words(
    "Linear Identity Flatten Unflatten Dropout Dropout1d Dropout2d Dropout3d AlphaDropout FeatureAlphaDropout "
    "Conv1d Conv2d Conv3d ConvTranspose1d ConvTranspose2d ConvTranspose3d BatchNorm1d BatchNorm2d BatchNorm3d "
    "AvgPool1d AvgPool2d AvgPool3d AdaptiveAvgPool1d AdaptiveAvgPool2d AdaptiveAvgPool3d ZeroPad1d ZeroPad2d ZeroPad3d "
    "ConstantPad1d ConstantPad2d ConstantPad3d ReflectionPad1d ReflectionPad2d ReplicationPad1d ReplicationPad2d "
    "PixelShuffle PixelUnshuffle ChannelShuffle NonDynamicallyQuantizableLinear"
)
"""layers of torch.nn that are affine in eval mode"""
RECURRENT = _words("RNN LSTM GRU RNNCell LSTMCell GRUCell")


@dataclass(frozen=True, slots=True)
class Layer:
    """A module of torch.nn without children that the row went through. calls: how often in one pass."""

    name: str
    kind: str
    calls: int


@dataclass(frozen=True, slots=True)
class Operation:
    """A function of tensors outside such layers. module: in whose forward; operands: how many depend on the inputs.

    decides: its result cannot be differentiated (a comparison, a rounding, `detach`).
    """

    name: str
    module: str
    operands: int
    decides: bool = False

    @property
    def linear(self) -> bool:
        """Whether it is linear in what depends on the inputs."""
        if self.decides:
            return False
        if self.name in MULTIPLYING | DIVIDING:
            return self.operands == 1
        return self.name in SHAPING | SUMMING


@dataclass(frozen=True, slots=True)
class Structure:
    """What a pass of one row showed.

    training: modules that behave otherwise in train mode and are in it. opaque: modules that cannot be looked into.
    coupled: whether the row's answer depends on the rows beside it. random: whether it changes from pass to pass.
    """

    layers: tuple[Layer, ...]
    operations: tuple[Operation, ...]
    training: tuple[str, ...]
    opaque: tuple[str, ...]
    dtype: str
    coupled: bool
    random: bool

    @property
    def kinds(self) -> dict[str, list[str]]:
        """The names of layers by their kind."""
        found: dict[str, list[str]] = {}
        for layer in self.layers:
            found.setdefault(layer.kind, []).append(layer.name)
        return found

    @property
    def reused(self) -> tuple[Layer, ...]:
        """Layers called more than once."""
        return tuple(layer for layer in self.layers if layer.calls > 1)

    @property
    def recurrent(self) -> tuple[str, ...]:
        """The names of recurrent layers."""
        return tuple(layer.name for layer in self.layers if layer.kind in RECURRENT)

    def nonlinear(self) -> tuple[Operation, ...]:
        """Operations outside layers that are not linear in what depends on the inputs."""
        return tuple(operation for operation in self.operations if not operation.linear)

    def layers_beside(self, known: Iterable[str]) -> tuple[Layer, ...]:
        """Layers of other kinds than the known ones."""
        usual = set(known)
        return tuple(layer for layer in self.layers if layer.kind not in usual)


def inspect(model: Answering, inputs: tuple[Tensor, ...]) -> Structure:
    """What one row of inputs ([1, ...] each) meets in a model, which is left as it was found.

    Raises SpaceError where the inputs have no attribution space.

    >>> from auditkit.engine.plain import PlainModel
    >>> net, row = nn.Sequential(nn.Linear(2, 3), nn.ReLU()), (torch.ones(1, 2),)
    >>> [(layer.name, layer.kind) for layer in inspect(PlainModel.of(net, row), row).layers]
    [('0', 'Linear'), ('1', 'ReLU')]
    """
    named_parts = list(model.module.named_modules())
    training = tuple(
        name or "the model" for name, part in named_parts if part.training and isinstance(part, _TRAINED_OTHERWISE)
    )
    with evaluating(model.module), torch.backends.cudnn.flags(enabled=False):
        space = InputSpace.trace(model, inputs)
        points, _ = space.enter(inputs)
        held = space.keep(inputs)
        leaves = tuple(part.detach().clone().requires_grad_(True) for part in points)
        with torch.enable_grad(), _watching(model.module) as watch:
            traced = space.logits(leaves, held)
        first = traced.detach()
        with torch.no_grad():
            again = space.logits(points, held)
            company = _company(space, points, held)
    scale = COUPLED * (1e-6 + first.abs().max())
    return Structure(
        layers=tuple(Layer(name, kind, calls) for name, (kind, calls) in watch.layers.items()),
        operations=tuple(watch.operations),
        training=training,
        opaque=tuple(name or "the model" for name, part in named_parts if isinstance(part, torch.jit.ScriptModule)),
        dtype=str(points[0].dtype).removeprefix("torch.") if points else "",
        coupled=company is None or bool(((company - again).abs() > scale).any()),
        random=bool(((again - first).abs() > scale).any()),
    )


def named(parts: Iterable[Layer | Operation], most: int = 3) -> str:
    """Layers or operations in words, the first few of them.

    >>> named([Layer("body.1", "GELU", 1), Operation("relu", "", 1)])
    "GELU ('body.1'), relu"
    """
    texts = list(dict.fromkeys(_name(part) for part in parts))
    return ", ".join(texts[:most]) + (f" and {len(texts) - most} more" if len(texts) > most else "")


def _name(part: Layer | Operation) -> str:
    place, kind = (part.name, part.kind) if isinstance(part, Layer) else (part.module, part.name)
    return f"{kind} ({place!r})" if place else kind


_TRAINED_OTHERWISE = (nn.modules.dropout._DropoutNd, nn.modules.batchnorm._NormBase, nn.RReLU)


def _company(space: InputSpace, points: Points, held: tuple[Tensor, ...]) -> Tensor | None:
    """The answer to the row beside two others (itself at half and at minus its size); None where there is none."""
    beside = tuple(torch.cat([part, part / 2, -part]) for part in points)
    try:
        return space.logits(beside, tuple(torch.cat([part] * 3) for part in held))[:1]
    except (RuntimeError, ValueError, IndexError):
        return None


class _Watch(TorchFunctionMode):
    """Writes down layers and operations. inside: the modules that are being called, innermost last."""

    def __init__(self) -> None:
        super().__init__()
        self.layers: dict[str, tuple[str, int]] = {}
        self.operations: dict[Operation, None] = {}
        self.inside: list[tuple[str, bool]] = []

    def __torch_function__(
        self, function: Callable, types: Any, arguments: tuple = (), named: dict[str, Any] | None = None
    ) -> Any:
        operands = sum(part.requires_grad for part in tensors_in((arguments, named or {})))
        found = function(*arguments, **(named or {}))
        place, known = self.inside[-1] if self.inside else ("", False)
        made = list(tensors_in(found))
        if known or not operands or not made:
            return found
        name = _plain_name(function)
        if name in DIVIDING and any(part.requires_grad for part in tensors_in(arguments[1:])):
            operands = max(operands, 2)  # by what depends on the inputs: not linear
        decides = not any(part.requires_grad for part in made)
        if not (decides and (any(part in name for part in SILENT) or name in SILENT)):
            self.operations[Operation(name, place, operands, decides)] = None
        return found

    def entered(self, name: str, module: nn.Module) -> None:
        """A module is called."""
        self.inside.append((name, _is_layer(module)))

    def left(self, name: str, module: nn.Module, output: Any) -> None:
        """A module has answered, or failed."""
        self.inside.pop()
        if _is_layer(module) and any(part.requires_grad for part in tensors_in(output)):
            kind, calls = self.layers.get(name, (_kind(module), 0))
            self.layers[name] = kind, calls + 1


@contextmanager
def _watching(module: nn.Module) -> Iterator[_Watch]:
    """Watch every call of the module's parts; the hooks are gone afterwards."""
    watch, hooks = _Watch(), []
    for name, part in module.named_modules():
        if isinstance(part, torch.jit.ScriptModule):
            continue
        hooks.append(part.register_forward_pre_hook(lambda m, _inputs, name=name: watch.entered(name, m)))
        hooks.append(
            part.register_forward_hook(lambda m, _inputs, out, name=name: watch.left(name, m, out), always_call=True)
        )
    try:
        with watch:
            yield watch
    finally:
        for hook in hooks:
            hook.remove()


def _is_layer(module: nn.Module) -> bool:
    """A layer that torch brings and that has no parts: what happens inside is known by its kind."""
    return type(module).__module__.startswith("torch.nn.modules") and not any(module.children())


def _kind(module: nn.Module) -> str:
    """The name of a layer's class; a norm that uses the batch's own statistics is another kind."""
    kind = type(module).__name__
    if isinstance(module, nn.modules.batchnorm._BatchNorm) and module.running_mean is None:
        return f"{kind} without running statistics"
    return kind


def _plain_name(function: Callable) -> str:
    """The operation's name without what is said of in-place, reflected and overloaded forms."""
    name = getattr(function, "__name__", str(function))
    if name == "__get__":
        return getattr(getattr(function, "__self__", None), "__name__", name)
    bare = name.split(".")[0].strip("_")
    return {"rdiv": "reciprocal", "rtruediv": "reciprocal"}.get(bare, bare)
