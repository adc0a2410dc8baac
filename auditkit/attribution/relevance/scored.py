"""A model with its target as one module from points to scores, which is what captum's relevance methods take."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor, nn

from auditkit.attribution.explicands import Explicands, PartAttribution, attribution
from auditkit.attribution.method import Inputs, Validity, gradient_allows
from auditkit.attribution.structure import Structure, inspect
from auditkit.engine.rows import Rows, Scorer
from auditkit.engine.space import Answering, Points


class Scored(nn.Module):
    """Scores [n] at points: forward(*points, contrast, *held). The model is a part of it, so that its layers are found.

    >>> from auditkit.engine.plain import PlainModel
    >>> from auditkit.engine.space import InputSpace
    >>> known = PlainModel.of(nn.Identity(), (torch.ones(1, 2),))
    >>> scored = Scored(Scorer(known, InputSpace.trace(known, (torch.ones(1, 2),)), 1))
    >>> scored(torch.tensor([[2.0, 3.0]]), torch.tensor([[0.0, 1.0]]))
    tensor([3.])
    """

    def __init__(self, engine: Scorer) -> None:
        super().__init__()
        self.network = engine.model.module
        self.engine = engine
        self.points = len(engine.space.floats) + len(engine.space.slots)

    def forward(self, *given: Tensor) -> Tensor:
        points, contrast, held = given[: self.points], given[self.points], given[self.points + 1 :]
        return (self.engine.space.logits(points, held) * contrast).sum(dim=1)


def carried_back(
    engine: Scorer, explicands: Explicands, attribute: Callable[[Scored, Tensor, Rows], Points], passes: int = 1
) -> PartAttribution:
    """Attributions of every row by `attribute(scored, index, rows)`, batch by batch.

    passes: forward rows that are sent for each row.
    """
    batches = []

    def work(index: Tensor) -> Points:
        with quiet():
            found = attribute(Scored(engine), index, fresh(explicands.given.take(index)))
        return tuple(part.detach() for part in found)

    for index, batch in engine.batches(len(explicands), work):
        engine.count(passes * len(index), backward=True)
        batches.append(batch)
    values = tuple(torch.cat(parts) for parts in zip(*batches, strict=True))
    return attribution(explicands, values, np.full(len(explicands), passes, dtype=np.int64))


def allowed(model: Answering, inputs: Inputs, judge: Callable[[Structure], Validity], by_layers: str) -> Validity:
    """The judgement of a model's structure, where it has one. by_layers: what the method is called in a refusal."""
    if "layers" in model.lacks:
        return Validity("refused", f"{by_layers} works on layers, and {model.lacks['layers']}", expected=True)
    found = gradient_allows(model, inputs)
    if found.status == "refused":
        return found
    seen = inspect(model, inputs)
    if seen.opaque:
        return Validity("refused", f"the layers of {seen.opaque[0]!r} are scripted and cannot be hooked")
    if seen.random:
        return Validity("refused", "the model answers the same row differently from time to time")
    judged = judge(seen)
    return found if judged.status == "valid" else judged


def fresh(rows: Rows) -> Rows:
    """Rows whose points captum may mark as it likes."""
    return Rows(tuple(part.detach().clone() for part in rows.points), rows.contrast, rows.held)


@contextmanager
def quiet() -> Iterator[None]:
    """Without captum's word that it sets hooks, which it removes."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=r"\s*Setting (forward, )?backward hooks")
        warnings.filterwarnings("ignore", message="Input Tensor .* did not already require gradients")
        yield
