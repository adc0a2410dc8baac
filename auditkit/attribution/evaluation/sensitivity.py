"""Sensitivity: how far an attribution moves between a row and neighbours that are all but the same to the model.

    SENS_MAX(φ, x) = max over neighbours x' of ||φ(x') - φ(x)|| / ||φ(x)||

Neighbours differ from their row by even noise of up to a small share of how far rows lie from the baseline (the root
mean square of x - b, in each input). Only neighbours for which the model predicts the same are asked: where its answer
changes, its reasons may. The norm of the attribution makes it a share, so that methods can be compared.

Source: Yeh et al., "On the (In)fidelity and Sensitivity of Explanations", NeurIPS 2019, arXiv:1901.09392.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from auditkit.attribution.explicands import Explicands
from auditkit.engine.rows import Rows, Scorer

RADIUS = 0.05


@dataclass(frozen=True, slots=True)
class Neighbours:
    """explicands: m neighbours, ready to be explained. owner: int64 [m], the row each belongs to. asked: how many were
    made, those with another prediction included."""

    explicands: Explicands
    owner: Tensor
    asked: int


def neighbours(engine: Scorer, explicands: Explicands, count: int, seed: int, radius: float = RADIUS) -> Neighbours:
    """`count` neighbours of each row less those with another prediction: one forward row each.

    The prediction is the output that is largest; a model with one output predicts nothing that could change.
    """
    n, generator = len(explicands), torch.Generator().manual_seed(seed)
    owner = torch.arange(n, device=explicands.scores.device).repeat_interleave(count)
    rows, points = explicands.given.take(owner), []
    baseline = explicands.baseline.points
    for x, b, label in zip(explicands.given.points, baseline, explicands.partition.labels, strict=True):
        size = radius * float((x.double() - b.double()).pow(2).mean().sqrt())
        drawn = 2 * torch.rand((len(owner), *x.shape[1:]), generator=generator, dtype=torch.float64) - 1
        moved = (size * drawn).to(x.device, x.dtype)
        if explicands.present is not None:
            moved = moved * explicands.present[owner][:, label.flatten()].reshape(moved.shape)
        points.append(x[owner] + moved)
    moved_rows = Rows(tuple(points), rows.contrast, rows.held)
    before, after = _outputs(engine, explicands.given), _outputs(engine, moved_rows)
    same = after.argmax(dim=1) == before.argmax(dim=1)[owner] if after.shape[1] > 1 else torch.ones_like(owner).bool()
    scores = (after * rows.contrast).sum(dim=1).double()
    kept = owner[same]
    return Neighbours(_moved(explicands, moved_rows.take(same.nonzero()[:, 0]), kept, scores[same]), kept, len(owner))


def max_sensitivity(values: Tensor, moved: Tensor, owner: Tensor) -> Tensor:
    """float64 [n]: the largest relative change of each row's attribution; NaN without a neighbour or an attribution.

    values: [n, parts]; moved: [m, parts], of the neighbours; owner: int64 [m].

    >>> max_sensitivity(torch.tensor([[3.0, 4.0]]), torch.tensor([[3.0, 4.5], [3.0, 3.0]]), torch.tensor([0, 0])).item()
    0.2
    """
    size = values.double().norm(dim=1)
    change = (moved.double() - values.double()[owner]).norm(dim=1)
    most = torch.full_like(size, -1.0).scatter_reduce_(0, owner, change, "amax")
    return torch.where((most < 0) | (size == 0), torch.nan, most / size)


def _outputs(engine: Scorer, rows: Rows) -> Tensor:
    """[n, outputs] of points."""

    def work(index: Tensor) -> Tensor:
        own = rows.take(index)
        with torch.no_grad():
            return engine.space.logits(own.points, own.held)

    parts = []
    for index, part in engine.batches(len(rows), work):
        engine.count(len(index))
        parts.append(part.clone())
    return torch.cat(parts)


def _moved(explicands: Explicands, rows: Rows, owner: Tensor, scores: Tensor) -> Explicands:
    """The neighbours as explicands, each with what belongs to its row."""
    host = owner.cpu().numpy()
    return replace(
        explicands,
        rows=explicands.rows[host],
        given=rows,
        predictions=explicands.predictions[host],
        scores=scores,
        baseline=replace(explicands.baseline, points=explicands.baseline.take(owner)),
        baseline_scores=explicands.baseline_scores[owner],
        words=None if explicands.words is None else tuple(explicands.words[place] for place in host),
        present=None if explicands.present is None else explicands.present[owner],
    )
