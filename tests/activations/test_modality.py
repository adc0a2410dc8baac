"""Activations of texts and series: fillings do not count, and what drives a unit is shown as it is read."""

import json
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor, nn

from auditkit.activations.analysis import ActivationsAnalysis
from auditkit.activations.view import sections
from auditkit.engine.analysis import Context
from auditkit.engine.ledger import Ledger
from auditkit.engine.local import observers_of, run_pass
from auditkit.engine.progress import Progress
from auditkit.spec import AuditSpec
from auditkit.subject.data import Schema, Split
from auditkit.subject.model import Model
from auditkit.subject.preprocessing import TextPreprocessing, fit_series
from auditkit.subject.subject import Subject

WORDS = ("good", "bad", "film", "plot", "<b>")


class Reading(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embedding, self.first, self.relu = nn.Embedding(7, 4), nn.Linear(4, 4), nn.ReLU()
        self.head = nn.Linear(4, 2)

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        states = self.relu(self.first(self.embedding(ids)))
        return self.head((states * mask[:, :, None]).sum(dim=1))


class Hearing(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.convolution, self.relu, self.head = nn.Conv1d(2, 5, 3, padding=1), nn.ReLU(), nn.Linear(5, 2)

    def forward(self, series: Tensor) -> Tensor:
        return self.head(self.relu(self.convolution(series.transpose(1, 2))).mean(dim=2))


def concluded(module: nn.Module, splits: list[Split], preprocessing) -> SimpleNamespace:
    schema = splits[0].schema
    model = Model(module, schema.classes, preprocessing, device=torch.device("cpu"), batch_rows=16)
    context = Context(Subject("s", model, tuple(splits), schema), AuditSpec(), Ledger(), Progress(quiet=True))
    analysis = ActivationsAnalysis()
    findings = analysis.conclude(context, observers_of(run_pass(context, [analysis]), analysis.name))
    info = {"schema": {"classes": list(schema.classes)}}
    return SimpleNamespace(rows=findings.metrics, table=findings.tables.get, caveats=findings.caveats, info=info)


def texts(name: str, seed: int) -> Split:
    rng = np.random.default_rng(seed)
    said = [" ".join(rng.choice(WORDS[:4], rng.integers(1, 6))) for _ in range(60)]
    schema = Schema(("text",), ("no", "yes"), label="y")
    return Split(name, name, pa.table({"text": said, "y": ["no", "yes"] * 30}), schema)


def test_places_that_only_fill_up_do_not_count():
    torch.manual_seed(0)
    preprocessing = TextPreprocessing(column="text", vocabulary=WORDS, length=12)
    module, splits = Reading(), [texts("train", 0), texts("test", 1)]
    with torch.no_grad():
        module.embedding.weight[0] = 1000.0
    found = concluded(module, splits, preprocessing)
    ids, mask = preprocessing.encode(splits[0])
    states = module.first(module.embedding(ids[mask > 0])).detach().double()
    (line,) = (
        line
        for line in found.table("activations/layers").to_pylist()
        if (line["split"], line["layer"]) == ("train", "first")
    )
    np.testing.assert_allclose(line["mean"], states.mean(), rtol=1e-4)
    np.testing.assert_allclose([line["minimum"], line["maximum"]], [states.min(), states.max()], rtol=1e-5)
    units = [
        line["spread"]
        for line in found.table("activations/units").to_pylist()
        if (line["split"], line["layer"]) == ("train", "first")
    ]
    np.testing.assert_allclose(units, states.std(dim=0, correction=0), rtol=1e-4)
    assert any("only fill up" in caveat.text for caveat in found.caveats)


def test_a_filling_that_is_not_finite_costs_no_row():
    torch.manual_seed(0)
    module = Reading()
    preprocessing = TextPreprocessing(column="text", vocabulary=WORDS, length=12)
    with torch.no_grad():
        module.embedding.weight[0] = float("nan")
    found = concluded(module, [texts("train", 0)], preprocessing)
    lines = {line["layer"]: line for line in found.table("activations/layers").to_pylist()}
    assert (lines["first"]["not_finite"], lines["first"]["rows"]) == (0, 60)


def test_the_texts_that_drive_a_unit_are_told():
    torch.manual_seed(0)
    preprocessing = TextPreprocessing(column="text", vocabulary=WORDS, length=12)
    found = concluded(Reading(), [texts("train", 0), texts("test", 1)], preprocessing)
    section = next(section for section in sections(found) if section.key == "top-rows")
    known = set(texts("test", 1).column("text").to_pylist())
    assert set(section.table.column("text").to_pylist()) <= known


def test_the_series_that_drive_a_unit_are_drawn():
    torch.manual_seed(0)
    schema, rng = Schema(("series",), ("no", "yes"), label="y"), np.random.default_rng(0)
    splits = [
        Split(name, name, pa.table({"y": ["no", "yes"] * 30}), schema, {"series": rng.normal(size=(60, 20, 2))})
        for name in ("train", "test")
    ]
    found = concluded(Hearing(), splits, fit_series(splits[0], "series", ("<b>", "flow")))
    section = next(section for section in sections(found) if section.key == "top-rows")
    row = int(section.table.column("row")[0].as_py())
    np.testing.assert_allclose(section.figure.data[0].customdata, splits[1].arrays["series"][row, :, 0])
    assert {trace.name for trace in section.figure.data} == {"&lt;b&gt;", "flow"}
    assert "<b>" not in json.dumps(json.loads(section.figure.to_json())).replace("\\u003c", "<")
