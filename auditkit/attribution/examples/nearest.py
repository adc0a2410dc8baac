"""Nearest training rows: what a row looks like to the model just before it answers.

Rows are compared by the input of the last linear layer, where rows that are answered alike lie together. Neighbours
whose label is the answer support it; where most have another label, or lie far away, the model has little to go by
(Papernot and McDaniel call the share of neighbours with the predicted label its credibility). The share is to be held
against the label's share of all training rows, which is what chance would give, and a handful of neighbours tells it
only roughly, so that it comes with an interval.

cosine      1 - cos(h, h'): direction alone, from 0 to 2
euclidean   |h - h'|, in the features' own units

Source: Papernot, McDaniel, "Deep k-Nearest Neighbors", 2018, arXiv:1803.04765; Caruana et al., "Case-Based Explanation
of Non-Case-Based Learning Methods", AMIA 1999.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from auditkit.attribution.asking import Asker, Inputs, asked, rows_of
from auditkit.attribution.row_losses import labels_of
from auditkit.errors import InputError, nearest
from auditkit.statistics.intervals import wilson

Distance = Literal["cosine", "euclidean"]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Neighbours:
    """The training rows nearest to each row.

    rows: int64 [n, most], positions among the training rows, the nearest first. distances: float64 [n, most]. same:
    float64 [n], the share of them with the row's label; lower, upper: its 95 % interval (Wilson). by_chance: float64
    [n], that label's share of all training rows. labels: int64 [n], the label asked about. These five are None without
    training labels. layer: whose input was compared.
    """

    rows: npt.NDArray[np.int64]
    distances: Floats
    same: Floats | None
    lower: Floats | None
    upper: Floats | None
    by_chance: Floats | None
    labels: npt.NDArray[np.int64] | None
    distance: Distance
    layer: str


def nearest_training_rows(
    model: nn.Module,
    inputs: Tensor | Sequence[Tensor],
    training: Tensor | Sequence[Tensor],
    training_labels: Tensor | npt.NDArray[Any] | Sequence[int] | None = None,
    *,
    labels: Tensor | npt.NDArray[Any] | Sequence[int] | None = None,
    layer: str | None = None,
    distance: Distance = "cosine",
    most: int = 10,
    batch_size: int | None = None,
) -> Neighbours:
    """The nearest training rows of every row, and how many of them have its label.

    inputs: the rows to explain, [n, ...]. training, training_labels: rows with classes to find neighbours among.
    labels: the classes to compare with, what the model predicts where None. layer: whose input is compared, the last
    linear one to run where None. most: neighbours. Rows that are training rows themselves find themselves first.

    Raises InputError for a callable without layers, a layer that is not called once, fewer training rows than `most`.

    Source: Papernot, McDaniel, 2018, arXiv:1803.04765.

    >>> model = nn.Linear(2, 2)
    >>> seen = torch.tensor([[1.0, 0.0], [0.0, 1.0], [3.0, 0.1]])
    >>> nearest_training_rows(model, torch.tensor([[2.0, 0.0]]), seen, most=2).rows.tolist()
    [[0, 2]]
    """
    given, known = rows_of(inputs, "inputs"), rows_of(training, "training")
    if distance not in get_args(Distance):
        raise InputError(f"distance: there is no {distance!r}; {nearest(distance, get_args(Distance))}")
    if not 1 <= most <= len(known[0]):
        raise InputError(f"most: {most} neighbours cannot be found among {len(known[0])} training rows")
    taught = None if training_labels is None else _classes(training_labels, known, "training_labels")
    with asked(model, known, batch_size) as asker:
        place = asker.last_linear(known) if layer is None else layer
        features, outputs = _entering(asker, place, given)
        others, _ = _entering(asker, place, known)
    rows, distances = _closest(features, others, distance, most)
    if taught is None:
        return Neighbours(rows, distances, None, None, None, None, None, distance, place)
    predicted = (outputs[:, 0] > 0).long() if outputs.shape[1] == 1 else outputs.argmax(dim=1)
    own = (predicted if labels is None else _classes(labels, given, "labels")).cpu().numpy()
    every = taught.cpu().numpy()
    same = (every[rows] == own[:, None]).sum(axis=1)
    lower, upper = wilson(same, most)
    by_chance = np.array([(every == label).mean() for label in own])
    return Neighbours(rows, distances, same / most, lower, upper, by_chance, own, distance, place)


def _classes(given: Any, rows: Inputs, what: str) -> Tensor:
    labels = labels_of(given, len(rows[0]), rows[0].device, what)
    if labels.is_floating_point() or labels.ndim != 1:
        raise InputError(f"{what}: give classes, whole numbers, one for each row")
    return labels.long()


def _entering(asker: Asker, layer: str, rows: Inputs) -> tuple[Tensor, Tensor]:
    """What goes into the layer, float64 [n, width], and the model's outputs."""

    def work(index: Tensor) -> tuple[Tensor, Tensor]:
        seen = asker.at(layer, tuple(part[index] for part in rows))
        if seen.entering is None or len(seen.entering) != len(index):
            raise InputError(f"layer {layer!r} does not take one tensor with a row for each row of the inputs")
        return seen.entering.flatten(1).double(), seen.outputs

    batches = [found for _, found in asker.batches(len(rows[0]), work)]
    features, outputs = (torch.cat(parts) for parts in zip(*batches, strict=True))
    return features, outputs


def _closest(features: Tensor, others: Tensor, distance: Distance, most: int) -> tuple[npt.NDArray[np.int64], Floats]:
    """Positions and distances of the `most` nearest others."""
    if distance == "cosine":
        features, others = (part / part.norm(dim=1, keepdim=True).clamp_min(1e-300) for part in (features, others))
    lengths = others.square().sum(dim=1)
    rows, distances = [], []
    for block in features.split(max(1, 2**24 // len(others))):
        # the order of |h - h'|² is that of |h'|² - 2 h·h'
        near = (2 * block @ others.T - lengths).topk(most, dim=1).indices
        apart, order = (block[:, None] - others[near]).square().sum(dim=2).sort(dim=1, stable=True)
        rows.append(near.gather(1, order))
        distances.append(apart / 2 if distance == "cosine" else apart.sqrt())
    return torch.cat(rows).cpu().numpy(), torch.cat(distances).cpu().numpy()
