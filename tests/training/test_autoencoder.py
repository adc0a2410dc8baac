"""Autoencoders: logit, threshold and code; what is copied; and that rows unlike those of training are found."""

import math

import numpy as np
import pyarrow as pa
import pytest
import torch

from auditkit.engine.analysis import Needs
from auditkit.engine.probe import observe
from auditkit.engine.space import InputSpace
from auditkit.errors import InputError
from auditkit.statistics.roc import auroc
from auditkit.subject.bundle import load_bundle, save_bundle
from auditkit.subject.data import Schema, Split
from auditkit.training.architectures.autoencoder import LOSSES, ConvolutionalAutoencoder, DenseAutoencoder
from auditkit.training.recipe import Recipe
from auditkit.training.train import train

PATH = "auditkit.training.architectures.autoencoder:"


def table(role, n, seed, classes=("usual", "unusual"), usual="usual", broken=False):
    """b follows a, and the colour a's sign; in broken rows they are independent of it."""
    rng = np.random.default_rng(seed)
    a = rng.normal(size=n)
    source = rng.permutation(a) if broken else a
    columns = {"a": a, "b": 2 * source + 0.1 * rng.normal(size=n), "c": np.where(source > 0, "red", "blue")}
    kind = next(name for name in classes if (name == usual) != broken)
    schema = Schema(("a", "b", "c"), classes, "kind")
    return Split(role, role, pa.table({**columns, "kind": [kind] * n}), schema)


def images(role, n, seed, broken=False):
    """Bright bars, upright or (broken) level, at a random place."""
    rng = np.random.default_rng(seed)
    pictures = 0.1 * rng.random((n, 1, 8, 8))
    for row, place in enumerate(rng.integers(8, size=n)):
        pictures[(row, 0, place) if broken else (row, 0, slice(None), place)] += 1
    schema = Schema(("images",), ("usual", "unusual"), "kind", "unusual")
    kinds = pa.table({"kind": ["unusual" if broken else "usual"] * n})
    return Split(role, role, kinds, schema, {"images": pictures.astype(np.float32)})


def recipe(kind, arguments, **settings):
    given = {"epochs": 12, "batch_size": 64, "learning_rate": 0.01, "patience": 12, "weight_decay": 0.0, **settings}
    return Recipe(name="copier", architecture=PATH + kind, arguments=arguments, threads=1, **given)


def learned(maker, made, **places):
    splits = {"train": maker("train", 512, 0, **places), "validation": maker("validation", 256, 1, **places)}
    return train(made, splits, splits["train"].schema, device="cpu")


def errors_of(model, split):
    with torch.no_grad():
        return model.module.errors(*model.encode(split)).numpy()


@pytest.fixture(scope="module")
def dense():
    return learned(table, recipe("DenseAutoencoder", {"hidden": [16], "code": 1}, epochs=25))


@pytest.fixture(scope="module")
def convolutional():
    return learned(images, recipe("ConvolutionalAutoencoder", {"widths": [8, 16], "code": 4}))


def test_rows_whose_columns_do_not_go_together_are_copied_badly(dense):
    usual, broken = errors_of(dense, table("test", 500, 2)), errors_of(dense, table("test", 500, 3, broken=True))
    assert auroc(usual, broken) > 0.8


def test_pictures_of_another_kind_are_copied_badly(convolutional):
    usual, broken = (
        errors_of(convolutional, images("test", 300, 2)),
        errors_of(convolutional, images("test", 300, 3, True)),
    )
    assert auroc(usual, broken) > 0.95


@pytest.mark.parametrize("which", ["dense", "convolutional"])
def test_the_threshold_is_the_conformal_percentile_of_validation_and_the_median_gets_five_percent(which, request):
    model = request.getfixturevalue(which)
    held = (table if which == "dense" else images)("validation", 256, 1)
    errors = np.sort(errors_of(model, held))
    assert float(model.module.threshold) == pytest.approx(errors[math.ceil(0.95 * 257) - 1], rel=1e-4)
    with torch.no_grad():
        probability = model.logits(model.encode(held)).softmax(1)[:, 1].numpy()
    assert np.median(probability) == pytest.approx(0.05, abs=0.005)
    assert (probability > 0.5).mean() == pytest.approx(0.05, abs=0.01)


def test_the_logit_is_for_the_other_class_wherever_it_stands():
    made = recipe("DenseAutoencoder", {"hidden": [8], "code": 1}, epochs=3)
    second = learned(table, made, classes=("odd", "usual"))
    assert second.outlier == 0
    far = table("test", 50, 5, classes=("odd", "usual"))
    far = Split("far", "ood", far.table.set_column(0, "a", pa.array([100.0] * 50)), far.schema)
    with torch.no_grad():
        assert (second.logits(second.encode(far)).argmax(1) == 0).all()


def test_penultimate_features_are_the_code(dense, convolutional):
    for model, split, width in ((dense, table("test", 5, 2), 1), (convolutional, images("test", 5, 2), 4)):
        with model.evaluating(), torch.no_grad():
            (batch,) = model.batches(split, 5)
            seen = observe(model, batch, Needs(features=True)).features
            joined = model.module._joined(batch.inputs)
            torch.testing.assert_close(seen, model.module.encoder(joined))
        assert seen.shape == (5, width)


def test_parts_add_up_to_the_row_and_copies_have_the_form_of_inputs(dense, convolutional):
    for model, split, parts in ((dense, table("test", 7, 2), (7, 3)), (convolutional, images("test", 7, 2), (7, 8, 8))):
        inputs = model.encode(split)
        with torch.no_grad():
            by_part, copies = model.module.part_errors(*inputs), model.module.reconstruct(*inputs)
            torch.testing.assert_close(by_part.flatten(1).mean(1), model.module.errors(*inputs))
        assert by_part.shape == parts
        assert [(part.shape, part.dtype) for part in copies] == [(part.shape, part.dtype) for part in inputs]


def test_a_category_s_error_is_half_the_squared_distance_of_its_one_hot():
    network = DenseAutoencoder(classes=2, numeric=1, categories=[3], hidden=[4], code=2).eval()
    inputs = (torch.zeros(1, 1), torch.tensor([[2]]))
    with torch.no_grad():
        copied = network.decoder(network.encoder(torch.tensor([[0.0, 0.0, 0.0, 1.0]])))[0]
        expected = [copied[0] ** 2, 0.5 * (copied[1] ** 2 + copied[2] ** 2 + (copied[3] - 1) ** 2)]
        torch.testing.assert_close(network.part_errors(*inputs)[0], torch.stack(expected))


def test_gradients_reach_numbers_and_categories(dense):
    with dense.evaluating():
        space = InputSpace.trace(dense, dense.preprocessing.example(1))
    assert len(space.slots) == 1


@pytest.mark.parametrize("loss", LOSSES)
def test_every_loss_learns_to_copy(loss):
    model = learned(images, recipe("ConvolutionalAutoencoder", {"widths": [8], "code": 4, "loss": loss}, epochs=8))
    curves = model.record["curves"]
    assert curves[-1]["validation_loss"] < 0.9 * curves[0]["validation_loss"]
    inputs = model.encode(images("test", 50, 9))
    with torch.no_grad():
        errors, empty = model.module.errors(*inputs).mean(), model.module.errors_of_nothing(*inputs).mean()
    assert errors < 0.95 * empty


def test_a_bundle_keeps_threshold_code_and_caveats(convolutional, tmp_path):
    save_bundle(convolutional, tmp_path)
    again = load_bundle(tmp_path, device="cpu")
    inputs = convolutional.encode(images("test", 9, 4))
    with torch.no_grad():
        torch.testing.assert_close(again.logits(inputs), convolutional.logits(inputs))
    assert (again.penultimate, again.outlier, again.one_class) == ("code", 1, True)
    assert "calibrated" in again.caveats[0].text
    assert "scores" in again.lacks


def test_the_same_seed_gives_the_same_weights():
    made = recipe("ConvolutionalAutoencoder", {"widths": [4], "code": 2}, epochs=2)
    assert learned(images, made).digest == learned(images, made).digest


def test_training_rows_of_two_classes_are_refused():
    mixed = pa.concat_tables([table("train", 50, 0).table, table("train", 50, 0, broken=True).table])
    splits = {
        "train": Split("train", "train", mixed, table("train", 2, 0).schema),
        "validation": table("validation", 50, 1),
    }
    made = recipe("DenseAutoencoder", {"hidden": [8]}, epochs=2)
    with pytest.raises(InputError, match="learns one class alone"):
        train(made, splits, splits["train"].schema, device="cpu")
    loss = made.model_copy(update={"loss": "mse"})
    splits["train"] = table("train", 50, 0)
    with pytest.raises(InputError, match=r"arguments\.loss"):
        train(loss, splits, splits["train"].schema, device="cpu")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"classes": 3, "numeric": 2}, "two classes"),
        ({"classes": 2, "numeric": 2, "loss": "cross"}, "no loss"),
        ({"classes": 2, "numeric": 2, "loss": "bce"}, "for pixels"),
    ],
)
def test_what_no_autoencoder_can_be_built_from_is_said(arguments, said):
    with pytest.raises(ValueError, match=said):
        DenseAutoencoder(**arguments)


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 17, 10), (2, 3, 5), (1, 28, 28)])
def test_pictures_of_any_size_come_back_in_their_own(shape):
    for network in (ConvolutionalAutoencoder(shape, 2, widths=[3, 4]), DenseAutoencoder(2, shape=shape)):
        inputs = torch.randn(3, *shape)
        assert network.eval()(inputs).shape == (3, 1)
        assert network.reconstruct(inputs)[0].shape == inputs.shape
