"""What a table seems to hold: the label, groups of people, what a model said, and what one could learn from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

from auditkit.errors import InputError
from auditkit.starter.columns import Column, columns_of, favourable, sensitive
from auditkit.starter.identifiers import names_rows
from auditkit.starter.stored import Answers, stored_answers, stored_numbers
from auditkit.starter.target import Target, find_target
from auditkit.starter.tells import Truth, tells
from auditkit.subject.data import Task, label_text

MANY = 100
"""a category of more values than this, or of a new one in every second row, is nothing to learn from"""


@dataclass(frozen=True)
class Guess:
    """What a table seems to hold.

    left_out: column → why it is no feature. answers: what a model said, or None. base_rate: the share of the commonest
    class. kinds: column → what it holds. task: whether the label holds classes or numbers; of numbers there are no
    classes, `spread` is their standard deviation, and `why_task` says how it was told.
    """

    label: str
    classes: tuple[str, ...]
    why: str
    positive: str | None
    sensitive: tuple[str, ...]
    features: tuple[str, ...]
    why_sensitive: str = "a guess, by name"
    left_out: dict[str, str] = field(default_factory=dict)
    answers: Answers | None = None
    base_rate: float = 0.0
    kinds: dict[str, str] = field(default_factory=dict)
    task: Task = "classification"
    why_task: str = ""
    spread: float = 0.0

    @property
    def predictions(self) -> dict[str, Any] | None:
        """As `audit.yaml` says it."""
        return None if self.answers is None else self.answers.setting


def guess(
    table: pa.Table,
    where: str,
    label: str | None = None,
    classes: Sequence[str] | None = None,
    look_for_answers: bool = True,
    spelled: Mapping[str, str] | None = None,
    task: Task | None = None,
) -> Guess:
    """Look at a table. Raises InputError where no column can be the label.

    label, classes, task: what a model knows of them. spelled: how labels may be written beside the class names → the
    class.

    >>> pay = [n * 37 % 100 + 0.5 for n in range(100)]
    >>> rows = pa.table({"pay": pay, "sex": ["f", "m"] * 50, "repaid": ["no", "no", "yes", "yes"] * 25})
    >>> found = guess(rows, "loans.csv")
    >>> found.label, found.positive, found.sensitive, found.features
    ('repaid', 'yes', ('sex',), ('pay',))
    """
    columns = columns_of(table)
    spelled = {name: name for name in classes or ()} | dict(spelled or {})
    target = find_target(table, columns, where, label, classes, frozenset(spelled), task)
    chosen = target.column
    if chosen.missing:
        raise InputError(
            f"{where}: {chosen.missing:,} of {chosen.rows:,} labels in {chosen.name!r} are missing; remove these rows, "
            "or name another column with --label"
        )
    if target.task == "regression":
        return _of_numbers(table, columns, target, look_for_answers)
    found = tuple(classes) if classes is not None else chosen.values
    truth = [label_text(value) for value in table.column(chosen.name).to_pylist()]
    places = {name: found.index(name) for name in found}
    places = {name: places[named] for name, named in spelled.items() if named in places} | places
    codes = np.array([places.get(str(name), -1) for name in truth])
    groups = sensitive(columns, [chosen.name])
    answers = stored_answers(table, columns, chosen.name, found, codes) if look_for_answers else None
    positive = None
    if len(found) == 2:
        positive = answers.positive if answers is not None and answers.positive else favourable(found)
    used = set(answers.columns) if answers is not None else set()
    features, left_out = _features(table, columns, Truth(chosen, codes), used)
    shares = np.bincount(codes[codes >= 0], minlength=len(found)) / max(1, (codes >= 0).sum())
    return Guess(
        chosen.name,
        found,
        target.why,
        positive,
        tuple(groups),
        features,
        "a guess, by name: make sure",
        left_out,
        answers,
        float(shares.max()),
        {column.name: column.holds for column in columns},
    )


def _of_numbers(table: pa.Table, columns: Sequence[Column], target: Target, look_for_answers: bool) -> Guess:
    """The guess where the label holds numbers."""
    name = target.column.name
    numbers = table.column(name).cast(pa.float64(), safe=False).to_numpy()
    answers = stored_numbers(table, columns, name, numbers) if look_for_answers else None
    used = set(answers.columns) if answers is not None else set()
    truth = Truth(target.column, np.full(len(numbers), -1), numbers)
    features, left_out = _features(table, columns, truth, used)
    groups = sensitive(columns, [name])
    return Guess(
        name, (), target.why, None, tuple(groups), features, "a guess, by name: make sure", left_out, answers,
        kinds={column.name: column.holds for column in columns}, task="regression", why_task=target.why_task,
        spread=float(numbers[np.isfinite(numbers)].std()) if np.isfinite(numbers).any() else 0.0,
    )  # fmt: skip


def _features(
    table: pa.Table, columns: Sequence[Column], truth: Truth, used: set[str]
) -> tuple[tuple[str, ...], dict[str, str]]:
    """What could be learned from without saying who people are or what the label is; and why not from the rest."""
    kept: list[Column] = []
    left_out: dict[str, str] = {}
    for column in columns:
        if column.name == truth.column.name or column.name in used:
            continue
        if reason := _useless(table, column, truth):
            left_out[column.name] = reason
        else:
            kept.append(column)
    sentences = [column for column in kept if column.holds == "text"]
    others = [column for column in kept if column.holds != "text"]
    if sentences and len(others) <= 2:
        widest = max(sentences, key=lambda column: column.distinct)
        left_out |= {column.name: "beside the text" for column in kept if column is not widest}
        return (widest.name,), left_out
    left_out |= {column.name: "sentences, beside columns of a table" for column in sentences}
    return tuple(column.name for column in others), left_out


def _useless(table: pa.Table, column: Column, truth: Truth) -> str:
    """Why a column is nothing to learn from, or nothing."""
    if column.personal:
        return "says who people are"
    if column.answer:
        return "by its name, what a model said"
    if column.holds == "else":
        return f"of type {table.column(column.name).type}"
    if column.distinct < 2:
        return "the same in every row"
    if named := names_rows(table, column):
        return named
    if column.holds == "category" and column.distinct > min(MANY, max(2, column.rows // 2)):
        return f"{column.distinct:,} different words"
    return tells(table, column, truth)
