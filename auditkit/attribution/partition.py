"""Partition: which explained part (a column, a cell, a word, a stretch of time) each number of a point belongs to.

Attributions are made in attribution space (`engine/space.py`) and reported per part: a categorical column is the sum
over its embedding's dimensions, an image's cell the sum over its pixels and channels. Sums keep completeness.
Images are divided into at most 16 x 16 cells, so that the work of occlusion and the size of the evidence are bounded;
small images (a side of up to 16 pixels) have one cell per pixel. A series is divided into windows of time by channel,
at most 16 windows and about 256 parts. A text's parts are the positions of its words; which of them a row has is told
by its `present`.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from auditkit.engine.space import InputSpace, Points, SpaceError
from auditkit.subject.model import Model
from auditkit.subject.preprocessing import ImagePreprocessing, SeriesPreprocessing, TablePreprocessing

CELLS = 16
PARTS = 256
"""a series with many channels has fewer windows, so that there are about so many parts"""


@dataclass(frozen=True, slots=True)
class Partition:
    """parts: their names. labels: per point tensor, int64 of its shape past the batch axis, the part of each number.

    own: the part of each number of a row's inputs, one after the other, where rows are plain tensors.
    """

    parts: tuple[str, ...]
    labels: tuple[Tensor, ...]
    own: Tensor | None = None

    def sums(self, values: Points) -> Tensor:
        """float64 [n, parts]: values in attribution space, added up per part."""
        total = torch.zeros((len(values[0]), len(self.parts)), dtype=torch.float64, device=values[0].device)
        for part, label in zip(values, self.labels, strict=True):
            total.index_add_(1, label.flatten(), part.double().flatten(1))
        return total


def partition_of(model: Model, space: InputSpace, points: Points) -> Partition:
    """The parts of a model's points, from its preprocessing.

    Raises SpaceError where a column of the preprocessing enters the model at no place of the space.
    """
    if isinstance(model.preprocessing, ImagePreprocessing):
        return _cells(model.preprocessing.shape, points)
    if isinstance(model.preprocessing, SeriesPreprocessing):
        return _windows(model.preprocessing, points)
    if model.preprocessing.modality == "text":
        return _words(space, points)
    if not isinstance(model.preprocessing, TablePreprocessing):
        raise SpaceError(f"rows that are {model.preprocessing.modality} have no parts to be explained by")
    return _columns(model.preprocessing, space, points)


def _columns(preprocessing: TablePreprocessing, space: InputSpace, points: Points) -> Partition:
    """One part per column, in the preprocessing's order."""
    number = {(place.input, place.index): part for part, place in enumerate(preprocessing.places())}
    labels: list[Tensor] = []
    for place, part in enumerate(points):
        owned = torch.tensor([number[owner] for owner in space.owner(place)], device=part.device)
        width = part[0].numel() // len(owned)
        labels.append(owned.repeat_interleave(width).reshape(part.shape[1:]))
    reached = set(torch.cat([label.flatten() for label in labels]).tolist())
    silent = [name for part, name in enumerate(preprocessing.columns) if part not in reached]
    if len(silent) == len(preprocessing.columns):
        raise SpaceError("no column reaches the model through a float input or an nn.Embedding")
    return Partition(preprocessing.columns, tuple(labels))


def _cells(shape: tuple[int, int, int], points: Points) -> Partition:
    """A grid of cells over the image, shared by all channels."""
    _, height, width = shape
    side = cell_side(height, width)
    down, across = torch.arange(height) // side, torch.arange(width) // side
    columns = -(-width // side)
    label = (down[:, None] * columns + across[None, :]).expand(shape).contiguous().to(points[0].device)
    names = tuple(f"{row},{column}" for row in range(-(-height // side)) for column in range(columns))
    return Partition(names, (label,))


def _words(space: InputSpace, points: Points) -> Partition:
    """One part per position of the text, wherever its word is looked up."""
    owners = [space.owner(place) for place in range(len(points))]
    if len({place for owned in owners for place, _ in owned}) != 1:
        raise SpaceError("a text must reach the model through the ids of its words alone")
    labels = []
    for owned, part in zip(owners, points, strict=True):
        index = torch.tensor([index for _, index in owned], device=part.device)
        labels.append(index.repeat_interleave(part[0].numel() // len(owned)).reshape(part.shape[1:]))
    count = 1 + max(index for owned in owners for _, index in owned)
    return Partition(tuple(str(place) for place in range(1, count + 1)), tuple(labels))


def _windows(preprocessing: SeriesPreprocessing, points: Points) -> Partition:
    """One part per channel and window of time, channel by channel."""
    channels, steps = preprocessing.channels, preprocessing.steps
    edges = window_edges(steps, len(channels))
    names = tuple(f"{channel} · {window}" for channel in channels for window in window_names(edges))
    windows = torch.bucketize(torch.arange(steps), torch.tensor(edges[1:-1]), right=True)
    label = windows[:, None] + torch.arange(len(channels))[None, :] * (len(edges) - 1)
    return Partition(names, (label.to(points[0].device),))


def window_edges(steps: int, channels: int) -> list[int]:
    """Where windows of time begin, and the end: at most 16 windows, fewer where there are many channels.

    >>> window_edges(40, 1)[:4], len(window_edges(40, 1)), window_edges(3, 1), window_edges(40, 200)
    ([0, 3, 6, 9], 15, [0, 1, 2, 3], [0, 40])
    """
    wide = -(-steps // max(1, min(CELLS, PARTS // channels)))
    return [*range(0, steps, wide), steps]


def window_names(edges: list[int]) -> list[str]:
    """Windows by their first and last step, counted from one.

    >>> window_names([0, 3, 6, 7])
    ['1 to 3', '4 to 6', '7']
    """
    return [f"{first + 1} to {last}" if last > first + 1 else str(last) for first, last in pairwise(edges)]


def cell_side(height: int, width: int) -> int:
    """How many pixels wide and high a cell is.

    >>> cell_side(8, 8), cell_side(28, 28), cell_side(224, 224)
    (1, 2, 14)
    """
    return -(-max(height, width) // CELLS)
