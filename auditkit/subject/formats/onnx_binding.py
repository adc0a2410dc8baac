"""How an operation's inputs are bound: tensors that are handed over, and numbers that say how.

Numbers that say how (shapes, axes, places) are read once where they are constants, and from the values at hand where
they are computed.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from auditkit.subject.formats.onnx_graph import ObstacleError
from auditkit.subject.formats.onnx_network import LARGEST, Given, Made

Maker = Callable[[Given], Made]
"""from an operation to what is run"""


def numbers(value: Any) -> list[int] | None:
    """Whole numbers that say how, from a tensor or a list; None where there are none."""
    if value is None or isinstance(value, list):
        return value
    return [int(one) for one in value.reshape(-1).tolist()]


@dataclass(frozen=True)
class Bound:
    """A function of several inputs, some of which are lists of numbers that are known."""

    function: Callable[..., Any]
    known: tuple[tuple[int, Any], ...]
    places: int

    def __call__(self, *values: Any) -> Any:
        known, rest = dict(self.known), iter(values)
        return self.function(*(known[place] if place in known else next(rest) for place in range(self.places)))


def bound(function: Callable[..., Any], given: Given, first: int = 1, places: int | None = None) -> Made:
    """An operation whose inputs from `first` on are numbers that say how, read once where they are constants."""
    count = len(given.values) if places is None else places
    known: list[tuple[int, list[int] | None]] = []
    for place in range(first, count):
        if not given.has(place):
            known.append((place, None))
        elif (found := given.constant(place)) is not None:
            known.append((place, numbers(found)))
    told = {place for place, _ in known}
    return Made(Bound(function, tuple(known), count), tuple(place for place in range(count) if place not in told))


def bounded(shape: list[int] | torch.Size) -> Any:
    """A shape. Raises ObstacleError where it is larger than any value may be."""
    if math.prod(shape) > LARGEST:
        raise ObstacleError(f"a tensor of the shape {tuple(shape)[:8]} is too large")
    return shape


def plain(function: Callable[..., Any]) -> Maker:
    """A function of all inputs as they are."""
    return lambda given: Made(function, tuple(range(len(given.values))))


def with_axes(function: Callable[..., Any], given: Given, name: str = "axes") -> Made:
    """Axes that are an attribute in older versions and the second input in newer ones."""
    if name in given.attributes:
        return Made(Bound(function, ((1, given.attributes[name]),), 2), (0,))
    return bound(function, given, places=2)
