"""Counting where the data lie: the GROUP BY runs in the engine that holds the rows, and only counts come back.

A fairness check needs the rows' counts by label, decision and group, and nothing else. So a Parquet or CSV file larger
than memory is grouped by DuckDB, a DuckDB relation by its own connection, and any frame narwhals knows (pandas, polars,
Arrow, Dask, Spark, also lazy ones) by its own engine. What comes back is one record per combination that occurs, with
how many rows it stands for, and where rows are weighted the sums of their weights and of the squares: a few kilobytes,
whatever the number of rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from auditkit.errors import InputError, nearest
from auditkit.fairness.counted import check_counts
from auditkit.fairness.counting.columns import as_column
from auditkit.fairness.counting.counts import Counts, Integers, Weights, encode_groups
from auditkit.fairness.counting.decisions import decide
from auditkit.fairness.counting.published import PublishedCounts
from auditkit.fairness.counting.table import Predictions
from auditkit.fairness.result import FairnessCheck

ROWS, TOTAL, SQUARES, VALID = "rows standing for", "weight standing for", "squared weights", "weights that are valid"
_NUMBERS = ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT", "UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT",
            "FLOAT", "DOUBLE", "DECIMAL")  # fmt: skip
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
    return _predictions(_counted(source, label, prediction, sensitive), positive)


def count_table(
    source: Any,
    *,
    label: str,
    prediction: str,
    sensitive: Sequence[str],
    positive: str | None = None,
    weight: str | None = None,
) -> PublishedCounts:
    """The counts of a table of predictions, made where it lies; to be checked, written to a file, or given away.

    Arguments as for `count_predictions`. weight: the column of sampling weights; their sums are made at the source.
    Raises InputError as `count_predictions` does, and for weights that are missing, negative or no numbers.
    """
    found = _counted(source, label, prediction, sensitive, weight)
    predictions = _predictions(found, positive)
    decisions = decide(
        predictions.labels,
        predictions.decisions,
        positive,
        each=found.rows,
        where=found.where,
        label_name=predictions.label_name,
        prediction_name=predictions.prediction_name,
    )
    groups = encode_groups(predictions.sensitive, found.where)
    counts = Counts.tally(groups, decisions.truth, decisions.decision, each=found.rows, weights=found.weights)
    return PublishedCounts(
        counts,
        decisions.positive,
        decisions.classes,
        found.where,
        predictions.label_name,
        caveats=decisions.caveats,
    )


def check_table(
    source: Any,
    *,
    label: str,
    prediction: str,
    sensitive: Sequence[str],
    positive: str | None = None,
    weight: str | None = None,
    **settings: Any,
) -> FairnessCheck:
    """Check a table of predictions where it lies. Arguments as for `count_table`; settings as for `check_counts`
    (policy, minimum_group, replicates, confidence, seed).

    >>> check_table("people.parquet", label="truth", prediction="decision", sensitive=["sex"])  # doctest: +SKIP
    """
    counts = count_table(
        source, label=label, prediction=prediction, sensitive=sensitive, positive=positive, weight=weight
    )
    return check_counts(counts, **settings)


@dataclass(frozen=True)
class _Counted:
    """One record per combination of values. rows: int64 [records]; weights: their sums, where rows are weighted."""

    table: pa.Table
    label: str
    prediction: str
    sensitive: tuple[str, ...]
    where: str
    rows: Integers
    weights: Weights | None


def _counted(source: Any, label: str, prediction: str, sensitive: Sequence[str], weight: str | None = None) -> _Counted:
    if not sensitive:
        raise InputError("no sensitive attribute was given; name at least one")
    columns = list(dict.fromkeys([label, prediction, *sensitive]))
    where = str(source) if isinstance(source, str | Path) else "predictions"
    if weight in columns:
        raise InputError(f"{where}: column {weight!r} is named as weight and as label, decision or group; name another")
    counted = _grouped(source, columns, where, weight)
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
    weights = None if weight is None else _weights(counted, rows, weight, where)
    return _Counted(counted, label, prediction, tuple(sensitive), where, rows, weights)


def _predictions(found: _Counted, positive: str | None) -> Predictions:
    made = Predictions(
        as_column(found.table.column(found.label), found.label),
        as_column(found.table.column(found.prediction), found.prediction),
        {name: as_column(found.table.column(name), name) for name in found.sensitive},
        positive=positive,
        where=found.where,
        label_name=f"column {found.label!r}",
        prediction_name=f"column {found.prediction!r}",
    )
    return replace(made, rows=found.rows)


def _weights(counted: pa.Table, rows: Integers, weight: str, where: str) -> Weights:
    """The sums of each record's weights. Raises InputError as `checked_weights` does for rows."""
    valid = pc.fill_null(counted.column(VALID), 0).to_numpy().astype(np.int64)
    if (wrong := int(rows.sum() - valid.sum())) > 0:
        raise InputError(
            f"{where}: {wrong:,} of {rows.sum():,} rows have a weight in column {weight!r} that is missing, negative "
            "or infinite; a weight says how many people a row stands for"
        )
    total, squares = (counted.column(name).cast(pa.float64()).to_numpy() for name in (TOTAL, SQUARES))
    if not total.any():
        raise InputError(f"{where}: every weight in column {weight!r} is 0; say how many people a row stands for")
    return Weights(total, squares)


def _grouped(source: Any, columns: Sequence[str], where: str, weight: str | None) -> pa.Table:
    if isinstance(source, str | Path):
        return _by_duckdb(_relation(Path(source)), columns, where, weight)
    if type(source).__module__.split(".")[0] in ("duckdb", "_duckdb"):
        return _by_duckdb(source, columns, where, weight)
    return _by_narwhals(source, columns, where, weight)


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


def _by_duckdb(relation: Any, columns: Sequence[str], where: str, weight: str | None) -> pa.Table:
    _known([*columns, *([weight] if weight else [])], relation.columns, where)
    names = ", ".join(map(_quoted, columns))
    sums = [f'count(*) AS "{ROWS}"']
    if weight:
        kind = str(relation.types[relation.columns.index(weight)])
        if not kind.startswith(_NUMBERS):
            raise InputError(f"{where}: column {weight!r} holds {kind} and not numbers; name a column of weights")
        each = f"CAST({_quoted(weight)} AS DOUBLE)"
        sums += [
            f'sum({each}) AS "{TOTAL}"',
            f'sum({each} * {each}) AS "{SQUARES}"',
            f"count(*) FILTER (WHERE {each} >= 0 AND {each} < CAST('infinity' AS DOUBLE)) AS \"{VALID}\"",
        ]
    table: pa.Table = relation.aggregate(", ".join([names, *sums]), names).to_arrow_table()
    return table


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _by_narwhals(source: Any, columns: Sequence[str], where: str, weight: str | None) -> pa.Table:
    import narwhals as nw

    try:
        frame = nw.from_native(source)
    except TypeError:
        raise InputError(
            f"{where}: {type(source).__name__} cannot be counted; give a path, a DuckDB relation or a data frame"
        ) from None
    schema = frame.collect_schema()
    _known([*columns, *([weight] if weight else [])], schema.names(), where)
    sums = [nw.len().alias(ROWS)]
    if weight:
        if not schema[weight].is_numeric():
            raise InputError(
                f"{where}: column {weight!r} holds {schema[weight]} and not numbers; name a column of weights"
            )
        each = nw.col(weight).cast(nw.Float64)
        frame = frame.with_columns(
            each.alias(TOTAL),
            (each * each).alias(SQUARES),
            ((each >= 0) & (each < float("inf"))).cast(nw.Int64).alias(VALID),
        )
        sums += [nw.col(name).sum() for name in (TOTAL, SQUARES, VALID)]
    counted = frame.group_by(list(columns), drop_null_keys=False).agg(*sums)
    if isinstance(counted, nw.LazyFrame):
        counted = counted.collect(backend="pyarrow")
    return counted.to_arrow()


def _known(columns: Sequence[str], present: Sequence[str], where: str) -> None:
    for name in columns:
        if name not in present:
            raise InputError(f"{where}: there is no column {name!r}; {nearest(name, present)}")
