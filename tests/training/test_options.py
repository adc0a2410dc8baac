"""A recipe's options, each held against what it must do to the weights."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch
from sklearn.metrics import log_loss
from sklearn.utils.class_weight import compute_sample_weight
from torch import optim

from auditkit.errors import InputError
from auditkit.spec import parse
from auditkit.subject.data import Schema, Split
from auditkit.subject.preprocessing import fit_preprocessing
from auditkit.training.batches import Encoded, by_class, shuffled
from auditkit.training.losses import classification
from auditkit.training.recipe import Recipe
from auditkit.training.train import train

SCHEMA = Schema(("x", "z"), ("no", "yes"), "y", "yes")
PLAIN = {"hidden": [6], "dropout": 0.0, "norm": "none"}
ONE_STEP = {
    "arguments": PLAIN,
    "epochs": 1,
    "batch_size": 1000,
    "warmup": 0,
    "optimizer": "sgd",
    "momentum": 0,
    "learning_rate": 0.5,
    "weight_decay": 0,
    "threads": 1,
}


def rows(role, n, seed):
    """Yes, one in four, where x is above 0.67; z says nothing."""
    random = np.random.default_rng(seed)
    x, z = random.normal(size=(2, n))
    return Split(role, role, pa.table({"x": x, "z": z, "y": np.where(x > 0.67, "yes", "no")}), SCHEMA)


@pytest.fixture(scope="module")
def splits():
    return {"train": rows("train", 200, 0), "validation": rows("validation", 100, 1)}


@pytest.fixture(scope="module")
def preprocessing(splits):
    return fit_preprocessing(splits["train"], SCHEMA, {})


def trained(splits, more=None, **settings):
    return train(Recipe(**(ONE_STEP | settings)), splits, SCHEMA, device="cpu", **(more or {}))


def first_weights(splits):
    """The weights before any step."""
    return flat(trained(splits, learning_rate=1e-30))


def flat(model):
    return torch.cat([tensor.flatten() for tensor in model.module.state_dict().values()])


def repeated(split, times):
    """Each row as often as it says, as a split of its own."""
    return Split(split.name, split.role, split.table.take(pa.array(np.repeat(np.arange(len(split)), times))), SCHEMA)


def test_a_class_of_weight_3_is_each_of_its_rows_three_times(splits, preprocessing):
    more = {"preprocessing": preprocessing}
    weighted = trained(splits, more, class_weights={"yes": 3})
    labels = splits["train"].labels
    thrice = splits | {"train": repeated(splits["train"], np.where(labels == 1, 3, 1))}
    torch.testing.assert_close(flat(weighted), flat(trained(thrice, more)))
    assert not torch.allclose(flat(weighted), flat(trained(splits, more)), atol=1e-3)


def test_balanced_class_weights_are_sklearns(splits):
    split = splits["train"]
    truth = compute_sample_weight("balanced", split.labels)
    np.testing.assert_allclose(by_class(split, "balanced"), truth)
    three = Schema(("x",), ("a", "b", "c"), "y")
    some = Split("train", "train", pa.table({"x": [1.0, 2, 3], "y": ["a", "c", "c"]}), three)
    np.testing.assert_allclose(by_class(some, "balanced"), compute_sample_weight("balanced", [0, 2, 2]))


def test_weights_of_rows_have_a_mean_of_one_and_must_be_weights(splits, preprocessing):
    split = splits["train"]
    data = Encoded(split, preprocessing, np.linspace(0, 8, len(split)))
    data.weigh(by_class(split, {"yes": 3}))
    assert float(data.weights.mean()) == pytest.approx(1, rel=1e-6)
    truth = np.linspace(0, 8, len(split)) * np.where(split.labels == 1, 3, 1)
    np.testing.assert_allclose(data.weights.numpy(), truth / truth.mean(), rtol=1e-6)
    inputs, labels, weights = data[[3, 1]]
    assert torch.equal(weights, data.weights[[3, 1]])
    assert torch.equal(labels, data.labels[[3, 1]])
    assert torch.equal(inputs[0], data.inputs[0][[3, 1]])
    for wrong, said in (([1.0], "as many weights"), ([-1.0] * 200, "not negative"), ([0.0] * 200, "not all zero")):
        with pytest.raises(InputError, match=said):
            Encoded(split, preprocessing, np.array(wrong))


def test_every_epoch_has_an_order_of_its_own_that_follows_from_the_seed(splits, preprocessing):
    data = Encoded(splits["train"], preprocessing)

    def order(seed, epoch):
        sampler = shuffled(data, 64, seed).sampler
        sampler.set_epoch(epoch)
        return [row for batch in sampler for row in batch]

    assert order(0, 0) == order(0, 0)
    assert len({tuple(order(seed, epoch)) for seed in (0, 1) for epoch in (0, 1)}) == 4
    assert len(set(order(0, 0))) == 192


def test_a_step_is_no_longer_than_the_longest_gradient(splits):
    begun = first_weights(splits)
    free, clipped = trained(splits), trained(splits, gradient_clip=0.01)
    assert float((flat(clipped) - begun).norm()) == pytest.approx(0.5 * 0.01, rel=1e-3)
    way = flat(free) - begun
    torch.testing.assert_close(flat(clipped) - begun, way / way.norm() * 0.5 * 0.01, atol=1e-7, rtol=1e-3)


def test_two_batches_added_up_are_one_of_twice_the_size(splits):
    torch.testing.assert_close(flat(trained(splits, batch_size=100, accumulate=2)), flat(trained(splits)))


def test_momentum_goes_on_where_the_gradient_ends(splits):
    """Two epochs of one whole batch: the second step adds 0.9 of the first."""
    begun = first_weights(splits)
    settings = {"schedule": "constant", "learning_rate": 0.01}
    first = flat(trained(splits, **settings)) - begun
    plain, pushed = (trained(splits, epochs=2, momentum=m, **settings) for m in (0, 0.9))
    torch.testing.assert_close(flat(pushed) - flat(plain), 0.9 * first, atol=1e-6, rtol=1e-3)


def test_l1_brings_weights_that_say_nothing_near_zero(splits):
    settings = {"epochs": 40, "batch_size": 50, "optimizer": "adam", "momentum": None, "learning_rate": 0.02}
    plain, sparse = (trained(splits, l1=l1, **settings) for l1 in (0.0, 0.01))
    small = [(model.module.blocks[0][0].weight.abs() < 0.01).float().mean() for model in (plain, sparse)]
    assert small[0] < 0.2
    assert small[1] >= 0.5
    assert sparse.record["curves"][-1]["validation_accuracy"] > 0.9


@pytest.mark.parametrize("loss", ["focal", "bce", "mse", "mae"])
def test_a_rule_is_learned_with_each_loss_and_the_curves_are_of_it(splits, loss):
    settings = {"epochs": 15, "batch_size": 20, "optimizer": "adam", "momentum": None, "learning_rate": 0.05}
    model = trained(splits, loss=loss, label_smoothing=0.05, class_weights="balanced", **settings)
    best = model.record["curves"][model.record["best_epoch"] - 1]
    assert best["validation_accuracy"] > 0.93
    split = splits["validation"]
    with model.evaluating(), torch.inference_mode():
        logits = model.logits(model.encode(split))
    bare = float(classification(loss)(logits, torch.from_numpy(split.labels)).mean())
    assert best["validation_loss"] == pytest.approx(bare, rel=1e-5)
    if loss == "bce":
        chances = logits.double().sigmoid().numpy()
        truth = np.mean([log_loss(split.labels == k, chances[:, k]) for k in (0, 1)])
        assert best["validation_loss"] == pytest.approx(truth, rel=1e-4)


def test_a_plateaus_rate_follows_the_validation_loss(splits):
    settings = {"schedule": "plateau", "step_epochs": 1, "decay_factor": 0.5, "epochs": 12, "patience": 12}
    curves = trained(splits, batch_size=50, learning_rate=8.0, **settings).record["curves"]
    optimizer = optim.SGD([torch.zeros(1, requires_grad=True)], lr=8.0)
    own, truth = optim.lr_scheduler.ReduceLROnPlateau(optimizer, factor=0.5, patience=1, threshold=0.0), []
    for point in curves:
        truth.append(optimizer.param_groups[0]["lr"])
        own.step(point["validation_loss"])
    shown = [point["learning_rate"] for point in curves]
    assert shown == pytest.approx(truth)
    assert len(set(shown)) > 1


def test_half_precision_learns_too_and_needs_what_it_needs(splits):
    settings = {"epochs": 12, "batch_size": 20, "optimizer": "adamw", "momentum": None, "learning_rate": 0.05}
    model = trained(splits, precision="bf16-mixed", **settings)
    assert model.record["curves"][-1]["validation_accuracy"] > 0.93
    assert flat(model).dtype == torch.float32
    with pytest.raises(InputError, match="16-mixed needs a GPU; use bf16-mixed"):
        trained(splits, precision="16-mixed")


SHARED = """
import sys
sys.path.insert(0, {here!r})
import numpy as np
from test_options import ONE_STEP, SCHEMA, flat, rows
from auditkit.training.recipe import Recipe
from auditkit.training.train import train
splits = {{"train": rows("train", 200, 0), "validation": rows("validation", 100, 1)}}
settings = ONE_STEP | {{"devices": 2, "batch_size": 50, "epochs": 2, "class_weights": {{"yes": 3}}}}
model = train(Recipe(**settings), splits, SCHEMA, device="cpu")
with open({out!r}, "x") as file:
    file.write(" ".join(map(repr, flat(model).tolist())))
"""


@pytest.mark.slow
def test_two_processes_that_share_each_batch_end_where_one_does(splits, tmp_path):
    script, out = tmp_path / "shared.py", tmp_path / "weights.txt"
    script.write_text(SHARED.format(here=str(Path(__file__).parent), out=str(out)))
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    subprocess.run([sys.executable, script], check=True, env=environment, timeout=120, capture_output=True)
    alone = trained(splits, batch_size=50, epochs=2, class_weights={"yes": 3})
    both = np.array(out.read_text().split(), dtype=float)
    np.testing.assert_allclose(both, flat(alone).numpy(), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"loss": "hinge"}, "loss: input should be 'cross_entropy'"),
        ({"focal_gamma": 1}, "focal_gamma is a setting of loss: focal, here it would change nothing"),
        ({"optimizer": "adam", "momentum": 0.5}, "momentum is a setting of optimizer: sgd"),
        ({"nesterov": True}, "nesterov is a setting of optimizer: sgd"),
        ({"optimizer": "sgd", "nesterov": True, "momentum": 0}, "so momentum must be above 0"),
        ({"step_epochs": 3}, "step_epochs is a setting of schedule: step or plateau"),
        ({"class_weights": "even"}, "class_weights: write balanced, or map classes to weights"),
        ({"class_weights": {"yes": -1}}, "class_weights: write balanced, or map classes to weights"),
        ({"devices": "two"}, "devices: write how many devices, or auto"),
        ({"gradient_clip": 0}, "gradient_clip: input should be greater than 0"),
        ({"search": {}}, "search: dictionary should have at least 1 item"),
        ({"search": {"learning_rate": {"low": 1}}}, "search.learning_rate: give low and high, or a list of choices"),
        ({"search": {"learning_rate": {"lo": 1}}}, "unknown key 'lo' under 'search.learning_rate'; did you mean 'low'"),
        ({"search": {"learning_rate": {"low": 2, "high": 1}}}, "low must be below high, not 2 and 1"),
        ({"search": {"l1": {"low": 0, "high": 1, "log": True}}}, "low must be above 0 where log is true"),
        ({"search": {"learnig_rate": {"low": 1, "high": 2}}}, "did you mean 'learning_rate'"),
        ({"search": {"seed": {"low": 1, "high": 2}}}, "'seed' is no setting to try"),
        ({"search": {"arguments": {"low": 1, "high": 2}}}, r"as arguments\.<name>"),
        ({"search": {"loss": {"choices": ["bce", "mse"]}}}, "set objective: balanced_accuracy"),
    ],
)
def test_a_recipe_that_cannot_be_meant(change, said):
    with pytest.raises(InputError, match=said):
        parse(change, Recipe, "recipe.yaml")


MANUAL = """
import lightning, torch
class Net(torch.nn.Module):
    def __init__(self, numeric, categories, classes):
        super().__init__()
        self.head = torch.nn.Linear(numeric, classes)
    def forward(self, numbers):
        return self.head(numbers)
    def learner(self, recipe, steps):
        return Manual(self)
class Manual(lightning.LightningModule):
    def __init__(self, network):
        super().__init__()
        self.network, self.automatic_optimization = network, False
    def training_step(self, batch, _):
        pass
    def validation_step(self, batch, _, dataloader_idx=0):
        pass
    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), 0.1)
"""


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"loss": "huber"}, "huber is for networks that predict numbers"),
        ({"class_weights": {"yess": 2}}, "class_weights: 'yess' is no class; did you mean 'yes'"),
        ({"architecture": "manual_net:Net", "arguments": {}, "gradient_clip": 1}, "takes no gradient_clip"),
        ({"architecture": "manual_net:Net", "arguments": {}, "accumulate": 2}, "takes no gradient_clip or accumulate"),
        ({"architecture": "manual_net:Net", "arguments": {}}, "logs no 'train_loss'; each epoch it must log"),
    ],
)
def test_what_does_not_go_together(splits, tmp_path, change, said):
    (tmp_path / "manual_net.py").write_text(MANUAL)
    with pytest.raises(InputError, match=said):
        trained(splits, {"near": tmp_path}, **change)


@pytest.mark.gpu
@pytest.mark.parametrize("precision", ["16-mixed", "bf16-mixed"])
def test_mixed_precision_learns_on_a_gpu(splits, precision):
    settings = {"epochs": 12, "batch_size": 20, "optimizer": "adamw", "momentum": None, "learning_rate": 0.05}
    recipe = Recipe(**(ONE_STEP | settings | {"precision": precision, "devices": "auto"}))
    model = train(recipe, splits, SCHEMA, device="cuda")
    assert model.record["curves"][-1]["validation_accuracy"] > 0.93
    with pytest.raises(InputError, match="GPUs are asked for"):
        train(recipe.model_copy(update={"devices": 1000}), splits, SCHEMA, device="cuda")
