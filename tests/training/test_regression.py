"""Learning numbers: the label's own unit whatever it is, R² as it is defined, and what is refused."""

import numpy as np
import pyarrow as pa
import pytest
import torch
from sklearn.metrics import r2_score
from torch import nn

from auditkit.errors import InputError
from auditkit.subject.bundle import load_bundle, save_bundle
from auditkit.subject.data import Schema, Split
from auditkit.subject.preprocessing import fit_preprocessing
from auditkit.training.batches import Encoded
from auditkit.training.recipe import Recipe
from auditkit.training.regression import check_network, rescale
from auditkit.training.train import train

SCHEMA = Schema(("a", "b"), ("y",), "y", task="regression")
SETTINGS = {"epochs": 40, "batch_size": 32, "learning_rate": 0.02, "threads": 1, "arguments": {"hidden": [16]}}


def rows(role: str, seed: int, scale: float = 1.0, centre: float = 0.0, n: int = 300) -> Split:
    rng = np.random.default_rng(seed)
    a, b = rng.normal(size=(2, n))
    y = centre + scale * (2 * a - np.abs(b) + rng.normal(0, 0.2, n))
    return Split(role, role, pa.table({"a": a, "b": b, "y": y}), SCHEMA)


def splits(**unit: float) -> dict[str, Split]:
    return {role: rows(role, seed, **unit) for seed, role in enumerate(("train", "validation", "test"))}


def predicted(model, split: Split) -> np.ndarray:
    with torch.no_grad():
        return model.logits(model.encode(split))[:, 0].double().numpy()


@pytest.mark.parametrize("loss", ["mse", "mae", "huber"])
def test_numbers_are_learned_in_their_own_unit(loss):
    data = splits(scale=1e4, centre=-3e5)
    model = train(Recipe(loss=loss, **SETTINGS), data, SCHEMA, device="cpu")
    assert (model.task, model.classes) == ("regression", ("y",))
    assert r2_score(data["test"].targets, predicted(model, data["test"])) > 0.95


def test_the_unit_changes_nothing_but_the_unit():
    plain, large = splits(), splits(scale=1024.0, centre=4096.0)
    recipe = Recipe(**SETTINGS)
    first, second = train(recipe, plain, SCHEMA, device="cpu"), train(recipe, large, SCHEMA, device="cpu")
    assert predicted(second, large["test"]) == pytest.approx(1024 * predicted(first, plain["test"]) + 4096, abs=2.0)


def test_curves_hold_the_r2_of_the_kept_network(tmp_path):
    data = splits(scale=50.0, centre=10.0)
    model = train(Recipe(**SETTINGS), data, SCHEMA, device="cpu")
    best = next(point for point in model.record["curves"] if point["epoch"] == model.record["best_epoch"])
    for split in ("train", "validation"):
        right = r2_score(data[split].targets, predicted(model, data[split]))
        assert best[f"{split}_r2"] == pytest.approx(right, abs=1e-5)
        assert best[f"{split}_accuracy"] is None
        assert best[f"{split}_loss"] * 50**2 > 0
    again = load_bundle(save_bundle(model, tmp_path / "bundle"), device="cpu")
    assert again.schema == model.schema
    assert np.array_equal(predicted(again, data["test"]), predicted(model, data["test"]))


def test_a_model_begins_from_another_of_the_same_number(tmp_path):
    data = splits(scale=1e4, centre=-3e5)
    bundle = save_bundle(train(Recipe(**SETTINGS), data, SCHEMA, device="cpu"), tmp_path / "base")
    begun = Recipe(**SETTINGS | {"epochs": 1, "learning_rate": 1e-6}, pretrained={"source": str(bundle)})
    model = train(begun, data, SCHEMA, device="cpu")
    assert model.record["curves"][0]["validation_r2"] > 0.95
    before = predicted(load_bundle(bundle, "cpu"), data["test"])
    assert predicted(model, data["test"]) == pytest.approx(before, rel=0.02)


def test_the_last_linear_layer_takes_the_unit_in():
    network = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 1))
    x = torch.randn(6, 3)
    before = network(x)
    rescale(network, 5.0, -7.0)
    assert torch.allclose(network(x), 5 * before - 7, atol=1e-5)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"loss": "cross_entropy"}, "numbers are learned with mse, mae or huber"),
        ({"label_smoothing": 0.1}, "label_smoothing is for classes"),
        ({"class_weights": "balanced"}, "class_weights is for classes"),
        ({"mitigation": {"method": "reweighing", "sensitive": "a"}}, "mitigation is for classes"),
    ],
)
def test_what_numbers_are_not_learned_with(settings, said):
    with pytest.raises(InputError, match=said):
        train(Recipe(**SETTINGS | settings), splits(), SCHEMA, device="cpu")


def test_a_label_that_never_changes_teaches_nothing():
    with pytest.raises(InputError, match="in every training row, so there is nothing to learn"):
        train(Recipe(**SETTINGS), splits(scale=0.0, centre=2.0), SCHEMA, device="cpu")


@pytest.mark.parametrize(
    ("network", "said"),
    [
        (nn.Sequential(nn.Linear(2, 1), nn.Sigmoid()), "must end in a linear layer"),
        (nn.Linear(2, 1, bias=False), "must end in a linear layer"),
        (nn.Linear(2, 3), "one number for each row"),
        (type("Own", (nn.Linear,), {"learner": None})(2, 1), "learns in a way of its own"),
    ],
)
def test_networks_that_cannot_take_the_unit_in(network, said):
    data = Encoded(rows("train", 0), fit_preprocessing(rows("train", 0), SCHEMA, {}))
    with pytest.raises(InputError, match=said):
        check_network(network, data.inputs, data)
