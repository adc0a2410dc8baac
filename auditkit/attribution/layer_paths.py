"""What happens inside a layer while the input goes straight from the baseline to the row: four integrals.

With x(t) = b + t (x - b) on the way from 0 to 1, y the layer's output and f the score:

    conductance           ∫ ∂f/∂y_k dy_k          how much of the score passes through unit k
    internal influence    ∫ ∂f/∂y_k dt            how steeply the score depends on unit k, on average
    integrated gradients  (y_k - y_k(b)) ∫ ∂f/∂y_k (y(b) + t (y - y(b))) dt    the same path, but of the layer itself
    of one neuron         (x_i - b_i) ∫ w ∂y_k/∂x_i dt    which inputs move it: w = 1, or pass through it: w = ∂f/∂y_k

The first is an integral over y and is taken as one, by the trapezoid rule on the layer's own outputs: where the layer
is smooth its error falls with the square of the number of steps. (Summing gradients at the left end of each step, as
is common, misses completeness by a hundred times more at the same cost.) The others use Gauss-Legendre nodes.

Sources: Dhamdhere, Sundararajan, Yan, "How Important Is a Neuron?", ICLR 2019, arXiv:1805.12233; Leino et al.,
"Influence-Directed Explanations for Deep Convolutional Networks", ITC 2018, arXiv:1802.03788; Shrikumar, Su, Kundaje,
"Computationally Efficient Measures of Internal Neuron Importance", 2018, arXiv:1807.09946.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from auditkit.attribution.recurrent import differentiating
from auditkit.engine.rows import Rows, Scorer
from auditkit.engine.space import Points
from auditkit.errors import InputError


@dataclass(frozen=True, slots=True)
class Inside:
    """A layer of the model behind an engine, and the way its inputs go.

    rows: where the way ends, n of them. start: where it begins, as many points or one for all.
    """

    engine: Scorer
    layer: nn.Module
    rows: Rows
    start: Points

    def take(self, index: Tensor) -> Inside:
        """The rows at the given positions."""
        start = tuple(part if len(part) == 1 else part[index] for part in self.start)
        return Inside(self.engine, self.layer, self.rows.take(index), start)

    def at(self, example: Tensor, along: Tensor) -> Rows:
        """The points that lie `along` (from 0 to 1) the ways of the given examples."""
        rows = self.rows.take(example)
        starts = (
            part.expand(len(example), *part.shape[1:]) if len(part) == 1 else part[example] for part in self.start
        )
        blended = []
        for x, b in zip(rows.points, starts, strict=True):
            way = along.reshape(-1, *[1] * (x.ndim - 1)).to(x.dtype)
            blended.append(b + way * (x - b))
        return Rows(tuple(blended), rows.contrast, rows.held)

    def outputs(self, along: float) -> tuple[Tensor, Tensor]:
        """The layer's outputs [n, ...] and the scores float64 [n] at one place of all ways."""

        def work(index: Tensor) -> tuple[Tensor, Tensor]:
            rows = self.at(index, torch.full((len(index),), along, dtype=torch.float64, device=index.device))
            with torch.no_grad(), self._seeing(len(rows), torch.clone) as seen:
                scores = (self.engine.space.logits(rows.points, rows.held) * rows.contrast).sum(dim=1).double()
            return _once(seen), scores

        found = [batch for _, batch in self._batches(len(self.rows), work, backward=False)]
        return torch.cat([outputs for outputs, _ in found]), torch.cat([scores for _, scores in found])

    def slopes(self, rows: Rows, replaced: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """The layer's outputs, and the gradients of each row's score with respect to them, both [m, ...].

        replaced: the outputs to go on with, instead of the layer's own.
        """

        def cut(output: Tensor) -> Tensor:
            return (output if replaced is None else replaced).detach().requires_grad_(True)

        with differentiating(self.engine.model.module), self._seeing(len(rows), cut) as seen:
            points = tuple(part.detach() for part in rows.points)
            score = (self.engine.space.logits(points, rows.held) * rows.contrast).sum()
            outputs = _once(seen)
            slopes = torch.autograd.grad(score, outputs, allow_unused=True)[0] if score.requires_grad else None
        return outputs.detach(), torch.zeros_like(outputs) if slopes is None else slopes

    def neuron_slopes(self, rows: Rows, neuron: tuple[int, ...], passing: bool) -> Points:
        """The gradients of one unit of the layer with respect to each row's points; times ∂f/∂y_k where passing."""
        leaves = [part.detach().clone().requires_grad_(True) for part in rows.points]
        with differentiating(self.engine.model.module), self._seeing(len(rows), lambda output: output) as seen:
            score = (self.engine.space.logits(tuple(leaf * 1.0 for leaf in leaves), rows.held) * rows.contrast).sum()
            outputs = _once(seen)
            unit = chosen(outputs, neuron)
            if passing:
                through = torch.autograd.grad(score, outputs, retain_graph=True, allow_unused=True)[0]
                unit = unit * (torch.zeros_like(unit) if through is None else chosen(through, neuron))
            found = torch.autograd.grad(unit.sum(), leaves, allow_unused=True)
        pairs = zip(found, leaves, strict=True)
        return tuple(torch.zeros_like(leaf) if part is None else part for part, leaf in pairs)

    def walked(self, steps: int, work: Callable[[Rows], Any], nodes: Tensor) -> Iterator[tuple[Tensor, Tensor, Any]]:
        """(example [m], node [m], what `work` finds there) in batches, all nodes of an example one after the other."""

        def on(index: Tensor) -> Any:
            return work(self.at(index // steps, nodes[index % steps]))

        for index, found in self._batches(len(self.rows) * steps, on, backward=True):
            yield index // steps, index % steps, found

    def _batches(self, count: int, work: Callable[[Tensor], Any], backward: bool) -> Iterator[tuple[Tensor, Any]]:
        for index, found in self.engine.batches(count, work):
            self.engine.count(len(index), backward=backward)
            yield index, found

    @contextmanager
    def _seeing(self, count: int, keep: Callable[[Tensor], Tensor]) -> Iterator[list[Tensor]]:
        """A list of what `keep` made of the layer's outputs in a pass, which goes on from copies of it."""
        seen: list[Tensor] = []

        def note(_module: nn.Module, _inputs: Any, output: Any) -> Any:
            first = output[0] if isinstance(output, tuple) and output else output
            if not isinstance(first, Tensor) or not first.is_floating_point() or first.ndim < 2 or len(first) != count:
                told = f"a tensor of shape {list(first.shape)}" if isinstance(first, Tensor) else type(first).__name__
                raise InputError(f"the layer gives {told} for {count} rows; numbers [rows, ...] can be attributed to")
            seen.append(keep(first))
            on = seen[-1].clone()
            return (on, *output[1:]) if isinstance(output, tuple) else on

        hook = self.layer.register_forward_hook(note)
        try:
            yield seen
        finally:
            hook.remove()


def conductance(inside: Inside, steps: int) -> Tensor:
    """float64 [n, ...], shaped as the layer's output, from `steps` + 1 rows forward and back for each."""
    nodes = torch.linspace(0, 1, steps + 1, dtype=torch.float64, device=inside.rows.contrast.device)
    total = _Total(inside)
    last: tuple[int, Tensor, Tensor] | None = None
    for example, _, (outputs, slopes) in inside.walked(steps + 1, inside.slopes, nodes):
        for row, those in _runs(example):
            y, g = outputs[those], slopes[those]
            if last is not None and last[0] == row:
                y, g = torch.cat([last[1], y]), torch.cat([last[2], g])
            total.add(row, ((g[1:] + g[:-1]) * (y[1:] - y[:-1])).sum(dim=0) / 2)
            last = row, y[-1:].clone(), g[-1:].clone()
    return total.found()


def internal_influence(inside: Inside, steps: int) -> Tensor:
    """float64 [n, ...], shaped as the layer's output: the mean gradient on the way of the inputs."""
    nodes, weights = _legendre(steps, inside.rows.contrast.device)
    total = _Total(inside)
    for example, node, (_, slopes) in inside.walked(steps, inside.slopes, nodes):
        total.weighted(example, slopes, weights[node])
    return total.found()


def integrated_gradients(inside: Inside, steps: int) -> Tensor:
    """float64 [n, ...], shaped as the layer's output. What does not pass the layer stays at the row's own."""
    nodes, weights = _legendre(steps, inside.rows.contrast.device)
    end, _ = inside.outputs(1.0)
    begin, _ = inside.outputs(0.0)
    total = _Total(inside)

    def work(index: Tensor) -> Tensor:
        example, along = index // steps, nodes[index % steps].to(end.dtype)
        replaced = begin[example] + _times(end[example] - begin[example], along)
        return inside.slopes(inside.rows.take(example), replaced)[1]

    for index, slopes in inside._batches(len(inside.rows) * steps, work, backward=True):
        total.weighted(index // steps, slopes, weights[index % steps])
    return (end - begin).double() * total.found()


def of_neuron(inside: Inside, steps: int, neuron: tuple[int, ...], passing: bool) -> Points:
    """float64 values in attribution space. passing: what passes through the unit to the score, not what moves it."""
    nodes, weights = _legendre(steps, inside.rows.contrast.device)
    totals = [torch.zeros(part.shape, dtype=torch.float64, device=part.device) for part in inside.rows.points]

    def work(rows: Rows) -> Points:
        return inside.neuron_slopes(rows, neuron, passing)

    for example, node, found in inside.walked(steps, work, nodes):
        for total, slopes in zip(totals, found, strict=True):
            total.index_add_(0, example, _times(slopes.double(), weights[node]))
    triples = zip(inside.rows.points, inside.start, totals, strict=True)
    return tuple((x.double() - b.double()) * total for x, b, total in triples)


def chosen(outputs: Tensor, neuron: tuple[int, ...]) -> Tensor:
    """One unit of a layer's outputs, [n]. Raises InputError for one that is not there.

    >>> chosen(torch.arange(12).reshape(2, 2, 3), (1, 2)).tolist()
    [5, 11]
    """
    shape = tuple(outputs.shape[1:])
    if len(neuron) != len(shape) or any(not -size <= place < size for place, size in zip(neuron, shape, strict=True)):
        raise InputError(f"neuron {neuron}: one unit of the layer is named by its place in {list(shape)}")
    place: tuple[slice | int, ...] = (slice(None), *neuron)
    return outputs[place]


class _Total:
    """A float64 sum per example of pieces that come in batches, all of an example's one after the other."""

    def __init__(self, inside: Inside) -> None:
        self.count, self.sum = len(inside.rows), torch.zeros(0)

    def add(self, row: int, piece: Tensor) -> None:
        if not self.sum.numel():
            self.sum = torch.zeros((self.count, *piece.shape), dtype=torch.float64, device=piece.device)
        self.sum[row] += piece

    def weighted(self, example: Tensor, pieces: Tensor, weights: Tensor) -> None:
        for row, those in _runs(example):
            self.add(row, torch.tensordot(weights[those].to(pieces.dtype), pieces[those], dims=1))

    def found(self) -> Tensor:
        return self.sum


def _runs(example: Tensor) -> list[tuple[int, slice]]:
    """Which stretch of a batch is whose.

    >>> _runs(torch.tensor([4, 4, 5]))
    [(4, slice(0, 2, None)), (5, slice(2, 3, None))]
    """
    rows, sizes = torch.unique_consecutive(example, return_counts=True)
    ends = sizes.cumsum(dim=0)
    starts = (ends - sizes).tolist()
    return [(row, slice(start, end)) for row, start, end in zip(rows.tolist(), starts, ends.tolist(), strict=True)]


def _legendre(steps: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Nodes and weights of the Gauss-Legendre rule on [0, 1]."""
    nodes, weights = (torch.from_numpy(part).to(device) for part in np.polynomial.legendre.leggauss(steps))
    return (nodes + 1) / 2, weights / 2


def _times(parts: Tensor, factors: Tensor) -> Tensor:
    return parts * factors.reshape(-1, *[1] * (parts.ndim - 1))


def _once(seen: list[Tensor]) -> Tensor:
    if len(seen) != 1:
        times = "does not run" if not seen else f"runs {len(seen)} times in one pass"
        raise InputError(f"the layer {times}, so that there is no one output of it; name one that runs once")
    return seen[0]
