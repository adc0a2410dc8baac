"""Losses by name, one number per row, so that rows can be weighted.

With p = softmax(logits), q = sigmoid(logits), y the label, t the target (1 at y, else 0, moved towards even shares by
`smoothing`) and K classes:

cross_entropy   - Σ t log p; a proper score. Smoothing: Szegedy et al. 2016, arXiv:1512.00567
focal           - Σ t (1 - p)^γ log p: easy rows count less (Lin et al. 2017, arXiv:1708.02002); γ = 0 is cross_entropy
bce             - mean over the K classes of t log q + (1 - t) log(1 - q): one class against the rest, each by itself
mse             Σ (p - t)², the Brier score (Brier 1950); a proper score
mae             Σ |p - t| = 2 (1 - p_y): bounded, so a wrong label pulls little (Ghosh et al. 2017, arXiv:1712.09482)

An audit reads p off a classifier. `bce` fits q instead: the order of the classes is the same, but p is then surer than
it should be, and `mae` is no proper score: recalibrate where probabilities matter. `huber` on probabilities would be
half the Brier score, so it is left to networks that predict numbers or rebuild their inputs, which find these,
`bce` and the other two number by number in `elementwise`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from auditkit.errors import InputError, nearest

Loss = Callable[[Tensor, Tensor], Tensor]

FOCAL_GAMMA = 2.0
"""What Lin et al. found best."""

HUBER_DELTA = 1.0
"""Where the Huber loss turns from squared to absolute."""


def elementwise(name: str, delta: float | None = None) -> Loss:
    """A loss of numbers, number by number: `(predicted, truth)` of one shape to a tensor of that shape.

    name: mse, mae, huber (Huber 1964, with its `delta`) or bce (predicted are logits, truth lies in 0..1).
    Raises InputError for another name.

    >>> elementwise("huber")(torch.tensor([0.5, 3.0]), torch.zeros(2)).tolist()
    [0.125, 2.5]
    """
    known: dict[str, Loss] = {
        "mse": partial(functional.mse_loss, reduction="none"),
        "mae": partial(functional.l1_loss, reduction="none"),
        "huber": partial(functional.huber_loss, reduction="none", delta=HUBER_DELTA if delta is None else delta),
        "bce": partial(functional.binary_cross_entropy_with_logits, reduction="none"),
    }
    if name not in known:
        raise InputError(f"loss {name!r} is none of numbers; {nearest(name, known)}")
    return known[name]


def classification(name: str, smoothing: float = 0.0, gamma: float | None = None) -> Loss:
    """A classifier's loss, row by row: `(logits [n, K], labels int64 [n])` to float [n].

    Raises InputError for a name that is no loss of classifiers.

    >>> classification("cross_entropy")(torch.zeros(1, 4), torch.tensor([2])).exp().round(decimals=4).tolist()
    [4.0]
    """
    if name == "huber":
        raise InputError(
            "loss: huber is for networks that predict numbers or rebuild their inputs; between probabilities it is "
            "half the squared error, so use mse"
        )
    if name not in ROW_LOSSES:
        raise InputError(f"loss {name!r} is none of classifiers; {nearest(name, ROW_LOSSES)}")
    more: dict[str, Any] = {"gamma": FOCAL_GAMMA if gamma is None else gamma} if name == "focal" else {}
    return partial(ROW_LOSSES[name], smoothing=smoothing, **more)


def weighted_mean(losses: Tensor, weights: Tensor) -> Tensor:
    """Σ w l / Σ w of a batch; 0 where all its weights are 0.

    Where several processes share a batch, Σ w runs over all of them, so that the average of their gradients is that
    of the whole batch.

    >>> float(weighted_mean(torch.tensor([1.0, 4.0]), torch.tensor([2.0, 1.0])))
    2.0
    """
    total, processes = weights.sum(), 1
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        processes = torch.distributed.get_world_size()
        torch.distributed.all_reduce(total)
    return processes * (weights * losses).sum() / total.clamp_min(1e-12)


def l1_penalty(network: nn.Module) -> Tensor:
    """Σ |w| over the trainable weights that are matrices or more; biases and normalisation are left alone.

    >>> layer = nn.Linear(2, 1); _ = nn.init.constant_(layer.weight, -3.0)
    >>> l1_penalty(layer).item()
    6.0
    """
    weights = [weight for weight in network.parameters() if weight.ndim > 1 and weight.requires_grad]
    return torch.stack([weight.abs().sum() for weight in weights]).sum() if weights else torch.zeros(())


def _targets(logits: Tensor, labels: Tensor, smoothing: float, even: float) -> Tensor:
    hot = functional.one_hot(labels, logits.shape[1]).to(logits.dtype)
    return hot * (1 - smoothing) + smoothing * even


def _cross_entropy(logits: Tensor, labels: Tensor, smoothing: float) -> Tensor:
    return functional.cross_entropy(logits, labels, label_smoothing=smoothing, reduction="none")


def _focal(logits: Tensor, labels: Tensor, smoothing: float, gamma: float) -> Tensor:
    logs = logits.log_softmax(1)
    rest = (1 - logs.exp()).clamp_min(torch.finfo(logs.dtype).eps)  # a power below 1 has no slope at 0
    return -(_targets(logits, labels, smoothing, 1 / logits.shape[1]) * rest**gamma * logs).sum(1)


def _bce(logits: Tensor, labels: Tensor, smoothing: float) -> Tensor:
    targets = _targets(logits, labels, smoothing, 0.5)
    return functional.binary_cross_entropy_with_logits(logits, targets, reduction="none").mean(1)


def _mse(logits: Tensor, labels: Tensor, smoothing: float) -> Tensor:
    return (logits.softmax(1) - _targets(logits, labels, smoothing, 1 / logits.shape[1])).square().sum(1)


def _mae(logits: Tensor, labels: Tensor, smoothing: float) -> Tensor:
    return (logits.softmax(1) - _targets(logits, labels, smoothing, 1 / logits.shape[1])).abs().sum(1)


ROW_LOSSES: dict[str, Callable[..., Tensor]] = {
    "cross_entropy": _cross_entropy,
    "focal": _focal,
    "bce": _bce,
    "mse": _mse,
    "mae": _mae,
}
