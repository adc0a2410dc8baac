"""Tables: a float tensor of scaled numbers and an int64 tensor of category codes.

Code 0 is "never seen in training"; a missing category has a code of its own where training had missing ones. A number
that is not finite is replaced by the training mean and counted, never averaged away silently.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import BaseModel, ConfigDict, Field

from auditkit.errors import InputError

if TYPE_CHECKING:
    from torch import Tensor

    from auditkit.subject.data import Split

MISSING = "(missing)"


@dataclass(frozen=True, slots=True)
class Place:
    """Where a column enters the model: which input, and which position along its second dimension."""

    column: str
    input: int
    index: int
    kind: Literal["numeric", "categorical"]


class Numeric(BaseModel):
    """A number, scaled as (x - mean) / scale with the training split's mean and spread."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    name: str
    mean: float = 0.0
    scale: float = Field(1.0, gt=0)


class Categorical(BaseModel):
    """A category; its code is its place in the vocabulary plus one, 0 for a value that is not in it."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    name: str
    vocabulary: tuple[str, ...]


class TablePreprocessing(BaseModel):
    """Columns to `(numeric float32 [n, F], categorical int64 [n, C])`; an empty kind is left out of the inputs."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    kind: Literal["table"] = "table"
    numeric: tuple[Numeric, ...] = ()
    categorical: tuple[Categorical, ...] = ()

    @property
    def modality(self) -> Literal["table"]:
        """What rows are."""
        return "table"

    @property
    def held(self) -> tuple[int, ...]:
        """The places of inputs that are no part of what is explained: none."""
        return ()

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns the model sees, numbers first."""
        return (*(column.name for column in self.numeric), *(column.name for column in self.categorical))

    def places(self) -> list[Place]:
        """Where each column enters the model, in the order of `columns`."""
        places = [Place(column.name, 0, index, "numeric") for index, column in enumerate(self.numeric)]
        second = 1 if self.numeric else 0
        return places + [Place(c.name, second, index, "categorical") for index, c in enumerate(self.categorical)]

    def encode(self, split: Split, rows: np.ndarray | None = None) -> tuple[Tensor, ...]:
        """The inputs of the given rows (all where None), on the CPU.

        Raises InputError for a column the split does not have, or a number column that holds text.
        """
        import torch

        inputs: list[Tensor] = []
        if self.numeric:
            numbers = np.stack([self._scaled(split, column, rows) for column in self.numeric], axis=1)
            inputs.append(torch.from_numpy(np.ascontiguousarray(numbers, dtype=np.float32)))
        if self.categorical:
            codes = np.stack([self._codes(split, column, rows) for column in self.categorical], axis=1)
            inputs.append(torch.from_numpy(np.ascontiguousarray(codes, dtype=np.int64)))
        return tuple(inputs)

    def _scaled(self, split: Split, column: Numeric, rows: np.ndarray | None) -> np.ndarray:
        values = numeric_values(split, column.name, rows)
        values = np.where(np.isfinite(values), values, column.mean)
        return (values - column.mean) / column.scale

    def _codes(self, split: Split, column: Categorical, rows: np.ndarray | None) -> np.ndarray:
        values = category_values(split, column.name, rows)
        found = pc.index_in(values, pa.array(column.vocabulary, pa.string()))
        return pc.fill_null(pc.add(found, 1), 0).to_numpy(zero_copy_only=False).astype(np.int64)

    def example(self, rows: int = 2) -> tuple[Tensor, ...]:
        """Made-up inputs: zeros, and every category's last word."""
        import torch

        inputs: list[Tensor] = []
        if self.numeric:
            inputs.append(torch.zeros(rows, len(self.numeric)))
        if self.categorical:
            last = [len(column.vocabulary) for column in self.categorical]
            inputs.append(torch.tensor([last] * rows, dtype=torch.int64))
        return tuple(inputs)

    def arguments(self) -> dict[str, Any]:
        """What a network that takes these inputs must be built with."""
        return {
            "numeric": len(self.numeric),
            "categories": [len(column.vocabulary) + 1 for column in self.categorical],
        }

    def irregularities(self, split: Split) -> list[tuple[str, int, str]]:
        """What had to be repaired: (column, rows affected, what it was), for the caveats."""
        found: list[tuple[str, int, str]] = []
        for number in self.numeric:
            values = numeric_values(split, number.name)
            for count, what in (
                (int(np.isnan(values).sum()), "missing (NaN or null)"),
                (int(np.isinf(values).sum()), "infinite"),
            ):
                if count:
                    found.append((number.name, count, f"{what}, replaced by the training mean"))
        for category in self.categorical:
            unseen = int((self._codes(split, category, None) == 0).sum())
            if unseen:
                found.append((category.name, unseen, "a category never seen in training"))
        return found


def numeric_values(split: Split, name: str, rows: np.ndarray | None = None) -> np.ndarray:
    """A number column as float64 [n], null as NaN. Raises InputError where it holds text."""
    column = split.column(name)
    if rows is not None:
        column = column.take(pa.array(rows))
    try:
        return column.cast(pa.float64()).to_numpy().astype(np.float64)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        raise InputError(
            f"split {split.name!r}: column {name!r} must hold numbers, found {column.type}; "
            "give the model the column it was trained on"
        ) from None


def category_values(split: Split, name: str, rows: np.ndarray | None = None) -> pa.Array:
    """A category column as text, null as `(missing)`."""
    column = split.column(name)
    if rows is not None:
        column = column.take(pa.array(rows))
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    return pc.fill_null(column.cast(pa.string()), MISSING).combine_chunks()


def fit_table(split: Split, features: tuple[str, ...]) -> TablePreprocessing:
    """Scaling and vocabularies from the training split: numbers are standardised, text columns are categories.

    Booleans count as numbers. A constant number keeps scale 1.
    """
    numeric, categorical = [], []
    for name in features:
        kind = split.column(name).type
        if pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind):
            values = numeric_values(split, name)
            values = values[np.isfinite(values)]
            if values.size == 0:
                raise InputError(f"split {split.name!r}: feature {name!r} has no finite value; leave it out")
            numeric.append(Numeric(name=name, mean=float(values.mean()), scale=float(values.std()) or 1.0))
        else:
            vocabulary = pc.unique(category_values(split, name)).to_pylist()
            categorical.append(Categorical(name=name, vocabulary=tuple(sorted(vocabulary))))
    return TablePreprocessing(numeric=tuple(numeric), categorical=tuple(categorical))
