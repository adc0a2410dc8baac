"""TracIn: which training rows lowered or raised the loss on a row, step by step of training.

A gradient step on training row z' with learning rate η changes the loss of row z by about -η ∇L(z)·∇L(z'). Summed over
checkpoints c of the training,

    influence(z, z') = Σ_c η_c ∇L_c(z) · ∇L_c(z')

Proponents have the largest influence: training on them lowered the row's loss. Opponents have the smallest, below
zero. Gradients are those of the last linear layer, o = W h + b, for which the product is exact without ever being
written out: with e = ∂L/∂o (p - y for cross-entropy),

    ∇L(z) · ∇L(z') = (e · e') (h · h' + 1)        (+ 1 for the bias, where there is one)

so that a row costs one forward pass, and memory does not grow with the number of training rows. Layers before the last
are not heard, and rows with large losses have a say in everything; `alike=True` takes the cosine of the gradients
instead of their product, which asks for alikeness and not for size. A training row's influence on itself is large where
the model had to learn it by heart: the first rows to look at for wrong labels.

Source: Pruthi, Liu, Kale, Sundararajan, "Estimating Training Data Influence by Tracing Gradient Descent", NeurIPS 2020,
arXiv:2002.08484 (appendix F: the last layer); the cosine: Hammoudeh and Lowd, "Identifying a Training-Set Attack's
Target Using Renormalized Influence Estimation", CCS 2022, arXiv:2201.10055.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy.typing as npt
import torch
from torch import Tensor, nn

from auditkit.attribution.asking import Asker, Inputs, asked, rows_of
from auditkit.attribution.examples.influence import BLOCK, Influence, Ranking, layer_of
from auditkit.attribution.row_losses import Loss, labels_of, loss_of
from auditkit.errors import InputError

Weights = Mapping[str, Tensor]


def influential(
    model: nn.Module,
    inputs: Tensor | Sequence[Tensor],
    labels: Tensor | npt.NDArray[Any] | Sequence[float],
    training: Tensor | Sequence[Tensor],
    training_labels: Tensor | npt.NDArray[Any] | Sequence[float],
    *,
    checkpoints: Sequence[Weights] | None = None,
    learning_rates: Sequence[float] | None = None,
    layer: str | None = None,
    loss: Loss | None = None,
    alike: bool = False,
    most: int = 5,
    batch_size: int | None = None,
) -> Influence:
    """The proponents and opponents of every row among the training rows.

    inputs, labels: the rows to explain, [n, ...] and [n]; give the model's own predictions as labels to ask what speaks
    for these. training, training_labels: the rows the model was trained on. checkpoints: weights (`state_dict()`) saved
    in training; the model's own where None. learning_rates: at each checkpoint, 1 where None. layer: a linear layer
    by its dotted name, the last to run where None. loss: see `row_losses`; what the model was trained with. most: rows
    to name.

    Raises InputError for a callable without layers, a layer that is not linear or not applied once to each row.

    Source: Pruthi, Liu, Kale, Sundararajan, NeurIPS 2020, arXiv:2002.08484.

    >>> head = nn.Linear(1, 1, bias=False).requires_grad_(False)
    >>> _ = head.weight.fill_(1.0)
    >>> found = influential(head, torch.tensor([[1.0]]), torch.tensor([0.0]), torch.tensor([[1.0], [2.0]]), [0.0, 5.0])
    >>> found.proponents.tolist(), found.helped.tolist()  # 2 (1 - 0) 1 · 2 (1 - 0) 1 and 2 (1 - 0) 1 · 2 (2 - 5) 2
    ([[0, 1]], [[4.0, -24.0]])
    """
    given, known = rows_of(inputs, "inputs"), rows_of(training, "training")
    truth = labels_of(labels, len(given[0]), given[0].device, "labels")
    taught = labels_of(training_labels, len(known[0]), known[0].device, "training_labels")
    if most < 1:
        raise InputError(f"most: name one row or more, got {most}")
    name, function = loss_of(loss, taught)
    saved: list[Weights | None] = [None] if checkpoints is None else list(checkpoints)
    rates = [1.0] * len(saved) if learning_rates is None else [float(rate) for rate in learning_rates]
    if not saved or len(rates) != len(saved):
        raise InputError(f"learning_rates: {len(rates)} for {len(saved)} checkpoints; give one for each")
    with asked(model, known, batch_size) as asker:
        place = layer_of(asker, layer, known)
        mine = [_at(asker, place, given, truth, function, weights) for weights in saved]
        ranking = Ranking(len(given[0]), most, len(known[0]), given[0].device)
        for start in range(0, len(known[0]), BLOCK):
            rows = tuple(part[start : start + BLOCK] for part in known)
            wanted = taught[start : start + BLOCK]
            influence = torch.zeros((len(given[0]), len(wanted)), dtype=torch.float64, device=given[0].device)
            itself = torch.zeros(len(wanted), dtype=torch.float64, device=given[0].device)
            for rate, own, weights in zip(rates, mine, saved, strict=True):
                other = _at(asker, place, rows, wanted, function, weights)
                influence += rate * own.products(other, alike)
                itself += rate * other.squares()
            ranking.enter(influence, itself, start)
    return ranking.concluded(place, name, len(saved))


@dataclass(frozen=True, slots=True)
class _Gradients:
    """Gradients of rows' losses by the layer's weights, unwritten: signals e [n, outputs], features h [n, inputs]."""

    signals: Tensor
    features: Tensor
    bias: float

    def products(self, other: _Gradients, alike: bool) -> Tensor:
        """float64 [n, m]: every gradient times every other one's; their cosines where alike."""
        found = (self.signals @ other.signals.T) * (self.features @ other.features.T + self.bias)
        if not alike:
            return found
        scale = torch.outer(self.squares().sqrt(), other.squares().sqrt())
        return torch.where(scale > 0, found / scale.clamp_min(torch.finfo(torch.float64).tiny), 0.0)

    def squares(self) -> Tensor:
        """float64 [n]: the squared length of each gradient."""
        return self.signals.square().sum(dim=1) * (self.features.square().sum(dim=1) + self.bias)


def _at(
    asker: Asker,
    layer: str,
    rows: Inputs,
    labels: Tensor,
    loss: Callable[[Tensor, Tensor], Tensor],
    weights: Weights | None,
) -> _Gradients:
    """The gradients of rows' losses at one checkpoint."""

    def work(index: Tensor) -> tuple[Tensor, Tensor]:
        seen = asker.at(layer, tuple(part[index] for part in rows), gradients=True)
        with torch.enable_grad():
            total = loss(seen.outputs, labels[index]).sum()
        assert seen.entering is not None  # what a linear layer takes is a tensor
        return asker.slope(total, seen).double(), seen.entering.double()

    with _weighted(asker.model.module, weights):
        batches = [found for _, found in asker.batches(len(labels), work)]
    signals, features = (torch.cat(parts) for parts in zip(*batches, strict=True))
    return _Gradients(signals, features, 0.0 if asker.model.layer(layer).bias is None else 1.0)


@contextmanager
def _weighted(module: nn.Module, weights: Weights | None) -> Iterator[None]:
    """The module with other weights, and its own again afterwards."""
    if weights is None:
        yield
        return
    own = {name: value.clone() for name, value in module.state_dict().items()}
    try:
        try:
            module.load_state_dict(dict(weights))
        except RuntimeError as problem:
            raise InputError(f"checkpoints: the weights do not fit the model: {problem}") from None
        yield
    finally:
        module.load_state_dict(own)
