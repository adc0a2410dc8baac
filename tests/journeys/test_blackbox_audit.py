"""A black box through a whole audit: what it can show is right, what it cannot is said in words, and it is reported."""

import numpy as np
import pandas as pd
import pytest
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression, RidgeClassifier
from sklearn.metrics import accuracy_score, brier_score_loss, log_loss, roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

import auditkit as ak
from auditkit.report import write_reports
from auditkit.subject.blackbox import black_box
from auditkit.subject.preprocessing import ImagePreprocessing

DISCIPLINES = ["performance", "fairness", "attribution", "activations", "ood", "energy", "insights"]
NUMBERS, MIXED = ["age", "hours"], ["town", "age", "hours", "member"]
FEW = {"attribution": {"rows": 24}, "energy": {"seconds": 0.02, "blocks": 3}}


def people(n, seed, age=0.0):
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {
            "age": rng.integers(18, 80, n) + age,
            "hours": rng.normal(40, 8, n),
            "town": rng.choice(["Aachen", "Bonn", "Celle"], n),
            "member": rng.random(n) < 0.5,
            "sex": rng.choice(["f", "m"], n),
        }
    )
    score = (frame.age - 50) / 12 + (frame.hours - 40) / 8 + 1.5 * (frame.town == "Bonn") + (frame.sex == "m")
    return frame.assign(income=np.where(score + rng.normal(size=n) > 0.5, "high", "low"))


PARTS = {"train": people(400, 0), "validation": people(300, 1), "test": people(400, 2), "far": people(80, 3, age=500.0)}


def by_rule(rows):
    """A plain function of a data frame: the probability of "low"."""
    return 1 / (1 + np.exp((rows["age"] - 45) / 10 + (rows["hours"] - 40) / 8))


def logistic():
    fitted = LogisticRegression(max_iter=500).fit(PARTS["train"][NUMBERS], PARTS["train"].income)
    return fitted, {}, fitted.predict_proba(PARTS["test"][NUMBERS])


def boosted():
    words = ColumnTransformer([("town", OneHotEncoder(sparse_output=False), ["town"])], remainder="passthrough")
    fitted = make_pipeline(words, HistGradientBoostingClassifier(max_iter=20))
    fitted.fit(PARTS["train"][MIXED], PARTS["train"].income)
    return fitted, {}, fitted.predict_proba(PARTS["test"][MIXED])


def rule():
    low = by_rule(PARTS["test"]).to_numpy()
    named = {"classes": ["high", "low"], "features": NUMBERS, "outputs": "probabilities"}
    return by_rule, named, np.stack([1 - low, low], axis=1)


@pytest.fixture(scope="module", params=[logistic, boosted, rule], ids=lambda make: make.__name__)
def audited(request, tmp_path_factory):
    """(the audit, the black box, its own probabilities of the test rows)"""
    source, named, probabilities = request.param()
    features = list(named.get("features", getattr(source, "feature_names_in_", [])))
    splits = [
        ak.load_data(part, name=name, label="income", features=features, classes=["high", "low"])
        for name, part in PARTS.items()
    ]
    model = black_box(source, splits=splits, **named)
    audit = ak.audit(
        model,
        PARTS,
        label="income",
        positive="high",
        sensitive=["sex"],
        gates={"performance/accuracy": {"at_least": 0.6}},
        out=tmp_path_factory.mktemp("out"),
        **FEW,
    )
    return audit, model, probabilities


def value(audit, **where):
    rows = audit.metrics
    for name, wanted in where.items():
        rows = rows[rows[name] == wanted]
    return rows.value.item()


def test_all_disciplines_are_there_and_the_verdict_is_given(audited):
    audit, model, _ = audited
    assert audit.verdict == "pass"
    assert set(audit.metrics.analysis) == set(DISCIPLINES)
    assert audit.info["identities"]["model"]["digest"] == model.digest
    assert audit.info["identities"]["model"]["parameters"] is None


def test_performance_is_what_scikit_learn_says(audited):
    audit, _, probabilities = audited
    truth = PARTS["test"].income
    decided = np.array(["high", "low"])[probabilities.argmax(axis=1)]
    high = truth == "high"
    expected = {
        "accuracy": accuracy_score(truth, decided),
        "auc": roc_auc_score(high, probabilities[:, 0]),
        "log_loss": log_loss(high, probabilities[:, 0]),
        "brier": brier_score_loss(high, probabilities[:, 0]),
    }
    found = {name: value(audit, analysis="performance", metric=name, split="test", group="") for name in expected}
    found["brier"] /= round(found["brier"] / expected["brier"])  # summed over both classes, or over one
    assert found == pytest.approx(expected, abs=1e-10)


def test_fairness_is_that_of_the_same_decisions(audited):
    audit, _, probabilities = audited
    decided = np.array(["high", "low"])[probabilities.argmax(axis=1)]
    test = PARTS["test"]
    check = ak.check_fairness(test.income, decided, sensitive_features={"sex": test.sex}, positive="high")
    names = ["selection_rate", "true_positive_rate", "false_positive_rate"]
    for group in ("f", "m"):
        for name in names:
            other = next(r for r in check.rows if (r.metric, r.group) == (name, group))
            ours = audit.metrics.query("analysis == 'fairness' and split == 'test' and metric == @name")
            assert ours[ours.group == group].value.item() == pytest.approx(other.value, abs=1e-12)


def test_what_needs_gradients_or_layers_says_why_it_is_not_there(audited):
    audit, _, _ = audited
    rows = audit.metrics
    refused = rows[(rows.analysis == "attribution") & (rows.metric == "completeness_gap")].set_index("detail")
    for method in ("integrated_gradients", "gradient_x_input"):
        assert refused.loc[method, "status"] == "not applicable"
        assert "black box, which gives answers and no gradients" in refused.loc[method, "reason"]
    assert refused.loc["grad_cam", "status"] == "not applicable"
    activations = rows[rows.analysis == "activations"]
    assert set(activations.status) == {"not applicable"}
    assert set(activations.reason) == {"the model is a black box, whose layers cannot be seen"}


def test_occlusion_finds_the_columns_that_the_answers_rest_on(audited):
    audit, model, _ = audited
    overall = audit.tables["attribution/global"].to_pandas().query("attribute == '' and method == 'occlusion'")
    share = overall.set_index("column").share
    assert set(share.index) == set(model.preprocessing.columns)
    assert share.sum() == pytest.approx(1)
    assert share.get("member", 0) < share["age"]


def test_detectors_on_inputs_and_probabilities_run_and_the_others_say_why(audited):
    audit, _, _ = audited
    detectors = audit.tables["ood/detectors"].to_pandas().set_index("detector")
    assert set(detectors.index[detectors.status == "ok"]) == {"msp", "gen", "input_mahalanobis", "input_max_z"}
    for name in ("mahalanobis", "relative_mahalanobis", "knn"):
        assert detectors.loc[name, "reason"] == "the model is a black box, whose layers cannot be seen"
    for name in ("energy", "max_logit"):
        assert "fix logits only up to a constant" in detectors.loc[name, "reason"]
    assert value(audit, analysis="ood", metric="auroc", split="far", detail="input_max_z") == 1.0


def test_the_report_says_it_too(audited, tmp_path):
    audit, _, _ = audited
    [written] = write_reports(audit, tmp_path, ["html"])
    page = written.read_text(encoding="utf-8")
    assert "black box, whose layers cannot be seen" in page
    assert "with 0 parameters" not in page
    assert "black box, which gives answers and no gradients" in page


def test_margins_go_through(tmp_path):
    """A ridge classifier has margins only; their size says something, so no detector on logits is refused."""
    model = black_box(RidgeClassifier().fit(PARTS["train"][NUMBERS], PARTS["train"].income))
    audit = ak.audit(model, PARTS, label="income", positive="high", sensitive=["sex"], out=tmp_path, **FEW)
    decided = model.module.ask.__self__.predict(PARTS["test"][NUMBERS])
    accuracy = value(audit, analysis="performance", metric="accuracy", split="test")
    assert accuracy == pytest.approx((decided == PARTS["test"].income).mean())
    assert audit.tables["ood/detectors"].to_pandas().set_index("detector").loc["energy", "status"] == "ok"


def test_missing_numbers_reach_a_black_box_that_takes_them(tmp_path):
    parts = {name: part.assign(hours=part.hours.mask(part.index % 20 == 0)) for name, part in PARTS.items()}
    fitted = HistGradientBoostingClassifier(max_iter=10).fit(parts["train"][NUMBERS], parts["train"].income)
    audit = ak.audit(black_box(fitted), parts, label="income", positive="high", sensitive=["sex"], out=tmp_path, **FEW)
    decided = fitted.predict(parts["test"][NUMBERS])
    accuracy = value(audit, analysis="performance", metric="accuracy", split="test")
    assert accuracy == pytest.approx((decided == parts["test"].income).mean())
    texts = [caveat.text for caveat in audit.caveats]
    assert any("handed to the black box as it is, in 20 of 400 rows" in text for text in texts)
    assert any("20 of 400 rows have values missing among their inputs" in text for text in texts)
    gaps = audit.tables["attribution/explanations"].to_pandas()
    assert np.isfinite(gaps.value).all()


def test_the_same_black_box_gives_the_same_audit(tmp_path):
    runs = []
    for name in ("one", "two"):
        fitted = LogisticRegression(max_iter=500).fit(PARTS["train"][NUMBERS], PARTS["train"].income)
        runs.append(ak.audit(black_box(fitted), PARTS, label="income", positive="high", out=tmp_path / name, **FEW))
    assert runs[0].info["audit_id"] == runs[1].info["audit_id"]
    assert runs[0].info["result_digest"] == runs[1].info["result_digest"]


def test_a_callable_on_images_goes_through(tmp_path):
    """Bright or dark is told by the first row of pixels alone, and occlusion finds it there."""
    rng = np.random.default_rng(5)
    labels = rng.integers(0, 2, 120)
    images = rng.random((120, 1, 4, 4)).astype(np.float32)
    images[:, 0, 0] += labels[:, None]

    def first_row(pixels):
        return 8 * (pixels[:, 0, 0].mean(axis=1) - 1.0)

    model = black_box(
        first_row, classes=["0", "1"], outputs="logits", preprocessing=ImagePreprocessing(shape=(1, 4, 4))
    )
    parts = {"train": (images[:60], labels[:60]), "test": (images[60:], labels[60:])}
    audit = ak.audit(model, parts, label="label", out=tmp_path, **FEW)
    assert set(audit.metrics.analysis) == set(DISCIPLINES)
    decided = first_row(images[60:]) > 0
    assert value(audit, analysis="performance", metric="accuracy", split="test") == (decided == labels[60:]).mean()
    overall = audit.tables["attribution/global"].to_pandas().query("attribute == ''").set_index("column").share
    assert overall[[f"0,{place}" for place in range(4)]].sum() == pytest.approx(1)


def test_an_estimator_is_audited_as_it_is_handed_over(tmp_path):
    fitted, _, probabilities = boosted()
    parts = {name: PARTS[name] for name in ("train", "validation", "test")}
    audit = ak.audit(
        fitted, parts, label="income", positive="high", sensitive=["sex"], features=MIXED, out=tmp_path,
        analyses=["performance", "fairness"], fairness={"replicates": 300},
    )  # fmt: skip
    (accuracy,) = [
        row for row in audit.rows if (row.analysis, row.metric, row.split) == ("performance", "accuracy", "test")
    ]
    decided = np.asarray(fitted.classes_)[probabilities.argmax(axis=1)]
    assert accuracy.value == pytest.approx(accuracy_score(PARTS["test"].income, decided))


def test_what_a_margin_and_a_function_cannot_tell_reaches_the_evidence(tmp_path):
    fitted = RidgeClassifier().fit(PARTS["train"][NUMBERS], PARTS["train"].income)
    parts = {name: PARTS[name] for name in ("train", "validation", "test")}
    audit = ak.audit(
        fitted, parts, label="income", positive="high", sensitive=["sex"], features=NUMBERS, out=tmp_path,
        analyses=["performance"],
    )  # fmt: skip
    assert any("margin" in caveat.text for caveat in audit.caveats)
