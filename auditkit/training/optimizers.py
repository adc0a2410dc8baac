"""Optimisers by name, and the learning rate that goes with them.

sgd     θ ← θ - η v, v ← μ v + g, with Nesterov's look-ahead where asked (Sutskever et al. 2013)
adam    Kingma and Ba 2015, arXiv:1412.6980; weight decay is L2: added to the gradient
adamw   Loshchilov and Hutter 2019, arXiv:1711.05101; weight decay is taken off the weights themselves

For sgd, weight decay is L2 as well. Biases and the parameters of normalisation are never decayed.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from torch import nn, optim

from auditkit.training.recipe import Recipe
from auditkit.training.schedules import Rate

MOMENTUM = 0.9
"""SGD's where a recipe names none."""


def make_optimizer(parameters: nn.Module | Iterable[nn.Parameter], recipe: Recipe) -> optim.Optimizer:
    """The recipe's optimiser over the trainable parameters of a network, or over those given.

    >>> make_optimizer(nn.Linear(2, 1), Recipe(optimizer="sgd")).defaults["momentum"]
    0.9
    """
    chosen = parameters.parameters() if isinstance(parameters, nn.Module) else parameters
    trainable = [parameter for parameter in chosen if parameter.requires_grad]
    groups: list[dict[str, Any]] = [
        {"params": [parameter for parameter in trainable if parameter.ndim > 1]},
        {"params": [parameter for parameter in trainable if parameter.ndim <= 1], "weight_decay": 0.0},
    ]
    settings: dict[str, Any] = {"lr": recipe.learning_rate, "weight_decay": recipe.weight_decay}
    if recipe.optimizer == "sgd":
        momentum = MOMENTUM if recipe.momentum is None else recipe.momentum
        return optim.SGD(groups, momentum=momentum, nesterov=recipe.nesterov, **settings)
    return (optim.Adam if recipe.optimizer == "adam" else optim.AdamW)(groups, **settings)


def optimization(network: nn.Module, recipe: Recipe, steps: int) -> dict[str, Any]:
    """What `configure_optimizers` of a Lightning module returns: the optimiser, and its rate step by step.

    steps: optimiser steps in an epoch.
    """
    optimizer = make_optimizer(network, recipe)
    schedule = optim.lr_scheduler.LambdaLR(optimizer, Rate.of(recipe, steps))
    return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}
