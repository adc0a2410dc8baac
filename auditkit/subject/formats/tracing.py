"""A traced TorchScript network as a flat graph of operators, so that its modules can be put back.

A trace has no branches and no loops: each method is a list of operators, attribute reads and calls of submodules'
methods. These are written out, call by call, into one `torch.fx` graph around the same weights. A scripted network
has branches (its layers ask whether they are training); it is left as it is.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, fx, nn


class UntraceableError(Exception):
    """The network holds what a trace does not."""


def flatten(script: Any) -> fx.GraphModule | None:
    """The network as a graph of operators, in eval mode; None where it has branches or other control flow."""
    graph = fx.Graph()
    try:
        inputs = [graph.placeholder(f"input_{place}") for place, _ in enumerate(list(script.graph.inputs())[1:])]
        shell = _shell(script)
        graph.output(_write(graph, shell, script, "", inputs))
        made = fx.GraphModule(shell, graph)
    except (UntraceableError, AttributeError, RuntimeError, IndexError, KeyError, TypeError):
        return None
    return made.eval()


def _shell(script: Any) -> nn.Module:
    """Empty modules in the shape of the network, holding its weights."""
    shell = nn.Module()
    for name, module in script.named_modules():
        holder = shell if not name else nn.Module()
        for key, parameter in module.named_parameters(recurse=False):
            holder.register_parameter(key, nn.Parameter(parameter.detach(), requires_grad=parameter.requires_grad))
        for key, buffer in module.named_buffers(recurse=False):
            holder.register_buffer(key, buffer)
        if name:
            shell.get_submodule(name.rpartition(".")[0]).add_module(name.rpartition(".")[2], holder)
    return shell


def _write(graph: fx.Graph, shell: nn.Module, module: Any, path: str, inputs: list[Any]) -> Any:
    """Write a module's forward into the graph; its result."""
    method = module.graph
    known: dict[str, Any] = {}
    first, *others = method.inputs()
    known[first.debugName()] = (path, module)
    if len(others) != len(inputs):
        raise UntraceableError
    known.update({value.debugName(): given for value, given in zip(others, inputs, strict=True)})
    for node in method.nodes():
        kind = node.kind()
        given = [known[value.debugName()] for value in node.inputs()]
        made: Any
        if kind == "prim::Constant":
            made = node.output().toIValue()
            if isinstance(made, Tensor):
                name = f"constant_{len(shell._buffers)}"
                shell.register_buffer(name, made)
                made = graph.get_attr(name)
            elif not isinstance(made, (int, float, bool, str, type(None), list, torch.device)):
                raise UntraceableError
        elif kind == "prim::GetAttr":
            owner, holder = given[0]
            made = _read(graph, owner, holder, node.s("name"))
        elif kind == "prim::CallMethod" and node.s("name") == "forward":
            inner_path, inner = given[0]
            made = _write(graph, shell, inner, inner_path, given[1:])
        elif kind in ("prim::ListConstruct", "prim::TupleConstruct"):
            made = given if kind == "prim::ListConstruct" else tuple(given)
        elif kind.startswith("aten::") and node.outputsSize() == 1:
            made = _operator(graph, node, given)
            made.meta["nn_module_stack"] = {path: (path, str(module.original_name))}
        else:
            raise UntraceableError
        known[node.output().debugName()] = made
    return known[next(iter(method.outputs())).debugName()]


def _read(graph: fx.Graph, path: str, module: Any, name: str) -> Any:
    found = getattr(module, name)
    place = f"{path}.{name}" if path else name
    if isinstance(found, Tensor):
        return graph.get_attr(place)
    if isinstance(found, nn.Module):
        return place, found
    if isinstance(found, (int, float, bool, type(None))):
        return found
    raise UntraceableError


def _operator(graph: fx.Graph, node: Any, given: list[Any]) -> fx.Node:
    schema = torch._C.parse_schema(node.schema())
    name = schema.name.removeprefix("aten::")
    if name == "_convolution" and given[6] is False and len(given[3]) in (1, 2):
        name, given = f"conv{len(given[3])}d", [*given[:6], given[8]]
        return graph.call_function(getattr(torch.ops.aten, name).default, tuple(given))
    target = getattr(getattr(torch.ops.aten, name), schema.overload_name or "default")
    named = {one.name: value for one, value in zip(schema.arguments, given, strict=True) if one.kwarg_only}
    return graph.call_function(target, tuple(given[: len(given) - len(named)]), named)
