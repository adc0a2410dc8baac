"""Integrated Gradients: the gradient, averaged along the straight path from the baseline, times the way travelled.

    φ_i = (x_i - b_i) ∫₀¹ ∂f/∂x_i (b + t (x - b)) dt

It is complete (Σφ = f(x) - f(b)) up to the error of the integral, which is therefore measured and made small. A
Gauss-Legendre rule with S nodes is exact for polynomial paths of degree 2S - 1. What holds for the path holds for every
stretch of it: its attributions must add up to the change of the score between its ends, which a forward row tells. So
the path is first taken as a whole, and for rows whose relative completeness gap is above the tolerance those stretches
are halved, again and again, that miss their own change: steps go where the score bends (near a baseline of zeros, for
one, where a layer norm has its pole), and nowhere else. Rows that have not converged when their steps are spent keep
their last value and are named in a caveat.

Source: Sundararajan, Taly, Yan, "Axiomatic Attribution for Deep Networks", ICML 2017, arXiv:1703.01365.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from torch import Tensor

from auditkit.attribution.explicands import Explicands, PartAttribution, completeness_gap
from auditkit.attribution.method import Method, gradient_allows
from auditkit.engine.rows import Plan, Rows, Scorer

FIRST_STEPS, NEXT_STEPS = 8, 4
"""nodes on the whole path, and on a stretch of it"""
DECAY = 0.75
"""by how much less each further halving may leave unexplained"""
HELD = 2**22
"""numbers that the stretches worked on at once may add up in"""


def integrated_gradients(
    engine: Scorer, explicands: Explicands, tolerance: float = 0.01, maximum_steps: int = 4096
) -> PartAttribution:
    """Attributions of every row, each with as many steps as it takes to meet `tolerance` (relative gap)."""
    path = _Path(engine, explicands, tolerance, maximum_steps)
    todo, wide = _Stretches.whole(explicands), sum(part[0].numel() for part in explicands.given.points)
    steps, level = min(FIRST_STEPS, maximum_steps), 0
    while len(todo.row):
        parts = [path.walk(part, steps, level) for part in todo.split(HELD // wide)]
        todo, steps, level = _Stretches.joined(parts), NEXT_STEPS, level + 1
    return PartAttribution(
        path.values,
        path.evaluations.cpu().numpy(),
        path.maps,
        steps=path.steps.cpu().numpy(),
        converged=path.converged.cpu().numpy(),
    )


@dataclass(frozen=True, slots=True)
class _Stretches:
    """Pieces of rows' paths, by row: int64 [k]; start, stop: where on the path; low, high: the score there, float64."""

    row: Tensor
    start: Tensor
    stop: Tensor
    low: Tensor
    high: Tensor

    @classmethod
    def whole(cls, explicands: Explicands) -> _Stretches:
        """The whole path of every row."""
        end = explicands.scores
        row = torch.arange(len(explicands), device=end.device)
        return cls(row, torch.zeros_like(end), torch.ones_like(end), explicands.baseline_scores, end)

    @classmethod
    def joined(cls, parts: list[_Stretches]) -> _Stretches:
        """All of them."""
        return cls(*(torch.cat([getattr(part, name) for part in parts]) for name in cls.__dataclass_fields__))

    def take(self, kept: Tensor) -> _Stretches:
        """Those that a mask or an index keeps."""
        return _Stretches(*(getattr(self, name)[kept] for name in self.__dataclass_fields__))

    def split(self, most: int) -> list[_Stretches]:
        """Groups of about `most`, with all stretches of a row in one group."""
        if len(self.row) <= most:
            return [self]
        order = self.row.argsort(stable=True)
        _, counts = self.row[order].unique_consecutive(return_counts=True)
        groups: list[list[int]] = [[]]
        for count in counts.tolist():
            if groups[-1] and sum(groups[-1]) + count > most:
                groups.append([])
            groups[-1].append(count)
        return [self.take(part) for part in order.split([sum(group) for group in groups])]


class _Path:
    """The rows' attributions so far, and the stretches of their paths that are still to be halved."""

    def __init__(self, engine: Scorer, explicands: Explicands, tolerance: float, maximum_steps: int) -> None:
        self.engine, self.explicands = engine, explicands
        self.tolerance, self.maximum_steps = tolerance, maximum_steps
        zeros = torch.zeros_like(explicands.scores)
        count = zeros.long()
        self.values = zeros.new_zeros((len(zeros), len(explicands.partition.parts)))
        cells = explicands.cells
        self.maps = None if cells is None else zeros.new_zeros((len(zeros), *cells.shape))
        self.missed, self.steps, self.evaluations, self.converged = zeros, count, count.clone(), count.bool()

    def walk(self, todo: _Stretches, steps: int, level: int) -> _Stretches:
        """Integrate stretches; keep what is good enough and hand back the halves of the others."""
        found, maps = self._integrate(todo, steps)
        gap = found.sum(dim=1) - (todo.high - todo.low)
        for spent in (self.steps, self.evaluations):
            spent.index_add_(0, todo.row, torch.full_like(todo.row, steps))
        rows, at = todo.row.unique(return_inverse=True)
        whole, missed = self.values[rows].index_add_(0, at, found), self.missed[rows].index_add_(0, at, gap)
        change = whole.sum(dim=1) - missed
        fine = completeness_gap(whole, change)[1] <= self.tolerance
        self.converged[rows] = fine
        halved = ~fine[at] & self._misses(at, gap, whole, change, level)
        wanted = torch.zeros_like(rows).index_add_(0, at, 2 * NEXT_STEPS * halved.long())
        halved &= (self.steps[rows] + wanted <= self.maximum_steps)[at]
        done = (~halved).nonzero().flatten()
        kept = todo.row[done]
        self.values.index_add_(0, kept, found[done])
        self.missed.index_add_(0, kept, gap[done])
        if self.maps is not None and maps is not None:
            self.maps.index_add_(0, kept, maps[done])
        return self._halves(todo.take(halved.nonzero().flatten()))

    def _misses(self, at: Tensor, gap: Tensor, whole: Tensor, change: Tensor, level: int) -> Tensor:
        """Which stretches miss more than their share of what may be missed, and of each row the worst.

        at: each stretch's row among those that `whole` and `change` are of.
        """
        scale = torch.maximum(change.abs(), whole.norm(p=1, dim=1) / 10)
        count = torch.bincount(at, minlength=len(scale))
        share = 0.5 * self.tolerance * DECAY**level * scale / count
        most = torch.zeros_like(scale).scatter_reduce(0, at, gap.abs(), "amax")
        return (gap.abs() > share[at]) | (gap.abs() >= most[at])

    def _halves(self, todo: _Stretches) -> _Stretches:
        if not len(todo.row):
            return todo
        middle = (todo.start + todo.stop) / 2
        score = self.engine.scores(Plan(len(middle), lambda index: self._rows(todo.row[index], middle[index])))
        self.evaluations.index_add_(0, todo.row, torch.ones_like(todo.row))
        ends = ((todo.start, middle), (middle, todo.stop), (todo.low, score), (score, todo.high))
        return _Stretches(todo.row.repeat(2), *(torch.cat(pair) for pair in ends))

    def _integrate(self, todo: _Stretches, steps: int) -> tuple[Tensor, Tensor | None]:
        """float64 attributions of each stretch by a rule of `steps` nodes, [k, parts], and maps if any."""
        nodes, weights = (torch.from_numpy(part).to(todo.row.device) for part in rule(steps))
        width = todo.stop - todo.start

        def build(index: Tensor) -> Rows:
            piece = index // steps
            return self._rows(todo.row[piece], todo.start[piece] + nodes[index % steps] * width[piece])

        given, starts = self.explicands.given.take(todo.row).points, self.explicands.baseline.take(todo.row)
        total = tuple(part.new_zeros(part.shape, dtype=torch.float64) for part in given)
        for index, _, slopes in self.engine.gradients(Plan(len(todo.row) * steps, build)):
            weight = weights[index % steps]
            for whole, slope in zip(total, slopes, strict=True):
                whole.index_add_(0, index // steps, slope.double() * wide(weight, slope))
        shares = tuple(
            (x.double() - b.double()) * slope * wide(width, slope)
            for x, b, slope in zip(given, starts, total, strict=True)
        )
        return self.explicands.partition.sums(shares), self.explicands.maps(shares)

    def _rows(self, row: Tensor, along: Tensor) -> Rows:
        """The points of rows at places along their paths."""
        given, starts = self.explicands.given.take(row), self.explicands.baseline.take(row)
        pairs = zip(given.points, starts, strict=True)
        points = tuple(torch.lerp(b, x, wide(along, x).to(x.dtype)) for x, b in pairs)
        return Rows(points, given.contrast, given.held)


@cache
def rule(steps: int) -> tuple[np.ndarray, np.ndarray]:
    """Nodes and weights of a Gauss-Legendre rule on [0, 1]."""
    nodes, weights = np.polynomial.legendre.leggauss(steps)
    return (nodes + 1) / 2, weights / 2


def wide(values: Tensor, like: Tensor) -> Tensor:
    """[n] as [n, 1, ...] beside [n, ...]."""
    return values.reshape(-1, *[1] * (like.ndim - 1))


METHOD = Method(
    name="integrated_gradients",
    title="Integrated Gradients",
    complete=True,
    signed=True,
    direction="positive speaks for the target, negative against it",
    cost="8 to maximum_steps forward and backward rows, until the completeness gap is in tolerance",
    run=lambda engine, rows, told: integrated_gradients(engine, rows, told.tolerance, told.maximum_steps),
    valid_for=gradient_allows,
)
