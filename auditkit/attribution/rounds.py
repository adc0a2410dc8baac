"""Rounds: what a sampled method found, again and again, and how far its mean may be off.

A round is a small set of draws that belong together (a point and its mirror image, every tenth of a path once), so that
its mean has a small variance; rounds are independent of each other, so that the spread of their means gives an honest
standard error. Draws are numbered, and what a draw looks like follows from the seed and its number alone: neither the
size of a batch nor the rows beside one change what it gets.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from torch import Tensor

from auditkit.engine.rows import Plan, Rows, Scorer
from auditkit.engine.space import Points

HELD = 2**22
"""numbers that the rounds of one plan may add up in"""


class Rounds:
    """The mean and standard error of equally weighted rounds, put together as they come.

    >>> rounds = Rounds()
    >>> rounds.add(torch.tensor([[1.0], [3.0]]))
    >>> rounds.add(torch.tensor([[2.0]]))
    >>> rounds.mean.item(), round(rounds.error.item(), 3)
    (2.0, 0.577)
    """

    def __init__(self) -> None:
        self.count = 0
        self.mean = torch.zeros(())
        self.squares = torch.zeros(())

    def add(self, found: Tensor) -> None:
        """Further rounds, float64 [rounds, ...]."""
        own, many = found.mean(dim=0), len(found)
        apart = own - self.mean
        total = self.count + many
        self.squares = self.squares + ((found - own) ** 2).sum(dim=0) + apart**2 * (self.count * many / total)
        self.mean = self.mean + apart * (many / total)
        self.count = total

    def take(self, kept: Tensor) -> Rounds:
        """The rounds of the rows that a boolean mask [n] keeps."""
        part = Rounds()
        part.count = self.count
        part.mean, part.squares = (x[kept] if x.ndim else x for x in (self.mean, self.squares))
        return part

    @property
    def error(self) -> Tensor:
        """The standard error of the mean; NaN after a single round."""
        if self.count < 2:
            return torch.full_like(self.mean, torch.nan)
        return (self.squares / (self.count - 1) / self.count).sqrt()


def gradient_rounds(
    engine: Scorer,
    rows: int,
    draws: range,
    size: int,
    build: Callable[[Tensor, Tensor], Rows],
    value: Callable[[Tensor, Tensor, Points], Points],
    add: Callable[[Points], None],
) -> None:
    """Gradients of `rows` examples at every draw, handed to `add` round by round as means [rounds, rows, ...], float64.

    draws: their numbers, `size` of them to a round. build(example, draw): the points. value(example, draw, gradients):
    what of a gradient is averaged.
    """
    held = None
    start = draws.start
    while start < draws.stop:
        together = 1 if held is None else max(1, HELD // held)
        stop = min(draws.stop, start + together * size)
        rounds = (stop - start) // size
        totals: Points = ()
        plan = Plan((stop - start) * rows, partial(_built, build, rows, start))
        for index, _, gradients in engine.gradients(plan):
            example, draw = index % rows, start + index // rows
            found = value(example, draw, gradients)
            if not totals:
                totals = tuple(
                    torch.zeros((rounds * rows, *part.shape[1:]), dtype=torch.float64, device=part.device)
                    for part in found
                )
            place = (index // rows) // size * rows + example
            for total, part in zip(totals, found, strict=True):
                total.index_add_(0, place, part.double())
        add(tuple((total / size).reshape(rounds, rows, *total.shape[1:]) for total in totals))
        held = sum(total.numel() for total in totals) // rounds
        start = stop


def _built(build: Callable[[Tensor, Tensor], Rows], rows: int, first: int, index: Tensor) -> Rows:
    return build(index % rows, first + index // rows)


class Noise:
    """Standard normal noise in the shape of a row's points, by the number of the draw.

    mirrored: every other draw is the draw before it with its sign changed.

    >>> noise = Noise((torch.zeros(1, 3),), seed=0)
    >>> bool((noise(torch.tensor([4])) [0] == -noise(torch.tensor([5]))[0]).all())
    True
    """

    def __init__(self, points: Points, seed: int, mirrored: bool = True) -> None:
        self.points, self.seed, self.mirrored = points, seed, mirrored
        self._known: dict[int, Points] = {}

    def __call__(self, draws: Tensor) -> Points:
        """Noise of each draw, [draws, ...] per point tensor."""
        distinct, place = torch.unique(draws.cpu(), return_inverse=True)
        self._known = {draw: self._known.get(draw) or self._made(draw) for draw in distinct.tolist()}
        found = list(self._known.values())
        return tuple(torch.stack(parts)[place.to(parts[0].device)] for parts in zip(*found, strict=True))

    def _made(self, draw: int) -> Points:
        number, sign = (draw // 2, 1 - 2 * (draw % 2)) if self.mirrored else (draw, 1)
        generator = np.random.default_rng([self.seed, number])
        return tuple(
            torch.from_numpy(sign * generator.standard_normal(part.shape[1:])).to(part.device, part.dtype)
            for part in self.points
        )


def spread(points: Points, share: float) -> Points:
    """The standard deviation of noise for each row: a share of the range of its numbers, [n, 1, ...] each."""
    widths = (part.flatten(1).amax(dim=1) - part.flatten(1).amin(dim=1) for part in points)
    return tuple(share * width.reshape(-1, *[1] * (part.ndim - 1)) for width, part in zip(widths, points, strict=True))
