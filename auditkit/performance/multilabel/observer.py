"""What the pass shows of several labels: per row which it has, and the logit of each."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
from scipy.special import expit

from auditkit.engine.analysis import Observation

Floats = npt.NDArray[np.float64]
Marks = npt.NDArray[np.int8]
Flags = npt.NDArray[np.bool_]


class LabelObserver:
    """Keeps row, marks and logits. Rows may arrive in any order and any batches."""

    def __init__(self) -> None:
        self._rows: list[npt.NDArray[np.int64]] = []
        self._marks: list[Marks] = []
        self._logits: list[Floats] = []

    def update(self, observation: Observation) -> None:
        """Take in a batch."""
        assert observation.marks is not None
        self._rows.append(observation.rows)
        self._marks.append(observation.marks)
        self._logits.append(observation.logits.double().cpu().numpy())

    def merge(self, other: LabelObserver) -> None:
        """Take in what another has seen."""
        self._rows += other._rows
        self._marks += other._marks
        self._logits += other._logits

    def answers(self) -> Answers:
        """All rows seen, in the order of the split."""
        rows = np.concatenate(self._rows)
        order = np.argsort(rows, kind="stable")
        return Answers(rows[order], np.concatenate(self._marks)[order], np.concatenate(self._logits)[order])


@dataclass(frozen=True)
class Answers:
    """A split's answers: rows int64 [n]; marks int8 [n, L] (1, 0, -1 unknown); logits float64 [n, L].

    A label is given where its logit is 0 or more, a probability of a half.
    """

    rows: npt.NDArray[np.int64]
    marks: Marks
    logits: Floats

    def __len__(self) -> int:
        return len(self.rows)

    @cached_property
    def finite(self) -> Flags:
        """Which rows have outputs that are all finite, [n]."""
        return np.asarray(np.isfinite(self.logits).all(axis=1))

    @property
    def broken(self) -> int:
        """How many rows have outputs that are not finite."""
        return int((~self.finite).sum())

    @cached_property
    def probabilities(self) -> Floats:
        """Of each label, [n, L]."""
        found: Floats = expit(self.logits)
        return found

    @cached_property
    def given(self) -> Flags:
        """Which labels the model gives, [n, L]."""
        return np.asarray(self.logits >= 0)

    @cached_property
    def truth(self) -> Flags:
        """Which labels rows have, [n, L], where all are known."""
        return np.asarray(self.marks == 1)

    def known(self) -> Answers:
        """Only the rows with all labels known and finite outputs."""
        keep = (self.marks >= 0).all(axis=1) & self.finite
        return Answers(self.rows[keep], self.marks[keep], self.logits[keep])
