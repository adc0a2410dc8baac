"""What is shown of the whole set: from evidence alone, names as text, missing evidence without a crash."""

import json
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pytest
import torch
from torch import Tensor, nn

from auditkit.attribution.analysis import AttributionAnalysis
from auditkit.attribution.strategy_view import whole_set_sections
from auditkit.engine.analysis import Context
from auditkit.engine.ledger import Ledger
from auditkit.engine.progress import Progress
from auditkit.spec import AuditSpec
from auditkit.subject.data import Schema, Split
from auditkit.subject.model import Model
from auditkit.subject.preprocessing import ImagePreprocessing, Numeric, TablePreprocessing
from auditkit.subject.subject import Subject

HOSTILE = "<b>mark</b>"
COLUMNS = (HOSTILE, *(f"column {place}" for place in range(14)))


class Watermarked(nn.Module):
    """Sums the columns; the first, where it is set, decides for the second class by itself."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.stack([0 * x[:, 0], x[:, 1:].sum(dim=1) + 40 * x[:, 0]], dim=1)


def shown(subject: Subject) -> SimpleNamespace:
    spec = AuditSpec(attribution={"methods": ["integrated_gradients"], "rows": 200, "evaluate": False})
    context = Context(subject, spec, Ledger(), Progress(quiet=True))
    found = AttributionAnalysis().conclude(context, {})
    info = {"spec": spec.model_dump(), "schema": {"classes": list(subject.schema.classes)}}
    return SimpleNamespace(rows=found.metrics, table=found.tables.get, caveats=found.caveats, info=info)


@pytest.fixture(scope="module")
def table() -> SimpleNamespace:
    rng = np.random.default_rng(0)
    schema = Schema(COLUMNS, ("<i>no</i>", "yes"), "y", positive="yes")

    def split(name: str) -> Split:
        data = {column: rng.normal(size=240) for column in COLUMNS}
        data[HOSTILE] = (np.arange(240) % 5 == 0).astype(float)
        return Split(name, name, pa.table(data | {"y": rng.choice(["<i>no</i>", "yes"], 240)}), schema)

    preprocessing = TablePreprocessing(numeric=tuple(Numeric(name=column) for column in COLUMNS))
    model = Model(Watermarked(), schema.classes, preprocessing, device=torch.device("cpu"))
    train = split("train")
    bare = train.table.set_column(0, HOSTILE, pa.array(np.zeros(240)))
    return shown(Subject("s", model, (Split("train", "train", bare, schema), split("test")), schema))


@pytest.fixture(scope="module")
def pictures() -> SimpleNamespace:
    torch.manual_seed(0)
    rng, schema = np.random.default_rng(0), Schema(("images",), ("a", "b", "c"), "y")

    def split(name: str) -> Split:
        images = rng.normal(size=(120, 1, 8, 8)).astype(np.float32)
        return Split(name, name, pa.table({"y": rng.choice(["a", "b", "c"], 120)}), schema, {"images": images})

    network = nn.Sequential(nn.Flatten(), nn.Linear(64, 3))
    model = Model(network, schema.classes, ImagePreprocessing(shape=(1, 8, 8)), device=torch.device("cpu"))
    return shown(Subject("s", model, (split("train"), split("test")), schema))


def sections(evidence: SimpleNamespace) -> dict:
    found = whole_set_sections(evidence, evidence.table("attribution/methods"))
    return {section.key: section for section in found}


def test_sections_state_findings(table, pictures):
    assert list(sections(table)) == ["by-class", "by-answer", "strategies", "shortcuts"]
    assert list(sections(pictures)) == ["by-class", "by-answer", "strategies"]
    for section in [*sections(table).values(), *sections(pictures).values()]:
        assert section.finding.endswith(".")
        assert section.figure is not None
        assert section.reading
        assert section.how


def test_a_column_that_gives_the_answer_away_is_named(table):
    found = sections(table)["shortcuts"]
    assert HOSTILE in found.finding
    assert "answers 'yes'" in found.finding
    assert found.figure is not None
    assert found.table.column("candidate").to_pylist()[0] == "yes"


def test_without_a_candidate_the_strategies_say_so(pictures):
    found = sections(pictures)
    assert "shortcuts" not in found
    assert "No shortcut candidate" in found["strategies"].finding


def test_hostile_names_never_reach_plotly_as_markup(table):
    for section in sections(table).values():
        drawn = json.dumps(json.loads(section.figure.to_json())).replace("\\u003c", "<")
        assert "<b>" not in drawn
        assert "<i>" not in drawn


def test_missing_tables_give_no_sections(table):
    nothing = SimpleNamespace(rows=[], table=lambda name: None, caveats=[], info={})
    assert whole_set_sections(nothing, table.table("attribution/methods")) == []
    for name in ("strategies", "shortcuts", "by_class", "inputs"):
        partial = SimpleNamespace(**vars(table))
        partial.table = lambda key, gone=name: None if key.endswith(gone) else table.table(key)
        assert isinstance(whole_set_sections(partial, table.table("attribution/methods")), list)
