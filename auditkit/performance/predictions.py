"""What the model said about each row, kept while a split streams and put in the split's order at the end.

Probabilities are softmax in float64. All classes' probabilities are kept where they fit (they are needed for the areas
under the ROC curves of more than two classes); label, prediction, confidence and loss are kept always.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
import numpy.typing as npt
import torch

from auditkit.engine.analysis import Observation

Floats = npt.NDArray[np.float64]
Places = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Predictions:
    """A split's predictions, one entry a row.

    rows: places in the split. labels: true class, -1 unknown. predicted: most probable class, -1 where the logits are
    not finite (then all floats are NaN). confidence: its probability. loss: -log p of the true class, squared: the sum
    over classes of (p - truth)², both NaN without a label. probabilities: [n, classes], or [n, 0] where not kept.
    """

    rows: Places
    labels: Places
    predicted: Places
    confidence: Floats
    loss: Floats
    squared: Floats
    probabilities: Floats

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def judged(self) -> npt.NDArray[np.bool_]:
        """Rows with a label and a prediction, bool [n]."""
        return (self.labels >= 0) & (self.predicted >= 0)

    @property
    def strange(self) -> int:
        """How many rows have logits that are not finite."""
        return int((self.predicted < 0).sum())

    def where(self, chosen: npt.NDArray) -> Predictions:
        """The chosen rows: a mask or places."""
        return Predictions(*(getattr(self, field.name)[chosen] for field in fields(self)))

    def of_judged(self) -> Predictions:
        """The rows with a label and a prediction."""
        return self.where(self.judged)


class PredictionObserver:
    """Streams `Predictions`."""

    def __init__(self, classes: int, keep_probabilities: bool = True) -> None:
        self.classes, self.keep = classes, keep_probabilities
        self._parts: list[Predictions] = []

    def update(self, observation: Observation) -> None:
        """Take in a batch."""
        logits = observation.logits.double()
        log_p = torch.log_softmax(logits, dim=1)
        finite = torch.isfinite(logits).all(dim=1)
        labels = torch.from_numpy(observation.labels).to(logits.device)
        usable = finite & (labels >= 0)
        best = log_p.max(dim=1)
        p = log_p.exp()
        places = labels.clamp(min=0)[:, None]
        loss = -log_p.gather(1, places)[:, 0]
        squared = p.square().sum(dim=1) - 2 * p.gather(1, places)[:, 0] + 1
        self._parts.append(
            Predictions(
                rows=observation.rows,
                labels=observation.labels,
                predicted=best.indices.masked_fill(~finite, -1).cpu().numpy(),
                confidence=best.values.exp().masked_fill(~finite, torch.nan).cpu().numpy(),
                loss=loss.masked_fill(~usable, torch.nan).cpu().numpy(),
                squared=squared.masked_fill(~usable, torch.nan).cpu().numpy(),
                probabilities=(p if self.keep else p[:, :0]).cpu().numpy(),
            )
        )

    def merge(self, other: PredictionObserver) -> None:
        """Take in what another has seen."""
        self._parts += other._parts

    def predictions(self) -> Predictions:
        """All predictions, in the order of the rows."""
        if not self._parts:
            none, empty = np.zeros(0, dtype=np.int64), np.zeros(0)
            return Predictions(none, none, none, empty, empty, empty, np.zeros((0, self.classes if self.keep else 0)))
        whole = Predictions(
            *(np.concatenate([getattr(part, field.name) for part in self._parts]) for field in fields(Predictions))
        )
        return whole.where(np.argsort(whole.rows, kind="stable"))
