"""Killed and gone on with: the weights of an undisturbed training, and nothing taken from a file that is not its."""

import os
import pickle
import signal
import subprocess
import sys
import time
from importlib.resources import files
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import torch
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file

from auditkit.engine.meter import Cost, Meter, NoMeter
from auditkit.engine.progress import Progress
from auditkit.engine.reader import Part, Reading
from auditkit.subject.bundle import load_bundle
from auditkit.subject.data import Schema, Split
from auditkit.training import checkpoints
from auditkit.training.checkpoints import CheckpointFile, checkpoint_path, put_together, take_apart
from auditkit.training.command import recipe_data, train_command
from auditkit.training.learner import Learner
from auditkit.training.recipe import Recipe, load_recipe
from auditkit.training.spent import together
from auditkit.training.train import train

SCHEMA = Schema(("x",), ("no", "yes"), "y", "yes")
RECIPE = {
    "arguments": {"hidden": [6], "dropout": 0.3},
    "epochs": 5,
    "batch_size": 40,
    "learning_rate": 0.02,
    "threads": 1,
    "patience": 5,
}
PATIENT = RECIPE | {"optimizer": "sgd", "schedule": "plateau", "step_epochs": 1, "loss": "focal", "patience": 1}
STEPS = 4  # batches in an epoch


class Listening(Progress):
    """Keeps what was said."""

    def __init__(self):
        super().__init__(quiet=True)
        self.said = []

    def say(self, text):
        self.said.append(text)


class StoppedError(Exception):
    """Stands for a kill, where one in earnest would take the tests along."""


def rows(role, n, seed):
    random = np.random.default_rng(seed)
    x = random.normal(size=n)
    return Split(role, role, pa.table({"x": x, "y": np.where(x + random.normal(size=n) > 0, "yes", "no")}), SCHEMA)


@pytest.fixture(scope="module")
def splits():
    return {"train": rows("train", 160, 0), "validation": rows("validation", 80, 1)}


def stopped_after(epoch):
    def watch(point, _):
        if point.epoch == epoch + 1:
            raise StoppedError

    return watch


def disturbed(recipe, splits, path, epoch, **more):
    """Train until a checkpoint of so many epochs is there, and then again."""
    with pytest.raises(StoppedError):
        train(recipe, splits, SCHEMA, device="cpu", checkpoint=path, watch=stopped_after(epoch), **more)
    heard = Listening()
    return train(recipe, splits, SCHEMA, device="cpu", checkpoint=path, progress=heard, **more), heard.said


@pytest.fixture
def folder(tmp_path):
    table = rows("train", 200, 0).table
    pd.DataFrame(table.to_pydict()).to_csv(tmp_path / "rows.csv", index=False)
    content = RECIPE | {"name": "killed", "data": {"train": "rows.csv"}, "columns": {"label": "y", "positive": "yes"}}
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(content))
    return tmp_path


def in_a_child(work):
    """Run in a forked process; the signal that ended it, or 0."""
    child = os.fork()
    if child == 0:
        try:
            work()
        finally:
            os._exit(0)
    return os.waitpid(child, 0)[1]


def killed_at(monkeypatch, place, call):
    """Have the process kill itself at the nth call of a function."""
    owner, name = place
    inner, calls = getattr(owner, name), [0]

    def counted(*given, **named):
        calls[0] += 1
        if calls[0] == call:
            os.kill(os.getpid(), signal.SIGKILL)
        return inner(*given, **named)

    monkeypatch.setattr(owner, name, counted)


@pytest.mark.parametrize(
    ("place", "call", "epochs"),
    [
        ((Learner, "training_step"), 2, None),
        ((Learner, "training_step"), STEPS + 1, 1),
        ((Learner, "training_step"), 2 * STEPS + 3, 2),
        ((Learner, "validation_step"), 6, 2),
        ((checkpoints, "save_file"), 4, 3),
        ((checkpoints.os, "replace"), 4, 3),
        ((sys.modules[train_command.__module__], "save_bundle"), 1, 5),
        ((sys.modules[train_command.__module__], "remove_checkpoint"), 1, 5),
    ],
    ids=["before any", "early", "mid-epoch", "measuring", "writing", "renaming", "before the bundle", "after it"],
)
def test_killed_at_any_moment_it_ends_with_the_same_weights(folder, monkeypatch, place, call, epochs):
    target, out = str(folder / "recipe.yaml"), folder / "model"
    train_command(target, folder / "whole", quiet=True, device="cpu", meter=NoMeter())
    whole = load_bundle(folder / "whole", "cpu")
    with monkeypatch.context() as patched:
        killed_at(patched, place, call)
        status = in_a_child(lambda: train_command(target, out, quiet=True, device="cpu", meter=NoMeter()))
    assert os.WIFSIGNALED(status)
    assert os.WTERMSIG(status) == signal.SIGKILL
    assert checkpoint_path(out).exists() == (epochs is not None)
    train_command(target, out, quiet=True, device="cpu", meter=NoMeter())
    again = load_bundle(out, "cpu")
    assert again.digest == whole.digest
    assert again.record["curves"] == whole.record["curves"]
    assert again.record["resumed"] == ([] if epochs is None else [epochs])
    assert sorted(item.name for item in folder.iterdir()) == ["model", "recipe.yaml", "rows.csv", "whole"]


@pytest.mark.slow
def test_the_command_itself_killed_and_called_again(folder):
    """A kill from outside as soon as there is a checkpoint, wherever the training then is."""
    content = yaml.safe_load((folder / "recipe.yaml").read_text()) | {"epochs": 40, "patience": 40}
    (folder / "recipe.yaml").write_text(yaml.safe_dump(content))
    command = [sys.executable, "-m", "auditkit", "train", str(folder / "recipe.yaml"), "--out", str(folder / "model")]
    running = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while not checkpoint_path(folder / "model").exists() and running.poll() is None:
        time.sleep(0.01)
    running.kill()
    assert running.wait() == -signal.SIGKILL
    target = str(folder / "recipe.yaml")
    train_command(target, folder / "model", quiet=True, meter=NoMeter())
    train_command(target, folder / "whole", quiet=True, meter=NoMeter())
    again, whole = (load_bundle(folder / name, "cpu") for name in ("model", "whole"))
    assert again.digest == whole.digest
    assert len(again.record["resumed"]) == 1


@pytest.mark.parametrize("recipe", [RECIPE, PATIENT], ids=["adamw", "sgd with a plateau"])
def test_all_that_is_learned_goes_on_whatever_the_options(splits, tmp_path, recipe):
    recipe = Recipe(**recipe)
    whole = train(recipe, splits, SCHEMA, device="cpu")
    for epoch in range(1, whole.record["epochs"]):
        again, said = disturbed(recipe, splits, tmp_path / "c", epoch)
        assert said[0] == f"model: going on after epoch {epoch} of 5, from {tmp_path / 'c'}"
        assert again.digest == whole.digest
        assert again.record["curves"] == whole.record["curves"]
        (tmp_path / "c").unlink()


def test_a_training_that_had_stopped_early_does_not_begin_again(splits, tmp_path):
    recipe, heard = Recipe(**(PATIENT | {"learning_rate": 30.0, "epochs": 30})), Listening()
    whole = train(recipe, splits, SCHEMA, device="cpu", checkpoint=tmp_path / "c")
    assert whole.record["epochs"] < 30
    again = train(recipe, splits, SCHEMA, device="cpu", checkpoint=tmp_path / "c", progress=heard)
    assert again.record["curves"] == whole.record["curves"]
    assert again.digest == whole.digest
    assert heard.said == [f"model: all epochs are done, from {tmp_path / 'c'}"]


DIVERGING = """
from auditkit.training.architectures.mlp import MLP
import torch
class Net(MLP):
    def __init__(self, **arguments):
        super().__init__(**arguments)
        self.register_buffer("steps", torch.zeros(()))
    def forward(self, *inputs):
        self.steps += self.training
        return super().forward(*inputs) * torch.where(self.steps > 10, torch.nan, 1.0)
"""


def test_a_training_that_had_diverged_does_not_begin_again(splits, tmp_path):
    (tmp_path / "diverging_late.py").write_text(DIVERGING)
    recipe, heard = Recipe(**(RECIPE | {"architecture": "diverging_late:Net"})), Listening()
    whole = train(recipe, splits, SCHEMA, device="cpu", near=tmp_path, checkpoint=tmp_path / "c")
    assert whole.record["epochs"] == 2
    again = train(recipe, splits, SCHEMA, device="cpu", near=tmp_path, checkpoint=tmp_path / "c", progress=heard)
    assert heard.said == [f"model: all epochs are done, from {tmp_path / 'c'}"]
    assert again.digest == whole.digest


OWN_WAY = """
import lightning, torch
from torch import nn
class Net(nn.Module):
    def __init__(self, numeric, categories, classes):
        super().__init__()
        self.body, self.head = nn.Linear(numeric, 4), nn.Linear(4, classes)
        self.noise = torch.Generator().manual_seed(5)
    def forward(self, numbers):
        return self.head(self.body(numbers))
    def learner(self, recipe, steps):
        return Own(self)
class Own(lightning.LightningModule):
    '''Two optimisers stepped by hand, noise from a generator of its own, a rate that falls epoch by epoch, a count.'''
    def __init__(self, network):
        super().__init__()
        self.network, self.automatic_optimization, self.seen = network, False, 0
    def configure_optimizers(self):
        made = [torch.optim.Adam(self.network.body.parameters(), 0.05),
                torch.optim.SGD(self.network.head.parameters(), 0.05, momentum=0.9)]
        return made, [torch.optim.lr_scheduler.StepLR(each, 2, 0.5) for each in made]
    def training_step(self, batch, _):
        (numbers,), labels, _weights = batch
        self.seen += len(labels)
        noisy = numbers + torch.randn(numbers.shape, generator=self.network.noise) / (1 + self.seen / 100)
        for optimizer in self.optimizers():
            optimizer.zero_grad()
        self.manual_backward(nn.functional.cross_entropy(self.network(noisy), labels))
        for optimizer in self.optimizers():
            optimizer.step()
    def on_train_epoch_end(self):
        for schedule in self.lr_schedulers():
            schedule.step()
        with torch.no_grad():
            self.network.head.bias.mul_(0.9)
    def validation_step(self, batch, _, dataloader_idx=0):
        inputs, labels, _weights = batch
        logits, split = self.network(*inputs), ("train", "validation")[dataloader_idx]
        self.log_dict({f"{split}_loss": nn.functional.cross_entropy(logits, labels),
                       f"{split}_accuracy": (logits.argmax(1) == labels).float().mean()}, add_dataloader_idx=False)
    def on_save_checkpoint(self, checkpoint):
        checkpoint["seen"] = self.seen
    def on_load_checkpoint(self, checkpoint):
        self.seen = checkpoint["seen"]
class Closed(Own):
    def on_save_checkpoint(self, checkpoint):
        checkpoint["seen"] = object()
class ClosedNet(Net):
    def learner(self, recipe, steps):
        return Closed(self)
class Unresumable(Own):
    resumable = False
class UnresumableNet(Net):
    def learner(self, recipe, steps):
        return Unresumable(self)
"""


def test_a_learner_of_the_networks_own_goes_on_too(splits, tmp_path):
    (tmp_path / "own_way.py").write_text(OWN_WAY)
    recipe = Recipe(**(RECIPE | {"architecture": "own_way:Net", "arguments": {}}))
    whole = train(recipe, splits, SCHEMA, device="cpu", near=tmp_path)
    for epoch in (1, 2, 3):
        again, _ = disturbed(recipe, splits, tmp_path / "c", epoch, near=tmp_path)
        assert again.record["resumed"] == [epoch]
        assert again.digest == whole.digest
        (tmp_path / "c").unlink()


FAMILIES = sorted(Path(item.name).stem for item in files("auditkit.training").joinpath("recipes").iterdir())


@pytest.mark.parametrize("name", FAMILIES)
def test_every_kind_of_network_that_comes_along_goes_on(name, tmp_path):
    recipe = load_recipe(name).model_copy(update={"epochs": 2, "patience": 2, "threads": 1, "batch_size": 40})
    splits, schema = recipe_data(recipe, tmp_path)
    few = {role: first(splits[role], 80) for role in ("train", "validation")}
    whole = train(recipe, few, schema, device="cpu")
    with pytest.raises(StoppedError):
        train(recipe, few, schema, device="cpu", checkpoint=tmp_path / "c", watch=stopped_after(1))
    again = train(recipe, few, schema, device="cpu", checkpoint=tmp_path / "c")
    assert again.record["resumed"] == [1]
    assert again.digest == whole.digest
    assert again.record["curves"] == whole.record["curves"]


def first(split, n):
    arrays = {name: array[:n] for name, array in split.arrays.items()}
    return Split(split.name, split.role, split.table.slice(0, n), split.schema, arrays)


@pytest.mark.parametrize("method", ["reweighing", "adversarial", "exponentiated_gradient"])
def test_a_mitigated_training_goes_on_with_what_it_has_kept(method, tmp_path):
    mitigation = {"method": method, "sensitive": ["sex"]}
    more = {"trainings": 3, "epochs": 1} if method == "exponentiated_gradient" else {}
    small = {"hidden": [8]}
    recipe = load_recipe("adult").model_copy(
        update={"epochs": 2, "batch_size": 128, "arguments": small, "mitigation": mitigation | more}
    )
    splits, schema = recipe_data(recipe, tmp_path)
    few = {role: first(splits[role], 600) for role in ("train", "validation")}
    whole = train(recipe, few, schema, device="cpu", checkpoint=tmp_path / "whole")
    with pytest.raises(StoppedError):
        train(recipe, few, schema, device="cpu", checkpoint=tmp_path / "c", watch=stopped_after(1))
    for again in (train(recipe, few, schema, device="cpu", checkpoint=tmp_path / name) for name in ("c", "whole")):
        assert again.digest == whole.digest
        assert again.record["mitigation"] == whole.record["mitigation"]
        assert len(again.record["resumed"]) == 1


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("ClosedNet", "in the state of its learner, a object is neither a tensor nor a plain value"),
        ("UnresumableNet", "its learner cannot go on from a checkpoint"),
    ],
)
def test_a_learner_that_cannot_go_on_says_so_and_starts_over(splits, tmp_path, name, said):
    (tmp_path / "own_way.py").write_text(OWN_WAY)
    recipe, heard = Recipe(**(RECIPE | {"architecture": f"own_way:{name}", "arguments": {}})), Listening()
    model = train(recipe, splits, SCHEMA, device="cpu", near=tmp_path, checkpoint=tmp_path / "c", progress=heard)
    assert heard.said == [f"a killed training of this network starts over: {said}"]
    assert not (tmp_path / "c").exists()
    assert model.record["epochs"] == 5


@pytest.mark.parametrize("change", ["recipe", "seed", "rows", "labels"])
def test_a_checkpoint_of_another_training_is_not_gone_on_from(splits, tmp_path, change):
    recipe, heard, other = Recipe(**RECIPE), Listening(), dict(splits)
    train(recipe, splits, SCHEMA, device="cpu", checkpoint=tmp_path / "c")
    table = splits["train"].table
    if change == "recipe":
        recipe = recipe.model_copy(update={"weight_decay": 0.02})
    elif change == "seed":
        recipe = recipe.model_copy(update={"seed": 1})
    elif change == "rows":
        table = table.set_column(0, "x", pa.array(np.append(table["x"].to_numpy()[:-1], 0.5)))
    else:
        *labels, last = table["y"].to_pylist()
        table = table.set_column(1, "y", pa.array([*labels, "yes" if last == "no" else "no"]))
    other["train"] = Split("train", "train", table, SCHEMA)
    again = train(recipe, other, SCHEMA, device="cpu", checkpoint=tmp_path / "c", progress=heard)
    assert "is not gone on from: it is of another recipe, other data or other versions" in heard.said[0]
    assert again.record["resumed"] == []
    assert again.digest == train(recipe, other, SCHEMA, device="cpu").digest


class Creating:
    """A pickle that would make a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


def test_a_damaged_checkpoint_is_not_gone_on_from_and_a_pickle_not_opened(splits, tmp_path):
    recipe, path = Recipe(**RECIPE), tmp_path / "c"
    whole = train(recipe, splits, SCHEMA, device="cpu", checkpoint=path)
    content = path.read_bytes()
    pickled = pickle.dumps(Creating(tmp_path / "made"))
    lying = (2**40).to_bytes(8, "little") + content[8:]
    for wrong in (content[:-9], content[: len(content) // 3], b"", pickled, lying):
        path.write_bytes(wrong)
        heard = Listening()
        again = train(recipe, splits, SCHEMA, device="cpu", checkpoint=path, progress=heard)
        assert "is truncated or damaged; training begins anew" in heard.said[0]
        assert again.digest == whole.digest
        assert not (tmp_path / "made").exists()


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    file = CheckpointFile(tmp_path_factory.mktemp("kept") / "c", "this training")
    state = {"weights": torch.arange(6.0), "step": 3, "rates": (0.1, float("inf")), 2: [None, True]}
    file.save_checkpoint(state)
    return file, state


@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_no_flipped_bit_goes_unseen(kept, data):
    file, state = kept
    content = bytearray(file.path.read_bytes())
    place = data.draw(st.integers(0, len(content) - 1))
    content[place] ^= 1 << data.draw(st.integers(0, 7))
    other = CheckpointFile(file.path.with_name("flipped"), file.identity)
    other.path.write_bytes(content)
    try:
        found = other.load_checkpoint()
    except ValueError:
        return
    assert torch.equal(found.pop("weights"), state["weights"])
    assert found == {key: value for key, value in state.items() if key != "weights"}


plain = st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False) | st.text(max_size=5)
nested = st.recursive(
    plain,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.tuples(inner, inner)
        | st.dictionaries(st.integers() | st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=12,
)


@given(nested)
def test_a_state_taken_apart_is_put_together_again(state):
    tensors = {}
    assert put_together(take_apart(state, tensors), tensors) == state
    assert tensors == {}


def test_tensors_of_every_kind_are_kept(tmp_path):
    shared = torch.randn(3, 4)
    state = {
        "half": torch.randn(2).bfloat16(), "flags": torch.tensor([True, False]), "none": torch.zeros(0, 3),
        "scalar": torch.tensor(7), "turned": shared.T, "same": [shared, shared], "bytes": torch.random.get_rng_state(),
    }  # fmt: skip
    file = CheckpointFile(tmp_path / "c", "x")
    file.save_checkpoint(state)
    found = file.load_checkpoint()
    for name in state.keys() - {"same"}:
        assert found[name].dtype == state[name].dtype
        assert torch.equal(found[name], state[name])
    assert torch.equal(found["same"][1], shared)
    assert len(load_file(tmp_path / "c")) == 8


class Scripted(NoMeter):
    """A meter of so many joules for each window."""

    class Reader:
        def start(self):
            pass

        def stop(self):
            return Reading((Part("cpu", 5.0, 4.0, 6.0, "measured", "script"),))

    def __init__(self):
        Meter.__init__(self, "DEU", reader=self.Reader())


def test_the_energy_before_a_kill_is_not_lost(splits, tmp_path, monkeypatch):
    monkeypatch.setattr("auditkit.training.spent.WINDOW_SECONDS", 0.0)
    again, _ = disturbed(Recipe(**RECIPE), splits, tmp_path / "c", 3, meter=Scripted())
    energy = again.record["energy"]
    assert energy["joules"] == 5.0 * (3 + 3)  # three epochs before, two after and the end
    assert (energy["low_joules"], energy["high_joules"]) == (24.0, 36.0)
    assert energy["source"] == "measured"
    assert "resumed once: what was spent between a last metered checkpoint and a kill is not known" in energy["reason"]


def test_a_part_of_the_energy_is_not_the_whole():
    known = Cost("training", 2.0, 10.0, 8.0, 12.0, "measured", "a counter", reason="")
    total = together([known, Cost("training", 3.0, reason="the counter broke")])
    assert (total.joules, total.source, total.reason, total.seconds) == (None, "absent", "the counter broke", 5.0)
    both = together([known, Cost("training", 1.0, 2.0, 1.0, 3.0, "estimated", "a model", reason="")])
    assert (both.joules, both.low_joules, both.high_joules, both.source) == (12.0, 9.0, 15.0, "estimated")
    assert together([known]) is known


@pytest.mark.gpu
def test_a_training_on_a_gpu_goes_on_as_well(splits, tmp_path):
    recipe = Recipe(**(RECIPE | {"precision": "16-mixed"}))
    whole = train(recipe, splits, SCHEMA, device="cuda")
    with pytest.raises(StoppedError):
        train(recipe, splits, SCHEMA, device="cuda", checkpoint=tmp_path / "c", watch=stopped_after(3))
    again = train(recipe, splits, SCHEMA, device="cuda", checkpoint=tmp_path / "c")
    losses = [[point["validation_loss"] for point in model.record["curves"]] for model in (whole, again)]
    assert losses[1] == pytest.approx(losses[0], rel=1e-3)
    assert again.record["resumed"] == [3]
