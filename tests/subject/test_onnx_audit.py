"""A converted ONNX file in a whole audit: gradients explain it, its layers and features are seen."""

import warnings

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

import auditkit as ak
from auditkit.subject.preprocessing import Categorical, Numeric, TablePreprocessing


class Mixed(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.town, self.hidden, self.act = nn.Embedding(4, 2), nn.Linear(4, 8), nn.ReLU()
        self.head = nn.Linear(8, 2)

    def forward(self, x: torch.Tensor, codes: torch.Tensor) -> torch.Tensor:
        return self.head(self.act(self.hidden(torch.cat([x, self.town(codes[:, 0])], dim=1))))


def people(seed: int, n: int = 240) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    table = pd.DataFrame(
        {"age": rng.normal(size=n), "hours": rng.normal(size=n), "town": rng.choice(["a", "b", "c"], n),
         "sex": rng.choice(["f", "m"], n)}
    )  # fmt: skip
    return table.assign(income=np.where(table.age + table.hours + rng.normal(size=n) > 0, "high", "low"))


def test_attribution_activations_and_features_are_those_of_the_network_itself(tmp_path):
    pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    torch.manual_seed(0)
    net = Mixed().eval()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            net, (torch.zeros(4, 2), torch.zeros(4, 1, dtype=torch.int64)), str(tmp_path / "net.onnx"), dynamo=False,
            input_names=["x", "codes"], dynamic_axes={"x": {0: "n"}, "codes": {0: "n"}},
        )  # fmt: skip
    table = TablePreprocessing(
        numeric=(Numeric(name="age"), Numeric(name="hours")),
        categorical=(Categorical(name="town", vocabulary=("a", "b", "c")),),
    )
    found = []
    for source in (net, tmp_path / "net.onnx"):
        loaded = ak.load_model(source, classes=["low", "high"], preprocessing=table, device="cpu")
        assert loaded.lacks == {}
        assert loaded.penultimate == "head"
        audit = ak.audit(
            loaded, {"train": people(0), "validation": people(1), "test": people(2), "far": people(3)}, label="income",
            positive="high", sensitive=["sex"], out=tmp_path / str(len(found)), attribution={"rows": 16},
            analyses=["attribution", "activations", "ood"],
        )  # fmt: skip
        found.append(
            {(row.analysis, row.metric, row.split, row.group, row.detail): row.value for row in audit.rows
             if row.status == "ok" and row.value is not None}
        )  # fmt: skip
    expected, ours = found
    assert {key[0] for key in ours} == {"attribution", "activations", "ood"}
    assert any("integrated_gradients" in str(key) for key in ours)
    assert set(ours) == set(expected)
    numbers = {key: value for key, value in expected.items() if key[0] != "energy"}
    assert ours == pytest.approx(numbers, abs=1e-3, rel=1e-3)
