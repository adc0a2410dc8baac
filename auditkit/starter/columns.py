"""What a column seems to be, told from its name and its values. Everything here is a guess, and is shown as one."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Literal

import pyarrow as pa
import pyarrow.compute as pc
import yaml

from auditkit.subject.data import label_text

Holds = Literal["number", "category", "text", "else"]

FEW = 20
"""a column of at most this many different values can be a label or name groups"""
WORDS = 4
"""a text column of more words than this on average holds sentences"""

LISTS: dict[str, list[str]] = yaml.safe_load(
    files("auditkit.starter").joinpath("words.yaml").read_text(encoding="utf-8")
)
LABEL, OUTCOME, ANSWER, PERSONAL, PEOPLE, IDENTITY = (
    frozenset(LISTS[name]) for name in ("label", "outcome", "answer", "personal", "people", "identity")
)


@dataclass(frozen=True)
class Column:
    """A column at a glance. values: the different ones as class names, in order, where they are few, else empty.

    whole: whether it is stored as whole numbers.
    """

    name: str
    place: int
    holds: Holds
    rows: int
    missing: int
    distinct: int
    values: tuple[str, ...] = ()
    low: float = 0.0
    high: float = 0.0
    whole: bool = False

    @property
    def words(self) -> frozenset[str]:
        """What the name is made of.

        >>> sorted(Column("ageGroup_2", 0, "category", 1, 0, 1).words)
        ['2', 'age', 'group']
        """
        return frozenset(re.findall(r"[a-z]+|\d+", re.sub(r"(?<=[a-z])(?=[A-Z])", " ", self.name).lower()))

    @property
    def few(self) -> bool:
        """Whether it can name classes or groups."""
        return 2 <= len(self.values) <= FEW

    @property
    def personal(self) -> bool:
        """Whether its name, or all its values, speak of people's protected characteristics."""
        named = bool(self.words & PERSONAL)
        words = {re.sub(r"\s+", "-", value.lower()) for value in self.values}
        return named or (len(words) > 1 and len(words & PEOPLE) >= max(2, len(words) // 2))

    @property
    def answer(self) -> bool:
        """Whether its name speaks of what a model said.

        >>> [Column(name, 0, "number", 9, 0, 9).answer for name in ("v_decile_score", "y_predicted", "predators")]
        [True, True, False]
        """
        return bool(self.words & ANSWER)

    @property
    def unnamed(self) -> bool:
        """Whether it is called what the index of a data frame becomes in a file.

        >>> [Column(name, 0, "number", 9, 0, 9).unnamed for name in ("", "Unnamed: 0", "__index_level_0__", "unit")]
        [True, True, True, False]
        """
        return re.fullmatch(r"\s*|Unnamed: \d+|__index_level_\d+__", self.name) is not None


def columns_of(table: pa.Table) -> list[Column]:
    """Every column at a glance."""
    return [_column(name, place, table.column(name)) for place, name in enumerate(table.column_names)]


def _column(name: str, place: int, column: pa.ChunkedArray) -> Column:
    rows, kind = len(column), column.type
    number = pa.types.is_integer(kind) or pa.types.is_floating(kind)
    if not (number or pa.types.is_boolean(kind) or pa.types.is_string(kind)):
        return Column(name, place, "else", rows, column.null_count, 0)
    if pa.types.is_floating(kind):
        column = pc.if_else(pc.is_nan(column), None, column)
    different = pc.unique(column).drop_null()
    values = order([str(label_text(value)) for value in different.to_pylist()]) if len(different) <= FEW else ()
    low, high = 0.0, 0.0
    if number and len(different):
        edges = pc.min_max(column).as_py()
        low, high = float(edges["min"]), float(edges["max"])
    holds: Holds = "number" if number else "category"
    if pa.types.is_string(kind) and _words(column) > WORDS:
        holds = "text"
    whole = bool(pa.types.is_integer(kind))
    return Column(name, place, holds, rows, column.null_count, len(different), values, low, high, whole)


def order(values: Sequence[str]) -> tuple[str, ...]:
    """Class names in the order in which they are numbered: whole numbers by size, others by spelling."""
    whole = all(value.lstrip("-").isdigit() for value in values)
    return tuple(sorted(set(values), key=int) if whole else sorted(set(values)))


def _words(column: pa.ChunkedArray) -> float:
    """Words of a text column's values, on average over the first thousand."""
    texts = [text for text in column.slice(0, 1000).to_pylist() if text]
    return sum(len(text.split()) for text in texts) / len(texts) if texts else 0.0


def favourable(classes: Sequence[str]) -> str:
    """The class that sounds like what a person gains or is flagged by; the last where none does.

    >>> favourable(["no", "yes"]), favourable(["<=50K", ">50K"]), favourable(["a", "b"])
    ('yes', '>50K', 'b')
    """
    spelled = {name.strip().strip(".").lower(): name for name in classes}
    return next((spelled[word] for word in LISTS["favourable"] if word in spelled), classes[-1])


def sensitive(columns: Sequence[Column], taken: Sequence[str]) -> list[str]:
    """Columns that name groups of people, of a handful of values each."""
    return [column.name for column in columns if column.personal and column.few and column.name not in taken]
