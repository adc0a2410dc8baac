"""Training: it learns, repeats itself bit for bit, stops in time, keeps the best epoch and leaves nothing behind."""

import os
import signal

import numpy as np
import pyarrow as pa
import pytest
import torch
from torch import nn

from auditkit.engine.progress import Progress
from auditkit.errors import AuditError, InputError
from auditkit.subject.bundle import load_bundle, save_bundle
from auditkit.subject.data import Schema, Split
from auditkit.training.recipe import Recipe
from auditkit.training.train import train

SCHEMA = Schema(("x", "colour"), ("no", "yes"), "y", "yes", ("colour",))
QUICK = Recipe(
    name="tiny", arguments={"hidden": [8]}, epochs=6, batch_size=32, learning_rate=0.02, threads=1, patience=6
)


def rows(role, n, seed, noise=0.0, schema=SCHEMA):
    """Label yes where x > 0 and the colour is not red; a share `noise` of labels is flipped."""
    random = np.random.default_rng(seed)
    x, colour = random.normal(size=n), random.choice(["red", "blue", "green"], n)
    yes = ((x > 0) & (colour != "red")) ^ (random.random(n) < noise)
    table = pa.table({"x": x * 7 + 3, "colour": colour, "y": np.where(yes, "yes", "no")})
    return Split(role, role, table, schema)


@pytest.fixture(scope="module")
def splits():
    return {"train": rows("train", 600, 0), "validation": rows("validation", 300, 1), "test": rows("test", 500, 2)}


@pytest.fixture(scope="module")
def model(splits):
    return train(QUICK, splits, SCHEMA, device="cpu")


def accuracy(model, split):
    with model.evaluating(), torch.inference_mode():
        return (model.logits(model.encode(split)).argmax(1).numpy() == split.labels).mean()


def test_a_rule_over_a_number_and_a_category_is_learned(model, splits):
    assert accuracy(model, splits["test"]) > 0.93
    assert not model.module.training


def test_the_record_says_how_it_went(model, splits):
    record = model.record
    curves = record["curves"]
    assert [point["epoch"] for point in curves] == list(range(1, record["epochs"] + 1))
    losses = [point["validation_loss"] for point in curves]
    assert record["best_epoch"] == curves[int(np.argmin(losses))]["epoch"]
    assert curves[-1]["train_loss"] < curves[0]["train_loss"]
    assert record["rows"] == {"train": 600, "validation": 300}
    assert record["recipe"]["learning_rate"] == QUICK.learning_rate
    assert record["energy"]["source"] == "absent"
    assert record["energy"]["joules"] is None
    assert "not metered" in record["energy"]["reason"]


def test_the_kept_weights_are_those_of_the_best_epoch(model, splits):
    best = model.record["curves"][model.record["best_epoch"] - 1]
    for name in ("train", "validation"):
        split = splits[name]
        with model.evaluating(), torch.inference_mode():
            logits = model.logits(model.encode(split))
            loss = float(nn.functional.cross_entropy(logits, torch.from_numpy(split.labels)))
        assert loss == pytest.approx(best[f"{name}_loss"], rel=1e-5)
        assert accuracy(model, split) == pytest.approx(best[f"{name}_accuracy"], abs=1e-6)


def test_the_same_seed_gives_the_same_weights_and_another_seed_others(model, splits):
    torch.randn(7)
    assert train(QUICK, splits, SCHEMA, device="cpu").digest == model.digest
    other = QUICK.model_copy(update={"seed": 1})
    assert train(other, splits, SCHEMA, device="cpu").digest != model.digest


def test_training_leaves_the_process_and_the_folder_as_they_were(splits, tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    state, threads = torch.random.get_rng_state(), torch.get_num_threads()
    numpy_state = np.random.get_state()[1].copy()
    train(QUICK.model_copy(update={"epochs": 1}), splits, SCHEMA, device="cpu", progress=Progress(quiet=True))
    assert torch.equal(torch.random.get_rng_state(), state)
    assert np.array_equal(np.random.get_state()[1], numpy_state)
    assert torch.get_num_threads() == threads
    assert not torch.are_deterministic_algorithms_enabled()
    assert os.listdir() == []
    captured = capfd.readouterr()
    assert captured.out + captured.err == ""


def test_it_stops_early_and_keeps_the_best_when_it_learns_by_heart():
    schema = Schema(("x", "colour"), ("no", "yes"), "y")
    noisy = {
        "train": rows("train", 60, 0, noise=0.4, schema=schema),
        "validation": rows("validation", 300, 1, noise=0.4, schema=schema),
    }
    recipe = Recipe(
        name="by heart",
        arguments={"hidden": [64, 64], "dropout": 0.0},
        epochs=60,
        batch_size=16,
        learning_rate=0.02,
        weight_decay=0.0,
        patience=3,
        threads=1,
    )
    record = train(recipe, noisy, schema, device="cpu").record
    assert record["epochs"] < 60
    assert record["epochs"] == record["best_epoch"] + 3
    last = record["curves"][-1]
    assert last["validation_loss"] > last["train_loss"] + 0.1


def test_the_bundle_of_a_trained_model_is_that_model(model, splits, tmp_path):
    again = load_bundle(save_bundle(model, tmp_path / "bundle"), "cpu")
    assert again.digest == model.digest
    assert again.record == model.record
    assert again.schema == model.schema


def test_images_are_learned_by_the_cnn_without_being_told():
    schema = Schema(("images",), ("left", "right"), "side")
    random = np.random.default_rng(0)

    def pictures(role, n):
        side = random.integers(0, 2, n)
        images = random.normal(size=(n, 6, 6))
        images[np.arange(n), :, side * 5] += 4
        table = pa.table({"side": np.array(["left", "right"])[side]})
        return Split(role, role, table, schema, {"images": images})

    splits = {name: pictures(name, 120) for name in ("train", "validation")}
    recipe = QUICK.model_copy(update={"arguments": {"widths": [4, 8]}, "epochs": 5})
    model = train(recipe, splits, schema, device="cpu")
    assert accuracy(model, splits["validation"]) > 0.95
    assert model.architecture["path"].endswith("cnn:CNN")


def without(splits, name):
    return {key: split for key, split in splits.items() if key != name}


@pytest.mark.parametrize(
    ("change", "recipe", "said"),
    [
        (lambda s: without(s, "validation"), {}, "training needs a 'validation' split"),
        (lambda s: without(s, "train"), {}, "training needs a 'train' split"),
        (dict, {"architecture": "auditkit.training.architectures.mlp:MPL"}, "did you mean 'MLP'"),
        (dict, {"arguments": {"hiden": [3]}}, "cannot be built from numeric, categories, classes, hiden"),
    ],
)
def test_what_cannot_be_trained(splits, change, recipe, said):
    with pytest.raises(InputError, match=said):
        train(QUICK.model_copy(update=recipe), change(splits), SCHEMA, device="cpu")


def test_one_class_cannot_be_learned(splits):
    one = rows("train", 50, 0)
    yes = one.table.filter(np.array(one.column("y").to_pylist()) == "yes")
    with pytest.raises(InputError, match=r"label 'y' has one class only \(yes\)"):
        train(QUICK, {**splits, "train": Split("train", "train", yes, SCHEMA)}, SCHEMA)


NOT_A_NUMBER = """
import torch
class Net(torch.nn.Module):
    def __init__(self, numeric, categories, classes):
        super().__init__()
        self.head = torch.nn.Linear(numeric, classes)
    def forward(self, numbers, codes):
        return self.head(numbers) * float("nan")
"""


def test_a_training_that_diverges_says_so(splits, tmp_path):
    (tmp_path / "diverging_net.py").write_text(NOT_A_NUMBER)
    recipe = QUICK.model_copy(update={"architecture": "diverging_net:Net", "arguments": {}})
    with pytest.raises(AuditError, match=r"diverged in its first epoch.*lower learning_rate"):
        train(recipe, splits, SCHEMA, device="cpu", near=tmp_path)


class Interrupted(Progress):
    """Ctrl-C after the second epoch."""

    def track(self, work, total, text, unit="batches"):
        for done, item in enumerate(work):
            if done == 2:
                raise KeyboardInterrupt
            yield item


def test_an_interrupt_is_one_and_no_exit_code_of_lightning(splits):
    handler, state = signal.getsignal(signal.SIGINT), torch.random.get_rng_state()
    with pytest.raises(KeyboardInterrupt):
        train(QUICK, splits, SCHEMA, device="cpu", progress=Interrupted(quiet=True))
    assert signal.getsignal(signal.SIGINT) is handler
    assert torch.equal(torch.random.get_rng_state(), state)


@pytest.mark.gpu
def test_cuda_learns_the_same_rule(splits):
    model = train(QUICK, splits, SCHEMA, device="cuda")
    assert accuracy(model, splits["test"]) > 0.93
    assert model.record["device"] == "cuda"
