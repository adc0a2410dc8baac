"""Paired sampling: coalitions with their complements, doubled until the values are as exact as was asked for.

What is made of their worths is told (`Solve`): a least squares fit (`kernel`), or a Gaussian process (`gaussian`).
Only half the difference between a coalition's worth and its complement's carries anything about Shapley values, so that
is all that is kept. Rows with equally many players share their coalitions, and whatever is solved is solved for all of
them at once. Where a budget covers all coalitions the least squares fit is exact, and is taken.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import torch
from torch import Tensor

from auditkit.attribution.explicands import Explicands, PartAttribution
from auditkit.attribution.shapley.coalitions import Size, allotted, sizes_of
from auditkit.attribution.shapley.game import Game, Tally, background_scores, games
from auditkit.engine.rows import Scorer
from auditkit.engine.space import Points

Solve: TypeAlias = Callable[[Tensor, list[Size], list[Tensor]], tuple[Tensor, Tensor]]
"""(change in score float64 [g]; sizes; by size, half the differences in worth float64 [g, pairs] of the first pairs of
its order) → Shapley values and their standard errors, float64 [g, players] each"""
FIRST_PAIRS = 64


def paired(
    engine: Scorer,
    explicands: Explicands,
    solve: Solve,
    tolerance: float,
    samples: int | None,
    seed: int,
    against: Points | None = None,
) -> PartAttribution:
    """Shapley values of every row, with standard errors.

    tolerance: the largest standard error of a row, as a share of its largest value, at which it is left be; 0 spends
    all samples at once. samples:
    coalitions at most, 2 F + 2048 where None; raised to three for each part where fewer. against: background points
    [b, ...] of the interventional game, None for the baseline game.
    """
    base = None if against is None else background_scores(engine, explicands, against)
    tally = Tally(explicands, base)
    for game in games(engine, explicands, lambda players: _most(players, samples), against, base):
        if game.players == 1:
            tally.enter(game, game.change[:, None])
        else:
            _play(game, tally, solve, tolerance, _most(game.players, samples) // 2, sizes_of(game.players, seed))
    return tally.attribution(sampled=True)


def _play(game: Game, tally: Tally, solve: Solve, tolerance: float, most: int, sizes: list[Size]) -> None:
    """Score pairs of one game until each of its rows is in tolerance, or the most are spent."""
    total = sum(size.total for size in sizes)
    seen = [torch.zeros((len(game.rows), 0), dtype=torch.float64, device=game.seats.device) for _ in sizes]
    pairs = max(FIRST_PAIRS, _least(game.players)) if tolerance > 0 else most
    while len(game.rows):
        pairs = total if total <= min(most, 2 * pairs) else min(pairs, most)
        counts = [max(n, old.shape[1]) for n, old in zip(allotted(sizes, pairs), seen, strict=True)]
        fresh = _fresh(game, sizes, seen, counts)
        tally.count(game, 2 * sum(part.shape[1] for part in fresh))
        seen = [torch.cat(both, dim=1) for both in zip(seen, fresh, strict=True)]
        values, errors = solve(game.change, sizes, seen)
        tally.enter(game, values, errors)
        wanting = errors.amax(dim=1) > tolerance * values.abs().amax(dim=1)
        if pairs == min(most, total):
            tally.converged[game.rows[wanting].cpu()] = False
            return
        game, seen = game.take(wanting), [part[wanting] for part in seen]
        pairs *= 2


def _least(players: int) -> int:
    """Pairs that are always taken: one for each player, and one more for each size."""
    return players + players // 2


def _most(players: int, samples: int | None) -> int:
    return max(2 * players + 2048 if samples is None else samples, 2 * _least(players))


def _fresh(game: Game, sizes: list[Size], seen: list[Tensor], counts: list[int]) -> list[Tensor]:
    """By size, half the differences in worth [g, new] of the pairs that have not been seen."""
    triples = zip(sizes, counts, seen, strict=True)
    drawn = [torch.from_numpy(size.first(count)[old.shape[1] :]) for size, count, old in triples]
    smaller = torch.cat(drawn).to(game.seats.device)
    worth = game.worth(torch.cat([smaller, ~smaller]))
    half = (worth[:, : len(smaller)] - worth[:, len(smaller) :]) / 2
    return list(half.split([len(part) for part in drawn], dim=1))


def signs_of(sizes: list[Size], halves: list[Tensor]) -> Tensor:
    """float64 [pairs, players]: 1 for a player in a pair's smaller half, -1 for one in the other, in order of size."""
    taken = [size.first(part.shape[1]) for size, part in zip(sizes, halves, strict=True)]
    return torch.cat([torch.from_numpy(pairs) for pairs in taken]).to(halves[0].device).double() * 2 - 1
