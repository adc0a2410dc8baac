"""A model on disk: what goes in comes out bit for bit, and everything that is wrong is refused in one sentence."""

import json
import os
import pickle

import numpy as np
import pyarrow as pa
import pytest
import torch
from safetensors.torch import load_file, save_file

from auditkit.errors import InputError
from auditkit.subject.bundle import import_architecture, load_bundle, read_record, save_bundle
from auditkit.subject.data import Schema, Split
from auditkit.subject.load import load_model
from auditkit.subject.model import Model
from auditkit.subject.preprocessing import Categorical, ImagePreprocessing, Numeric, TablePreprocessing
from auditkit.training.architectures.cnn import CNN
from auditkit.training.architectures.mlp import MLP

CPU = torch.device("cpu")
SCHEMA = Schema(("age", "job"), ("no", "yes"), "hired", "yes", ("sex",))


def table_model() -> Model:
    torch.manual_seed(0)
    preprocessing = TablePreprocessing(
        numeric=(Numeric(name="age", mean=40.1, scale=12.3),),
        categorical=(Categorical(name="job", vocabulary=("cook", "nurse")),),
    )
    arguments = {"numeric": 1, "categories": [3], "classes": 2, "hidden": [8]}
    network = MLP(**arguments)
    network.train()
    for _ in range(3):
        network(torch.randn(16, 1), torch.randint(0, 3, (16, 1)))
    path = "auditkit.training.architectures.mlp:MLP"
    return Model(
        network.eval(),
        SCHEMA.classes,
        preprocessing,
        device=CPU,
        architecture={"path": path, "arguments": arguments},
        schema=SCHEMA,
    )


def people() -> Split:
    table = pa.table({"age": [20.5, 61.0, None], "job": ["cook", "pilot", "nurse"]})
    return Split("ood", "ood", table, SCHEMA)


@pytest.fixture
def bundle(tmp_path):
    return save_bundle(table_model(), tmp_path / "bundle")


def edit(bundle, change):
    path = bundle / "model.json"
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def test_logits_survive_the_round_trip_bit_for_bit(bundle):
    before, after = table_model(), load_bundle(bundle, "cpu")
    with before.evaluating(), after.evaluating():
        assert torch.equal(before.logits(before.encode(people())), after.logits(after.encode(people())))
    assert after.digest == before.digest
    assert after.preprocessing == before.preprocessing
    assert after.schema == SCHEMA
    assert after.penultimate == "head"
    assert not after.module.training


def test_images_survive_the_round_trip_bit_for_bit(tmp_path):
    torch.manual_seed(1)
    arguments = {"shape": [3, 9, 7], "classes": 3, "widths": [4, 6]}
    preprocessing = ImagePreprocessing(divisor=255, mean=0.4, scale=0.2, shape=(3, 9, 7))
    model = Model(
        CNN(**arguments).eval(),
        ("a", "b", "c"),
        preprocessing,
        device=CPU,
        architecture={"path": "auditkit.training.architectures.cnn:CNN", "arguments": arguments},
    )
    again = load_bundle(save_bundle(model, tmp_path), "cpu")
    pictures = np.random.default_rng(0).integers(0, 256, (5, 3, 9, 7), dtype=np.uint8)
    rows = pa.table({"row": range(5)})
    split = Split("ood", "ood", rows, Schema(("images",), model.classes), {"images": pictures})
    with model.evaluating(), again.evaluating():
        assert torch.equal(model.logits(model.encode(split)), again.logits(again.encode(split)))


def test_saving_and_loading_leave_nothing_else_behind(bundle):
    state = torch.random.get_rng_state()
    load_bundle(bundle, "cpu")
    assert torch.equal(torch.random.get_rng_state(), state)
    save_bundle(table_model(), bundle)
    assert sorted(path.name for path in bundle.iterdir()) == ["model.json", "model.safetensors"]


def test_a_failed_save_keeps_the_old_bundle(bundle, monkeypatch):
    before = {path.name: path.read_bytes() for path in bundle.iterdir()}

    def broken(*_: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr("auditkit.subject.bundle.os.replace", broken)
    with pytest.raises(OSError, match="disk full"):
        save_bundle(table_model(), bundle)
    assert {path.name: path.read_bytes() for path in bundle.iterdir()} == before


class Trap:
    """Unpickling it makes a file."""

    def __init__(self, mark):
        self.mark = mark

    def __reduce__(self):
        return os.mkdir, (str(self.mark),)


@pytest.mark.parametrize("name", ["model.pt", "model.pth", "model.pkl", "model.ckpt", "model.bin", "MODEL.PT"])
def test_a_pickled_checkpoint_is_refused_without_being_opened(tmp_path, name):
    mark = tmp_path / "executed"
    (tmp_path / name).write_bytes(pickle.dumps(Trap(mark)))
    with pytest.raises(InputError, match=r"pickled checkpoint.*weights_only=True"):
        load_model(tmp_path / name)
    assert not mark.exists()
    pickle.loads((tmp_path / name).read_bytes())
    assert mark.exists(), "the trap works, it was not sprung"


@pytest.mark.parametrize("with_record", [False, True])
def test_a_folder_with_a_pickle_in_it_is_refused_too(tmp_path, bundle, with_record):
    mark = tmp_path / "executed"
    (bundle / "model.safetensors").unlink()
    if not with_record:
        (bundle / "model.json").unlink()
    (bundle / "pytorch_model.bin").write_bytes(pickle.dumps(Trap(mark)))
    with pytest.raises(InputError, match=r"pytorch_model\.bin: a pickled checkpoint"):
        load_model(bundle)
    assert not mark.exists()


def test_a_pickle_in_the_clothes_of_safetensors_is_refused(tmp_path, bundle):
    mark = tmp_path / "executed"
    (bundle / "model.safetensors").write_bytes(pickle.dumps(Trap(mark)))
    with pytest.raises(InputError, match="not a whole safetensors file"):
        load_model(bundle)
    assert not mark.exists()


@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 0.999])
def test_truncated_weights(bundle, share):
    path = bundle / "model.safetensors"
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(InputError, match=r"model\.safetensors: not a whole safetensors file"):
        load_bundle(bundle)


def test_a_flipped_byte_in_the_weights(bundle):
    path = bundle / "model.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(InputError, match="SHA-256 differs"):
        load_bundle(bundle)


def rename(state):
    state["blocks.0.0.wieght"] = state.pop("blocks.0.0.weight")


def shrink(state):
    state["head.weight"] = state["head.weight"][:1].clone()


def extend(state):
    state["head.extra"] = torch.zeros(1)


def remove(state):
    del state["head.bias"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (rename, "lacks 'blocks.0.0.weight'"),
        (shrink, r"'head.weight' with shape \(1, 8\), not \(2, 8\)"),
        (extend, "holds 'head.extra', which the network does not have"),
        (remove, "lacks 'head.bias'"),
    ],
)
def test_weights_of_another_network(bundle, change, said):
    import hashlib

    path = bundle / "model.safetensors"
    state = load_file(path)
    change(state)
    save_file(state, path)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    edit(bundle, lambda record: record.update(weights_sha256=digest))
    with pytest.raises(InputError, match=said):
        load_bundle(bundle)


def put(*keys, value):
    def change(record):
        for key in keys[:-1]:
            record = record[key]
        record[keys[-1]] = value

    return change


PATH = ("architecture", "path")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda record: record.update(clases=["a"]), "unknown key 'clases'; did you mean 'classes'"),
        (lambda record: record["preprocessing"].update(nmeric=[]), "preprocessing.table.nmeric: unknown key"),
        (lambda record: record.pop("classes"), "classes: field required"),
        (put("classes", value=["only"]), "classes: value error, a classifier has at least 2"),
        (put("classes", value=["no", "yes", "perhaps"]), "outputs of shape .* for 3 classes"),
        (put("positive", value="yse"), "positive class 'yse' is not a class; did you mean 'yes'"),
        (put("format", value=99), "format 99 is not known"),
        (put("penultimate", value="haed"), "no layer 'haed'; did you mean 'head'"),
        (put("preprocessing", "kind", value="audio"), "preprocessing"),
        (put("preprocessing", "numeric", 0, "scale", value=0), "scale: input should be greater than 0"),
        (put("preprocessing", "categorical", 0, "vocabulary", value=["a", "b", "c"]), "does not take what its prep"),
        (put("preprocessing", "numeric", value=[]), "does not take what its preprocessing gives"),
        (put(*PATH, value="no colon"), "architecture.path: string should match pattern"),
        (put(*PATH, value="auditkit.training.architectures.mpl:MLP"), "cannot import 'auditkit.training.arch"),
        (put(*PATH, value="auditkit.training.architectures.mlp:MLQ"), "has no 'MLQ'; did you mean 'MLP'"),
        (put(*PATH, value="auditkit.training.architectures.mlp:embedding_width"), "not a torch.nn.Module class"),
        (put("architecture", "arguments", "depth", value=3), "cannot be built from its arguments"),
    ],
)
def test_a_wrong_record(bundle, change, said):
    edit(bundle, change)
    with pytest.raises(InputError, match=said) as caught:
        load_bundle(bundle, "cpu")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", ["{", "[1]", "", '{"format": NaN}'])
def test_a_record_that_is_no_json_object(bundle, content):
    (bundle / "model.json").write_text(content)
    with pytest.raises(InputError, match=r"model\.json: "):
        load_bundle(bundle)


def test_no_bundle_at_all(tmp_path):
    with pytest.raises(InputError, match="there is no such bundle"):
        load_bundle(tmp_path / "nowhere")
    with pytest.raises(InputError, match=r"not a bundle, it has no model\.json"):
        load_bundle(tmp_path)
    (tmp_path / "model.onnx").write_bytes(b"x")
    with pytest.raises(InputError, match="a model is a bundle folder"):
        load_bundle(tmp_path / "model.onnx")


NET = """
from pathlib import Path
from torch import nn
Path(__file__).with_name("executed").touch()
class Net(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.head = nn.Linear(width, 2)
    def forward(self, numbers):
        return self.head(numbers)
"""


def test_foreign_code_runs_only_where_the_caller_names_it(tmp_path):
    (tmp_path / "foreign_net.py").write_text(NET)
    path = "foreign_net:Net"
    network = import_architecture(path, near=tmp_path)(width=1)
    (tmp_path / "executed").unlink()
    import sys

    del sys.modules["foreign_net"]
    model = Model(
        network,
        ("a", "b"),
        TablePreprocessing(numeric=(Numeric(name="x"),)),
        device=CPU,
        architecture={"path": path, "arguments": {"width": 1}},
    )
    bundle = save_bundle(model, tmp_path / "bundle")
    for allowed in (None, "foreign_net:Other"):
        with pytest.raises(InputError, match="'foreign_net:Net', code outside auditkit, which runs only where you nam"):
            load_bundle(bundle, "cpu", architecture=allowed, near=tmp_path)
    assert not (tmp_path / "executed").exists()
    assert load_bundle(bundle, "cpu", architecture=path, near=tmp_path).digest == model.digest
    assert (tmp_path / "executed").exists()
    assert str(tmp_path) not in sys.path


def test_a_record_that_names_a_command_runs_nothing(tmp_path, bundle):
    mark = tmp_path / "executed"
    edit(bundle, put("architecture", value={"path": "os:mkdir", "arguments": {"path": str(mark)}}))
    with pytest.raises(InputError, match="code outside auditkit"):
        load_bundle(bundle)
    with pytest.raises(InputError, match=r"not a torch\.nn.Module class"):
        load_bundle(bundle, architecture="os:mkdir")
    assert not mark.exists()


def test_a_live_module_without_its_architecture_cannot_be_saved(tmp_path):
    model = load_model(torch.nn.Linear(2, 2), classes=["a", "b"], features=["x", "y"], device="cpu")
    with pytest.raises(InputError, match="must say how to build the network"):
        save_bundle(model, tmp_path / "bundle")
    model.architecture = {"path": "torch.nn:Linear", "arguments": {"width": object()}}
    with pytest.raises(InputError, match="arguments must be values that JSON can hold"):
        save_bundle(model, tmp_path / "bundle")
    model.architecture = {"pth": "torch.nn:Linear"}
    with pytest.raises(InputError, match=r"model\.architecture: unknown key 'pth'; did you mean 'path'|field required"):
        save_bundle(model, tmp_path / "bundle")
    assert not (tmp_path / "bundle").exists()


def test_the_record_can_be_read_without_its_code(bundle):
    edit(bundle, put(*PATH, value="nowhere.at_all:Net"))
    assert read_record(bundle).classes == ("no", "yes")
