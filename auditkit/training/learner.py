"""How a classifier learns: the recipe's loss, averaged with the rows' weights, and its optimiser.

After every epoch both splits are measured with the same loss, bare: in eval mode (dropout off), every row counting the
same, without smoothing and penalties, so that the two curves can be compared with each other and between recipes.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any

import lightning
from torch import Tensor, nn

from auditkit.training.batches import Batch
from auditkit.training.losses import Loss, classification, l1_penalty, weighted_mean
from auditkit.training.optimizers import optimization
from auditkit.training.recipe import Recipe
from auditkit.training.transfer import freeze_statistics


class Learner(lightning.LightningModule):
    """Trains a classifier. Validation loaders: 0 the training rows, 1 the validation rows.

    steps: optimiser steps in an epoch. `resumable` says that a training can go on from a checkpoint, which holds
    weights, buffers, optimisers, rates, and random generators that are attributes of the learner or its network;
    what else a learner of one's own changes as it learns, it adds in `on_save_checkpoint` and takes back in
    `on_load_checkpoint` (tensors and plain values only), or it sets `resumable` to False.
    """

    resumable = True

    def __init__(self, network: nn.Module, recipe: Recipe, steps: int) -> None:
        super().__init__()
        self.network, self.recipe, self.steps = network, recipe, steps

    @cached_property
    def loss(self) -> Loss:
        """The loss of each row: `(logits, labels)` to [n]. Raises InputError for one that is not of classifiers."""
        recipe = self.recipe
        return classification(recipe.loss or "cross_entropy", recipe.label_smoothing, recipe.focal_gamma)

    @cached_property
    def bare_loss(self) -> Loss:
        """The loss of each row without smoothing."""
        return classification(self.recipe.loss or "cross_entropy", gamma=self.recipe.focal_gamma)

    def on_train_epoch_start(self) -> None:
        """Frozen layers stay in eval mode: they learn no running statistics either."""
        freeze_statistics(self.network)

    def training_step(self, batch: Batch, _: int) -> Tensor | None:
        """The loss of a batch, averaged with the rows' weights, and the L1 penalty where there is one."""
        inputs, labels, weights = batch
        loss = weighted_mean(self.loss(self.network(*inputs), labels), weights)
        return loss + self.recipe.l1 * l1_penalty(self.network) if self.recipe.l1 else loss

    def validation_step(self, batch: Batch, _: int, dataloader_idx: int = 0) -> None:
        """Loss and accuracy, averaged over the rows of a split; every row counts the same."""
        inputs, labels, _weights = batch
        logits = self.network(*inputs).float()
        split = ("train", "validation")[dataloader_idx]
        figures = {
            f"{split}_loss": self.bare_loss(logits, labels).mean(),
            f"{split}_accuracy": (logits.argmax(1) == labels).float().mean(),
        }
        self.log_dict(figures, batch_size=len(labels), add_dataloader_idx=False)

    def configure_optimizers(self) -> Any:
        """The recipe's optimiser and schedule."""
        return optimization(self.network, self.recipe, self.steps)
