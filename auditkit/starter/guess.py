"""What a table seems to hold: the label, groups of people, what a model said, and what one could learn from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from auditkit.errors import InputError, nearest
from auditkit.starter.columns import FEW, IDENTITY, LABEL, OUTCOME, Column, columns_of, favourable, sensitive
from auditkit.starter.stored import Answers, stored_answers
from auditkit.subject.data import label_text

MANY = 100
"""a category of more values than this, or of a new one in every second row, is nothing to learn from"""
GIVEN_AWAY = 0.1
"""a column that leaves less than this share of the errors of always saying the commonest class is the label itself"""


@dataclass(frozen=True)
class Guess:
    """What a table seems to hold.

    left_out: column → why it is no feature. answers: what a model said, or None. base_rate: the share of the commonest
    class. kinds: column → what it holds.
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
) -> Guess:
    """Look at a table. Raises InputError where no column can be the label.

    label, classes: what a model knows of them. spelled: how labels may be written beside the class names → the class.

    >>> rows = pa.table({"pay": range(100), "sex": ["f", "m"] * 50, "repaid": ["no", "no", "yes", "yes"] * 25})
    >>> found = guess(rows, "loans.csv")
    >>> found.label, found.positive, found.sensitive, found.features
    ('repaid', 'yes', ('sex',), ('pay',))
    """
    columns = columns_of(table)
    spelled = {name: name for name in classes or ()} | dict(spelled or {})
    chosen, why = _label(columns, where, label, classes, set(spelled))
    if chosen.missing:
        raise InputError(
            f"{where}: {chosen.missing:,} of {chosen.rows:,} labels in {chosen.name!r} are missing; remove these rows, "
            "or name another column with --label"
        )
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
    features, left_out = _features(table, columns, chosen, codes, used)
    shares = np.bincount(codes[codes >= 0], minlength=len(found)) / max(1, (codes >= 0).sum())
    return Guess(
        chosen.name,
        found,
        why,
        positive,
        tuple(groups),
        features,
        "a guess, by name: make sure",
        left_out,
        answers,
        float(shares.max()),
        {column.name: column.holds for column in columns},
    )


def _label(
    columns: Sequence[Column], where: str, named: str | None, classes: Sequence[str] | None, spelled: set[str]
) -> tuple[Column, str]:
    """The label column, and why it was taken for it."""
    known = {column.name: column for column in columns}
    if named is not None and named in known:
        chosen, why = known[named], "as named"
        if not chosen.few:
            raise InputError(
                f"{where}: {named!r} has {chosen.distinct:,} different values, so it is no label of classes; a label "
                f"has from 2 to {FEW}"
            )
        return chosen, why
    few = [column for column in columns if column.few]
    if classes is not None:
        fitting = [column for column in few if set(column.values) <= spelled and not column.answer]
        if len(fitting) == 1:
            return fitting[0], "a guess: the only column with the model's classes"
        meant = "" if named is None else f"the model was trained on {named!r}, and "
        raise InputError(
            f"{where}: cannot tell which column is the label: {meant}{len(fitting)} columns hold its classes "
            f"{', '.join(map(repr, classes[:5]))}; name it with --label"
        )
    if named is not None:
        raise InputError(f"{where}: there is no column {named!r}; {nearest(named, known)}")
    plain = [column for column in few if not column.personal and not column.answer]
    if not plain:
        raise InputError(
            f"{where}: cannot tell which column is the label: none has from 2 to {FEW} different values and a name "
            "that does not speak of people or predictions; name it with --label"
        )
    best = max(plain, key=lambda column: (_likely(column), column.place))
    told = {2: "by its name", 1: "by its name", 0: "the last column of few values"}[_likely(best)]
    return best, f"a guess, {told}"


def _likely(column: Column) -> int:
    """How much a column's name sounds like a label's."""
    if column.words <= LABEL | OUTCOME:
        return 2
    return 1 if column.words & (LABEL | OUTCOME) else 0


def _features(
    table: pa.Table, columns: Sequence[Column], label: Column, codes: npt.NDArray[np.int64], used: set[str]
) -> tuple[tuple[str, ...], dict[str, str]]:
    """What could be learned from without saying who people are or what the label is; and why not from the rest."""
    kept: list[Column] = []
    left_out: dict[str, str] = {}
    for column in columns:
        if column.name == label.name or column.name in used:
            continue
        if reason := _useless(table, column, codes):
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


def _useless(table: pa.Table, column: Column, codes: npt.NDArray[np.int64]) -> str:
    """Why a column is nothing to learn from, or nothing."""
    if column.personal:
        return "says who people are"
    if column.answer:
        return "by its name, what a model said"
    if column.holds == "else":
        return f"of type {table.column(column.name).type}"
    if column.distinct < 2:
        return "the same in every row"
    if column.words & IDENTITY and column.distinct > 0.9 * (column.rows - column.missing):
        return "names rows"
    if column.holds == "category" and column.distinct > min(MANY, max(2, column.rows // 2)):
        return f"{column.distinct:,} different words"
    if column.few and column.holds != "text" and _gives_away(table, column, codes):
        return "next to the label itself"
    return ""


def _gives_away(table: pa.Table, column: Column, codes: npt.NDArray[np.int64]) -> bool:
    """Whether the commonest class for each value of the column is nearly always right."""
    encoded = pc.fill_null(table.column(column.name).cast(pa.string()), "").combine_chunks().dictionary_encode()
    places, known = encoded.indices.to_numpy(), codes >= 0
    if not known.any():
        return False
    counts = np.zeros((len(encoded.dictionary), int(codes.max()) + 1))
    np.add.at(counts, (places[known], codes[known]), 1)
    errors, before = 1 - counts.max(axis=1).sum() / counts.sum(), 1 - counts.sum(axis=0).max() / counts.sum()
    return bool(before > 0 and errors <= GIVEN_AWAY * before)
