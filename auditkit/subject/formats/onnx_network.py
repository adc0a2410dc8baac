"""A torch network built from an ONNX graph, with modules that hooks can be set on.

The graph is built by running it once, operation by operation, on example inputs: what depends on no input is computed
then and kept as a constant, and each other operation becomes a step. A step is a torch module where the operation is a
layer (`onnx_layers.py`) and a function otherwise (`onnx_operators.py`). A network of a file is thus a list of steps
over names; nothing in it is code.

Layers are called as their weights (`encoder.0.weight` → `encoder.0`), else as the modules that torch's exporters wrote
down, else as the operation itself. Exporters fold what they can: a batch norm after a convolution is part of it then.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from auditkit.errors import InputError
from auditkit.subject.formats.onnx_graph import MisfitError, ObstacleError, OnnxGraph, Operation

LARGEST = 2**28
"""numbers that one value may hold while a graph is built: a gibibyte of float32"""


@dataclass(frozen=True)
class Made:
    """What became of an operation: `call(module, *values)`, or `call(*values)` where there is no module.

    takes: the places of the operation's inputs that are handed over at each run; the others were constants that are
    part of the call or the module.
    """

    call: Callable[..., Any]
    takes: tuple[int, ...]
    module: nn.Module | None = None


@dataclass(frozen=True)
class Given:
    """An operation with the values of its inputs in the example run; None is an input that is left out.

    fixed: which inputs are constants. bias: a constant that the next operation adds to a product, see `OnnxNetwork`.
    """

    kind: str
    attributes: dict[str, Any]
    values: tuple[Tensor | None, ...]
    fixed: tuple[bool, ...]
    outputs: int
    version: int
    bias: Tensor | None = None

    def constant(self, place: int) -> Tensor | None:
        """The value of an input that is a constant, else None."""
        return self.values[place] if place < len(self.values) and self.fixed[place] else None

    def has(self, place: int) -> bool:
        """Whether an input is there at all."""
        return place < len(self.values) and self.values[place] is not None

    def value(self, place: int) -> Tensor:
        """An input's value. Raises ObstacleError where it is left out."""
        if not self.has(place):
            raise ObstacleError(f"operator {self.kind} lacks its input {place}")
        return self.values[place]  # type: ignore[return-value]


@dataclass(frozen=True)
class _Step:
    call: Callable[..., Any]
    module: str | None
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    forget: tuple[str, ...] = field(default=())


class OnnxNetwork(nn.Module):
    """The steps of a graph, in eval mode, around its weights. Calling it gives a tensor, or a dict of several by name.

    types: the number type of each input. sha256: the file's digest, kept as a buffer so that a model's identity
    covers the program and not its weights alone. penultimate: the last linear layer in the order of the calls.
    Raises ObstacleError where an operation is not known or does not run on the example inputs.
    """

    sha256: Tensor

    def __init__(
        self, graph: OnnxGraph, example: tuple[Tensor, ...], types: tuple[torch.dtype, ...], sha256: str, origin: str
    ) -> None:
        super().__init__()
        self.types, self.origin = types, origin
        self.register_buffer("sha256", torch.frombuffer(bytearray.fromhex(sha256), dtype=torch.uint8))
        self.penultimate: str | None = None
        self.notes: tuple[str, ...] = ()
        self._inputs, self._outputs = graph.inputs, graph.outputs
        self._constants: dict[str, str] = {}
        self._steps: list[_Step] = []
        self.eval()
        with torch.no_grad():
            self._build(graph, example)
        self._forget_early()

    def forward(self, *inputs: Tensor) -> Any:
        """The network's output. Raises InputError for inputs that it does not take."""
        if len(inputs) != len(self._inputs):
            raise InputError(f"{self.origin}: takes {len(self._inputs)} inputs, and was given {len(inputs)}")
        values: dict[str, Any] = {
            name: part.to(kind) for name, part, kind in zip(self._inputs, inputs, self.types, strict=True)
        }
        try:
            for step in self._steps:
                self._take(step, values)
        except (RuntimeError, IndexError) as problem:
            if type(problem) not in (RuntimeError, IndexError) or "memory" in str(problem):
                raise  # hooks, and whoever makes batches smaller, have words of their own
            said = (str(problem).splitlines() or [type(problem).__name__])[0]
            raise InputError(f"{self.origin}: the network cannot run it on these inputs ({said[:200]})") from None
        made = {name: self._value(name, values) for name in self._outputs}
        return made if len(made) > 1 else made[self._outputs[0]]

    def _value(self, name: str, values: dict[str, Any]) -> Any:
        return values[name] if name in values else getattr(self, self._constants[name])

    def _take(self, step: _Step, values: dict[str, Any]) -> None:
        given = [None if not name else self._value(name, values) for name in step.inputs]
        devices = {one.device for one in given if isinstance(one, Tensor)}
        if len(devices) > 1:
            there = next(device for device in devices if device.type != "cpu")
            given = [one.to(there) if isinstance(one, Tensor) else one for one in given]
        made = step.call(*given) if step.module is None else step.call(self.get_submodule(step.module), *given)
        values.update(zip(step.outputs, made if isinstance(made, (tuple, list)) else (made,), strict=False))
        for name in step.forget:
            values.pop(name, None)

    def _build(self, graph: OnnxGraph, example: tuple[Tensor, ...]) -> None:
        from auditkit.subject.formats.onnx_layers import LAYERS
        from auditkit.subject.formats.onnx_operators import OPERATORS

        if len(example) != len(graph.inputs):
            raise ObstacleError(f"it takes {len(graph.inputs)} inputs")
        values: dict[str, Any] = dict(graph.tensors)
        fixed = set(values)
        values.update({name: one.to(kind) for name, one, kind in zip(graph.inputs, example, self.types, strict=True)})
        names = _Names(graph)
        absorbed: set[int] = set()
        shared: dict[Any, str] = {}
        readers = _readers(graph)
        for place, operation in enumerate(graph.operations):
            if place in absorbed:
                continue
            unknown = [name for name in operation.inputs if name and name not in values]
            if unknown:
                raise ObstacleError(f"operator {operation.kind} reads {unknown[0]!r}, which nothing has made")
            if operation.kind not in LAYERS and operation.kind not in OPERATORS:
                raise ObstacleError(f"operator {operation.kind} is not known")
            given = Given(
                operation.kind, operation.attributes,
                tuple(values[name] if name else None for name in operation.inputs),
                tuple(name in fixed for name in operation.inputs), len(operation.outputs), graph.version,
            )  # fmt: skip
            outputs = operation.outputs
            weights = [one for one in operation.inputs if one in fixed]
            if operation.kind == "MatMul" and (found := _addition(graph, operation, readers, values, fixed)):
                at, bias = found
                weights.append(bias)
                given = Given(given.kind, {}, given.values, given.fixed, 1, graph.version, values[bias])
            constant = all(given.fixed)
            try:
                make = None if constant else LAYERS.get(operation.kind)
                made = (make(given) if make else None) or OPERATORS[operation.kind](given)
            except KeyError:
                raise ObstacleError(f"operator {operation.kind} is not known in this form") from None
            except (RuntimeError, IndexError, ValueError, TypeError, AttributeError) as problem:
                raise ObstacleError(f"operator {operation.kind} is not sound ({_said(problem)})") from None
            reads = tuple(operation.inputs[one] if one < len(operation.inputs) else "" for one in made.takes)
            if made.module is not None and given.bias is not None:
                absorbed.add(at)
                outputs = graph.operations[at].outputs
            name = None
            if made.module is not None:
                owned = any(True for _ in made.module.parameters())
                same = (_path(operation), *weights, repr(operation.attributes)) if owned else place
                name = shared.get(same) or shared.setdefault(same, names.of(operation, weights))
                self._place(name, made.module)
            step = _Step(made.call, name, reads, outputs)
            if not constant:
                self._hold(reads, values, fixed)
            self._try(step, operation, values)
            if constant:
                fixed.update(outputs)
            else:
                self._steps.append(step)
                if isinstance(made.module, nn.Linear):
                    self.penultimate = name
        self._hold(graph.outputs, values, fixed)
        missing = [name for name in graph.outputs if name not in values]
        if missing:
            raise ObstacleError(f"nothing makes its output {missing[0]!r}")

    def _try(self, step: _Step, operation: Operation, values: dict[str, Any]) -> None:
        """Run one step of the example."""
        try:
            given = [values[name] if name else None for name in step.inputs]
            made = step.call(*given) if step.module is None else step.call(self.get_submodule(step.module), *given)
        except (RuntimeError, IndexError, ValueError, TypeError, AttributeError, OverflowError) as problem:
            raise MisfitError(f"operator {operation.kind} does not run on made-up inputs ({_said(problem)})") from None
        parts = made if isinstance(made, (tuple, list)) else (made,)
        if sum(bool(name) for name in step.outputs) > len(parts):
            raise ObstacleError(f"operator {operation.kind} is asked for more outputs than are known")
        if any(isinstance(part, Tensor) and part.numel() > LARGEST for part in parts):
            raise ObstacleError(f"operator {operation.kind} makes a tensor of more than {LARGEST} numbers")
        values.update({name: part for name, part in zip(step.outputs, parts, strict=False) if name})

    def _hold(self, names: Iterable[str], values: dict[str, Any], fixed: set[str]) -> None:
        """Keep constants that steps read as buffers."""
        for name in names:
            if name in fixed and name not in self._constants:
                self._constants[name] = f"constant_{len(self._constants)}"
                self.register_buffer(self._constants[name], values[name].clone())

    def _place(self, name: str, layer: nn.Module) -> None:
        """Register a layer under its dotted name, within empty modules for the parts before the last."""
        *parts, last = name.split(".")
        holder: nn.Module = self
        for part in parts:
            if part not in holder._modules:
                holder.add_module(part, nn.Module().eval())
            holder = holder.get_submodule(part)
        if last not in holder._modules:
            holder.add_module(last, layer.eval())

    def _forget_early(self) -> None:
        """Let each value go after the last step that reads it."""
        needed = set(self._outputs)
        for place in range(len(self._steps) - 1, -1, -1):
            step = self._steps[place]
            done = {*step.inputs, *step.outputs} - needed - {""}
            needed |= set(step.inputs)
            self._steps[place] = _Step(step.call, step.module, step.inputs, step.outputs, tuple(sorted(done)))


def _said(problem: Exception) -> str:
    return (str(problem).splitlines() or [type(problem).__name__])[0][:160]


def _readers(graph: OnnxGraph) -> dict[str, list[int]]:
    """Which operations read each value; -1 stands for the graph's outputs."""
    readers: dict[str, list[int]] = {name: [-1] for name in graph.outputs}
    for place, operation in enumerate(graph.operations):
        for name in operation.inputs:
            readers.setdefault(name, []).append(place)
    return readers


def _addition(
    graph: OnnxGraph, product: Operation, readers: dict[str, list[int]], values: dict[str, Any], fixed: set[str]
) -> tuple[int, str] | None:
    """(place, name of the bias) of the one addition that a product with a constant matrix goes into, if it is one."""
    at = readers.get(product.outputs[0], [-1])
    if len(at) != 1 or at[0] < 0 or graph.operations[at[0]].kind != "Add" or product.inputs[1] not in fixed:
        return None
    other = [name for name in graph.operations[at[0]].inputs if name != product.outputs[0]]
    width = values[product.inputs[1]].shape[-1:]
    return (at[0], other[0]) if len(other) == 1 and other[0] in fixed and values[other[0]].shape == width else None


class _Names:
    """Readable names for layers, each given once; no name is the beginning of another's path."""

    def __init__(self, graph: OnnxGraph) -> None:
        paths = {_path(operation)[0] for operation in graph.operations}
        paths |= {name.rpartition(".")[0] for name in graph.tensors if name.rpartition(".")[2] in ("weight", "bias")}
        self.holders = {path[:at] for path in paths for at, letter in enumerate(path) if letter == "."}
        self.taken: set[str] = set()

    def of(self, operation: Operation, weights: list[str]) -> str:
        """The name of an operation's layer; weights: the names of its constants."""
        stems = [name[: -len(end)] for end in (".weight", ".bias", "_bias") for name in weights if name.endswith(end)]
        path, own = _path(operation)
        if stems and stems[0] not in self.taken:
            path = stems[0]
        parts = [_part(part) for part in path.split(".") if part] or [_part(own)]
        name = ".".join(parts)
        if path in self.holders or name in self.holders:
            name = f"{name}.{_part(own)}"
        while any(name.startswith(f"{taken}.") for taken in self.taken):
            name = "_".join(name.rsplit(".", 1))
        base, count = name, 0
        while name in self.taken or any(taken.startswith(f"{name}.") for taken in self.taken):
            count += 1
            name = f"{base}_{count}"
        self.taken.add(name)
        return name


def _path(operation: Operation) -> tuple[str, str]:
    """(the module that an operation belongs to, as far as its names tell; a word for the operation itself)."""
    own = operation.kind.lower()
    if operation.scopes:
        return (operation.scopes[-2] if len(operation.scopes) > 1 else "") or operation.scopes[-1], own
    if operation.name.startswith("/"):
        path: list[str] = []
        for part in operation.name.split("/")[1:-1]:
            if path and part.startswith(f"{path[-1]}."):
                path[-1] = part
            else:
                path.append(part)
        return ".".join(path) or own, own
    return operation.name or own, own


def _part(text: str) -> str:
    """One part of a dotted name, such as a module may have."""
    part = re.sub(r"\W", "_", text, flags=re.ASCII)[:80].lstrip("_") or "layer"
    taken = hasattr(nn.Module, part) or part in vars(nn.Module()) or part.startswith("constant_")
    return f"{part}_" if taken or part in ("types", "origin", "sha256", "penultimate", "notes") else part
