"""Which column is to be predicted, and whether it holds classes or numbers.

A column of a handful of values holds classes, one of more different numbers is a number to be predicted. What is named
is taken; else what is called as labels are; else the last column that could be one, as most tables are written.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import pyarrow as pa

from auditkit.errors import InputError, nearest
from auditkit.starter.columns import FEW, LABEL, OUTCOME, Column
from auditkit.starter.identifiers import names_rows
from auditkit.subject.data import Task

RIVALS = 5
"""at most so many columns that sound like a label too are named"""


@dataclass(frozen=True)
class Target:
    """The label column. why: how it was found. why_task: how it was told that it holds numbers, where it does."""

    column: Column
    why: str
    task: Task = "classification"

    @property
    def why_task(self) -> str:
        """Why a number is predicted."""
        return f"a guess: {self.column.name} holds {self.column.distinct:,} different numbers"


def find_target(
    table: pa.Table,
    columns: Sequence[Column],
    where: str,
    named: str | None,
    classes: Sequence[str] | None = None,
    spelled: frozenset[str] = frozenset(),
    task: Task | None = None,
) -> Target:
    """The label column. classes, spelled: a model's, and all words for them. task: what a model predicts, where known.

    Raises InputError where no column can be it.
    """
    known = {column.name: column for column in columns}
    if named is not None and named in known:
        return _named(known[named], where, task)
    if classes is not None:
        return Target(*_of_classes(columns, where, named, classes, spelled))
    if named is not None and task is None:
        raise InputError(f"{where}: there is no column {named!r}; {nearest(named, known)}")
    ordered = candidates(table, columns, task)
    if not ordered:
        number = "a number" if task == "regression" else f"from 2 to {FEW} different values, or more numbers,"
        raise InputError(
            f"{where}: cannot tell which column is the label: none has {number} and a name that does not speak of "
            "people, rows or predictions; name it with --label"
        )
    best = ordered[0]
    rivals = [one.column.name for one in ordered[1:] if (one.why, one.task) == (best.why, best.task)]
    if not rivals or not _likely(best.column):
        return best
    return replace(best, why=f"{best.why}; {', '.join(rivals[:RIVALS])} would do as well")


def candidates(table: pa.Table, columns: Sequence[Column], task: Task | None = None) -> list[Target]:
    """All columns that can be the label, the likeliest first."""
    plain = [column for column in columns if not column.personal and not column.answer]
    found: list[tuple[tuple[int, bool, int], Target]] = []
    for column in plain:
        likely = _likely(column)
        if column.few and task != "regression":
            told = "by its name" if likely else "the last column of few values"
            found.append(((likely, bool(likely), column.place), Target(column, f"a guess, {told}")))
        elif _numbers(column, task) and not names_rows(table, column):
            likely = _likely(column, LABEL)
            told = "by its name" if likely else "the last column"
            found.append(((likely, False, column.place), Target(column, f"a guess, {told}", "regression")))
    return [one for _, one in sorted(found, key=lambda pair: pair[0], reverse=True)]


def _numbers(column: Column, task: Task | None) -> bool:
    """Whether a column can be a number to be predicted; few different ones are where the model predicts a number."""
    return column.holds == "number" and column.distinct > (1 if task == "regression" else FEW)


def _named(column: Column, where: str, task: Task | None) -> Target:
    """The column that somebody named."""
    if task != "regression" and column.few:
        return Target(column, "as named")
    if task != "classification" and _numbers(column, task):
        return Target(column, "as named", "regression")
    if task == "regression":
        raise InputError(f"{where}: {column.name!r} does not hold numbers, but the model predicts a number; name the "
                         "column of the true one with --label")  # fmt: skip
    raise InputError(
        f"{where}: {column.name!r} has {column.distinct:,} different values, so it is no label of classes; a label "
        f"has from 2 to {FEW}, or holds numbers"
    )


def _of_classes(
    columns: Sequence[Column], where: str, named: str | None, classes: Sequence[str], spelled: frozenset[str]
) -> tuple[Column, str]:
    """The one column that holds a model's classes."""
    fitting = [column for column in columns if column.few and set(column.values) <= spelled and not column.answer]
    if len(fitting) == 1:
        return fitting[0], "a guess: the only column with the model's classes"
    meant = "" if named is None else f"the model was trained on {named!r}, and "
    raise InputError(
        f"{where}: cannot tell which column is the label: {meant}{len(fitting)} columns hold its classes "
        f"{', '.join(map(repr, classes[:5]))}; name it with --label"
    )


def _likely(column: Column, words: frozenset[str] = LABEL | OUTCOME) -> int:
    """How much a column's name sounds like a label's."""
    if column.words and column.words <= words:
        return 2
    return 1 if column.words & words else 0
