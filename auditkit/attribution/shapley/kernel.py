"""KernelSHAP: Shapley values as the weighted least squares fit of an additive game to the worths of coalitions.

Coalitions come in pairs with their complements (`paired`, `coalitions`). With x = ±1 for a player inside or outside,
y = (v(S) - v(N∖S)) / 2 and each pair's kernel weight ω,

    minimise Σ ω (y - β·x)²   subject to   2 Σ β = v(N) - v(∅),   φ = 2 β

One factorisation solves all rows that share their coalitions, and the constraint makes every answer complete. Sizes
whose pairs are all taken add no error; where a budget covers all coalitions, the values are exact.

**Standard errors** follow the sampled pairs through the solution: with r the residual of a pair, as it would be had the
pair been left out of the fit, its influence is ω G x r, where G is the inverse of Σ ω x xᵀ among β that add up to 0.
The variance is the sum over sizes of the influences' scatter around their mean, less the share of the size that was
taken.

Pairs are doubled for the rows whose largest standard error is above the tolerance times their largest value, until
`samples` coalitions are spent. There are never fewer pairs than players.

Source: Lundberg and Lee, "A Unified Approach to Interpreting Model Predictions", NeurIPS 2017, arXiv:1705.07874;
Covert and Lee, "Improving KernelSHAP: Practical Shapley Value Estimation Using Linear Regression", AISTATS 2021,
arXiv:2012.01536.
"""

from __future__ import annotations

import torch
from torch import Tensor

from auditkit.attribution.explicands import Explicands, PartAttribution
from auditkit.attribution.method import Method, space_allows
from auditkit.attribution.shapley.coalitions import Size
from auditkit.attribution.shapley.paired import paired, signs_of
from auditkit.engine.rows import Scorer
from auditkit.engine.space import Points


def kernel_shap(
    engine: Scorer,
    explicands: Explicands,
    tolerance: float = 0.01,
    samples: int | None = None,
    seed: int = 0,
    against: Points | None = None,
) -> PartAttribution:
    """Shapley values of every row, with standard errors; the rest as in `paired.paired`."""
    return paired(engine, explicands, least_squares, tolerance, samples, seed, against)


def least_squares(change: Tensor, sizes: list[Size], halves: list[Tensor]) -> tuple[Tensor, Tensor]:
    """Shapley values and their standard errors, float64 [g, players] each; as `paired.Solve`."""
    taken = [part.shape[1] for part in halves]
    weights = [size.weight / n for size, n in zip(sizes, taken, strict=True)]
    x, y = signs_of(sizes, halves), torch.cat(halves, dim=1)
    w = torch.repeat_interleave(torch.tensor(weights, dtype=torch.float64), torch.tensor(taken)).to(x.device)
    even = change[:, None] / 2 / x.shape[1]
    centred = x - x.mean(dim=1, keepdim=True)
    squares = (centred.T * w) @ centred
    squares += squares.diagonal().mean()  # of the direction that no centred row has, so that there is an inverse
    factor, singular = torch.linalg.cholesky_ex(squares)
    inverse = torch.linalg.pinv(squares, hermitian=True) if singular else torch.cholesky_inverse(factor)
    pull = w[:, None] * (centred @ inverse)
    beta = even + (y - even * x.sum(dim=1)) @ pull
    leverage = (pull * x).sum(dim=1).clamp(max=0.999)
    left = (y - beta @ x.T) / (1 - leverage)
    variance = torch.zeros_like(beta)
    start = 0
    for size, n in zip(sizes, taken, strict=True):
        if n < size.total:
            own, residual = pull[start : start + n], left[:, start : start + n]
            scatter = residual**2 @ own**2
            if n > 1:
                scatter = (scatter - (residual @ own) ** 2 / n) * n / (n - 1)
            variance += scatter.clamp_min(0) * (1 - n / size.total)
        start += n
    return 2 * beta, 2 * variance.sqrt()


METHOD = Method(
    name="kernel_shap",
    title="KernelSHAP (baseline game)",
    complete=True,
    signed=True,
    direction="positive speaks for the target, negative against it",
    cost="3 F to 2 F + 2048 (or `samples`) forward rows for F parts, until the standard error is in tolerance",
    run=lambda engine, rows, told: kernel_shap(engine, rows, told.tolerance, told.samples, told.seed),
    valid_for=space_allows,
    slopes=False,
    in_audits=False,
)
