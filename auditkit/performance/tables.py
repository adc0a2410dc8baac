"""The performance evidence as Arrow tables."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from auditkit.performance.calibration import bin_confidence
from auditkit.performance.confusion import confusion_counts
from auditkit.performance.observer import Predictions
from auditkit.performance.scores import Settings
from auditkit.statistics.intervals import wilson
from auditkit.subject.data import Schema

ROC_POINTS = 200


def predictions_table(answers: Mapping[str, Predictions], schema: Schema) -> pa.Table:
    """split, row, label, prediction, confidence, correct and, where there is a positive class, its score."""
    names = np.array([*schema.classes, None], dtype=object)
    parts = []
    for split, found in answers.items():
        known = (found.labels >= 0) & found.finite
        columns = {
            "split": pa.array([split] * len(found.rows), pa.string()),
            "row": pa.array(found.rows, pa.int64()),
            "label": pa.array(names[found.labels], pa.string()),
            "prediction": pa.array(names[found.predicted], pa.string()),
            "confidence": pa.array(found.confidence, pa.float64(), mask=~found.finite),
            "correct": pa.array(found.predicted == found.labels, pa.bool_(), mask=~known),
        }
        if schema.positive_index is not None:
            scores = found.probabilities[:, schema.positive_index]
            columns["positive_score"] = pa.array(scores, pa.float64(), mask=~found.finite)
        parts.append(pa.table(columns))
    return pa.concat_tables(parts)


def confusion_table(judged: Mapping[str, Predictions], schema: Schema) -> pa.Table:
    """split, label, prediction, rows: every pair of classes."""
    records = []
    for split, found in judged.items():
        counts = confusion_counts(found.labels, found.predicted, found.classes)
        for true, row in zip(schema.classes, counts.tolist(), strict=True):
            records += [
                {"split": split, "label": true, "prediction": guess, "rows": rows}
                for guess, rows in zip(schema.classes, row, strict=True)
            ]
    kinds = {"split": pa.string(), "label": pa.string(), "prediction": pa.string(), "rows": pa.int64()}
    return pa.Table.from_pylist(records, schema=pa.schema(list(kinds.items())))


def reliability_table(judged: Mapping[str, Predictions], settings: Settings) -> pa.Table:
    """split, bin edges, rows, mean confidence, accuracy and its Wilson band: filled bins of confidence only."""
    records = []
    for split, found in judged.items():
        bins = bin_confidence(found.confidence, found.predicted == found.labels, settings.bins)
        for place in np.flatnonzero(bins.rows):
            rows, right = int(bins.rows[place]), int(bins.correct[place])
            lower, upper = wilson(right, rows, settings.confidence)
            records.append(
                {
                    "split": split,
                    "from": float(bins.edges[place]),
                    "to": float(bins.edges[place + 1]),
                    "rows": rows,
                    "confidence": float(bins.confidence[place] / rows),
                    "accuracy": right / rows,
                    "lower": float(lower),
                    "upper": float(upper),
                }
            )
    kinds = [("split", pa.string()), ("from", pa.float64()), ("to", pa.float64()), ("rows", pa.int64())]
    kinds += [(name, pa.float64()) for name in ("confidence", "accuracy", "lower", "upper")]
    return pa.Table.from_pylist(records, schema=pa.schema(kinds))


def roc_table(judged: Mapping[str, Predictions], positive: int) -> pa.Table:
    """split, false_positive_rate, true_positive_rate: the ROC curve at up to 200 thresholds."""
    splits: list[str] = []
    curves: list[np.ndarray] = []
    for split, found in judged.items():
        mine = found.labels == positive
        if mine.all() or not mine.any():
            continue
        scores = found.log_probabilities[:, positive]
        order = np.argsort(-scores, kind="stable")
        last_of_tie = np.flatnonzero(np.r_[scores[order][1:] != scores[order][:-1], True])
        hits, alarms = np.cumsum(mine[order])[last_of_tie], np.cumsum(~mine[order])[last_of_tie]
        curve = np.stack([np.r_[0, alarms / (~mine).sum()], np.r_[0, hits / mine.sum()]], axis=1)
        kept = np.unique(np.linspace(0, len(curve) - 1, ROC_POINTS).round().astype(int))
        curves.append(curve[kept])
        splits += [split] * len(kept)
    points = np.concatenate(curves) if curves else np.empty((0, 2))
    columns = {"split": pa.array(splits, pa.string())}
    columns |= {name: pa.array(points[:, i]) for i, name in enumerate(("false_positive_rate", "true_positive_rate"))}
    return pa.table(columns)


def curves_table(record: Mapping[str, Any]) -> pa.Table | None:
    """The training curves that came with the model, one row per epoch; None where none did.

    Figures that this kind of training does not have (R² of classes, accuracy of numbers) are no columns.
    """
    curves = record.get("curves")
    if not curves:
        return None
    best = record.get("best_epoch")
    named = [name for name in curves[0] if any(point[name] is not None for point in curves)]
    return pa.Table.from_pylist(
        [{name: point[name] for name in named} | {"best": point["epoch"] == best} for point in curves]
    )
