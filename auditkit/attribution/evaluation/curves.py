"""Deletion and insertion: the score while parts go to their baseline, or come from it, in the order of an attribution.

    deletion   c_k = f(row without its k first parts)            insertion   c_k = f(baseline with the k first parts)

Both are normalised so that the row has 1 and the baseline 0: (c_k - f(b)) / (f(x) - f(b)). The area under a curve is
taken with trapezoids over the share of parts, from 0 to 1. Of an attribution that knows the model, deletion falls at
once (a small area) and insertion rises at once (a large one); the difference of the two areas is 0 on average for an
order drawn at random, and needs no limit of its own. Parts go in at most `steps` steps; equal values go in a seeded
order. Where the score lies below the baseline's, "first" is what pulls it down most, if the method knows of signs.

Rows count by |f(x) - f(b)|, what there is to explain in them: the mean is the ratio of the summed curves to it.

Source: Samek et al., "Evaluating the Visualization of What a Deep Neural Network Has Learned", 2017, arXiv:1509.06321;
Petsiuk et al., "RISE", 2018, arXiv:1806.07421. The difference of the areas is the symmetric relevance gain of Blücher
et al., "Decoupling Pixel Flipping and Occlusion Strategy for Consistent XAI Benchmarks", 2024, arXiv:2401.06654.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from auditkit.attribution.explicands import Explicands
from auditkit.engine.rows import Plan, Rows, Scorer

STEPS = 16


@dataclass(frozen=True, slots=True)
class Curves:
    """deletion, insertion: float64 [orders, n, steps + 1], normalised; NaN in rows without a change to explain."""

    deletion: Tensor
    insertion: Tensor

    @property
    def faithfulness(self) -> Tensor:
        """float64 [orders, n]: area under insertion less area under deletion."""
        return area(self.insertion) - area(self.deletion)


def area(curve: Tensor) -> Tensor:
    """The trapezoid area under curves [..., steps + 1] over the share of parts.

    >>> area(torch.tensor([1.0, 0.6, 0.3, 0.1, 0.0], dtype=torch.float64)).item()
    0.375
    """
    return (curve[..., 1:] + curve[..., :-1]).mean(dim=-1) / 2


def ranks(values: Tensor, direction: Tensor, present: Tensor | None, seed: int) -> Tensor:
    """int64, shaped as values [..., n, parts]: the place of each part in its row's order, the largest value first.

    direction: [n], +1 or -1, what values are multiplied with. Parts a row does not have come last; ties are drawn.

    >>> ranks(torch.tensor([[0.5, 2.0, -1.0]]), torch.ones(1), None, 0).tolist()
    [[1, 0, 2]]
    """
    keys = (values * direction[:, None]).cpu()
    if present is not None:
        keys = torch.where(present.cpu(), keys, -torch.inf)
    shuffled = torch.argsort(torch.rand(keys.shape, generator=torch.Generator().manual_seed(seed)), dim=-1)
    order = torch.argsort(keys.gather(-1, shuffled), dim=-1, descending=True, stable=True)
    return torch.argsort(shuffled.gather(-1, order), dim=-1).to(values.device)


def direction_of(explicands: Explicands, signed: bool) -> Tensor:
    """float64 [n]: the sign of the change in score, for methods that know of signs; else 1."""
    signs = torch.where(explicands.change < 0, -1.0, 1.0).double()
    return signs if signed else torch.ones_like(signs)


def curves(engine: Scorer, explicands: Explicands, order: Tensor, steps: int = STEPS) -> Curves:
    """The curves of orders [k, n, parts] (see `ranks`), from 2 (steps - 1) forward rows for each order and row.

    A row with fewer parts than steps takes as many steps as it has parts.
    """
    orders, n, width = order.shape
    present = explicands.present
    held = torch.full((n,), width, device=order.device) if present is None else present.sum(dim=1)
    steps = max(1, min(steps, int(held.max())))
    share = torch.arange(steps + 1, device=order.device) / steps
    cutoff = (held[:, None] * share).round().long()
    inner = max(steps - 1, 0)
    per_order = n * 2 * inner

    def build(index: Tensor) -> Rows:
        which, rest = index // per_order, index % per_order
        example, rest = rest // (2 * inner), rest % (2 * inner)
        inserted, step = rest // inner == 1, rest % inner + 1
        first = order[which, example] < cutoff[example, step][:, None]
        return replaced(explicands, example, first ^ inserted[:, None])

    scores = engine.scores(Plan(orders * per_order, build)).reshape(orders, n, 2, inner)
    ends = torch.stack([explicands.scores, explicands.baseline_scores], dim=1)[None, :, :, None].expand(orders, n, 2, 1)
    whole = torch.cat([ends, scores, ends.flip(2)], dim=3)
    change = explicands.change[None, :, None, None]
    normal = (whole - explicands.baseline_scores[None, :, None, None]) / change
    normal = torch.where(change == 0, torch.nan, normal)
    return Curves(normal[:, :, 0], normal[:, :, 1])


def replaced(explicands: Explicands, example: Tensor, gone: Tensor) -> Rows:
    """The given rows with some of their parts at the baseline. example: int64 [m]; gone: bool [m, parts]."""
    rows, points = explicands.given.take(example), []
    baseline = explicands.baseline.take(example)
    for x, b, label in zip(rows.points, baseline, explicands.partition.labels, strict=True):
        points.append(torch.where(gone[:, label.flatten()].reshape(len(example), *label.shape), b, x))
    return Rows(tuple(points), rows.contrast, rows.held)
