"""Integrated Gradients: the gradient, averaged along the straight path from the baseline, times the way travelled.

    φ_i = (x_i - b_i) ∫₀¹ ∂f/∂x_i (b + t (x - b)) dt

It is complete (Σφ = f(x) - f(b)) up to the error of the integral, which is therefore measured and made small: a
Gauss-Legendre rule with S nodes is exact for polynomial paths of degree 2S - 1, and S is doubled for the rows whose
relative completeness gap is still above the tolerance, and for those alone. Rows that have not converged at the
largest S keep their last value and are named in a caveat.

Source: Sundararajan, Taly, Yan, "Axiomatic Attribution for Deep Networks", ICML 2017, arXiv:1703.01365.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from auditkit.attribution.explicands import Explicands, PartAttribution, completeness_gap
from auditkit.attribution.method import Method, gradient_allows
from auditkit.engine.rows import Plan, Rows, Scorer
from auditkit.engine.space import Points

FIRST_STEPS = 8


def integrated_gradients(
    engine: Scorer, explicands: Explicands, tolerance: float = 0.01, maximum_steps: int = 1024
) -> PartAttribution:
    """Attributions of every row, each with as many steps as it takes to meet `tolerance` (relative gap)."""
    count, partition = len(explicands), explicands.partition
    device = explicands.scores.device
    values = torch.zeros((count, len(partition.parts)), dtype=torch.float64, device=device)
    cells = explicands.cells
    maps = None if cells is None else torch.zeros((count, *cells.shape), dtype=torch.float64, device=device)
    taken, evaluations = np.zeros(count, dtype=np.int64), np.zeros(count, dtype=np.int64)
    pending = torch.arange(count, device=device)
    steps = min(FIRST_STEPS, maximum_steps)
    while len(pending):
        found = _integrate(engine, explicands, pending, steps)
        values[pending] = partition.sums(found)
        if maps is not None:
            maps[pending] = explicands.maps(found)  # type: ignore[assignment]
        taken[pending.cpu()] = steps
        evaluations[pending.cpu()] += steps
        _, relative = completeness_gap(values[pending], explicands.change[pending])
        pending = pending[relative > tolerance]
        if 2 * steps > maximum_steps:
            break
        steps *= 2
    converged = np.ones(count, dtype=bool)
    converged[pending.cpu()] = False
    return PartAttribution(values, evaluations, maps, steps=taken, converged=converged)


def _integrate(engine: Scorer, explicands: Explicands, chosen: Tensor, steps: int) -> Points:
    """float64 attributions of the chosen rows with a rule of `steps` nodes."""
    nodes, weights = (torch.from_numpy(part).to(chosen.device) for part in np.polynomial.legendre.leggauss(steps))
    nodes, weights = (nodes + 1) / 2, weights / 2
    rows, baseline = explicands.given.take(chosen), explicands.baseline.take(chosen)

    def build(index: Tensor) -> Rows:
        example, along = index // steps, nodes[index % steps]
        given, starts = rows.take(example), explicands.baseline.take(chosen[example])
        blended = tuple(_blend(x, start, along) for x, start in zip(given.points, starts, strict=True))
        return Rows(blended, given.contrast, given.held)

    total = tuple(torch.zeros(part.shape, dtype=torch.float64, device=chosen.device) for part in rows.points)
    for index, _, gradients in engine.gradients(Plan(len(chosen) * steps, build)):
        weight = weights[index % steps]
        for part, gradient in zip(total, gradients, strict=True):
            part.index_add_(0, index // steps, gradient.double() * weight.reshape(-1, *[1] * (gradient.ndim - 1)))
    pairs = zip(rows.points, baseline, strict=True)
    return tuple((x.double() - b.double()) * g for (x, b), g in zip(pairs, total, strict=True))


def _blend(given: Tensor, start: Tensor, along: Tensor) -> Tensor:
    """start + along * (given - start), in the dtype of `given`."""
    along = along.reshape(-1, *[1] * (given.ndim - 1)).to(given.dtype)
    return start + along * (given - start)


METHOD = Method(
    name="integrated_gradients",
    title="Integrated Gradients",
    complete=True,
    signed=True,
    direction="positive speaks for the target, negative against it",
    cost="8 to 2 x maximum_steps forward and backward rows, until the completeness gap is in tolerance",
    run=lambda engine, rows, told: integrated_gradients(engine, rows, told.tolerance, told.maximum_steps),
    valid_for=gradient_allows,
)
