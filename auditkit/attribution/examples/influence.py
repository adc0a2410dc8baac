"""Influence: which training rows have the largest and the smallest effect on a row, by whatever it is measured."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from auditkit.attribution.asking import Asker, Inputs
from auditkit.errors import InputError

BLOCK = 8192
"""training rows that are held against the explained ones at once"""


@dataclass(frozen=True, slots=True)
class Influence:
    """The training rows with the most influence on each explained row.

    proponents, opponents: int64 [n, most], positions among the training rows, the strongest first. helped, hurt:
    float64 [n, most], their influence; of opponents it may be above zero, where no row has less. on_itself: float64
    [training], every training row's influence on itself. layer: the one whose gradients were taken. loss: by name.
    """

    proponents: npt.NDArray[np.int64]
    helped: npt.NDArray[np.float64]
    opponents: npt.NDArray[np.int64]
    hurt: npt.NDArray[np.float64]
    on_itself: npt.NDArray[np.float64]
    layer: str
    loss: str
    checkpoints: int


def layer_of(asker: Asker, layer: str | None, rows: Inputs) -> str:
    """The linear layer that was named, or the last to run. Raises InputError for one not applied once to each row."""
    place = asker.last_linear(rows) if layer is None else layer
    found = asker.model.layer(place)
    if not isinstance(found, nn.Linear):
        raise InputError(f"layer {place!r} is {type(found).__name__}, and not linear; name an nn.Linear")
    seen = asker.at(place, tuple(part[:1] for part in rows))
    if seen.leaving.ndim != 2:
        raise InputError(f"layer {place!r} is applied to several places of a row at once; name one applied to each row")
    return place


class Ranking:
    """The largest and the smallest influences so far, and every training row's on itself."""

    def __init__(self, rows: int, most: int, training: int, device: torch.device) -> None:
        self.most = min(most, training)
        nothing = torch.zeros((rows, 0), dtype=torch.float64, device=device)
        self._best = {sign: (nothing, nothing.long()) for sign in (1, -1)}
        self._itself: list[Tensor] = []

    def enter(self, influence: Tensor, itself: Tensor, start: int) -> None:
        """Influences [n, block] of the training rows that begin at `start`."""
        self._itself.append(itself)
        places = torch.arange(start, start + influence.shape[1], device=influence.device).expand_as(influence)
        for sign, (values, rows) in self._best.items():
            every, all_rows = torch.cat([values, sign * influence], dim=1), torch.cat([rows, places], dim=1)
            best = every.topk(min(self.most, every.shape[1]), dim=1)
            self._best[sign] = best.values, all_rows.gather(1, best.indices)

    def concluded(self, layer: str, loss: str, checkpoints: int) -> Influence:
        """What was found."""
        helped, proponents = (part.cpu().numpy() for part in self._best[1])
        hurt, opponents = (part.cpu().numpy() for part in self._best[-1])
        itself = torch.cat(self._itself).cpu().numpy()
        return Influence(proponents, helped, opponents, -hurt, itself, layer, loss, checkpoints)
