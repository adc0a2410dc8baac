"""Pacing: how a module is to be run while plain tensors are explained, found on the first rows (`engine/pace.py`)."""

from __future__ import annotations

from typing import Literal, TypeAlias, get_args

import torch
from torch import Tensor

from auditkit.engine.pace import AS_GIVEN, BATCHES, Found, Pace, candidates, fastest
from auditkit.engine.plain import PlainModel
from auditkit.engine.rows import Rows, Scorer
from auditkit.errors import InputError, nearest

Chosen: TypeAlias = Literal["measured", "as given"]
FEWEST = 8
"""rows that a method is expected to send for each row it explains"""


def pace_for(
    chosen: Chosen, model: PlainModel, engine: Scorer, inputs: tuple[Tensor, ...], slopes: bool, tolerance: float
) -> Found:
    """The pace at which rows are to be sent. slopes: whether backward too. Raises InputError for an unknown choice."""
    if chosen not in get_args(Chosen):
        raise InputError(f"pace: there is no {chosen!r}; {nearest(chosen, get_args(Chosen))}")
    as_given = Found(AS_GIVEN, 1.0, 0.0)
    if chosen == "as given" or FEWEST * len(inputs[0]) < BATCHES * engine.size:
        return as_given
    ways = candidates(model.module, inputs)
    if not ways:
        return as_given
    few = torch.arange(engine.size, device=inputs[0].device) % len(inputs[0])
    points, outputs = engine.space.enter(tuple(part[few] for part in inputs))
    rows = Rows(points, torch.nn.functional.one_hot(outputs.argmax(dim=1), outputs.shape[1]).to(outputs.dtype))

    def work(pace: Pace) -> tuple[Tensor, ...]:
        model.pace = pace
        engine.count(len(rows), backward=slopes)
        try:
            if slopes:
                scores, gradients = engine.differentiate(rows)
                return scores, *gradients
            with torch.inference_mode():
                return ((engine.space.logits(rows.points) * rows.contrast).sum(dim=1),)
        finally:
            model.pace = AS_GIVEN

    try:
        return fastest(model.module, ways, work, tolerance)
    except torch.OutOfMemoryError:  # the engine will find a smaller batch
        return as_given
