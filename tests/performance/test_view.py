"""The performance sections say what the evidence holds, and cope with what it lacks."""

import numpy as np
import pyarrow as pa
import pytest
import torch
from torch import nn

from auditkit.engine.analysis import Context, Observation
from auditkit.engine.ledger import Ledger
from auditkit.engine.progress import Progress
from auditkit.performance.analysis import PerformanceAnalysis
from auditkit.performance.observer import PredictionObserver
from auditkit.performance.view import sections
from auditkit.spec import AuditSpec
from auditkit.subject.data import Schema, Split
from auditkit.subject.model import Model
from auditkit.subject.preprocessing import Numeric, TablePreprocessing
from auditkit.subject.subject import Subject


class FakeEvidence:
    caveats, info = (), {}

    def __init__(self, findings):
        self.rows, self.tables = findings.metrics, dict(findings.tables)

    def table(self, name):
        return self.tables.get(name.removeprefix("performance/"))


def evidence_of(classes, sharpness, rows=600):
    """A model that is right as often as it says where sharpness is 1, and too sure of itself above."""
    rng = np.random.default_rng(0)
    logits = rng.normal(scale=2, size=(rows, len(classes)))
    p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    labels = np.array([rng.choice(len(classes), p=row) for row in p])
    schema = Schema(("x",), classes, "y", classes[1])
    table = pa.table({"x": np.arange(rows, dtype=float), "y": [classes[place] for place in labels]})
    splits = (Split("train", "train", table, schema), Split("test", "test", table, schema))
    preprocessing = TablePreprocessing(numeric=(Numeric(name="x"),))
    point = {"epoch": 1, "train_loss": 0.5, "train_accuracy": 0.7, "validation_loss": 0.6, "validation_accuracy": 0.6}
    record = {"curves": [point, {**point, "epoch": 2}], "best_epoch": 1}
    model = Model(nn.Linear(1, len(classes)), classes, preprocessing, device=torch.device("cpu"), record=record)
    context = Context(Subject("toy", model, splits, schema), AuditSpec(), Ledger(), Progress(quiet=True))
    observers = {}
    for split in splits:
        observers[split.name] = PredictionObserver()
        seen = Observation(np.arange(rows), labels, torch.tensor(logits * sharpness, dtype=torch.float32))
        observers[split.name].update(seen)
    return FakeEvidence(PerformanceAnalysis().conclude(context, observers))


@pytest.mark.parametrize(
    ("sharpness", "said"), [(1, "as often right as it says"), (4, "too sure of itself"), (0.3, "too cautious")]
)
def test_calibration_is_put_into_words(sharpness, said):
    shown = {section.key: section for section in sections(evidence_of(("no", "yes"), sharpness))}
    assert said in shown["calibration"].finding
    assert "chance alone would show" in shown["calibration"].finding


def test_every_view_copes_with_what_is_missing():
    evidence = evidence_of(("no", "yes"), 1)
    whole = dict(evidence.tables)
    assert {section.key for section in sections(evidence)} == {
        "overview",
        "calibration",
        "confusion",
        "training",
        "roc",
    }
    for gone in whole:
        evidence.tables = {name: table for name, table in whole.items() if name != gone}
        assert all(section.finding for section in sections(evidence))
    evidence.tables = {}
    assert all(section.finding for section in sections(evidence))
    evidence.rows = []
    assert sections(evidence) == []


def test_fifty_classes_with_hostile_names_are_still_drawn():
    classes = tuple(f"<b>{place}</b>" for place in range(50))
    evidence = evidence_of(classes, 1, rows=1000)
    for section in sections(evidence):
        if section.figure is not None:
            assert "<b>1" not in section.figure.to_json().replace("\\u003c", "<")
