"""Counting where the data lie: the GROUP BY runs in the engine that holds the rows, and only counts come back.

A fairness check needs the rows' counts by label, decision and group, and nothing else. So a Parquet or CSV file larger
than memory is grouped by DuckDB, a DuckDB relation by its own connection, and any frame narwhals knows (pandas, polars,
Arrow, also lazy ones) by its own engine. What comes back is one record per combination that occurs, with how many rows
it stands for: a few kilobytes, whatever the number of rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from auditkit.errors import InputError, nearest
from auditkit.fairness.check import FairnessCheck, check_predictions
from auditkit.fairness.columns import as_column
from auditkit.fairness.table import Predictions

ROWS = "rows standing for"
MANY = 100_000
"""more combinations than this are no table of groups"""


def count_predictions(
    source: Any, *, label: str, prediction: str, sensitive: Sequence[str], positive: str | None = None
) -> Predictions:
    """Predictions counted at their source, ready for `check_predictions`.

    source: path of Parquet or CSV files (a glob or a folder of Parquet files is read as one), a DuckDB relation, or a
    frame narwhals knows. prediction: the column of decisions, as class labels.

    Raises InputError for a missing file, an unknown column (with the nearest), missing labels or decisions, and
    columns with so many values that they are no groups.
    """
    columns = list(dict.fromkeys([label, prediction, *sensitive]))
    where = str(source) if isinstance(source, str | Path) else "predictions"
    counted = _grouped(source, columns, where)
    if counted.num_rows == 0:
        raise InputError(f"{where}: the table has no rows; give at least one for each group")
    if counted.num_rows > MANY:
        raise InputError(
            f"{where}: the columns {', '.join(map(repr, columns))} have {counted.num_rows:,} combinations of values; "
            "put numbers into bands, and name a column of decisions, not of scores"
        )
    rows = counted.column(ROWS).to_numpy().astype(np.int64)
    for name in (label, prediction):
        missing = int(rows[pc.is_null(counted.column(name), nan_is_null=True).to_numpy()].sum())
        if missing:
            raise InputError(f"{where}: {missing:,} of {rows.sum():,} rows have no value in column {name!r}")
    found = Predictions(
        as_column(counted.column(label), label),
        as_column(counted.column(prediction), prediction),
        {name: as_column(counted.column(name), name) for name in sensitive},
        positive=positive,
        where=where,
        label_name=f"column {label!r}",
        prediction_name=f"column {prediction!r}",
    )
    return replace(found, rows=rows)


def check_table(
    source: Any,
    *,
    label: str,
    prediction: str,
    sensitive: Sequence[str],
    positive: str | None = None,
    **settings: Any,
) -> FairnessCheck:
    """Check a table of predictions where it lies. Arguments as for `count_predictions`; settings as for
    `check_fairness` (policy, minimum_group, replicates, confidence, seed).

    >>> check_table("people.parquet", label="truth", prediction="decision", sensitive=["sex"])  # doctest: +SKIP
    """
    found = count_predictions(source, label=label, prediction=prediction, sensitive=sensitive, positive=positive)
    return check_predictions(found, **settings)


def _grouped(source: Any, columns: Sequence[str], where: str) -> pa.Table:
    if isinstance(source, str | Path):
        return _by_duckdb(_relation(Path(source)), columns, where)
    if type(source).__module__.split(".")[0] in ("duckdb", "_duckdb"):
        return _by_duckdb(source, columns, where)
    return _by_narwhals(source, columns, where)


def _relation(path: Path) -> Any:
    import duckdb

    pattern = path / "**" / "*.parquet" if path.is_dir() else path
    if not path.exists() and not any(sign in str(path) for sign in "*?["):
        raise InputError(f"{path}: there is no such file; give the path of a CSV or Parquet table")
    reader = "read_csv" if ".csv" in path.name or ".tsv" in path.name else "read_parquet"
    try:
        return getattr(duckdb.connect(), reader)(str(pattern))
    except (duckdb.Error, OSError) as problem:
        raise InputError(f"{path}: cannot be read ({str(problem).splitlines()[0]})") from None


def _by_duckdb(relation: Any, columns: Sequence[str], where: str) -> pa.Table:
    _known(columns, relation.columns, where)
    names = ", ".join('"' + name.replace('"', '""') + '"' for name in columns)
    table: pa.Table = relation.aggregate(f'{names}, count(*) AS "{ROWS}"', names).to_arrow_table()
    return table


def _by_narwhals(source: Any, columns: Sequence[str], where: str) -> pa.Table:
    import narwhals as nw

    try:
        frame = nw.from_native(source)
    except TypeError:
        raise InputError(
            f"{where}: {type(source).__name__} cannot be counted; give a path, a DuckDB relation or a data frame"
        ) from None
    _known(columns, frame.collect_schema().names(), where)
    counted = frame.group_by(list(columns), drop_null_keys=False).agg(nw.len().alias(ROWS))
    if isinstance(counted, nw.LazyFrame):
        counted = counted.collect()
    return counted.to_arrow()


def _known(columns: Sequence[str], present: Sequence[str], where: str) -> None:
    for name in columns:
        if name not in present:
            raise InputError(f"{where}: there is no column {name!r}; {nearest(name, present)}")
