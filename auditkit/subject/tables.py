"""Tables from files and from memory, as Arrow tables with one row per example.

Parquet, CSV, TSV (also gzipped), Arrow and Feather files; any data frame that speaks the Arrow interface (pandas,
polars, pyarrow). In text files an empty field and the usual spellings (NaN, NULL, NA, N/A) mean missing, except where
they are quoted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from auditkit.errors import InputError, nearest

TEXT = {".csv": ",", ".tsv": "\t"}
ARROW = (".arrow", ".feather", ".ipc")
PARQUET = (".parquet", ".pq")


def is_table(path: Path) -> bool:
    """Whether a file's name says that it is a table this module reads."""
    return _kind(path) in (*TEXT, *ARROW, *PARQUET)


def read_table(path: Path, columns: Sequence[str] | None = None) -> pa.Table:
    """A table from a file, or only the named columns of it, in that order.

    Raises InputError for a file that is cut off, empty or not what its name says, and for a column that it lacks.
    """
    kind = _kind(path)
    try:
        if kind in TEXT:
            table = _read_text(path, TEXT[kind], columns)
        elif kind in ARROW:
            from pyarrow import feather

            table = feather.read_table(path)
        else:
            from pyarrow import parquet

            file = parquet.ParquetFile(path)
            table = file.read(columns=_known(columns, file.schema_arrow.names, path))
    except (pa.ArrowException, OSError, EOFError) as problem:
        said = str(problem).splitlines()[0].rstrip(".") if str(problem) else type(problem).__name__
        raise InputError(
            f"{path}: cannot be read as {kind.lstrip('.').upper()}: truncated, damaged or of another kind ({said})"
        ) from None
    table = checked(table, str(path))
    return table if columns is None else table.select(_known(columns, table.column_names, path))


def from_memory(source: Any) -> pa.Table:
    """A table from a data frame of any library that speaks the Arrow interface."""
    if isinstance(source, pa.Table):
        return checked(source, "the table")
    if hasattr(source, "columns") and hasattr(source, "index"):
        _refuse_twice([str(name) for name in source.columns], "the data frame")
        try:
            table = pa.Table.from_pandas(source, preserve_index=False)
        except (pa.ArrowException, TypeError) as problem:
            raise InputError(f"the data frame has a column of mixed kinds: {str(problem).splitlines()[0]}") from None
        return checked(table, "the data frame")
    return checked(pa.table(source), "the data frame")


def checked(table: pa.Table, where: str) -> pa.Table:
    """The table with plain text columns, after refusing duplicate names and text that is not UTF-8."""
    _refuse_twice(table.column_names, where)
    for place, column in enumerate(table.schema):
        if pa.types.is_binary(column.type) or pa.types.is_large_binary(column.type):
            raise InputError(f"{where}: column {column.name!r} is not UTF-8 text; save the file as UTF-8")
        plain = column.type
        if pa.types.is_dictionary(plain):
            plain = plain.value_type
        if pa.types.is_large_string(plain) or pa.types.is_string_view(plain):
            plain = pa.string()
        if plain != column.type:
            table = table.set_column(place, column.name, table.column(place).cast(plain))
    return table.replace_schema_metadata(None)


def _known(columns: Sequence[str] | None, names: list[str], path: Path) -> list[str] | None:
    """The columns asked for, after refusing those that are not there or there twice."""
    for column in columns or ():
        if column not in names:
            raise InputError(f"{path}: there is no column {column!r}; {nearest(column, names)}")
    if columns is not None:
        _refuse_twice([name for name in names if name in columns], str(path))
    return None if columns is None else list(dict.fromkeys(columns))


def _read_text(path: Path, delimiter: str, columns: Sequence[str] | None) -> pa.Table:
    from pyarrow import csv

    parse = csv.ParseOptions(delimiter=delimiter, newlines_in_values=True)
    convert = csv.ConvertOptions(strings_can_be_null=True, quoted_strings_can_be_null=False)
    if columns is not None:
        with csv.open_csv(path, parse_options=parse, convert_options=convert) as head:
            convert.include_columns = _known(columns, head.schema.names, path)
    try:
        return csv.read_csv(path, parse_options=parse, convert_options=convert)
    except pa.ArrowInvalid as problem:
        if "conversion error" not in str(problem):
            raise
    # a column's type was guessed from its first rows and does not hold further down: guess from all of them
    size = path.stat().st_size * (20 if path.suffix.lower() == ".gz" else 1)
    whole = csv.ReadOptions(block_size=min(size + 2**20, 2**31 - 1))
    return csv.read_csv(path, read_options=whole, parse_options=parse, convert_options=convert)


def _kind(path: Path) -> str:
    name = path.with_suffix("") if path.suffix.lower() == ".gz" else path
    return name.suffix.lower()


def _refuse_twice(names: list[str], where: str) -> None:
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise InputError(f"{where}: column {twice[0]!r} is there more than once; rename or drop one")
