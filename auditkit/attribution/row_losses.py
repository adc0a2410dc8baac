"""Losses of single rows, by name: how wrong an answer is, larger for worse.

cross_entropy   -log of the probability of the row's label; of a single output, read as the logit of label 1
error_rate      1 where another output is largest than the label's, 0 elsewhere; its mean is 1 - accuracy
squared_error   (output - label)², summed over outputs
absolute_error  |output - label|, summed over outputs
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import torch
from torch import Tensor
from torch.nn import functional

from auditkit.errors import InputError, nearest

Loss: TypeAlias = str | Callable[[Tensor, Tensor], Tensor]
"""a name, or a function of outputs [n, k] and labels [n, ...] that gives one loss a row, [n]"""


def loss_of(loss: Loss | None, labels: Tensor) -> tuple[str, Callable[[Tensor, Tensor], Tensor]]:
    """The name of a loss, and the loss. None is the cross-entropy of integer labels and the squared error of others.

    >>> name, function = loss_of(None, torch.tensor([1]))
    >>> name, round(function(torch.tensor([[0.0, 0.0]]), torch.tensor([1])).item(), 4)
    ('cross_entropy', 0.6931)
    """
    if callable(loss):
        return getattr(loss, "__name__", "the given loss"), _checked(loss)
    name = loss or ("squared_error" if labels.is_floating_point() else "cross_entropy")
    if name not in LOSSES:
        raise InputError(f"there is no loss {name!r}; {nearest(name, LOSSES)}")
    return name, LOSSES[name]


def labels_of(given: object, rows: int, device: torch.device, what: str) -> Tensor:
    """Labels as a tensor on the device. Raises InputError where there is not one for each row, or one is missing."""
    labels = torch.as_tensor(given).to(device)
    if labels.ndim == 0 or len(labels) != rows:
        raise InputError(f"{what}: {list(labels.shape)} labels for {rows} rows; give one for each")
    if labels.dtype == torch.bool:
        labels = labels.long()
    if labels.is_floating_point() and not bool(torch.isfinite(labels).all()):
        raise InputError(f"{what}: there are labels that are missing or infinite")
    return labels


def _checked(loss: Callable[[Tensor, Tensor], Tensor]) -> Callable[[Tensor, Tensor], Tensor]:
    def each(outputs: Tensor, labels: Tensor) -> Tensor:
        found = loss(outputs, labels)
        if not isinstance(found, Tensor) or found.shape != (len(outputs),):
            shape = list(found.shape) if isinstance(found, Tensor) else type(found).__name__
            raise InputError(f"the loss gives {shape} for {len(outputs)} rows; let it give one number for each row")
        return found

    return each


def _classes(outputs: Tensor, labels: Tensor) -> Tensor:
    """The labels, which must be outputs' numbers."""
    known = max(2, outputs.shape[1])
    if labels.is_floating_point() or labels.ndim != 1 or bool(((labels < 0) | (labels >= known)).any()):
        raise InputError(f"labels: classes are whole numbers from 0 to {known - 1}, one for each row")
    return labels.long()


def _cross_entropy(outputs: Tensor, labels: Tensor) -> Tensor:
    chosen = _classes(outputs, labels)
    if outputs.shape[1] == 1:
        return functional.binary_cross_entropy_with_logits(outputs[:, 0], chosen.to(outputs.dtype), reduction="none")
    return functional.cross_entropy(outputs, chosen, reduction="none")


def _error_rate(outputs: Tensor, labels: Tensor) -> Tensor:
    chosen = _classes(outputs, labels)
    answer = (outputs[:, 0] > 0).long() if outputs.shape[1] == 1 else outputs.argmax(dim=1)
    return (answer != chosen).to(outputs.dtype)


def _apart(outputs: Tensor, labels: Tensor) -> Tensor:
    wanted = labels.to(outputs.dtype).reshape(len(labels), -1)
    if wanted.shape != outputs.shape:
        raise InputError(f"labels: {list(labels.shape)} numbers cannot be held against outputs {list(outputs.shape)}")
    return outputs - wanted


def _squared_error(outputs: Tensor, labels: Tensor) -> Tensor:
    return _apart(outputs, labels).square().sum(dim=1)


def _absolute_error(outputs: Tensor, labels: Tensor) -> Tensor:
    return _apart(outputs, labels).abs().sum(dim=1)


LOSSES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "cross_entropy": _cross_entropy,
    "error_rate": _error_rate,
    "squared_error": _squared_error,
    "absolute_error": _absolute_error,
}
