"""The same network audited from a bundle and from network files: the same numbers and verdict, on the command line."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

import auditkit as ak
from auditkit.cli import main
from auditkit.subject.preprocessing import Numeric, TablePreprocessing

FEATURES = ["age", "hours"]
NETS = """
from torch import nn


class Net(nn.Sequential):
    def __init__(self, width: int) -> None:
        super().__init__(nn.Linear(2, width), nn.ReLU(), nn.Linear(width, 2))
"""


def people(seed: int, n: int = 600) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    table = pd.DataFrame({"age": rng.normal(0, 1, n), "hours": rng.normal(0, 1, n), "sex": rng.choice(["f", "m"], n)})
    table["income"] = np.where(
        table.age + table.hours + 0.8 * (table.sex == "m") + rng.normal(0, 1, n) > 0, "high", "low"
    )
    return table


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Data, and one network as bundle, weights, TorchScript, `torch.export` and ONNX program."""
    folder = tmp_path_factory.mktemp("files")
    for at, name in enumerate(("train", "validation", "test")):
        people(at).to_parquet(folder / f"{name}.parquet")
    (folder / "nets.py").write_text(NETS)
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(2, 8), nn.ReLU(), nn.Linear(8, 2))
    with torch.no_grad():
        net[0].weight[:2] = torch.tensor([[1.0, 1.0], [-1.0, -1.0]])
        net[2].weight[1, :2] = torch.tensor([2.0, -2.0])
    net.eval()
    save_file(net.state_dict(), folder / "net.safetensors")
    torch.save(net.state_dict(), folder / "net.pt")
    torch.jit.script(net).save(str(folder / "scripted.ts"))
    batch = torch.export.Dim("batch", min=1)
    torch.export.save(torch.export.export(net, (torch.zeros(4, 2),), dynamic_shapes=({0: batch},)), folder / "net.pt2")
    program = torch.onnx.export(net, (torch.zeros(4, 2),), dynamic_shapes=({0: batch},), dynamo=True, verbose=False)
    program.save(str(folder / "net.onnx"))
    preprocessing = TablePreprocessing(numeric=tuple(Numeric(name=name) for name in FEATURES))
    model = ak.load_model(net, classes=["low", "high"], preprocessing=preprocessing)
    model.architecture = {"path": "nets:Net", "arguments": {"width": 8}}
    ak.save_bundle(model, folder / "bundle")
    return folder


def audited(folder: Path, model: str, capsys: pytest.CaptureFixture[str]) -> dict:
    """The JSON report of `auditkit run`."""
    weights = model.endswith((".safetensors", ".pt")) or model == "bundle"
    lines = [
        "name: income",
        f"model: {model}",
        *(["architecture: nets:Net"] if weights else []),
        *(["arguments: {width: 8}"] if weights and model != "bundle" else []),
        "data: {train: train.parquet, validation: validation.parquet, test: test.parquet}",
        "columns: {label: income, positive: high, sensitive: [sex], classes: [low, high], features: [age, hours]}",
        "analyses: [performance, fairness, ood]",
        "fairness: {replicates: 300}",
        "gates: {fairness/demographic_parity_ratio: {at_least: 0.8}, performance/accuracy: {at_least: 0.6}}",
    ]
    spec = folder / f"{Path(model).stem}-{Path(model).suffix[1:]}.yaml"
    spec.write_text("\n".join(lines) + "\n")
    with pytest.raises(SystemExit) as stop:
        main(["run", str(spec), "--out", str(folder / "reports" / spec.stem), "--quiet"])
    said = capsys.readouterr()
    assert stop.value.code in (0, 1), said.err
    (report,) = (folder / "reports" / spec.stem).rglob("report.json")
    return json.loads(report.read_text())


@pytest.mark.parametrize("model", ["net.safetensors", "net.pt", "scripted.ts", "net.pt2", "net.onnx"])
def test_a_file_is_audited_as_the_bundle_is(folder: Path, model: str, capsys: pytest.CaptureFixture[str]) -> None:
    expected, found = (audited(folder, name, capsys) for name in ("bundle", model))
    assert found["verdict"] == expected["verdict"]

    def numbers(report: dict) -> dict:
        return {
            (row["metric"], row["split"], row["attribute"], row["group"], row["detail"]): row["value"]
            for row in report["metrics"]
            if row["analysis"] in ("performance", "fairness") and row["value"] is not None
        }

    ours, theirs = numbers(found), numbers(expected)
    assert len(theirs) > 100
    assert ours == pytest.approx({key: theirs[key] for key in ours}, abs=1e-6)
    assert set(theirs) == set(ours)


def test_a_pickle_that_would_run_code_is_refused_and_not_run(
    folder: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    class Attack:
        def __reduce__(self) -> tuple:
            return Path.touch, (tmp_path / "was-here",)

    torch.save(Attack(), folder / "attack.pt")
    spec = folder / "attack.yaml"
    spec.write_text(
        "model: attack.pt\narchitecture: nets:Net\narguments: {width: 8}\ndata: {test: test.parquet}\n"
        "columns: {label: income, classes: [low, high], features: [age, hours]}\n"
    )
    with pytest.raises(SystemExit) as stop:
        main(["run", str(spec), "--out", str(tmp_path / "reports")])
    assert stop.value.code == 2
    assert "attack.pt" in capsys.readouterr().err
    assert not (tmp_path / "was-here").exists()


@pytest.mark.parametrize(
    ("model", "seen"), [("net.safetensors", True), ("net.pt2", True), ("scripted.ts", False), ("net.onnx", True)]
)
def test_every_discipline_runs_or_says_why_not(folder: Path, tmp_path: Path, model: str, seen: bool) -> None:
    weights = {"architecture": "nets:Net", "arguments": {"width": 8}, "near": folder} if seen else {}
    loaded = ak.load_model(
        folder / model, classes=["low", "high"], features=FEATURES, **(weights if model.endswith("tensors") else {})
    )
    parts = {"train": people(0), "validation": people(1), "test": people(2), "far": people(3)}
    audit = ak.audit(
        loaded, parts, label="income", positive="high", sensitive=["sex"], out=tmp_path,
        attribution={"rows": 32}, energy={"seconds": 0.02, "blocks": 3}, fairness={"replicates": 300},
    )  # fmt: skip
    sections = audit.sections()
    assert all(sections[name] for name in ("performance", "fairness", "attribution", "activations", "ood", "energy"))
    layers = [row for row in audit.rows if row.analysis == "activations" and row.value is not None]
    assert bool(layers) == seen
    explained = {row.detail for row in audit.rows if row.analysis == "attribution" and row.value is not None}
    assert explained
    refused = [row.reason for row in audit.rows if row.status == "not applicable"]
    assert all(refused)
