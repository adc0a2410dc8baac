"""Whether a table holds what a model said: a decision, a score, a number for each class, or the number predicted."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from auditkit.starter.columns import Column
from auditkit.subject.data import label_text

Floats = npt.NDArray[np.float64]
PREDICTED = frozenset(
    ("pred", "preds", "predict", "predicted", "prediction", "predictions", "yhat", "ypred", "forecast", "forecasts")
)
"""words for a prediction of the label itself"""


@dataclass(frozen=True)
class Answers:
    """setting: `predictions` as `audit.yaml` says it. columns: those that hold them. positive: the class that a score
    is of, where there is one. why: how it was guessed."""

    setting: dict[str, Any]
    columns: tuple[str, ...]
    why: str
    positive: str | None = None


def stored_answers(
    table: pa.Table, columns: Sequence[Column], label: str, classes: Sequence[str], codes: npt.NDArray[np.int64]
) -> Answers | None:
    """What a model said, or None. codes: the place of each row's label among the classes."""
    candidates = [column for column in columns if column.answer and column.name != label and not column.missing]
    if found := _of_each_class(table, columns, classes):
        return found
    scores = [column for column in candidates if column.holds == "number" and not _are_classes(column, classes)]
    decisions = [column for column in candidates if _are_classes(column, classes)]
    if len(classes) == 2:
        for column in sorted(scores, key=lambda column: column.low < 0 or column.high > 1):
            return _score(table, column, classes, codes, decisions)
    if decisions:
        return Answers({"decision": decisions[0].name}, (decisions[0].name,), "a guess, by name and values")
    return None


def stored_numbers(table: pa.Table, columns: Sequence[Column], label: str, truth: Floats) -> Answers | None:
    """The numbers that a model predicted, or None: of the columns so called the nearest to the truth.

    It has to be nearer than the mean of the truth, unless its name says that it is a prediction: a score may be one of
    something else.

    >>> from auditkit.starter.columns import columns_of
    >>> rows = pa.table({"rent": [5.0, 7.0, 9.0], "predicted_rent": [5.5, 7.0, 8.0]})
    >>> stored_numbers(rows, columns_of(rows), "rent", np.array([5.0, 7.0, 9.0])).setting
    {'number': 'predicted_rent'}
    """
    found: list[tuple[float, Column]] = []
    known = np.isfinite(truth)
    for column in columns:
        if column.answer and column.name != label and not column.missing and column.holds == "number" and known.any():
            off = float(np.mean(np.square((_numbers(table, column.name) - truth)[known])))
            if column.words & PREDICTED or off < float(truth[known].var()):
                found.append((off, column))
    if not found:
        return None
    nearest = min(found, key=lambda pair: pair[0])[1]
    return Answers({"number": nearest.name}, (nearest.name,), "a guess, by name and values")


def _are_classes(column: Column, classes: Sequence[str]) -> bool:
    return bool(column.values) and set(column.values) <= set(classes)


def _of_each_class(table: pa.Table, columns: Sequence[Column], classes: Sequence[str]) -> Answers | None:
    """Number columns named after the classes: `prob_no`, `prob_yes`."""
    numbers = {column.name: column for column in columns if column.holds == "number" and not column.missing}
    families: dict[str, dict[str, str]] = {}
    for name in numbers:
        for label in classes:
            begin = name[: len(name) - len(label)]
            if name.lower().endswith(label.lower()) and re.search(
                r"(?i)(logit|prob|score|pred|^p|^l)\w*[_. -]?$", begin
            ):
                families.setdefault(begin, {})[label] = name
    for begin, named in families.items():
        if set(named) != set(classes):
            continue
        ordered = {label: named[label] for label in classes}
        values = np.stack([_numbers(table, name) for name in ordered.values()], axis=1)
        sums = bool(values.min() >= 0 and np.abs(values.sum(axis=1) - 1).max() <= 0.005 * len(classes))
        kind = "probabilities" if sums and "logit" not in begin.lower() else "logits"
        return Answers({kind: ordered}, tuple(ordered.values()), "a guess, by name and values")
    return None


def _score(
    table: pa.Table, column: Column, classes: Sequence[str], codes: npt.NDArray[np.int64], decisions: Sequence[Column]
) -> Answers:
    """A score of the class whose rows have the higher ones, and from where on it decides."""
    scores = _numbers(table, column.name)
    means = [float(scores[codes == place].mean()) if (codes == place).any() else 0.0 for place in (0, 1)]
    place = int(means[1] >= means[0])
    chance = column.low >= 0 and column.high <= 1
    for other in decisions:
        given = np.array([label_text(value) for value in table.column(other.name).to_pylist()])
        yes = given == classes[place]
        if yes.any() and not yes.all() and scores[~yes].max() < scores[yes].min():
            half = chance and scores[~yes].max() < 0.5 <= scores[yes].min()
            threshold = 0.5 if half else float(scores[yes].min())
            setting = {"score": column.name, "threshold": _plain(threshold)}
            why = f"a guess: the threshold is where {other.name} changes"
            return Answers(setting, (column.name, other.name), why, classes[place])
    if decisions:
        return Answers({"decision": decisions[0].name}, (decisions[0].name,), "a guess, by name and values")
    if chance and column.distinct > 2:
        setting = {"score": column.name, "threshold": 0.5}
        return Answers(setting, (column.name,), "a guess, by name; make sure of the threshold", classes[place])
    threshold = matching(scores, float((codes == place).mean()))
    why = "a guess, by name; from the threshold on are about as many as there are positive labels: make sure"
    return Answers({"score": column.name, "threshold": _plain(threshold)}, (column.name,), why, classes[place])


def matching(scores: Floats, share: float) -> float:
    """The score from which on the share of rows is closest to the one wanted.

    >>> matching(np.array([1.0, 2.0, 3.0, 4.0]), 0.5)
    3.0
    """
    values, counts = np.unique(scores, return_counts=True)
    above = np.cumsum(counts[::-1])[::-1] / len(scores)
    usable = slice(1, None) if len(values) > 1 else slice(None)
    return float(values[usable][np.abs(above[usable] - share).argmin()])


def _numbers(table: pa.Table, name: str) -> Floats:
    found: Floats = pc.cast(table.column(name), pa.float64()).to_numpy()
    return found


def _plain(value: float) -> float | int:
    return int(value) if value.is_integer() else value
