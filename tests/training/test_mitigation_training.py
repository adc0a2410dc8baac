"""Whole trainings on a table with a planted gap: every method narrows it at a bounded cost and gives a usual model."""

import numpy as np
import pyarrow as pa
import pytest
import torch

import auditkit as ak
from auditkit.errors import InputError
from auditkit.subject.bundle import load_bundle, save_bundle
from auditkit.subject.data import Schema, Split
from auditkit.training.recipe import Recipe
from auditkit.training.train import train

SEEDS = (0, 1, 2)
SCHEMA = Schema(("x", "proxy", "region"), ("no", "yes"), "y", "yes", ("sex",))
RECIPE = Recipe(
    name="planted", arguments={"hidden": [16], "dropout": 0.0}, epochs=8, batch_size=64, learning_rate=0.02, threads=1
)
METHODS = {
    "reweighing": {"method": "reweighing"},
    "adversarial": {"method": "adversarial", "strength": 3.0},
    "adversarial odds": {"method": "adversarial", "strength": 3.0, "constraint": "equalized_odds"},
    "gradient": {"method": "exponentiated_gradient", "trainings": 6, "epochs": 1},
    "gradient odds": {
        "method": "exponentiated_gradient",
        "trainings": 6,
        "epochs": 1,
        "constraint": "equalized_odds",
    },
}


def rows(role, n, seed):
    """Men are favoured: yes follows from x plus 2 for a man, and a proxy tells the sex in nine of ten rows.

    Sex itself is no feature.
    """
    random = np.random.default_rng(seed)
    man = random.random(n) < 0.5
    x = random.normal(size=n)
    yes = x + 2 * man + random.normal(size=n) > 1.2
    proxy = (man ^ (random.random(n) < 0.1)) + random.normal(scale=0.1, size=n)
    table = pa.table(
        {
            "x": x,
            "proxy": proxy,
            "region": random.choice(["north", "south"], n),
            "sex": np.where(man, "m", "f"),
            "y": np.where(yes, "yes", "no"),
        }
    )
    return Split(role, role, table, SCHEMA)


SPLITS = {"train": rows("train", 1200, 0), "validation": rows("validation", 400, 1), "test": rows("test", 4000, 2)}


def recipe_of(method):
    """A rival needs longer."""
    if method is None:
        return RECIPE
    longer = {"epochs": 16} if method.startswith("adversarial") else {}
    return RECIPE.model_copy(update={"mitigation": {"sensitive": ["sex"], **METHODS[method]}, **longer})


def trained(method, seed):
    return train(recipe_of(method).model_copy(update={"seed": seed}), SPLITS, SCHEMA, device="cpu")


def decisions(model, split):
    with model.evaluating(), torch.inference_mode():
        return model.logits(model.encode(split)).argmax(1).numpy()


def judged(model, constraint):
    """Accuracy, and the gap as `check_fairness` has it."""
    split = SPLITS["test"]
    metric = f"{constraint}_difference"
    sex = {"sex": split.column("sex").to_pylist()}
    made = decisions(model, split)
    check = ak.check_fairness(
        split.labels, made, sensitive_features=sex, policy={metric: {"at_most": 0.1}}, replicates=200
    )
    return float((made == split.labels).mean()), check.results[0].value


@pytest.fixture(scope="module")
def models():
    return {(method, seed): trained(method, seed) for method in (None, *METHODS) for seed in SEEDS}


@pytest.mark.parametrize(
    ("method", "factor", "cost"),
    [("reweighing", 0.65, 0.05), ("adversarial", 0.35, 0.1), ("gradient", 0.35, 0.1)],
)
def test_the_demographic_parity_gap_is_narrowed_at_a_bounded_cost(models, method, factor, cost):
    for seed in SEEDS:
        before, wide = judged(models[None, seed], "demographic_parity")
        after, narrow = judged(models[method, seed], "demographic_parity")
        assert wide > 0.4, "the gap is planted"
        assert narrow < factor * wide
        assert after > before - cost


@pytest.mark.parametrize("method", ["adversarial odds", "gradient odds"])
def test_the_equalized_odds_gap_is_narrowed_at_a_bounded_cost(models, method):
    for seed in SEEDS:
        before, wide = judged(models[None, seed], "equalized_odds")
        after, narrow = judged(models[method, seed], "equalized_odds")
        assert wide > 0.3
        assert narrow < 0.65 * wide
        assert after > before - 0.05


def test_no_method_looks_at_the_sex_of_those_it_decides_on(models):
    split = SPLITS["test"]
    blind = Split("test", "test", split.table.drop_columns(["sex"]), SCHEMA)
    for method in METHODS:
        assert "sex" not in models[method, 0].preprocessing.columns
        assert (decisions(models[method, 0], blind) == decisions(models[method, 0], split)).all()


@pytest.mark.parametrize("method", ["reweighing", "adversarial odds", "gradient"])
def test_the_same_seed_gives_the_same_weights(models, method):
    torch.randn(5)
    again = trained(method, 0)
    assert again.digest == models[method, 0].digest
    assert again.record["mitigation"] == models[method, 0].record["mitigation"]
    assert models[method, 1].digest != again.digest


@pytest.mark.parametrize("method", list(METHODS))
def test_its_bundle_is_the_model_and_tells_how_it_was_mitigated(models, method, tmp_path):
    model = models[method, 0]
    again = load_bundle(save_bundle(model, tmp_path), "cpu")
    assert again.digest == model.digest
    assert (decisions(again, SPLITS["test"]) == decisions(model, SPLITS["test"])).all()
    record = again.record["mitigation"]
    assert record == model.record["mitigation"]
    assert {**METHODS[method], "sensitive": ["sex"]}.items() <= record.items()
    assert record["groups"] == ["f", "m"]
    assert again.record["recipe"]["mitigation"] == {"sensitive": ["sex"], **METHODS[method]}
    assert again.caveats == model.caveats
    assert again.lacks == model.lacks
    assert bool(model.caveats) == method.startswith("gradient")


def test_the_rival_s_course_is_recorded_and_ends_near_chance(models):
    for method in ("adversarial", "adversarial odds"):
        model = models[method, 0]
        record = model.record["mitigation"]
        assert len(record["adversary_loss"]) == model.record["epochs"] == model.record["best_epoch"] == 16
        assert record["adversary_loss_at_chance"] == pytest.approx(np.log(2))
        assert record["adversary_loss"][-1] == pytest.approx(np.log(2), abs=0.05)


def test_the_mixture_s_record_holds_on_the_training_rows(models):
    for method in ("gradient", "gradient odds"):
        model = models[method, 0]
        record, mixture = model.record["mitigation"], model.module
        assert record["trained"] <= 6
        assert record["members"] == sorted(record["members"])
        assert sum(record["members"]) + record["always"] <= 1 + 1e-9
        assert mixture.weights.tolist() == pytest.approx(record["members"])
        assert model.penultimate == f"members.{len(record['members']) - 1}.head"
        made = decisions(model, SPLITS["train"])
        man = np.array(SPLITS["train"].column("sex").to_pylist()) == "m"
        labels = SPLITS["train"].labels
        among = [labels == 0, labels == 1] if method == "gradient odds" else [labels >= 0]
        gaps = [abs(made[man & chosen].mean() - made[~man & chosen].mean()) for chosen in among]
        assert max(gaps) == pytest.approx(record["gap"], abs=0.003)
        assert f"{record['gap']:.3f} as decided" in model.caveats[0].text


def test_a_killed_adversarial_training_goes_on_to_the_same_weights(models, tmp_path):
    class KilledError(Exception):
        pass

    def kill(point, trainer):
        if point.epoch == 5:
            raise KilledError

    recipe, file = recipe_of("adversarial"), tmp_path / "checkpoint"
    with pytest.raises(KilledError):
        train(recipe, SPLITS, SCHEMA, device="cpu", checkpoint=file, watch=kill)
    model = train(recipe, SPLITS, SCHEMA, device="cpu", checkpoint=file)
    assert model.record["resumed"] == [4]
    assert model.digest == models["adversarial", 0].digest
    assert model.record["mitigation"] == models["adversarial", 0].record["mitigation"]


def test_three_classes_are_reweighed_and_rivalled_but_not_mixed():
    random = np.random.default_rng(0)
    schema = Schema(("x",), ("a", "b", "c"), "y", None, ("sex",))

    def made(role):
        y = random.integers(0, 3, 300)
        table = pa.table({"x": y + random.normal(size=300), "sex": random.choice(["f", "m"], 300), "y": [*"abc"] * 100})
        return Split(role, role, table.set_column(2, "y", pa.array(np.array([*"abc"])[y])), schema)

    splits = {"train": made("train"), "validation": made("validation")}
    for method in ("reweighing", "adversarial", "adversarial odds"):
        recipe = RECIPE.model_copy(update={"mitigation": {"sensitive": ["sex"], **METHODS[method]}, "epochs": 6})
        model = train(recipe, splits, schema, device="cpu")
        assert model.record["curves"][-1]["validation_accuracy"] > 0.45
    recipe = RECIPE.model_copy(update={"mitigation": {"sensitive": ["sex"], **METHODS["gradient"]}})
    with pytest.raises(InputError, match="between two classes, not 3"):
        train(recipe, splits, schema, device="cpu")


def test_a_mixture_goes_through_the_whole_audit_and_says_what_it_is(models, tmp_path):
    tables = {role: split.table.slice(0, 400).to_pandas() for role, split in SPLITS.items()}
    tables["far"] = tables["test"].assign(x=tables["test"]["x"] * 50)
    audit = ak.audit(
        models["gradient", 0],
        tables,
        label="y",
        positive="yes",
        sensitive=["sex"],
        gates={"performance/accuracy": {"at_least": 0.5}},
        out=tmp_path / "audit",
        attribution={"rows": 24},
        energy={"seconds": 0.02, "blocks": 3},
    )
    assert audit.verdict == "pass"
    assert set(audit.metrics["analysis"]) >= {"performance", "fairness", "attribution", "ood", "activations"}
    detectors = set(audit.metrics[audit.metrics["metric"] == "auroc"]["detail"])
    assert "mahalanobis" in detectors
    assert not {"energy", "max_logit"} & detectors, "log-probabilities have no scale"
    assert any("average of" in caveat.text for caveat in audit.caveats)
    assert {"demographic_parity_difference", "equalized_odds_difference"} <= set(audit.metrics["metric"])
