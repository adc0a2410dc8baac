"""An ONNX file as plain data: its operations in order, and the tensors that it carries.

The file is parsed, never run. Every tensor is checked before it is made: as many bytes must be there as its shape says,
so that no header can ask for more memory than the file has. What a conversion could not follow (control flow, other
operator sets, sparse or quantised tensors, training mode) raises `ObstacleError`, whose message finishes the sentence
"the file is run as a whole, because ...".

Source: the ONNX intermediate representation, https://onnx.ai/onnx/repo-docs/IR.html.
"""

from __future__ import annotations

import ast
import math
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

KNOWN_SETS = range(9, 27)
"""versions of the operator set whose meanings are known here"""
SCOPES = "pkg.torch.onnx.name_scopes"


class ObstacleError(Exception):
    """What stands in the way of a conversion."""


class MisfitError(ObstacleError):
    """An operation does not run on the inputs that were made up, and may on others."""


@dataclass(frozen=True)
class Operation:
    """One node: what it does, what it reads and what it makes. An input of "" is one that is left out.

    scopes: the modules within which torch's exporter met it, outermost first, and its own name last.
    """

    kind: str
    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: dict[str, Any] = field(default_factory=dict)
    scopes: tuple[str, ...] = ()


@dataclass(frozen=True)
class OnnxGraph:
    """inputs, outputs: names; tensors: what the file carries, by name; version: of the operator set."""

    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    tensors: dict[str, Tensor]
    operations: tuple[Operation, ...]
    version: int


def parse(content: bytes, beside: str = "", outside: bytes = b"") -> OnnxGraph:
    """The graph in a file's bytes.

    beside, outside: the name and content of the one file in which further weights may lie.
    Raises ObstacleError for what cannot be converted, and where the package `onnx` is not installed.
    """
    try:
        import onnx
    except ImportError:
        raise ObstacleError("reading its graph needs the package onnx: pip install 'auditkit[onnx]'") from None
    try:
        model = onnx.load_model_from_string(content)
    except Exception:
        raise ObstacleError("its graph cannot be read") from None
    versions = {one.domain: one.version for one in model.opset_import if one.domain in ("", "ai.onnx")}
    version = versions.get("", versions.get("ai.onnx", 0))
    if version not in KNOWN_SETS:
        raise ObstacleError(
            f"it uses version {version} of ONNX's operators; {KNOWN_SETS[0]} to {KNOWN_SETS[-1]} are known"
        )
    graph = model.graph
    if graph.sparse_initializer or graph.quantization_annotation:
        raise ObstacleError("it holds sparse or quantised weights")
    tensors = {one.name: tensor_of(one, beside, outside) for one in graph.initializer}
    return OnnxGraph(
        inputs=tuple(one.name for one in graph.input if one.name not in tensors),
        outputs=tuple(one.name for one in graph.output),
        tensors=tensors,
        operations=tuple(_operation(node) for node in graph.node),
        version=version,
    )


def _operation(node: Any) -> Operation:
    if node.domain not in ("", "ai.onnx"):
        raise ObstacleError(f"operator {node.domain}.{node.op_type} is not one of ONNX's own")
    scopes = next((entry.value for entry in getattr(node, "metadata_props", ()) if entry.key == SCOPES), "")
    return Operation(
        kind=node.op_type,
        name=node.name,
        inputs=tuple(node.input),
        outputs=tuple(node.output),
        attributes={one.name: _attribute(one, node.op_type) for one in node.attribute},
        scopes=_scopes(scopes),
    )


def _scopes(text: str) -> tuple[str, ...]:
    """The list of names that torch writes as Python text; empty for anything else."""
    try:
        found = ast.literal_eval(text) if 0 < len(text) < 10_000 else ()
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return ()
    named = isinstance(found, (list, tuple)) and all(isinstance(one, str) for one in found)
    return tuple(found) if named else ()


def _attribute(attribute: Any, kind: str) -> Any:
    types = type(attribute)
    if attribute.type == types.FLOAT:
        return attribute.f
    if attribute.type == types.INT:
        return attribute.i
    if attribute.type == types.STRING:
        return attribute.s.decode("utf-8", "replace")
    if attribute.type == types.FLOATS:
        return list(attribute.floats)
    if attribute.type == types.INTS:
        return list(attribute.ints)
    if attribute.type == types.STRINGS:
        return [one.decode("utf-8", "replace") for one in attribute.strings]
    if attribute.type == types.TENSOR:
        return tensor_of(attribute.t)
    if attribute.type in (types.GRAPH, types.GRAPHS):
        raise ObstacleError(f"operator {kind} is control flow")
    raise ObstacleError(f"operator {kind} has an attribute of an unknown type")


def tensor_of(stored: Any, beside: str = "", outside: bytes = b"") -> Tensor:
    """A tensor of the file. Raises ObstacleError where its shape and its bytes do not go together."""
    import onnx

    types = {
        onnx.TensorProto.FLOAT: torch.float32,
        onnx.TensorProto.DOUBLE: torch.float64,
        onnx.TensorProto.FLOAT16: torch.float16,
        onnx.TensorProto.BFLOAT16: torch.bfloat16,
        onnx.TensorProto.INT64: torch.int64,
        onnx.TensorProto.INT32: torch.int32,
        onnx.TensorProto.INT16: torch.int16,
        onnx.TensorProto.INT8: torch.int8,
        onnx.TensorProto.UINT8: torch.uint8,
        onnx.TensorProto.BOOL: torch.bool,
    }
    kind, shape = types.get(stored.data_type), tuple(stored.dims)
    if kind is None:
        raise ObstacleError(f"tensor {stored.name!r} is of a type that torch does not have")
    count, width = math.prod(shape), torch.empty(0, dtype=kind).element_size()
    if any(size < 0 for size in shape):
        raise ObstacleError(f"tensor {stored.name!r} has a negative size")
    if stored.data_location == onnx.TensorProto.EXTERNAL:
        raw: bytes = _outside(stored, beside, outside, count * width)
    elif stored.HasField("raw_data"):
        raw = stored.raw_data
    else:
        return _listed(stored, kind, shape, count)
    if len(raw) != count * width:
        raise ObstacleError(f"tensor {stored.name!r} claims the shape {shape} but holds {len(raw)} bytes")
    if not count:
        return _shaped(torch.empty(0, dtype=kind), shape, stored.name)
    return _shaped(torch.frombuffer(bytearray(raw), dtype=kind), shape, stored.name)


def _outside(stored: Any, beside: str, outside: bytes, size: int) -> bytes:
    """The bytes of a tensor that lie in the file beside; no other file is looked into."""
    told = {entry.key: entry.value for entry in stored.external_data}
    start, length = told.get("offset", "0"), told.get("length", str(size))
    sound = told.get("location") == beside and beside and start.isdecimal() and length == str(size)
    if not sound or int(start) + size > len(outside):
        raise ObstacleError(f"the weights {stored.name!r} lie outside of the file, not where its data should be")
    return outside[int(start) : int(start) + size]


def _listed(stored: Any, kind: torch.dtype, shape: tuple[int, ...], count: int) -> Tensor:
    """A tensor whose numbers stand one by one in the field of its type."""
    fields = {torch.float32: stored.float_data, torch.float64: stored.double_data, torch.int64: stored.int64_data}
    numbers = fields.get(kind, stored.int32_data)
    if len(numbers) != count:
        raise ObstacleError(f"tensor {stored.name!r} claims the shape {shape} but holds {len(numbers)} numbers")
    if kind in (torch.float16, torch.bfloat16):
        bits = torch.tensor(list(numbers), dtype=torch.int32).to(torch.int16)
        return _shaped(bits.view(kind), shape, stored.name)
    return _shaped(torch.tensor(list(numbers), dtype=kind), shape, stored.name)


def _shaped(flat: Tensor, shape: tuple[int, ...], name: str) -> Tensor:
    try:
        return flat.reshape(shape)
    except (RuntimeError, TypeError, OverflowError):
        raise ObstacleError(f"tensor {name!r} claims the shape {shape[:8]}, which no tensor has") from None
