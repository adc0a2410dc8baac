"""From a target to a bundle folder: built-in subjects and recipes of one's own."""

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from sklearn.metrics import roc_auc_score

from auditkit.engine.meter import NoMeter
from auditkit.errors import InputError
from auditkit.subject.builtin import builtin
from auditkit.subject.bundle import load_bundle
from auditkit.training.command import recipe_data, train_command
from auditkit.training.recipe import Recipe, load_recipe


@pytest.fixture
def folder(tmp_path):
    random = np.random.default_rng(0)
    x = random.normal(size=400)
    rows = pd.DataFrame({"x": x, "sex": random.choice(["f", "m"], 400), "y": (x > 0).astype(int)})
    rows.to_csv(tmp_path / "rows.csv", index=False)
    recipe = {
        "name": "own",
        "data": {"train": "rows.csv"},
        "columns": {"label": "y", "positive": 1, "sensitive": ["sex"]},
        "arguments": {"hidden": [4]},
        "epochs": 3,
        "batch_size": 32,
        "learning_rate": 0.05,
        "threads": 1,
    }
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    return tmp_path


def test_a_recipe_of_ones_own_becomes_a_bundle(folder):
    meter = NoMeter("not in this test")
    summary = train_command(str(folder / "recipe.yaml"), folder / "out", seed=3, quiet=True, meter=meter)
    model = load_bundle(folder / "out", "cpu")
    assert summary["validation_accuracy"] > 0.9
    assert summary["joules"] is None
    assert [cost.phase for cost in meter.costs] == ["training"]
    assert model.schema.label == "y"
    assert model.schema.sensitive == ("sex",)
    assert model.preprocessing.columns == ("x",)
    assert model.record["seed"] == 3
    assert sum(model.record["rows"].values()) == 400


def test_rows_held_out_are_a_stratified_fifth_and_nobody_is_in_both(folder):
    recipe = load_recipe(folder / "recipe.yaml")
    splits, _ = recipe_data(recipe, folder)
    fitting, stopping = splits["train"], splits["validation"]
    assert len(fitting) + len(stopping) == 400
    assert not set(fitting.column("x").to_pylist()) & set(stopping.column("x").to_pylist())
    assert abs(fitting.labels.mean() - stopping.labels.mean()) < 0.01
    assert abs(len(stopping) - 80) <= 1


@pytest.mark.parametrize("name", ["adult", "digits"])
def test_built_in_recipes_name_their_own_data(name):
    recipe = load_recipe(name)
    assert recipe.subject == name
    splits, schema = recipe_data(recipe, None)
    assert schema == builtin(name)[1]
    assert splits["train"].role == "train"


def test_digits_are_learned_from_the_command(tmp_path):
    summary = train_command("digits", tmp_path / "digits", quiet=True, meter=NoMeter())
    assert summary["validation_accuracy"] > 0.97
    model, test = load_bundle(tmp_path / "digits", "cpu"), builtin("digits")[0]["test"]
    with model.evaluating():
        assert (model.logits(model.encode(test)).argmax(1).numpy() == test.labels).mean() >= 0.97


def test_adult_reaches_its_targets_on_people_it_has_never_seen(tmp_path):
    train_command("adult", tmp_path / "adult", quiet=True, meter=NoMeter())
    model, test = load_bundle(tmp_path / "adult", "cpu"), builtin("adult")[0]["test"]
    with model.evaluating(), torch.inference_mode():
        scores = model.logits(model.encode(test)).softmax(1)[:, 1].numpy()
    assert ((scores > 0.5) == test.labels).mean() >= 0.845
    assert roc_auc_score(test.labels, scores) >= 0.90


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"epochs": 0}, "epochs: input should be greater than or equal to 1"),
        ({"epoch": 3}, "unknown key 'epoch'; did you mean 'epochs'"),
        ({"data": {}}, "name a built-in subject, or the file to train on as data.train"),
        ({"data": {"train": "nowhere.csv"}}, "there is no such file"),
        ({"columns": {}}, "name the column to predict as columns.label"),
        ({"columns": {"label": "z"}}, "no label column 'z'"),
        ({"columns": {"label": "y", "features": ["xx"]}}, "no column 'xx'"),
        ({"columns": {"label": "y", "positive": "2"}}, "positive class '2' is not a class"),
        ({"subject": "adlt"}, "did you mean 'adult'"),
        ({"architecture": "nowhere_net:Net"}, "cannot import 'nowhere_net'"),
    ],
)
def test_a_wrong_recipe(folder, change, said):
    recipe = yaml.safe_load((folder / "recipe.yaml").read_text()) | change
    (folder / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    with pytest.raises(InputError, match=said):
        train_command(str(folder / "recipe.yaml"), folder / "out", quiet=True, meter=NoMeter())
    assert not (folder / "out").exists()


def test_a_wrong_target(tmp_path):
    with pytest.raises(InputError, match=r"neither a built-in subject nor a recipe\.yaml; did you mean 'adult'"):
        load_recipe("adut")
    with pytest.raises(InputError, match="there is no such file"):
        load_recipe(tmp_path / "no.yaml")
    (tmp_path / "out").write_text("")
    with pytest.raises(InputError, match="is a file; a bundle is a folder"):
        train_command("digits", tmp_path / "out", quiet=True)


def test_a_recipe_survives_its_record():
    recipe = load_recipe("adult")
    assert Recipe.model_validate(recipe.model_dump(mode="json")) == recipe
