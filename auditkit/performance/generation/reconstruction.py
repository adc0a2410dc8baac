"""What an autoencoder cannot copy: the error of every row, and some rows beside their copies.

The error of a row follows from its logit and the network's threshold and scale, so that no row passes twice; only the
rows that are shown are copied again.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from auditkit.engine.analysis import Context
from auditkit.engine.readable import as_text, pictures, pooled, readable_inputs
from auditkit.evidence.metrics import Findings, MetricRow
from auditkit.performance.observer import Predictions
from auditkit.statistics.intervals import normal_quantile
from auditkit.subject.data import Split
from auditkit.subject.model import Batch, Model
from auditkit.subject.preprocessing import ImagePreprocessing, TablePreprocessing

SHOWN = 6
"""rows of each class that are shown, from well copied to badly"""
BINS = 40
COLUMN_ROWS = 5_000
FEWEST = 30


def reconstruction_findings(context: Context, judged: Mapping[str, Predictions]) -> Findings:
    """Errors by split and class, their histogram, shown rows, and where in the rows the errors are."""
    model, classes = context.subject.model, context.subject.schema.classes
    threshold, scale = (float(getattr(model.module, name)) for name in ("threshold", "scale"))
    errors = {split: _errors(found, model, threshold, scale) for split, found in judged.items()}
    parts = {
        (split, classes[label]): errors[split][judged[split].labels == label]
        for split in judged
        for label in np.unique(judged[split].labels)
    }
    findings = Findings(metrics=list(_error_rows(parts, threshold, context.spec.performance.confidence)))
    findings.tables["reconstruction_errors"] = _histogram(parts)
    test = next(iter(context.subject.of_role("test")), None)
    if test is not None and test.name in judged:
        chosen = _chosen(judged[test.name], errors[test.name])
        context.ledger.forward("performance", test.name, len(chosen))
        findings.tables |= dict(_copies(model, test, chosen, errors[test.name], judged[test.name]))
        findings.tables |= dict(_columns(context, test, judged[test.name]))
    return findings


def _errors(found: Predictions, model: Model, threshold: float, scale: float) -> npt.NDArray[np.float64]:
    """The error of each row [n], from how far its class of unusual rows is ahead."""
    place = model.outlier
    assert place is not None
    ahead = found.log_probabilities[:, place] - found.log_probabilities[:, 1 - place]
    return np.maximum(threshold + scale * ahead, 0.0)


def _error_rows(parts: Mapping[tuple[str, str], Any], threshold: float, confidence: float) -> Iterator[MetricRow]:
    how = "the error above which a row is called unusual, the 95th percentile of validation rows"
    yield MetricRow("performance", "error_threshold", "validation", value=threshold, method=how)
    for (split, name), errors in parts.items():
        n = len(errors)
        row: Any = {"split": split, "detail": name, "n": n}
        if n < FEWEST:
            reason = f"{n} rows, fewer than {FEWEST}"
            yield MetricRow("performance", "reconstruction_error", status="insufficient", reason=reason, **row)
            continue
        mean, margin = float(errors.mean()), normal_quantile(confidence) * float(errors.std(ddof=1)) / np.sqrt(n)
        yield MetricRow(
            "performance",
            "reconstruction_error",
            value=mean,
            lower=max(0.0, mean - margin),
            upper=mean + margin,
            confidence=confidence,
            method="mean over rows; normal, from their spread",
            **row,
        )


def _histogram(parts: Mapping[tuple[str, str], Any]) -> pa.Table:
    """split, class, from, to, share: errors in bins that are equally wide in their logarithm."""
    every = np.concatenate(list(parts.values()))
    positive = every[every > 0]
    low, high = (positive.min(), positive.max()) if len(positive) else (1e-6, 1.0)
    edges = np.geomspace(low, max(high, low * 1.01), BINS + 1)
    records = []
    for (split, name), errors in parts.items():
        counts, _ = np.histogram(np.clip(errors, edges[0], edges[-1]), edges)
        records += [
            {"split": split, "class": name, "from": float(a), "to": float(b), "rows": int(count), "of": len(errors)}
            for a, b, count in zip(edges[:-1], edges[1:], counts, strict=True)
        ]
    kinds = [("split", pa.string()), ("class", pa.string()), ("from", pa.float64()), ("to", pa.float64())]
    return pa.Table.from_pylist(records, pa.schema([*kinds, ("rows", pa.int64()), ("of", pa.int64())]))


def _chosen(found: Predictions, errors: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
    """Places among the judged rows: of each class some, evenly from the smallest error to the largest."""
    places = []
    for label in np.unique(found.labels):
        mine = np.flatnonzero(found.labels == label)
        mine = mine[np.argsort(errors[mine], kind="stable")]
        places.append(mine[np.unique(np.linspace(0, len(mine) - 1, SHOWN).round().astype(int))])
    return np.concatenate(places)


def _copied(model: Model, batch: Batch) -> tuple[Any, Any]:
    import torch

    module: Any = model.module
    with model.evaluating(), torch.no_grad():
        return module.reconstruct(*batch.inputs), module.part_errors(*batch.inputs).double().cpu().numpy()


def _copies(
    model: Model, split: Split, chosen: npt.NDArray[np.int64], errors: npt.NDArray[np.float64], found: Predictions
) -> Iterator[tuple[str, pa.Table]]:
    rows, preprocessing = found.rows[chosen], model.preprocessing
    (batch,) = model.batches(split, len(rows), rows)
    copies, by_part = _copied(model, batch)
    names = [split.schema.classes[label] for label in found.labels[chosen]]
    if isinstance(preprocessing, ImagePreprocessing):
        given, made = (part.double().cpu().numpy() for part in (batch.inputs[0], copies[0]))
        made = np.clip(made, given.min(), given.max())
        both = pictures(np.tile(rows, 2), np.concatenate([given, made]))
        where = pictures(rows, pooled(by_part[:, None], mean=True))
        table = pa.concat_tables([both, where])
        what = ["input"] * len(rows) + ["copy"] * len(rows) + ["error"] * len(rows)
        table = table.append_column("what", pa.array(what)).append_column("class", pa.array(names * 3))
        yield "reconstructions", table.append_column("error", pa.array(np.tile(errors[chosen], 3)))
    elif isinstance(preprocessing, TablePreprocessing):
        inputs = readable_inputs(preprocessing, split, rows)
        texts = _texts(preprocessing, copies)
        order = len(preprocessing.columns)
        columns = {
            "copy": pa.array([text for column in texts for text in column]),
            "column_error": pa.array(by_part.T.ravel()),
            "class": pa.array(names * order),
            "error": pa.array(np.tile(errors[chosen], order)),
        }
        for name, values in columns.items():
            inputs = inputs.append_column(name, values)
        yield "reconstructions", inputs


def _texts(preprocessing: TablePreprocessing, copies: tuple[Any, ...]) -> list[list[str | None]]:
    """The copies as a person reads them, column by column."""
    texts = []
    for place in preprocessing.places():
        values = copies[place.input][:, place.index].double().cpu().numpy()
        if place.kind == "numeric":
            column = preprocessing.numeric[place.index]
            texts.append([as_text(float(value)) for value in values * column.scale + column.mean])
        else:
            words = ("(never seen)", *preprocessing.categorical[place.index].vocabulary)
            texts.append([words[int(value)] for value in values])
    return texts


def _columns(context: Context, split: Split, found: Predictions) -> Iterator[tuple[str, pa.Table]]:
    """class, column, error: the mean error of each column over (at most 5,000) test rows of each class."""
    model = context.subject.model
    if not isinstance(model.preprocessing, TablePreprocessing):
        return
    records = []
    for label in np.unique(found.labels):
        rows = found.rows[found.labels == label]
        if len(rows) > COLUMN_ROWS:
            rng = np.random.default_rng([context.spec.seed, 37])
            rows = np.sort(rng.choice(rows, COLUMN_ROWS, replace=False))
        context.ledger.forward("performance", split.name, len(rows))
        errors = np.concatenate([_copied(model, batch)[1] for batch in model.batches(split, 2048, rows)])
        for column, error in zip(model.preprocessing.columns, errors.mean(axis=0).tolist(), strict=True):
            name = split.schema.classes[label]
            records.append({"class": name, "column": column, "error": error, "rows": len(rows)})
    yield "column_errors", pa.Table.from_pylist(records)
