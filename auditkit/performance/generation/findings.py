"""What is found of what a model makes: of copies where it is an autoencoder, of its own rows where it is a generator.

The networks say what they can: `reconstruct` and `part_errors`, or `generate`. Only networks trained on one class
alone are asked, as others may have methods of these names that mean something else.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from auditkit.engine.analysis import Context
from auditkit.engine.readable import pictures
from auditkit.evidence.metrics import Findings, MetricRow
from auditkit.performance.generation.coverage import coverage_rows, kinds_of
from auditkit.performance.generation.fidelity import fidelity_rows
from auditkit.performance.generation.memorisation import memorisation_rows
from auditkit.performance.generation.neighbours import Floats, nearest
from auditkit.performance.generation.reconstruction import reconstruction_findings
from auditkit.performance.observer import Predictions
from auditkit.statistics.intervals import wilson
from auditkit.subject.data import Split
from auditkit.subject.model import Model
from auditkit.subject.preprocessing import ImagePreprocessing

MOST = 10_000
"""training and held-out rows that generated ones are held against"""
SHOWN = 24
FEWEST = 30
MOST_MODES = 50


def made_findings(context: Context, judged: Mapping[str, Predictions]) -> Iterator[Findings]:
    """The findings there are; none for a classifier. judged: labelled rows by split."""
    model = context.subject.model
    if not model.one_class:
        return
    if hasattr(model.module, "reconstruct"):
        yield reconstruction_findings(context, judged)
    if hasattr(model.module, "generate"):
        yield generation_findings(context)


def generation_findings(context: Context) -> Findings:
    """Memorisation, coverage, precision and recall of a generator, and pictures of what it makes."""
    import torch

    model, spec = context.subject.model, context.spec.performance
    train, held_out = (_real(context, role) for role in ("train", "test"))
    if train is None or held_out is None or min(len(train[1]), len(held_out[1])) < FEWEST:
        reason = f"needs a train and a test split with at least {FEWEST} real rows each"
        metrics = ("memorised_share", "modes_covered", "generated_precision", "generated_recall")
        rows = [MetricRow("performance", name, status="not applicable", reason=reason) for name in metrics]
        return Findings(metrics=rows)
    with model.evaluating(), torch.no_grad():
        made = model.module.generate(spec.generated, context.spec.seed)  # type: ignore[operator]
        known, new = (_encoded(model, split, rows) for split, rows in (train, held_out))
        spaces = {"pixels": [part.flatten(1).double().cpu().numpy() for part in (made, known, new)]}
        spaces["features"] = [_features(model, part) for part in (made, known, new)]
        logits = model.logits((made,)).double().cpu().numpy()
    findings = Findings()
    for space, (ours, theirs, others) in spaces.items():
        rng = np.random.default_rng([context.spec.seed, zlib.crc32(space.encode())])
        distances = [nearest(rows, theirs)[0][:, 0] for rows in (ours, others)]
        findings.metrics += memorisation_rows(distances[0], distances[1], space, spec.confidence)
        findings.metrics += fidelity_rows(ours, theirs, others, space, spec.confidence, rng)
    findings.metrics.append(_deceived(logits, model, spec.confidence))
    findings.metrics += _coverage(context, train, held_out, spaces["pixels"])
    findings.tables = dict(_shown(model, made.cpu(), known.cpu(), spaces["pixels"], train[1]))
    return findings


def _real(context: Context, role: str) -> tuple[Split, npt.NDArray[np.int64]] | None:
    """A split and at most 10,000 of its real rows, drawn with the audit's seed."""
    split = next(iter(context.subject.of_role(role)), None)
    if split is None:
        return None
    rows = np.flatnonzero(split.labels != context.subject.model.outlier)
    if len(rows) > MOST:
        rows = np.sort(np.random.default_rng([context.spec.seed, 31]).choice(rows, MOST, replace=False))
    return split, rows


def _encoded(model: Model, split: Split, rows: npt.NDArray[np.int64]) -> Any:
    import torch

    return torch.cat([batch.inputs[0] for batch in model.batches(split, 1024, rows)])


def _features(model: Model, rows: Any) -> Floats:
    """What the last linear layer of the discriminator is given."""
    from auditkit.engine.analysis import Needs
    from auditkit.engine.probe import observe
    from auditkit.subject.model import Batch

    parts = []
    for start in range(0, len(rows), 1024):
        part = rows[start : start + 1024]
        places = np.arange(len(part))
        seen = observe(model, Batch(places, places, (part,)), Needs(features=True)).features
        assert seen is not None
        parts.append(seen.double().cpu().numpy())
    return np.concatenate(parts)


def _deceived(logits: Floats, model: Model, confidence: float) -> MetricRow:
    """How many of the generated rows the discriminator takes for real."""
    n, taken = len(logits), int((logits.argmax(axis=1) != model.outlier).sum())
    lower, upper = (float(edge) for edge in wilson(taken, n, confidence))
    how = "generated rows that the discriminator calls real; Wilson"
    return MetricRow(
        "performance",
        "taken_for_real",
        "train",
        value=taken / n,
        lower=lower,
        upper=upper,
        confidence=confidence,
        n=n,
        unit="rate",
        method=how,
    )


def _coverage(context: Context, train: Any, held_out: Any, space: list[Floats]) -> Iterator[MetricRow]:
    column, reason = modes_column(train[0], context.spec.performance.modes)
    if column is None:
        yield MetricRow("performance", "modes_covered", "train", status="not applicable", reason=reason)
        return
    known, new = (split.column(column).take(pa.array(rows)).to_pylist() for split, rows in (train, held_out))
    names = sorted({str(value) for value in known})
    places = {name: place for place, name in enumerate(names)}
    kinds = np.array([places[str(value)] for value in known])
    made, theirs, others = space
    truth = np.array([places.get(str(value), -1) for value in new])
    right = int((kinds_of(others, theirs, kinds) == truth).sum())
    found = kinds_of(made, theirs, kinds)
    yield from coverage_rows(found, kinds, names, (right, len(truth)), context.spec.performance.confidence)


def modes_column(split: Split, named: str | None) -> tuple[str | None, str]:
    """The column that tells the kinds of rows: the one named, or the only one that can be; else None, and why."""
    if named is not None:
        split.column(named)
        return named, ""
    schema = split.schema
    taken = {*schema.features, *schema.sensitive, schema.label}
    rest = [name for name in split.table.column_names if name not in taken]
    few = [name for name in rest if 2 <= len(split.column(name).unique()) <= MOST_MODES]
    if len(few) == 1:
        return few[0], ""
    found = f"{', '.join(few)} could be" if few else "no column could be"
    return None, f"which column tells the kinds of rows is not known ({found}); name it as performance.modes"


def _shown(
    model: Model, made: Any, known: Any, space: list[Floats], rows: npt.NDArray[np.int64]
) -> Iterator[tuple[str, pa.Table]]:
    """Pictures of generated rows and of the training rows nearest to them, on one scale."""
    if not isinstance(model.preprocessing, ImagePreprocessing):
        return
    distances, places = nearest(space[0][:SHOWN], space[1])
    pairs = np.concatenate([made[:SHOWN].numpy(), known[places[:, 0]].numpy()]).astype(np.float64)
    n = len(places)
    table = pictures(np.tile(np.arange(n), 2), pairs)
    table = table.append_column("what", pa.array(["generated"] * n + ["nearest"] * n))
    table = table.append_column("distance", pa.array(np.tile(distances[:, 0], 2)))
    yield "generated", table.append_column("training_row", pa.array(np.tile(rows[places[:, 0]], 2)))
