"""Predictions from a file: the columns that are asked for, and no others.

CSV, TSV (also gzipped), Parquet and Arrow/Feather, read with pyarrow.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from auditkit.errors import InputError
from auditkit.fairness.columns import as_column
from auditkit.subject.tables import is_table, read_table


@dataclass(frozen=True)
class Predictions:
    """Labels, predictions and groups of people, and what to call them in a sentence.

    labels, decisions: columns of class names; with a threshold, decisions are numbers, positive from it upwards.
    previous: the last release's decisions on the same rows, written likewise, or None.
    sensitive: attribute → column. scores: a column of numbers or None. positive: the positive class as asked for.
    rows: how many rows each record stands for, where they were counted at their source; else each is one.
    where: the file. The columns are as they came: whoever uses them checks them.
    """

    labels: pa.Array
    decisions: pa.Array
    sensitive: dict[str, pa.Array]
    scores: pa.Array | None = None
    positive: str | None = None
    threshold: float | None = None
    where: str = "predictions"
    label_name: str = "y_true"
    prediction_name: str = "y_pred"
    score_name: str = "scores"
    previous: pa.Array | None = None
    previous_name: str = "y_previous"
    rows: npt.NDArray[np.int64] | None = None


def read_predictions(
    path: str | Path,
    label: str,
    prediction: str,
    score: str | None = None,
    sensitive: Sequence[str] = (),
    positive: str | None = None,
    threshold: float | None = None,
    previous: str | None = None,
) -> Predictions:
    """Read the named columns of a table of predictions.

    threshold: decide by `prediction >= threshold`; the prediction column then holds numbers. previous: the column of
    the last release's decisions, read likewise. Raises InputError for a missing or unreadable file, an unknown column
    (with the nearest) and an empty table.

    >>> read_predictions("no.csv", "label", "prediction", sensitive=["sex"])
    Traceback (most recent call last):
    ...
    auditkit.errors.InputError: no.csv: there is no such file; give the path of a CSV, TSV, Parquet or Arrow table
    """
    path = Path(path)
    if not sensitive:
        raise InputError(f"{path}: name at least one sensitive column (--sensitive sex,race)")
    if len(set(sensitive)) < len(sensitive):
        raise InputError(f"{path}: a sensitive column is named twice; name each once")
    table = _table(
        path, [label, prediction, *([score] if score else []), *([previous] if previous else []), *sensitive]
    )
    if table.num_rows == 0:
        raise InputError(f"{path}: the table has no rows; give at least one for each group")
    return Predictions(
        as_column(table.column(label), label),
        as_column(table.column(prediction), prediction),
        {name: as_column(table.column(name), name) for name in sensitive},
        as_column(table.column(score), score) if score else None,
        positive,
        threshold,
        str(path),
        f"column {label!r}",
        f"column {prediction!r}",
        f"column {score!r}" if score else "scores",
        as_column(table.column(previous), previous) if previous else None,
        f"column {previous!r}" if previous else "y_previous",
    )


def _table(path: Path, columns: list[str]) -> pa.Table:
    kinds = "a CSV, TSV, Parquet or Arrow table"
    if not path.exists():
        raise InputError(f"{path}: there is no such file; give the path of {kinds}")
    if not path.is_file() or not is_table(path):
        raise InputError(f"{path}: this is not {kinds}; its name must end in .csv, .tsv, .parquet, .arrow or .feather")
    return read_table(path, columns)
