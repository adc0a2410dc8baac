"""Splits, batches and the schema: what rows are, before any model has seen them.

A `Split` keeps people's data in human-readable columns (an Arrow table, and arrays for images); sensitive attributes
stay there as their own columns whether or not the model sees them. Turning rows into tensors is the model's
preprocessing (`preprocessing.py`), because it belongs to the model and travels with it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal, get_args

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from auditkit.errors import InputError, nearest
from auditkit.spec import check_labels

Role = Literal["train", "validation", "test", "ood"]
ROLES: tuple[Role, ...] = ("train", "validation", "test", "ood")
Task = Literal["classification", "regression", "multilabel"]
TASKS: tuple[Task, ...] = get_args(Task)
YES_OR_NO = {"1": 1, "true": 1, "0": 0, "false": 0}
OUTPUT = "prediction"
"""what the number is called that a regression predicts, where nobody names it"""


def check_task(task: str) -> None:
    """Raises InputError for a task that is not audited."""
    if task not in TASKS:
        raise InputError(f"task: there is no {task!r} here; {nearest(task, TASKS)}")


@dataclass(frozen=True)
class Schema:
    """What the columns mean.

    features: the columns the model sees, in its order. label: the column of the true class, or None.
    classes: class names in the order of the model's outputs. positive: the favourable or event class of a decision.
    sensitive: columns that name groups of people. task: what is predicted, one of the classes or a number; then the
    label column holds numbers, there is no positive class, and the one name in `classes` is that of the output.
    labels: of a multilabel task the columns that hold yes or no (1 or 0), one for each of `classes`, by default of the
    same names; then there is neither a label column nor a positive class.
    """

    features: tuple[str, ...]
    classes: tuple[str, ...]
    label: str | None = None
    positive: str | None = None
    sensitive: tuple[str, ...] = ()
    task: Task = "classification"
    labels: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        check_task(self.task)
        self._check_labels()
        if self.task == "regression" and self.positive is not None:
            raise InputError(f"positive {self.positive!r} is a class, but a regression predicts a number; leave it out")
        if self.positive is not None and self.positive not in self.classes:
            raise InputError(f"positive class {self.positive!r} is not a class; {nearest(self.positive, self.classes)}")

    def _check_labels(self) -> None:
        """Several labels where the task has them, one column for each; none elsewhere."""
        if self.task != "multilabel":
            if self.labels:
                raise InputError(f"labels are for several labels a row; a {self.task} has one column, label")
            return
        if not self.labels:
            object.__setattr__(self, "labels", self.classes)
        if self.positive is not None:
            raise InputError(
                f"positive {self.positive!r} is a class, but of several labels each is yes or no; leave it out"
            )
        if self.label is not None:
            raise InputError(f"label {self.label!r} is one column, but of several labels each has one; name them all")
        if len(self.labels) != len(self.classes):
            raise InputError(
                f"the model has {len(self.classes)} outputs ({', '.join(self.classes[:10])}), but {len(self.labels)} "
                f"label columns are named ({', '.join(self.labels[:10])}); name one for each, in the same order"
            )
        pairs = zip(self.labels, self.classes, strict=True)
        if moved := [name for name, of in pairs if name in self.classes and name != of]:
            raise InputError(
                f"the label columns {', '.join(moved[:10])} are named like other outputs than those they stand for; "
                f"the outputs are {', '.join(self.classes[:20])}, name the columns in this order"
            )
        for names in (self.classes, self.labels):
            try:
                check_labels(names)
            except ValueError as problem:
                raise InputError(str(problem)) from None

    @property
    def positive_index(self) -> int | None:
        """The positive class's place among the model's outputs."""
        return None if self.positive is None else self.classes.index(self.positive)


@dataclass(frozen=True)
class Split:
    """Named rows. `table` has one row per example; `arrays` hold what is no column, such as images [n, C, H, W].

    origin says where the rows came from, for the record and for error messages.
    """

    name: str
    role: Role
    table: pa.Table
    schema: Schema
    arrays: Mapping[str, np.ndarray] = field(default_factory=dict)
    origin: str = ""

    def __post_init__(self) -> None:
        if len(self) == 0:
            raise InputError(f"split {self.name!r} ({self.origin or 'in memory'}) is empty: give it at least one row")
        for name, array in self.arrays.items():
            if len(array) != len(self):
                raise InputError(f"split {self.name!r}: {name!r} has {len(array)} rows, the table {len(self)}")

    def __len__(self) -> int:
        return self.table.num_rows

    def column(self, name: str) -> pa.ChunkedArray:
        """A column by name. Raises InputError with the nearest name where there is none."""
        if name not in self.table.column_names:
            raise InputError(
                f"split {self.name!r} ({self.origin or 'in memory'}) has no column {name!r}; "
                + nearest(name, self.table.column_names)
            )
        return self.table.column(name)

    @cached_property
    def labels(self) -> np.ndarray:
        """Class indices, int64 [n]; -1 where the label is absent (OOD sets may have none), a number or one of several.

        Raises InputError where a label is missing or is no class of the model, in any split but ood.
        """
        label, unknown = self.schema.label, np.full(len(self), -1, dtype=np.int64)
        if label is None or (self.role == "ood" and label not in self.table.column_names):
            return unknown
        if self.schema.task != "classification":
            return unknown
        index = {name: place for place, name in enumerate(self.schema.classes)}
        values = [label_text(value) for value in self.column(label).to_pylist()]
        codes = np.array([-1 if value is None else index.get(value, -2) for value in values], dtype=np.int64)
        if self.role == "ood":
            return np.maximum(codes, -1)
        if (codes == -1).any():
            raise InputError(
                f"split {self.name!r}: {int((codes == -1).sum())} of {len(self)} labels in {label!r} are missing (NaN "
                "or null); remove these rows or fill them in"
            )
        if (codes == -2).any():
            strange = sorted({value for value, code in zip(values, codes, strict=True) if code == -2 and value})[:5]
            raise InputError(
                f"split {self.name!r}: label column {label!r} holds {', '.join(map(repr, strange))}, for which the "
                f"model has no output; its classes are {', '.join(map(repr, self.schema.classes[:20]))}"
            )
        return codes

    @cached_property
    def targets(self) -> np.ndarray | None:
        """The numbers to be predicted, float64 [n]; NaN where one is absent, in ood splits alone. None for classes.

        Raises InputError where one is missing, infinite or no number, in any split but ood.
        """
        label = self.schema.label
        if self.schema.task != "regression":
            return None
        if label is None or (self.role == "ood" and label not in self.table.column_names):
            return np.full(len(self), np.nan)
        column, where = self.column(label), f"split {self.name!r}: label column {label!r}"
        if pa.types.is_boolean(column.type) or not _numeric(column.type):
            raise InputError(f"{where} holds {column.type}, but a regression predicts numbers; write them as numbers")
        values = column.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False).astype(np.float64)
        odd = ~np.isfinite(values)
        if self.role == "ood":
            return np.where(odd, np.nan, values)
        if odd.any():
            raise InputError(
                f"{where}: {int(odd.sum())} of {len(self)} numbers are missing or infinite; remove these rows or fill "
                "them in"
            )
        return values

    @cached_property
    def marks(self) -> np.ndarray | None:
        """Of several labels which a row has, int8 [n, labels]: 1 yes, 0 no; -1 unknown, in ood splits alone.

        None for other tasks. Raises InputError where one is missing or is no yes or no, in any split but ood.
        """
        if self.schema.task != "multilabel":
            return None
        found = np.full((len(self), len(self.schema.labels)), -1, dtype=np.int8)
        for place, label in enumerate(self.schema.labels):
            if self.role != "ood" or label in self.table.column_names:
                found[:, place] = self._marks_of(label)
        return found

    def _marks_of(self, label: str) -> np.ndarray:
        """One label's marks, int8 [n]."""
        values = [label_text(value) for value in self.column(label).to_pylist()]
        codes = np.array([-1 if text is None else YES_OR_NO.get(text.lower(), -2) for text in values], dtype=np.int8)
        if self.role == "ood":
            return np.maximum(codes, -1)
        where = f"split {self.name!r}: label column {label!r}"
        if strange := sorted({str(text) for text, code in zip(values, codes, strict=True) if code == -2})[:5]:
            raise InputError(f"{where} holds {', '.join(map(repr, strange))}; of several labels each is 0 or 1")
        if missing := int((codes == -1).sum()):
            raise InputError(
                f"{where}: {missing} of {len(self)} are missing (NaN or null); remove these rows or fill them in"
            )
        return codes

    @cached_property
    def digest(self) -> str:
        """SHA-256 over columns and arrays, independent of how the rows were stored."""
        state = hashlib.sha256()
        sink = pa.BufferOutputStream()
        table = _settled(self.table.replace_schema_metadata(None)).combine_chunks()
        with pa.ipc.new_stream(sink, table.schema) as writer:
            writer.write_table(table)
        state.update(sink.getvalue())
        for name in sorted(self.arrays):
            array = np.ascontiguousarray(self.arrays[name])
            state.update(f"{name}{array.dtype}{array.shape}".encode())
            state.update(array.tobytes())
        return state.hexdigest()


def _settled(table: pa.Table) -> pa.Table:
    """The table with what lies beneath a null made plain, and which rows are null as a column of its own.

    What a reader leaves beneath a null is arbitrary, and would otherwise be part of the digest.
    """
    columns: dict[str, pa.ChunkedArray | pa.Array] = {}
    for place, (name, column) in enumerate(zip(table.column_names, table.columns, strict=True)):
        if pa.types.is_dictionary(column.type):
            column = column.cast(column.type.value_type)
        if column.null_count == len(column):
            column = pa.nulls(len(column))
        elif column.null_count and not pa.types.is_nested(column.type):
            columns[f"{place} is null"] = pc.is_null(column)
            column = pc.fill_null(column, column.drop_null()[0])
        columns[f"{place} {name}"] = column
    return pa.table(columns)


def _numeric(kind: pa.DataType) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind))


def label_text(value: object) -> str | None:
    """A label as the class name it stands for: 1, 1.0, True and "1" name the same class; null and NaN none."""
    if value is None or (isinstance(value, float) and value != value):
        return None
    if isinstance(value, bool):
        return str(int(value))
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)
