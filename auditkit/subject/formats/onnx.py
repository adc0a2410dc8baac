"""ONNX networks: converted to torch where that can be done, else run by onnxruntime as a black box.

A converted network (`onnx_network.py`) has layers, penultimate features and gradients. It stands in for the file only
where its outputs are onnxruntime's, up to `TOLERANCE` of their largest: that is tried on made-up inputs (normal, ten
times as wide, all zeros, all ones) in two batch sizes, and the largest difference found is told as a note. Where an
operator is not known or the outputs differ, the file is run as it is, and `limits` says what stood in the way.

onnxruntime computes on the CPU here, whatever the model's device; inputs are given in the number types that the file
declares. A batch size fixed in the file is met by filling the last batch up, unless the converted network turns out to
take any number of rows. Large weights may lie beside the file as `<file>.data` (where `torch.onnx.export` puts them);
no other file is ever opened for it. Nothing in a file is run as code.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from auditkit.errors import InputError
from auditkit.subject.formats.archive import digest
from auditkit.subject.formats.onnx_graph import MisfitError, ObstacleError, OnnxGraph, parse
from auditkit.subject.formats.onnx_network import OnnxNetwork
from auditkit.subject.formats.program import Program

LIMITS = {
    "layers": "onnxruntime runs this ONNX file as a whole, because {why}, so its activations and penultimate features "
    "cannot be read",
    "gradients": "onnxruntime, which computes no gradients, runs this ONNX file, because {why}",
}
FIXED = (
    "this ONNX file takes batches of {size} rows, and hooks would see the rows that fill a batch up; export it with a "
    "dynamic batch size to have its activations and penultimate features"
)
CONVERTED = (
    "The ONNX file was converted to a torch network; on made-up inputs its outputs differ from onnxruntime's by "
    "{difference:.1e} of the largest at most."
)
GRADIENTS = "{path}: an ONNX file is run as a black box, without gradients; use methods that need none (perturbation)"
TOLERANCE = 1e-4
"""largest difference of outputs, relative to the largest output"""
_TYPES = {
    "tensor(float)": np.float32,
    "tensor(double)": np.float64,
    "tensor(float16)": np.float16,
    "tensor(int64)": np.int64,
    "tensor(int32)": np.int32,
    "tensor(int8)": np.int8,
    "tensor(uint8)": np.uint8,
    "tensor(bool)": np.bool_,
}


def load_onnx(path: str | Path) -> nn.Module:
    """An ONNX file as a module on the CPU. What cannot be done with it stands in its `limits`.

    Raises InputError where onnxruntime is not installed or cannot read the file, and, from a module without gradients,
    where these are asked for.
    """
    path = Path(path).expanduser()
    try:
        import onnxruntime
    except ImportError:
        raise InputError(f"{path}: reading ONNX files needs onnxruntime: pip install 'auditkit[onnx]'") from None
    if not path.is_file():
        raise InputError(f"{path}: there is no such file")
    content, beside = path.read_bytes(), path.with_name(path.name + ".data")
    outside = beside.read_bytes() if beside.is_file() else b""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    if outside:
        options.add_external_initializers_from_files_in_memory([beside.name], [outside], [len(outside)])
    try:
        session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except Exception as problem:
        said = (str(problem).splitlines() or [type(problem).__name__])[0]
        raise InputError(f"{path}: onnxruntime cannot load this file ({said[:200]})") from None
    wanted = session.get_inputs()
    for one in wanted:
        if one.type not in _TYPES or not one.shape:
            raise InputError(f"{path}: input {one.name!r} is {one.type} {one.shape}, no tensor of rows")
    fixed = {one.shape[0] for one in wanted if isinstance(one.shape[0], int)}
    if len(fixed) > 1:
        raise InputError(f"{path}: its inputs take different numbers of rows: {sorted(fixed)}")
    size = fixed.pop() if fixed else None
    sha256 = digest({"program": content, "weights": outside})
    run = _runner(session, path)
    try:
        graph = parse(content, beside.name, outside)
        return _converted(graph, wanted, size, in_sizes(run, sha256, {}, size), sha256, path)
    except ObstacleError as obstacle:
        return in_sizes(run, sha256, {name: text.format(why=obstacle) for name, text in LIMITS.items()}, size)


def in_sizes(run: Callable[..., Any], sha256: str, limits: dict[str, str], size: int | None) -> Program:
    """A program that takes `size` rows at a time, or any number."""
    return Program(run, sha256, limits=limits, smallest=size or 1, largest=size)


def _runner(session: Any, path: Path) -> Callable[..., Any]:
    """onnxruntime's answers: a tensor, or a dict of several by name."""
    wanted, names = session.get_inputs(), [one.name for one in session.get_outputs()]

    def run(*inputs: Tensor) -> Any:
        if torch.is_grad_enabled() and any(part.requires_grad for part in inputs):
            raise InputError(GRADIENTS.format(path=path))
        if len(inputs) != len(wanted):
            raise InputError(f"{path}: takes {len(wanted)} inputs, and was given {len(inputs)}")
        fed: dict[str, Any] = {
            one.name: part.detach().cpu().numpy().astype(_TYPES[one.type], copy=False)
            for one, part in zip(wanted, inputs, strict=True)
        }
        try:
            outputs = session.run(None, fed)
        except Exception as problem:
            said = (str(problem).splitlines() or [type(problem).__name__])[0]
            raise InputError(f"{path}: onnxruntime cannot run it on these inputs ({said[:200]})") from None
        made = [torch.from_numpy(np.array(one)).to(inputs[0].device) for one in outputs]
        return made[0] if len(made) == 1 else dict(zip(names, made, strict=True))

    return run


def _converted(
    graph: OnnxGraph, wanted: Any, size: int | None, original: Program, sha256: str, path: Path
) -> nn.Module:
    """The file as a torch network that answers as onnxruntime does. Raises ObstacleError where there is none."""
    order = {one.name: place for place, one in enumerate(wanted)}
    if set(order) != set(graph.inputs):
        raise ObstacleError("its inputs are not those that its graph names")
    types = tuple(torch.from_numpy(np.empty(0, _TYPES[one.type])).dtype for one in wanted)
    graph = OnnxGraph(tuple(order), graph.outputs, graph.tensors, graph.operations, graph.version)
    network, free, codes = _built(graph, wanted, types, size or 3, sha256, path)
    try:
        difference = _difference(original, network, _tries(wanted, types, (1, 5), free, codes))
    except MisfitError:
        if size is None:
            raise
        program = Program(network, sha256, weights=network, limits={"layers": FIXED.format(size=size)},
                          smallest=size, largest=size)  # fmt: skip
        difference = _difference(original, program, _tries(wanted, types, (size, 2 * size), free, codes))
        program.__dict__["notes"] = (CONVERTED.format(difference=difference),)
        return program
    network.notes = (CONVERTED.format(difference=difference),)
    return network


def _built(
    graph: OnnxGraph, wanted: Any, types: tuple[torch.dtype, ...], rows: int, sha256: str, path: Path
) -> tuple[OnnxNetwork, int, int]:
    """The network, with a size for the free axes of its inputs and a number of codes that it runs on."""
    axes = any(not isinstance(size, int) for one in wanted for size in one.shape[1:])
    whole = any(not kind.is_floating_point and kind != torch.bool for kind in types)
    problem: MisfitError | None = None
    for free in (6, 16, 32) if axes else (1,):
        for codes in (50, 10, 4, 2, 1) if whole else (1,):
            example = next(_tries(wanted, types, (rows,), free, codes))
            try:
                return OnnxNetwork(graph, example, types, sha256, str(path)), free, codes
            except MisfitError as found:
                problem = found
    raise problem or ObstacleError("nothing was tried")


def _tries(
    wanted: Any, types: tuple[torch.dtype, ...], sizes: tuple[int, ...], free: int, codes: int
) -> Iterator[tuple[Tensor, ...]]:
    """Made-up inputs: random ones, wide ones, zeros and ones, for each number of rows."""
    generator = torch.Generator().manual_seed(0)
    for rows in sizes:
        shapes = [[rows, *(one if isinstance(one, int) else free for one in each.shape[1:])] for each in wanted]
        if any(np.prod(shape, dtype=float) > 2**28 for shape in shapes):
            raise ObstacleError("it takes inputs that are too large to be made up")
        for scale in (1.0, 10.0, 0.0, None):
            yield tuple(
                _made_up(shape, kind, scale, codes, generator) for shape, kind in zip(shapes, types, strict=True)
            )


def _made_up(
    shape: list[int], kind: torch.dtype, scale: float | None, codes: int, generator: torch.Generator
) -> Tensor:
    if scale is None:
        return (
            torch.full(shape, min(1, codes - 1)).to(kind) if not kind.is_floating_point else torch.ones(shape).to(kind)
        )
    if kind.is_floating_point:
        return (torch.randn(shape, generator=generator) * scale).to(kind)
    return (torch.randint(0, 2 if kind == torch.bool else codes, shape, generator=generator) * bool(scale)).to(kind)


def _difference(original: nn.Module, network: nn.Module, tries: Iterator[tuple[Tensor, ...]]) -> float:
    """The largest difference of the two's outputs, relative to the largest. Raises MisfitError above `TOLERANCE`."""
    worst, compared = 0.0, False
    for inputs in tries:
        try:
            with torch.no_grad():
                found, expected = network(*inputs), original(*inputs)
        except (InputError, RuntimeError, ValueError, IndexError) as problem:
            said = (str(problem).splitlines() or [type(problem).__name__])[0]
            raise MisfitError(f"it does not run on {len(inputs[0])} made-up rows ({said[:160]})") from None
        pairs = [(found[name], expected[name]) for name in expected] if isinstance(expected, dict) else [
            (found, expected)
        ]  # fmt: skip
        for ours, theirs in pairs:
            if ours.shape != theirs.shape or ours.dtype != theirs.dtype:
                raise MisfitError("its outputs have another shape or number type when it is converted")
            ours, theirs = ours.double(), theirs.double()
            odd = ~theirs.isfinite()
            if not torch.equal(ours[odd].nan_to_num(0.5), theirs[odd].nan_to_num(0.5)):
                raise MisfitError("its outputs are not finite in other places when it is converted")
            ours, theirs = ours[~odd], theirs[~odd]
            if len(theirs):
                compared = True
                worst = max(worst, float((ours - theirs).abs().max() / theirs.abs().max().clamp(min=1e-6)))
    if not compared:
        raise MisfitError("its outputs on made-up inputs are not finite, so that a conversion cannot be checked")
    if not worst <= TOLERANCE:
        raise MisfitError(f"its outputs differ by {worst:.1e} of the largest when it is converted")
    return worst
