"""The GAN: what its logit is for, that it learns the distribution it is shown, and repeats itself."""

import numpy as np
import pyarrow as pa
import pytest
import torch

from auditkit.errors import InputError
from auditkit.subject.bundle import load_bundle, save_bundle
from auditkit.subject.data import Schema, Split
from auditkit.training.adversarial import energy_distance
from auditkit.training.architectures.gan import GAN
from auditkit.training.recipe import Recipe
from auditkit.training.train import train

SCHEMA = Schema(("images",), ("generated", "real"), "kind")
MADE = Recipe(
    name="forger",
    architecture="auditkit.training.architectures.gan:GAN",
    arguments={"noise": 8, "widths": [8, 16]},
    epochs=10,
    batch_size=32,
    learning_rate=0.002,
    patience=10,
    threads=1,
)


def bars(role, n, seed, schema=SCHEMA):
    """A bright upright bar in the left or right half of a dark picture."""
    rng = np.random.default_rng(seed)
    pictures = np.zeros((n, 1, 4, 4), dtype=np.float32)
    for row, side in enumerate(rng.integers(2, size=n)):
        pictures[row, 0, :, 3 * side] = rng.uniform(0.7, 1.0)
    return Split(role, role, pa.table({"kind": ["real"] * n}), schema, {"images": pictures})


@pytest.fixture(scope="module")
def model():
    splits = {"train": bars("train", 320, 0), "validation": bars("validation", 160, 1)}
    return train(MADE, splits, SCHEMA, device="cpu")


def test_generated_rows_come_near_the_distribution_and_stay_in_its_range(model):
    curves = model.record["curves"]
    assert min(point["validation_loss"] for point in curves) < 0.5 * curves[0]["validation_loss"]
    with model.evaluating(), torch.no_grad():
        made = model.module.generate(200, seed=0)
    (real,) = model.encode(bars("train", 320, 0))
    assert real.min() - 1e-5 <= made.min() <= made.max() <= real.max() + 1e-5
    assert torch.equal(made, model.module.eval().generate(200, seed=0))
    assert not torch.equal(made, model.module.generate(200, seed=1))


def test_the_kept_epoch_is_the_one_nearest_to_validation_rows(model):
    curves = model.record["curves"]
    assert model.record["best_epoch"] == curves[int(np.argmin([c["validation_loss"] for c in curves]))]["epoch"]
    (real,) = model.encode(bars("validation", 160, 1))
    with model.evaluating(), torch.no_grad():
        distance = energy_distance(model.module.generate(160, MADE.seed).flatten(1), real.flatten(1))
    assert float(distance) == pytest.approx(curves[model.record["best_epoch"] - 1]["validation_loss"], rel=1e-4)


def test_the_logit_is_the_discriminator_s_for_the_real_class(model):
    inputs = model.encode(bars("test", 9, 2))
    with torch.no_grad():
        torch.testing.assert_close(model.module(*inputs), model.module.discriminator(*inputs))
    assert model.outlier == 0
    other = Schema(("images",), ("real", "stamped"), "kind")
    splits = {name: bars(name, 64, 0, other) for name in ("train", "validation")}
    turned = train(MADE.model_copy(update={"epochs": 1}), splits, other, device="cpu")
    assert turned.outlier == 1
    with torch.no_grad():
        torch.testing.assert_close(turned.module(*inputs), -turned.module.discriminator(*inputs))


def test_the_penultimate_layer_is_the_discriminator_s(model):
    assert model.head is model.module.discriminator[-1]


def test_a_bundle_generates_the_same_rows(model, tmp_path):
    save_bundle(model, tmp_path)
    again = load_bundle(tmp_path, device="cpu")
    with torch.no_grad():
        torch.testing.assert_close(again.module.generate(5, seed=3), model.module.generate(5, seed=3))


def test_the_same_seed_gives_the_same_weights():
    splits = {name: bars(name, 64, 0) for name in ("train", "validation")}
    once, again, other = (
        train(MADE.model_copy(update={"epochs": 2, "seed": seed}), splits, SCHEMA, device="cpu").digest
        for seed in (0, 0, 1)
    )
    assert once == again != other


def test_both_classes_in_training_are_refused():
    mixed = Split(
        "train",
        "train",
        pa.table({"kind": ["real"] * 32 + ["generated"] * 32}),
        SCHEMA,
        {"images": bars("train", 64, 0).arrays["images"]},
    )
    with pytest.raises(InputError, match="learns one class alone"):
        train(MADE, {"train": mixed, "validation": bars("validation", 64, 1)}, SCHEMA, device="cpu")


def test_energy_distance_is_zero_for_alike_and_known_for_points():
    rng = torch.Generator().manual_seed(0)
    same = [energy_distance(*torch.randn(2, 200, 3, generator=rng)) for _ in range(50)]
    assert abs(float(torch.stack(same).mean())) < 0.01
    apart = energy_distance(torch.zeros(5, 4), torch.full((7, 4), 3.0))
    assert float(apart) == pytest.approx(2 * 6 / 2)


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 17, 10), (2, 3, 5), (1, 28, 28)])
def test_pictures_of_any_size_are_made(shape):
    network = GAN(shape, classes=2, widths=[4, 8]).eval()
    assert network.generate(2, seed=0).shape == (2, *shape)
    assert network(torch.zeros(2, *shape)).shape == (2, 1)
