"""How a network learns numbers: standardised while it learns, in the label's own unit once it has.

The network is fitted to z = (y - m) / s, with m and s the mean and standard deviation of the training rows, so that a
learning rate means the same whether the label is in euros or in thousands. Afterwards its last linear layer takes m and
s in, w ← s·w and b ← s·b + m, and the network as it stands gives the label's own unit: nothing has to travel with it.

The loss (mse when left out, mae or huber) is that of z, on both splits. R² after every epoch is 1 - Σ (p - y)² / Σ (y -
ȳ)² with the split's own mean ȳ.
"""

from __future__ import annotations

import copy
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from auditkit.errors import InputError
from auditkit.training.batches import Batch, Encoded
from auditkit.training.learner import Learner
from auditkit.training.losses import Loss, elementwise, l1_penalty, weighted_mean
from auditkit.training.recipe import Recipe

OF_CLASSES = ("focal_gamma", "label_smoothing", "class_weights", "mitigation")


class NumberLearner(Learner):
    """Trains a regression. centre, scale: of the training rows. spread: the variance of z on each split."""

    figures = ("train_loss", "train_r2", "validation_loss", "validation_r2")

    def __init__(self, network: nn.Module, recipe: Recipe, steps: int, data: Encoded, held: Encoded) -> None:
        super().__init__(network, recipe, steps)
        self.centre, self.scale = float(data.labels.mean()), float(data.labels.std(correction=0))
        self.spread = [float(self._standard(part.labels).var(correction=0)) for part in (data, held)]

    @cached_property
    def loss(self) -> Loss:
        """The loss of each row: `(predicted, z)` to [n]."""
        return elementwise(self.recipe.loss or "mse", self.recipe.huber_delta)

    def training_step(self, batch: Batch, _: int) -> Tensor | None:
        """The loss of a batch, averaged with the rows' weights, and the L1 penalty where there is one."""
        inputs, numbers, weights = batch
        predicted = self._one(self.network(*inputs))
        loss = weighted_mean(self.loss(predicted, self._standard(numbers).to(predicted.dtype)), weights)
        return loss + self.recipe.l1 * l1_penalty(self.network) if self.recipe.l1 else loss

    def validation_step(self, batch: Batch, _: int, dataloader_idx: int = 0) -> None:
        """Loss and R² of a split; averages over batches are those over its rows."""
        inputs, numbers, _weights = batch
        predicted = self._one(self.network(*inputs)).double()
        truth, split = self._standard(numbers), ("train", "validation")[dataloader_idx]
        figures = {
            f"{split}_loss": self.loss(predicted, truth).mean(),
            f"{split}_r2": 1 - (predicted - truth).square().mean() / self.spread[dataloader_idx],
        }
        self.log_dict(
            {name: value.float() for name, value in figures.items()}, batch_size=len(numbers), add_dataloader_idx=False
        )

    def _standard(self, numbers: Tensor) -> Tensor:
        return (numbers - self.centre) / self.scale

    def _one(self, output: Tensor) -> Tensor:
        return output.float().reshape(len(output))


def check_recipe(recipe: Recipe) -> None:
    """Raises InputError for settings that are for classes."""
    if (recipe.loss or "mse") not in ("mse", "mae", "huber"):
        raise InputError(f"loss {recipe.loss!r} is for classes; numbers are learned with mse, mae or huber")
    for name in OF_CLASSES:
        if getattr(recipe, name):
            raise InputError(f"{name} is for classes, and here numbers are learned; leave it out")
    if recipe.search is not None and recipe.objective != "validation_loss":
        raise InputError(f"objective {recipe.objective!r} is for classes; search numbers by validation_loss")


def check_network(network: nn.Module, inputs: tuple[Tensor, ...], data: Encoded) -> None:
    """Refuse what numbers cannot be learned with. inputs: a few encoded rows.

    Raises InputError for networks that learn in a way of their own, give several numbers or do not end in a linear
    layer, and for a label that is the same in every row.
    """
    if hasattr(network, "learner") or getattr(network, "one_class", False):
        raise InputError(f"{type(network).__name__} learns in a way of its own, which is not for numbers; name another")
    if not float(data.labels.std(correction=0)) > 0:
        raise InputError(f"the label is {float(data.labels[0]):g} in every training row, so there is nothing to learn")
    probe = copy.deepcopy(network).cpu().eval()
    with torch.no_grad():
        before = probe(*inputs)
        if not isinstance(before, Tensor) or before.shape not in ((len(inputs[0]),), (len(inputs[0]), 1)):
            raise InputError("numbers: the network must give one number for each row, [n] or [n, 1]")
        if last_linear(probe) is not None:
            rescale(probe, 2.0, 3.0)
        if not torch.allclose(probe(*inputs), 2.0 * before + 3.0, rtol=1e-3, atol=1e-3):
            raise InputError(
                "numbers: the network must end in a linear layer (with a bias), whose output is the number; the unit "
                "of the label is put there"
            )


def last_linear(network: nn.Module) -> nn.Linear | None:
    """The linear layer that is registered last, where it has a bias."""
    found = [module for module in network.modules() if isinstance(module, nn.Linear)]
    return found[-1] if found and found[-1].bias is not None else None


def rescale(network: nn.Module, scale: float, centre: float) -> None:
    """Make the network's output z into scale·z + centre, in its last linear layer.

    >>> network = nn.Linear(1, 1); _ = nn.init.ones_(network.weight); _ = nn.init.zeros_(network.bias)
    >>> rescale(network, 2.0, 10.0); network(torch.tensor([[3.0]])).item()
    16.0
    """
    layer = last_linear(network)
    assert layer is not None
    with torch.no_grad():
        layer.weight.copy_((layer.weight.double() * scale).to(layer.weight.dtype))
        layer.bias.copy_((layer.bias.double() * scale + centre).to(layer.bias.dtype))


def number_learner(
    recipe: Recipe, network: nn.Module, steps: int, data: Encoded, held: Encoded, started: bool
) -> NumberLearner:
    """What trains the network. started: whether its last layer came from another model, and gives the label's unit."""
    check_network(network, tuple(part[:8] for part in held.inputs), data)
    learner = NumberLearner(network, recipe, steps, data, held)
    if started:
        rescale(network, 1 / learner.scale, -learner.centre / learner.scale)
    return learner


def in_its_unit(learner: Any, network: nn.Module) -> None:
    """Let a trained network give the label's own unit, where it learned numbers."""
    if isinstance(learner, NumberLearner):
        rescale(network, learner.scale, learner.centre)
