"""Plain tensors as rows to explain: their parts, their chunks, and values back in their shapes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from auditkit.attribution.explicands import Baseline, Explicands, PartAttribution, baseline_scores
from auditkit.attribution.method import Method
from auditkit.attribution.partition import Partition
from auditkit.attribution.settings import Settings
from auditkit.attribution.targets import Target, contrast_for
from auditkit.engine.plain import finite
from auditkit.engine.rows import PROBE_ROWS, Rows, Scorer
from auditkit.engine.space import InputSpace, Points
from auditkit.errors import InputError

CHUNK = {"cpu": 2**20, "cuda": 2**24}
"""numbers of the attribution space that are worked on at once: what is needed beside inputs and results stays below
about two hundred bytes for each, however many rows there are"""
BACKGROUND = 100
"""reference rows that methods compare each row with; more are drawn from"""


@dataclass(frozen=True, slots=True)
class Chunk:
    """Some of the rows: what a method found of them, what it was given, and the target in words."""

    some: slice
    found: PartAttribution
    explicands: Explicands
    target: str


def in_chunks(
    engine: Scorer,
    given: tuple[Tensor, ...],
    target: Target,
    baseline: Baseline,
    partition: Partition,
    method: Method,
    settings: Settings,
    background: Points | None = None,
) -> Iterator[Chunk]:
    """The method's findings, chunk by chunk of rows."""
    n = len(given[0])
    wide = sum(part[0].numel() for part in baseline.points)
    step = max(PROBE_ROWS, CHUNK.get(given[0].device.type, CHUNK["cpu"]) // max(wide, 1))
    for start in range(0, n, step):
        some = slice(start, min(start + step, n))
        rows, outputs, text = _targeted(engine, given, target, some)
        if not start and not engine.probe(rows, method.slopes and "gradients" not in engine.model.lacks):
            rows, outputs, text = _targeted(engine, given, target, some)  # again, each row by itself
        own = Baseline(
            tuple(part if len(part) == 1 else part[some] for part in baseline.points), baseline.description, 0
        )
        explicands = Explicands(
            rows=np.arange(some.start, some.stop),
            given=rows,
            predictions=outputs.argmax(dim=1).cpu().numpy(),
            scores=(outputs * rows.contrast).sum(dim=1).double(),
            baseline=own,
            baseline_scores=baseline_scores(engine, own, rows),
            partition=partition,
            background=background,
        )
        yield Chunk(some, method.run(engine, explicands, settings), explicands, text)


def _targeted(engine: Scorer, given: tuple[Tensor, ...], target: Target, some: slice) -> tuple[Rows, Tensor, str]:
    """Some rows with what is scored of them, their outputs, and the target in words."""
    n = len(given[0])
    points, outputs = entered(engine, tuple(part[some] for part in given))
    whole = target[some] if isinstance(target, (Tensor, np.ndarray, list)) and len(target) == n else target
    contrast, text = contrast_for(whole, outputs)
    return Rows(points, contrast), outputs, text


def entered(engine: Scorer, inputs: tuple[Tensor, ...]) -> tuple[Points, Tensor]:
    """The points of all rows, and their outputs."""

    def work(index: Tensor) -> tuple[Points, Tensor]:
        return engine.space.enter(tuple(part[index] for part in inputs))

    batches = []
    for index, batch in engine.batches(len(inputs[0]), work):
        engine.count(len(index))
        batches.append(batch)
    points = tuple(torch.cat(parts) for parts in zip(*(points for points, _ in batches), strict=True))
    if not points:
        raise InputError("the model takes no input that could be attributed to")
    return points, torch.cat([outputs for _, outputs in batches])


def background_of(space: InputSpace, inputs: tuple[Tensor, ...], reference: tuple[Tensor, ...], seed: int) -> Points:
    """The points of reference rows, of at most BACKGROUND drawn with the seed."""
    if [part.shape[1:] for part in reference] != [part.shape[1:] for part in inputs]:
        raise InputError("reference: give rows shaped as those of the inputs")
    order = torch.randperm(len(reference[0]), generator=torch.Generator().manual_seed(seed))
    drawn = order[:BACKGROUND].sort().values
    return space.enter(
        tuple(r[drawn.to(r.device)].to(x.device, x.dtype) for r, x in zip(reference, inputs, strict=True))
    )[0]


def parts_of(space: InputSpace, inputs: tuple[Tensor, ...], groups: Tensor | Sequence[Tensor] | None) -> Partition:
    """Every number and id of a row a part of its own, or the groups."""
    sizes = [part[0].numel() for part in inputs]
    first = np.concatenate([[0], np.cumsum(sizes)])
    own = torch.arange(int(first[-1]))
    if groups is not None:
        masks = tensors(groups, "groups")
        if [part.numel() for part in masks] != sizes:
            raise InputError(
                "groups: give an integer tensor shaped as one row for each input "
                f"({', '.join(str(list(part.shape[1:])) for part in inputs)})"
            )
        own = torch.unique(torch.cat([part.flatten().long() for part in masks]), return_inverse=True)[1].cpu()
    labels = [own[int(first[at]) : int(first[at + 1])].reshape(inputs[at].shape[1:]) for at in space.floats]
    if space.slots:
        for place, part in enumerate(_examples(space)[len(labels) :], start=len(labels)):
            owners = torch.tensor([int(first[at]) + index for at, index in space.owner(place)])
            width = part.numel() // max(len(owners), 1)
            labels.append(own[owners].repeat_interleave(width).reshape(part.shape))
    names = tuple(str(place) for place in range(int(own.max()) + 1))
    return Partition(names, tuple(label.to(inputs[0].device) for label in labels), own)


def _examples(space: InputSpace) -> Points:
    """One row of points, without its batch axis, for their shapes."""
    example = tuple(torch.zeros((1, *tail), dtype=kind, device=space.model.device) for kind, tail in space.tails)
    return tuple(part[0] for part in space.enter(example)[0])


def shaped(values: Tensor, inputs: tuple[Tensor, ...], partition: Partition) -> Tensor | tuple[Tensor, ...]:
    """Values by part as tensors shaped as the inputs, in their number type where that is one of numbers."""
    assert partition.own is not None
    each = values[:, partition.own.to(values.device)]
    parts, start = [], 0
    for part in inputs:
        size = part[0].numel()
        kind = part.dtype if part.is_floating_point() else torch.float32
        parts.append(each[:, start : start + size].reshape(part.shape).to(kind))
        start += size
    return parts[0] if len(parts) == 1 else tuple(parts)


def tensors(given: Tensor | Sequence[Tensor], what: str) -> tuple[Tensor, ...]:
    """One tensor or several, as a tuple. Raises InputError for anything else, and for values that are not finite."""
    parts = (given,) if isinstance(given, Tensor) else tuple(given)
    if not parts or not all(isinstance(part, Tensor) for part in parts):
        raise InputError(f"{what}: give a tensor [n, ...], or several")
    for part in parts:
        if not finite(part):
            raise InputError(
                f"{what}: there are values that are missing or infinite; nothing can be attributed to them"
            )
    return parts
