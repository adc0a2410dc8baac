"""How a network learns several labels: each a yes or no of its own, all at once.

The loss of a row is the mean over its labels of the binary cross-entropy of their logits, a proper score of every
label's probability. After every epoch the accuracy beside it is the share of single answers that are right, yes from a
logit of 0 on; 1 minus it is the Hamming loss.
"""

from __future__ import annotations

import copy
from functools import cached_property

import torch
from torch import Tensor, nn

from auditkit.errors import InputError
from auditkit.subject.data import Split
from auditkit.training.batches import Batch, Encoded
from auditkit.training.learner import Learner
from auditkit.training.losses import Loss, elementwise
from auditkit.training.recipe import Recipe

OF_CLASSES = ("focal_gamma", "label_smoothing", "class_weights", "mitigation")


class LabelLearner(Learner):
    """Trains a network of several labels; labels of a batch are 0 and 1, float [n, L]."""

    @cached_property
    def loss(self) -> Loss:
        """The loss of each row: `(logits, marks)` [n, L] to [n]."""
        single = elementwise("bce")
        return lambda logits, marks: single(logits, marks.to(logits.dtype)).mean(dim=1)

    @cached_property
    def bare_loss(self) -> Loss:
        """The same: nothing is smoothed."""
        return self.loss

    def validation_step(self, batch: Batch, _: int, dataloader_idx: int = 0) -> None:
        """Loss, and the share of single answers that are right; every row counts the same."""
        inputs, marks, _weights = batch
        logits = self.network(*inputs).float()
        split = ("train", "validation")[dataloader_idx]
        figures = {
            f"{split}_loss": self.bare_loss(logits, marks).mean(),
            f"{split}_accuracy": ((logits >= 0) == (marks > 0.5)).float().mean(),
        }
        self.log_dict(figures, batch_size=len(marks), add_dataloader_idx=False)


def check_recipe(recipe: Recipe) -> None:
    """Raises InputError for settings that are for classes of which one is right."""
    if (recipe.loss or "bce") != "bce":
        raise InputError(f"loss {recipe.loss!r} is not for several labels; they are learned with bce")
    for name in OF_CLASSES:
        if getattr(recipe, name):
            raise InputError(f"{name} is for classes, and here several labels are learned; leave it out")
    if recipe.search is not None and recipe.objective != "validation_loss":
        raise InputError(f"objective {recipe.objective!r} is for classes; search several labels by validation_loss")


def label_learner(recipe: Recipe, network: nn.Module, steps: int, fitting: Split, held: Encoded) -> LabelLearner:
    """What trains the network.

    Raises InputError for networks that learn in a way of their own or give another number of outputs, and for labels
    that are the same in every training row.
    """
    if hasattr(network, "learner") or getattr(network, "one_class", False):
        raise InputError(
            f"{type(network).__name__} learns in a way of its own, which is not for several labels; name another"
        )
    marks, names = fitting.marks, fitting.schema.labels
    assert marks is not None
    if still := [name for place, name in enumerate(names) if (marks[:, place] == marks[0, place]).all()]:
        raise InputError(
            f"split {fitting.name!r} ({fitting.origin or 'in memory'}): {', '.join(map(repr, still[:5]))} is the same "
            "in every training row, so there is nothing to learn; leave it out or give rows with and without it"
        )
    inputs = tuple(part[:8] for part in held.inputs)
    with torch.no_grad():
        found = copy.deepcopy(network).cpu().eval()(*inputs)
    if not isinstance(found, Tensor) or found.shape != (len(inputs[0]), len(names)):
        raise InputError(f"several labels: the network must give {len(names)} logits for each row, [n, {len(names)}]")
    return LabelLearner(network, recipe, steps)
