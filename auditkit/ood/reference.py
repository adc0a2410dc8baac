"""What detectors are fitted on: the training split, seen once as it streamed.

Features: class means, pooled and total scatter, and a bounded bank. Inputs of tables: the same moments of the numbers,
and how often each category occurred. All of it is mergeable, and a row with a value that is not finite is counted and
left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from auditkit.engine.analysis import Observation
from auditkit.ood.bank import Bank
from auditkit.ood.moments import ClassMoments

CPU = torch.device("cpu")


@dataclass(frozen=True, slots=True)
class TableInputs:
    """How a table enters the model: number columns, and category columns with how many codes each has."""

    numeric: tuple[str, ...] = ()
    categorical: tuple[str, ...] = ()
    codes: tuple[int, ...] = ()

    @property
    def columns(self) -> tuple[str, ...]:
        """All columns, numbers first."""
        return (*self.numeric, *self.categorical)

    def numbers(self, inputs: tuple[Tensor, ...]) -> Tensor | None:
        """The float tensor [n, numbers], or None for a table without numbers."""
        return inputs[0] if self.numeric else None

    def categories(self, inputs: tuple[Tensor, ...]) -> Tensor | None:
        """The int64 tensor [n, categories], or None for a table without categories."""
        return inputs[-1] if self.categorical else None


@dataclass(frozen=True, slots=True)
class Reference:
    """The training split as detectors are fitted on it.

    features: moments by class, or None where the model has no penultimate layer. bank: float32 [rows, width].
    numbers: moments of a table's numbers (one class). counts: per category column, how often each code occurred.
    outlier: the class of rows unlike these, for a model trained on one class alone. unknown: of a text, the id that
    stands for every word outside the vocabulary.
    """

    rows: int
    features: ClassMoments | None = None
    bank: npt.NDArray[np.float32] | None = None
    inputs: TableInputs | None = None
    numbers: ClassMoments | None = None
    counts: Sequence[npt.NDArray[np.int64]] = ()
    neighbours: int = 50
    device: torch.device = CPU
    outlier: int | None = None
    unknown: int | None = None


class ReferenceObserver:
    """Streams a `Reference`. Rows without a label count for the class the model predicts.

    Of one class, all rows are of it, as where numbers or several labels are predicted.
    """

    def __init__(self, classes: int, inputs: TableInputs | None, bank: int, neighbours: int, seed: int) -> None:
        self.inputs, self.neighbours = inputs, neighbours
        self.features, self.bank = ClassMoments(classes), Bank(bank, seed)
        self.numbers = ClassMoments(1)
        self.counts = [np.zeros(codes, dtype=np.int64) for codes in (inputs.codes if inputs else ())]
        self.rows, self.strange, self.unlabelled = 0, 0, 0
        self.device = CPU

    def update(self, observation: Observation) -> None:
        """Take in a batch."""
        self.rows += len(observation.rows)
        self.device = observation.logits.device
        self._take_features(observation)
        if self.inputs is not None:
            self._take_inputs(self.inputs, observation.inputs)

    def _take_features(self, observation: Observation) -> None:
        finite = torch.isfinite(observation.logits).all(dim=1)
        if observation.features is not None:
            finite &= torch.isfinite(observation.features).all(dim=1)
        self.strange += int((~finite).sum())
        self.unlabelled += int((observation.labels < 0).sum())
        if observation.features is None:
            return
        labels = torch.from_numpy(observation.labels).to(self.device)
        places = torch.where(labels >= 0, labels, observation.logits.argmax(dim=1))
        if len(self.features.counts) == 1:
            places = torch.zeros_like(places)
        self.features.update(observation.features[finite], places[finite])
        self.bank.update(observation.features[finite], observation.rows[finite.cpu().numpy()])

    def _take_inputs(self, table: TableInputs, inputs: tuple[Tensor, ...]) -> None:
        numbers, categories = table.numbers(inputs), table.categories(inputs)
        if numbers is not None:
            finite = numbers[torch.isfinite(numbers).all(dim=1)]
            self.numbers.update(finite, torch.zeros(len(finite), dtype=torch.int64, device=finite.device))
        if categories is not None:
            for count, column in zip(self.counts, categories.T, strict=True):
                count += torch.bincount(column, minlength=len(count)).cpu().numpy()

    def merge(self, other: ReferenceObserver) -> None:
        """Take in what another has seen."""
        self.rows += other.rows
        self.strange += other.strange
        self.unlabelled += other.unlabelled
        self.device = other.device
        self.features.merge(other.features)
        self.bank.merge(other.bank)
        self.numbers.merge(other.numbers)
        self.counts = [mine + theirs for mine, theirs in zip(self.counts, other.counts, strict=True)]

    def reference(self) -> Reference:
        """What was seen, ready to fit on."""
        seen = self.features.rows > 0
        return Reference(
            rows=self.rows,
            features=self.features if seen else None,
            bank=self.bank.vectors if seen else None,
            inputs=self.inputs,
            numbers=self.numbers if self.numbers.rows else None,
            counts=self.counts,
            neighbours=self.neighbours,
            device=self.device,
        )
