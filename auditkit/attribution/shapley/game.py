"""The game: what a coalition of parts is worth.

A row of coalition S keeps its parts in S and has those of the baseline elsewhere, so that v(all) = f(x) and v(none) =
f(baseline). These two are known before and are never scored again. In the interventional game v(S) is the average over
background rows in the baseline's place.

**Players.** A part that a row lacks, that no number belongs to, or that is the same in row and baseline (in all
background rows) changes no coalition's worth, so its Shapley value is 0 and it is no player; leaving it out changes no
other value either. Rows with equally many players make one game and share their coalitions: player k is the k-th of
each row's own players.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from auditkit.attribution.explicands import Explicands, PartAttribution
from auditkit.attribution.shapley.coalition_rows import CoalitionRows, masks_of
from auditkit.engine.rows import Plan, Rows, Scorer
from auditkit.engine.space import Points

WORTHS = 2**22
"""scores that one game holds at once; more rows are played in several games"""
CACHED, LEAST = 2**17, 256
"""numbers of rows that are put together on a processor, and how many rows at least"""


@dataclass(frozen=True, slots=True)
class Game:
    """Rows with equally many players.

    rows: int64 [g], positions among the explicands. seats: int64 [g, players], the part that each player is.
    full, empty: float64 [g], what all players and none are worth. against: baselines of each row, [b, ...] shared
    by all rows; None for each row's own baseline.
    """

    engine: Scorer
    explicands: Explicands
    rows: Tensor
    seats: Tensor
    full: Tensor
    empty: Tensor
    against: Points | None = None

    @property
    def players(self) -> int:
        """How many players each row has."""
        return self.seats.shape[1]

    @property
    def change(self) -> Tensor:
        """float64 [g]: what the players share."""
        return self.full - self.empty

    @property
    def cost(self) -> int:
        """Rows that one coalition takes."""
        return 1 if self.against is None else len(self.against[0])

    def take(self, kept: Tensor) -> Game:
        """The rows at the given positions, or that a mask keeps."""
        chosen = (self.rows[kept], self.seats[kept], self.full[kept], self.empty[kept])
        return Game(self.engine, self.explicands, *chosen, self.against)

    def worth(self, coalitions: Tensor) -> Tensor:
        """float64 [g, m]: the worth of each coalition for each row; coalitions: bool [m, players]."""
        size = coalitions.sum(dim=1)
        inner = ((size > 0) & (size < self.players)).nonzero().flatten()
        worth = torch.where(size[None] > 0, self.full[:, None], self.empty[:, None])
        if len(inner):
            worth[:, inner] = self._scored(coalitions[inner])
        return worth

    def _scored(self, coalitions: Tensor) -> Tensor:
        """As `worth`, for as many rows at once as fill a batch; on a processor, for as many as stay in its cache."""
        given, baseline, partition = self.explicands.given, self.explicands.baseline, self.explicands.partition
        masks = masks_of(coalitions, given.points, partition)
        each, wide = len(coalitions) * self.cost, sum(label.numel() for label in partition.labels)
        cached = max(CACHED // wide, LEAST) if coalitions.device.type == "cpu" else self.engine.size
        found, start = [], 0
        while start < len(self.rows):
            some = slice(start, start + max(1, min(self.engine.size, cached) // each))
            rows, start = self.rows[some], some.stop
            absent = baseline.take(rows) if self.against is None else self.against
            told = (absent, self.against is not None, self.seats[some], coalitions, partition, masks)
            block = CoalitionRows(given.take(rows), *told)
            k, m, b = block.shape
            found.append(self.engine.scores(Plan(k * m * b, block.build)).reshape(k, m, b).mean(dim=2))
        return torch.cat(found)


def games(
    engine: Scorer,
    explicands: Explicands,
    worths: Callable[[int], int],
    against: Points | None = None,
    empty: Tensor | None = None,
) -> Iterator[Game]:
    """All rows, in games of equally many players; rows without any are in none, for nothing is to be shared.

    worths: how many coalitions a method scores for so many players, for the rows that fit in one game. against: the
    background rows' points [b, ...] of the interventional game, None for the baseline game. empty: float64 [n], the
    score without any part, the baseline's where None.
    """
    playing = players_of(explicands, against)
    empty = explicands.baseline_scores if empty is None else empty
    count = playing.sum(dim=1)
    for players in torch.unique(count[count > 0]).tolist():
        together = (count == players).nonzero().flatten()
        for rows in together.split(max(1, WORTHS // worths(players))):
            seats = playing[rows].nonzero()[:, 1].reshape(len(rows), players)
            yield Game(engine, explicands, rows, seats, explicands.scores[rows], empty[rows], against)


def players_of(explicands: Explicands, against: Points | None = None) -> Tensor:
    """bool [n, parts]: which parts of each row can change what a coalition is worth."""
    given, partition = explicands.given.points, explicands.partition
    if against is None:
        others = [explicands.baseline.points]
    else:
        others = [tuple(part[place : place + 1] for part in against) for place in range(len(against[0]))]
    playing = torch.zeros((len(explicands), len(partition.parts)), dtype=torch.bool, device=given[0].device)
    for other in others:
        playing |= partition.sums(tuple((x != b).double() for x, b in zip(given, other, strict=True))) > 0
    return playing if explicands.present is None else playing & explicands.present


def background_scores(engine: Scorer, explicands: Explicands, against: Points) -> Tensor:
    """float64 [n]: each row's target at the background rows, on average."""
    given, b = explicands.given, len(against[0])
    if given.held:

        def own(index: Tensor) -> Rows:
            rows = given.take(index // b)
            return Rows(tuple(part[index % b] for part in against), rows.contrast, rows.held)

        return engine.scores(Plan(len(given) * b, own)).reshape(-1, b).mean(dim=1)
    return given.contrast.double() @ engine.outputs(against).mean(dim=0)


class Tally:
    """What the games found, put together for all rows. values, errors: float64 [n, parts]; evaluations: int64 [n].

    base: float64 [n], where values begin to add up from, of the interventional game.
    """

    def __init__(self, explicands: Explicands, base: Tensor | None = None) -> None:
        self.base = base
        n, parts = len(explicands), len(explicands.partition.parts)
        self.explicands, device = explicands, explicands.scores.device
        self.values = torch.zeros((n, parts), dtype=torch.float64, device=device)
        self.errors = torch.zeros_like(self.values)
        self.evaluations = torch.zeros(n, dtype=torch.int64)
        self.converged = torch.ones(n, dtype=torch.bool)

    def enter(self, game: Game, values: Tensor, errors: Tensor | None = None) -> None:
        """Values [g, players] of a game's rows, and their standard errors."""
        self.values[game.rows[:, None], game.seats] = values
        if errors is not None:
            self.errors[game.rows[:, None], game.seats] = errors

    def count(self, game: Game, coalitions: int) -> None:
        """So many coalitions were scored for each row of a game."""
        self.evaluations[game.rows.cpu()] += coalitions * game.cost

    def attribution(self, sampled: bool) -> PartAttribution:
        """As a method hands it back; each place of a map has its share of its part's value."""
        cells, maps = self.explicands.cells, None
        if cells is not None:
            sizes = torch.bincount(cells.flatten(), minlength=self.values.shape[1])
            maps = (self.values / sizes)[:, cells.flatten()].reshape(len(self.values), *cells.shape)
        return PartAttribution(
            self.values,
            self.evaluations.numpy(),
            maps,
            converged=self.converged.numpy() if sampled else None,
            errors=self.errors if sampled else None,
            base=self.base,
        )
