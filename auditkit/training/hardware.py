"""What a recipe asks of the machine and of Lightning's steps."""

from __future__ import annotations

from typing import Any

import lightning
import torch

from auditkit.errors import InputError
from auditkit.training.recipe import Recipe


def hardware_for(recipe: Recipe, place: torch.device) -> dict[str, Any]:
    """Where Lightning trains, as arguments of its Trainer.

    Several devices share each batch (distributed data parallel). Raises InputError for devices and precision that this
    machine does not have.

    >>> hardware_for(Recipe(devices="auto"), torch.device("cpu"))
    {'accelerator': 'cpu', 'devices': 1}
    """
    if place.type != "cuda":
        if recipe.precision == "16-mixed":
            raise InputError("precision: 16-mixed needs a GPU; use bf16-mixed or 32-true")
        count = 1 if recipe.devices == "auto" else int(recipe.devices)
        return {"accelerator": place.type, "devices": count} | ({"strategy": "ddp"} if count > 1 else {})
    there = torch.cuda.device_count()
    count = there if recipe.devices == "auto" else int(recipe.devices)
    if count > there:
        raise InputError(f"devices: {count} GPUs are asked for and {there} there")
    if count == 1:
        return {"accelerator": "gpu", "devices": [place.index or 0]}
    return {"accelerator": "gpu", "devices": count, "strategy": "ddp"}


def steps_by_lightning(learner: lightning.LightningModule, recipe: Recipe) -> dict[str, Any]:
    """What Lightning does at a step, as arguments of its Trainer.

    Raises InputError for a learner that steps its optimisers itself, where Lightning cannot do it.
    """
    asked = {"gradient_clip_val": recipe.gradient_clip, "accumulate_grad_batches": recipe.accumulate}
    if learner.automatic_optimization:
        return asked
    if recipe.gradient_clip is not None or recipe.accumulate > 1:
        raise InputError("recipe: this network steps its optimisers itself and takes no gradient_clip or accumulate")
    return {}
