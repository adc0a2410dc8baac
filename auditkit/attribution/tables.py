"""The tables attribution leaves as evidence: explanations, how well they add up, the baseline, the methods."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from auditkit.attribution.explicands import Attribution, Explicands, completeness_gap
from auditkit.attribution.methods import METHODS, Validity
from auditkit.engine.readable import pooled
from auditkit.subject.data import Schema, Split
from auditkit.subject.model import Model
from auditkit.subject.preprocessing import ImagePreprocessing, TablePreprocessing


def method_table(validity: Mapping[str, Validity], model: Model) -> pa.Table:
    """What each method promises, costs, and whether the model allowed it; parts: what it explains an answer by."""
    parts = "cells" if isinstance(model.preprocessing, ImagePreprocessing) else "columns"
    records = [
        {
            "method": name,
            "title": METHODS[name].title,
            "status": found.status,
            "reason": found.reason,
            "complete": METHODS[name].complete,
            "signed": METHODS[name].signed,
            "direction": METHODS[name].direction,
            "cost": METHODS[name].cost,
            "parts": parts,
        }
        for name, found in validity.items()
    ]
    return pa.Table.from_pylist(records)


def row_table(explicands: Explicands, found: Mapping[str, Attribution], split: Split, target: str) -> pa.Table:
    """One line per method and row: what was predicted, what was explained, and how well it adds up."""
    schema: Schema = split.schema
    names = np.array([*schema.classes, None], dtype=object)
    labels, predictions = names[split.labels[explicands.rows]], names[explicands.predictions]
    n = len(explicands)
    targets = [target] * n if len(schema.classes) == 2 else [f"logit of {name!r}" for name in predictions]
    parts = []
    for method, attribution in found.items():
        gap, relative = completeness_gap(attribution.values, explicands.change)
        parts.append(
            pa.table(
                {
                    "method": pa.array([method] * n, pa.string()),
                    "row": pa.array(explicands.rows, pa.int64()),
                    "label": pa.array(labels.tolist(), pa.string()),
                    "prediction": pa.array(predictions.tolist(), pa.string()),
                    "target": pa.array(targets, pa.string()),
                    "score": explicands.scores.cpu().numpy(),
                    "baseline_score": explicands.baseline_scores.cpu().numpy(),
                    "gap": gap.cpu().numpy(),
                    "relative_gap": relative.cpu().numpy(),
                    "evaluations": pa.array(attribution.evaluations, pa.int64()),
                    "steps": _optional(attribution.steps, n, pa.int64()),
                    "converged": _optional(attribution.converged, n, pa.bool_()),
                }
            )
        )
    return pa.concat_tables(parts)


def _optional(values: npt.NDArray | None, n: int, kind: pa.DataType) -> pa.Array:
    return pa.nulls(n, kind) if values is None else pa.array(values, kind)


def column_explanations(explicands: Explicands, found: Mapping[str, Attribution]) -> pa.Table:
    """Tables: one line per method, row and column."""
    n, columns = len(explicands), explicands.partition.parts
    parts = [
        pa.table(
            {
                "method": pa.array([method] * (n * len(columns)), pa.string()),
                "row": pa.array(np.repeat(explicands.rows, len(columns)), pa.int64()),
                "column": pa.array(list(columns) * n, pa.string()),
                "value": attribution.values.cpu().numpy().ravel(),
            }
        )
        for method, attribution in found.items()
    ]
    return pa.concat_tables(parts)


def map_explanations(explicands: Explicands, found: Mapping[str, Attribution]) -> pa.Table:
    """Images: one map per method and row, channels added up, row by row from the top; larger ones are pooled by sum."""
    parts = []
    for method, attribution in found.items():
        if attribution.maps is None:
            continue
        maps = pooled(attribution.maps.cpu().numpy())
        parts.append(
            pa.table(
                {
                    "method": pa.array([method] * len(maps), pa.string()),
                    "row": pa.array(explicands.rows, pa.int64()),
                    "height": pa.array([maps.shape[1]] * len(maps), pa.int64()),
                    "width": pa.array([maps.shape[2]] * len(maps), pa.int64()),
                    "map": pa.array(list(maps.reshape(len(maps), -1)), pa.list_(pa.float64())),
                }
            )
        )
    return pa.concat_tables(parts)


def baseline_table(model: Model, explicands: Explicands) -> pa.Table:
    """The baseline: for numbers the value in their own unit, for categories the mixture it stands for, for images none.

    An image's baseline is kept as one row with its pixels.
    """
    baseline, preprocessing = explicands.baseline, model.preprocessing
    if isinstance(preprocessing, ImagePreprocessing):
        picture = pooled(baseline.points[0].double().cpu().numpy(), mean=True)
        return pa.table(
            {
                "description": [baseline.description],
                "rows": pa.array([baseline.rows], pa.int64()),
                "channels": [picture.shape[1]],
                "height": [picture.shape[2]],
                "width": [picture.shape[3]],
                "pixels": pa.array(list(picture.reshape(1, -1)), pa.list_(pa.float64())),
            }
        )
    table = preprocessing if isinstance(preprocessing, TablePreprocessing) else None
    numbers = {column.name: column for column in table.numeric} if table else {}
    records = []
    for index, name in enumerate(preprocessing.columns):
        value = None
        if name in numbers:
            value = float(baseline.points[0][0, index]) * numbers[name].scale + numbers[name].mean
        records.append(
            {
                "column": name,
                "kind": "numeric" if name in numbers else "categorical",
                "value": value,
                "description": baseline.description,
                "rows": baseline.rows,
            }
        )
    kinds = [("column", pa.string()), ("kind", pa.string()), ("value", pa.float64())]
    return pa.Table.from_pylist(records, pa.schema([*kinds, ("description", pa.string()), ("rows", pa.int64())]))
