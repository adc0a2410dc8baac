"""`auditkit train`: from the name of a built-in subject, or a recipe file, to a bundle folder."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from auditkit.engine.meter import Meter
from auditkit.engine.progress import Progress
from auditkit.errors import InputError
from auditkit.spec import EnergySpec
from auditkit.subject.builtin import builtin
from auditkit.subject.bundle import save_bundle
from auditkit.subject.data import Schema, Split
from auditkit.subject.model import Model
from auditkit.subject.rows import load_data
from auditkit.subject.shares import deal_out
from auditkit.training.checkpoints import checkpoint_path, remove_checkpoint
from auditkit.training.recipe import Recipe, load_recipe
from auditkit.training.train import train


def train_command(
    target: str,
    out: Path,
    seed: int | None = None,
    quiet: bool = False,
    device: str = "auto",
    country: str = EnergySpec().country,
    meter: Meter | None = None,
    trials: int | None = None,
) -> dict[str, Any]:
    """Train a built-in subject or a recipe, save the bundle in `out`, and say in a few figures how it went.

    A training that was killed goes on from its checkpoint, which lies beside `out` until the bundle is written. A
    recipe with `search`, or `trials` given, is trained many times, and the best model is kept. The energy is metered on
    the grid of `country`, unless another `meter` is given. Returns name, folder, epochs, best_epoch, seconds, joules
    (None where absent), parameters, the best epoch's train and validation loss and accuracy (or R²), and of a search
    how many trials there were and which was best. Raises InputError for a target that is neither, or data that cannot
    be learned from.
    """
    recipe = load_recipe(target)
    if seed is not None:
        recipe = recipe.model_copy(update={"seed": seed})
    if out.exists() and not out.is_dir():
        raise InputError(f"{out}: is a file; a bundle is a folder, name another place with --out")
    base = Path(target).parent
    splits, schema = recipe_data(recipe, base)
    meter = meter or Meter(country)
    progress = Progress(quiet or bool(int(os.environ.get("LOCAL_RANK", "0"))))
    progress.say(f"training {recipe.name} on {len(splits['train']):,} rows")
    file = checkpoint_path(out)
    ways: dict[str, Any] = {"device": device, "progress": progress, "meter": meter, "near": base}
    if recipe.search is None and trials is None:
        model = train(recipe, splits, schema, checkpoint=file, **ways)
        save_bundle(model, out)
        remove_checkpoint(file)
    else:
        from auditkit.training.search import search

        folder = file.with_suffix(".search")
        recipe = recipe.model_copy(update={"trials": trials or recipe.trials})
        model = search(recipe, splits, schema, folder=folder, **ways)
        save_bundle(model, out)
        shutil.rmtree(folder, ignore_errors=True)
    summary = summarise(recipe, model) | {"folder": str(out)}
    numbers, accuracy = summary.get("validation_r2"), summary.get("validation_accuracy", 0.0)
    good = f"accuracy {accuracy:.2%}" if numbers is None else f"R² {numbers:.3f}"
    progress.say(
        f"{recipe.name}: best epoch {summary['best_epoch']} of {summary['epochs']}, validation {good}, "
        f"{summary['seconds']:.0f} s, saved in {out}"
    )
    return summary


def train_builtin(name: str, out: Path, seed: int | None = None, quiet: bool = True) -> dict[str, Any]:
    """Train a built-in subject by its own recipe."""
    return train_command(name, out, seed, quiet)


def summarise(recipe: Recipe, model: Model) -> dict[str, Any]:
    """The training record in a few figures."""
    record = model.record
    best = next(point for point in record["curves"] if point["epoch"] == record["best_epoch"])
    figures = [name for name in best if name.startswith(("train_", "validation_")) and best[name] is not None]
    tried = record.get("search") or {}
    return {
        "name": recipe.name,
        "epochs": record["epochs"],
        "best_epoch": record["best_epoch"],
        "seconds": record["seconds"],
        "joules": record["energy"]["joules"],
        "parameters": model.parameters,
        **{figure: best[figure] for figure in figures},
        **({"trials": tried["tried"], "best_trial": tried["best"] + 1} if tried else {}),
    }


def recipe_data(recipe: Recipe, base: Path) -> tuple[Mapping[str, Split], Schema]:
    """The train and validation splits a recipe names, and their schema.

    Where there is no validation file, every fifth training row, drawn class by class with the recipe's seed, is held
    out for it.
    """
    if recipe.subject is not None:
        return builtin(recipe.subject)
    one_file = recipe.data.train or recipe.data.rows
    if one_file is None:
        raise InputError(f"recipe {recipe.name!r}: name a built-in subject, or the file to train on as data.train")
    if recipe.columns.label is None and not recipe.columns.labels:
        raise InputError(f"recipe {recipe.name!r}: name the column to predict as columns.label")
    columns = recipe.columns
    fitting = load_data(
        base / one_file,
        name="train",
        task=columns.task,
        label=columns.labels or columns.label,
        positive=columns.positive,
        classes=columns.classes,
        sensitive=columns.sensitive,
        features=columns.features,
    )
    for name in fitting.schema.features:
        if name not in fitting.arrays:
            fitting.column(name)
    if recipe.data.rows is not None:
        parts = deal_out(fitting, recipe.data.split)
        parts = parts if "validation" in parts else _hold_out(parts["train"], recipe.seed)
        return {role: parts[role] for role in ("train", "validation")}, fitting.schema
    if recipe.data.validation is None:
        return _hold_out(fitting, recipe.seed), fitting.schema
    stopping = load_data(base / recipe.data.validation, name="validation", schema=fitting.schema)
    return {"train": fitting, "validation": stopping}, fitting.schema


def _hold_out(split: Split, seed: int) -> dict[str, Split]:
    shuffled = np.random.default_rng([seed, 20]).permutation(len(split))
    order = shuffled[np.argsort(split.labels[shuffled], kind="stable")]
    held = np.arange(len(order)) % 5 == 4
    if not held.any():
        raise InputError(f"{split.origin}: {len(split)} rows are too few to hold some out; name data.validation")
    return {
        "train": _take(split, "train", np.sort(order[~held])),
        "validation": _take(split, "validation", np.sort(order[held])),
    }


def _take(split: Split, role: str, rows: np.ndarray) -> Split:
    arrays = {name: array[rows] for name, array in split.arrays.items()}
    return Split(role, role, split.table.take(pa.array(rows)), split.schema, arrays, split.origin)  # type: ignore[arg-type]
