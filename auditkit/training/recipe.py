"""Recipe: everything a training depends on, as a YAML file that people can read and change.

A recipe names a built-in subject, or the files to train on and what their columns mean; the network and its
arguments (those that follow from the data, such as the number of classes, are filled in); and how to optimise it.
The recipes of the built-in subjects lie beside this file in `recipes/`.
"""

from __future__ import annotations

import math
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from auditkit.errors import InputError, nearest
from auditkit.spec import DataSpec, SchemaSpec, Strict, parse, read_yaml


class Tried(Strict):
    """What a search may try of a setting: numbers from `low` to `high`, or `choices`.

    Both ends are included, and numbers are whole where both ends are written whole. log: even in orders of magnitude.
    """

    low: int | float | None = None
    high: int | float | None = None
    log: bool = False
    choices: list[Any] | None = None

    @model_validator(mode="after")
    def _one_of_both(self) -> Tried:
        ends = [end for end in (self.low, self.high) if end is not None]
        if len(ends) != (0 if self.choices else 2):
            raise ValueError("give low and high, or a list of choices")
        if self.choices and self.log:
            raise ValueError("log is for low and high, not for choices")
        if ends and not ends[0] < ends[1]:
            raise ValueError(f"low must be below high, not {ends[0]:g} and {ends[1]:g}")
        if self.log and ends[0] <= 0:
            raise ValueError("low must be above 0 where log is true")
        return self


class Pretrained(Strict):
    """The model that a training begins from; see `transfer.py`."""

    source: str = Field(min_length=1, description="a bundle, or a Hugging Face folder with an encoder of text")
    freeze: Literal["none", "body"] | list[str] = Field(
        "none", description="none, body (all but the head), or the layers whose names begin so"
    )


class Recipe(Strict):
    """How to train one model.

    As it stands: cross-entropy, AdamW, and a cosine schedule from `learning_rate` to zero over `epochs` after `warmup`
    epochs. Training stops once the validation loss has not improved for `patience` epochs, and the best epoch's weights
    are kept. `architecture` is `package.module:Class`, the MLP for tables and the CNN for images when left out;
    `arguments` are its arguments beyond those that the data give. What each loss, optimiser and schedule is stands in
    `losses.py`, `optimizers.py` and `schedules.py`.

    `search` maps settings (`learning_rate`, `arguments.dropout`) to what may be tried of them; see `search.py`.
    """

    name: str = Field("model", min_length=1)
    subject: str | None = Field(None, description="a built-in subject (adult, digits, ...), not data and columns")
    data: DataSpec = DataSpec()
    columns: SchemaSpec = SchemaSpec()
    preprocessing: dict[str, Any] = Field(
        default_factory=dict, description="how rows become inputs: kind (table, image, text, series) and its settings"
    )
    architecture: str | None = None
    arguments: dict[str, Any] = Field(default_factory=dict)
    pretrained: Pretrained | None = Field(None, description="the model whose weights this one begins from")
    epochs: int = Field(50, ge=1)
    batch_size: int = Field(256, ge=2, description="rows of a batch, over all devices")
    accumulate: int = Field(1, ge=1, description="batches whose gradients are added up before a step")
    loss: Literal["cross_entropy", "focal", "bce", "mse", "mae", "huber"] | None = Field(
        None,
        description="the network's own when left out: cross_entropy for classifiers, mse for numbers, bce for several "
        "labels",
    )
    focal_gamma: float | None = Field(None, ge=0, description="how little easy rows count; 2 when left out")
    huber_delta: float | None = Field(None, gt=0, description="where huber turns absolute; 1 when left out")
    label_smoothing: float = Field(0.0, ge=0, lt=1)
    class_weights: dict[str, float] | str | None = Field(
        None, description="how much a row counts by its class: balanced, or a mapping; 1 for classes not named"
    )
    optimizer: Literal["sgd", "adam", "adamw"] = "adamw"
    momentum: float | None = Field(None, ge=0, lt=1, description="of sgd; 0.9 when left out")
    nesterov: bool = Field(False, description="sgd looks ahead along its momentum")
    learning_rate: float = Field(1e-3, gt=0)
    schedule: Literal["cosine", "linear", "step", "constant", "plateau"] = "cosine"
    step_epochs: int | None = Field(None, ge=1, description="epochs between falls (step) or without gain (plateau)")
    decay_factor: float | None = Field(None, gt=0, lt=1, description="what a fall multiplies by; 0.1 when left out")
    warmup: float = Field(1.0, ge=0, description="epochs over which the learning rate rises from zero")
    weight_decay: float = Field(1e-2, ge=0, description="L2; with adamw taken off the weights themselves")
    l1: float = Field(0.0, ge=0, description="times the sum of absolute weights, added to the loss")
    gradient_clip: float | None = Field(None, gt=0, description="longest gradient (L2 norm over all weights)")
    patience: int = Field(8, ge=1)
    precision: Literal["32-true", "bf16-mixed", "16-mixed"] = "32-true"
    devices: int | str = Field(
        1, description="GPUs that share each batch, auto for all; on a CPU auto is one, a number that many processes"
    )
    threads: int | None = Field(None, ge=1, description="CPU threads; all when left out. One is fastest for small nets")
    seed: int = Field(0, ge=0)
    mitigation: dict[str, Any] | None = Field(None, description="a method against unfairness, and its settings")
    search: dict[str, Tried] | None = Field(None, min_length=1)
    trials: int = Field(20, ge=1, description="how many settings a search tries")
    objective: Literal["validation_loss", "balanced_accuracy"] = Field(
        "validation_loss", description="what a search makes best, on the validation rows"
    )

    @field_validator("class_weights", mode="before")
    @classmethod
    def _balanced_or_mapping(cls, given: Any) -> Any:
        if given is None or given == "balanced":
            return given
        numbers = given.values() if isinstance(given, dict) else [None]
        if not all(isinstance(number, int | float) and 0 <= number < math.inf for number in numbers):
            raise ValueError("write balanced, or map classes to weights that are not negative, such as {yes: 2, no: 1}")
        return {str(name): float(weight) for name, weight in given.items()}

    @field_validator("devices", mode="before")
    @classmethod
    def _a_number_or_auto(cls, given: Any) -> Any:
        if given != "auto" and not (type(given) is int and given >= 1):
            raise ValueError(f"write how many devices, or auto for all of them, not {given!r}")
        return given

    @model_validator(mode="after")
    def _no_setting_without_effect(self) -> Recipe:
        tried = self.search or {}
        for name, (of, uses) in SETTING_OF.items():
            given = getattr(self, name) not in (None, False) or name in tried
            if given and getattr(self, of) not in uses and of not in tried:
                raise ValueError(f"{name} is a setting of {of}: {' or '.join(uses)}, here it would change nothing")
        if self.nesterov and self.momentum == 0:
            raise ValueError("nesterov looks ahead along the momentum, so momentum must be above 0")
        kinds = {"loss", "focal_gamma"} & set(tried)
        if kinds and self.objective == "validation_loss":
            raise ValueError(
                f"search: values of different losses cannot be compared ({', '.join(sorted(kinds))}); set objective: "
                "balanced_accuracy"
            )
        for name in tried:
            whole, dot, argument = name.partition(".")
            if whole == "arguments" and not argument:
                raise ValueError("search: name one of the network's arguments, as arguments.<name>")
            if whole not in SEARCHED or (dot and whole != "arguments"):
                raise ValueError(f"search: {name!r} is no setting to try; {nearest(name, SEARCHED)}")
        return self


SETTING_OF = {
    "focal_gamma": ("loss", ("focal",)),
    "huber_delta": ("loss", ("huber",)),
    "momentum": ("optimizer", ("sgd",)),
    "nesterov": ("optimizer", ("sgd",)),
    "step_epochs": ("schedule", ("step", "plateau")),
    "decay_factor": ("schedule", ("step", "plateau")),
}
"""Settings that only some losses, optimisers and schedules have."""

SEARCHED = (
    *("epochs", "batch_size", "accumulate", "loss", "focal_gamma", "huber_delta", "label_smoothing", "class_weights"),
    *("optimizer", "momentum", "nesterov", "learning_rate", "schedule", "step_epochs", "decay_factor", "warmup"),
    *("weight_decay", "l1", "gradient_clip", "patience", "precision", "architecture", "arguments"),
)
"""What a search may try. Data, seed, devices and mitigation are the question, not the answer."""


def load_recipe(target: str | Path) -> Recipe:
    """The recipe of a built-in subject by name, or one from a YAML file.

    >>> load_recipe("digits").architecture
    'auditkit.training.architectures.cnn:CNN'
    """
    shipped = {Path(item.name).stem: item for item in files("auditkit.training").joinpath("recipes").iterdir()}
    path = Path(target)
    if str(target) in shipped:
        path = Path(str(shipped[str(target)]))
    elif path.suffix not in (".yaml", ".yml"):
        raise InputError(f"{target}: neither a built-in subject nor a recipe.yaml; {nearest(str(target), shipped)}")
    recipe: Recipe = parse(read_yaml(path), Recipe, str(path))
    return recipe
