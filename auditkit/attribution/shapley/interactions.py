"""Interactions: what two parts do together that neither does alone.

The Shapley interaction of a pair is what revealing both adds beyond what revealing each adds, averaged over the
coalitions they may join,

    I_ij = Σ_{T ⊆ N∖ij} |T|! (F - |T| - 2)! / (F - 1)! · (v(T ∪ ij) - v(T ∪ i) - v(T ∪ j) + v(T))

and k-SII of order two divides the whole change among single parts and pairs: a part keeps φ_i - ½ Σ_j I_ij. Here a
pair's interaction stands half at [i, j] and half at [j, i], a part's own effect at [i, i], so that the lines add up to
Shapley values and everything adds up to f(x) - f(baseline).

Up to 12 parts that differ from the baseline all 2^F coalitions are scored and one matrix product gives the interactions
of all rows. Beyond, they are estimated row by row from samples (KernelSHAP-IQ of shapiq).

Baseline game: absent parts have the baseline's values.

Source: Grabisch and Roubens, "An axiomatic approach to the concept of interaction among players in cooperative games",
1999; Bord and von Luxburg, "From Shapley Values to Generalized Additive Models and back", AISTATS 2023,
arXiv:2209.04012; Fumagalli, Muschalik, Hüllermeier, Hammer, "KernelSHAP-IQ", ICML 2024, arXiv:2405.10852.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import factorial
from typing import NamedTuple, cast

import numpy as np
import torch
from torch import Tensor, nn

from auditkit.attribution import baselines
from auditkit.attribution.collected import Collected
from auditkit.attribution.explicands import Baseline, Explicands
from auditkit.attribution.method import Method, space_allows
from auditkit.attribution.rows_of_tensors import in_chunks, parts_of, tensors
from auditkit.attribution.settings import Settings
from auditkit.attribution.shapley.exact import every_coalition, shares
from auditkit.attribution.shapley.game import Game, games
from auditkit.attribution.targets import Target
from auditkit.engine.batch_size import rows_at_once
from auditkit.engine.plain import PlainModel
from auditkit.engine.rows import Scorer
from auditkit.engine.space import InputSpace, SpaceError
from auditkit.errors import InputError

PLAYERS = 12
"""up to so many players all coalitions are scored"""


class Pair(NamedTuple):
    """Two parts by their numbers. strength: the mean |I| over rows, with its standard error. mean: the mean I."""

    first: int
    second: int
    strength: float
    standard_error: float
    mean: float


@dataclass(frozen=True, slots=True)
class Interactions:
    """k-SII of order two.

    values: float64 [n, parts, parts], symmetric: a part's own effect at [i, i], half a pair's interaction at [i, j] and
    at [j, i]. shapley: float64 [n, parts], the sums of its lines. scores, baseline_scores: float64 [n]. gap: float64
    [n], what all values miss of the change in score. evaluations: int64 [n]. exact: bool [n], whether all coalitions
    were scored.
    """

    values: Tensor
    scores: Tensor
    baseline_scores: Tensor
    evaluations: np.ndarray
    exact: np.ndarray
    target: str
    baseline: str

    @property
    def shapley(self) -> Tensor:
        """float64 [n, parts]: each part's Shapley value."""
        return self.values.sum(dim=2)

    @property
    def gap(self) -> Tensor:
        """float64 [n]: the sum of all values less the change in score."""
        return self.values.sum(dim=(1, 2)) - (self.scores - self.baseline_scores)

    def pairs(self, most: int = 10) -> list[Pair]:
        """The pairs that interact most over all rows, the strongest first."""
        parts = self.values.shape[1]
        first, second = torch.triu_indices(parts, parts, 1, device=self.values.device)
        every = 2 * self.values[:, first, second]
        strength, mean, n = every.abs().mean(dim=0), every.mean(dim=0), len(every)
        error = every.abs().std(dim=0, correction=min(1, n - 1)) / n**0.5
        order = strength.argsort(descending=True)[:most]
        columns = (part[order].tolist() for part in (first, second, strength, error, mean))
        return [Pair(*line) for line in zip(*columns, strict=True)]


def interactions(
    model: nn.Module | Callable[..., Tensor],
    inputs: Tensor | Sequence[Tensor],
    *,
    target: Target = "predicted",
    baseline: baselines.Given = None,
    reference: Tensor | Sequence[Tensor] | None = None,
    groups: Tensor | Sequence[Tensor] | None = None,
    samples: int | None = None,
    batch_size: int | None = None,
    seed: int = 0,
) -> Interactions:
    """How pairs of parts act together on a model's score, row by row.

    All but samples as in `explain`. samples: coalitions scored for each row with more than 12 parts that differ from
    the baseline; 1024, or two for each part and pair, where None. Raises InputError where the inputs cannot be
    perturbed, or for fewer samples than there are parts and pairs of them.

    >>> found = interactions(lambda x: x[:, 0] * x[:, 1] + x[:, 2], torch.tensor([[2.0, 3.0, 1.0]]))
    >>> found.values[0].round(decimals=6).abs().tolist()
    [[0.0, 3.0, 0.0], [3.0, 0.0, 0.0], [0.0, 0.0, 1.0]]
    >>> found.pairs(1)[0][:3]
    (0, 1, 6.0)
    """
    given = tensors(inputs, "inputs")
    if not len(given[0]):
        raise InputError("inputs: there are no rows to explain")
    known = PlainModel.of(model, given)
    with known.evaluating():
        try:
            space = InputSpace.trace(known, given)
        except SpaceError as problem:
            raise InputError(f"the inputs cannot be attributed to: {problem}") from None
        engine = Scorer(known, space, batch_size or rows_at_once(known, given))
        usual = None if reference is None else tensors(reference, "reference")
        points, told = baselines.points_of(known, space, baseline, given, usual, seed)
        partition = parts_of(space, given, groups)
        compared = Baseline(points, told, 0)
        found, settings = Collected(len(given[0])), Settings(samples=samples, seed=seed)
        for chunk in in_chunks(engine, given, target, compared, partition, _PAIRS, settings):
            part, rows = cast(_Found, chunk.found), chunk.explicands
            found.put(chunk.some, values=part.values, evaluations=part.evaluations, exact=part.exact)
            found.put(chunk.some, scores=rows.scores, base=rows.baseline_scores)
    return Interactions(
        found["values"], found["scores"], found["base"], found["evaluations"], found["exact"], chunk.target, told
    )


@dataclass(frozen=True, slots=True)
class _Found:
    """Of some rows. values: float64 [n, parts, parts]; evaluations: int64 [n]; exact: bool [n]."""

    values: Tensor
    evaluations: np.ndarray
    exact: np.ndarray


def pair_interactions(engine: Scorer, explicands: Explicands, settings: Settings) -> _Found:
    """k-SII of every row, as in `Interactions`."""
    n, parts = len(explicands), len(explicands.partition.parts)
    values = torch.zeros((n, parts, parts), dtype=torch.float64, device=explicands.scores.device)
    evaluations, exact = np.zeros(n, dtype=np.int64), np.ones(n, dtype=bool)
    for game in games(engine, explicands, lambda players: max(players**2, 2 ** min(players, PLAYERS))):
        host = game.rows.cpu().numpy()
        if game.players <= PLAYERS:
            own = _scored(game)
            evaluations[host] = 2**game.players - 2
        else:
            own, evaluations[host] = _estimated(game, settings)
            exact[host] = False
        values[game.rows[:, None, None], game.seats[:, :, None], game.seats[:, None, :]] = own
    return _Found(values, evaluations, exact)


def _scored(game: Game) -> Tensor:
    """float64 [g, players, players], from all coalitions."""
    coalitions = every_coalition(game.players, game.seats.device)
    worth = game.worth(coalitions)
    pairs = torch.triu_indices(game.players, game.players, 1, device=worth.device)
    shapley, interaction = worth @ shares(coalitions), worth @ pair_shares(coalitions, pairs)
    shared = _arranged(torch.zeros_like(shapley), interaction, pairs).sum(dim=2)
    return _arranged(shapley - shared, interaction, pairs)


def pair_shares(coalitions: Tensor, pairs: Tensor) -> Tensor:
    """float64 [2^F, pairs]: how each coalition's worth enters each pair's interaction.

    coalitions: all, bool [2^F, F]. pairs: int64 [2, pairs].

    >>> pair_shares(every_coalition(2), torch.tensor([[0], [1]])).flatten().tolist()
    [1.0, -1.0, -1.0, 1.0]
    """
    players = coalitions.shape[1]
    inside = coalitions[:, pairs].sum(dim=1)
    others = coalitions.sum(dim=1, keepdim=True) - inside
    weights = [factorial(t) * factorial(players - t - 2) / factorial(players - 1) for t in range(players - 1)]
    weight = torch.tensor(weights or [0.0], dtype=torch.float64, device=coalitions.device)[others]
    return torch.where(inside == 1, -weight, weight)


def _estimated(game: Game, settings: Settings) -> tuple[Tensor, list[int]]:
    """float64 [g, players, players] from samples, row by row, and how many coalitions were scored for each."""
    from shapiq import KernelSHAPIQ

    players = game.players
    unknown = players * (players + 1) // 2
    samples = max(1024, 2 * unknown) if settings.samples is None else settings.samples
    if samples < unknown:
        raise InputError(
            f"interactions: {samples} samples are fewer than the {unknown} effects of {players} parts and their pairs; "
            "take more samples, or join parts (groups)"
        )
    pairs = torch.triu_indices(players, players, 1, device=game.seats.device)
    single, double, spent = [], [], []
    for place in range(len(game.rows)):
        row = game.take(torch.tensor([place], device=game.rows.device))

        def worth(coalitions: np.ndarray, row: Game = row) -> np.ndarray:
            asked = torch.from_numpy(np.asarray(coalitions, dtype=bool)).to(row.seats.device)
            return row.worth(asked)[0].cpu().numpy() - float(row.empty)

        before = game.engine.forwards
        sampler = KernelSHAPIQ(players, max_order=2, index="k-SII", pairing_trick=True, random_state=settings.seed)
        found = sampler.approximate(samples, worth)
        own, both = (torch.from_numpy(np.asarray(found.get_n_order_values(order))) for order in (1, 2))
        spent.append(game.engine.forwards - before)
        double.append(both.to(pairs.device)[pairs[0], pairs[1]])
        single.append(own.to(pairs.device))
    return _arranged(torch.stack(single).double(), torch.stack(double).double(), pairs), spent


def _arranged(own: Tensor, interaction: Tensor, pairs: Tensor) -> Tensor:
    """[g, F, F] with the parts' own effects [g, F] at [i, i] and half of each pair's [g, pairs] to either side."""
    values = torch.diag_embed(own)
    values[:, pairs[0], pairs[1]] = values[:, pairs[1], pairs[0]] = interaction / 2
    return values


_PAIRS = Method(
    name="interactions",
    title="Shapley interactions of pairs (baseline game)",
    complete=True,
    signed=True,
    direction="positive: together the two parts add more than each alone",
    cost="2^F - 2 forward rows for up to 12 parts, else `samples`",
    run=pair_interactions,  # type: ignore[arg-type]
    valid_for=space_allows,
    slopes=False,
    in_audits=False,
)
