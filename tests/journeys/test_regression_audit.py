"""Whole audits of models that predict a number: networks, bundles, estimators and callables, by Python and by file."""

import json
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from sklearn.datasets import load_diabetes
from sklearn.ensemble import GradientBoostingRegressor
from sklearn.linear_model import LinearRegression
from sklearn.metrics import mean_absolute_error, mean_squared_error
from streamlit.testing.v1 import AppTest
from torch import nn
from typer.testing import CliRunner

import auditkit as ak
from auditkit.activations.view import sections as sections_of_layers
from auditkit.attribution.view import sections as sections_of_inputs
from auditkit.cli import app
from auditkit.errors import InputError
from auditkit.fairness.outcomes.check import check_outcomes
from auditkit.fairness.view import sections as sections_of_groups
from auditkit.performance.view import sections
from auditkit.training.architectures.mlp import MLP

FEATURES = ["age", "bmi", "bp", "s1", "s2", "s3", "s4", "s5", "s6"]
QUICK = {"attribution": {"rows": 24}, "energy": {"seconds": 0.02, "blocks": 3}}


@pytest.fixture(scope="module")
def frame() -> pd.DataFrame:
    found = load_diabetes(as_frame=True).frame
    found["sex"] = np.where(found["sex"] > 0, "f", "m")
    return found


def splits(frame):
    wild = frame.iloc[280:].drop(columns="target")
    return {"train": frame.iloc[:200], "validation": frame.iloc[200:280], "test": frame.iloc[280:],
            "wild": wild.assign(bmi=wild["bmi"] * 20)}  # fmt: skip


@pytest.fixture(scope="module")
def fitted(frame) -> LinearRegression:
    return LinearRegression().fit(frame[FEATURES].iloc[:200], frame["target"].iloc[:200])


def linear(fitted) -> nn.Module:
    network = nn.Sequential(nn.Linear(len(FEATURES), 1))
    with torch.no_grad():
        network[0].weight.copy_(torch.tensor(fitted.coef_[None]))
        network[0].bias.fill_(float(fitted.intercept_))
    return network


@pytest.fixture(scope="module")
def audited(frame, fitted, tmp_path_factory):
    return ak.audit(
        linear(fitted), splits(frame), task="regression", label="target", sensitive=["sex"], features=FEATURES,
        gates={"performance/rmse": {"at_most": 80}, "performance/r2": {"at_least": 0.2},
               "mean_error_difference": {"at_most": 60}},
        out=tmp_path_factory.mktemp("regression"), **QUICK,
    )  # fmt: skip


def rows_of(audit, **where):
    return [row for row in audit.rows if all(getattr(row, name) == value for name, value in where.items())]


def test_a_network_that_predicts_a_number_is_audited_whole(audited, frame, fitted):
    truth, predicted = frame["target"].iloc[280:], fitted.predict(frame[FEATURES].iloc[280:])
    mae = rows_of(audited, analysis="performance", metric="mae", split="test")[0]
    assert mae.value == pytest.approx(mean_absolute_error(truth, predicted), rel=1e-6)
    assert audited.verdict == "pass"
    assert {row.analysis for row in audited.rows if row.status == "ok"} == {
        "performance", "fairness", "attribution", "activations", "ood", "energy", "insights"
    }  # fmt: skip
    assert not rows_of(audited, metric="accuracy")
    kept = audited.table("performance/predictions").to_pylist()
    assert {line["split"] for line in kept} == {"train", "validation", "test", "wild"}
    assert all((line["label"] is None) == (line["split"] == "wild") for line in kept)


def test_gaps_between_groups_are_those_of_a_check_of_the_same_numbers(audited, frame):
    lines = [line for line in audited.table("performance/predictions").to_pylist() if line["split"] == "test"]
    check = check_outcomes(
        [line["label"] for line in lines], [line["prediction"] for line in lines], task="regression",
        sensitive_features={"sex": frame["sex"].iloc[280:].tolist()},
    )  # fmt: skip

    def seen(rows):
        return {(row.metric, row.attribute, row.group, row.value, row.lower, row.upper) for row in rows}

    moved = rows_of(audited, metric="counterfactual_prediction_change")
    assert [row.status for row in moved] == ["not applicable"]  # the network does not read sex
    assert seen(rows_of(audited, analysis="fairness")) - seen(moved) == seen(check.metrics)


def test_an_attribution_of_a_linear_network_is_weight_times_distance(audited, frame, fitted):
    lines = audited.table("attribution/explanations").to_pylist()
    mean = frame[FEATURES].iloc[:200].mean()
    test = frame.iloc[280:].reset_index(drop=True)
    weight = dict(zip(FEATURES, fitted.coef_, strict=True))
    assert {line["method"] for line in lines} == {"integrated_gradients", "gradient_x_input", "occlusion"}
    for line in lines:
        expected = weight[line["column"]] * (test[line["column"]][line["row"]] - mean[line["column"]])
        assert line["value"] == pytest.approx(expected, rel=1e-4, abs=2e-4)


def test_detectors_that_read_scores_of_classes_are_not_asked(audited, frame, fitted, tmp_path):
    assert {row.detail for row in rows_of(audited, metric="auroc", status="ok")} >= {"mahalanobis", "input_mahalanobis"}
    asked = ak.audit(
        linear(fitted), splits(frame), task="regression", label="target", features=FEATURES, analyses=["ood"],
        ood={"detectors": ["msp", "energy", "relative_mahalanobis", "knn"]}, out=tmp_path,
    )  # fmt: skip
    found = {row.detail: row for row in rows_of(asked, metric="auroc")}
    assert found["msp"].status == found["energy"].status == found["relative_mahalanobis"].status == "not applicable"
    assert "predicts a number" in found["msp"].reason
    assert found["knn"].status == "ok"


def test_sections_do_not_speak_of_classes(audited):
    for show in (sections, sections_of_groups, sections_of_inputs, sections_of_layers):
        for section in show(audited):
            said = " ".join([section.title, section.finding, section.reading])
            assert not {"class", "classes", "accuracy"} & set(said.lower().split()), said
    keys = [section.key for section in sections(audited)]
    assert keys == ["overview", "predicted-true", "residuals"]


@pytest.mark.parametrize(
    ("page", "wanted"),
    [("overview", "Mean absolute error"), ("performance", "Where it is furthest off"), ("explanations", ", truly ")],
)
def test_the_dashboard_shows_numbers(audited, page, wanted, monkeypatch):
    root = audited.folder.parents[1]
    app = Path(__file__).parents[2] / "dashboard" / "app.py"
    monkeypatch.setattr(sys, "argv", ["app.py", str(root)])
    shown = AppTest.from_file(app, default_timeout=30).run()
    if page != "overview":
        shown.switch_page(f"screens/{page}.py").run()
    if page == "explanations":
        assert not shown.exception
        shown.session_state["attribution-chapters"] = "One answer at a time"
        shown.run()
    assert not shown.exception
    assert not [box.value for box in shown.error]
    said = [block.value for block in (*shown.markdown, *shown.subheader)] + [card.label for card in shown.metric]
    assert wanted in "\n".join(said)


def test_a_bundle_of_a_regression_gives_the_same_numbers(frame, fitted, tmp_path):
    model = ak.load_model(linear(fitted), features=FEATURES, task="regression")
    model.architecture = {"path": "auditkit.training.architectures.mlp:MLP",
                          "arguments": {"numeric": 9, "categories": [], "classes": 1, "hidden": []}}  # fmt: skip
    state = model.module.state_dict()
    model.module = MLP(9, [], 1, hidden=[])
    model.module.load_state_dict({f"head.{name.partition('.')[2]}": part for name, part in state.items()})
    model.penultimate = "head"
    again = ak.load_model(ak.save_bundle(model, tmp_path / "bundle"))
    assert (again.task, again.classes) == ("regression", ("prediction",))
    x = torch.randn(5, 9)
    assert torch.equal(again.logits((x,)), model.logits((x,)))
    record = json.loads((tmp_path / "bundle" / "model.json").read_text())
    assert record.pop("task") == "regression"


@pytest.mark.parametrize("kind", ["estimator", "callable"])
def test_an_estimator_and_a_callable_that_predict_numbers(frame, tmp_path, kind):
    fitted = GradientBoostingRegressor(n_estimators=20, random_state=0)
    fitted.fit(frame[FEATURES].iloc[:200], frame["target"].iloc[:200])
    model = fitted if kind == "estimator" else ak.load_model(fitted.predict, features=FEATURES, task="regression")
    audit = ak.audit(model, splits(frame), label="target", sensitive=["sex"], out=tmp_path, **QUICK)
    predicted = fitted.predict(frame[FEATURES].iloc[280:].astype(np.float32).astype(np.float64))
    rmse = rows_of(audit, metric="rmse", split="test")[0].value
    assert rmse == pytest.approx(np.sqrt(mean_squared_error(frame["target"].iloc[280:], predicted)), rel=1e-3)
    methods = {line["method"]: line["status"] for line in audit.table("attribution/methods").to_pylist()}
    assert (methods["occlusion"], methods["integrated_gradients"]) == ("valid", "refused")
    assert rows_of(audit, metric="mean_error_difference")[0].status == "ok"


def figures(audit, discipline):
    """Every number of a discipline by what it is: the values and the ends of their intervals."""
    return {
        (row.metric, row.split, row.attribute, row.group, part): getattr(row, part)
        for row in rows_of(audit, analysis=discipline, status="ok")
        for part in ("value", "lower", "upper")
        if getattr(row, part) is not None
    }


def test_stored_numbers_are_judged_as_those_of_the_model_that_gave_them(audited, frame, fitted, tmp_path):
    """Every figure of performance and every gap between groups; what would ask the model says that there is none."""
    lines = audited.table("performance/predictions").to_pylist()
    said = {name: [line["prediction"] for line in lines if line["split"] == name] for name in splits(frame)}
    stored = {name: part.assign(said=said[name]) for name, part in splits(frame).items()}
    found = ak.audit(
        None, stored, label="target", sensitive=["sex"], features=FEATURES, predictions={"number": "said"},
        out=tmp_path, **QUICK,
    )  # fmt: skip
    for discipline in ("performance", "fairness"):
        one, other = (figures(audit, discipline) for audit in (audited, found))
        assert one.keys() == other.keys()
        assert len(one) > 8
        for key, value in one.items():
            assert other[key] == pytest.approx(value, rel=1e-6, abs=1e-9), key
    (moved,) = rows_of(found, metric="counterfactual_prediction_change")
    assert "there is no model" in moved.reason
    assert rows_of(found, analysis="ood", metric="auroc", status="ok")
    page = "".join(section.finding for show in (sections, sections_of_groups) for section in show(found))
    assert "accuracy" not in page


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"target": "high"}, "regression predicts numbers"),
        ({"target": np.nan}, "200 of 200 numbers are missing or infinite"),
        ({"target": 3.0}, "is 3 in every row, so there is nothing to predict"),
    ],
)
def test_labels_that_are_no_numbers_to_predict(frame, fitted, tmp_path, change, said):
    data = {**splits(frame), "train": frame.iloc[:200].assign(**change)}
    with pytest.raises(InputError, match=said):
        ak.audit(linear(fitted), data, task="regression", label="target", features=FEATURES, out=tmp_path)


def test_what_a_regression_cannot_be(frame, fitted):
    with pytest.raises(InputError, match=r"outputs of shape \(2, 3\)"):
        ak.load_model(nn.Linear(9, 3), features=FEATURES, task="regression")
    with pytest.raises(InputError, match="positive '1' is a class"):
        ak.load_data(frame, label="target", positive=1, task="regression")
    with pytest.raises(InputError, match="it is a model of regression"):
        ak.load_model(ak.load_model(linear(fitted), features=FEATURES, task="regression"), task="classification")
    with pytest.raises(InputError, match="there is no 'ranking' here"):
        ak.load_model(linear(fitted), features=FEATURES, task="ranking")


def test_sampling_weights_and_what_is_for_decisions_alone(frame, fitted, tmp_path):
    weight = np.where(frame["sex"] == "f", 2.0, 1.0) + np.arange(len(frame)) % 2
    audit = ak.audit(
        linear(fitted), splits(frame.assign(w=weight)), task="regression", label="target", sensitive=["sex"],
        features=FEATURES, analyses=["fairness"], fairness={"weight": "w", "control": ["age"]}, out=tmp_path,
    )  # fmt: skip
    error = fitted.predict(frame[FEATURES].iloc[280:]) - frame["target"].iloc[280:]
    bias = rows_of(audit, metric="mean_error", attribute="")[0].value
    assert bias == pytest.approx(np.average(error, weights=weight[280:]), abs=1e-4)
    assert any("control was set, which is for decisions" in caveat.text for caveat in audit.caveats)


def test_from_a_recipe_to_a_verdict_by_the_command_line(frame, tmp_path):
    frame.assign(target=frame["target"] * 1000 + 5e5).to_csv(tmp_path / "rows.csv", index=False)
    recipe = {
        "name": "diabetes", "data": {"rows": "rows.csv"}, "columns": {"task": "regression", "label": "target"},
        "epochs": 30, "batch_size": 32, "learning_rate": 0.003, "threads": 1, "arguments": {"hidden": [16]},
    }  # fmt: skip
    audit = {
        "model": "model", "data": {"rows": "rows.csv"}, "columns": {"sensitive": ["sex"]},
        "gates": {"performance/r2": {"at_least": 0.1}, "fairness/mean_error_difference": {"at_most": 9e4}}, **QUICK,
    }  # fmt: skip
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    (tmp_path / "audit.yaml").write_text(yaml.safe_dump(audit))
    run = CliRunner().invoke(app, ["train", str(tmp_path / "recipe.yaml"), "--out", str(tmp_path / "model")])
    assert run.exit_code == 0, run.output
    run = CliRunner().invoke(app, ["run", str(tmp_path / "audit.yaml"), "--out", str(tmp_path / "reports")])
    assert run.exit_code == 0, run.output
    found = ak.Audit(next((tmp_path / "reports").glob("*/*")))
    assert 4e4 < rows_of(found, metric="rmse", split="test")[0].value < 7e4
    assert found.table("performance/curves").column_names == [
        "epoch", "train_loss", "train_r2", "validation_loss", "validation_r2", "learning_rate", "best"
    ]  # fmt: skip
    assert [section.key for section in sections(found)][-1] == "training"
    page = next((tmp_path / "reports").glob("*/*/report.html")).read_text()
    assert "R²" in page
    assert "recall" not in page
