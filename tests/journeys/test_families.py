"""Autoencoders, a generator and a policy: trained by a recipe and through the whole audit, all six disciplines."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from auditkit.cli import main
from auditkit.evidence.audit import Audit
from auditkit.subject.builtin import builtin
from auditkit.subject.bundle import load_bundle, save_bundle
from auditkit.training.command import recipe_data
from auditkit.training.recipe import load_recipe
from auditkit.training.train import train

SHORT = {
    "unusual_digits": {"epochs": 6, "arguments": {"widths": [8], "code": 8}},
    "unusual_census": {"epochs": 2, "arguments": {"hidden": [16], "code": 8}},
    "generated_digits": {"epochs": 3, "arguments": {"widths": [8, 16], "noise": 8}},
    "cartpole": {"epochs": 1, "arguments": {"hidden": [16]}},
}
PARAMS = [pytest.param(name, marks=pytest.mark.slow) if name == "unusual_census" else name for name in SHORT]
DISCIPLINES = ("performance", "fairness", "attribution", "activations", "ood", "energy")


def audited(name: str, folder: Path) -> Audit:
    """The audit of a subject whose model was trained for a moment."""
    recipe = load_recipe(name).model_copy(update=SHORT[name])
    splits, schema = recipe_data(recipe, folder)
    save_bundle(train(recipe, splits, schema, device="cpu"), folder / "model")
    spec = {
        "name": name,
        "subject": name,
        "model": "model",
        "device": "cpu",
        "performance": {"replicates": 200, "generated": 200},
        "fairness": {"replicates": 200},
        "attribution": {"rows": 8, "maximum_steps": 16},
        "activations": {"map_rows": 100},
        "energy": {"seconds": 0.02, "blocks": 3},
    }
    (folder / "audit.yaml").write_text(yaml.safe_dump(spec))
    with pytest.raises(SystemExit) as stop:
        main(["run", str(folder / "audit.yaml"), "--out", str(folder / "reports"), "--quiet"])
    assert stop.value.code == 0
    ((found,),) = [list((folder / "reports" / name).iterdir())]
    return Audit(found)


@pytest.fixture(scope="module", params=PARAMS)
def audit(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Audit:
    if request.param == "cartpole":
        pytest.importorskip("gymnasium")
    return audited(request.param, tmp_path_factory.mktemp(request.param))


SECTIONS = {
    "unusual_digits": ("What it cannot copy", "Rows beside their copies"),
    "unusual_census": ("What it cannot copy", "Rows beside their copies", "Which columns it copies badly"),
    "generated_digits": ("What it generates, and whether it copies", "Which kinds it makes"),
    "cartpole": ("How long it lasts",),
}


def test_every_discipline_speaks_or_says_why_not(audit: Audit) -> None:
    name = audit.info["name"]
    for discipline in DISCIPLINES:
        rows = [row for row in audit.rows if row.analysis == discipline]
        assert rows, discipline
        if discipline == "fairness" and name != "unusual_census":
            assert all("no sensitive attribute" in row.reason for row in rows)
        else:
            assert any(row.status == "ok" for row in rows), discipline
        assert all(row.reason for row in rows if row.status != "ok")


def test_the_report_shows_what_the_family_makes(audit: Audit) -> None:
    text = re.sub(r"<[^>]+>", "", (audit.folder / "report.html").read_text())
    for title in SECTIONS[audit.info["name"]]:
        assert title in text
    report = json.loads((audit.folder / "report.json").read_text())
    assert report["verdict"] == "missing"


def test_a_detector_s_own_logit_stands_beside_the_others_and_test_holds_usual_rows_only(audit: Audit) -> None:
    areas = {(row.split, row.detail): row for row in audit.rows if row.metric == "auroc" and row.analysis == "ood"}
    detectors = {detector for _, detector in areas}
    if audit.info["name"] == "cartpole":
        assert "own_logit" not in detectors
        assert {"msp", "energy"} <= detectors
        return
    assert "own_logit" in detectors
    assert not {"msp", "max_logit", "energy", "gen"} & detectors
    assert any("left out" in caveat.text for caveat in audit.caveats if caveat.analysis == "ood")
    (gap,) = [row for row in audit.rows if row.metric == "generalisation_gap"]
    (recall,) = [
        row
        for row in audit.rows
        if row.metric == "class_recall" and row.split == "test" and row.detail in ("usual", "real")
    ]
    assert gap.status == "ok"
    (train,) = [row for row in audit.rows if row.name == "performance/accuracy" and row.split == "train"]
    assert gap.value == pytest.approx(train.value - recall.value)
    if audit.info["name"] == "unusual_digits":
        assert areas["noisy", "own_logit"].value > 0.9
    if audit.info["name"] == "unusual_census":
        assert areas["wrong_unit", "own_logit"].value > 0.95
        judged = [row for row in audit.rows if row.metric == "selection_rate" and row.attribute == "sex" and row.group]
        assert any(row.status == "ok" for row in judged)


def test_errors_said_are_those_of_the_network(audit: Audit) -> None:
    if not audit.info["name"].startswith("unusual"):
        pytest.skip("no autoencoder")
    model = load_bundle(audit.folder.parents[2] / "model", device="cpu")
    splits, _ = builtin(audit.info["name"])
    test = splits["test"]
    with torch.no_grad():
        errors = model.module.errors(*model.encode(test)).numpy()
    for label, name in enumerate(test.schema.classes):
        (row,) = [
            row
            for row in audit.rows
            if row.metric == "reconstruction_error" and row.split == "test" and row.detail == name
        ]
        assert row.value == pytest.approx(float(errors[test.labels == label].astype(np.float64).mean()), rel=1e-3)
