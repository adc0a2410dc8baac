"""A search finds what is there to find, repeats itself, goes on after a kill, and never looks at the test split."""

import json
import sys

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import torch
import yaml
from sklearn.metrics import balanced_accuracy_score
from typer.testing import CliRunner

from auditkit.cli import app
from auditkit.engine.meter import NoMeter
from auditkit.engine.progress import Progress
from auditkit.errors import AuditError, InputError
from auditkit.subject.bundle import load_bundle, save_bundle
from auditkit.subject.data import Schema, Split
from auditkit.training.command import train_command
from auditkit.training.recipe import Recipe, Tried
from auditkit.training.search import search
from auditkit.training.space import as_it_stands, distributions, settings_of, usual_space, with_settings
from auditkit.training.train import train

SCHEMA = Schema(("x",), ("no", "yes"), "y", "yes")
RATES = {"learning_rate": {"low": 1e-5, "high": 0.3, "log": True}}
RECIPE = Recipe(
    arguments={"hidden": [4], "dropout": 0.0},
    epochs=3,
    batch_size=40,
    learning_rate=1e-4,
    threads=1,
    search=RATES,
    trials=12,
)


def rows(role, n, seed):
    random = np.random.default_rng(seed)
    x = random.normal(size=n)
    return Split(role, role, pa.table({"x": x, "y": np.where(x > 0.8, "yes", "no")}), SCHEMA)


class Unseen(dict):
    """Splits of which the test split is not to be touched."""

    def __getitem__(self, name):
        assert name != "test"
        return super().__getitem__(name)


class Killing(Progress):
    """Ends the process, as it were, once a trial is told."""

    def __init__(self, after=None):
        super().__init__(quiet=True)
        self.after, self.said = after, []

    def say(self, text):
        self.said.append(text)
        if self.after is not None and text.startswith(f"trial {self.after} of"):
            raise KeyboardInterrupt


@pytest.fixture(scope="module")
def splits():
    return Unseen(train=rows("train", 160, 0), validation=rows("validation", 120, 1), test=rows("test", 50, 2))


@pytest.fixture(scope="module")
def found(splits):
    return search(RECIPE, splits, SCHEMA, device="cpu")


def without_clock(model):
    """What was tried, without how long it took."""
    return [{key: line[key] for key in line.keys() - {"seconds"}} for line in model.record["search"]["trials"]]


def test_the_best_of_all_trials_is_kept_and_all_are_told(found, splits):
    record = found.record["search"]
    trials = record["trials"]
    assert record["tried"] == len(trials) == 12
    assert [trial["number"] for trial in trials] == list(range(12))
    done = {trial["number"]: trial["value"] for trial in trials if trial["state"] == "complete"}
    assert record["best"] == min(done, key=done.get)
    curves = found.record["curves"]
    assert done[record["best"]] == min(point["validation_loss"] for point in curves)
    assert found.record["recipe"]["learning_rate"] == trials[record["best"]]["settings"]["learning_rate"]
    assert done[record["best"]] < 0.8 * done[0]
    assert 0.003 < found.record["recipe"]["learning_rate"] <= 0.3
    assert sum(record[state] for state in ("complete", "pruned", "repeated", "refused", "diverged")) == 12
    assert record["space"] == {"learning_rate": {"low": 1e-5, "high": 0.3, "log": True}}


def test_the_first_trial_is_the_recipe_as_it_stands(found, splits):
    first = found.record["search"]["trials"][0]
    assert first["settings"] == {"learning_rate": 1e-4}
    alone = train(RECIPE.model_copy(update={"search": None}), splits, SCHEMA, device="cpu")
    assert first["value"] == alone.record["curves"][alone.record["best_epoch"] - 1]["validation_loss"]


def test_the_kept_model_is_that_of_its_recipe_alone(found, splits):
    alone = train(Recipe(**found.record["recipe"] | {"data": {}}), splits, SCHEMA, device="cpu")
    assert alone.digest == found.digest


def test_hopeless_trials_are_given_up_by_what_half_of_the_others_reached(found):
    trials = found.record["search"]["trials"]
    pruned = [trial for trial in trials if trial["state"] == "pruned"]
    assert pruned
    for trial in pruned:
        assert trial["value"] is None
        assert trial["number"] >= 5
        assert trial["epochs"] < 3
        assert "worse than half of the trials after epoch" in trial["reason"]


def test_a_search_repeats_itself_and_goes_on_after_a_kill(found, splits, tmp_path):
    for after in (4, 9):
        with pytest.raises(KeyboardInterrupt):
            search(RECIPE, splits, SCHEMA, device="cpu", folder=tmp_path, progress=Killing(after))
    heard = Killing()
    again = search(RECIPE, splits, SCHEMA, device="cpu", folder=tmp_path, progress=heard)
    assert heard.said[0] == "model: going on after trial 9 of 12"
    assert without_clock(again) == without_clock(found)
    assert again.digest == found.digest
    assert again.record["search"]["resumed"] == [4, 9]
    others = search(RECIPE, splits, SCHEMA, device="cpu", folder=tmp_path, progress=(heard := Killing()))
    assert heard.said == ["model: going on after trial 12 of 12"]
    assert others.digest == found.digest


def test_trials_of_another_search_are_not_gone_on_from(splits, tmp_path):
    few = RECIPE.model_copy(update={"trials": 1, "epochs": 1})
    search(few, splits, SCHEMA, device="cpu", folder=tmp_path)
    for content in ((tmp_path / "trials.json").read_text(), "{not JSON", "[]", json.dumps({"identity": 1})):
        (tmp_path / "trials.json").write_text(content)
        heard = Killing()
        other = few.model_copy(update={"seed": 1})
        search(other, splits, SCHEMA, device="cpu", folder=tmp_path, progress=heard)
        assert "are not gone on from" in heard.said[0]
        assert heard.said[1].startswith("trial 1 of 1: validation loss 0.")


def test_balanced_accuracy_is_sklearns_and_makes_losses_comparable(splits):
    space = {"loss": {"choices": ["cross_entropy", "bce", "focal"]}, "focal_gamma": {"low": 0.5, "high": 3.0}}
    settings = {"search": space, "objective": "balanced_accuracy", "trials": 4, "learning_rate": 0.05}
    recipe = Recipe(**(RECIPE.model_dump(exclude_defaults=True) | settings))
    model = search(recipe, splits, SCHEMA, device="cpu")
    record, split = model.record["search"], splits["validation"]
    with model.evaluating(), torch.inference_mode():
        decided = model.logits(model.encode(split)).argmax(1).numpy()
    best = record["trials"][record["best"]]
    assert best["value"] == pytest.approx(balanced_accuracy_score(split.labels, decided))
    assert best["value"] == max(trial["value"] or 0 for trial in record["trials"])
    for trial in record["trials"]:
        assert ("focal_gamma" in trial["settings"]) == (trial["settings"]["loss"] == "focal")


def test_what_was_tried_already_is_not_trained_again(splits):
    space = {"batch_size": {"choices": [40, 80]}}
    recipe = Recipe(**(RECIPE.model_dump(exclude_defaults=True) | {"search": space, "trials": 5, "epochs": 1}))
    record = search(recipe, splits, SCHEMA, device="cpu").record["search"]
    assert (record["complete"], record["repeated"]) == (2, 3)
    values = {trial["settings"]["batch_size"]: trial["value"] for trial in record["trials"][::-1]}
    assert all(trial["value"] == values[trial["settings"]["batch_size"]] for trial in record["trials"])


def test_a_trial_that_cannot_be_trained_is_one_of_many_and_all_of_them_are_an_error(splits):
    space = {"architecture": {"choices": ["auditkit.training.architectures.mlp:MLP", "nowhere_net:Net"]}}
    settings = RECIPE.model_dump(exclude_defaults=True) | {"trials": 3, "epochs": 1, "objective": "balanced_accuracy"}
    record = search(Recipe(**(settings | {"search": space})), splits, SCHEMA, device="cpu").record["search"]
    assert record["complete"] == 1
    assert record["refused"] >= 1
    wrong = {"arguments.hiden": {"choices": [[4], [8]]}}
    with pytest.raises(InputError, match=r"none of 3 trials could be trained; .* cannot be built from .*hiden"):
        search(Recipe(**(settings | {"search": wrong})), splits, SCHEMA, device="cpu")
    huge = {"learning_rate": {"low": 1e30, "high": 1e32}}
    with pytest.raises(AuditError, match=r"none of 3 trials could be trained; .*diverged"):
        search(Recipe(**(settings | {"search": huge})), splits, SCHEMA, device="cpu")


def test_it_says_what_it_lacks(splits, monkeypatch):
    with pytest.raises(InputError, match="set devices: 1"):
        search(RECIPE.model_copy(update={"devices": 2}), splits, SCHEMA)
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(InputError, match=r'needs Optuna: pip install "auditkit\[tuning\]"'):
        search(RECIPE, splits, SCHEMA)


def test_a_search_from_the_command_keeps_its_record_in_the_bundle(tmp_path):
    pd.DataFrame(rows("train", 200, 0).table.to_pydict()).to_csv(tmp_path / "rows.csv", index=False)
    content = {"data": {"train": "rows.csv"}, "columns": {"label": "y"}, "epochs": 2, "threads": 1, "name": "mine"}
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(content))
    out = tmp_path / "model"
    summary = train_command(str(tmp_path / "recipe.yaml"), out, quiet=True, meter=NoMeter(), trials=3)
    assert summary["trials"] == 3
    record = load_bundle(out, "cpu").record["search"]
    assert record["best"] + 1 == summary["best_trial"]
    assert set(record["trials"][0]["settings"]) == {"learning_rate", "weight_decay"}
    assert sorted(item.name for item in tmp_path.iterdir()) == ["model", "recipe.yaml", "rows.csv"]
    assert load_bundle(save_bundle(load_bundle(out, "cpu"), tmp_path / "again"), "cpu").record["search"] == record
    refused = CliRunner().invoke(app, ["train", str(tmp_path / "recipe.yaml"), "--trials", "0"])
    assert refused.exit_code == 2


def test_settings_are_drawn_as_they_are_written():
    space = {
        "arguments.hidden": Tried(choices=[[8], [16, 8]]),
        "arguments.dropout": Tried(low=0.0, high=0.5),
        "batch_size": Tried(low=32, high=512, log=True),
        "momentum": Tried(low=0.5, high=0.99),
    }
    made = distributions(space)
    assert made["arguments.hidden"].choices == (0, 1)
    assert [type(each).__name__.removesuffix("Distribution") for each in made.values()] == [
        "Categorical", "Float", "Int", "Float"
    ]  # fmt: skip
    recipe = Recipe(arguments={"hidden": [16, 8], "dropout": 0.7}, batch_size=64)
    assert as_it_stands(recipe, space) == {"arguments.hidden": 1, "batch_size": 64}
    drawn = {"arguments.hidden": 0, "arguments.dropout": 0.2, "batch_size": 50, "momentum": 0.6}
    settings = settings_of(space, drawn, recipe)
    assert settings == {"arguments.hidden": [8], "arguments.dropout": 0.2, "batch_size": 50}
    changed = with_settings(recipe, settings)
    assert (changed.arguments, changed.batch_size) == ({"hidden": [8], "dropout": 0.2}, 50)
    with pytest.raises(InputError, match=r"search: .*greater than or equal to 2"):
        with_settings(recipe, {"batch_size": 1})
    assert usual_space(recipe)["learning_rate"].low == pytest.approx(1e-4)
