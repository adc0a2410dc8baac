"""The row engine: every gradient and perturbation method is a stream of rows to score, and a reducer.

A method states how many rows it wants and how any of them are made (`Plan`); the engine fills whole batches with them,
across examples, and hands back one score per row or the gradient of each row's score. Rows exist only while their
batch is in flight, so memory does not grow with steps or columns. A batch that does not fit is halved and tried again,
and the size that fits is kept.

A row's score is its logits weighted by its own `contrast` vector: a one-hot picks one logit, (-1, +1) a margin.
Input gradients come from the sum of the scores, which is exact where rows do not influence each other; `probe` checks
that by scoring a few rows together, permuted and alone, and falls back to one row at a time where it does not hold.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from auditkit.engine.batch_size import rows_at_once
from auditkit.engine.ledger import Ledger
from auditkit.engine.space import Answering, InputSpace, Points, SpaceError
from auditkit.errors import AuditError
from auditkit.subject.data import Split
from auditkit.subject.model import Model

T = TypeVar("T")
PROBE_ROWS = 8
TRACED = 64
"""of this many rows, the one whose mask hides least is the one the attribution space is traced with"""
COUPLED = 1e-3
"""relative difference between a row scored alone and in company above which rows count as coupled"""


@dataclass(frozen=True, slots=True)
class Rows:
    """Points of the attribution space with what to score at each. contrast: [n, classes].

    held: the inputs of each row that are no part of the space and stay as they are, in the order of the space's `held`.
    """

    points: Points
    contrast: Tensor
    held: tuple[Tensor, ...] = ()

    def take(self, index: Tensor) -> Rows:
        """The rows at the given positions, int64 [m], or that a mask [n] keeps."""
        where = index.nonzero().flatten() if index.dtype == torch.bool else index
        points, held = (tuple(part.index_select(0, where) for part in parts) for parts in (self.points, self.held))
        return Rows(points, self.contrast.index_select(0, where), held)

    def __len__(self) -> int:
        return len(self.contrast)


@dataclass(frozen=True, slots=True)
class Plan:
    """`count` rows, any of which `build(index)` makes; index: int64 [m] on the model's device."""

    count: int
    build: Callable[[Tensor], Rows]


class Scorer:
    """Scores and differentiates rows in full batches. Use it inside `model.evaluating()`.

    space: runs the model on points. size: rows per batch, now. forwards, backwards: rows sent so far. independent,
    batch_error: what `probe` found.
    """

    def __init__(self, model: Answering, space: InputSpace, size: int) -> None:
        self.model, self.space, self.size = model, space, size
        self.independent, self.batch_error = True, 0.0
        self.forwards = self.backwards = 0
        self._recurrent = any(isinstance(part, nn.RNNBase) for part in model.module.modules())

    def scores(self, plan: Plan) -> Tensor:
        """float64 [count] on the model's device: the score of each planned row."""

        def work(index: Tensor) -> Tensor:
            rows = plan.build(index)
            with torch.inference_mode():
                return (self.space.logits(rows.points, rows.held) * rows.contrast).sum(dim=1).double()

        parts = []
        for index, part in self.batches(plan.count, work):
            self.count(len(index))
            parts.append(part.clone())
        return torch.cat(parts) if parts else torch.zeros(0, dtype=torch.float64, device=self.model.device)

    def outputs(self, points: Points) -> Tensor:
        """float64 [n, outputs]: all that the model answers at points beside which nothing is held."""

        def work(index: Tensor) -> Tensor:
            with torch.inference_mode():
                return self.space.logits(tuple(part[index] for part in points)).double()

        parts = []
        for index, part in self.batches(len(points[0]), work):
            self.count(len(index))
            parts.append(part.clone())
        return torch.cat(parts)

    def gradients(self, plan: Plan) -> Iterator[tuple[Tensor, Tensor, Points]]:
        """Batches of (index [m], scores float64 [m], gradient of each row's score with respect to its points)."""

        def work(index: Tensor) -> tuple[Tensor, Points]:
            return self.differentiate(plan.build(index))

        for index, (scores, gradients) in self.batches(plan.count, work):
            self.count(len(index), backward=True)
            yield index, scores, gradients

    def differentiate(self, rows: Rows) -> tuple[Tensor, Points]:
        """Scores float64 [n] and their gradients for one batch, uncounted; a point the score ignores gets zeros.

        cuDNN differentiates recurrent cells in training mode only. Where the model has some, also such as are seen by
        their refusal alone (in exported and scripted programs), torch's own kernels are used.
        """
        try:
            return self._differentiate(rows)
        except RuntimeError as problem:
            if self._recurrent or "cudnn rnn backward" not in str(problem).lower():
                raise
        self._recurrent = True
        return self._differentiate(rows)

    def _differentiate(self, rows: Rows) -> tuple[Tensor, Points]:
        leaves = [part.detach().requires_grad_(True) for part in rows.points]
        with torch.enable_grad(), torch.backends.cudnn.flags(enabled=not self._recurrent):
            # products are copies, so that a model that works in place leaves the rows as they are
            logits = self.space.logits(tuple(leaf * 1.0 for leaf in leaves), rows.held)
            scores = (logits * rows.contrast).sum(dim=1)
            if not scores.requires_grad:
                return scores.double(), tuple(torch.zeros_like(leaf) for leaf in leaves)
            found = torch.autograd.grad(scores.sum(), leaves, allow_unused=True)
        pairs = zip(found, leaves, strict=True)
        gradients = tuple(torch.zeros_like(leaf) if part is None else part.detach() for part, leaf in pairs)
        return scores.detach().double(), gradients

    def count(self, rows: int, backward: bool = False) -> None:
        """Enter rows sent forward (and backward) into the cost."""
        self.forwards += rows
        self.backwards += rows * backward

    def probe(self, rows: Rows, slopes: bool = True) -> bool:
        """Whether rows are independent, found on the first few given; if not, one row is sent at a time from now on.

        Compares scores, and with `slopes` gradients, of the rows together with those of the rows reversed, and of the
        first by itself. A row that is given alone is put beside half of itself. Raises SpaceError where the same rows
        are answered differently from one call to the next.
        """
        if len(rows) == 1 < self.size:
            points = tuple(torch.cat([part, part / 2]) for part in rows.points)
            rows = Rows(points, rows.contrast.repeat(2, 1), tuple(torch.cat([part, part]) for part in rows.held))
        count = min(len(rows), PROBE_ROWS, self.size)
        while (seen := _fits(lambda index: self._three_ways(rows.take(index), slopes), _first(count, rows))) is None:
            if count == 1:
                raise AuditError("one row does not fit in the device's memory; use a larger device or cpu")
            count //= 2
        together, backwards, alone = seen[0]
        self.count(2 * count + 1, backward=slopes)
        scale = together.abs().amax(dim=0) + 1e-6
        apart = (together - backwards).abs().amax(dim=0), (together[:1] - alone).abs()[0]
        self.batch_error = float((torch.maximum(*apart) / scale).max())
        self.independent = self.batch_error <= COUPLED
        if not self.independent:
            self._same_again(rows.take(_first(count, rows)), together[:, :1])
            self.size = 1
        return self.independent

    def _same_again(self, rows: Rows, scores: Tensor) -> None:
        """Raises SpaceError where the rows' scores, float64 [n, 1], are others when they are asked for once more."""
        again = self._seen(rows, slopes=False)
        self.count(len(rows))
        if float((again - scores).abs().max() / (scores.abs().max() + 1e-6)) > COUPLED:
            raise SpaceError(
                "the model answers the same rows differently from one call to the next, so its answer cannot be "
                "divided among inputs: switch off its dropout or noise (a function's, which eval mode does not reach)"
            )

    def _three_ways(self, rows: Rows, slopes: bool) -> tuple[Tensor, Tensor, Tensor]:
        """What is seen of the rows together, reversed and put in order again, and of the first by itself."""
        order = _first(len(rows), rows)
        backwards = self._seen(rows.take(order.flip(0)), slopes).flip(0)
        return self._seen(rows, slopes), backwards, self._seen(rows.take(order[:1]), slopes)

    def _seen(self, rows: Rows, slopes: bool) -> Tensor:
        """float64 [n, 1 + tensors]: each row's score and the projection of its gradients on a fixed direction."""
        if not slopes:
            with torch.inference_mode():
                logits = self.space.logits(rows.points, rows.held)
                return (logits * rows.contrast).sum(dim=1, keepdim=True).double()
        scores, gradients = self.differentiate(rows)
        columns = [scores]
        for part in gradients:
            flat = part.double().flatten(1)
            wave = torch.sin(torch.arange(flat.shape[1], dtype=torch.float64, device=flat.device) + 1)
            columns.append(flat @ wave)
        return torch.stack(columns, dim=1)

    def batches(self, count: int, work: Callable[[Tensor], T]) -> Iterator[tuple[Tensor, T]]:
        """The work over 0..count in batches of `size`, halved for good where one does not fit in memory."""
        start = 0
        while start < count:
            index = torch.arange(start, min(start + self.size, count), device=self.model.device)
            done = _fits(work, index)
            if done is None:
                if len(index) == 1:
                    raise AuditError("one row does not fit in the device's memory; use a larger device or cpu")
                self.size = len(index) // 2
                continue
            yield index, done[0]
            start += len(index)


class RowEngine(Scorer):
    """The scorer of an audit: rows come from its splits, and what they cost goes to its ledger.

    phase and the split's name are what the cost ledger counts under.
    """

    model: Model

    def __init__(self, model: Model, split: Split, ledger: Ledger, phase: str, batch_size: int | None = None) -> None:
        inputs = model.encode(split, np.arange(min(len(split), TRACED)))
        size = batch_size or min(model.safe_rows(split), rows_at_once(model, inputs))
        super().__init__(model, InputSpace.trace(model, inputs), size)
        self.split, self.ledger, self.phase = split, ledger, phase

    def enter(self, split: Split, rows: np.ndarray) -> Iterator[tuple[Points, tuple[Tensor, ...], Tensor]]:
        """Batches of (the rows' points, what of their inputs is held, their logits [n, classes])."""

        def work(index: Tensor) -> tuple[Points, tuple[Tensor, ...], Tensor]:
            inputs = self.model.encode(split, rows[index.cpu().numpy()])
            points, logits = self.space.enter(inputs)
            return points, self.space.keep(inputs), logits

        for index, batch in self.batches(len(rows), work):
            self.ledger.forward(self.phase, split.name, len(index))
            yield batch

    def count(self, rows: int, backward: bool = False) -> None:
        """Enter rows sent forward (and backward) into the cost ledger."""
        super().count(rows, backward)
        self.ledger.forward(self.phase, self.split.name, rows)
        if backward:
            self.ledger.backward(self.phase, self.split.name, rows)


def _first(count: int, rows: Rows) -> Tensor:
    return torch.arange(count, device=rows.contrast.device)


def _fits(work: Callable[[Tensor], T], index: Tensor) -> tuple[T] | None:
    """The work's result, or None where memory ran out (outside the handler, so that nothing keeps the batch alive)."""
    try:
        return (work(index),)
    except torch.OutOfMemoryError:
        return None
