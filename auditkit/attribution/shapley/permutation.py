"""Permutation Shapley values: parts are revealed one by one in random orders, and what each adds is averaged.

Every order is also walked backwards. A part that comes early one way comes late the other, so that the two errors
partly cancel; they do so wholly where only pairs of parts interact. An order takes F - 1 forward rows, since its ends
are the row and its baseline, and its steps add up to the whole change: every sample is complete, and so is the mean.
All rows share the orders. Standard errors come from the spread of the pairs' means; pairs are doubled for the rows
whose largest standard error is above the tolerance times their largest value, until `samples` orders are walked.

Baseline game: absent parts have the baseline's values.

Source: Castro, Gómez, Tejada, "Polynomial calculation of the Shapley value based on sampling", Computers & Operations
Research 2009; antithetic orders: Mitchell, Cooper, Frank, Holmes, "Sampling Permutations for Shapley Value
Estimation", JMLR 2022, arXiv:2104.12199.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from auditkit.attribution.explicands import Explicands, PartAttribution
from auditkit.attribution.method import Method, space_allows
from auditkit.attribution.shapley.game import Game, Tally, games
from auditkit.engine.rows import Scorer

SAMPLES = 128
FIRST_PAIRS = 4
WALKED = 2**10
"""coalitions whose worth is held at once for each row"""


def permutation_shapley(
    engine: Scorer, explicands: Explicands, tolerance: float = 0.01, samples: int | None = None, seed: int = 0
) -> PartAttribution:
    """Shapley values of every row with standard errors. samples: orders at most, at least four; 128 where None."""
    most = max(2, -(-(SAMPLES if samples is None else samples) // 2))
    tally = Tally(explicands)
    for game in games(engine, explicands, lambda players: max(WALKED, 2 * players)):
        generator = torch.Generator().manual_seed(seed)
        mean, spread = torch.zeros((2, *game.seats.shape), dtype=torch.float64, device=game.seats.device)
        pairs = 0
        while len(game.rows):
            reach = min(max(FIRST_PAIRS, 2 * pairs), most)
            for found in _walks(game, reach - pairs, generator):
                more, centre = found.shape[1], found.mean(dim=1)
                apart, share = centre - mean, more / (pairs + more)
                spread += ((found - centre[:, None]) ** 2).sum(dim=1) + apart**2 * pairs * share
                mean += apart * share
                pairs += more
                tally.count(game, 2 * more * (game.players - 1))
            errors = (spread / (pairs - 1) / pairs).sqrt()
            tally.enter(game, mean, errors)
            open_ = errors.amax(dim=1) > tolerance * mean.abs().amax(dim=1)
            if pairs == most:
                tally.converged[game.rows[open_].cpu()] = False
                break
            game, mean, spread = game.take(open_), mean[open_], spread[open_]
    return tally.attribution(sampled=True)


def _walks(game: Game, pairs: int, generator: torch.Generator) -> Iterator[Tensor]:
    """float64 [g, few, players], a few pairs of orders at a time: what each player adds, the mean of both ways."""
    players, device = game.players, game.seats.device
    few = max(1, WALKED // (2 * players))
    for start in range(0, pairs, few):
        count = min(few, pairs - start)
        turn = torch.rand((count, players), generator=generator).argsort(dim=1).argsort(dim=1).to(device)
        turns = torch.stack([turn, players - 1 - turn], dim=1)
        steps = torch.arange(1, players, device=device)
        inside = turns[:, :, None, :] < steps[:, None]
        worth = game.worth(inside.reshape(-1, players)).reshape(len(game.rows), count, 2, players - 1)
        ends = (game.empty, game.full)
        empty, full = (end[:, None, None, None].expand(-1, count, 2, 1) for end in ends)
        added = torch.cat([empty, worth, full], dim=3).diff(dim=3)
        yield added.gather(3, turns[None].expand(len(added), -1, -1, -1)).mean(dim=2)


METHOD = Method(
    name="permutation_shapley",
    title="Permutation Shapley values (baseline game)",
    complete=True,
    signed=True,
    direction="positive speaks for the target, negative against it",
    cost="F - 1 forward rows an order of F parts, until the standard error is in tolerance or `samples` orders",
    run=lambda engine, rows, told: permutation_shapley(engine, rows, told.tolerance, told.samples, told.seed),
    valid_for=space_allows,
    slopes=False,
    in_audits=False,
)
