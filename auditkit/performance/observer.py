"""What the pass shows of a split's answers: per row the log-probabilities of the classes and the true class."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from auditkit.engine.analysis import Observation

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


class PredictionObserver:
    """Keeps row, label and float64 log-probabilities. Rows may arrive in any order and any batches."""

    def __init__(self) -> None:
        self._rows: list[Ints] = []
        self._labels: list[Ints] = []
        self._logits: list[Floats] = []

    def update(self, observation: Observation) -> None:
        self._rows.append(observation.rows)
        self._labels.append(observation.labels)
        self._logits.append(observation.logits.double().cpu().numpy())

    def merge(self, other: PredictionObserver) -> None:
        self._rows += other._rows
        self._labels += other._labels
        self._logits += other._logits

    def predictions(self) -> Predictions:
        """All rows seen, in the order of the split."""
        rows = np.concatenate(self._rows)
        order = np.argsort(rows, kind="stable")
        logits = np.concatenate(self._logits)[order]
        return Predictions(rows[order], np.concatenate(self._labels)[order], log_softmax(logits))


class Predictions:
    """A split's answers: rows and labels int64 [n] (-1 unknown), log_probabilities float64 [n, C].

    A row whose outputs are not finite has no prediction (-1) and no confidence (NaN); `broken` counts them.
    """

    def __init__(self, rows: Ints, labels: Ints, log_probabilities: Floats) -> None:
        self.rows, self.labels, self.log_probabilities = rows, labels, log_probabilities
        self.finite = np.isfinite(log_probabilities).all(axis=1)
        self.broken = int((~self.finite).sum())
        self.probabilities: Floats = np.exp(log_probabilities)
        self.predicted: Ints = np.where(self.finite, log_probabilities.argmax(axis=1), -1)
        self.confidence: Floats = np.where(self.finite, self.probabilities.max(axis=1), np.nan)

    @property
    def classes(self) -> int:
        """How many classes the model knows."""
        return self.log_probabilities.shape[1]

    def log_odds(self) -> Floats:
        """Per class, the log-odds of it against the rest [n, C]."""
        log_p = self.log_probabilities
        with np.errstate(divide="ignore"):
            rest = np.log1p(-self.probabilities)
        best = np.arange(len(log_p)), log_p.argmax(axis=1)
        others = log_p.copy()
        others[best] = -np.inf  # 1 - p of the likeliest class may round to 0, the sum of the others does not
        rest[best] = np.logaddexp.reduce(others, axis=1)
        odds: Floats = log_p - rest
        return odds

    def known(self) -> Predictions:
        """Only the rows with a true class and finite outputs: those that can be right or wrong."""
        keep = (self.labels >= 0) & self.finite
        return Predictions(self.rows[keep], self.labels[keep], self.log_probabilities[keep])

    def of_classes(self, classes: Ints) -> Predictions:
        """Only the rows whose true class is among these."""
        keep = np.isin(self.labels, classes)
        return Predictions(self.rows[keep], self.labels[keep], self.log_probabilities[keep])


def log_softmax(logits: Floats) -> Floats:
    """Log-probabilities [n, C] without overflow; a row that is not finite becomes NaN."""
    with np.errstate(invalid="ignore"):
        shifted = logits - logits.max(axis=1, keepdims=True)
        return shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
