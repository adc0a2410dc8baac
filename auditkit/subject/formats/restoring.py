"""Modules put back into a flat graph of operators.

Where an operator is all that one module did (linear, convolution, batch norm, ReLU, embedding), the graph is made to
call such a module again, under its old name and around the very same weights, so that hooks on it fire. What else was
a module stays an operator and is not seen.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, fx, nn

aten = torch.ops.aten


def restore(graph: fx.GraphModule) -> dict[str, nn.Module]:
    """Put modules back around the operators that were modules; the modules by name, in the order of their calls."""
    layers: dict[str, nn.Module] = {}
    settings: dict[str, Any] = {}
    for node in list(graph.graph.nodes):
        if node.op != "call_function":
            continue
        found = _module(graph, node)
        if found is None:
            continue
        name, module, argument = found
        said = (type(module), [_said(one) for one in node.args if one is not argument])
        if settings.setdefault(name, said) != said:
            continue
        if name not in layers:
            graph.add_submodule(name, module)
            layers[name] = module
        with graph.graph.inserting_before(node):
            call = graph.graph.call_module(name, (argument,))
        call.meta = dict(node.meta)
        node.replace_all_uses_with(call)
        graph.graph.erase_node(node)
    graph.recompile()
    return layers


def _module(graph: fx.GraphModule, node: fx.Node) -> tuple[str, nn.Module, Any] | None:
    """(name, module, its input) for an operator that was one module's whole work, else None."""
    arguments: list[Any] = [*node.args, *[None] * (9 - len(node.args))]
    with torch.device("meta"):
        if node.target is aten.relu.default:
            name = _called_by(node, "ReLU")
            return None if name is None else (name, nn.ReLU().eval(), arguments[0])
        at = 0 if node.target is aten.embedding.default else 1
        owner, weight = _owned(graph, arguments[at], "weight")
        if owner is None or weight is None or node.kwargs:
            return None
        module: nn.Module
        if node.target is aten.linear.default:
            module = nn.Linear(weight.shape[1], weight.shape[0], bias=arguments[2] is not None)
            held = {"weight": arguments[1], "bias": arguments[2]}
        elif node.target is aten.embedding.default and not any(node.args[3:]):
            module = nn.Embedding(*weight.shape)
            held = {"weight": arguments[0]}
            arguments[0] = arguments[1]
        elif node.target in (aten.conv1d.default, aten.conv2d.default):
            module = _convolution(node, weight)
            held = {"weight": arguments[1], "bias": arguments[2]}
        elif node.target is aten.batch_norm.default and arguments[3] is not None:
            kinds = (nn.BatchNorm1d, nn.BatchNorm2d)
            kind = next((one for one in kinds if _called_by(node, one.__name__) is not None), None)
            if kind is None:
                return None
            module = kind(weight.shape[0], eps=arguments[7], momentum=arguments[6])
            held = dict(zip(("weight", "bias", "running_mean", "running_var"), arguments[1:5], strict=True))
        else:
            return None
    holder = graph.get_submodule(owner)
    own = {*holder._parameters, *holder._buffers}
    if holder._modules or not own <= {*held, "num_batches_tracked"}:
        return None
    for name, source in held.items():
        if source is not None and _owned(graph, source, name)[0] != owner:
            return None
        tensor = None if source is None else _owned(graph, source, name)[1]
        module.__dict__.pop(name, None)
        setattr(module, name, tensor)
    if isinstance(module, (nn.BatchNorm1d, nn.BatchNorm2d)):
        counted = getattr(holder, "num_batches_tracked", torch.tensor(0))
        module.num_batches_tracked = counted
    return owner, module.eval(), arguments[0]


def _said(argument: Any) -> Any:
    """An argument for comparison: what a graph's node reads, not which node does."""
    return argument.target if isinstance(argument, fx.Node) else argument


def _convolution(node: fx.Node, weight: Tensor) -> nn.Module:
    flat = weight.ndim - 2
    kind: Any = nn.Conv1d if flat == 1 else nn.Conv2d
    defaults: list[Any] = [[1] * flat, [0] * flat, [1] * flat, 1]
    given: list[Any] = [*node.args[3:], *defaults[len(node.args[3:]) :]]
    stride, padding, dilation, groups = given
    return kind(
        weight.shape[1] * groups,
        weight.shape[0],
        tuple(weight.shape[2:]),
        stride=tuple(stride),
        padding=tuple(padding),
        dilation=tuple(dilation),
        groups=groups,
        bias=node.args[2] is not None if len(node.args) > 2 else False,
    )


def _owned(graph: fx.GraphModule, node: Any, leaf: str) -> tuple[str | None, Tensor | None]:
    """(the module's name, the tensor) where a graph's node reads `<module>.<leaf>`."""
    if not isinstance(node, fx.Node) or node.op != "get_attr":
        return None, None
    owner, _, name = str(node.target).rpartition(".")
    if name != leaf or not owner:
        return None, None
    return owner, getattr(graph.get_submodule(owner), leaf)


def _called_by(node: fx.Node, kind: str) -> str | None:
    """The name of the module that called an operator, where it is of that class."""
    stack = list((node.meta.get("nn_module_stack") or {}).values())
    if not stack:
        return None
    path, found = stack[-1]
    found = found if isinstance(found, str) else found.__name__
    return str(path) if found.rpartition(".")[2] == kind and path else None
