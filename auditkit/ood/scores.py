"""The scores of a split's rows, kept while it streams and put in the split's order at the end."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from auditkit.engine.analysis import Observation
from auditkit.ood.panel import Panel

Floats = npt.NDArray[np.float64]
Places = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Scores:
    """A split's scores in the order of its rows.

    rows: places in the split. scores: detector → float64 [n], NaN where `strange`. strange: the model's outputs were
    not finite, so that the row has no score. blame: detector → place of the column that made the score.
    """

    rows: Places
    scores: Mapping[str, Floats]
    strange: npt.NDArray[np.bool_]
    blame: Mapping[str, Places]

    def take(self, kept: npt.NDArray[np.bool_]) -> Scores:
        """The rows that a boolean mask [n] keeps."""
        scores = {name: found[kept] for name, found in self.scores.items()}
        blame = {name: found[kept] for name, found in self.blame.items()}
        return Scores(self.rows[kept], scores, self.strange[kept], blame)

    def has(self, detector: str) -> npt.NDArray[np.bool_]:
        """Which rows have a score, bool [n]."""
        return ~np.isnan(self.scores[detector])

    def finite(self, detector: str) -> Floats:
        """The scores of the rows that have one."""
        return self.scores[detector][self.has(detector)]


class ScoreObserver:
    """Scores a split as it streams."""

    def __init__(self, panel: Panel) -> None:
        self.panel = panel
        self._parts: list[Scores] = []

    def update(self, observation: Observation) -> None:
        """Score a batch with every detector."""
        if len(observation.rows) == 0:
            return
        finite = torch.isfinite(observation.logits).all(dim=1)
        if observation.features is not None:
            finite &= torch.isfinite(observation.features).all(dim=1)
        strange = (~finite).cpu().numpy()
        scores: dict[str, Floats] = {}
        blame: dict[str, Places] = {}
        for name, fitted in self.panel.fitted.items():
            values = fitted.score(observation).cpu().numpy()
            scores[name] = np.where(strange | ~np.isfinite(values), np.nan, values)
            if fitted.blame is not None:
                blame[name] = fitted.blame(observation).cpu().numpy()
        self._parts.append(Scores(observation.rows, scores, strange, blame))

    def merge(self, other: ScoreObserver) -> None:
        """Take in what another has scored."""
        self._parts += other._parts

    def scores(self) -> Scores:
        """All scores, in the order of the rows."""
        if not self._parts:
            none = np.zeros(0)
            return Scores(none.astype(np.int64), dict.fromkeys(self.panel.fitted, none), none.astype(np.bool_), {})
        rows = np.concatenate([part.rows for part in self._parts])
        order = np.argsort(rows, kind="stable")

        def join(field: str) -> dict[str, npt.NDArray]:
            names = getattr(self._parts[0], field)
            return {name: np.concatenate([getattr(part, field)[name] for part in self._parts])[order] for name in names}

        strange = np.concatenate([part.strange for part in self._parts])[order]
        return Scores(rows[order], join("scores"), strange, join("blame"))
