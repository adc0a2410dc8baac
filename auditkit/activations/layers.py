"""Layers: which modules are watched, what a unit of each is, and what "dead" and "saturated" mean there.

A unit is a column of a [n, units] output, a channel of a convolution's map (axis 1), a dimension of a token's vector
(last axis). Element-wise layers take the layout of the layer before them. Modules that only pass values on (dropout,
flatten, identity) are left out: their statistics are those of the layer before.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from torch import Tensor, nn

from auditkit.subject.model import Model

PASSING = (nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout, nn.Flatten, nn.Unflatten, nn.Identity)
CHANNELS_FIRST = (
    nn.modules.conv._ConvNd,
    nn.modules.batchnorm._NormBase,
    nn.GroupNorm,
    nn.modules.pooling._MaxPoolNd,
    nn.modules.pooling._AvgPoolNd,
    nn.modules.pooling._AdaptiveAvgPoolNd,
    nn.modules.pooling._AdaptiveMaxPoolNd,
)
UNITS_LAST = (nn.Linear, nn.LayerNorm, nn.Embedding, nn.modules.rnn.RNNBase, nn.MultiheadAttention)
RECTIFIERS = (nn.ReLU, nn.ReLU6, nn.Threshold)
BOUNDS: dict[type[nn.Module], tuple[float, float]] = {
    nn.Tanh: (-0.99, 0.99),
    nn.Softsign: (-0.99, 0.99),
    nn.Sigmoid: (0.01, 0.99),
    nn.Hardsigmoid: (0.01, 0.99),
}
"""within the last hundredth of its range an activation function has next to no slope left: its unit is saturated"""


@dataclass(frozen=True, slots=True)
class Layer:
    """A watched module. kind: its class name. bounds: where it counts as saturated, for bounded activations."""

    name: str
    kind: str
    layout: Literal["channels first", "units last"]
    rectifier: bool
    bounds: tuple[float, float] | None

    def units(self, activation: Tensor) -> Tensor:
        """[n, positions, units] from the layer's output [n, ...]."""
        if activation.ndim == 1:
            return activation[:, None, None]
        if activation.ndim == 2:
            return activation[:, None, :]
        if self.layout == "channels first" or activation.ndim > 3:
            return activation.flatten(2).transpose(1, 2)
        return activation.flatten(1, -2)


def watched(model: Model, chosen: list[str] | None = None) -> list[Layer]:
    """The layers to watch: the chosen ones, or every leaf module that changes values. Raises InputError for a name
    that is none.
    """
    if chosen is not None:
        for name in chosen:
            model.layer(name)
    layout: Literal["channels first", "units last"] = "units last"
    layers = []
    for name in dict.fromkeys([*model.layers(), *(chosen or [])]):
        module = model.layer(name)
        if isinstance(module, CHANNELS_FIRST):
            layout = "channels first"
        elif isinstance(module, UNITS_LAST):
            layout = "units last"
        if name in chosen if chosen is not None else not isinstance(module, PASSING):
            bounds = next((edges for kind, edges in BOUNDS.items() if isinstance(module, kind)), None)
            kind = type(module).__name__
            layers.append(Layer(name, kind, layout, isinstance(module, RECTIFIERS), bounds))
    return layers
