"""Whole audits of models that give several labels: a bias in one of them is found, and none where there is none."""

import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score, f1_score, hamming_loss
from sklearn.multioutput import MultiOutputClassifier
from streamlit.testing.v1 import AppTest
from torch import nn
from typer.testing import CliRunner

import auditkit as ak
from auditkit.activations.view import sections as sections_of_layers
from auditkit.attribution.view import sections as sections_of_inputs
from auditkit.cli import app
from auditkit.fairness.outcomes.check import check_outcomes
from auditkit.fairness.view import sections as sections_of_groups
from auditkit.performance.view import sections
from auditkit.spec import DISCIPLINES

LABELS = ["toxic", "insult", "threat"]
FEATURES = ["a", "b", "female"]
QUICK = {"attribution": {"rows": 24}, "energy": {"seconds": 0.02, "blocks": 3}, "fairness": {"replicates": 2000}}
WEIGHT = np.array([[4.0, 0.0, 0.0], [0.0, 4.0, 0.0], [2.0, -2.0, 0.0]])
GATES = {
    "fairness/equal_opportunity_difference": {"at_most": 0.3, "of": LABELS},
    "worst_label_demographic_parity_difference": {"at_most": 0.3},
    "performance/hamming_loss": {"at_most": 0.3},
}


@pytest.fixture(scope="module")
def frame() -> pd.DataFrame:
    """Labels follow a and b alone, for women as for men."""
    rng = np.random.default_rng(0)
    x = np.column_stack([rng.normal(size=(1500, 2)), rng.integers(0, 2, 1500)])
    marks = x @ WEIGHT.T + rng.logistic(size=(1500, 3)) > 0
    return pd.DataFrame(x, columns=FEATURES).assign(
        sex=np.where(x[:, 2] > 0, "f", "m"), **dict(zip(LABELS, marks.T.astype(int), strict=True))
    )


def splits(frame):
    wild = frame.iloc[900:1100].drop(columns=LABELS)
    return {"train": frame.iloc[:600], "validation": frame.iloc[600:900], "test": frame.iloc[900:],
            "wild": wild.assign(a=wild["a"] + 12)}  # fmt: skip


def linear(bias: float = 0.0) -> nn.Module:
    """The rule itself; `bias` is taken off the logit of toxic where a row is of a woman."""
    network = nn.Sequential(nn.Linear(3, 3))
    weight = WEIGHT.copy()
    weight[0, 2] = -bias
    with torch.no_grad():
        network[0].weight.copy_(torch.tensor(weight))
        network[0].bias.zero_()
    return network


@pytest.fixture(scope="module")
def audited(frame, tmp_path_factory):
    return {
        name: ak.audit(
            linear(bias), splits(frame), label=LABELS, sensitive=["sex"], features=FEATURES, name=name, gates=GATES,
            out=tmp_path_factory.mktemp(name), analyses=["fairness"] if bias else list(DISCIPLINES), **QUICK,
        )
        for name, bias in (("fair", 0.0), ("biased", 4.0))
    }  # fmt: skip


def rows_of(audit, **where):
    return [row for row in audit.rows if all(getattr(row, name) == value for name, value in where.items())]


def truth_and_logits(frame, bias=0.0):
    test = frame.iloc[900:]
    weight = WEIGHT.copy()
    weight[0, 2] = -bias
    return test[LABELS].to_numpy() == 1, test[FEATURES].to_numpy() @ weight.T


def test_every_discipline_judges_a_model_of_several_labels(audited, frame):
    audit, (truth, logits) = audited["fair"], truth_and_logits(frame)
    assert audit.verdict == "pass"
    assert {row.analysis for row in audit.rows if row.status == "ok"} == {
        "performance", "fairness", "attribution", "activations", "ood", "energy"
    }  # fmt: skip
    found = {row.metric: row.value for row in rows_of(audit, analysis="performance", split="test", detail="")}
    assert found["hamming_loss"] == pytest.approx(hamming_loss(truth, logits >= 0))
    assert found["macro_f1"] == pytest.approx(f1_score(truth, logits >= 0, average="macro"))
    assert found["mean_average_precision"] == pytest.approx(average_precision_score(truth, logits), abs=1e-6)
    assert not rows_of(audit, metric="accuracy", analysis="performance")
    assert not rows_of(audit, analysis="performance", split="wild")


def test_a_bias_against_a_group_in_one_label_fails_its_gate_and_is_named(audited, frame):
    audit, (truth, logits) = audited["biased"], truth_and_logits(frame, 4.0)
    assert audit.verdict == "fail"
    woman = (frame["sex"].iloc[900:] == "f").to_numpy()
    missed = [(logits[side & truth[:, 0], 0] >= 0).mean() for side in (woman, ~woman)]
    gap = rows_of(audit, metric="equal_opportunity_difference", attribute="sex")
    by_label = {row.detail: row for row in gap}
    assert by_label["toxic"].value == pytest.approx(missed[1] - missed[0])
    assert by_label["toxic"].lower > 0.3
    assert by_label["insult"].upper < 0.3
    worst = rows_of(audit, metric="worst_label_demographic_parity_difference", attribute="sex")[0]
    assert worst.detail.startswith("toxic")
    assert worst.lower > 0
    assert any("fail" in result.values() for result in audit.info["gates"])
    said = " ".join(section.finding for section in sections_of_groups(audit))
    assert "label toxic" in said
    fair = rows_of(audited["fair"], metric="worst_label_demographic_parity_difference", attribute="sex")[0]
    assert fair.lower == 0


def test_gaps_are_those_of_a_check_of_the_same_decisions(audited, frame):
    truth, logits = truth_and_logits(frame)
    check = check_outcomes(
        pd.DataFrame(truth.astype(int), columns=LABELS), pd.DataFrame((logits >= 0).astype(int), columns=LABELS),
        task="multilabel", sensitive_features={"sex": frame["sex"].iloc[900:].tolist()}, replicates=2000,
    )  # fmt: skip

    def values(rows):
        return {(row.metric, row.attribute, row.group, row.detail, row.value) for row in rows}

    mine = rows_of(audited["fair"], analysis="fairness")
    swapped = [row for row in mine if row.metric.startswith("counterfactual")]
    assert {row.reason for row in swapped} == {
        "the model does not read this column, so that swapping its value changes nothing"
    }  # fmt: skip
    assert values(mine) - values(swapped) == values(check.metrics)


def test_labels_that_hang_on_a_sensitive_value_alone_flip(frame, tmp_path):
    audit = ak.audit(
        linear(4.0), splits(frame), label=LABELS, sensitive=["female"], features=FEATURES, analyses=["fairness"],
        gates={"counterfactual_flip_rate": {"at_most": 0.05, "of": ["toxic"]}}, out=tmp_path, **QUICK,
    )  # fmt: skip
    assert audit.verdict == "fail"
    x = frame[FEATURES].iloc[900:].to_numpy().astype(np.float32)
    weight = WEIGHT.copy()
    weight[0, 2] = -4.0
    other = x * [1, 1, 0] + [0, 0, 1] * (1 - x[:, 2:])
    flipped = ((x @ weight.T >= 0) != (other @ weight.T >= 0)).mean(axis=0)
    for name, share in zip(LABELS, flipped, strict=True):
        rate = rows_of(audit, metric="counterfactual_flip_rate", detail=name, group="")[0]
        assert rate.value == pytest.approx(share)
    assert flipped[0] > 0.2
    assert flipped[1:].tolist() == [0, 0]
    lines = audit.table("fairness/label_flips").to_pylist()
    assert {line["label"] for line in lines if line["p_adjusted"] < 0.05} == {"toxic"}
    shown = {section.key: section for section in sections_of_groups(audit)}["label-flips-0"]
    assert shown.finding.startswith("Most answers flip for label toxic")
    assert "fewer rows are given toxic" in shown.finding or "more rows are given toxic" in shown.finding


def test_an_attribution_is_of_the_label_that_scores_highest(audited, frame):
    audit, (truth, logits) = audited["fair"], truth_and_logits(frame)
    best = logits.argmax(axis=1)
    mean, test = frame[FEATURES].iloc[:600].mean(), frame[FEATURES].iloc[900:].reset_index(drop=True)
    rows = audit.table("attribution/rows").to_pylist()
    for line in rows:
        place = best[line["row"]]
        name = LABELS[place]
        assert line["target"] == f"logit of {name!r}"
        assert line["score"] == pytest.approx(logits[line["row"], place], rel=1e-5, abs=1e-5)
        assert line["prediction"] == (name if logits[line["row"], place] >= 0 else f"not {name}")
        assert line["label"] == (name if truth[line["row"], place] else f"not {name}")
    for line in audit.table("attribution/explanations").to_pylist():
        column = FEATURES.index(line["column"])
        expected = WEIGHT[best[line["row"]], column] * (test[line["column"]][line["row"]] - mean[line["column"]])
        assert line["value"] == pytest.approx(expected, rel=1e-4, abs=2e-4)


def test_detectors_of_classes_are_left_out_and_joint_energy_is_there(audited, frame, tmp_path):
    known = {row.detail: row for row in rows_of(audited["fair"], metric="auroc", status="ok")}
    assert {"joint_energy", "max_logit", "mahalanobis", "input_mahalanobis", "fused"} <= set(known)
    assert known["mahalanobis"].value > 0.99
    left = {line["detector"]: line for line in audited["fair"].table("ood/detectors").to_pylist()}
    assert "yes or no of its own" in left["msp"]["reason"]


def test_foreign_rows_without_labels_and_rows_of_every_split_are_kept(audited):
    kept = audited["fair"].table("performance/predictions").to_pylist()
    assert {line["split"] for line in kept} == {"train", "validation", "test", "wild"}
    assert all((line["label"] is None) == (line["split"] == "wild") for line in kept)


def test_what_is_not_judged_is_said(audited, frame, tmp_path):
    texts = [caveat.text for caveat in audited["fair"].caveats]
    assert any("audit a label by itself as a classification" in text for text in texts)
    asked = ak.audit(
        linear(), splits(frame), label=LABELS, sensitive=["sex"], features=FEATURES, analyses=["fairness"],
        fairness={"weight": "a", "control": ["b"], "replicates": 500}, out=tmp_path,
    )  # fmt: skip
    assert any("weight, control was set, which is for a single decision" in one.text for one in asked.caveats)
    alone = ak.audit(
        linear(), splits(frame), label=LABELS, features=FEATURES, analyses=["fairness"], out=tmp_path
    )  # fmt: skip
    assert [row.reason for row in alone.rows] == ["no sensitive attribute is named (columns: sensitive)"]


def test_sections_speak_of_labels(audited):
    audit = audited["fair"]
    assert [section.key for section in sections(audit)] == ["overview", "labels", "precision-recall"]
    assert "every label right" in sections(audit)[0].finding
    assert [section.key for section in sections_of_groups(audit)] == [
        "label-gaps-0",
        "label-averages-0",
        "label-flips-0",
    ]
    for show in (sections, sections_of_groups, sections_of_inputs, sections_of_layers):
        for section in show(audit):
            said = " ".join([section.title, section.finding, section.reading])
            assert not {"class", "classes"} & set(said.lower().split()), said


def test_labels_that_no_row_has_and_too_few_rows(frame, tmp_path):
    data = splits(frame)
    data["test"] = data["test"].assign(threat=0)
    data["validation"] = data["validation"].iloc[:20]
    audit = ak.audit(linear(), data, label=LABELS, features=FEATURES, analyses=["performance"], out=tmp_path)
    recall = rows_of(audit, metric="label_recall", split="test", detail="threat")[0]
    assert (recall.status, recall.reason, recall.value) == ("insufficient", "no row has this label", None)
    assert any("no row that has threat" in caveat.text for caveat in audit.caveats)
    few = rows_of(audit, metric="hamming_loss", split="validation")[0]
    assert "fewer than 30" in few.reason


def test_outputs_that_are_not_finite_are_in_no_figure(frame, tmp_path):
    class Broken(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = linear()

        def forward(self, x):
            return torch.where(x[:, :1] > 1.5, torch.nan, self.inner(x))

    audit = ak.audit(
        Broken(), splits(frame), label=LABELS, sensitive=["sex"], features=FEATURES, out=tmp_path,
        analyses=["performance", "fairness"], fairness={"replicates": 500},
    )  # fmt: skip
    broken = int((frame["a"].iloc[900:].astype(np.float32) > 1.5).sum())
    assert rows_of(audit, metric="hamming_loss", split="test")[0].n == 600 - broken
    assert any(f"{broken:,} rows without all their labels or without finite outputs" in c.text for c in audit.caveats)


def test_stored_probabilities_give_the_models_own_numbers(audited, frame, tmp_path):
    data = {}
    for name, part in splits(frame).items():
        chance = 1 / (1 + np.exp(-part[FEATURES].to_numpy() @ WEIGHT.T))
        data[name] = part.assign(**{f"p_{label}": chance[:, at] for at, label in enumerate(LABELS)})
    audit = ak.audit(
        None, data, label=LABELS, sensitive=["sex"], out=tmp_path, gates=GATES, **QUICK,
        predictions={"probabilities": {label: f"p_{label}" for label in LABELS}},
    )  # fmt: skip
    assert audit.verdict == "pass"
    for metric in ("hamming_loss", "micro_f1", "label_ranking_average_precision"):
        own, stored = (rows_of(one, metric=metric, analysis="performance", split="test") for one in
                       (audited["fair"], audit))  # fmt: skip
        assert stored[0].value == pytest.approx(own[0].value, abs=1e-9)
    assert rows_of(audit, metric="auroc", detail="joint_energy")[0].status == "ok"


def test_an_estimator_of_several_outputs(frame, tmp_path):
    train, test = splits(frame)["train"], splits(frame)["test"]
    fitted = MultiOutputClassifier(LogisticRegression()).fit(train[FEATURES], train[LABELS])
    audit = ak.audit(fitted, splits(frame), label=LABELS, sensitive=["sex"], out=tmp_path, **QUICK)
    found = rows_of(audit, metric="hamming_loss", analysis="performance", split="test")[0]
    assert found.value == pytest.approx((fitted.predict(test[FEATURES]) != test[LABELS]).to_numpy().mean(), abs=1e-3)
    methods = {line["method"]: line["status"] for line in audit.table("attribution/methods").to_pylist()}
    assert (methods["occlusion"], methods["integrated_gradients"]) == ("valid", "refused")
    assert rows_of(audit, metric="auroc", detail="joint_energy")[0].status == "ok"


@pytest.mark.parametrize(
    ("page", "wanted"),
    [("overview", "Every label right"), ("performance", "Its surest mistakes"), ("explanations", "was predicted")],
)
def test_the_dashboard_shows_labels(audited, page, wanted, monkeypatch):
    root = audited["fair"].folder.parents[1]
    script = Path(__file__).parents[2] / "dashboard" / "app.py"
    monkeypatch.setattr(sys, "argv", ["app.py", str(root)])
    shown = AppTest.from_file(script, default_timeout=30).run()
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


def test_a_bundle_by_the_command_line(frame, tmp_path):
    from auditkit.training.architectures.mlp import MLP

    network = MLP(3, [], 3, hidden=[])
    network.load_state_dict({f"head.{name[2:]}": part for name, part in linear(4.0).state_dict().items()})
    model = ak.load_model(network, classes=LABELS, features=FEATURES, task="multilabel")
    model.architecture = {"path": "auditkit.training.architectures.mlp:MLP",
                          "arguments": {"numeric": 3, "categories": [], "classes": 3, "hidden": []}}  # fmt: skip
    ak.save_bundle(model, tmp_path / "model")
    frame.to_csv(tmp_path / "rows.csv", index=False)
    content = {
        "model": "model", "data": {"rows": "rows.csv"}, "columns": {"label": LABELS, "sensitive": ["sex"]},
        "gates": {"worst_label_equal_opportunity_difference": {"at_most": 0.2}}, **QUICK,
    }  # fmt: skip
    (tmp_path / "audit.yaml").write_text(yaml.safe_dump(content))
    run = CliRunner().invoke(app, ["run", str(tmp_path / "audit.yaml"), "--out", str(tmp_path / "reports")])
    assert run.exit_code == 1, run.output
    page = next((tmp_path / "reports").glob("*/*/report.html")).read_text()
    assert "Hamming loss" in page
    assert "label toxic" in page
