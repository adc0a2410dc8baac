"""The analysis on planted faults, through the real pass."""

import numpy as np
import pyarrow as pa
import pytest
import torch
from torch import Tensor, nn

from auditkit.activations.analysis import ActivationsAnalysis
from auditkit.activations.layers import watched
from auditkit.engine.analysis import Context
from auditkit.engine.ledger import Ledger
from auditkit.engine.local import run_pass
from auditkit.engine.progress import Progress
from auditkit.errors import InputError
from auditkit.evidence.metrics import select, to_table
from auditkit.spec import AuditSpec
from auditkit.subject.data import Schema, Split
from auditkit.subject.model import Model
from auditkit.subject.preprocessing import ImagePreprocessing, Numeric, TablePreprocessing
from auditkit.subject.subject import Subject

SCHEMA = Schema(features=("x0", "x1"), classes=("a", "b"), label="y")


class Planted(nn.Module):
    """Of the eight rectified units two are dead; of the four bounded units one is saturated."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(2, 8)
        self.relu = nn.ReLU()
        self.drop = nn.Dropout(0.5)
        self.second = nn.Linear(8, 4)
        self.tanh = nn.Tanh()
        self.head = nn.Linear(4, 2)
        with torch.no_grad():
            self.first.bias[:2] = -1e6
            self.first.bias[2:] = 3.0
            self.second.bias[3] = 1e4

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.tanh(self.second(self.drop(self.relu(self.first(x))))))


def split(name: str, role: str, n: int, seed: int = 0, shift: float = 0.0) -> Split:
    rng = np.random.default_rng([seed, len(name)])
    values = rng.normal(size=(n, 2)) + shift
    table = pa.table({"x0": values[:, 0], "x1": values[:, 1], "y": rng.choice(["a", "b"], n)})
    return Split(name, role, table, SCHEMA)


def conclude(module: nn.Module, splits: tuple[Split, ...], **spec):
    columns = tuple(Numeric(name=name) for name in SCHEMA.features)
    model = Model(module, ("a", "b"), TablePreprocessing(numeric=columns), device=torch.device("cpu"))
    context = Context(Subject("s", model, splits, SCHEMA), AuditSpec(**spec), Ledger(), Progress(quiet=True))
    analysis = ActivationsAnalysis()
    observers = run_pass(context, [analysis])
    return analysis.conclude(context, observers.get("activations", {}))


@pytest.fixture(scope="module")
def planted():
    torch.manual_seed(0)
    parts = (split("train", "train", 300), split("test", "test", 100), split("far", "ood", 60, shift=50.0))
    return Planted(), parts


def one(findings, metric: str, layer: str, name: str = "train"):
    (row,) = select(findings.metrics, metric=metric, detail=layer, split=name)
    return row


def test_planted_dead_and_saturated_units_are_found(planted):
    findings = conclude(*planted)
    assert one(findings, "dead_units", "relu").value == 2 / 8
    assert one(findings, "constant_units", "relu").value == 2 / 8
    assert one(findings, "saturated_units", "tanh").value >= 1 / 4
    assert not select(findings.metrics, metric="dead_units", detail="first")
    units = {
        (u["layer"], u["unit"]): u for u in findings.tables["activations/units"].to_pylist() if u["split"] == "train"
    }
    assert [units["relu", place]["dead"] for place in range(8)] == [True] * 2 + [False] * 6
    assert units["tanh", 3]["saturated"]
    assert units["first", 0]["dead"] is None
    assert "drop" not in {layer for layer, _ in units}


def test_a_rectifier_that_never_opens_is_all_dead():
    module = Planted()
    module.first.bias.data[:] = -1e6
    findings = conclude(module, (split("train", "train", 50), split("test", "test", 50)))
    assert one(findings, "dead_units", "relu").value == 1.0
    assert one(findings, "effective_rank", "relu").status == "not applicable"
    assert {row.status for row in select(findings.metrics, metric="map_variance_explained")} == {"insufficient"}


def test_batch_size_does_not_matter(planted):
    whole = conclude(*planted)
    for size in (1, 7, 64):
        parts = conclude(*planted, batch_size=size)
        for name, table in whole.tables.items():
            for column in table.column_names:
                ours, theirs = (found.tables[name].column(column) for found in (whole, parts))
                if pa.types.is_floating(ours.type):
                    a, b = (np.array(c.to_pylist(), dtype=float) for c in (ours, theirs))
                    np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)
                else:
                    assert ours.to_pylist() == theirs.to_pylist(), (name, column)
    again = conclude(*planted)
    assert to_table(again.metrics).equals(to_table(whole.metrics))
    assert all(table.equals(again.tables[name]) for name, table in whole.tables.items())


def test_the_map_is_bounded_and_holds_every_kind_of_row(planted):
    findings = conclude(*planted, activations={"map_rows": 40})
    table = findings.tables["activations/map"]
    by_split = {name: table.column("split").to_pylist().count(name) for name in ("train", "test", "far")}
    assert by_split == {"train": 0, "test": 20, "far": 20}
    assert table.column("role").to_pylist().count("ood") == 20
    assert set(table.column("prediction").to_pylist()) <= {"a", "b"}


def test_most_activating_rows_are_those_of_the_split(planted):
    module, parts = planted
    findings = conclude(module, parts, activations={"top_rows": 3})
    module.eval()
    values = torch.from_numpy(np.stack([parts[1].column(name).to_numpy() for name in SCHEMA.features], 1)).float()
    with torch.no_grad():
        features = module.tanh(module.second(module.relu(module.first(values)))).numpy()
    for line in findings.tables["activations/top"].to_pylist():
        expected = np.sort(features[:, line["unit"]])[::-1][line["rank"] - 1]
        assert line["value"] == pytest.approx(expected, abs=1e-6)
        assert line["value"] == pytest.approx(features[line["row"], line["unit"]], abs=1e-6)
        assert line["label"] == parts[1].column("y")[line["row"]].as_py()
    kept = set(findings.tables["activations/inputs"].column("row").to_pylist())
    assert kept == set(findings.tables["activations/top"].column("row").to_pylist())


def test_few_rows_give_a_status_and_no_number(planted):
    findings = conclude(planted[0], (split("train", "train", 5), split("test", "test", 1)))
    judged = [
        row for row in findings.metrics if row.metric in ("dead_units", "saturated_units", "map_variance_explained")
    ]
    assert judged
    assert {row.status for row in judged} == {"insufficient"}
    assert all(row.value is None for row in findings.metrics)


def test_without_a_training_split_the_test_split_is_the_reference(planted):
    findings = conclude(planted[0], (split("test", "test", 100),))
    assert any("no training split" in caveat.text for caveat in findings.caveats)
    assert findings.tables["activations/map"].num_rows == 100


def test_chosen_layers_only_and_an_unknown_one_is_an_input_error(planted):
    findings = conclude(*planted, activations={"layers": ["relu"]})
    assert set(findings.tables["activations/layers"].column("layer").to_pylist()) == {"relu"}
    with pytest.raises(InputError, match="did you mean 'relu'"):
        conclude(*planted, activations={"layers": ["rel"]})


def test_channels_of_a_convolution_are_its_units():
    module = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 16, 2))
    module[0].weight.data[1], module[0].bias.data[1] = 0, -1.0
    schema = Schema(features=("images",), classes=("a", "b"), label="y")
    rng = np.random.default_rng(0)

    def pictures(name, n):
        table = pa.table({"y": rng.choice(["a", "b"], n)})
        return Split(name, name, table, schema, {"images": rng.normal(size=(n, 1, 6, 6)).astype(np.float32)})

    model = Model(module, ("a", "b"), ImagePreprocessing(shape=(1, 6, 6)), device=torch.device("cpu"))
    splits = (pictures("train", 80), pictures("test", 40))
    context = Context(Subject("s", model, splits, schema), AuditSpec(), Ledger(), Progress(quiet=True))
    analysis = ActivationsAnalysis()
    findings = analysis.conclude(context, run_pass(context, [analysis])["activations"])
    (line,) = [
        x for x in findings.tables["activations/layers"].to_pylist() if (x["layer"], x["split"]) == ("1", "train")
    ]
    assert (line["units"], line["positions"], line["rows"], line["dead"]) == (4, 16, 80, 1)
    assert line["effective_rank"] <= 3
    inputs = findings.tables["activations/inputs"]
    assert len(inputs.column("pixels")[0]) == 36


def test_tokens_are_not_taken_for_channels():
    module = nn.Sequential(nn.Embedding(5, 6), nn.ReLU(), nn.Conv1d(4, 3, 1), nn.ReLU(), nn.Flatten(), nn.Linear(18, 2))
    model = Model(module, ("a", "b"), TablePreprocessing(), device=torch.device("cpu"))
    layouts = {layer.name: layer.layout for layer in watched(model)}
    assert layouts == {
        "0": "units last",
        "1": "units last",
        "2": "channels first",
        "3": "channels first",
        "5": "units last",
    }
    shapes = {layer.name: layer.units(torch.zeros(7, 4, 6)).shape for layer in watched(model)}
    assert shapes["1"] == (7, 4, 6)
    assert shapes["3"] == (7, 6, 4)
