"""Explicands: the rows to explain, the score that is explained, and the baseline they are explained against.

**Target.** For two classes the log-odds of the positive class (its logit minus the other's; the second class where
none is declared positive), the same for every row, so that a sign means the same everywhere. For more classes the
logit of the class the model predicts for that row. Of a regression the number that is predicted, in its own unit; of
several labels the logit of the one that scores highest for that row, whether or not it is found.

**Baseline.** The average training row: each number at its training mean, each category at the mean of its embeddings
over training rows, each image at the mean image. It is an answer to "compared with what?", not the only one, and is
recorded with the evidence. Without a training split the origin (zeros) is used, which is said in a caveat.

A text is compared with one of the same length that says nothing: at each word the vector of the id that fills up.
Places that hold no word (fillings, and the special pieces of a tokenizer) keep the row's own value, so that nothing is
attributed to them, and the mask is the row's own everywhere. A series is compared with the mean training series; one at
zero stays at each channel's training mean.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from auditkit.attribution.partition import Partition, partition_of
from auditkit.engine.rows import Plan, RowEngine, Rows, Scorer
from auditkit.engine.space import Points, SpaceError
from auditkit.subject.data import Schema, Split

BASELINE_ROWS = 8192
"""at most this many training rows, drawn with the audit's seed, make the baseline"""
_NAME_OF_SPECIAL = re.compile(r"\[[A-Z]+\d*\]|<.+>")


@dataclass(frozen=True, slots=True)
class Baseline:
    """Points with where they came from: [1, ...] where all rows share one, else [n, ...].

    rows: of the training split that it is the average of. plain: whether it was made up for want of such rows.
    """

    points: Points
    description: str
    rows: int
    plain: bool = False

    def take(self, index: Tensor) -> Points:
        """The points that belong to the rows at the given positions (or kept by a mask), [1, ...] where shared."""
        return tuple(part if len(part) == 1 else part[index] for part in self.points)


@dataclass(frozen=True, slots=True)
class Explicands:
    """What a method is given.

    rows: int64 [n], positions in the split. given: their points and contrasts. predictions: int64 [n].
    scores, baseline_scores: float64 [n], the target at the row and at the baseline. shape: (C, H, W) of an image.
    words: a text's words at the positions of each row. present: bool [n, parts], which parts a row has; all where None.
    series: whether rows are series [n, T, C]. background: points [b, ...] of reference rows, for methods that compare
    each row with many.
    """

    rows: np.ndarray
    given: Rows
    predictions: np.ndarray
    scores: Tensor
    baseline: Baseline
    baseline_scores: Tensor
    partition: Partition
    shape: tuple[int, int, int] | None = None
    words: tuple[tuple[str, ...], ...] | None = None
    present: Tensor | None = None
    series: bool = False
    background: Points | None = None

    def __len__(self) -> int:
        return len(self.rows)

    def maps(self, values: Points) -> Tensor | None:
        """float64 values at full resolution: [n, H, W] of images, [n, C, T] of series; None for other rows."""
        if self.series:
            return values[0].double().transpose(1, 2)
        return None if self.shape is None else values[0].double().sum(dim=1)

    @property
    def cells(self) -> Tensor | None:
        """int64 [H, W] or [C, T]: the part of each place of a map."""
        if self.series:
            return self.partition.labels[0].T
        return None if self.shape is None else self.partition.labels[0][0]

    @property
    def places(self) -> Tensor:
        """int64 [m, 2]: every row with each of its parts."""
        n, parts = len(self), len(self.partition.parts)
        every = torch.ones((n, parts), dtype=torch.bool, device=self.scores.device)
        return (every if self.present is None else self.present).nonzero()

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
            baseline=replace(self.baseline, points=self.baseline.take(kept)),
            baseline_scores=self.baseline_scores[kept],
            words=None if self.words is None else tuple(w for w, k in zip(self.words, host, strict=True) if k),
            present=None if self.present is None else self.present[kept],
        )


@dataclass(frozen=True, slots=True)
class PartAttribution:
    """What a method found. values: float64 [n, parts]. maps: float64 [n, H, W] of images, [n, C, T] of series.

    evaluations: int64 [n], forward rows spent per explained row. steps and converged are for methods that iterate.
    errors: float64 [n, parts], standard errors of values that were sampled. base: float64 [n], the score from which
    values add up to the row's, where that is not the baseline's.
    """

    values: Tensor
    evaluations: np.ndarray
    maps: Tensor | None = None
    steps: np.ndarray | None = None
    converged: np.ndarray | None = None
    errors: Tensor | None = None
    base: Tensor | None = None

    def take(self, kept: Tensor) -> PartAttribution:
        """The rows that a boolean mask [n] keeps."""
        host = kept.cpu().numpy()
        return PartAttribution(
            self.values[kept],
            self.evaluations[host],
            None if self.maps is None else self.maps[kept],
            None if self.steps is None else self.steps[host],
            None if self.converged is None else self.converged[host],
            None if self.errors is None else self.errors[kept],
            None if self.base is None else self.base[kept],
        )


def attribution(explicands: Explicands, values: Points, evaluations: np.ndarray) -> PartAttribution:
    """Values in attribution space, reported per part (and at full resolution for images and series)."""
    return PartAttribution(explicands.partition.sums(values), evaluations, explicands.maps(values))


def completeness_gap(values: Tensor, change: Tensor) -> tuple[Tensor, Tensor]:
    """How far attributions are from adding up to the change in score: (gap, relative gap), float64 [n] each.

    The relative gap is |Σφ - Δf| / max(|Δf|, Σ|φ| / 10): where the score hardly changes because large attributions
    cancel, it is measured against a tenth of what was attributed. values: [n, parts], change: [n].

    >>> gap, relative = completeness_gap(torch.tensor([[1.0, 2.0]]).double(), torch.tensor([4.0]).double())
    >>> gap.item(), relative.item()
    (-1.0, 0.25)
    """
    gap = values.sum(dim=1) - change
    scale = torch.maximum(change.abs(), values.norm(p=1, dim=1) / 10).clamp_min(1e-12)
    return gap, gap.abs() / scale


def contrast_of(logits: Tensor, schema: Schema) -> Tensor:
    """The weights [n, classes] that make a row's target from its logits."""
    if logits.shape[1] == 2 and schema.task != "multilabel":
        positive = schema.positive_index
        weights = torch.full_like(logits, -1.0)
        weights[:, 1 if positive is None else positive] = 1.0
        return weights
    return torch.nn.functional.one_hot(logits.argmax(dim=1), logits.shape[1]).to(logits.dtype)


def target_text(schema: Schema) -> str:
    """The target in words.

    >>> target_text(Schema(("a",), ("no", "yes"), positive="yes"))
    "log-odds of 'yes' (its logit minus that of 'no')"
    """
    if schema.task == "regression":
        return f"predicted {schema.label or schema.classes[0]}"
    if schema.task == "multilabel":
        return "logit of the label that scores highest for the row"
    if len(schema.classes) == 2:
        positive = 1 if schema.positive_index is None else schema.positive_index
        return f"log-odds of {schema.classes[positive]!r} (its logit minus that of {schema.classes[1 - positive]!r})"
    return "logit of the class the model predicts for the row"


def explicands_of(engine: RowEngine, split: Split, rows: np.ndarray, reference: Split | None, seed: int) -> Explicands:
    """Send the chosen rows through the model once and prepare what methods share: f(x), f(baseline), the parts.

    Raises SpaceError where the model's inputs have no attribution space.
    """
    given, logits = _entered(engine, split, rows)
    if "gradients" not in engine.model.lacks and not engine.probe(given):
        given, logits = _entered(engine, split, rows)
    preprocessing = engine.model.preprocessing
    partition = partition_of(engine.model, engine.space, given.points)
    words, present = None, None
    if preprocessing.modality == "text":
        words, present = words_of(engine, split, rows, given)
        baseline = silent_text(engine, given, partition, present)
    else:
        baseline = baseline_of(engine, reference, given, seed)
    return Explicands(
        rows=rows,
        given=given,
        predictions=logits.argmax(dim=1).cpu().numpy(),
        scores=(logits * given.contrast).sum(dim=1).double(),
        baseline=baseline,
        baseline_scores=baseline_scores(engine, baseline, given),
        partition=partition,
        shape=getattr(preprocessing, "shape", None) if preprocessing.modality == "image" else None,
        words=words,
        present=present,
        series=preprocessing.modality == "series",
    )


def _entered(engine: RowEngine, split: Split, rows: np.ndarray) -> tuple[Rows, Tensor]:
    batches = list(engine.enter(split, rows))
    points, held = (tuple(torch.cat(parts) for parts in zip(*(b[at] for b in batches), strict=True)) for at in (0, 1))
    logits = torch.cat([logits for _, _, logits in batches])
    if not points:
        raise SpaceError("the model takes no input that could be attributed to")
    return Rows(points, contrast_of(logits, split.schema), held), logits


def baseline_scores(engine: Scorer, baseline: Baseline, given: Rows) -> Tensor:
    """float64 [n]: the target at the baseline, from one row where all rows share it."""
    if not given.held and all(len(part) == 1 for part in baseline.points):
        return given.contrast.double() @ engine.outputs(baseline.points)[0]

    def build(index: Tensor) -> Rows:
        rows = given.take(index)
        return Rows(_repeated(baseline.take(index), len(index)), rows.contrast, rows.held)

    return engine.scores(Plan(len(given), build))


def _repeated(points: Points, count: int) -> Points:
    return tuple(part.expand(count, *part.shape[1:]) for part in points)


def words_of(
    engine: RowEngine, split: Split, rows: np.ndarray, given: Rows
) -> tuple[tuple[tuple[str, ...], ...], Tensor]:
    """A text's words at the positions of each row, and bool [n, length]: where a word stands that can be explained.

    Fillings are no words, nor are the special pieces of a tokenizer (a piece that is not known is a word).
    """
    preprocessing = engine.model.preprocessing
    ids, masks = given.held[0], given.held[1:]
    words = tuple(tuple(found) for found in preprocessing.tokens(split, rows))  # type: ignore[union-attr]
    special: frozenset[int] = getattr(preprocessing, "special", frozenset())
    present = np.zeros(tuple(ids.shape), dtype=bool)
    for row, found in enumerate(words):
        own = ids[row].tolist()
        for place, word in enumerate(found[: len(own)]):
            present[row, place] = not (own[place] in special and _NAME_OF_SPECIAL.fullmatch(word))
    shown = torch.from_numpy(present).to(ids.device)
    for mask in masks:
        shown &= mask != 0
    return words, shown


def silent_text(engine: RowEngine, given: Rows, partition: Partition, present: Tensor) -> Baseline:
    """Texts that say nothing: what fills up in place of every word, all else as it is in the row."""
    ids = given.held[0][:1]
    filled = (torch.full_like(ids, engine.model.preprocessing.pad), *(part[:1] for part in given.held[1:]))  # type: ignore[union-attr]
    silence, _ = engine.space.enter(filled)
    engine.count(1)
    points = []
    for own, silent, label in zip(given.points, silence, partition.labels, strict=True):
        points.append(torch.where(present[:, label], silent, own))
    text = "the same text with nothing in place of each word (the vector of the id that fills up)"
    return Baseline(tuple(points), text, 0)


def baseline_of(engine: RowEngine, reference: Split | None, given: Rows, seed: int) -> Baseline:
    """The mean of training rows in attribution space, accumulated in float64; values that are missing do not count."""
    if reference is None:
        zeros = tuple(torch.zeros_like(part[:1]) for part in given.points)
        return Baseline(zeros, "zeros in attribution space, for want of a training split", 0, plain=True)
    rows = np.arange(len(reference))
    if len(rows) > BASELINE_ROWS:
        rows = np.sort(np.random.default_rng([seed, 1]).choice(rows, BASELINE_ROWS, replace=False))
    engine.ledger.distinct(engine.phase, reference.name, len(rows))
    sums = [torch.zeros_like(part[:1], dtype=torch.float64) for part in given.points]
    counts = [torch.zeros_like(total) for total in sums]
    for points, _, _ in engine.enter(reference, rows):
        for total, count, part in zip(sums, counts, points, strict=True):
            finite = torch.isfinite(part)
            total += torch.where(finite, part, 0).double().sum(dim=0, keepdim=True)
            count += finite.sum(dim=0, keepdim=True)
    means = zip(sums, counts, given.points, strict=True)
    mean = tuple((total / count.clamp_min(1)).to(like.dtype) for total, count, like in means)
    which = f"all {len(rows):,}" if len(rows) == len(reference) else f"{len(rows):,} seeded"
    return Baseline(mean, f"the average of {which} rows of split {reference.name!r}", len(rows))
