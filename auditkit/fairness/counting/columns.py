"""Whatever a user holds as columns, as Arrow: lists, numpy, pandas, polars, Arrow, tensors; and checks they share.

torch is never imported here: a caller who hands over a tensor has imported it. Nor is pandas on the way from a file to
a verdict; Arrow imports it for `array`, `scalar` and `to_numpy`, hence `numbers_of`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from auditkit.errors import InputError
from auditkit.subject.data import label_text

Column: TypeAlias = pa.Array | pa.ChunkedArray


def as_column(values: Any, name: str) -> pa.Array:
    """One column as an Arrow array.

    values: anything one-dimensional, or of shape [n, 1]. Raises InputError, calling the column `name`, otherwise.

    >>> as_column(("no", None, "yes"), "label").null_count
    1
    """
    array = _as_array(values, name)
    if isinstance(array, pa.ChunkedArray):
        array = array.combine_chunks()
    if pa.types.is_nested(array.type):
        raise InputError(f"{name}: its values are {array.type}; give one plain value per row")
    return array


def _as_array(values: Any, name: str) -> Column:
    if isinstance(values, pa.Array | pa.ChunkedArray):
        return values
    if hasattr(values, "columns"):
        names = getattr(values, "column_names", None) or list(values.columns)
        if len(names) != 1:
            raise InputError(f"{name}: {len(names)} columns were given where one belongs; choose one")
        return _as_array(values[names[0]], name)
    if hasattr(values, "detach"):
        values = values.detach().cpu().numpy()
    if hasattr(values, "__arrow_c_stream__"):
        return pa.chunked_array(values)
    if isinstance(values, str | bytes) or not (hasattr(values, "__len__") or hasattr(values, "__array__")):
        raise InputError(
            f"{name}: {type(values).__name__} is no column; give a list, an array or a data frame's column"
        )
    if not isinstance(values, list | tuple) and not hasattr(values, "dtype"):
        values = list(values)
    if isinstance(values, np.ndarray) and values.ndim != 1:
        if values.ndim != 2 or values.shape[1] != 1:
            raise InputError(f"{name}: shape {values.shape} is no column; give one value per row")
        values = values[:, 0]
    try:
        return pa.array(values, from_pandas=True)
    except (pa.ArrowException, TypeError, ValueError, OverflowError):
        return pa.array([label_text(value) for value in values], pa.string())


def as_columns(values: Any, name: str = "sensitive_features") -> dict[str, pa.Array]:
    """Named columns: from a mapping, a data frame, an Arrow table, a two-dimensional array, or one column.

    Columns without a name are called `sensitive_feature_0` and so on, as fairlearn does.

    >>> list(as_columns({"sex": ["f", "m"]})), list(as_columns([["f", "a"], ["m", "b"]]))
    (['sex'], ['sensitive_feature_0', 'sensitive_feature_1'])
    """
    if isinstance(values, Mapping):
        return {str(key): as_column(column, f"{name}[{key!r}]") for key, column in values.items()}
    if isinstance(values, pa.Table | pa.RecordBatch):
        return {key: as_column(values.column(key), key) for key in _once(values.schema.names, name)}
    if hasattr(values, "columns") and hasattr(values, "__getitem__"):
        keys = _once([str(key) for key in values.columns], name)
        return {text: as_column(values[key], text) for text, key in zip(keys, values.columns, strict=True)}
    if hasattr(values, "detach"):
        values = values.detach().cpu().numpy()
    if isinstance(values, list | tuple) and values and isinstance(values[0], list | tuple | np.ndarray):
        if len({len(row) for row in values}) > 1:
            raise InputError(f"{name}: its rows have different lengths; give every row a value for every attribute")
        return {_unnamed(at): as_column([row[at] for row in values], name) for at in range(len(values[0]))}
    if isinstance(values, np.ndarray) and values.ndim == 2:
        return {_unnamed(at): as_column(values[:, at], name) for at in range(values.shape[1])}
    own = getattr(values, "name", None)
    return {str(own) if own is not None else _unnamed(0): as_column(values, name)}


def _unnamed(place: int) -> str:
    return f"sensitive_feature_{place}"


def _once(names: Sequence[str], where: str) -> list[str]:
    twice = sorted({name for name in names if list(names).count(name) > 1})
    if twice:
        raise InputError(f"{where}: column {twice[0]!r} is there more than once; rename or drop one")
    return list(names)


def numbers_of(array: pa.Array, kind: type[np.generic]) -> npt.NDArray:
    """The values of an Arrow array of 64-bit numbers without nulls, sharing its memory.

    `Array.to_numpy` gives the same, but imports pandas for it, which takes longer than a whole check.

    >>> numbers_of(pa.array([1, 2, 3]).slice(1), np.int64).tolist()
    [2, 3]
    """
    if array.null_count or array.type.bit_width != 64:
        raise ValueError(f"64-bit numbers without nulls are needed, got {array.type} with {array.null_count} nulls")
    buffer = array.buffers()[1]
    if buffer is None or len(array) == 0:
        return np.zeros(0, dtype=kind)
    return np.frombuffer(buffer, dtype=kind)[array.offset : array.offset + len(array)]


def encode(column: Column, text: Callable[[object], str | None]) -> tuple[npt.NDArray[np.int64], list[str]]:
    """A column's values as text in sorted order, and each row's place among them.

    text: what a value is called, or None for a value that is missing; those rows, and nulls, have the place -1.

    >>> codes, names = encode(pa.array(["b", None, "a", "b"]), str)
    >>> names, codes.tolist()
    (['a', 'b'], [1, -1, 0, 1])
    """
    array = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    if not pa.types.is_dictionary(array.type):
        array = array.dictionary_encode()
    texts = [None if value is None else text(value) for value in array.dictionary.to_pylist()]
    unknown = numbers_of(array.is_null().cast(pa.int64()), np.int64) == 1
    indices = array.indices.cast(pa.int64())
    places = np.frombuffer(indices.buffers()[1] or b"", dtype=np.int64)[indices.offset : indices.offset + len(indices)]
    places = np.where(unknown, len(texts), places)
    there = np.bincount(places, minlength=len(texts) + 1) > 0
    names = sorted({name for name, present in zip(texts, there, strict=False) if present and name is not None})
    code = {name: place for place, name in enumerate(names)}
    return np.array([*(-1 if name is None else code.get(name, -1) for name in texts), -1])[places], names


def refuse_missing(missing: npt.NDArray[np.bool_], name: str, where: str) -> None:
    """Raise InputError where rows are missing, with their count and the first, counted from 1."""
    if missing.any():
        raise InputError(
            f"{where}: {name} is missing (NaN, null or empty) in {int(missing.sum()):,} of {len(missing):,} rows, "
            f"first in row {int(missing.argmax()) + 1:,}; remove these rows or fill them in"
        )


def as_numbers(column: pa.Array, name: str, where: str) -> npt.NDArray[np.float64]:
    """A column of finite numbers, float64 [n]. Raises InputError for text, missing or infinite values."""
    kind = column.type
    refuse_missing(numbers_of(column.is_null(nan_is_null=True).cast(pa.int64()), np.int64) == 1, name, where)
    if not (pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)):
        raise InputError(f"{where}: {name} holds {kind} and not numbers; name a column of numbers")
    numbers = numbers_of(column.cast(pa.float64(), safe=False), np.float64)
    infinite = ~np.isfinite(numbers)
    if infinite.any():
        raise InputError(
            f"{where}: {name} is infinite in {int(infinite.sum()):,} of {len(numbers):,} rows, first in row "
            f"{int(infinite.argmax()) + 1:,}; remove these rows or correct them"
        )
    return numbers


def encode_labels(column: pa.Array, name: str, where: str) -> tuple[npt.NDArray[np.int64], list[str]]:
    """Class names in sorted order and each row's place among them. 1, 1.0, True and "1" name the same class.

    Raises InputError where a label is missing, NaN or empty.

    >>> codes, classes = encode_labels(pa.array([True, False, True]), "labels", "here")
    >>> classes, codes.tolist()
    (['0', '1'], [1, 0, 1])
    """
    codes, classes = encode(column, lambda value: None if value == "" else label_text(value))
    refuse_missing(codes < 0, name, where)
    return codes, classes
