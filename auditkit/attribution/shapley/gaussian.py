"""Shapley values by a Gaussian process: what the scored coalitions make likely about those that were not scored.

Half the difference in worth of a coalition and its complement is a function o(x) of x = ±1 for players inside and
outside. It is a sum over the sets T of oddly many players, and Shapley values are sums of the same coefficients,

    o(x) = Σ β_T Π_{i ∈ T} x_i,   φ_i = Σ_{T ∋ i} 2 β_T / |T|

With all β_T of one size alike and independent before anything is scored, covariances depend on the number of players
in which two coalitions differ only (Krawtchouk polynomials), and the values' mean and variance, given the scores, are
one Cholesky factorisation for all rows. KernelSHAP is the case in which only single players are believed in and all
else is noise; here the effects of three and more are learned as far as the scores tell them, which leaves a fraction of
its error at the same cost. How fast effects die away with their size is chosen for each row by its likelihood. The row
and its baseline are scores without doubt, so that values add up.

Standard errors are the process's own: how far values may still be from the truth if the row is like others of its
likelihood; they are no scatter over seeds. Pairs are sampled, doubled and stopped as in `paired`, up to 4,096
coalitions.

Baseline game: absent parts have the baseline's values.

Source: O'Hagan, "Bayes-Hermite Quadrature", Journal of Statistical Planning and Inference 1991, for the idea; Kondor
and Lafferty, "Diffusion Kernels on Graphs and Other Discrete Structures", ICML 2002, for kernels on the hypercube.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from auditkit.attribution.explicands import Explicands, PartAttribution
from auditkit.attribution.method import Method, space_allows
from auditkit.attribution.shapley.coalitions import Size
from auditkit.attribution.shapley.kernel import least_squares
from auditkit.attribution.shapley.paired import paired, signs_of
from auditkit.engine.rows import Scorer

SAMPLES = 4096
ORDER = 9
"""effects of more players at once are taken for noise"""
SINGLE = 10.0
"""variance of single players' effects; that of three players' is the decay, of five its square …"""
DECAYS = (1e-4, 1e-3, 0.01, 0.03, 0.1, 0.3, 1.0)
NOISE = 1e-9
"""variance of a score's rounding"""


def gaussian_shapley(
    engine: Scorer, explicands: Explicands, tolerance: float = 0.01, samples: int | None = None, seed: int = 0
) -> PartAttribution:
    """Shapley values of every row, with standard errors; the rest as in `paired.paired`."""
    most = None if samples is None else min(samples, SAMPLES)
    return paired(engine, explicands, posterior, tolerance, most, seed)


def posterior(change: Tensor, sizes: list[Size], halves: list[Tensor]) -> tuple[Tensor, Tensor]:
    """Shapley values and their standard errors, float64 [g, players] each; as `paired.Solve`."""
    if all(part.shape[1] == size.total for size, part in zip(sizes, halves, strict=True)):
        return least_squares(change, sizes, halves)
    scored = signs_of(sizes, halves)
    x = torch.cat([scored, torch.ones_like(scored[:1])])
    y = torch.cat([*halves, change[:, None] / 2], dim=1).T
    scale = y.square().mean(dim=0).sqrt().clamp_min(1e-300)
    y = y / scale
    unlikely = torch.stack([_unlikely(y, _Process(x, decay).factor) for decay in DECAYS])
    best = unlikely.argmin(dim=0)
    values, errors = torch.zeros((2, len(change), x.shape[1]), dtype=torch.float64, device=x.device)
    for place in best.unique().tolist():
        rows = best == place
        values[rows], errors[rows] = _Process(x, DECAYS[place]).told(y[:, rows])
    return values * scale[:, None], errors * scale[:, None]


def _unlikely(y: Tensor, factor: Tensor) -> Tensor:
    """float64 [g]: twice the negative logarithm of each row's likelihood at its best size, less what all share."""
    told = torch.linalg.solve_triangular(factor, y, upper=False)
    return len(y) * told.square().mean(dim=0).log() + 2 * factor.diagonal().log().sum()


class _Process:
    """What is believed before anything is scored, at coalitions x = ±1 [n, players], the last of which is all players.

    factor: float64 [n, n], lower triangular, of the covariance of their scores. known: [n, players], the covariance of
    these with the Shapley values. prior: these's variance.
    """

    def __init__(self, x: Tensor, decay: float) -> None:
        n, players = x.shape
        variances = np.array([SINGLE, *decay ** np.arange(1, (min(ORDER, players) + 1) // 2)])
        between, with_values = (part.to(x.device) for part in _covariances(players, variances))
        covariance = between[((players - x @ x.T) / 2).round().long()]
        covariance.diagonal()[: n - 1] += NOISE + (decay ** len(variances) if players > ORDER else 0.0)
        lacking = (x < 0).sum(dim=1, keepdim=True) - (x < 0).long()
        self.factor: Tensor = torch.linalg.cholesky(covariance)
        self.known = x * with_values[lacking]
        self.prior = float((4 * variances / (2 * np.arange(len(variances)) + 1)).sum() / players)

    def told(self, y: Tensor) -> tuple[Tensor, Tensor]:
        """Values and standard errors [g, players] given scores [n, g].

        The process's size is the larger of what its likelihood says and what each score says to the others: how far it
        is from where these would have put it.
        """
        n = len(y)
        inverse = torch.linalg.solve_triangular(self.factor, torch.eye(n).to(y), upper=False)
        pull, white = inverse @ self.known, inverse @ y
        left = (self.prior - pull.square().sum(dim=0)).clamp_min(1e-12 * self.prior)
        surprise = (inverse.T @ white).square() / inverse.square().sum(dim=0)[:, None]
        size = torch.maximum(white.square().mean(dim=0), surprise[:-1].mean(dim=0))
        return white.T @ pull, (size[:, None] * left).sqrt()


def _covariances(players: int, variances: np.ndarray) -> tuple[Tensor, Tensor]:
    """Of o at two coalitions, by the number of players in which they differ, float64 [players + 1]; and of a player's
    Shapley value with o at a coalition that has it, by how many of the others that lacks, float64 [players].

    variances: of all effects of 1, 3, 5 … players together.
    """
    orders = 2 * len(variances)
    between = variances @ krawtchouk(players, orders)[1::2]
    with_values = 2 / players * variances @ krawtchouk(players - 1, orders - 1)[0::2]
    return torch.from_numpy(between), torch.from_numpy(with_values)


def krawtchouk(players: int, orders: int) -> np.ndarray:
    """float64 [orders, players + 1]: the mean of Π_{i ∈ T} x_i over all T of 0, 1, … players, by how many x are -1.

    >>> krawtchouk(2, 3).tolist()
    [[1.0, 1.0, 1.0], [1.0, 0.0, -1.0], [1.0, -1.0, 1.0]]
    """
    share = players - 2.0 * np.arange(players + 1)
    found = [np.ones(players + 1), share / max(players, 1)]
    for order in range(1, orders - 1):
        left = players - order
        found.append((share * found[-1] - order * found[-2]) / left if left else np.zeros(players + 1))
    return np.stack(found[:orders])


METHOD = Method(
    name="gaussian_shapley",
    title="Gaussian-process Shapley values (baseline game)",
    complete=True,
    signed=True,
    direction="positive speaks for the target, negative against it",
    cost="3 F to 2 F + 2048 (or `samples`) forward rows for F parts, until the standard error is in tolerance",
    run=lambda engine, rows, told: gaussian_shapley(engine, rows, told.tolerance, told.samples, told.seed),
    valid_for=space_allows,
    slopes=False,
    in_audits=False,
)
