"""Infidelity: how far an attribution is from foretelling what perturbations do to the score.

    INFD(φ) = E_I [ (Iᵀφ - (f(x) - f(x - I)))² ]

Perturbations are scored once and then hold for every attribution of the same rows. Two kinds are made:

towards  parts go to the baseline: I = m (x - b) with a mask m, and φ are contributions, so that Iᵀφ reads Σ m_j φ_j
noise    numbers move by N(0, σ²), and φ are slopes

The optimal scaling β = E[Iᵀφ Δ] / E[(Iᵀφ)²] of the paper takes away what only stretches an attribution; whether it was
used is recorded. Divided by E[Δ²], infidelity is the share of the squared changes that is not foretold: 0 for a perfect
attribution, 1 for an empty one.

Source: Yeh et al., "On the (In)fidelity and Sensitivity of Explanations", NeurIPS 2019, arXiv:1901.09392.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from auditkit.attribution.evaluation.curves import replaced
from auditkit.attribution.explicands import Explicands
from auditkit.engine.rows import Plan, Rows, Scorer


@dataclass(frozen=True, slots=True)
class Perturbed:
    """shifts: [samples, n, parts], what φ is multiplied with, bool or float64. drops: float64 [samples, n],
    f(x) - f(x - I)."""

    shifts: Tensor
    drops: Tensor


@dataclass(frozen=True, slots=True)
class Infidelity:
    """values: float64 [n]. squares: float64 [n], E[Δ²], what an empty attribution would have. scaled: whether each
    attribution was stretched to fit best; scaling: float64 [n], by how much (1 where it was not)."""

    values: Tensor
    squares: Tensor
    scaled: bool
    scaling: Tensor


def infidelity(values: Tensor, perturbed: Perturbed, scaled: bool = False) -> Infidelity:
    """The infidelity of attributions [n, parts] under perturbations that were scored.

    >>> seen = Perturbed(torch.tensor([[[1.0, 0.0]], [[1.0, 1.0]]]), torch.tensor([[2.0], [5.0]]))
    >>> [infidelity(torch.tensor([values]), seen).values.item() for values in ([2.0, 3.0], [0.0, 0.0])]
    [0.0, 14.5]
    """
    foretold = torch.stack([(shift * values).sum(dim=1) for shift in perturbed.shifts])
    squares = (perturbed.drops**2).mean(dim=0)
    scaling = torch.ones_like(squares)
    if scaled:
        size = (foretold**2).mean(dim=0)
        fitted = (foretold * perturbed.drops).mean(dim=0) / torch.where(size == 0, 1.0, size)
        scaling = torch.where(size == 0, 1.0, fitted)
    missed = ((scaling * foretold - perturbed.drops) ** 2).mean(dim=0)
    return Infidelity(missed, squares, scaled, scaling)


def towards(engine: Scorer, explicands: Explicands, samples: int, seed: int) -> Perturbed:
    """Masks that send a share of the parts to the baseline, drawn evenly: one forward row a sample and row."""
    n, parts = len(explicands), len(explicands.partition.parts)
    generator = torch.Generator().manual_seed(seed)
    share = torch.rand((samples, n, 1), generator=generator)
    drawn = [torch.rand((n, parts), generator=generator) < share[sample] for sample in range(samples)]
    gone = torch.stack(drawn).to(explicands.scores.device)
    if explicands.present is not None:
        gone &= explicands.present
    return masked(engine, explicands, gone)


def masked(engine: Scorer, explicands: Explicands, gone: Tensor) -> Perturbed:
    """Perturbations that send the parts of masks, bool [samples, n, parts], to the baseline."""
    samples, n, parts = gone.shape
    flat = gone.reshape(samples * n, parts)
    plan = Plan(samples * n, lambda index: replaced(explicands, index % n, flat[index]))
    scores = engine.scores(plan).reshape(samples, n)
    return Perturbed(gone, explicands.scores[None] - scores)


def noise(engine: Scorer, explicands: Explicands, sigma: float, samples: int, seed: int) -> Perturbed:
    """Every number moved by N(0, sigma²), for attributions that are slopes.

    Only for rows in which every number is a part. Raises ValueError for others.
    """
    sizes = [label.numel() for label in explicands.partition.labels]
    if sum(sizes) != len(explicands.partition.parts):
        raise ValueError("noise is for rows in which every number is a part of its own")
    n, parts = len(explicands), sum(sizes)
    generator, kind = torch.Generator().manual_seed(seed), explicands.given.points[0]
    shifts = sigma * torch.randn((samples * n, parts), generator=generator, dtype=torch.float64)
    shifts = shifts.to(kind.device)

    def build(index: Tensor) -> Rows:
        rows, moved = explicands.given.take(index % n), shifts[index]
        pairs = zip(rows.points, explicands.partition.labels, strict=True)
        points = tuple(x - moved[:, label.flatten()].reshape(x.shape).to(x.dtype) for x, label in pairs)
        return Rows(points, rows.contrast, rows.held)

    drops = explicands.scores[None] - engine.scores(Plan(samples * n, build)).reshape(samples, n)
    return Perturbed(shifts.reshape(samples, n, parts), drops)
