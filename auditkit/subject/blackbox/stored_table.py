"""Stored predictions as rows: which columns hold what a model answered, what they must hold, and they as logits.

A score s with threshold t is a log-odds that is positive exactly where s >= t: logit(s) - logit(t) where all scores are
probabilities, (s - t) / spread of the scores otherwise. Only with a probability and t = 0.5 is its softmax the score.
A number that was predicted is its own single output.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import torch
from torch import Tensor

from auditkit.errors import InputError, nearest
from auditkit.subject.blackbox.answers import SURE, log_odds
from auditkit.subject.blackbox.raw_table import RawTable
from auditkit.subject.data import Split, label_text
from auditkit.subject.preprocessing import numeric_values

Reading = Literal["decision", "score", "probabilities", "logits", "number"]
Floats = npt.NDArray[np.float64]
EDGE = 1e-12
"""a log-odds at the threshold is moved off zero by this much, so that the decision does not hang on rounding"""
ROUNDED = 0.005
"""how far each stored probability may be from its true value: two decimals"""


class StoredPredictions(RawTable):
    """Rows to `(numbers, logits float64 [n, C], vectors float32 [n, d], codes)`; what is empty is left out.

    reading, answers: what is stored, and its columns. vectors: columns of feature vectors. positive: the place of the
    class that a score is of; offset and spread make a score a log-odds, `chance` says that it is a probability. each:
    whether probabilities are of several labels, every one a yes or no of its own.
    """

    reading: Reading
    answers: tuple[str, ...]
    classes: tuple[str, ...]
    vectors: tuple[str, ...] = ()
    positive: int | None = None
    threshold: float = 0.5
    chance: bool = True
    spread: float = 1.0
    each: bool = False

    @property
    def place(self) -> int:
        """Where the logits stand among the inputs; vectors come after."""
        return 1 if self.numeric else 0

    def encode(self, split: Split, rows: np.ndarray | None = None) -> tuple[Tensor, ...]:
        """The inputs of the given rows (all where None). Raises InputError for a column that is not there."""
        raw, stored = super().encode(split, rows), [torch.from_numpy(self.logits(split, rows))]
        if self.vectors:
            stored.append(torch.from_numpy(matrix(split, self.vectors, rows).astype(np.float32)))
        return (*raw[: self.place], *stored, *raw[self.place :])

    def example(self, rows: int = 2) -> tuple[Tensor, ...]:
        """Made-up inputs: zeros, and every category's last word."""
        raw, stored = super().example(rows), [torch.zeros(rows, len(self.classes), dtype=torch.float64)]
        if self.vectors:
            stored.append(torch.zeros(rows, len(self.vectors)))
        return (*raw[: self.place], *stored, *raw[self.place :])

    def irregularities(self, split: Split) -> list[tuple[str, int, str]]:
        """Features that are missing or not finite: (column, rows affected, what it was). They are not repaired."""
        return [(name, count, what.split(",")[0]) for name, count, what in super().irregularities(split)]

    def logits(self, split: Split, rows: np.ndarray | None = None) -> Floats:
        """The stored answers as logits float64 [n, C]."""
        if self.reading == "decision":
            return self._of_decisions(split, rows)
        values = matrix(split, self.answers, rows)
        if self.reading in ("logits", "number"):
            return values
        if self.reading == "probabilities":
            return log_odds(values) if self.each else np.log(np.maximum(values, SURE))
        assert self.positive is not None
        found = np.zeros((len(values), 2))
        found[:, self.positive] = self._log_odds(values[:, 0])
        return found

    def _of_decisions(self, split: Split, rows: np.ndarray | None) -> Floats:
        column = split.column(self.answers[0])
        given = [label_text(value) for value in (column if rows is None else column.take(pa.array(rows))).to_pylist()]
        found = np.full((len(given), len(self.classes)), np.log(SURE))
        found[np.arange(len(given)), [self.classes.index(str(name)) for name in given]] = 0.0
        return found

    def _log_odds(self, scores: Floats) -> Floats:
        """Positive exactly where the score reaches the threshold."""
        if self.chance:
            odds = log_odds(scores) - (0.0 if self.threshold == 0.5 else float(log_odds(np.array(self.threshold))))
        else:
            odds = (scores - self.threshold) / self.spread
        found: Floats = np.where(scores >= self.threshold, np.maximum(odds, EDGE), np.minimum(odds, -EDGE))
        return found


def matrix(split: Split, columns: Sequence[str], rows: np.ndarray | None = None) -> Floats:
    """Number columns, or one column of lists of equal length, as float64 [n, width]; null as NaN."""
    column = split.column(columns[0])
    if len(columns) > 1 or not _is_list(column.type):
        return np.stack([numeric_values(split, name, rows) for name in columns], axis=1)
    lists = (column if rows is None else column.take(pa.array(rows))).to_pylist()
    widths = {len(one) for one in lists if one is not None}
    if len(widths) > 1 or None in lists:
        found = "some are missing" if None in lists else f"lengths from {min(widths)} to {max(widths)}"
        raise InputError(f"split {split.name!r}: {columns[0]!r} must hold lists of one length, {found}")
    try:
        return np.array(lists, dtype=np.float64).reshape(len(lists), -1)
    except (TypeError, ValueError):
        raise InputError(f"split {split.name!r}: {columns[0]!r} must hold lists of numbers") from None


def vectors_named(named: Sequence[str] | str | None, splits: Sequence[Split]) -> tuple[str, ...]:
    """The columns of feature vectors; none where none are named."""
    if named is None or not isinstance(named, str):
        return tuple(named or ())
    return columns_named(named, splits, "predictions.features")


def columns_named(name: str, splits: Sequence[Split], where: str) -> tuple[str, ...]:
    """The column of that name, else the number columns whose names begin so, in the order of the table."""
    known = splits[0].table.column_names
    if name in known:
        return (name,)
    found = tuple(column for column in known if column.startswith(name) and column[len(name) :].strip("_.").isdigit())
    if not found:
        raise InputError(
            f"{where}: split {splits[0].name!r} has no column {name!r}, and none whose name is {name!r} and a number; "
            + nearest(name, known)
        )
    return found


def check_values(table: StoredPredictions, splits: Sequence[Split]) -> None:
    """Refuse predictions that are missing, not finite, no class or no probability."""
    for split in splits:
        where = f"split {split.name!r} ({split.origin or 'in memory'})"
        if table.reading == "decision":
            given = {label_text(value) for value in split.column(table.answers[0]).unique().to_pylist()}
            if None in given:
                raise InputError(f"{where}: decisions in {table.answers[0]!r} are missing; remove these rows")
            if strange := sorted(str(value) for value in given if value not in table.classes):
                raise InputError(
                    f"{where}: {table.answers[0]!r} decides for {', '.join(map(repr, strange[:5]))}; the classes are "
                    + ", ".join(map(repr, table.classes[:20]))
                )
            continue
        values = matrix(split, table.answers)
        if bad := int((~np.isfinite(values)).any(axis=1).sum()):
            columns = ", ".join(map(repr, table.answers[:5]))
            raise InputError(
                f"{where}: {bad:,} of {len(split):,} predictions in {columns} are missing or not finite; remove these "
                "rows or store what was answered"
            )
        if table.reading == "probabilities" and table.each:
            if values.min() < -ROUNDED or values.max() > 1 + ROUNDED:
                raise InputError(
                    f"{where}: the stored probabilities are not between 0 and 1; where they are logits, name them as "
                    "predictions.logits"
                )
        elif table.reading == "probabilities":
            off = np.abs(values.sum(axis=1) - 1).max()
            if values.min() < -ROUNDED or values.max() > 1 + ROUNDED or off > ROUNDED * len(table.classes):
                raise InputError(
                    f"{where}: the stored probabilities are not between 0 and 1, or do not add up to 1 in each row "
                    f"(off by up to {off:.3g}); where they are logits, name them as predictions.logits"
                )


def with_scale(
    table: StoredPredictions, threshold: float | None, splits: Sequence[Split], positive: int | None
) -> StoredPredictions:
    """With what it takes to make a score a log-odds."""
    scores = np.concatenate([matrix(split, table.answers)[:, 0] for split in splits])
    chance = bool(scores.min() >= 0 and scores.max() <= 1)
    if threshold is None and not chance:
        strange = scores.max() if scores.max() > 1 else scores.min()
        raise InputError(
            f"predictions.score: {table.answers[0]!r} holds {strange:g}, which is no probability; say from which score "
            "on the decision is positive: predictions.threshold"
        )
    found = {"threshold": 0.5 if threshold is None else threshold, "chance": chance}
    farthest = float(np.abs(scores - found["threshold"]).max())
    spread = max(float(scores.std()), farthest * 1e-6) or 1.0
    return table.model_copy(update={**found, "spread": spread, "positive": positive})


def _is_list(kind: pa.DataType) -> bool:
    return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind))
