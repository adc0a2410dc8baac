"""Series explained: closed forms, completeness, planted windows and channels, and what is shown."""

import json
from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pytest
import torch
from torch import Tensor, nn

from auditkit.attribution.analysis import AttributionAnalysis
from auditkit.attribution.explicands import completeness_gap, explicands_of
from auditkit.attribution.figures import explanation
from auditkit.attribution.importance import importance
from auditkit.attribution.partition import window_edges, window_names
from auditkit.attribution.registry import METHODS
from auditkit.attribution.settings import Settings
from auditkit.attribution.view import sections
from auditkit.engine.analysis import Context
from auditkit.engine.ledger import Ledger
from auditkit.engine.progress import Progress
from auditkit.engine.rows import RowEngine
from auditkit.spec import AuditSpec
from auditkit.subject.data import Schema, Split
from auditkit.subject.model import Model
from auditkit.subject.preprocessing import SeriesPreprocessing, fit_series
from auditkit.subject.subject import Subject

CPU = torch.device("cpu")
HOSTILE = "<b>pulse</b>"
METHODS_OF_SERIES = ("integrated_gradients", "gradient_x_input", "occlusion")


class Linear(nn.Module):
    """Each step of each channel by its own weight."""

    def __init__(self, weights: Tensor) -> None:
        super().__init__()
        self.flatten, self.head = nn.Flatten(), nn.Linear(weights.numel(), 2)
        with torch.no_grad():
            self.head.weight.copy_(torch.stack([0 * weights, weights]).flatten(1))

    def forward(self, series: Tensor) -> Tensor:
        return self.head(self.flatten(series))


class Read(nn.Module):
    """A recurrent cell, a Transformer's layer or a 1-D convolution, and the mean over time."""

    def __init__(self, kind: str, channels: int = 3) -> None:
        super().__init__()
        self.kind = kind
        self.step = nn.Linear(channels, 8)
        self.body = {
            "lstm": lambda: nn.LSTM(8, 8, batch_first=True),
            "gru": lambda: nn.GRU(8, 8, batch_first=True),
            "transformer": lambda: nn.TransformerEncoderLayer(8, 2, 16, batch_first=True),
            "convolution": lambda: nn.Conv1d(8, 8, 3, padding=1),
        }[kind]()
        self.tanh, self.head = nn.Tanh(), nn.Linear(8, 3)

    def forward(self, series: Tensor) -> Tensor:
        states = self.step(series)
        if self.kind == "convolution":
            states = self.tanh(self.body(states.transpose(1, 2))).transpose(1, 2)
        else:
            states = self.body(states)
            states = states[0] if isinstance(states, tuple) else states
        return self.head(states.mean(dim=1))


def split_of(series: np.ndarray, classes=("no", "yes"), role="test") -> Split:
    schema = Schema(("series",), classes, label="y", positive="yes" if len(classes) == 2 else None)
    labels = [classes[place % len(classes)] for place in range(len(series))]
    return Split(role, role, pa.table({"y": labels}), schema, {"series": series})


def noise(n=12, steps=20, channels=3, seed=0) -> np.ndarray:
    return np.random.default_rng(seed).normal(2.0, 3.0, (n, steps, channels))


def run(name: str, module: nn.Module, split: Split, reference: Split, **settings):
    model = Model(module, split.schema.classes, fit_series(reference, "series"), device=CPU)
    with model.evaluating():
        engine = RowEngine(model, split, Ledger(), "attribution")
        explicands = explicands_of(engine, split, np.arange(len(split)), reference, 0)
        return METHODS[name].run(engine, explicands, Settings(**settings)), explicands, model


@pytest.mark.parametrize("name", METHODS_OF_SERIES)
def test_of_a_linear_model_each_step_gets_its_term(name):
    torch.manual_seed(0)
    weights = torch.randn(20, 3)
    split, reference = split_of(noise()), split_of(noise(30, seed=1), role="train")
    found, explicands, model = run(name, Linear(weights), split, reference)
    (x,), (b,) = model.encode(split), model.encode(reference)
    terms = ((x - b.mean(dim=0)) * weights).double()
    edges = window_edges(20, 3)
    cells = torch.stack([terms[:, i:j].sum(dim=1) for i, j in pairwise(edges)], dim=2)
    torch.testing.assert_close(found.values, cells.flatten(1), atol=1e-4, rtol=1e-4)
    assert found.maps.shape == (12, 3, 20)
    torch.testing.assert_close(found.maps.sum(dim=(1, 2)), explicands.change, atol=1e-4, rtol=1e-4)
    if name != "occlusion":
        torch.testing.assert_close(found.maps, terms.transpose(1, 2), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("kind", ["lstm", "gru", "transformer", "convolution"])
def test_integrated_gradients_add_up_for_every_kind_of_network(kind):
    torch.manual_seed(0)
    split = split_of(noise(), ("a", "b", "c"))
    found, explicands, _ = run("integrated_gradients", Read(kind), split, split_of(noise(30, seed=1), role="train"))
    _, relative = completeness_gap(found.values, explicands.change)
    assert found.converged.all()
    assert float(relative.max()) <= 0.01


def test_occlusion_is_bounded_however_long_the_series_and_many_the_channels():
    for steps, channels in ((3, 1), (20, 3), (5000, 1), (100, 40), (10, 1000)):
        edges = window_edges(steps, channels)
        assert edges[0] == 0
        assert edges[-1] == steps
        assert len(edges) - 1 <= 16
        assert (len(edges) - 1) * channels <= max(256, channels)
        assert len(window_names(edges)) == len(edges) - 1


def test_parts_added_up_keep_their_shares_and_do_not_cancel():
    values = np.array([[1.0, -1.0, 2.0, 0.0], [3.0, 1.0, 0.0, 0.0]])
    together = np.array([[1, 0], [1, 0], [0, 1], [0, 1]], dtype=float)
    found = importance(values, 0.95, np.random.default_rng(0), together)
    assert found.share.tolist() == [0.75, 0.25]
    assert found.signed.tolist() == [2.0, 1.0]


def planted(steps=40, channels=(HOSTILE, "flow", "heat")) -> Subject:
    """Only steps 10 to 12 of the second channel say anything."""
    weights = torch.zeros(steps, len(channels))
    weights[9:12, 1] = 1.0
    schema = Schema(("series",), ("no", "yes"), label="y", positive="yes", sensitive=("sex",))
    splits = []
    for seed, role in enumerate(("train", "test")):
        series = noise(90, steps, len(channels), seed)
        table = pa.table({"y": ["no", "yes", "yes"] * 30, "sex": ["f", "m"] * 45})
        splits.append(Split(role, role, table, schema, {"series": series}))
    preprocessing = fit_series(splits[0], "series", channels)
    return Subject("s", Model(Linear(weights), schema.classes, preprocessing, device=CPU), tuple(splits), schema)


def evidence_of(subject: Subject) -> SimpleNamespace:
    spec = AuditSpec(attribution={"rows": 60}, fairness={"minimum_group": 10})
    findings = AttributionAnalysis().conclude(Context(subject, spec, Ledger(), Progress(quiet=True)), {})
    info = {"spec": spec.model_dump(), "schema": {"classes": list(subject.schema.classes)}}
    return SimpleNamespace(rows=findings.metrics, table=findings.tables.get, caveats=findings.caveats, info=info)


@pytest.fixture(scope="module")
def evidence() -> SimpleNamespace:
    return evidence_of(planted())


def test_the_planted_channel_and_window_hold_everything(evidence):
    for method in METHODS_OF_SERIES:
        shares = {
            name: {
                line["column"]: line["share"]
                for line in evidence.table(f"attribution/{name}").to_pylist()
                if line["method"] == method and not line["attribute"]
            }
            for name in ("global", "windows")
        }
        assert shares["global"] == pytest.approx({HOSTILE: 0, "flow": 1, "heat": 0}, abs=1e-5)
        windows = shares["windows"]
        assert sum(windows.values()) == pytest.approx(1)
        assert windows["10 to 12"] == pytest.approx(1, abs=1e-5)
    row = next(row for row in evidence.rows if row.metric == "importance" and row.detail == "occlusion · flow")
    assert row.value == pytest.approx(1, abs=1e-5)
    found = {section.key: section for section in sections(evidence)}
    assert "flow" in found["importance"].finding
    assert "10 to 12" in found["windows"].finding


def test_the_baseline_is_told_in_the_channels_own_units(evidence):
    for line in evidence.table("attribution/baseline").to_pylist():
        assert line["kind"] == "channel"
        assert line["value"] == pytest.approx(2.0, abs=0.3)
    assert not any("may stand for no real row" in caveat.text for caveat in evidence.caveats)


def test_sections_show_lines_with_heat(evidence):
    found = sections(evidence)
    assert [section.key for section in found][:4] == ["importance", "windows", "examples", "groups-1"]
    assert all(section.reading and section.finding.endswith(".") for section in found)
    assert [section.key for section in found if section.figure is None] == ["preflight"]
    figure = next(section for section in found if section.key == "examples").figure
    heats = [trace for trace in figure.data if trace.type == "heatmap"]
    lines = [trace for trace in figure.data if trace.type == "scatter"]
    assert len(heats) == len(lines) == 9
    assert len({(heat.zmin, heat.zmax) for heat in heats}) == 1
    assert all(-heat.zmin == heat.zmax for heat in heats)
    assert any(np.abs(heat.z).max() == heat.zmax for heat in heats)


def test_lines_are_the_series_in_their_own_units(evidence):
    row = evidence.table("attribution/rows").column("row")[0].as_py()
    figure = explanation(evidence, "occlusion", row)
    drawn = [trace for trace in figure.data if trace.type == "scatter"]
    np.testing.assert_allclose([trace.y for trace in drawn], noise(90, 40, 3, 1)[row].T)
    heat = next(trace for trace in figure.data if trace.type == "heatmap")
    assert len(heat.x) == 41
    assert (heat.x[0], heat.x[-1]) == (0.5, 40.5)
    assert explanation(evidence, "grad_cam", row) is None


def test_long_series_are_kept_in_blocks_that_add_up():
    subject = planted(steps=300, channels=("one", "two"))
    known = evidence_of(subject)
    rows = {(line["method"], line["row"]): line for line in known.table("attribution/rows").to_pylist()}
    total: dict[tuple[str, int], float] = {}
    for line in known.table("attribution/explanations").to_pylist():
        assert (len(line["values"]), line["block"]) == (100, 3)
        key = line["method"], line["row"]
        total[key] = total.get(key, 0.0) + sum(line["values"])
    for key, value in total.items():
        assert value == pytest.approx(rows[key]["score"] - rows[key]["baseline_score"], abs=1e-3)
    assert all(section.figure is not None for section in sections(known) if section.key != "preflight")


def test_a_series_of_one_channel_has_no_channels_to_compare():
    torch.manual_seed(0)
    splits = [split_of(noise(60, 16, 1, seed), role=role) for seed, role in enumerate(("train", "test"))]
    model = Model(Linear(torch.randn(16, 1)), ("no", "yes"), fit_series(splits[0], "series"), device=CPU)
    found = sections(evidence_of(Subject("s", model, tuple(splits), splits[0].schema)))
    assert [section.key for section in found][:2] == ["windows", "examples"]


def test_hostile_channels_never_reach_plotly_as_markup(evidence):
    for section in sections(evidence):
        drawn = (
            "" if section.figure is None else json.dumps(json.loads(section.figure.to_json())).replace("\\u003c", "<")
        )
        assert "<b>" not in drawn


def test_missing_values_leave_a_gap_and_stand_at_the_mean():
    series = noise(8)
    series[0, 3, 1] = np.nan
    split, reference = split_of(series), split_of(noise(30, seed=1), role="train")
    found, _, _ = run("occlusion", Linear(torch.randn(20, 3)), split, reference)
    assert torch.isfinite(found.values).all()


def test_without_a_training_split_a_series_is_compared_with_the_channels_means():
    preprocessing = SeriesPreprocessing(mean=(2.0,), scale=(3.0,), steps=16)
    split = split_of(noise(20, 16, 1))
    model = Model(Linear(torch.randn(16, 1)), ("no", "yes"), preprocessing, device=CPU)
    known = evidence_of(Subject("s", model, (split,), split.schema))
    assert known.table("attribution/baseline").column("value").to_pylist() == [2.0]
    assert any("may stand for no real row" in caveat.text for caveat in known.caveats)
