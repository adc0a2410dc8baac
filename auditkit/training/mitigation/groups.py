"""The groups of the training rows: sensitive columns crossed, and how many rows of each label every group has."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from auditkit.errors import InputError
from auditkit.subject.data import Split
from auditkit.training.recipe import Recipe

MOST = 50
"""more groups than this are numbers or names, not groups"""


@dataclass(frozen=True)
class Groups:
    """Which group each row is of. codes, labels: int64 [n]; names: of the groups, in the order of the codes."""

    columns: tuple[str, ...]
    names: tuple[str, ...]
    codes: npt.NDArray[np.int64]
    labels: npt.NDArray[np.int64]
    classes: tuple[str, ...]

    @cached_property
    def cells(self) -> npt.NDArray[np.int64]:
        """Rows by group and label, int64 [groups, classes]."""
        size = len(self.names) * len(self.classes)
        counted = np.bincount(self.codes * len(self.classes) + self.labels, minlength=size)
        return counted.reshape(len(self.names), len(self.classes)).astype(np.int64)

    def need_every_label(self, why: str) -> None:
        """Raise InputError where a group has no rows of one of the labels; why: what cannot be done then."""
        if self.cells.all():
            return
        group, label = (int(places[0]) for places in np.nonzero(self.cells == 0))
        raise InputError(
            f"recipe: mitigation: group {self.names[group]!r} of {_listed(self.columns)} has no training rows with "
            f"the label {self.classes[label]!r}, so {why}; join the group with another or name fewer columns"
        )


def training_groups(split: Split, columns: Sequence[str]) -> Groups:
    """The groups of a split's rows by its sensitive columns, crossed.

    Raises InputError for a column that is not there, has empty places, or does not sort rows into groups.
    """
    texts = [_texts(split, name) for name in dict.fromkeys(columns)]
    crossed = np.array([" × ".join(parts) for parts in zip(*texts, strict=True)])
    names, codes = np.unique(crossed, return_inverse=True)
    if len(names) < 2:
        raise InputError(
            f"recipe: mitigation: all training rows are of one group, {str(names[0])!r} of {_listed(columns)}; there "
            "is no gap to be mended"
        )
    if len(names) > MOST:
        raise InputError(
            f"recipe: mitigation: {_listed(columns)} sorts the training rows into {len(names)} groups, more than "
            f"{MOST}; name a column of bands or fewer columns"
        )
    return Groups(
        tuple(dict.fromkeys(columns)),
        tuple(str(name) for name in names),
        codes.astype(np.int64),
        split.labels,
        split.schema.classes,
    )


def _texts(split: Split, name: str) -> list[str]:
    column = split.column(name)
    if column.null_count or (pa.types.is_floating(column.type) and np.isnan(column.to_numpy()).any()):
        raise InputError(
            f"recipe: mitigation: sensitive column {name!r} has empty places in split {split.name!r}; fill them in, "
            "as a group of their own if need be"
        )
    return [str(value) for value in column.to_pylist()]


def _listed(columns: Sequence[str]) -> str:
    return " × ".join(map(repr, dict.fromkeys(columns)))


def one_device(recipe: Recipe) -> None:
    """Raise InputError where a method that trains on one device is to be shared out."""
    if recipe.devices != 1:
        raise InputError(f"recipe: mitigation trains on one device here; leave devices: {recipe.devices} out")
