"""Programs of `torch.export` (.pt2): a graph of operators with its weights.

A program is a flat graph; its modules are put back where that can be done (`restoring.py`), so that activations,
penultimate features and layer methods work as on the original. A program that takes a fixed number of rows is fed in
such batches; as hooks would then see the rows that fill a batch up, its layers stay hidden altogether.

A program that was exported in training mode is refused, since no call can take dropout out of its graph.
"""

from __future__ import annotations

import math
import warnings
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.export import ExportedProgram
from torch.utils import _pytree as trees

from auditkit.errors import InputError
from auditkit.subject.formats.archive import digest, read_members, write_members
from auditkit.subject.formats.program import Program
from auditkit.subject.formats.restoring import restore
from auditkit.subject.formats.screening import screen

LIMITS = {
    "layers": "this program takes batches of {size} rows, and hooks would see the rows that fill a batch up; export it "
    "with a dynamic batch size to have its activations and penultimate features",
}
aten = torch.ops.aten


def load_exported(path: str | Path) -> Program:
    """A `.pt2` program as a module on the CPU. With a fixed batch size its layers are hidden: see `limits`.

    Raises InputError for what is no such program, one that could run code when opened, and one in training mode.
    """
    path = Path(path).expanduser()
    members = read_members(path, "torch.export program")
    screened = screen(members, path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            program = torch.export.load(write_members(screened))
            graph = program.module()
    except Exception as problem:
        said = (str(problem).splitlines() or [type(problem).__name__])[0]
        raise InputError(
            f"{path}: torch cannot load this program ({said[:200]}); export it again with torch {torch.__version__}"
        ) from None
    _refuse_training(program, path)
    shapes = _shapes(program, path)
    smallest, largest = _rows(program, shapes, path)
    free = smallest <= 1 and largest is None
    layers = restore(graph) if free else {}
    spec = program.call_spec.in_spec

    def run(*inputs: Tensor) -> Any:
        _check(inputs, shapes, path)
        positional, named = trees.tree_unflatten(list(inputs), spec)
        return graph(*positional, **named)

    size = smallest if smallest == largest else f"{smallest} to {largest or 'any number of'}"
    limits = {} if free else {name: said.format(size=size) for name, said in LIMITS.items()}
    return Program(
        run, digest(members), weights=graph, layers=layers, limits=limits, smallest=smallest, largest=largest
    )


def _refuse_training(program: ExportedProgram, path: Path) -> None:
    for node in program.graph.nodes:
        dropping = node.target in (aten.dropout.default, aten.feature_dropout.default) and node.args[2]
        if dropping or (node.target is aten.batch_norm.default and node.args[5] and node.args[3] is not None):
            raise InputError(
                f"{path}: was exported in training mode ({node.name} is active), so its outputs are not those of the "
                "deployed network; export network.eval()"
            )


def _shapes(program: ExportedProgram, path: Path) -> list[list[int | torch.SymInt]]:
    """The shape of each input, symbolic where it is free."""
    shapes: list[list[int | torch.SymInt]] = []
    wanted = set(program.graph_signature.user_inputs)
    for node in program.graph.nodes:
        if node.op == "placeholder" and node.name in wanted:
            if not isinstance(node.meta.get("val"), Tensor) or node.meta["val"].ndim == 0:
                raise InputError(
                    f"{path}: input {node.name!r} is no tensor of rows; export the network for tensors only"
                )
            shapes.append(list(node.meta["val"].shape))
    if not shapes or len(shapes) != len(program.graph_signature.user_inputs):
        raise InputError(f"{path}: the program takes no tensors of rows, so no data can be sent through it")
    return shapes


def _rows(program: ExportedProgram, shapes: list[list[int | torch.SymInt]], path: Path) -> tuple[int, int | None]:
    """How many rows one call takes, at least and at most (None: any number)."""
    smallest, largest = 1, math.inf
    for shape in shapes:
        first = shape[0]
        if isinstance(first, int):
            low, high = first, float(first)
        else:
            bounds = program.range_constraints.get(first.node.expr)
            low = 1 if bounds is None else max(1, int(bounds.lower))
            high = math.inf if bounds is None or bounds.upper > 2**40 else float(bounds.upper)
        smallest, largest = max(smallest, low), min(largest, high)
    if smallest > largest:
        raise InputError(
            f"{path}: the program's inputs do not share their number of rows; export it with one batch size"
        )
    return smallest, None if math.isinf(largest) else int(largest)


def _check(inputs: tuple[Tensor, ...], shapes: list[list[int | torch.SymInt]], path: Path) -> None:
    """Raises InputError where inputs are not what the program was exported for, the number of rows apart."""
    fits = len(inputs) == len(shapes) and all(
        one.ndim == len(shape)
        and all(not isinstance(size, int) or size == one.shape[place] for place, size in enumerate(shape) if place)
        for one, shape in zip(inputs, shapes, strict=True)
    )
    if not fits:
        known = ", ".join("(n" + "".join(f", {size}" for size in shape[1:]) + ")" for shape in shapes)
        given = ", ".join(str(tuple(one.shape)) for one in inputs)
        raise InputError(f"{path}: the program takes inputs of shape {known}, and was given {given}")
