"""Learning to copy: an autoencoder's loss is the error of its copies of usual rows.

Optimiser and schedule are those of every other recipe. The curves show the mean error of a row; where other recipes
show accuracy they show the share of rows that are copied better than by an empty row (all zeros: in scaled numbers
and pixels the average one).
"""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor

from auditkit.errors import InputError
from auditkit.training.architectures.autoencoder import Autoencoder
from auditkit.training.learner import Learner
from auditkit.training.losses import l1_penalty


class ReconstructionLearner(Learner):
    """Trains an `Autoencoder`. Validation loaders: 0 the training rows, 1 the validation rows."""

    network: Autoencoder

    def on_train_start(self) -> None:
        """Tell the network which class is usual. Raises InputError where training rows are of more than one."""
        if self.recipe.loss is not None:
            raise InputError("recipe: an autoencoder measures rows by its loss too; name it as arguments.loss")
        data: Any = cast(Any, self.trainer.train_dataloader).dataset
        usual_class_of(data.labels, "train")
        self.network.learn_usual(tuple(part.to(self.device) for part in data.inputs), int(data.labels[0]))

    def training_step(self, batch: Any, _: int) -> Tensor:
        """The mean error of a batch's rows, and the L1 penalty where there is one."""
        loss = self.network.errors(*batch[0]).mean()
        return loss + self.recipe.l1 * l1_penalty(self.network) if self.recipe.l1 else loss

    def validation_step(self, batch: Any, _: int, dataloader_idx: int = 0) -> None:
        """Mean error and share of rows copied better than by zeros."""
        inputs, labels = batch[:2]
        split = ("train", "validation")[dataloader_idx]
        usual_class_of(labels, split)
        errors, empty = self.network.errors(*inputs), self.network.errors_of_nothing(*inputs)
        figures = {f"{split}_loss": errors.mean(), f"{split}_accuracy": (errors < empty).float().mean()}
        self.log_dict(figures, batch_size=len(labels), add_dataloader_idx=False)


def usual_class_of(labels: Tensor, split: str) -> int:
    """The one class that rows are of. Raises InputError where there are more.

    >>> usual_class_of(torch.tensor([1, 1]), "train")
    1
    """
    present = torch.unique(labels)
    if len(present) != 1:
        raise InputError(
            f"split {split!r} has rows of {len(present)} classes; this network learns one class alone, so leave the "
            "rows of the other class to test"
        )
    return int(present[0])
