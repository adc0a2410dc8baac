"""What an audit keeps to compare two methods row by row and to filter rows: held against truth."""

from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pytest
import torch
from scipy.stats import spearmanr
from torch import nn

from auditkit.attribution.analysis import AttributionAnalysis
from auditkit.attribution.explicands import PartAttribution
from auditkit.attribution.registry import METHODS
from auditkit.attribution.summary import row_agreement, value_directions
from auditkit.engine.analysis import Context
from auditkit.engine.ledger import Ledger
from auditkit.engine.progress import Progress
from auditkit.spec import AuditSpec
from auditkit.subject.data import Schema, Split
from auditkit.subject.model import Model
from auditkit.subject.preprocessing import Numeric, TablePreprocessing
from auditkit.subject.subject import Subject


def found_of(**values: np.ndarray) -> dict[str, PartAttribution]:
    ones = np.ones(len(next(iter(values.values()))), dtype=np.int64)
    return {name: PartAttribution(torch.as_tensor(part), ones) for name, part in values.items()}


def explicands_of(rows: list[int], present: np.ndarray | None = None) -> SimpleNamespace:
    return SimpleNamespace(rows=np.array(rows), present=None if present is None else torch.as_tensor(present))


def test_agreement_of_a_row_is_what_scipy_and_a_count_say():
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(6, 9)), rng.normal(size=(6, 9))
    lines = row_agreement(
        explicands_of([3, 5, 8, 9, 10, 40]), found_of(integrated_gradients=a, occlusion=b)
    ).to_pylist()
    assert [line["row"] for line in lines] == [3, 5, 8, 9, 10, 40]
    for place, line in enumerate(lines):
        assert line["rank"] == pytest.approx(spearmanr(np.abs(a[place]), np.abs(b[place])).statistic)
        tops = [set(np.argsort(-np.abs(part[place]))[:5].tolist()) for part in (a, b)]
        both = tops[0] & tops[1]
        assert line["top"] == pytest.approx(len(both) / 5)
        assert line["sign"] == pytest.approx(sum(a[place, j] * b[place, j] > 0 for j in both) / 5)
        assert line["reason"] == ""


def test_what_is_not_defined_is_null_with_its_reason():
    a = np.array([[1.0, -2.0, 3.0], [1.0, 1.0, 1.0], [0.0, 0.0, 0.0]])
    lines = row_agreement(explicands_of([0, 1, 2]), found_of(integrated_gradients=a, saliency=np.abs(a))).to_pylist()
    assert lines[0]["rank"] == pytest.approx(1.0)
    assert all(line["sign"] is None and "Saliency tells no sign" in line["reason"] for line in lines)
    assert lines[1]["rank"] is None
    assert "weighing alike" in lines[1]["reason"]
    assert lines[2]["top"] is None
    assert "neither method attributes anything" in lines[2]["reason"]


def test_places_that_a_row_does_not_have_do_not_count():
    a = np.array([[3.0, 2.0, 1.0, 0.0, 0.0]])
    b = np.array([[1.0, 2.0, 3.0, 0.0, 0.0]])
    own = np.array([[True, True, True, False, False]])
    (line,) = row_agreement(explicands_of([0], own), found_of(integrated_gradients=a, occlusion=b)).to_pylist()
    assert line["rank"] == pytest.approx(-1.0)
    assert line["top"] == 1.0


def test_one_method_has_nobody_to_agree_with():
    table = row_agreement(explicands_of([0]), found_of(occlusion=np.ones((1, 3))))
    assert table.num_rows == 0


@pytest.fixture(scope="module")
def tables() -> dict[str, pa.Table]:
    torch.manual_seed(0)
    names = ("p", "q", "r", "s")
    schema = Schema(features=names, classes=("no", "yes"), label="y", sensitive=("g",))
    rng = np.random.default_rng(0)

    def split(name: str) -> Split:
        data = {column: rng.normal(size=40) for column in names}
        return Split(name, name, pa.table(data | {"y": rng.choice(["no", "yes"], 40), "g": ["u", "v"] * 20}), schema)

    module = nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 2))
    preprocessing = TablePreprocessing(numeric=tuple(Numeric(name=name) for name in names))
    model = Model(module, schema.classes, preprocessing, device=torch.device("cpu"))
    spec = AuditSpec(attribution={"rows": 12, "methods": ["integrated_gradients", "occlusion"], "evaluate": False})
    subject = Subject("s", model, (split("train"), split("test")), schema)
    return AttributionAnalysis().conclude(Context(subject, spec, Ledger(), Progress(quiet=True)), {}).tables


def test_an_audit_keeps_the_group_of_every_explained_row(tables):
    rows = sorted(set(tables["attribution/rows"]["row"].to_pylist()))
    lines = tables["attribution/row_groups"].to_pylist()
    assert [line["row"] for line in lines] == rows
    assert all(line == {"row": line["row"], "attribute": "g", "group": "uv"[line["row"] % 2]} for line in lines)


def test_an_audit_keeps_the_agreement_of_every_pair_on_every_row(tables):
    lines = tables["attribution/row_agreement"].to_pylist()
    assert {(line["first"], line["second"]) for line in lines} == {("integrated_gradients", "occlusion")}
    assert len(lines) == 12
    assert all(-1 <= line["rank"] <= 1 and 0 <= line["sign"] <= line["top"] <= 1 for line in lines)


def test_an_audit_asks_every_method_before_any_is_used(tables):
    lines = {line["method"]: line for line in tables["attribution/preflight"].to_pylist()}
    assert list(lines) == list(METHODS)
    assert [name for name, line in lines.items() if line["used"]] == ["integrated_gradients", "occlusion"]
    assert lines["grad_cam"]["status"] == "refused"
    assert lines["grad_cam"]["reason"]
    assert all(line["reason"] for line in lines.values() if line["status"] != "valid")


def test_which_way_a_column_works_is_the_rank_correlation_over_rows():
    values = np.array([[1.0, 4.0], [2.0, 1.0], [3.0, 0.0], [9.0, 9.0]])
    told = {"up": pa.array([10.0, 20.0, 30.0, None]), "same": pa.array([5.0, 5.0, 5.0, 5.0])}
    explicands = SimpleNamespace(rows=np.arange(4), partition=SimpleNamespace(parts=("same", "up")))
    split = SimpleNamespace(column=told.__getitem__)
    lines = value_directions(explicands, found_of(occlusion=values), split, ["up", "same"]).to_pylist()
    assert lines[0] | {"rank": round(lines[0]["rank"], 9)} == {
        "method": "occlusion",
        "column": "up",
        "rank": -1.0,
        "n": 3,
        "reason": "",
    }
    assert (lines[1]["rank"], lines[1]["n"]) == (None, 4)
    assert lines[1]["reason"]


def test_an_audit_of_a_table_keeps_which_way_its_numbers_work(tables):
    lines = tables["attribution/directions"].to_pylist()
    assert [line["column"] for line in lines] == ["p", "q", "r", "s"] * 2
    assert all(line["n"] == 12 and -1 <= line["rank"] <= 1 for line in lines)
