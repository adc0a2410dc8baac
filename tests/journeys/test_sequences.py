"""Reviews and vibration signals: a network of each family trained by its recipe, and audited by all six disciplines."""

import re

import pytest
import yaml

from auditkit.cli import main
from auditkit.evidence.audit import Audit
from auditkit.subject.bundle import save_bundle
from auditkit.training.command import recipe_data
from auditkit.training.recipe import load_recipe
from auditkit.training.train import train

ARCHITECTURES = "auditkit.training.architectures"
SHORT = {
    "reviews": {
        "architecture": f"{ARCHITECTURES}.recurrent:Recurrent",
        "arguments": {"embedding": 32, "width": 32, "dropout": 0.1},
        "epochs": 5,
        "learning_rate": 0.006,
    },
    "vibration": {
        "architecture": f"{ARCHITECTURES}.transformer:Transformer",
        "arguments": {"width": 16, "heads": 2, "layers": 1},
        "epochs": 6,
        "learning_rate": 0.01,
    },
}
FAR = {"reviews": "transliterated", "vibration": "dead_sensor"}
DISCIPLINES = ("performance", "fairness", "attribution", "activations", "ood", "energy")


@pytest.fixture(scope="module", params=list(SHORT))
def audit(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Audit:
    name: str = request.param
    folder = tmp_path_factory.mktemp(name)
    recipe = load_recipe(name).model_copy(update=SHORT[name])
    splits, schema = recipe_data(recipe, folder)
    save_bundle(train(recipe, splits, schema, device="cpu"), folder / "model")
    spec = {
        "name": name,
        "subject": name,
        "model": "model",
        "device": "cpu",
        "performance": {"replicates": 200},
        "fairness": {"replicates": 200},
        "attribution": {"rows": 16, "maximum_steps": 32},
        "activations": {"map_rows": 100},
        "energy": {"seconds": 0.02, "blocks": 3},
        "gates": {"performance/accuracy": {"at_least": 0.7}},
    }
    (folder / "audit.yaml").write_text(yaml.safe_dump(spec))
    with pytest.raises(SystemExit) as stop:
        main(["run", str(folder / "audit.yaml"), "--out", str(folder / "reports"), "--quiet"])
    assert stop.value.code == 0
    ((found,),) = [list((folder / "reports" / name).iterdir())]
    return Audit(found)


def of(audit: Audit, analysis: str, metric: str, **where: str) -> list:
    return [
        row
        for row in audit.rows
        if (row.analysis, row.metric) == (analysis, metric) and all(getattr(row, k) == v for k, v in where.items())
    ]


def test_every_discipline_speaks_and_says_what_it_cannot(audit: Audit) -> None:
    for discipline in DISCIPLINES:
        rows = [row for row in audit.rows if row.analysis == discipline]
        assert any(row.status == "ok" for row in rows), discipline
        assert all(row.reason for row in rows if row.status != "ok")


def test_it_learned_and_passes_its_gate(audit: Audit) -> None:
    (found,) = of(audit, "performance", "accuracy", split="test", group="")
    assert found.value > 0.75
    assert audit.verdict == "pass"


def test_groups_are_judged(audit: Audit) -> None:
    attribute, groups = {"reviews": ("mentions", {"she", "he", "they"}), "vibration": ("site", {"north", "south"})}[
        audit.info["name"]
    ]
    rates = of(audit, "fairness", "selection_rate", split="test", attribute=attribute)
    assert groups <= {row.group for row in rates if row.status == "ok"}


def test_gradients_give_complete_explanations(audit: Audit) -> None:
    (gap,) = of(audit, "attribution", "completeness_gap", detail="integrated_gradients")
    assert gap.status == "ok"
    assert gap.value < 0.05


def test_what_is_far_is_found(audit: Audit) -> None:
    areas = of(audit, "ood", "auroc", split=FAR[audit.info["name"]])
    assert max(row.value for row in areas if row.status == "ok") > 0.9


def test_it_is_reported(audit: Audit) -> None:
    text = re.sub(r"<[^>]+>", "", (audit.folder / "report.html").read_text())
    for title in ("Performance", "Fairness", "Attribution", "Activations", "Energy"):
        assert title.lower() in text.lower()
