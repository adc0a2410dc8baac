"""Exact Shapley values: every coalition is scored once, and all values are one matrix product.

    φ = V C,   C[S, i] = (|S| - 1)! (F - |S|)! / F! where i ∈ S,  -|S|! (F - |S| - 1)! / F! where it is not

with V [rows, 2^F] the coalitions' worths: 2^F - 2 forward rows for a row with F players, where walking all orders takes
F · F!. Beyond 16 players it is refused; parts can then be joined into groups, or a sampling method be used.

Baseline game: absent parts have the baseline's values.

Source: Shapley, "A Value for n-Person Games", 1953.
"""

from __future__ import annotations

from math import factorial

import torch
from torch import Tensor

from auditkit.attribution.explicands import Explicands, PartAttribution
from auditkit.attribution.method import Method, space_allows
from auditkit.attribution.shapley.game import Tally, games, players_of
from auditkit.engine.rows import Scorer
from auditkit.errors import InputError

PLAYERS = 16


def exact_shapley(engine: Scorer, explicands: Explicands) -> PartAttribution:
    """Shapley values of every row, without error. Raises InputError where a row has more than 16 players."""
    most = int(players_of(explicands).sum(dim=1).max()) if len(explicands) else 0
    if most > PLAYERS:
        raise InputError(
            f"exact_shapley: a row has {most} parts that differ from the baseline, so 2^{most} coalitions; up to "
            f"{PLAYERS} parts can be scored one and all. Join parts (groups), or use kernel_shap or permutation_shapley"
        )
    tally = Tally(explicands)
    for game in games(engine, explicands, lambda players: 2**players):
        coalitions = every_coalition(game.players, game.seats.device)
        tally.enter(game, game.worth(coalitions) @ shares(coalitions))
        tally.count(game, len(coalitions) - 2)
    return tally.attribution(sampled=False)


def every_coalition(players: int, device: torch.device | None = None) -> Tensor:
    """bool [2^players, players]: all coalitions, in the order of their numbers in base two.

    >>> every_coalition(2).int().tolist()
    [[0, 0], [1, 0], [0, 1], [1, 1]]
    """
    numbers = torch.arange(2**players, device=device)
    return (numbers[:, None] >> torch.arange(players, device=device)) % 2 == 1


def shares(coalitions: Tensor) -> Tensor:
    """float64 [2^F, F]: how each coalition's worth enters each player's Shapley value; coalitions: all, bool [2^F, F].

    >>> torch.tensor([[0.0, 1, 2, 5]]).double() @ shares(every_coalition(2))
    tensor([[2., 3.]], dtype=torch.float64)
    """
    players = coalitions.shape[1]
    weights = [factorial(k) * factorial(players - k - 1) / factorial(players) for k in range(players)]
    weight = torch.tensor([0.0, *weights, 0.0], dtype=torch.float64, device=coalitions.device)
    size = coalitions.sum(dim=1)
    return torch.where(coalitions, weight[size][:, None], -weight[size + 1][:, None])


METHOD = Method(
    name="exact_shapley",
    title="Exact Shapley values (baseline game)",
    complete=True,
    signed=True,
    direction="positive speaks for the target, negative against it",
    cost="2^F - 2 forward rows for F parts that differ from the baseline, at most 16",
    run=lambda engine, rows, _told: exact_shapley(engine, rows),
    valid_for=space_allows,
    slopes=False,
    in_audits=False,
)
