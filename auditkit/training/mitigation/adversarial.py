"""Adversarial debiasing (Zhang, Lemoine and Mitchell 2018, arXiv:1801.07593).

A rival sees the logits, and for equalized odds the label too, and guesses the group. With g the gradient of the
classifier's own loss and h that of the rival's, both over all weights W of the classifier, W descends

    g - proj_h g - strength h,    proj_h g = h <g, h> / <h, h>

so that no step for the labels' sake helps the rival, and some of every step harms it; the rival descends its own loss.
Where it can do no better than chance, logits and groups are independent (given the label). Its loss counts all groups
(in every label) alike, so that chance is the logarithm of their number, and small groups are seen.

A saddle point is no minimum of the validation loss, which is lowest where the model has not yet unlearned anything; so
training runs through all its epochs, and the last weights are kept. The classifier's learning rate falls as the recipe
says; the rival's stays, so that it is the better of the two in the end.

fairlearn's AdversarialFairnessClassifier is the same idea, but its torch engine (0.15) takes the sum over all pairs of
rows of two weight matrices for their inner product, seeds torch with int(a number below 1), and takes one matrix of
floats as inputs; hence this learner, which goes with any network here.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from auditkit.errors import InputError
from auditkit.subject.data import Split
from auditkit.subject.preprocessing import AnyPreprocessing
from auditkit.training.batches import Encoded
from auditkit.training.learner import Learner
from auditkit.training.mitigation.groups import Groups, one_device
from auditkit.training.mitigation.options import Adversarial
from auditkit.training.mitigation.usual import Usual
from auditkit.training.recipe import Recipe


class Grouped(Encoded):
    """Batches `(inputs, labels, weights, groups)`."""

    def __init__(self, split: Split, preprocessing: AnyPreprocessing, groups: Groups) -> None:
        super().__init__(split, preprocessing)
        self.groups = torch.from_numpy(groups.codes)

    def __getitem__(self, rows: list[int]) -> Any:
        return *super().__getitem__(rows), self.groups[torch.as_tensor(rows)]


class Rival(nn.Module):
    """Guesses a row's group from its logits, their probabilities and, where it may see them, labels."""

    def __init__(self, groups: Groups, options: Adversarial) -> None:
        super().__init__()
        classes = len(groups.classes)
        self.told = options.constraint == "equalized_odds"
        self.guess = nn.Sequential(
            nn.Linear(classes * (3 if self.told else 2), options.hidden),
            nn.ReLU(),
            nn.Linear(options.hidden, len(groups.names)),
        )
        cells = torch.from_numpy(groups.cells).float()
        counted = cells if self.told else cells.sum(1, keepdim=True).expand_as(cells)
        self.weights: Tensor
        self.register_buffer("weights", counted.clamp_min(1).reciprocal())

    def forward(self, logits: Tensor, labels: Tensor, groups: Tensor) -> Tensor:
        """Its loss: the cross-entropy of its guesses in nats, every group (in every label) counting the same."""
        logits = logits.float()
        seen = [logits - logits.mean(1, keepdim=True), logits.softmax(1)]
        if self.told:
            seen.append(nn.functional.one_hot(labels, logits.shape[1]).float())
        losses = nn.functional.cross_entropy(self.guess(torch.cat(seen, 1)), groups, reduction="none")
        weights = self.weights[groups, labels]
        return (weights * losses).sum() / weights.sum()


class AdversarialLearner(Learner):
    """The usual learner with a rival. `course` holds the rival's mean loss of every epoch."""

    keeps_last = True

    def __init__(self, network: nn.Module, recipe: Recipe, steps: int, options: Adversarial, groups: Groups) -> None:
        super().__init__(network, recipe, steps)
        self.automatic_optimization = False
        self.options, self.rival = options, Rival(groups, options)
        self.course: list[float] = []
        self._losses: list[Tensor] = []

    def training_step(self, batch: Any, _: int) -> None:
        """One step of the classifier against the rival, and one of the rival."""
        _inputs, labels, _weights, groups = batch
        outputs: list[Tensor] = []
        listening = self.network.register_forward_hook(lambda _network, _inputs, output: outputs.append(output))
        loss: Any = super().training_step(batch[:3], _)
        listening.remove()
        logits = outputs[-1]
        rivalry = self.rival(logits, labels, groups)
        own = [parameter for parameter in self.network.parameters() if parameter.requires_grad]
        theirs = list(self.rival.parameters())
        towards = torch.autograd.grad(loss, own, retain_graph=True, materialize_grads=True)
        against = torch.autograd.grad(rivalry, [*own, *theirs], materialize_grads=True)
        for parameter, step in zip(own, debiased(towards, against[: len(own)], self.options.strength), strict=True):
            parameter.grad = step
        for parameter, step in zip(theirs, against[len(own) :], strict=True):
            parameter.grad = step
        steppers: Any = self.optimizers()
        classifier, rival = steppers
        classifier.step()
        rival.step()
        schedule: Any = self.lr_schedulers()
        schedule.step()
        self._losses.append(rivalry.detach())

    def validation_step(self, batch: Any, _: int, dataloader_idx: int = 0) -> None:
        """The usual figures; the rival has no say in them."""
        super().validation_step(batch[:3], _, dataloader_idx)

    def on_train_epoch_end(self) -> None:
        """Note how well the rival did."""
        self.course.append(float(torch.stack(self._losses).mean()))
        self._losses.clear()

    def configure_optimizers(self) -> Any:
        """The recipe's for the classifier; Adam at a constant rate for the rival."""
        usual = super().configure_optimizers()
        rival = torch.optim.Adam(self.rival.parameters(), lr=self.options.learning_rate)
        return [usual["optimizer"], rival], [usual["lr_scheduler"]["scheduler"]]

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """The rival's course goes with its weights."""
        checkpoint["rival_course"] = list(self.course)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Go on where the checkpoint was written."""
        self.course[:] = list(checkpoint["rival_course"])


def debiased(towards: tuple[Tensor, ...], against: tuple[Tensor, ...], strength: float) -> list[Tensor]:
    """g - proj_h g - strength h, with g and h given in parts.

    >>> [step.tolist() for step in debiased((torch.tensor([1.0, 2.0]),), (torch.tensor([0.0, 1.0]),), 0.5)]
    [[1.0, -0.5]]
    """
    size = torch.stack([h.double().square().sum() for h in against]).sum()
    along = torch.stack([(g.double() * h.double()).sum() for g, h in zip(towards, against, strict=True)]).sum()
    share = torch.where(size > 0, along / size.clamp_min(torch.finfo(torch.float64).tiny), 0.0) + strength
    return [g - share.to(g.dtype) * h for g, h in zip(towards, against, strict=True)]


class Debiased(Usual):
    """Training against a rival."""

    def __init__(self, options: Adversarial, groups: Groups, recipe: Recipe) -> None:
        if recipe.precision == "16-mixed":
            raise InputError(
                "recipe: mitigation: adversarial training scales no gradients; choose precision 32-true or bf16-mixed"
            )
        one_device(recipe)
        if options.constraint == "equalized_odds":
            groups.need_every_label("equalized odds cannot be learned")
        self.options, self.groups = options, groups
        self.course: list[float] = []

    def encode(self, split: Split, preprocessing: AnyPreprocessing) -> Encoded:
        """The training rows with their groups."""
        return Grouped(split, preprocessing, self.groups)

    def learner(self, network: nn.Module, recipe: Recipe, steps: int) -> Learner:
        """The classifier's learner and its rival."""
        learner = AdversarialLearner(network, recipe, steps, self.options, self.groups)
        self.course = learner.course
        return learner

    def record(self) -> dict[str, Any]:
        """The rival's loss of every epoch, and what it would be at chance, in nats."""
        return {
            **self.options.model_dump(mode="json"),
            "groups": list(self.groups.names),
            "adversary_loss": list(self.course),
            "adversary_loss_at_chance": math.log(len(self.groups.names)),
        }
