"""A model of one class alone: its own logit as a detector, and a test split that holds what it is to notice."""

import numpy as np
import pyarrow as pa
import pytest
import torch
from torch import nn

from auditkit.engine.analysis import Context, Observation
from auditkit.engine.ledger import Ledger
from auditkit.engine.local import run_pass
from auditkit.engine.progress import Progress
from auditkit.evidence.metrics import select
from auditkit.ood.analysis import OodAnalysis
from auditkit.ood.panel import fit_panel
from auditkit.ood.reference import Reference
from auditkit.ood.registry import chosen
from auditkit.spec import AuditSpec
from auditkit.subject.data import Schema, Split
from auditkit.subject.model import Model
from auditkit.subject.preprocessing import fit_table
from auditkit.subject.subject import Subject


class Distance(nn.Module):
    """The logit of the second class is how far a row is from the origin; where `turned`, of the first."""

    one_class = True
    lacks = {"scores": "a sure answer is no usual row"}  # noqa: RUF012
    caveats = ("It was trained on one class alone.",)
    penultimate = "same"

    def __init__(self, turned=False):
        super().__init__()
        self.same, self.turned = nn.Identity(), turned

    @property
    def outlier(self):
        return 0 if self.turned else 1

    def forward(self, numbers):
        away = self.same(numbers).norm(dim=1, keepdim=True) - 2
        return -away if self.turned else away


def split(name, role, classes, usual, unusual, seed=0):
    rng = np.random.default_rng(seed)
    rows = np.concatenate([rng.normal(size=(usual, 3)), 6 + rng.normal(size=(unusual, 3))])
    far, near = ("far", "near") if "far" in classes else classes
    table = pa.table({**{f"x{i}": rows[:, i] for i in range(3)}, "kind": [near] * usual + [far] * unusual})
    return Split(name, role, table, Schema(("x0", "x1", "x2"), classes, "kind"))


def audited(turned):
    classes = ("far", "near") if turned else ("near", "far")
    splits = [
        split("train", "train", classes, 400, 0),
        split("validation", "validation", classes, 400, 0, 1),
        split("test", "test", classes, 300, 300, 2),
        split("away", "ood", classes, 0, 200, 3),
    ]
    model = Model(
        Distance(turned), classes, fit_table(splits[0], splits[0].schema.features), device=torch.device("cpu")
    )
    subject = Subject("distance", model, tuple(splits), splits[0].schema)
    context, analysis = Context(subject, AuditSpec(), Ledger(), Progress(quiet=True)), OodAnalysis()
    return analysis.conclude(context, run_pass(context, [analysis])["ood"])


@pytest.mark.parametrize("turned", [False, True])
def test_the_own_logit_is_held_against_usual_test_rows_alone(turned):
    findings = audited(turned)
    (area,) = select(findings.metrics, metric="auroc", detail="own_logit")
    assert area.value > 0.999
    (flagged,) = select(findings.metrics, metric="id_flag_rate", detail="own_logit")
    assert flagged.n == 300
    assert flagged.value < 0.1
    assert not select(findings.metrics, detail=["msp", "gen", "energy", "max_logit"])
    assert any("left out" in caveat.text for caveat in findings.caveats)
    members = {line["detector"] for line in findings.tables["detectors"].to_pylist() if line.get("fused")}
    assert "own_logit" in members or not members


def test_the_score_is_the_logit_of_the_outlier_minus_that_of_the_other():
    logits = torch.tensor([[0.0, 3.0], [0.0, -1.0]])
    seen = Observation(np.arange(2), np.zeros(2, dtype=int), logits)
    for outlier, expected in ((1, [3.0, -1.0]), (0, [-3.0, 1.0])):
        panel = fit_panel(chosen(["own_logit"]), Reference(rows=5), {"scores": "no"}, outlier)
        assert panel.fitted["own_logit"].score(seen).tolist() == expected


def test_it_is_no_detector_of_a_classifier():
    assert "own_logit" not in [detector.name for detector in chosen(None)]
    refused = fit_panel(chosen(["own_logit"]), Reference(rows=5)).refused["own_logit"]
    assert refused.status == "not applicable"
    assert "one class alone" in refused.reason


def test_a_network_says_of_itself_what_it_lacks():
    classes = ("near", "far")
    rows = split("train", "train", classes, 20, 0)
    model = Model(Distance(), classes, fit_table(rows, rows.schema.features), device=torch.device("cpu"))
    again = Model(model.module, classes, model.preprocessing, device=model.device, caveats=model.caveats)
    assert model.penultimate == "same"
    assert model.lacks == {"scores": "a sure answer is no usual row"}
    assert [caveat.text for caveat in again.caveats] == ["It was trained on one class alone."]
    plain = Model(nn.Sequential(nn.Linear(3, 2)), classes, model.preprocessing, device=model.device)
    assert (plain.outlier, plain.lacks, plain.caveats, plain.penultimate) == (None, {}, (), "0")
