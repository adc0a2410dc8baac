"""Asking a method again: the same method with the same settings, for other rows, another seed, another model.

On a model with random weights it is asked with less precision: such attributions are nulls, of which the order of the
parts is all that is used.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor, nn

from auditkit.attribution.evaluation.randomisation import Twin
from auditkit.attribution.explicands import Explicands
from auditkit.attribution.method import Method
from auditkit.attribution.settings import Settings
from auditkit.engine.rows import Rows, Scorer

Again = Callable[[Scorer, Explicands, int], Tensor]
"""the method, asked again: (engine, explicands, what to add to the seed) → float64 [n, parts]"""
Foreign = Callable[..., Tensor | tuple[Tensor, ...]]
"""a method from elsewhere: (module that gives one score a row, *inputs) → values shaped as the inputs"""
COARSE, COARSE_STEPS = 0.05, 128
"""tolerance and steps that are enough for the attributions of a random model"""


def by_method(method: Method, settings: Settings) -> Again:
    """A method of the registry with the settings it had."""
    coarse = replace(
        settings,
        tolerance=max(settings.tolerance, COARSE),
        maximum_steps=min(settings.maximum_steps, COARSE_STEPS),
    )

    def asked(engine: Scorer, explicands: Explicands, seed: int) -> Tensor:
        told = coarse if isinstance(engine, Twin) else settings
        return method.run(engine, explicands, replace(told, seed=told.seed + seed)).values

    return asked


def from_elsewhere(again: Foreign) -> Again:
    """A method from elsewhere, given modules that answer with one score a row."""

    def asked(engine: Scorer, explicands: Explicands, _seed: int) -> Tensor:
        def work(index: Tensor) -> Tensor:
            rows = explicands.given.take(index)
            with torch.enable_grad():
                found = again(_Scored(engine, rows), *rows.points)
            values = (found,) if isinstance(found, Tensor) else tuple(found)
            return explicands.partition.sums(tuple(part.detach() for part in values))

        parts = []
        for index, batch in engine.batches(len(explicands), work):
            engine.count(len(index), backward=True)
            parts.append(batch)
        return torch.cat(parts)

    return asked


class _Scored(nn.Module):
    """A model as a module that gives one score a row."""

    def __init__(self, engine: Scorer, rows: Rows) -> None:
        super().__init__()
        self.module, self.scored = engine.model.module, (engine, rows)

    def forward(self, *points: Tensor) -> Tensor:
        engine, rows = self.scored
        scores: Tensor = (engine.space.logits(points, rows.held) * rows.contrast).sum(dim=1)
        return scores
