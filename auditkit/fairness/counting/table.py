"""Predictions from a file: the columns that are asked for, and no others.

CSV, TSV (also gzipped), Parquet and Arrow/Feather, read with pyarrow.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from auditkit.errors import InputError
from auditkit.fairness.counting.columns import as_column
from auditkit.subject.tables import is_table, read_table


@dataclass(frozen=True)
class Predictions:
    """Labels, predictions and groups of people, and what to call them in a sentence.

    labels, decisions: columns of class names; with a threshold, decisions are numbers, positive from it upwards.
    previous: the last release's decisions on the same rows, written likewise, or None.
    sensitive: attribute → column. scores: a column of numbers or None. positive: the positive class as asked for.
    rows: how many rows each record stands for, where they were counted at their source; else each is one.
    weights: what each row weighs; strata, clusters: what each row was drawn from or with; each a column or None.
    control: columns that may rightly explain a gap. features: what the model saw.
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
    weights: pa.Array | None = None
    strata: pa.Array | None = None
    clusters: pa.Array | None = None
    control: Mapping[str, pa.Array] = field(default_factory=dict)
    features: Mapping[str, pa.Array] = field(default_factory=dict)

    @property
    def others(self) -> dict[str, pa.Array | None]:
        """Every column beside labels and decisions, by what to call it in a sentence."""
        named = {f"sensitive column {name!r}": column for name, column in self.sensitive.items()}
        named |= {f"control column {name!r}": column for name, column in self.control.items()}
        named |= {f"feature {name!r}": column for name, column in self.features.items()}
        return named | {
            self.score_name: self.scores,
            "sample_weight": self.weights,
            "strata": self.strata,
            "clusters": self.clusters,
        }


def read_predictions(
    path: str | Path,
    label: str,
    prediction: str,
    score: str | None = None,
    sensitive: Sequence[str] = (),
    positive: str | None = None,
    threshold: float | None = None,
    previous: str | None = None,
    weight: str | None = None,
    stratum: str | None = None,
    cluster: str | None = None,
    control: Sequence[str] = (),
    features: Sequence[str] = (),
) -> Predictions:
    """Read the named columns of a table of predictions.

    threshold: decide by `prediction >= threshold`; the prediction column then holds numbers. previous: the column of
    the last release's decisions, read likewise. weight, stratum, cluster: columns of sampling weights, and of what rows
    were drawn from or together with. control: columns that may explain a gap; features: what the model saw. Raises
    InputError for a missing or unreadable file, an unknown column (with the nearest) and an empty table.

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
    more = [name for name in (score, previous, weight, stratum, cluster) if name]
    table = _table(path, list(dict.fromkeys([label, prediction, *more, *sensitive, *control, *features])))

    def column(name: str | None) -> pa.Array | None:
        return as_column(table.column(name), name) if name else None

    if table.num_rows == 0:
        raise InputError(f"{path}: the table has no rows; give at least one for each group")
    return Predictions(
        as_column(table.column(label), label),
        as_column(table.column(prediction), prediction),
        {name: as_column(table.column(name), name) for name in sensitive},
        column(score),
        positive,
        threshold,
        str(path),
        f"column {label!r}",
        f"column {prediction!r}",
        f"column {score!r}" if score else "scores",
        column(previous),
        f"column {previous!r}" if previous else "y_previous",
        weights=column(weight),
        strata=column(stratum),
        clusters=column(cluster),
        control={name: as_column(table.column(name), name) for name in control},
        features={name: as_column(table.column(name), name) for name in features},
    )


def read_columns(path: str | Path, columns: Sequence[str]) -> dict[str, pa.Array]:
    """The named columns of a table. Raises InputError as `read_predictions` does."""
    table = _table(Path(path), list(dict.fromkeys(columns)))
    if table.num_rows == 0:
        raise InputError(f"{path}: the table has no rows; give at least one for each group")
    return {name: as_column(table.column(name), name) for name in columns}


def _table(path: Path, columns: list[str]) -> pa.Table:
    kinds = "a CSV, TSV, Parquet or Arrow table"
    if not path.exists():
        raise InputError(f"{path}: there is no such file; give the path of {kinds}")
    if not path.is_file() or not is_table(path):
        raise InputError(f"{path}: this is not {kinds}; its name must end in .csv, .tsv, .parquet, .arrow or .feather")
    return read_table(path, columns)
