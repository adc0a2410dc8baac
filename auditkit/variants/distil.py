"""Distillation: a smaller network learns from a model's answers, not from the labels alone.

With the teacher's logits t, the student's s, a temperature T and labels y, the student's loss is

    (1 - mixing) · cross-entropy(s, y) + mixing · T² · KL(softmax(t / T) ‖ softmax(s / T))

T² keeps the two gradients on one scale (Hinton, Vinyals and Dean 2015, arXiv:1503.02531, section 2). Of a teacher that
predicts numbers the student learns (1 - mixing) · loss(s, y) + mixing · loss(s, t), with the recipe's loss for numbers
and all in the standardised unit that numbers are learned in; there is no temperature. The student is a
network of the teacher's class with other arguments (widths halved unless given), takes the teacher's preprocessing,
and is trained as `auditkit train` trains: on the training rows, stopped by the loss on the labels of the validation
rows, the test rows never seen.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from auditkit.engine.progress import Progress
from auditkit.errors import InputError
from auditkit.spec import parse
from auditkit.subject.bundle import import_architecture
from auditkit.subject.data import Split
from auditkit.subject.model import Model
from auditkit.training.batches import Encoded
from auditkit.training.losses import weighted_mean
from auditkit.training.recipe import Recipe
from auditkit.training.regression import NumberLearner
from auditkit.training.train import Learner, train

WIDTHS = ("hidden", "widths", "width", "embedding")
"""Arguments of architectures that say how wide they are."""
NOT_INHERITED = ("name", "subject", "data", "columns", "preprocessing", "architecture", "arguments", "mitigation")
"""What of the teacher's recipe is no part of how its student is optimised."""


class StudentLearner(Learner):
    """Learns labels and a teacher's softened answers."""

    def __init__(
        self, network: nn.Module, recipe: Recipe, steps: int, teacher: Model, temperature: float, mixing: float
    ) -> None:
        super().__init__(network, recipe, steps)
        self.temperature, self.mixing = temperature, mixing
        self._teacher = [teacher]  # in a list, so that its weights are not the student's

    def training_step(self, batch: Any, _: int) -> Tensor:
        """The mixed loss of a batch, averaged with the rows' weights."""
        inputs, labels, weights = batch
        logits = self.network(*inputs)
        teacher = self._teacher[0]
        with torch.no_grad():
            taught = teacher.logits(tuple(part.to(teacher.device) for part in inputs)).to(logits.device)
        told = distillation_losses(logits, taught, self.temperature)
        losses = (1 - self.mixing) * self.loss(logits, labels) + self.mixing * told
        return (weights * losses).sum() / weights.sum().clamp_min(1e-12)


class NumberStudent(NumberLearner):
    """Learns numbers and a teacher's predictions of them."""

    def __init__(
        self,
        network: nn.Module,
        recipe: Recipe,
        steps: int,
        rows: tuple[Encoded, Encoded],
        teacher: Model,
        mixing: float,
    ) -> None:
        super().__init__(network, recipe, steps, *rows)
        self.mixing = mixing
        self._teacher = [teacher]  # in a list, so that its weights are not the student's

    def training_step(self, batch: Any, _: int) -> Tensor:
        """The mixed loss of a batch, averaged with the rows' weights."""
        inputs, numbers, weights = batch
        predicted, teacher = self._one(self.network(*inputs)), self._teacher[0]
        with torch.no_grad():
            taught = teacher.logits(tuple(part.to(teacher.device) for part in inputs))[:, 0].to(predicted.device)
        truth, told = (self._standard(part).to(predicted.dtype) for part in (numbers, taught))
        return weighted_mean(
            (1 - self.mixing) * self.loss(predicted, truth) + self.mixing * self.loss(predicted, told), weights
        )


def distillation_losses(student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    """T² times the divergence of a student's softened answers from the teacher's, row by row: [n, classes] to [n].

    >>> logits = torch.tensor([[1.0, 3.0]])
    >>> distillation_losses(logits, logits + 5, 2.0).item()  # a constant changes no probability
    0.0
    """
    towards = nn.functional.log_softmax(teacher / temperature, dim=1)
    now = nn.functional.log_softmax(student / temperature, dim=1)
    return temperature**2 * nn.functional.kl_div(now, towards, reduction="none", log_target=True).sum(dim=1)


def smaller(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments of a network of half the width. Raises InputError where none of them says how wide it is.

    >>> smaller({"hidden": [128, 64], "dropout": 0.1})
    {'hidden': [64, 32]}
    """
    halved: dict[str, Any] = {}
    for name in WIDTHS:
        value = arguments.get(name)
        if isinstance(value, (list, tuple)):
            halved[name] = [max(1, int(width) // 2) for width in value]
        elif isinstance(value, int):
            halved[name] = max(1, value // 2)
    if not halved:
        raise InputError(
            "which smaller network should be taught? Name the student's arguments, such as arguments={'hidden': [32]}"
        )
    return halved


def distil(
    model: Model,
    splits: Mapping[str, Split],
    *,
    arguments: Mapping[str, Any] | None = None,
    temperature: float = 2.0,
    mixing: float = 0.5,
    recipe: Mapping[str, Any] | None = None,
    progress: Progress | None = None,
) -> Model:
    """A student of `model`, trained on `splits["train"]` and stopped by `splits["validation"]`.

    arguments: the student's, beyond those that data give. temperature: above 0. mixing: the share of the teacher in
    the loss, 0 to 1. recipe: settings of a recipe that take the place of the teacher's own (epochs, learning_rate).
    Raises InputError for a teacher whose class is not known, and for rows that cannot be learned from.
    """
    if temperature <= 0 or not 0 <= mixing <= 1:
        raise InputError(
            f"distillation needs a temperature above 0 and a mixing from 0 to 1, got {temperature:g} and {mixing:g}"
        )
    path, known = _architecture(model)
    schema = model.schema
    if schema is None or schema.label is None:
        raise InputError(f"{model.origin}: the label column is not known, without which no student can be trained")
    given = {*model.preprocessing.arguments(), "classes"}
    chosen = {key: part for key, part in known.items() if key not in given}
    chosen |= smaller(_defaults(path) | known) if arguments is None else dict(arguments)
    recorded = model.record.get("recipe") or {}
    settings = {key: part for key, part in recorded.items() if key in Recipe.model_fields and key not in NOT_INHERITED}
    settings["name"] = f"a student of {recorded.get('name', 'the model')}"
    settings |= {**dict(recipe or {}), "architecture": path, "arguments": chosen}
    asked: Recipe = parse(settings, Recipe, "distillation")

    def learner_of(network: nn.Module, recipe: Recipe, steps: int, *rows: Encoded) -> Learner:
        if hasattr(network, "learner"):
            raise InputError(f"{model.origin}: a network with a way of learning of its own cannot be distilled")
        if rows:
            return NumberStudent(network, recipe, steps, (rows[0], rows[1]), model, mixing)
        return StudentLearner(network, recipe, steps, model, temperature, mixing)

    with model.evaluating():
        student = train(
            asked, splits, schema, device=str(model.device), progress=progress, preprocessing=model.preprocessing,
            learner_of=learner_of,
        )  # fmt: skip
    student.schema = schema
    return student


def _architecture(model: Model) -> tuple[str, dict[str, Any]]:
    """The teacher's class and its arguments; those of the network inside for an int8 or bfloat16 one."""
    known = model.architecture
    if not known:
        raise InputError(
            f"{model.origin}: a student is a smaller network of the teacher's class; set model.architecture to "
            "{'path': 'package.module:Class', 'arguments': {...}}"
        )
    arguments = dict(known.get("arguments") or {})
    return (
        (str(arguments["of"]), dict(arguments["arguments"])) if "of" in arguments else (str(known["path"]), arguments)
    )


def _defaults(path: str) -> dict[str, Any]:
    """The defaults of an architecture's arguments."""
    found = inspect.signature(import_architecture(path)).parameters.values()
    return {item.name: item.default for item in found if item.default is not inspect.Parameter.empty}
