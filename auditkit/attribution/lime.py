"""LIME: the linear model that answers most like the network near a row, where some of its parts are at the baseline.

With z_i = 1 where part i is the row's own and 0 where it is the baseline's,

    minimise over φ   Σ_z π(z) (f(z) - φ_0 - Σ_i φ_i z_i)²,   π(z) = exp(-(1 - cos(z, 1))² / 2 width²)

cos(z, 1) is the root of the share of parts that are kept, and the width 0.25, as in the authors' code for texts and
pictures. The fit is plain least squares: without a penalty it is exact for a function that is linear in its parts,
which a Lasso is not. It does not add up to the change in score where parts interact.

Masks are drawn from the kernel's own distribution, so that every one of them counts as much, and are shared by all rows
with equally many parts: one factorisation solves them all. Where all masks are affordable, each is scored once,
weighted by π, and nothing is left to chance. Standard errors are the sandwich estimate that holds although the linear
model is wrong, with residuals as they would be had the mask been left out (HC3). Masks are doubled for the rows whose
largest standard error is above the tolerance times their largest value, until `samples` are spent.

Source: Ribeiro, Singh, Guestrin, "Why Should I Trust You?", KDD 2016, arXiv:1602.04938; standard errors: White, "A
Heteroskedasticity-Consistent Covariance Matrix Estimator", Econometrica 48, 1980; MacKinnon and White, Journal of
Econometrics 29, 1985.
"""

from __future__ import annotations

from math import comb

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from auditkit.attribution.explicands import Explicands, PartAttribution
from auditkit.attribution.method import Method, space_allows
from auditkit.attribution.shapley.game import Tally, games
from auditkit.engine.rows import Scorer

WIDTH = 0.25
FIRST = 64
"""masks to begin with, where there are few parts"""


def lime(
    engine: Scorer, explicands: Explicands, tolerance: float = 0.01, samples: int | None = None, seed: int = 0
) -> PartAttribution:
    """The slopes of every row's local linear model, with standard errors.

    samples: masks at most, 2 F + 2048 for F parts where None; raised to eight more than four for each part where fewer.
    """
    tally = Tally(explicands)
    for game in games(engine, explicands, lambda players: _most(players, samples)):
        players, device = game.players, game.seats.device
        rng, most, taken = np.random.default_rng([seed, players]), _most(players, samples), _least(players)
        every = 2**players
        masks = np.zeros((0, players), dtype=bool)
        worth = torch.zeros((len(game.rows), 0), dtype=torch.float64, device=device)
        while len(game.rows):
            listed = every <= min(most, 2 * taken)
            fresh = all_masks(players) if listed else drawn_masks(players, taken - len(masks), rng)
            found = game.worth(torch.from_numpy(fresh).to(device))
            tally.count(game, len(fresh))
            masks, worth = (fresh, found) if listed else (np.concatenate([masks, fresh]), torch.cat([worth, found], 1))
            slopes, errors = fitted(torch.from_numpy(masks).to(device), worth, kernel(masks) if listed else None)
            tally.enter(game, slopes, errors)
            vague = errors.amax(dim=1) > tolerance * slopes.abs().amax(dim=1)
            if listed or taken >= most:
                tally.converged[game.rows[vague].cpu()] = False
                break
            game, worth, taken = game.take(vague), worth[vague], min(2 * taken, most)
    return tally.attribution(sampled=True)


def _least(players: int) -> int:
    return max(FIRST, 4 * players + 8)


def _most(players: int, samples: int | None) -> int:
    """Masks that one row may take."""
    return max(_least(players), 2 * players + 2048) if samples is None else max(samples, 4 * players + 8)


def kernel(masks: npt.NDArray[np.bool_]) -> npt.NDArray[np.float64]:
    """π of each mask [m, players]: 1 where all parts are kept.

    >>> kernel(np.array([[True, True, True, True], [True, False, False, False]])).round(3).tolist()
    [1.0, 0.135]
    """
    return np.asarray(_nearness(masks.mean(axis=1)))


def _nearness(share: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return np.asarray(np.exp(-0.5 * ((1 - np.sqrt(share)) / WIDTH) ** 2))


def all_masks(players: int) -> npt.NDArray[np.bool_]:
    """bool [2^players, players]: every mask.

    >>> all_masks(2).astype(int).tolist()
    [[0, 0], [1, 0], [0, 1], [1, 1]]
    """
    return (np.arange(2**players)[:, None] >> np.arange(players)) % 2 == 1


def drawn_masks(players: int, count: int, rng: np.random.Generator) -> npt.NDArray[np.bool_]:
    """bool [count, players]: masks drawn with a probability in proportion to π."""
    sizes = np.arange(players + 1)
    likely = np.array([float(comb(players, size)) for size in sizes]) * _nearness(sizes / players)
    chosen = rng.choice(sizes, size=count, p=likely / likely.sum())
    return np.asarray(rng.random((count, players)).argsort(axis=1) < chosen[:, None])


def fitted(masks: Tensor, worth: Tensor, weights: npt.NDArray[np.float64] | None = None) -> tuple[Tensor, Tensor]:
    """Slopes of a least squares fit with a constant, and their standard errors: float64 [rows, players] each.

    masks: bool [m, players]. worth: float64 [rows, m]. weights: of all masks that there are, which leaves no error;
    None for masks that were drawn, each of which counts the same.

    >>> masks = torch.from_numpy(all_masks(2))
    >>> fitted(masks, torch.tensor([[1.0, 3, 0, 2]]).double(), np.ones(4))[0].round(decimals=9).tolist()
    [[2.0, -1.0]]
    """
    x = torch.cat([torch.ones_like(masks[:, :1]), masks], dim=1).double()
    weighted = x if weights is None else x * torch.from_numpy(weights).to(x)[:, None]
    pull = torch.linalg.pinv(weighted.T @ x, hermitian=True) @ weighted.T
    answer = worth @ pull.T
    if weights is not None:
        return answer[:, 1:], torch.zeros_like(answer[:, 1:])
    leverage = (pull.T * x).sum(dim=1).clamp(max=0.999)
    left = (worth - answer @ x.T) / (1 - leverage)
    return answer[:, 1:], (left**2 @ (pull.T**2)).sqrt()[:, 1:]


METHOD = Method(
    name="lime",
    title="LIME",
    complete=False,
    signed=True,
    direction="positive: near the row, keeping the part rather than its baseline raises the target",
    cost="64 to 2 F + 2048 (or `samples`) forward rows for F parts, until the standard error is in tolerance",
    run=lambda engine, rows, told: lime(engine, rows, told.tolerance, told.samples, told.seed),
    valid_for=space_allows,
    slopes=False,
    in_audits=False,
)
