"""Networks that bring their own way of learning: killed and gone on with they end alike; short versions of the bars."""

import numpy as np
import pyarrow as pa
import pytest
import torch

from auditkit.statistics.roc import auroc
from auditkit.subject.builtin import builtin
from auditkit.subject.data import Schema, Split
from auditkit.training.recipe import Recipe, load_recipe
from auditkit.training.train import train

SHORT = {
    "unusual_digits": {"widths": [4], "code": 4},
    "generated_digits": {"widths": [4, 8], "noise": 4},
    "cartpole": {"hidden": [8], "episodes": 4},
}


class KilledError(Exception):
    pass


@pytest.mark.parametrize("name", SHORT)
def test_a_training_that_was_killed_ends_with_the_weights_of_one_that_was_not(name, tmp_path):
    if name == "cartpole":
        pytest.importorskip("gymnasium")
    recipe = load_recipe(name).model_copy(update={"epochs": 3, "patience": 3, "arguments": SHORT[name]})
    splits, schema = builtin(name)
    whole = train(recipe, splits, schema, device="cpu")

    def kill(epoch, _trainer):
        if epoch.epoch == 2:
            raise KilledError

    with pytest.raises(KilledError):
        train(recipe, splits, schema, device="cpu", checkpoint=tmp_path / "kept", watch=kill)
    again = train(recipe, splits, schema, device="cpu", checkpoint=tmp_path / "kept")
    assert again.digest == whole.digest
    assert again.record["resumed"]


def test_an_autoencoder_of_a_few_mnist_digits_tells_fashion_from_them(real_data):
    digits, items = (np.load(real_data / name)["images"][:, None] for name in ("mnist_10k.npz", "fashion_900.npz"))
    schema = Schema(("images",), ("usual", "unusual"), "kind")
    dealt = np.random.default_rng(0).permutation(len(digits))
    parts = {"train": digits[dealt[:3000]], "validation": digits[dealt[3000:3500]], "test": digits[dealt[3500:4000]]}
    splits = {
        name: Split(name, name, pa.table({"kind": ["usual"] * len(rows)}), schema, {"images": rows})
        for name, rows in parts.items()
    }
    recipe = Recipe(
        name="mnist",
        architecture="auditkit.training.architectures.autoencoder:DenseAutoencoder",
        arguments={"hidden": [128], "code": 24},
        epochs=14,
        batch_size=32,
        learning_rate=0.003,
        threads=1,
    )
    model = train(recipe, splits, schema, device="cpu")
    strange = Split("fashion", "ood", pa.table({"kind": ["unusual"] * len(items)}), schema, {"images": items})
    with torch.no_grad():
        usual, unusual = (model.logits(model.encode(split))[:, 1].numpy() for split in (splits["test"], strange))
    assert auroc(usual, unusual) >= 0.95


@pytest.mark.slow
def test_the_residual_network_reads_digits():
    splits, schema = builtin("digits")
    model = train("digits", splits, schema, device="cpu")
    with torch.no_grad():
        found = model.logits(model.encode(splits["test"])).argmax(1).numpy()
    assert (found == splits["test"].labels).mean() >= 0.975
