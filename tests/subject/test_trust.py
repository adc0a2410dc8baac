"""Pickles: no loader opens one, unless its caller says so, and then the evidence tells it."""

import hashlib
import importlib
import json
import pickle
import sys
import textwrap

import joblib
import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from sklearn.linear_model import LogisticRegression
from torch import nn
from typer.testing import CliRunner

import auditkit as ak
from auditkit.cli import app
from auditkit.errors import InputError
from auditkit.spec import AuditSpec
from auditkit.subject.described import load_subject
from auditkit.subject.probabilities import what_is_given

CLASSES = ["no", "yes"]


class Trap:
    """An object that creates a file when it is unpickled."""

    def __init__(self, mark) -> None:
        self.mark = str(mark)

    def __reduce__(self):
        return open, (self.mark, "w")


def frame(rows: int = 120) -> pd.DataFrame:
    drawn = np.random.default_rng(0).normal(size=(rows, 2))
    return pd.DataFrame({"a": drawn[:, 0], "b": drawn[:, 1], "y": np.where(drawn.sum(axis=1) > 0, "yes", "no")})


def fitted() -> LogisticRegression:
    rows = frame()
    return LogisticRegression().fit(rows[["a", "b"]], rows["y"])


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(2, 4), nn.ReLU(), nn.Linear(4, 2)).eval()


def bare(folder, name: str, content: object, form: str):
    path = folder / name
    if form == "torch":
        torch.save(content, path)
    elif form == "joblib":
        joblib.dump(content, path)
    elif form == "compressed":
        joblib.dump(content, path, compress=3)
    else:
        path.write_bytes(pickle.dumps(content))
    return path


def hugging_face(folder, name: str, content: object, form: str):
    config = {"model_type": "bert", "architectures": ["BertForSequenceClassification"], "hidden_size": 8,
              "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 8, "vocab_size": 8}  # fmt: skip
    (folder / "config.json").write_text(json.dumps(config))
    bare(folder, name, content, form)
    return folder


def mlflow_folder(folder, flavour: str, settings: dict, name: str, content: object, form: str):
    about = {"flavors": {flavour: settings}, "run_id": "r1"}
    columns = [{"name": "a", "type": "double"}, {"name": "b", "type": "double"}]
    about["signature"] = {"inputs": json.dumps(columns)}
    (folder / "MLmodel").write_text(yaml.safe_dump(about))
    (folder / name).parent.mkdir(exist_ok=True)
    bare(folder, name, content, form)
    return folder


def bundle(folder, name: str, content: object, form: str):
    (folder / "model.json").write_text("{}")
    bare(folder, name, content, form)
    return folder


PLACES = {
    **{
        f"{form} {suffix}": (lambda folder, trap, s=suffix, f=form: bare(folder, f"net{s}", trap, f))
        for suffix in (".pt", ".pth", ".ckpt", ".bin", ".pkl", ".pickle", ".joblib")
        for form in ("torch", "joblib", "compressed", "pickle")
    },
    "hugging face": lambda folder, trap: hugging_face(folder, "pytorch_model.bin", trap, "torch"),
    "hugging face, plain": lambda folder, trap: hugging_face(folder, "pytorch_model.bin", trap, "pickle"),
    "hugging face, in parts": lambda folder, trap: hugging_face(
        folder, "pytorch_model-00001-of-00002.bin", trap, "torch"
    ),
    "hugging face, in disguise": lambda folder, trap: hugging_face(folder, "model.safetensors", trap, "torch"),
    "mlflow torch": lambda folder, trap: mlflow_folder(
        folder, "pytorch", {"model_data": "data"}, "data/model.pth", trap, "torch"
    ),
    "mlflow exported": lambda folder, trap: mlflow_folder(
        folder, "pytorch", {"model_data": "data"}, "data/model.pt2", trap, "torch"
    ),
    "mlflow sklearn": lambda folder, trap: mlflow_folder(
        folder, "sklearn", {"pickled_model": "model.pkl"}, "model.pkl", trap, "pickle"
    ),
    "mlflow function": lambda folder, trap: mlflow_folder(
        folder, "python_function", {"loader_module": "mlflow.sklearn", "model_path": "model.pkl"}, "model.pkl", trap,
        "pickle",
    ),
    "mlflow onnx": lambda folder, trap: mlflow_folder(
        folder, "onnx", {"data": "model.onnx"}, "model.onnx", trap, "pickle"
    ),
    "bundle": lambda folder, trap: bundle(folder, "model.pkl", trap, "pickle"),
    "bundle, in disguise": lambda folder, trap: bundle(folder, "model.safetensors", trap, "pickle"),
}  # fmt: skip


@pytest.mark.parametrize("place", list(PLACES))
def test_no_loader_runs_a_malicious_pickle(place, tmp_path):
    (folder := tmp_path / "model").mkdir()
    source = PLACES[place](folder, Trap(tmp_path / "ran"))
    with pytest.raises(InputError) as refused:
        ak.load_model(source, classes=CLASSES, features=["a", "b"])
    assert "\n" not in str(refused.value)
    assert not (tmp_path / "ran").exists()


def test_the_traps_would_work(tmp_path):
    for place in ("torch .pt", "joblib .joblib", "compressed .joblib", "pickle .pkl"):
        (folder := tmp_path / place).mkdir()
        source = PLACES[place](folder, Trap(folder / "ran"))
        with pytest.raises(InputError, match=r"holds no network and no classifier|cannot be unpickled"):
            ak.load_model(source, classes=CLASSES, features=["a", "b"], trust=True)
        assert (folder / "ran").exists()


@pytest.mark.parametrize("form", ["torch", "pickle", "joblib", "compressed"])
def test_a_trusted_network_gives_its_logits_and_a_caveat(form, tmp_path):
    path = bare(tmp_path, "net.pt" if form == "torch" else "net.joblib", {"epoch": 3, "model": network()}, form)
    with pytest.raises(InputError, match="--trust"):
        ak.load_model(path, classes=CLASSES, features=["a", "b"])
    model = ak.load_model(path, classes=CLASSES, features=["a", "b"], trust=True)
    split = ak.load_data(frame(), label="y", schema=model.schema)
    inputs = model.encode(split)
    with torch.no_grad():
        assert torch.equal(model.logits(inputs), network()(*inputs))
    (told,) = model.caveats
    assert told.level == "warning"
    assert "--trust" in told.text
    assert hashlib.sha256(path.read_bytes()).hexdigest() in told.text
    assert model.origin == str(path)


def test_what_needs_no_trust_carries_no_caveat(tmp_path):
    path = tmp_path / "net.pt2"
    rows = torch.export.Dim("rows")
    torch.export.save(torch.export.export(network(), (torch.zeros(4, 2),), dynamic_shapes=({0: rows},)), path)
    assert ak.load_model(path, classes=CLASSES, features=["a", "b"], trust=True).caveats == ()


@pytest.mark.parametrize("form", ["pickle", "joblib", "compressed"])
def test_a_trusted_estimator_is_asked(form, tmp_path):
    path = bare(tmp_path, "model.joblib" if form != "pickle" else "model.pkl", fitted(), form)
    model = ak.load_model(path, trust=True)
    split = ak.load_data(frame(), label="y", schema=model.schema)
    shown = model.logits(model.encode(split)).softmax(dim=1).numpy()
    assert np.allclose(shown, fitted().predict_proba(frame()[["a", "b"]]), atol=1e-6)
    assert model.caveats[0].text.startswith(f"The model was unpickled from {path.name}")


def test_a_trusted_estimators_classes_are_its_own(tmp_path):
    rows = frame()
    numbered = LogisticRegression().fit(rows[["a", "b"]], np.where(rows["y"] == "yes", 2.0, 1.0))
    path = bare(tmp_path, "model.joblib", numbered, "joblib")
    assert ak.load_model(path, trust=True).classes == ("1", "2")
    with pytest.raises(InputError, match="has the classes 1, 2, in this order"):
        ak.load_model(path, trust=True, classes=["2", "1"])


def test_a_trusted_checkpoint_beside_other_objects_fills_its_architecture(tmp_path):
    from auditkit.training.architectures.mlp import MLP

    arguments = {"numeric": 2, "categories": [], "classes": 2, "hidden": [4]}
    torch.manual_seed(0)
    original = MLP(**arguments).eval()
    path = bare(tmp_path, "net.ckpt", {"state_dict": original.state_dict(), "settings": Settings()}, "torch")
    given = {"architecture": "auditkit.training.architectures.mlp:MLP", "arguments": arguments}
    with pytest.raises(InputError, match="holds more than weights"):
        ak.load_model(path, classes=CLASSES, features=["a", "b"], **given)
    model = ak.load_model(path, classes=CLASSES, features=["a", "b"], trust=True, **given)
    rows = (torch.randn(3, 2),)
    with torch.no_grad():
        assert torch.equal(model.logits(rows), original(*rows))
    assert len(model.caveats) == 1


class Settings:
    """Something that a weights-only unpickler does not know."""


def test_code_that_is_not_here_is_told_by_name(tmp_path):
    path = tmp_path / "net.pkl"
    path.write_bytes(b"cgone_package.models\nNet\n.")
    with pytest.raises(InputError, match=r"names code that cannot be imported here .*gone_package"):
        ak.load_model(path, classes=CLASSES, features=["a", "b"], trust=True)


def test_classes_beside_the_file_are_imported_for_a_trusted_one(tmp_path):
    (tmp_path / "beside_trusted.py").write_text(
        textwrap.dedent("""
        from torch import nn
        class Net(nn.Linear):
            pass
        """)
    )
    from auditkit.subject.bundle import importable

    with importable(tmp_path):
        made = importlib.import_module("beside_trusted").Net(2, 2)
    bare(tmp_path, "net.pt", made, "torch")
    del sys.modules["beside_trusted"]
    spec = AuditSpec(
        model="net.pt", data={"test": "test.csv"}, columns={"label": "y", "classes": CLASSES, "features": ["a", "b"]}
    )
    frame().to_csv(tmp_path / "test.csv", index=False)
    with pytest.raises(InputError, match="so it was not opened"):
        load_subject(spec, tmp_path)
    assert len(load_subject(spec, tmp_path, trust=True).model.caveats) == 1


def test_a_file_cannot_ask_for_trust(tmp_path):
    with pytest.raises(InputError, match="unknown key 'trust'"):
        ak.audit(fitted(), frame(), label="y", trust=True, out=tmp_path)
    (tmp_path / "audit.yaml").write_text("model: net.pkl\ntrust: true\n")
    found = CliRunner().invoke(app, ["run", str(tmp_path / "audit.yaml")])
    assert isinstance(found.exception, InputError)
    assert "unknown key 'trust'" in str(found.exception)


def test_the_command_line_gives_its_word_and_the_evidence_tells_it(tmp_path):
    bare(tmp_path, "model.joblib", fitted(), "joblib")
    frame().to_csv(tmp_path / "test.csv", index=False)
    content = {"name": "trusted", "model": "model.joblib", "analyses": ["performance"], "data": {"test": "test.csv"},
               "columns": {"label": "y", "positive": "yes"}, "performance": {"replicates": 200}}  # fmt: skip
    (tmp_path / "audit.yaml").write_text(yaml.safe_dump(content))
    asked = ["run", str(tmp_path / "audit.yaml"), "--out", str(tmp_path / "reports"), "--quiet"]
    refused = CliRunner().invoke(app, asked)
    assert isinstance(refused.exception, InputError)
    assert "--trust" in str(refused.exception)
    done = CliRunner().invoke(app, [*asked, "--trust"])
    assert done.exit_code == 0, done.output
    (record,) = (tmp_path / "reports").rglob("audit.json")
    caveats = json.loads(record.read_text())["caveats"]
    assert any("unpickled from model.joblib (SHA-256" in caveat["text"] for caveat in caveats)
    (report,) = (tmp_path / "reports").rglob("*.html")
    assert "unpickled from model.joblib" in report.read_text()


def test_reading_a_network_leaves_what_is_given_alone():
    model = ak.load_model(network(), classes=CLASSES, features=["a", "b"])
    assert what_is_given(model) == model.gives == "logits"
