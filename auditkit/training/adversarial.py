"""Adversarial training: discriminator and generator take turns, one step each per batch.

The discriminator minimises cross-entropy between real rows and generated ones, the generator that of being taken for
real (the non-saturating loss), each with its own Adam (betas 0.5 and 0.999) at the recipe's learning rate.

Neither loss says whether the pictures have become better. The curves therefore show the energy distance between
generated and real rows, 2 E|g - r| - E|g - g'| - E|r - r'|, which is zero for equal distributions alone (Székely and
Rizzo 2013, Journal of Statistical Planning and Inference 143(8), 1249-1272); the epoch with the smallest one on
validation rows is kept. Accuracy is that of the discriminator on real and as many generated rows: 50 % when it is
wholly deceived.
"""

from __future__ import annotations

from typing import Any, cast

import lightning
import torch
from torch import Tensor
from torch.nn import functional

from auditkit.training.architectures.gan import GAN
from auditkit.training.recipe import Recipe
from auditkit.training.reconstruction import usual_class_of

JUDGED = 1024
"""rows of each side that the energy distance is measured on"""


class AdversarialLearner(lightning.LightningModule):
    """Trains a `GAN`. Validation loaders: 0 the training rows, 1 the validation rows."""

    def __init__(self, network: GAN, recipe: Recipe, steps: int) -> None:
        super().__init__()
        self.network, self.recipe, self.steps = network, recipe, steps
        self.automatic_optimization = False

    def on_train_start(self) -> None:
        """Tell the network which class is real. Raises InputError where training rows are of more than one."""
        data: Any = cast(Any, self.trainer.train_dataloader).dataset
        self.network.learn_real(data.inputs[0].to(self.device), usual_class_of(data.labels, "train"))

    def training_step(self, batch: Any, _: int) -> None:
        """One step of the discriminator, then one of the generator."""
        (images,) = batch[0]
        network = self.network
        judge, maker = cast(Any, self.optimizers())
        made = network.made_of(network.draw(len(images)))
        real, fake = network.discriminator(images), network.discriminator(made.detach())
        smooth = torch.full_like(real, 1 - network.smoothing)
        loss = _entropy(real, smooth) + _entropy(fake, torch.zeros_like(fake))
        judge.zero_grad()
        self.manual_backward(loss)
        judge.step()
        fooled = network.discriminator(network.made_of(network.draw(len(images))))
        maker.zero_grad()
        self.manual_backward(_entropy(fooled, torch.ones_like(fooled)))
        maker.step()

    def validation_step(self, batch: Any, _: int, dataloader_idx: int = 0) -> None:
        """Energy distance of generated and real rows, and the discriminator's accuracy."""
        (images,), labels = batch[:2]
        split = ("train", "validation")[dataloader_idx]
        usual_class_of(labels, split)
        made = self.network.generate(len(images), seed=self.recipe.seed)
        right = [self.network.discriminator(images) > 0, self.network.discriminator(made) <= 0]
        figures = {
            f"{split}_loss": energy_distance(made[:JUDGED].flatten(1), images[:JUDGED].flatten(1)),
            f"{split}_accuracy": torch.cat(right).float().mean(),
        }
        self.log_dict(figures, batch_size=len(labels), add_dataloader_idx=False)

    def configure_optimizers(self) -> Any:
        """An Adam for each side."""
        network = self.network
        settings: Any = {"lr": self.recipe.learning_rate, "betas": (network.beta, 0.999)}
        sides = (network.discriminator, network.generator)
        return [torch.optim.Adam(side.parameters(), **settings) for side in sides]


def energy_distance(ours: Tensor, theirs: Tensor) -> Tensor:
    """The energy distance of two samples [n, d] and [m, d], without bias, per square root of d.

    >>> some = torch.arange(8.0)[:, None]
    >>> bool(energy_distance(some, some + 20) > energy_distance(some, some + 1))
    True
    """

    def within(rows: Tensor) -> Tensor:
        return torch.cdist(rows, rows).sum() / max(1, len(rows) * (len(rows) - 1))

    distance = 2 * torch.cdist(ours, theirs).mean() - within(ours) - within(theirs)
    return distance / ours.shape[1] ** 0.5


def _entropy(logits: Tensor, target: Tensor) -> Tensor:
    return functional.binary_cross_entropy_with_logits(logits, target)
