"""The tables attribution leaves as evidence: explanations, how well they add up, the baseline, the methods."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from auditkit.attribution.explicands import Explicands, PartAttribution, completeness_gap
from auditkit.attribution.method import Validity, example_inputs
from auditkit.attribution.registry import METHODS
from auditkit.engine.readable import pooled
from auditkit.subject.data import Schema, Split
from auditkit.subject.model import Model
from auditkit.subject.preprocessing import (
    ImagePreprocessing,
    SeriesPreprocessing,
    TablePreprocessing,
    category_values,
)

PARTS = {"table": "columns", "image": "cells", "text": "words", "series": "windows"}
"""what rows are → what they are explained by"""
LONGEST = 128
"""a series' attributions are kept at up to this many places along time"""


def method_table(validity: Mapping[str, Validity], model: Model) -> pa.Table:
    """What each method promises, costs, and whether the model allowed it; parts: what it explains an answer by."""
    parts = PARTS[model.preprocessing.modality]
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


def preflight_table(validity: Mapping[str, Validity], model: Model) -> pa.Table:
    """For every method there is: method, title, status on this model, reason, and whether this audit used it.

    validity: what is known already of the methods that the audit wanted.
    """
    inputs = example_inputs(model)
    known = {name: validity[name] if name in validity else METHODS[name].valid_for(model, inputs) for name in METHODS}
    records = [
        {
            "method": name,
            "title": METHODS[name].title,
            "status": found.status,
            "reason": found.reason,
            "used": name in validity and found.status != "refused",
        }
        for name, found in known.items()
    ]
    return pa.Table.from_pylist(records)


def row_groups(explicands: Explicands, split: Split) -> pa.Table:
    """Which group of each sensitive attribute an explained row belongs to: one line per attribute and row."""
    parts = [
        pa.table(
            {
                "row": pa.array(explicands.rows, pa.int64()),
                "attribute": pa.array([attribute] * len(explicands), pa.string()),
                "group": pa.array(category_values(split, attribute, explicands.rows).to_pylist(), pa.string()),
            }
        )
        for attribute in split.schema.sensitive
    ]
    kinds = pa.schema([("row", pa.int64()), ("attribute", pa.string()), ("group", pa.string())])
    return pa.concat_tables(parts) if parts else kinds.empty_table()


def row_table(explicands: Explicands, found: Mapping[str, PartAttribution], split: Split, target: str) -> pa.Table:
    """One line per method and row: what was predicted, what was explained, and how well it adds up."""
    schema: Schema = split.schema
    labels, predictions = _answers(explicands, split)
    n = len(explicands)
    targets = [target] * n
    if schema.task == "multilabel" or len(schema.classes) > 2:
        targets = [f"logit of {schema.classes[place]!r}" for place in explicands.predictions]
    parts = []
    for method, attribution in found.items():
        gap, relative = completeness_gap(attribution.values, explicands.change)
        parts.append(
            pa.table(
                {
                    "method": pa.array([method] * n, pa.string()),
                    "row": pa.array(explicands.rows, pa.int64()),
                    "label": pa.array(labels, pa.string()),
                    "prediction": pa.array(predictions, pa.string()),
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


def _answers(explicands: Explicands, split: Split) -> tuple[list[str | None], list[str | None]]:
    """True and predicted classes by name, or numbers written out; None where the truth is not known.

    Of several labels the answer that is explained: the label by its name, or that it is not there.
    """
    if split.marks is not None:
        return _answers_to_labels(explicands, split, split.marks)
    if split.targets is None:
        names = np.array([*split.schema.classes, None], dtype=object)
        return names[split.labels[explicands.rows]].tolist(), names[explicands.predictions].tolist()
    both = split.targets[explicands.rows], explicands.scores.cpu().numpy()
    truth, predicted = ([f"{value:.6g}" if np.isfinite(value) else None for value in side] for side in both)
    return truth, predicted


def _answers_to_labels(
    explicands: Explicands, split: Split, marks: npt.NDArray[np.int8]
) -> tuple[list[str | None], list[str | None]]:
    """Whether the label that is explained is there, and whether the model says so; its score is its logit."""
    names = [split.schema.classes[place] for place in explicands.predictions]
    truth = marks[explicands.rows, explicands.predictions].tolist()
    found = (explicands.scores.cpu().numpy() >= 0).tolist()
    said = {1: "{}", 0: "not {}"}
    return (
        [said[mark].format(name) if mark >= 0 else None for name, mark in zip(names, truth, strict=True)],
        [said[int(yes)].format(name) for name, yes in zip(names, found, strict=True)],
    )


def _optional(values: npt.NDArray | None, n: int, kind: pa.DataType) -> pa.Array:
    return pa.nulls(n, kind) if values is None else pa.array(values, kind)


def column_explanations(explicands: Explicands, found: Mapping[str, PartAttribution]) -> pa.Table:
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


def map_explanations(explicands: Explicands, found: Mapping[str, PartAttribution]) -> pa.Table:
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


def word_explanations(explicands: Explicands, found: Mapping[str, PartAttribution]) -> pa.Table:
    """Texts: one line per method, row and word, in the order of the text. position: its place among the model's ids."""
    row, place = explicands.places.cpu().numpy().T
    assert explicands.words is not None
    words = [explicands.words[r][p] for r, p in zip(row, place, strict=True)]
    parts = [
        pa.table(
            {
                "method": pa.array([method] * len(row), pa.string()),
                "row": pa.array(explicands.rows[row], pa.int64()),
                "position": pa.array(place + 1, pa.int64()),
                "word": pa.array(words, pa.string()),
                "value": attribution.values.cpu().numpy()[row, place],
            }
        )
        for method, attribution in found.items()
    ]
    return pa.concat_tables(parts)


def series_explanations(
    preprocessing: SeriesPreprocessing, explicands: Explicands, found: Mapping[str, PartAttribution]
) -> pa.Table:
    """Series: one line per method, row and channel, with its attributions over time, added up by blocks of steps."""
    wide = -(-preprocessing.steps // LONGEST)
    starts, channels = np.arange(0, preprocessing.steps, wide), preprocessing.channels
    parts = []
    for method, attribution in found.items():
        if attribution.maps is None:
            continue
        blocks = np.add.reduceat(attribution.maps.cpu().numpy(), starts, axis=2)
        n = len(blocks) * len(channels)
        parts.append(
            pa.table(
                {
                    "method": pa.array([method] * n, pa.string()),
                    "row": pa.array(np.repeat(explicands.rows, len(channels)), pa.int64()),
                    "channel": pa.array(list(channels) * len(blocks), pa.string()),
                    "steps": pa.array([preprocessing.steps] * n, pa.int64()),
                    "block": pa.array([wide] * n, pa.int64()),
                    "values": pa.array(list(blocks.reshape(n, len(starts))), pa.list_(pa.float64())),
                }
            )
        )
    return pa.concat_tables(parts)


def baseline_table(model: Model, explicands: Explicands) -> pa.Table:
    """The baseline: for numbers and a series' channels the (mean) value in their own unit, for other columns none.

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
    if isinstance(preprocessing, SeriesPreprocessing):
        means = baseline.points[0][0].double().mean(dim=0).cpu().numpy()
        values = means * np.asarray(preprocessing.scale) + np.asarray(preprocessing.mean)
        records = [
            {"column": channel, "kind": "channel", "value": float(value)}
            for channel, value in zip(preprocessing.channels, values, strict=True)
        ]
    for index, name in enumerate(preprocessing.columns if not records else ()):
        value = None
        if name in numbers:
            value = float(baseline.points[0][0, index]) * numbers[name].scale + numbers[name].mean
        records.append(
            {
                "column": name,
                "kind": "text" if preprocessing.modality == "text" else "numeric" if name in numbers else "categorical",
                "value": value,
            }
        )
    records = [record | {"description": baseline.description, "rows": baseline.rows} for record in records]
    kinds = [("column", pa.string()), ("kind", pa.string()), ("value", pa.float64())]
    return pa.Table.from_pylist(records, pa.schema([*kinds, ("description", pa.string()), ("rows", pa.int64())]))
