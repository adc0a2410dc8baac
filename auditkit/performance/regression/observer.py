"""What the pass shows of predicted numbers: per row the truth and the prediction."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from auditkit.engine.analysis import Observation
from auditkit.statistics.error_moments import Floats, Integers


class NumberObserver:
    """Keeps row, truth and prediction. Rows may arrive in any order and any batches."""

    def __init__(self) -> None:
        self._rows: list[Integers] = []
        self._truth: list[Floats] = []
        self._predicted: list[Floats] = []

    def update(self, observation: Observation) -> None:
        """Take in a batch."""
        assert observation.targets is not None
        self._rows.append(observation.rows)
        self._truth.append(observation.targets)
        self._predicted.append(observation.logits[:, 0].double().cpu().numpy())

    def merge(self, other: NumberObserver) -> None:
        """Take in what another has seen."""
        self._rows += other._rows
        self._truth += other._truth
        self._predicted += other._predicted

    def numbers(self) -> Numbers:
        """All rows seen, in the order of the split."""
        rows = np.concatenate(self._rows)
        order = np.argsort(rows, kind="stable")
        return Numbers(rows[order], np.concatenate(self._truth)[order], np.concatenate(self._predicted)[order])


@dataclass(frozen=True)
class Numbers:
    """A split's numbers: rows int64 [n]; truth and predicted float64 [n], NaN in truth where it is not known."""

    rows: Integers
    truth: Floats
    predicted: Floats

    def __len__(self) -> int:
        return len(self.rows)

    @cached_property
    def broken(self) -> int:
        """How many predictions are not finite."""
        return int((~np.isfinite(self.predicted)).sum())

    @property
    def errors(self) -> Floats:
        """Predicted minus true, [n]: above 0 the prediction is too high."""
        found: Floats = self.predicted - self.truth
        return found

    def known(self) -> Numbers:
        """Only the rows with a true number and a finite prediction."""
        return self.among(np.isfinite(self.truth) & np.isfinite(self.predicted))

    def among(self, kept: npt.NDArray[np.bool_]) -> Numbers:
        """Only some rows, bool [n]."""
        return Numbers(self.rows[kept], self.truth[kept], self.predicted[kept])
