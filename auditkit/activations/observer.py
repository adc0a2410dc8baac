"""Observer: what is kept of a split's activations as it streams by. Two halves merged equal the whole."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Self

import numpy as np
import numpy.typing as npt
import torch

from auditkit.activations.extremes import TopRows
from auditkit.activations.layers import Layer
from auditkit.activations.moments import Covariance, UnitMoments
from auditkit.activations.selection import Reservoir, sampled
from auditkit.engine.analysis import Observation

COVARIANCE_ROWS = 8192
"""about how many rows of a split enter covariances"""
COVARIANCE_UNITS = 512
"""of a wider layer, this many units spread evenly enter the covariance"""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What to keep of a split. layers: none where only features are wanted. mapped: rows kept for the map.

    mask: which input says where the words of a text stand; positions without one are left out of statistics.
    """

    layers: tuple[Layer, ...]
    mapped: int
    top_rows: int
    available: int
    seed: int
    mask: int | None = None


@dataclass
class LayerState:
    """One layer's statistics: per unit over all values, and the covariance of row means."""

    moments: UnitMoments
    covariance: Covariance = field(default_factory=Covariance)
    units: int = 0
    positions: int = 0


class ActivationsObserver:
    """Statistics of every watched layer, covariance and reservoir of the features, most-activating rows per feature."""

    def __init__(self, wanted: Wanted) -> None:
        self.wanted = wanted
        self.layers = {layer.name: LayerState(UnitMoments(layer.bounds)) for layer in wanted.layers}
        self.features = Covariance()
        self.reservoir = Reservoir(wanted.mapped, wanted.seed)
        self.top = TopRows(wanted.top_rows)

    def update(self, observation: Observation) -> None:
        """Take in one batch."""
        chosen = sampled(observation.rows, COVARIANCE_ROWS, self.wanted.available, self.wanted.seed)
        picked = torch.from_numpy(np.flatnonzero(chosen)).to(observation.logits.device)
        stand = None if self.wanted.mask is None else observation.inputs[self.wanted.mask] != 0
        for layer in self.wanted.layers:
            activation = observation.activations.get(layer.name)
            if activation is not None and len(activation) == len(observation.rows):
                self._update_layer(layer, activation, picked, stand)
        if observation.features is not None:
            self._update_features(observation, picked)

    def _update_layer(
        self, layer: Layer, activation: torch.Tensor, picked: torch.Tensor, stand: torch.Tensor | None
    ) -> None:
        state = self.layers[layer.name]
        units = layer.units(activation)
        state.positions, state.units = units.shape[1], units.shape[2]
        if stand is not None and (activation.ndim != 3 or units.shape[:2] != stand.shape):
            stand = None
        state.moments.update(units, stand)
        if len(picked):
            state.covariance.update(_row_means(units, stand, picked)[:, kept_units(state.units)])

    def _update_features(self, observation: Observation, picked: torch.Tensor) -> None:
        features = observation.features
        assert features is not None
        predictions = _predicted(observation)
        kept = kept_units(features.shape[1])
        if len(picked) and self.wanted.layers:
            self.features.update(features[picked][:, kept])
        if self.wanted.top_rows:
            self.top.update(features[:, kept], observation.rows, observation.labels, predictions)
        if self.wanted.mapped:
            wants = self.reservoir.wants(observation.rows)
            vectors = features[torch.from_numpy(wants).to(features.device)][:, kept].float().cpu().numpy()
            self.reservoir.update(observation.rows[wants], observation.labels[wants], predictions[wants], vectors)

    def merge(self, other: Self) -> None:
        """Take in what another observer of the same split saw."""
        for name, state in self.layers.items():
            theirs = other.layers[name]
            state.moments.merge(theirs.moments)
            state.covariance.merge(theirs.covariance)
            state.units, state.positions = max(state.units, theirs.units), max(state.positions, theirs.positions)
        self.features.merge(other.features)
        self.reservoir.merge(other.reservoir)
        self.top.merge(other.top)


def _predicted(observation: Observation) -> npt.NDArray[np.int64]:
    """The class of the largest logit of each row, int64 [n]; of several labels -1 where none is found."""
    best = observation.logits.max(dim=1)
    places: npt.NDArray[np.int64] = best.indices.cpu().numpy()
    return places if observation.marks is None else np.where(best.values.cpu().numpy() >= 0, places, -1)


def _row_means(units: torch.Tensor, stand: torch.Tensor | None, picked: torch.Tensor) -> torch.Tensor:
    """float64 [picked, units]: the mean over the positions that hold something."""
    chosen = units[picked].double()
    if stand is None:
        return chosen.mean(dim=1)
    weights = stand[picked].double()[:, :, None]
    return torch.where(weights > 0, chosen, 0.0).sum(dim=1) / weights.sum(dim=1).clamp_min(1)


def kept_units(units: int) -> slice | list[int]:
    """Which units enter covariances, the map and the most-activating rows: all, or 512 spread evenly over more.

    >>> kept_units(3), len(kept_units(1000))
    (slice(None, None, None), 512)
    """
    if units <= COVARIANCE_UNITS:
        return slice(None)
    return np.linspace(0, units - 1, COVARIANCE_UNITS).round().astype(int).tolist()
