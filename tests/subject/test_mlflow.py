"""MLflow models: opened by auditkit's own loaders, with the columns, version and run that MLflow keeps of them."""

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from sklearn.linear_model import LogisticRegression
from torch import nn

import auditkit as ak
from auditkit.errors import InputError
from auditkit.subject.formats.mlflow import find_mlflow, is_mlflow

CLASSES = ["no", "yes"]
DRAWN = np.random.default_rng(0).normal(size=(40, 3)).astype(np.float32)
FRAME = pd.DataFrame(DRAWN, columns=["a", "b", "c"]).assign(y=np.where(DRAWN.sum(axis=1) > 0, "yes", "no"))
X = FRAME[["a", "b", "c"]]


@pytest.fixture(scope="module")
def mlflow(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
        patch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
        patch.setenv("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
        found = pytest.importorskip("mlflow")
        before = found.get_tracking_uri()
        found.set_tracking_uri(f"file:{tmp_path_factory.mktemp('tracking')}")
        yield found
        found.set_tracking_uri(before)


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2)).eval()


def signature(mlflow):
    return mlflow.models.infer_signature(X, X[["a"]])


def saved(mlflow, form: str, folder):
    """A model as MLflow itself writes it."""
    named = {"signature": signature(mlflow), "pip_requirements": ["torch"]}
    if form == "pickled network":
        mlflow.pytorch.save_model(network(), folder, serialization_format="pickle", **named)
    elif form == "traced network":
        traced = torch.jit.trace(network(), torch.zeros(4, 3))
        mlflow.pytorch.save_model(traced, folder, serialization_format="pickle", **named)
    elif form == "exported network":
        mlflow.pytorch.save_model(network(), folder, serialization_format="pickle", **named)
        rows = torch.export.Dim("rows")
        program = torch.export.export(network(), (torch.zeros(4, 3),), dynamic_shapes=({0: rows},))
        (folder / "data" / "model.pth").unlink()
        torch.export.save(program, folder / "data" / "model.pt2")
    elif form == "onnx":
        onnx = pytest.importorskip("onnx")
        pytest.importorskip("onnxscript")
        beside = folder.parent / "net.onnx"
        rows = torch.export.Dim("rows")
        torch.onnx.export(
            network(), (torch.zeros(4, 3),), beside, dynamo=True, dynamic_shapes=({0: rows},), verbose=False
        )
        mlflow.onnx.save_model(onnx.load(beside), folder, **named)
    elif form == "function":

        class Halves(mlflow.pyfunc.PythonModel):
            def predict(self, context, model_input: pd.DataFrame, params=None):
                score = 1 / (1 + np.exp(-model_input.sum(axis=1).to_numpy()))
                return np.stack([1 - score, score], axis=1)

        mlflow.pyfunc.save_model(folder, python_model=Halves(), **named)
    else:
        estimator = LogisticRegression().fit(X, FRAME["y"])
        mlflow.sklearn.save_model(estimator, folder, serialization_format=form, **named)
    return folder


def probabilities(model) -> np.ndarray:
    split = ak.load_data(FRAME, label="y", schema=model.schema)
    with torch.no_grad():
        return model.logits(model.encode(split)).softmax(dim=1).numpy()


def of_network() -> np.ndarray:
    with torch.no_grad():
        return network()(torch.from_numpy(DRAWN)).softmax(dim=1).numpy()


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("form", ["traced network", "exported network", "onnx"])
def test_programs_are_opened_without_trust(form, mlflow, tmp_path):
    folder = saved(mlflow, form, tmp_path / "model")
    assert is_mlflow(folder)
    model = ak.load_model(folder, classes=CLASSES)
    assert model.schema.features == ("a", "b", "c")
    assert np.allclose(probabilities(model), of_network(), atol=1e-5)
    assert ["converted" in caveat.text for caveat in model.caveats] == [True] * (form == "onnx")


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("form", ["pickled network", "cloudpickle", "pickle", "function"])
def test_what_is_pickled_needs_trust(form, mlflow, tmp_path):
    folder = saved(mlflow, form, tmp_path / "model")
    outputs = "probabilities" if form == "function" else None
    with pytest.raises(InputError, match="--trust"):
        ak.load_model(folder, classes=CLASSES, outputs=outputs)
    model = ak.load_model(folder, classes=CLASSES, outputs=outputs, trust=True)
    assert model.schema.features == ("a", "b", "c")
    expected = of_network()
    if form == "function":
        second = 1 / (1 + np.exp(-DRAWN.sum(axis=1)))
        expected = np.stack([1 - second, second], axis=1)
    elif form != "pickled network":
        expected = LogisticRegression().fit(X, FRAME["y"]).predict_proba(X)
    assert np.allclose(probabilities(model), expected, atol=1e-5)
    assert any("--trust" in caveat.text for caveat in model.caveats)


@pytest.mark.filterwarnings("ignore")
def test_an_estimator_kept_by_skops_needs_no_trust(mlflow, tmp_path):
    pytest.importorskip("skops")
    model = ak.load_model(saved(mlflow, "skops", tmp_path / "model"))
    expected = LogisticRegression().fit(X, FRAME["y"]).predict_proba(X)
    assert np.allclose(probabilities(model), expected, atol=1e-6)
    assert model.caveats == ()


@pytest.mark.filterwarnings("ignore")
def test_registered_models_are_found_by_version_alias_and_run(mlflow, tmp_path):
    folder = saved(mlflow, "traced network", tmp_path / "model")
    client = mlflow.MlflowClient()
    client.create_registered_model("credit")
    with mlflow.start_run(experiment_id=mlflow.create_experiment("lending")) as run:
        mlflow.log_artifacts(folder, "net")
    run_id = run.info.run_id
    version = client.create_model_version("credit", source=f"runs:/{run_id}/net", run_id=run_id)
    client.set_registered_model_alias("credit", "champion", version.version)
    for address in ("models:/credit/1", "models:/credit@champion", "models:/credit/latest"):
        model = ak.load_model(address, classes=CLASSES)
        assert model.origin == f"MLflow {address} (version 1, run {run_id})"
        assert np.allclose(probabilities(model), of_network(), atol=1e-5)
    assert ak.load_model(f"runs:/{run_id}/net", classes=CLASSES).digest == model.digest
    for address in ("models:/credit/7", "models:/debit/1", "models:/credit@nobody", "runs:/none/net", "models:/"):
        with pytest.raises(InputError, match="MLflow cannot find it in file:") as refused:
            ak.load_model(address, classes=CLASSES)
        assert "\n" not in str(refused.value)


@pytest.mark.filterwarnings("ignore")
def test_the_origin_is_kept_in_the_evidence(mlflow, tmp_path):
    folder = saved(mlflow, "traced network", tmp_path / "model")
    about = yaml.safe_load((folder / "MLmodel").read_text())
    (folder / "MLmodel").write_text(yaml.safe_dump({**about, "run_id": "r42"}))
    model = ak.load_model(folder, classes=CLASSES)
    found = ak.audit(
        model, FRAME, label="y", positive="yes", analyses=["performance"], performance={"replicates": 200},
        out=tmp_path / "reports",
    )  # fmt: skip
    assert found.info["identities"]["model"]["origin"] == f"MLflow {folder} (run r42)"


def described(folder, content: object):
    folder.mkdir()
    (folder / "MLmodel").write_text(yaml.safe_dump(content))
    return folder


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ({"run_id": "r1"}, "names no flavors"),
        ({"flavors": {"spark": {"model_data": "x"}}}, "its flavors are spark"),
        ({"flavors": {"onnx": {"data": "../../secret.onnx"}}}, "lies outside of the model's folder"),
        ({"flavors": {"onnx": {"data": "/etc/passwd"}}}, "lies outside of the model's folder"),
        ({"flavors": {"onnx": {"data": "model.onnx"}}}, "there is no such file"),
        ({"flavors": {"pytorch": {"model_data": "."}}}, "has no model.pt2 or model.pth"),
        (["flavors"], "expected a mapping"),
    ],
)
def test_folders_that_hold_no_model_are_refused(content, sentence, tmp_path):
    with pytest.raises(InputError, match=sentence):
        find_mlflow(described(tmp_path / "model", content))


def test_a_signature_without_names_leaves_the_columns_to_the_caller(tmp_path):
    folder = described(
        tmp_path / "model",
        {
            "flavors": {"onnx": {"data": "model.onnx"}},
            "signature": {"inputs": '[{"type": "tensor", "tensor-spec": {"dtype": "float32", "shape": [-1, 3]}}]'},
        },
    )
    (folder / "model.onnx").write_bytes(b"")
    assert find_mlflow(folder).features is None
