"""The pass: every row of every split goes through the model once, and all analyses look on.

When a batch does not fit in memory it is halved and tried again; the size that fits is kept for what follows.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import torch

from auditkit.engine.analysis import Analysis, Context, Needs, Observation, Observer
from auditkit.engine.probe import observe
from auditkit.errors import AuditError
from auditkit.subject.data import Split

Observers = dict[str, dict[str, Observer]]
"""analysis name → split name → observer"""


def combined(needs: Sequence[Needs]) -> Needs:
    """One request that covers them all."""
    layers: tuple[str, ...] | str = ()
    if any(need.layers == "all" for need in needs):
        layers = "all"
    else:
        layers = tuple(dict.fromkeys(name for need in needs for name in need.layers))
    return Needs(
        logits=any(need.logits for need in needs),
        features=any(need.features for need in needs),
        inputs=any(need.inputs for need in needs),
        layers=layers,  # type: ignore[arg-type]
    )


def run_pass(context: Context, analyses: Sequence[Analysis]) -> Observers:
    """Send every split through the model once, in the order train, validation, test, ood.

    Each analysis that needs something is asked for an observer when a split begins, and sees its earlier ones.
    """
    subject, spec = context.subject, context.spec
    wanting = [analysis for analysis in analyses if analysis.needs(subject, spec)]
    observers: Observers = {analysis.name: {} for analysis in wanting}
    for split in subject.in_order():
        watching: list[tuple[Analysis, Observer]] = []
        for analysis in wanting:
            observer = analysis.observe(context, split, observers[analysis.name])
            if observer is not None:
                watching.append((analysis, observer))
        if watching:
            need = combined([analysis.needs(subject, spec) for analysis, _ in watching])
            _pass_split(context, split, need, [observer for _, observer in watching])
            observers |= {a.name: {**observers[a.name], split.name: observer} for a, observer in watching}
    return observers


def _pass_split(context: Context, split: Split, needs: Needs, watching: Sequence[Observer]) -> None:
    model = context.subject.model
    size = context.spec.batch_size or model.safe_rows(split)
    context.ledger.distinct("pass", split.name, len(split))
    starts = range(0, len(split), size)
    with model.evaluating():
        for start in context.progress.track(starts, len(starts), f"pass: {split.name}"):
            rows = np.arange(start, min(start + size, len(split)))
            for observation in _observations(context, split, rows, needs):
                for observer in watching:
                    observer.update(observation)


def _observations(context: Context, split: Split, rows: np.ndarray, needs: Needs) -> Iterator[Observation]:
    """The rows as one observation, or as several halves where one does not fit in memory."""
    model = context.subject.model
    limit = model.batch_rows or len(rows)
    if len(rows) <= limit:
        try:
            observation = observe(model, next(model.batches(split, len(rows), rows)), needs)
        except torch.OutOfMemoryError:
            if len(rows) == 1:
                raise AuditError("one row does not fit in the device's memory; use a larger device or cpu") from None
            model.batch_rows = limit = len(rows) // 2
        else:
            context.ledger.forward("pass", split.name, len(rows))
            yield observation
            return
    for start in range(0, len(rows), limit):
        yield from _observations(context, split, rows[start : start + limit], needs)


def observers_of(observers: Observers, name: str) -> Mapping[str, Observer]:
    """The observers of one analysis, split by split; empty for one that sat the pass out."""
    return observers.get(name, {})
