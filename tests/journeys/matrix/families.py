"""Every kind of network that auditkit trains, briefly, on a few rows of its built-in subject."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from auditkit.subject.builtin import builtin
from auditkit.subject.data import Split
from tests.journeys.matrix.sources import data

ROWS = {"train": 320, "validation": 200, "test": 240}
OOD_ROWS = 60


def trained(recipe: str, epochs: int = 1, **changes: Any) -> Callable[[Path], dict[str, Any]]:
    """What fills a folder with a bundle of the recipe, trained for a moment, and rows of its subject.

    changes: arguments of the architecture.
    """

    def make(folder: Path) -> dict[str, Any]:
        from auditkit.subject.bundle import save_bundle
        from auditkit.training.recipe import load_recipe
        from auditkit.training.train import train

        known = load_recipe(recipe)
        splits, schema = builtin(str(known.subject))
        some = {name: _some(split) for name, split in splits.items()}
        brief = known.model_copy(
            update={"epochs": epochs, "patience": epochs, "arguments": {**known.arguments, **changes}}
        )
        model = train(brief, {"train": some["train"], "validation": some["validation"]}, schema, device="cpu")
        save_bundle(model, folder / "model")
        files = {name: _written(split, folder) for name, split in some.items()}
        ood = {name: file for name, file in files.items() if name not in ROWS}
        columns = {"label": schema.label, "positive": schema.positive, "sensitive": list(schema.sensitive)}
        return {
            "model": "model",
            "data": {**{name: files[name] for name in ROWS}, "ood": ood},
            "columns": {name: value for name, value in columns.items() if value},
        }

    return make


def of_applicants(architecture: str, **arguments: Any) -> Callable[[Path], dict[str, Any]]:
    """The same for a network of tables, on made-up applicants."""

    def make(folder: Path) -> dict[str, Any]:
        from auditkit.subject.bundle import save_bundle
        from auditkit.training.command import recipe_data
        from auditkit.training.recipe import Recipe
        from auditkit.training.train import train

        content = data(folder)
        recipe = Recipe.model_validate(
            {
                "name": "applicants",
                "data": {name: content["data"][name] for name in ("train", "validation")},
                "columns": {**content["columns"], "features": ["income", "age", "home"]},
                "architecture": f"auditkit.training.architectures.{architecture}",
                "arguments": arguments,
                "epochs": 2,
                "threads": 1,
            }
        )
        splits, schema = recipe_data(recipe, folder)
        save_bundle(train(recipe, splits, schema, device="cpu"), folder / "model")
        return {**content, "model": "model"}

    return make


def of_rents(folder: Path) -> dict[str, Any]:
    """A network that predicts a number, on made-up flats."""
    from auditkit.subject.bundle import save_bundle
    from auditkit.training.command import recipe_data
    from auditkit.training.recipe import Recipe
    from auditkit.training.train import train

    rng = np.random.default_rng(0)
    for name, n in ROWS.items():
        size, side = rng.uniform(20, 120, n), rng.choice(["north", "south"], n)
        rent = 8 * size + 60 * (side == "south") + rng.normal(0, 40, n)
        pq.write_table(pa.table({"size": size, "side": side, "rent": rent}), folder / f"{name}.parquet")
    content = {
        "data": {name: f"{name}.parquet" for name in ROWS},
        "columns": {"label": "rent", "task": "regression", "sensitive": ["side"], "features": ["size", "side"]},
    }
    recipe = Recipe.model_validate(
        {
            "name": "rents",
            **content,
            "data": {name: f"{name}.parquet" for name in ("train", "validation")},
            "loss": "mse",
            "arguments": {"hidden": [16]},
            "epochs": 10,
            "learning_rate": 0.01,
            "threads": 1,
        }
    )
    splits, schema = recipe_data(recipe, folder)
    save_bundle(train(recipe, splits, schema, device="cpu"), folder / "model")
    return {**content, "model": "model"}


def of_posts(folder: Path) -> dict[str, Any]:
    """A network that gives several labels, on made-up posts."""
    from auditkit.subject.bundle import save_bundle
    from auditkit.training.command import recipe_data
    from auditkit.training.recipe import Recipe
    from auditkit.training.train import train

    rng, labels = np.random.default_rng(0), ["rude", "long"]
    for name, n in ROWS.items():
        length, capitals, side = rng.uniform(1, 9, n), rng.uniform(0, 1, n), rng.choice(["north", "south"], n)
        rude, long = capitals + 0.2 * rng.normal(size=n) > 0.5, length + rng.normal(size=n) > 5
        columns = {"length": length, "capitals": capitals, "side": side, "rude": rude, "long": long}
        pq.write_table(pa.table(columns), folder / f"{name}.parquet")
    content = {
        "data": {name: f"{name}.parquet" for name in ROWS},
        "columns": {"label": labels, "sensitive": ["side"], "features": ["length", "capitals"]},
    }
    settings = {"arguments": {"hidden": [16]}, "epochs": 10, "learning_rate": 0.01, "threads": 1}
    fitted = {name: content["data"][name] for name in ("train", "validation")}
    recipe = Recipe.model_validate({"name": "posts", **content, **settings, "data": fitted})
    splits, schema = recipe_data(recipe, folder)
    save_bundle(train(recipe, splits, schema, device="cpu"), folder / "model")
    return {**content, "model": "model"}


def variant(how: str, **settings: Any) -> Callable[[Path], dict[str, Any]]:
    """A variant of the small network of applicants."""

    def make(folder: Path) -> dict[str, Any]:
        import auditkit as ak
        from tests.journeys.matrix.sources import network

        content = data(folder)
        if how == "distilled":
            settings["splits"] = {
                name: ak.load_data(folder / f"{name}.parquet", name=name, schema=network().schema)
                for name in ("train", "validation")
            }
        ak.save_bundle(ak.derive(network(), how, **settings), folder / "model")
        return {**content, "model": "model"}

    return make


def _some(split: Split) -> Split:
    """Rows spread evenly over the split, so that every class and group keeps some."""
    wanted = min(len(split), ROWS.get(split.name, OOD_ROWS))
    rows = np.unique(np.linspace(0, len(split) - 1, wanted).astype(np.int64))
    arrays = {name: array[rows] for name, array in split.arrays.items()}
    return Split(split.name, split.role, split.table.take(pa.array(rows)), split.schema, arrays, split.origin)


def _written(split: Split, folder: Path) -> str:
    if not split.arrays:
        pq.write_table(split.table, folder / f"{split.name}.parquet")
        return f"{split.name}.parquet"
    columns = {name: np.array(split.table.column(name).to_pylist()) for name in split.table.column_names}
    np.savez(folder / f"{split.name}.npz", **columns, **split.arrays)
    return f"{split.name}.npz"
