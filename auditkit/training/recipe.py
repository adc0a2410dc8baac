"""Recipe: everything a training depends on, as a YAML file that people can read and change.

A recipe names a built-in subject, or the files to train on and what their columns mean; the network and its
arguments (those that follow from the data, such as the number of classes, are filled in); and how to optimise it.
The recipes of the built-in subjects lie beside this file in `recipes/`.
"""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from auditkit.errors import InputError, nearest
from auditkit.spec import DataSpec, SchemaSpec, Strict, parse, read_yaml


class Recipe(Strict):
    """How to train one model.

    Optimisation is AdamW with a cosine schedule from `learning_rate` to zero over `epochs` after `warmup` epochs;
    training stops once the validation loss has not improved for `patience` epochs, and the best epoch's weights are
    kept. `architecture` is `package.module:Class`, the MLP for tables and the CNN for images when left out; `arguments`
    are its arguments beyond those that the data give.
    """

    name: str = Field("model", min_length=1)
    subject: str | None = Field(None, description="a built-in subject (adult, digits) in place of data and columns")
    data: DataSpec = DataSpec()
    columns: SchemaSpec = SchemaSpec()
    preprocessing: dict[str, Any] = Field(
        default_factory=dict, description="how rows become inputs: kind (table, image, text, series) and its settings"
    )
    architecture: str | None = None
    arguments: dict[str, Any] = Field(default_factory=dict)
    epochs: int = Field(50, ge=1)
    batch_size: int = Field(256, ge=2)
    learning_rate: float = Field(1e-3, gt=0)
    weight_decay: float = Field(1e-2, ge=0)
    warmup: float = Field(1.0, ge=0, description="epochs over which the learning rate rises from zero")
    label_smoothing: float = Field(0.0, ge=0, lt=1)
    patience: int = Field(8, ge=1)
    precision: Literal["32-true", "bf16-mixed", "16-mixed"] = "32-true"
    threads: int | None = Field(None, ge=1, description="CPU threads; all when left out. One is fastest for small nets")
    seed: int = Field(0, ge=0)


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
