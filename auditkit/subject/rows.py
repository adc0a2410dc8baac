"""Loading data: a split from a file, a folder of pictures, a data frame or arrays. Does not import torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from auditkit.errors import InputError, nearest
from auditkit.subject.data import OUTPUT, ROLES, Role, Schema, Split, Task, label_text
from auditkit.subject.images import from_arrays, read_folder, read_npz
from auditkit.subject.tables import from_memory, is_table, read_table

KINDS = ".parquet, .csv, .tsv, .csv.gz, .arrow, .feather, .npz or a folder of pictures"


def load_data(
    source: Any,
    *,
    name: str = "test",
    role: Role | None = None,
    schema: Schema | None = None,
    label: str | Sequence[str] | None = None,
    positive: str | None = None,
    classes: Sequence[str] | None = None,
    sensitive: Sequence[str] | None = None,
    features: Sequence[str] | None = None,
    array: str = "images",
    channels: int | None = None,
    aliases: Mapping[str, str] | None = None,
    task: Task | None = None,
) -> Split:
    """A split from a file, a folder of pictures, a data frame, an Arrow table or a pair `(X, y)` of arrays.

    `schema` says what the columns mean; the arguments after it add to it or take its place. Without either, every
    column but the label and the sensitive ones is a feature, and the classes are the labels that occur. role: by
    default the name, where that is train, validation or test, and ood otherwise. array: what images are called. task:
    whether the labels are classes or, for a "regression", numbers. A list of columns as `label`, or the task
    "multilabel", means several labels of 1 or 0 each; y of a pair is then [n, labels].

    >>> split = load_data((np.zeros((4, 2)), [0, 1, 0, 1]), features=["a", "b"])
    >>> split.schema.features, split.schema.classes, split.labels.tolist()
    (('a', 'b'), ('0', '1'), [0, 1, 0, 1])
    """
    role = role or (name if name in ROLES else "ood")
    if role not in ROLES:
        raise InputError(f"split {name!r}: unknown role {role!r}; {nearest(str(role), ROLES)}")
    if isinstance(source, Split):
        schema = schema or source.schema
    task = task or _task_of(label, schema)
    columns = _label_columns(label, schema, task, classes)
    if isinstance(source, Split):
        table, arrays, origin = source.table, dict(source.arrays), source.origin
    else:
        table, arrays, origin, columns = _rows(source, columns, array, channels, features)
    if table.num_rows == 0:
        raise InputError(f"split {name!r} ({origin}) is empty: give it at least one row")
    for column in columns:
        if role != "ood" and column not in table.column_names:
            raise InputError(
                f"{origin} (split {name!r}) has no label column {column!r}; {nearest(column, table.column_names)}"
            )
    groups = tuple(sensitive if sensitive is not None else schema.sensitive if schema else ())
    if role != "ood":
        for column in groups:
            if column not in table.column_names:
                known = nearest(column, table.column_names)
                raise InputError(f"{origin} (split {name!r}) has no sensitive column {column!r}; {known}")
    if features is None:
        features = schema.features if schema else _features(table, arrays, columns, groups)
    several = columns if task == "multilabel" else ()
    label = None if several else next(iter(columns), None)
    if classes is None and task != "classification":
        classes = schema.classes if schema and schema.task == task else columns or (OUTPUT,)
    elif classes is None:
        classes = schema.classes if schema else _classes(table, label, origin)
    if aliases and label is not None and label in table.column_names:
        table = _by_name(table, label, tuple(map(str, classes)), aliases)
    positive = label_text(positive) if positive is not None else schema.positive if schema else None
    meaning = Schema(tuple(features), tuple(map(str, classes)), label, positive, groups, task, several)
    return Split(name, role, table, meaning, arrays, origin)


def _task_of(label: str | Sequence[str] | None, schema: Schema | None) -> Task:
    """What is predicted, where it is not said: a list of columns are several labels."""
    if label is not None and not isinstance(label, str):
        return "multilabel"
    return schema.task if schema else "classification"


def _label_columns(
    label: str | Sequence[str] | None, schema: Schema | None, task: Task, classes: Sequence[str] | None
) -> tuple[str, ...]:
    """The columns that hold the truth: one, or of several labels one for each; none where none is named."""
    if label is not None and not isinstance(label, str) and task != "multilabel":
        raise InputError(f"label names several columns, but a {task} has one; several labels are task='multilabel'")
    if label:
        return (label,) if isinstance(label, str) else tuple(map(str, label))
    if task != "multilabel":
        return (schema.label,) if schema and schema.label else ()
    columns = (schema.labels if schema else ()) or tuple(map(str, classes or ()))
    if not columns:
        raise InputError("several labels need the names of their columns: label=[..., ...]")
    return columns


def _by_name(table: pa.Table, label: str, classes: Sequence[str], aliases: Mapping[str, str]) -> pa.Table:
    """The table with classes by their names, where the label column holds their other words alone."""
    texts = [label_text(value) for value in table.column(label).to_pylist()]
    found = {text for text in texts if text is not None}
    if found <= set(classes) or not found <= set(aliases):
        return table
    named = pa.array([None if text is None else aliases[text] for text in texts], pa.string())
    return table.set_column(table.column_names.index(label), label, named)


def _rows(
    source: Any, columns: tuple[str, ...], array: str, channels: int | None, features: Sequence[str] | None
) -> tuple[pa.Table, dict[str, np.ndarray], str, tuple[str, ...]]:
    """Table, arrays, where they came from, and the label columns."""
    named = columns or ("label",)
    if isinstance(source, (str, Path)):
        path = Path(source).expanduser()
        if path.is_dir():
            table, arrays = read_folder(path, named[0], array, channels)
            return table, arrays, str(path), columns or tuple(name for name in named if name in table.column_names)
        if not path.is_file():
            raise InputError(f"{path}: there is no such file")
        if path.suffix.lower() == ".npz":
            return *read_npz(path), str(path), columns
        if is_table(path):
            return read_table(path), {}, str(path), columns
        raise InputError(f"{path}: data of this kind are not read; give {KINDS}")
    if isinstance(source, tuple) and len(source) == 2:
        table, arrays = _pair(source[0], source[1], named, array, features)
        return table, arrays, "in memory", columns or (named if source[1] is not None else ())
    if isinstance(source, pa.Table) or hasattr(source, "__arrow_c_stream__") or hasattr(source, "columns"):
        return from_memory(source), {}, "in memory", columns
    raise InputError(
        f"data are a path ({KINDS}), a data frame, an Arrow table or a pair (X, y) of arrays, "
        f"not {type(source).__name__}"
    )


def _pair(
    X: Any, y: Any, columns: tuple[str, ...], array: str, features: Sequence[str] | None
) -> tuple[pa.Table, dict[str, np.ndarray]]:
    """`(X, y)` as a table, and as an array where X are images. y may be None; of several labels it is [n, labels]."""
    arrays: dict[str, np.ndarray] = {}
    if isinstance(X, pa.Table) or hasattr(X, "columns"):
        table = from_memory(X)
    else:
        values = np.asarray(X)
        if values.ndim == 2 and features is not None:
            if len(features) != values.shape[1]:
                raise InputError(f"X has {values.shape[1]} columns, but {len(features)} features are named")
            table = pa.table({str(n): values[:, place] for place, n in enumerate(features)})
        elif values.ndim in (2, 3, 4):
            table, arrays = from_arrays({"x" if values.ndim == 2 else array: values}, "X")
        else:
            raise InputError(f"X must be a table [n, F] or images [n, H, W] or [n, C, H, W], found {values.shape}")
    if y is None:
        return table, arrays
    labels = np.asarray(y)
    if labels.shape != ((table.num_rows,) if len(columns) == 1 else (table.num_rows, len(columns))):
        wanted = "one label" if len(columns) == 1 else f"{len(columns)} labels"
        raise InputError(f"y must have {wanted} per row of X: X has {table.num_rows} rows, y is {labels.shape}")
    for column, marks in zip(columns, labels.reshape(len(labels), -1).T.tolist(), strict=True):
        if column in table.column_names:
            raise InputError(f"X already has a column {column!r}; name the labels otherwise with label=...")
        table = table.append_column(column, pa.array(marks))
    return table, arrays


def _features(
    table: pa.Table, arrays: dict[str, np.ndarray], labels: Sequence[str], sensitive: Sequence[str]
) -> tuple[str, ...]:
    return tuple(arrays) or tuple(name for name in table.column_names if name not in (*labels, *sensitive))


def _classes(table: pa.Table, label: str | None, origin: str) -> tuple[str, ...]:
    """The labels that occur, numbers in the order of their size."""
    if label is None or label not in table.column_names:
        raise InputError(
            f"{origin}: the classes are not known; name the label column (label=...) or give classes=[...]"
        )
    found = {text for value in pc.unique(table.column(label)).to_pylist() if (text := label_text(value)) is not None}
    whole = all(text.lstrip("-").isdigit() for text in found)
    return tuple(sorted(found, key=int) if whole else sorted(found))
