"""No model at all: stored answers through a whole audit, with the numbers that the model itself gives."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import auditkit as ak
from auditkit.cli import main
from auditkit.engine.analysis import Needs
from auditkit.engine.probe import observe
from auditkit.errors import InputError
from auditkit.report import write_reports
from auditkit.subject.load import load_model
from auditkit.subject.rows import load_data
from tests.journeys.loans import applicants

MEANING = {"label": "repaid", "positive": "yes", "sensitive": ["sex"]}
SETTINGS = {
    "gates": {
        "performance/accuracy": {"at_least": 0.5},
        "fairness/demographic_parity_ratio": {"at_least": 0.8},
    },
    "fairness": {"replicates": 300, "minimum_group": 20},
    "performance": {"replicates": 200},
    "attribution": {"rows": 8},
    "energy": {"seconds": 0.02, "blocks": 3},
}
FEATURES = ["income", "age", "home"]
COMPAS = next(
    (place for place in (Path(__file__).resolve().parents[3] / "shared/data/compas_two_years.csv",) if place.is_file()),
    None,
)
KEYS = ["analysis", "metric", "split", "group", "detail"]


def tables():
    sizes = {"train": (400, 1, 0.0), "validation": (200, 2, 0.0), "test": (300, 3, 0.0), "elsewhere": (80, 4, 6.0)}
    return {name: applicants(*size) for name, size in sizes.items()}


def with_answers(model, table, name):
    """The people, and beside them what the model says of them: logits, probabilities, decisions and features."""
    split = load_data(table, name=name, schema=model.schema)
    with model.evaluating():
        seen = observe(model, next(model.batches(split, len(split))), Needs(logits=True, features=True))
    frame, chances = table.to_pandas(), seen.logits.double().softmax(dim=1).numpy()
    frame["logit_no"], frame["logit_yes"] = seen.logits.double().numpy().T
    frame["p_no"], frame["p_yes"] = chances.T
    frame["decided"] = np.array(model.classes)[chances.argmax(axis=1)]
    vectors = {f"hidden{place}": values for place, values in enumerate(seen.features.double().numpy().T)}
    return pd.concat([frame, pd.DataFrame(vectors)], axis=1)


@pytest.fixture(scope="module")
def asked(loans, tmp_path_factory):
    """(the audit of the bundle, tables with its answers)"""
    model = load_model(loans / "model", device="cpu")
    parts = tables()
    audit = ak.audit(model, parts, **MEANING, out=tmp_path_factory.mktemp("bundle"), **SETTINGS)
    return audit, {name: with_answers(model, table, name) for name, table in parts.items()}


@pytest.fixture(scope="module")
def of_logits(asked, tmp_path_factory):
    predictions = {"logits": {"no": "logit_no", "yes": "logit_yes"}, "features": "hidden"}
    out = tmp_path_factory.mktemp("logits")
    return ak.audit(None, asked[1], **MEANING, features=FEATURES, predictions=predictions, out=out, **SETTINGS)


def compared(one, other, *analyses):
    sides = [audit.metrics[audit.metrics.analysis.isin(analyses)] for audit in (one, other)]
    return sides[0].merge(sides[1], on=[*KEYS, "attribute"], how="outer", indicator=True)


def test_stored_logits_and_features_give_the_numbers_of_the_bundle(asked, of_logits):
    rows = compared(asked[0], of_logits, "performance", "fairness", "ood")
    assert len(rows) > 200
    assert set(rows._merge) == {"both"}
    assert (rows.status_x == rows.status_y).all()
    for side in ("value", "lower", "upper"):
        assert rows[f"{side}_x"].to_numpy(float) == pytest.approx(
            rows[f"{side}_y"].to_numpy(float), abs=1e-9, nan_ok=True
        )
    assert [gate.verdict for gate in asked[0].gates] == [gate.verdict for gate in of_logits.gates]
    assert asked[0].verdict == of_logits.verdict


@pytest.mark.parametrize(
    "predictions", [{"score": "p_yes"}, {"probabilities": {"no": "p_no", "yes": "p_yes"}}], ids=["score", "each class"]
)
def test_stored_probabilities_give_the_numbers_of_the_bundle(asked, tmp_path, predictions):
    audit = ak.audit(
        None, asked[1], **MEANING, features=FEATURES, predictions=predictions, out=tmp_path, **SETTINGS,
        analyses=["performance", "fairness"],
    )  # fmt: skip
    rows = compared(asked[0], audit, "performance", "fairness")
    assert set(rows._merge) == {"both"}
    assert rows.value_x.to_numpy(float) == pytest.approx(rows.value_y.to_numpy(float), abs=1e-9, nan_ok=True)
    assert asked[0].verdict == audit.verdict


def test_stored_decisions_are_judged_as_the_model_decided(asked, tmp_path):
    audit = ak.audit(
        None, {"test": asked[1]["test"]}, **MEANING, predictions={"decision": "decided"}, out=tmp_path, **SETTINGS,
        analyses=["performance", "fairness", "ood"],
    )  # fmt: skip
    rows = compared(asked[0], audit, "performance", "fairness")
    rows = rows[(rows._merge == "both") & (rows.split == "test")]
    of_decisions = rows[rows.metric.isin(["accuracy", "selection_rate", "true_positive_rate", "false_positive_rate"])]
    assert len(of_decisions) > 8
    assert of_decisions.value_x.to_numpy(float) == pytest.approx(of_decisions.value_y.to_numpy(float), abs=1e-9)
    assert any("decisions without scores" in caveat.text for caveat in audit.caveats)


def test_what_needs_a_model_says_that_there_is_none(of_logits):
    rows = of_logits.metrics
    for analysis in ("attribution", "activations"):
        mine = rows[rows.analysis == analysis]
        assert set(mine.status) == {"not applicable"}
        assert mine.reason.str.contains("there is no model").all()
    energy = rows[(rows.analysis == "energy") & rows.metric.str.endswith("per_1000_rows")]
    assert set(energy.status) == {"absent"}
    assert energy.reason.str.contains("there is no model").all()
    flips = rows[rows.metric == "counterfactual_flip_rate"]
    assert set(flips.status) == {"not applicable"}
    assert flips.reason.str.contains("there is no model").all()


def test_the_evidence_and_the_report_say_that_there_was_no_model(of_logits, tmp_path):
    model = of_logits.info["identities"]["model"]
    assert model["origin"].startswith("no model: stored predictions")
    assert model["parameters"] is None
    assert any("There was no model" in caveat.text for caveat in of_logits.caveats)
    [page] = write_reports(of_logits, tmp_path, ["html"])
    assert "There was no model" in page.read_text(encoding="utf-8")


def test_other_predictions_make_another_audit(asked, of_logits, tmp_path):
    changed = {name: frame.assign(logit_yes=frame.logit_yes + (frame.index == 0)) for name, frame in asked[1].items()}
    predictions = {"logits": {"no": "logit_no", "yes": "logit_yes"}, "features": "hidden"}
    other = ak.audit(
        None, changed, **MEANING, features=FEATURES, predictions=predictions, out=tmp_path, **SETTINGS,
        analyses=["performance"],
    )  # fmt: skip
    digests = [audit.info["identities"]["model"]["digest"] for audit in (of_logits, other)]
    assert digests[0] != digests[1]


def test_a_table_of_predictions_runs_from_its_file(asked, tmp_path, monkeypatch, capsys):
    asked[1]["test"].to_parquet(tmp_path / "answered.parquet")
    (tmp_path / "audit.yaml").write_text(
        "predictions: {score: p_yes, threshold: 0.5}\n"
        "data: {test: answered.parquet}\n"
        'columns: {label: repaid, positive: "yes", sensitive: [sex]}\n'
        "analyses: [performance, fairness]\n"
        "fairness: {replicates: 300}\n"
        "gates: {performance/accuracy: {at_least: 0.5}}\n"
    )
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as stopped:
        main(["run", "audit.yaml", "--quiet"])
    assert stopped.value.code == 0
    accuracy = (asked[1]["test"].repaid == asked[1]["test"].decided).mean()
    assert f"{accuracy:.0%}".replace("%", " %") in capsys.readouterr().out


def test_a_model_and_predictions_are_not_both_audited(loans, asked, tmp_path):
    with pytest.raises(InputError, match="not both"):
        ak.audit(loans / "model", asked[1], predictions={"score": "p_yes"}, **MEANING, out=tmp_path)
    with pytest.raises(InputError, match="there is no model"):
        ak.audit(None, asked[1], **MEANING, out=tmp_path)


@pytest.mark.skipif(COMPAS is None, reason="compas_two_years.csv is not at hand")
def test_the_published_error_rates_of_compas_come_out(tmp_path):
    audit = ak.audit(
        None, {"test": COMPAS}, predictions={"score": "decile_score", "threshold": 5}, label="two_year_recid",
        positive="1", sensitive=["race"], analyses=["fairness"], fairness={"replicates": 300}, out=tmp_path,
    )  # fmt: skip
    rates = audit.metrics[(audit.metrics.split == "test") & (audit.metrics.analysis == "fairness")]
    found = {
        (row.metric, row.group): round(100 * row.value, 2)
        for row in rates.itertuples()
        if row.metric in ("false_positive_rate", "false_negative_rate")
        and row.group in ("African-American", "Caucasian")
    }
    assert found == {
        ("false_positive_rate", "African-American"): 44.85,
        ("false_positive_rate", "Caucasian"): 23.45,
        ("false_negative_rate", "African-American"): 27.99,
        ("false_negative_rate", "Caucasian"): 47.72,
    }
