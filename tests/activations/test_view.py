"""What is shown: from evidence alone, hostile names as text, missing evidence without a crash."""

import json
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pytest
import torch
from torch import nn

from auditkit.activations.analysis import ActivationsAnalysis
from auditkit.activations.view import sections
from auditkit.engine.analysis import Context
from auditkit.engine.ledger import Ledger
from auditkit.engine.local import run_pass
from auditkit.engine.progress import Progress
from auditkit.spec import AuditSpec
from auditkit.subject.data import Schema, Split
from auditkit.subject.model import Model
from auditkit.subject.preprocessing import ImagePreprocessing, Numeric, TablePreprocessing
from auditkit.subject.subject import Subject

HOSTILE = "<img src=x onerror=alert(1)>"


def evidence_of(kind: str) -> SimpleNamespace:
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    classes = (HOSTILE, "b", "c")
    image = kind == "image"
    schema = Schema(features=("images",) if image else (HOSTILE, "x"), classes=classes, label="y")

    def split(name, role):
        data = {"y": rng.choice(classes, 60)} | ({} if image else {HOSTILE: rng.normal(size=60), "x": np.arange(60.0)})
        images = {"images": rng.normal(size=(60, 1, 6, 6)).astype(np.float32)} if image else {}
        return Split(name, role, pa.table(data), schema, images)

    if image:
        module: nn.Module = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(64, 3))
        preprocessing = ImagePreprocessing(shape=(1, 6, 6))
    else:
        module = nn.Sequential(nn.Linear(2, 8), nn.ReLU(), nn.Linear(8, 3))
        module[0].bias.data[0] = -1e6
        preprocessing = TablePreprocessing(numeric=(Numeric(name=HOSTILE), Numeric(name="x")))
    model = Model(module, classes, preprocessing, device=torch.device("cpu"))
    splits = (split("train", "train"), split("test", "test"), split(HOSTILE, "ood"))
    context = Context(Subject("s", model, splits, schema), AuditSpec(), Ledger(), Progress(quiet=True))
    analysis = ActivationsAnalysis()
    found = analysis.conclude(context, run_pass(context, [analysis])["activations"])
    info = {"schema": {"classes": list(classes)}}
    return SimpleNamespace(rows=found.metrics, table=found.tables.get, caveats=found.caveats, info=info)


@pytest.mark.parametrize("kind", ["table", "image"])
def test_sections_state_a_finding_and_escape_names(kind):
    evidence = evidence_of(kind)
    found = sections(evidence)
    assert [section.key for section in found] == ["layers", "map", "variance", "top-rows"]
    for section in found:
        assert section.finding.endswith(".")
        assert section.reading
        if section.figure is not None:
            assert "<img" not in json.dumps(json.loads(section.figure.to_json()))
    assert (found[3].figure is not None) == (kind == "image")


def test_dead_units_are_named_in_the_finding():
    assert "12.5 % of 1 (dead)" in sections(evidence_of("table"))[0].finding


def test_missing_evidence_gives_no_sections():
    assert sections(SimpleNamespace(rows=[], table=lambda name: None, caveats=[], info={})) == []


def test_each_table_may_be_missing_alone():
    evidence = evidence_of("table")
    for name in ("layers", "units", "map", "variance", "top", "inputs"):
        partial = SimpleNamespace(rows=evidence.rows, caveats=[], info={})
        partial.table = lambda key, gone=name: None if key.endswith(gone) else evidence.table(key)
        assert isinstance(sections(partial), list)
