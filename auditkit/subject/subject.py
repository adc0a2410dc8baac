"""Subject: what is audited, a model and its named splits under one schema."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from auditkit.errors import InputError
from auditkit.subject.data import ROLES, Schema, Split

if TYPE_CHECKING:
    from auditkit.subject.model import Model


@dataclass(frozen=True)
class Subject:
    """A model with its splits. `train` is the reference, `validation` sets thresholds, `test` is what is judged."""

    name: str
    model: Model
    splits: tuple[Split, ...]
    schema: Schema

    def __post_init__(self) -> None:
        names = [split.name for split in self.splits]
        if len(set(names)) != len(names):
            raise InputError(f"splits must have different names, got {', '.join(names)}")

    def in_order(self) -> Iterator[Split]:
        """The splits in the order of the pass: train, validation, test, ood."""
        yield from sorted(self.splits, key=lambda split: ROLES.index(split.role))

    def split(self, name: str) -> Split | None:
        """The split of that name, or None."""
        return next((split for split in self.splits if split.name == name), None)

    def of_role(self, role: str) -> list[Split]:
        """All splits with that role."""
        return [split for split in self.splits if split.role == role]
