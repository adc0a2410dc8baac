"""Explicands: the rows to explain, the score that is explained, and the baseline they are explained against.

**Target.** For two classes the log-odds of the positive class (its logit minus the other's; the second class where
none is declared positive), the same for every row, so that a sign means the same everywhere. For more classes the
logit of the class the model predicts for that row.

**Baseline.** The average training row: each number at its training mean, each category at the mean of its embeddings
over training rows, each image at the mean image. It is an answer to "compared with what?", not the only one, and is
recorded with the evidence. Without a training split the origin (zeros) is used, which is said in a caveat.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from auditkit.attribution.partition import Partition, partition_of
from auditkit.engine.rows import Plan, RowEngine, Rows
from auditkit.engine.space import Points, SpaceError
from auditkit.subject.data import Schema, Split

BASELINE_ROWS = 8192
"""at most this many training rows, drawn with the audit's seed, make the baseline"""


@dataclass(frozen=True, slots=True)
class Baseline:
    """Points [1, ...] with where they came from."""

    points: Points
    description: str
    rows: int


@dataclass(frozen=True, slots=True)
class Explicands:
    """What a method is given.

    rows: int64 [n], positions in the split. given: their points and contrasts. predictions: int64 [n].
    scores, baseline_scores: float64 [n], the target at the row and at the baseline. shape: (C, H, W) of an image.
    """

    rows: np.ndarray
    given: Rows
    predictions: np.ndarray
    scores: Tensor
    baseline: Baseline
    baseline_scores: Tensor
    partition: Partition
    shape: tuple[int, int, int] | None = None

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def change(self) -> Tensor:
        """float64 [n]: what a complete attribution adds up to, score at the row minus score at the baseline."""
        return self.scores - self.baseline_scores

    def take(self, kept: Tensor) -> Explicands:
        """The rows that a boolean mask [n] keeps."""
        host = kept.cpu().numpy()
        return replace(
            self,
            rows=self.rows[host],
            given=self.given.take(kept),
            predictions=self.predictions[host],
            scores=self.scores[kept],
            baseline_scores=self.baseline_scores[kept],
        )


@dataclass(frozen=True, slots=True)
class Attribution:
    """What a method found. values: float64 [n, parts]. maps: float64 [n, H, W] for images, at pixel resolution.

    evaluations: int64 [n], forward rows spent per explained row. steps and converged are for methods that iterate.
    """

    values: Tensor
    evaluations: np.ndarray
    maps: Tensor | None = None
    steps: np.ndarray | None = None
    converged: np.ndarray | None = None

    def take(self, kept: Tensor) -> Attribution:
        """The rows that a boolean mask [n] keeps."""
        host = kept.cpu().numpy()
        return Attribution(
            self.values[kept],
            self.evaluations[host],
            None if self.maps is None else self.maps[kept],
            None if self.steps is None else self.steps[host],
            None if self.converged is None else self.converged[host],
        )


def attribution(explicands: Explicands, values: Points, evaluations: np.ndarray) -> Attribution:
    """Values in attribution space, reported per part (and per pixel for images)."""
    maps = values[0].double().sum(dim=1) if explicands.shape is not None else None
    return Attribution(explicands.partition.sums(values), evaluations, maps)


def completeness_gap(values: Tensor, change: Tensor) -> tuple[Tensor, Tensor]:
    """How far attributions are from adding up to the change in score: (gap, relative gap), float64 [n] each.

    The relative gap is |Σφ - Δf| / max(|Δf|, Σ|φ| / 10): where the score hardly changes because large attributions
    cancel, it is measured against a tenth of what was attributed. values: [n, parts], change: [n].

    >>> gap, relative = completeness_gap(torch.tensor([[1.0, 2.0]]).double(), torch.tensor([4.0]).double())
    >>> gap.item(), relative.item()
    (-1.0, 0.25)
    """
    gap = values.sum(dim=1) - change
    scale = torch.maximum(change.abs(), values.abs().sum(dim=1) / 10).clamp_min(1e-12)
    return gap, gap.abs() / scale


def contrast_of(logits: Tensor, positive: int | None) -> Tensor:
    """The weights [n, classes] that make a row's target from its logits."""
    if logits.shape[1] == 2:
        weights = torch.full_like(logits, -1.0)
        weights[:, 1 if positive is None else positive] = 1.0
        return weights
    return torch.nn.functional.one_hot(logits.argmax(dim=1), logits.shape[1]).to(logits.dtype)


def target_text(schema: Schema) -> str:
    """The target in words.

    >>> target_text(Schema(("a",), ("no", "yes"), positive="yes"))
    "log-odds of 'yes' (its logit minus that of 'no')"
    """
    if len(schema.classes) == 2:
        positive = 1 if schema.positive_index is None else schema.positive_index
        return f"log-odds of {schema.classes[positive]!r} (its logit minus that of {schema.classes[1 - positive]!r})"
    return "logit of the class the model predicts for the row"


def explicands_of(engine: RowEngine, split: Split, rows: np.ndarray, reference: Split | None, seed: int) -> Explicands:
    """Send the chosen rows through the model once and prepare what methods share: f(x), f(baseline), the parts.

    Raises SpaceError where the model's inputs have no attribution space.
    """
    positive = split.schema.positive_index
    given, logits = _entered(engine, split, rows, positive)
    if "gradients" not in engine.model.lacks and not engine.probe(given):
        given, logits = _entered(engine, split, rows, positive)
    partition = partition_of(engine.model, engine.space, given.points)
    baseline = baseline_of(engine, reference, given, seed)
    at_baseline = engine.scores(_at_baseline(baseline, given, logits.shape[1]))
    shape = getattr(engine.model.preprocessing, "shape", None)
    return Explicands(
        rows=rows,
        given=given,
        predictions=logits.argmax(dim=1).cpu().numpy(),
        scores=(logits * given.contrast).sum(dim=1).double(),
        baseline=baseline,
        baseline_scores=given.contrast.double() @ at_baseline,
        partition=partition,
        shape=shape,
    )


def _entered(engine: RowEngine, split: Split, rows: np.ndarray, positive: int | None) -> tuple[Rows, Tensor]:
    batches = [(points, logits) for _, points, logits in engine.enter(split, rows)]
    points = tuple(torch.cat(parts) for parts in zip(*(points for points, _ in batches), strict=True))
    logits = torch.cat([logits for _, logits in batches])
    if not points:
        raise SpaceError("the model takes no input that could be attributed to")
    return Rows(points, contrast_of(logits, positive)), logits


def _at_baseline(baseline: Baseline, given: Rows, classes: int) -> Plan:
    """One row per class: its logit at the baseline."""
    every = torch.eye(classes, dtype=given.contrast.dtype, device=given.contrast.device)
    return Plan(
        classes, lambda index: Rows(tuple(p.expand(len(index), *p.shape[1:]) for p in baseline.points), every[index])
    )


def baseline_of(engine: RowEngine, reference: Split | None, given: Rows, seed: int) -> Baseline:
    """The mean of training rows in attribution space, accumulated in float64; values that are missing do not count."""
    if reference is None:
        zeros = tuple(torch.zeros_like(part[:1]) for part in given.points)
        return Baseline(zeros, "zeros in attribution space, for want of a training split", 0)
    rows = np.arange(len(reference))
    if len(rows) > BASELINE_ROWS:
        rows = np.sort(np.random.default_rng([seed, 1]).choice(rows, BASELINE_ROWS, replace=False))
    engine.ledger.distinct(engine.phase, reference.name, len(rows))
    sums = [torch.zeros_like(part[:1], dtype=torch.float64) for part in given.points]
    counts = [torch.zeros_like(total) for total in sums]
    for _, points, _ in engine.enter(reference, rows):
        for total, count, part in zip(sums, counts, points, strict=True):
            finite = torch.isfinite(part)
            total += torch.where(finite, part, 0).double().sum(dim=0, keepdim=True)
            count += finite.sum(dim=0, keepdim=True)
    means = zip(sums, counts, given.points, strict=True)
    mean = tuple((total / count.clamp_min(1)).to(like.dtype) for total, count, like in means)
    which = f"all {len(rows):,}" if len(rows) == len(reference) else f"{len(rows):,} seeded"
    return Baseline(mean, f"the average of {which} rows of split {reference.name!r}", len(rows))
