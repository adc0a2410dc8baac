"""Raw tables: rows handed to a black box as they are, and put together again from the tensors of an audit.

A black box does its own preprocessing, so it must see the columns themselves: numbers unscaled and in float64, missing
values missing, categories as the words they are. An audit nevertheless works on tensors, since occlusion replaces
columns and detectors measure distances. `RawTable` is the way there and back without loss: a number is itself, a
category the place of its word in a vocabulary read from all splits of the audit.

Numbers are handed on as float64; a column of integers as int64 wherever the batch holds whole numbers only, as
occlusion's averages need not be. A word in no split that was read is refused, not replaced.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import torch
from pydantic import Field
from torch import Tensor

from auditkit.errors import InputError, nearest
from auditkit.subject.data import Split
from auditkit.subject.preprocessing import (
    MISSING,
    Categorical,
    Numeric,
    TablePreprocessing,
    category_values,
    numeric_values,
)

Kind = Literal["number", "whole number", "truth value", "text"]


class RawTable(TablePreprocessing):
    """Columns to `(numbers float64 [n, F], codes int64 [n, C])`, nothing scaled and nothing filled in.

    features: the columns in the order in which the black box takes them. kinds: what each column holds. categories:
    text columns that are handed over as pandas categories, for models that were fitted on such.
    """

    features: tuple[str, ...]
    categories: tuple[str, ...] = ()
    kinds: dict[str, Kind] = Field(default_factory=dict)

    def encode(self, split: Split, rows: np.ndarray | None = None) -> tuple[Tensor, ...]:
        """The inputs of the given rows (all where None).

        Raises InputError for a missing column, a number column that holds text, and a word that was not read.
        """
        inputs: list[Tensor] = []
        if self.numeric:
            numbers = [numeric_values(split, column.name, rows) for column in self.numeric]
            inputs.append(torch.from_numpy(np.stack(numbers, axis=1)))
        if self.categorical:
            codes = [self._codes(split, column, rows) for column in self.categorical]
            for column, found in zip(self.categorical, codes, strict=True):
                if not found.all():
                    word = category_values(split, column.name, rows)[int(np.flatnonzero(found == 0)[0])].as_py()
                    raise InputError(
                        f"split {split.name!r}: {column.name!r} holds {word!r}, which is in no split that the black "
                        "box was introduced to; give all splits when it is loaded"
                    )
            inputs.append(torch.from_numpy(np.stack(codes, axis=1)))
        return tuple(inputs)

    def irregularities(self, split: Split) -> list[tuple[str, int, str]]:
        """Numbers that are not finite: (column, rows affected, what it was). They are not repaired."""
        found: list[tuple[str, int, str]] = []
        for column in self.numeric:
            values = numeric_values(split, column.name)
            for count, what in (
                (np.isnan(values).sum(), "missing (NaN or null)"),
                (np.isinf(values).sum(), "infinite"),
            ):
                if count:
                    found.append((column.name, int(count), f"{what}, handed to the black box as it is"))
        return found

    def frame(self, numbers: npt.NDArray | None, codes: npt.NDArray | None) -> pd.DataFrame:
        """The rows as the black box knows them: encoded numbers [n, F] and codes [n, C] as named columns.

        Code 0, which no row of a split has, stands for the first word.
        """
        columns: dict[str, object] = {}
        for place, column in enumerate(self.numeric):
            assert numbers is not None
            values = np.ascontiguousarray(numbers[:, place], dtype=np.float64)
            columns[column.name] = _whole(values) if self.kinds.get(column.name) == "whole number" else values
        for place, category in enumerate(self.categorical):
            assert codes is not None
            columns[category.name] = self._words(category, np.maximum(codes[:, place] - 1, 0))
        return pd.DataFrame({name: columns[name] for name in self.features})

    def _words(self, column: Categorical, places: npt.NDArray) -> object:
        words = np.array([None if word == MISSING else word for word in column.vocabulary], dtype=object)
        if column.name in self.categories:
            return pd.Categorical(words[places], categories=[word for word in words if word is not None])
        if self.kinds.get(column.name) == "truth value":
            return pa.array([None if word is None else word == "true" for word in words]).take(places).to_pandas()
        return pa.array(words, pa.string()).take(pa.array(places)).to_pandas()


def numbers_only(features: Sequence[str], categories: Sequence[str] = ()) -> RawTable:
    """The table of a black box that has seen no data yet: all columns are taken for numbers."""
    names = tuple(map(str, features))
    for name in categories:
        if name not in names:
            raise InputError(f"categories: {name!r} is no feature; {nearest(name, names)}")
    numeric = tuple(Numeric(name=name) for name in names)
    return RawTable(numeric=numeric, features=names, categories=tuple(categories))


def read_table_kinds(splits: Iterable[Split], features: Sequence[str], categories: Sequence[str] = ()) -> RawTable:
    """What each feature holds in the splits given, and every word that occurs in any of them.

    Raises InputError for a column that is a number in one split and text in another, or of a type that cannot be
    handed on without loss, such as a date.
    """
    splits = list(splits)
    kinds: dict[str, Kind] = {}
    numeric: list[Numeric] = []
    categorical: list[Categorical] = []
    for name in features:
        found = {held for split in splits if (held := _kind(split, name))}
        if found == {"number", "whole number"}:
            found = {"number"}
        if len(found) > 1:
            told = ", ".join(f"{_kind(split, name) or 'nothing'} in {split.name!r}" for split in splits)
            raise InputError(f"feature {name!r} does not hold the same in every split: {told}")
        kind: Kind = next(iter(found), "number")
        if name in categories and kind != "text":
            raise InputError(f"categories: feature {name!r} holds no text but {kind}s; leave it out")
        kinds[name] = kind
        if kind in ("number", "whole number"):
            numeric.append(Numeric(name=name))
            continue
        words: set[str] = set()
        for split in splits:
            values = category_values(split, name)
            if (
                split.column(name).null_count
                and pc.any(pc.equal(split.column(name).cast(pa.string()), MISSING)).as_py()
            ):
                raise InputError(f"split {split.name!r}: {name!r} holds the word {MISSING!r} beside missing values")
            words |= set(pc.unique(values).to_pylist())
        categorical.append(Categorical(name=name, vocabulary=tuple(sorted(words))))
    return RawTable(
        numeric=tuple(numeric),
        categorical=tuple(categorical),
        features=tuple(features),
        categories=tuple(categories),
        kinds=kinds,
    )


def _kind(split: Split, name: str) -> Kind | None:
    """What a column holds, None where nothing but nulls."""
    held = split.column(name).type
    if pa.types.is_null(held):
        return None
    if pa.types.is_boolean(held):
        return "truth value"
    if pa.types.is_integer(held):
        return "whole number"
    if pa.types.is_floating(held) or pa.types.is_decimal(held):
        return "number"
    if pa.types.is_dictionary(held):
        held = held.value_type
    if pa.types.is_string(held) or pa.types.is_large_string(held):
        return "text"
    raise InputError(
        f"split {split.name!r}: feature {name!r} is of type {held}, which cannot be handed to a black box as it is; "
        "make it a number or text"
    )


def _whole(values: npt.NDArray) -> npt.NDArray:
    """int64 where every value is a whole number, else the float64 given.

    >>> _whole(np.array([1.0, 2.0])).dtype.name, _whole(np.array([1.5, np.nan])).dtype.name
    ('int64', 'float64')
    """
    if np.isfinite(values).all() and (values == np.floor(values)).all() and (np.abs(values) < 2**53).all():
        return values.astype(np.int64)
    return values
