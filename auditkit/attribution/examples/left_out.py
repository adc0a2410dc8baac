"""Leave one out: what the last layer would answer, had it been fitted without a training row.

The last linear layer is fitted anew on the same features without row i, by one Newton step from its weights. With the
features φ of a row (and 1 for the bias), the gradient g and curvature W of its loss by its outputs, and the curvature
H = Σ W ⊗ φφᵀ of all rows' losses by the weights,

    A_i = (I ⊗ φ_i)ᵀ H⁻¹ (I ⊗ φ_i)
    outputs of row z without row i = outputs + (I ⊗ φ_z)ᵀ H⁻¹ (I ⊗ φ_i) (I - W_i A_i)⁻¹ g_i

For squared errors the step is the refit itself (of least squares it leaves the residual e_i / (1 - h_i)); for others it
is close to it. Both hold where the weights are near their optimum on these rows, which `unsettled` tells; layers before
the last are taken as they are. What a row's own loss gains by leaving it out shows what was learnt by heart.

Source: Cook, "Detection of Influential Observation in Linear Regression", Technometrics 1977; Koh and Liang,
"Understanding Black-box Predictions via Influence Functions", ICML 2017, arXiv:1703.04730; the step: Rad and Maleki,
"A scalable estimate of the out-of-sample prediction error via approximate leave-one-out", JRSS B 2020,
arXiv:1801.10243.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from auditkit.attribution.asking import Asker, Inputs, asked, rows_of
from auditkit.attribution.examples.influence import Influence, Ranking, layer_of
from auditkit.attribution.row_losses import Loss, labels_of, loss_of
from auditkit.errors import InputError

WEIGHTS = 4096
"""of a layer with more, the curvature is not inverted"""
HELD = 2**22
"""numbers that are worked on at once"""
ALONE = 1e-8
"""a row that leaves less than this share of its own weight to others is fitted by itself"""
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class LeftOut:
    """What leaving out each training row would change.

    influence: by how much the loss of each explained row would rise, and of the training row itself. outputs: float64
    [training, outputs], each training row's answer without it; NaN where it alone fixes a weight. leverage: float64
    [training], how many weights each row fixes by itself; together as many as all rows fix. unsettled: how far the
    weights are from their optimum on these rows: the length of the summed gradient, as a share of the rows' lengths.
    """

    influence: Influence
    outputs: Floats
    leverage: Floats
    unsettled: float


def leave_one_out(
    model: nn.Module,
    inputs: Tensor | Sequence[Tensor],
    labels: Tensor | npt.NDArray[Any] | Sequence[float],
    training: Tensor | Sequence[Tensor],
    training_labels: Tensor | npt.NDArray[Any] | Sequence[float],
    *,
    layer: str | None = None,
    loss: Loss | None = None,
    ridge: float = 0.0,
    most: int = 5,
    batch_size: int | None = None,
) -> LeftOut:
    """What each row would lose if the last layer had been fitted without each training row.

    inputs, labels: the rows to explain, [n, ...] and [n]. training, training_labels: all rows that the layer was fitted
    on. layer: a linear layer whose output is the model's, the last to run where None. loss: see `row_losses`; what the
    layer was fitted with. ridge: λ of the λ/2 |weights|² that was added to the sum of the losses. most: rows to name.

    Raises InputError where the layer's output is not the model's, the loss has no curvature, or the layer is too large.

    Source: Koh and Liang, ICML 2017, arXiv:1703.04730; Rad and Maleki, JRSS B 2020, arXiv:1801.10243.

    >>> mean = nn.Linear(1, 1).requires_grad_(False)  # of three numbers, whatever the input
    >>> _ = mean.weight.fill_(0.0), mean.bias.fill_(2.0)
    >>> found = leave_one_out(mean, torch.zeros(1, 1), [2.0], torch.zeros(3, 1), [0.0, 1.0, 5.0])
    >>> found.outputs[:, 0].round(6).tolist()
    [3.0, 2.5, 0.5]
    """
    given, known = rows_of(inputs, "inputs"), rows_of(training, "training")
    truth = labels_of(labels, len(given[0]), given[0].device, "labels")
    taught = labels_of(training_labels, len(known[0]), known[0].device, "training_labels")
    if most < 1:
        raise InputError(f"most: name one row or more, got {most}")
    if ridge < 0:
        raise InputError(f"ridge: give 0 or more, got {ridge}")
    name, function = loss_of(loss, taught)
    with asked(model, known, batch_size) as asker:
        place = layer_of(asker, layer, known)
        fitted = _Fit.of(_at(asker, place, known), taught, function, asker.model.layer(place), ridge)
        features, outputs = _at(asker, place, given)
    ranking = Ranking(len(given[0]), most, len(known[0]), given[0].device)
    here = function(outputs, truth)
    alone, left = fitted.without(function, taught)
    block = max(1, HELD // max(1, outputs.numel()))
    for start in range(0, len(taught), block):
        some = slice(start, start + block)
        moved = (outputs[:, None] + fitted.shift(features, some)).flatten(0, 1)
        count = len(moved) // len(outputs)
        there = function(moved.nan_to_num(), truth.repeat_interleave(count, dim=0)).reshape(len(outputs), count)
        ranking.enter(torch.where(fitted.fixed[some], 0.0, there - here[:, None]), alone[some], start)
    influence = ranking.concluded(place, name, 1)
    return LeftOut(influence, left.cpu().numpy(), fitted.leverage.cpu().numpy(), fitted.unsettled)


def _at(asker: Asker, layer: str, rows: Inputs) -> tuple[Tensor, Tensor]:
    """What enters the layer, with 1 for a bias, float64 [n, width], and the model's outputs, float64 [n, outputs]."""

    def work(index: Tensor) -> tuple[Tensor, Tensor]:
        seen = asker.at(layer, tuple(part[index] for part in rows))
        if seen.outputs.shape != seen.leaving.shape or not torch.equal(seen.outputs, seen.leaving):
            raise InputError(f"layer {layer!r} does not give the model's own output; name the one that does")
        assert seen.entering is not None  # what a linear layer takes is a tensor
        features = seen.entering.double()
        if asker.model.layer(layer).bias is not None:
            features = torch.cat([features, torch.ones_like(features[:, :1])], dim=1)
        return features, seen.outputs.double()

    batches = [found for _, found in asker.batches(len(rows[0]), work)]
    features, outputs = (torch.cat(parts) for parts in zip(*batches, strict=True))
    return features, outputs


@dataclass(frozen=True, slots=True)
class _Fit:
    """The last layer as fitted on the training rows.

    features [n, d], outputs [n, k]. inverse: [k, k, d, d], of the curvature by the weights. push: [n, k], the force
    with which a row that is left out lets go. own: [n, k, k], A. fixed: bool [n], rows that fix a weight alone.
    """

    features: Tensor
    outputs: Tensor
    inverse: Tensor
    push: Tensor
    own: Tensor
    leverage: Tensor
    fixed: Tensor
    unsettled: float

    @classmethod
    def of(
        cls,
        seen: tuple[Tensor, Tensor],
        labels: Tensor,
        loss: Callable[[Tensor, Tensor], Tensor],
        layer: nn.Module,
        ridge: float,
    ) -> _Fit:
        features, outputs = seen
        (d, k), n = (features.shape[1], outputs.shape[1]), len(features)
        if d * k > WEIGHTS:
            raise InputError(
                f"the layer has {d * k:,} weights, more than the {WEIGHTS:,} of which the curvature can be "
                "inverted; ask `influential`, which needs none"
            )
        slopes, bends = _derivatives(outputs, labels, loss)
        curvature = torch.stack([(features.T * bends[:, a, b]) @ features for a in range(k) for b in range(k)])
        curvature = curvature.reshape(k, k, d, d).transpose(1, 2).reshape(k * d, k * d)
        curvature.diagonal().add_(ridge)
        inverse = torch.linalg.pinv(curvature, hermitian=True).reshape(k, d, k, d).transpose(1, 2)
        pairs = [((features @ inverse[a, b]) * features).sum(dim=1) for a in range(k) for b in range(k)]
        own = torch.stack(pairs, dim=1).reshape(n, k, k)
        kept = torch.eye(k).to(own) - bends @ own
        fixed = torch.linalg.svdvals(kept)[:, -1] < ALONE
        kept = torch.where(fixed[:, None, None], torch.eye(k).to(own), kept)
        push = torch.linalg.solve(kept, slopes)
        leverage = (bends @ own).diagonal(dim1=1, dim2=2).sum(dim=1)
        pull = slopes.T @ features + ridge * _weights(layer)
        lengths = (slopes.norm(dim=1) * features.norm(dim=1)).sum().clamp_min(1e-300)
        return cls(features, outputs, inverse, push, own, leverage, fixed, float(pull.norm() / lengths))

    def without(self, loss: Callable[[Tensor, Tensor], Tensor], labels: Tensor) -> tuple[Tensor, Tensor]:
        """By how much each training row's loss would rise without it, [n], and its outputs then, [n, k]."""
        left = self.outputs + (self.own @ self.push[:, :, None])[:, :, 0]
        risen = loss(left, labels) - loss(self.outputs, labels)
        return torch.where(self.fixed, torch.nan, risen), torch.where(self.fixed[:, None], torch.nan, left)

    def shift(self, features: Tensor, some: slice) -> Tensor:
        """[m, rows, k]: how the outputs at features [m, d] move without each of some training rows."""
        m, (k, _, d, _) = len(features), self.inverse.shape
        reach = torch.einsum("mc,abcd->mabd", features, self.inverse).reshape(m * k, k * d)
        force = (self.push[some, :, None] * self.features[some, None]).flatten(1)
        return (reach @ force.T).reshape(m, k, -1).transpose(1, 2)


def _weights(layer: nn.Module) -> Tensor:
    """A linear layer's weights with its bias as the last column, float64 [outputs, d]."""
    assert isinstance(layer, nn.Linear)
    weight = layer.weight.detach().double()
    return weight if layer.bias is None else torch.cat([weight, layer.bias.detach().double()[:, None]], dim=1)


def _derivatives(outputs: Tensor, labels: Tensor, loss: Callable[[Tensor, Tensor], Tensor]) -> tuple[Tensor, Tensor]:
    """Gradient [n, k] and curvature [n, k, k] of each row's loss by its outputs."""
    with torch.enable_grad():
        leaf = outputs.detach().requires_grad_(True)
        slopes = torch.autograd.grad(loss(leaf, labels).sum(), leaf, create_graph=True)[0]
        bends = []
        for place in range(outputs.shape[1]):
            found = None
            if slopes.requires_grad:
                found = torch.autograd.grad(slopes[:, place].sum(), leaf, retain_graph=True, allow_unused=True)[0]
            bends.append(torch.zeros_like(outputs) if found is None else found)
    curved = torch.stack(bends, dim=1).detach()
    if not bool((curved.diagonal(dim1=1, dim2=2) > 0).any()):
        raise InputError("the loss has no curvature, so nothing tells where the layer would settle without a row")
    return slopes.detach(), (curved + curved.transpose(1, 2)) / 2
