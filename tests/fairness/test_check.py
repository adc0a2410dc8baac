"""check_fairness: right on published numbers, and one clear sentence for input that cannot be judged."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

import auditkit as ak
from auditkit.errors import InputError
from auditkit.evidence.metrics import select
from auditkit.fairness.check import check_fairness, check_predictions
from auditkit.fairness.counting.table import read_predictions
from auditkit.fairness.result import FairnessCheck

LABELS, DECISIONS, SEX = [0, 0, 1, 1] * 50, [0, 1, 1, 1] * 50, ["f", "m"] * 100


def given(**changes: Any) -> FairnessCheck:
    arguments = {"y_true": LABELS, "y_pred": DECISIONS, "sensitive_features": {"sex": SEX}} | changes
    return check_fairness(arguments.pop("y_true"), arguments.pop("y_pred"), **arguments)


def compas(real_data: Path, **changes: Any) -> FairnessCheck:
    path = real_data / "compas_two_years.csv"
    predictions = read_predictions(
        path, "two_year_recid", "decile_score", score="decile_score", sensitive=["race", "sex"], threshold=5
    )
    return check_predictions(predictions, **changes)


def test_compas_is_as_propublica_published_it(real_data: Path) -> None:
    """Larson, Mattu, Kirchner and Angwin (2016), How We Analyzed the COMPAS Recidivism Algorithm."""
    check = compas(real_data)
    rates = {(row.metric, row.group): row.value for row in check.metrics if row.attribute in ("", "race")}
    for metric, group, percent in (
        ("false_positive_rate", "African-American", 44.85),
        ("false_positive_rate", "Caucasian", 23.45),
        ("false_negative_rate", "African-American", 27.99),
        ("false_negative_rate", "Caucasian", 47.72),
        ("false_positive_rate", "", 32.35),
        ("false_negative_rate", "", 37.40),
        ("selection_rate", "African-American", 58.82),
        ("auc", "African-American", 69.18),
        ("auc", "Caucasian", 69.31),
        ("auc", "", 70.22),
    ):
        assert 100 * rates[metric, group] == pytest.approx(percent, abs=0.005)
    cells = check.counts.margin(["race"])
    assert cells.cells[cells.names.index("African-American")].tolist() == [[990, 805], [532, 1369]]
    assert cells.cells[cells.names.index("Caucasian")].tolist() == [[1139, 349], [461, 505]]
    assert (check.verdict, check.exit_code) == ("fail", 1)
    by = {result.subject.split(" · ")[0]: result.verdict for result in check.results}
    assert by == {"race": "fail", "sex": "pass"}
    assert [row.unjudged for row in select(check.metrics, metric="four_fifths", attribute="race")] == [
        ("Native American",)
    ]


def test_adult_base_rates_are_the_published_ones() -> None:
    """UCI Adult, 48,842 people: the share above 50,000 dollars by sex and race."""
    shapiq = pytest.importorskip("shapiq")
    path = Path(shapiq.__file__).parent / "datasets" / "data" / "adult_census.csv"
    if not path.is_file():
        pytest.skip("this shapiq ships no Adult table")
    frame = pd.read_csv(path)
    label = next(name for name in ("class", "income", "label") if name in frame)
    positive = next(value for value in frame[label].unique() if str(value).strip() in (">50K", "1", "True"))
    check = check_fairness(
        frame[label], frame[label], sensitive_features=frame[["sex", "race"]], positive=positive, replicates=500
    )
    rates = {row.group.strip(): row for row in check.metrics if row.metric == "base_rate"}
    if check.counts.rows == 48842:
        expected = {"Female": (0.109251, 16192), "Male": (0.303767, 32650), "White": (0.253987, 41762)}
    else:
        expected = {"Female": (0.113576, None), "Male": (0.312477, None)}
    for group, (rate, n) in expected.items():
        assert rates[group].value == pytest.approx(rate, abs=5e-7)
        assert n is None or rates[group].n == n


def test_the_public_names() -> None:
    assert ak.check_fairness is check_fairness
    assert ak.FairnessCheck is FairnessCheck


def test_default_policy_is_four_fifths_of_every_attribute() -> None:
    check = given(sensitive_features={"sex": SEX, "age": ["old"] * 100 + ["young"] * 100})
    assert [(result.gate, result.subject.split(" · ")[0]) for result in check.results] == [
        ("four_fifths", "sex"),
        ("four_fifths", "age"),
    ]


def test_a_policy_is_held_as_an_audit_would() -> None:
    policy = {"demographic_parity_difference": {"at_most": 0.9, "of": ["sex"]}}
    assert given(policy=policy).verdict == "pass"
    assert given(policy={}).verdict == "missing"
    result = given(policy={"demographic_party_ratio": {"at_least": 0.8}}).results[0]
    assert (result.verdict, result.blocking) == ("missing", True)
    assert "demographic_parity_ratio" in result.reason


def test_groups_too_small_keep_the_gate_from_passing() -> None:
    sex = ["f", "m"] * 95 + ["x"] * 10
    check = given(y_pred=[0, 0, 1, 1] * 50, sensitive_features={"sex": sex}, policy={"four_fifths": {"at_least": 0.1}})
    assert check.verdict == "inconclusive"
    assert any("1 of 3 groups of sex is too small to be judged: x (10)" in caveat.text for caveat in check.caveats)


def test_missing_sensitive_values_are_a_group_of_their_own() -> None:
    check = given(sensitive_features={"sex": ["f", None, "m", float("nan")] * 50})
    assert {row.group for row in check.metrics if row.attribute == "sex"} == {"", "(missing)", "f", "m"}
    assert any("100 of 200 rows have no value of sex" in caveat.text for caveat in check.caveats)


def test_pandas_indices_do_not_matter() -> None:
    series = pd.Series(SEX, name="sex", index=np.arange(200)[::-1])
    assert given(sensitive_features=series).metrics == given().metrics


def test_positive_may_be_named_or_be_plain() -> None:
    words = {0: "no", 1: "yes"}
    yes = given(y_true=[words[y] for y in LABELS], y_pred=[words[y] for y in DECISIONS])
    assert yes.positive == "yes"
    assert [row.value for row in yes.metrics] == [row.value for row in given().metrics]
    flipped = given(positive=0)
    assert select(flipped.metrics, metric="true_positive_rate", attribute="")[0].value == 0.5
    assert given(y_true=np.array(LABELS) == 1, positive=True).positive == "1"


def test_predictions_of_zero_and_one_for_named_classes() -> None:
    check = given(y_true=np.array(["bad", "good"])[LABELS], positive="good")
    assert check.metrics == given().metrics
    assert any("1 was read as 'good'" in caveat.text for caveat in check.caveats)


def test_more_classes_are_judged_one_against_the_rest() -> None:
    check = given(y_true=["a", "b", "c", "c"] * 50, y_pred=["a", "c", "c", "c"] * 50, positive="c")
    assert [row.value for row in check.metrics] == [row.value for row in given().metrics]


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"y_true": [1] * 200}, r"every row of y_true has the one class '1'"),
        ({"positive": "2"}, r"positive class '2' does not occur in y_true"),
        ({"y_true": ["a", "b"] * 100, "y_pred": ["a", "b"] * 100}, r"which class of y_true is the positive one\?"),
        ({"y_true": ["a", "b", "c", "a"] * 50, "y_pred": ["a"] * 200}, r"It holds 'a', 'b', 'c'; name it"),
        ({"y_true": [0, None, 1, 1] * 50}, r"y_true is missing .* in 50 of 200 rows, first in row 2"),
        ({"y_pred": [0, 1, float("nan"), 1] * 50}, r"y_pred is missing .* in 50 of 200 rows, first in row 3"),
        ({"scores": [0.1, 0.2, 0.3, float("nan")] * 50}, r"scores is missing .* first in row 4"),
        ({"scores": [0.1] * 7}, r"scores has 7 rows, y_true 200"),
        ({"scores": ["high"] * 200}, r"scores holds string and not numbers"),
        ({"y_pred": [0, 1]}, r"y_true has 200 rows and y_pred 2; give one prediction for each label"),
        ({"sensitive_features": {"sex": ["f", "m"]}}, r"sensitive column 'sex' has 2 rows, y_true 200"),
        ({"sensitive_features": {"sex": ["f"] * 200}}, r"sensitive column 'sex' has the one value 'f'"),
        ({"sensitive_features": {}}, r"no sensitive attribute was given"),
        ({"sensitive_features": {"wage": np.arange(200)}}, r"'wage' has 200 different values"),
        ({"y_true": [], "y_pred": [], "sensitive_features": {"sex": []}}, r"there are no rows"),
        ({"y_pred": ["maybe", "never"] * 100}, r"y_pred holds 'maybe', 'never', none of which is a class of y_true"),
        ({"y_pred": np.linspace(0.01, 0.99, 200)}, r"if it is a score, give the threshold"),
        ({"y_pred": [1, 2, 3, 4] * 50}, r"150 of 200 values of y_pred \('2', '3', '4'\) are no class .*--threshold"),
        ({"y_true": np.arange(2000) / 3, "y_pred": [0] * 2000}, r"2,000 different values and is no class label"),
        ({"minimum_group": 0}, r"minimum_group must be at least 1"),
        ({"replicates": 10}, r"replicates must be at least 200"),
        ({"confidence": 95}, r"confidence must lie between 0.5 and 1"),
        ({"policy": {"four_fifths": {"at_lest": 0.8}}}, r"did you mean 'at_least'"),
    ],
)
def test_bad_input_gets_one_sentence(changes: dict[str, Any], sentence: str) -> None:
    with pytest.raises(InputError, match=sentence) as problem:
        given(**changes)
    assert "\n" not in str(problem.value)


def test_predictions_that_no_label_has_are_said() -> None:
    check = given(y_pred=["0", "1", "2", "1"] * 50)
    assert any("50 of 200 values of y_pred ('2') are no class of y_true" in caveat.text for caveat in check.caveats)


def test_nobody_selected_is_said() -> None:
    check = given(y_pred=[0] * 200)
    assert any("no decision in y_pred is positive" in caveat.text for caveat in check.caveats)
    assert check.verdict == "inconclusive"


def test_a_notebook_shows_text_as_text() -> None:
    nasty = "<script>alert(1)</script>"
    html = given(sensitive_features={nasty: ["<b>f</b>", "'m\" 🙂"] * 100})._repr_html_()
    assert "<script>" not in html
    assert "<b>" not in html
    assert "&lt;script&gt;" in html
    assert "✕ fail" in html


def test_metrics_become_a_data_frame() -> None:
    frame = given().metrics.to_pandas()
    assert isinstance(frame, pd.DataFrame)
    assert frame.query("metric == 'four_fifths'")["value"].tolist() == [0.5]


def test_a_ratio_over_a_rate_of_zero_is_no_number() -> None:
    sex, chosen = np.repeat(["f", "m"], 50), np.repeat([1, 0], 50)
    check = check_fairness([0, 1] * 50, chosen, sensitive_features={"sex": sex}, positive=1)
    (pair,) = [p for p in check.tables["pairs"].to_pylist() if p["metric"] == "selection_rate"]
    assert (pair["difference"], pair["ratio"], pair["ratio_upper"]) == (1, None, None)
    assert pair["ratio_lower"] > 10


def test_findings_carry_the_tables() -> None:
    check = given()
    findings = check.findings()
    assert set(findings.tables) == {
        "counts", "rates", "gaps", "pairs", "sensitivity", "shrunken", "four_fifths", "verdict_sensitivity"
    }  # fmt: skip
    assert findings.metrics == list(check.metrics)
    counts = findings.tables["counts"].filter(pa.compute.equal(findings.tables["counts"]["group"], "f")).to_pylist()
    assert counts == [{"split": "", "attribute": "sex", "group": "f", "n": 100, "tn": 50, "fp": 0, "fn": 0, "tp": 50}]
    (pair,) = [p for p in findings.tables["pairs"].to_pylist() if p["metric"] == "selection_rate"]
    assert (pair["first"], pair["second"], pair["difference"]) == ("f", "m", -0.5)
    assert pair["lower"] < -0.5 < pair["upper"] < 0
    assert pair["ratio_lower"] < pair["ratio"] == 0.5 < pair["ratio_upper"] < 1
    rates = findings.tables["rates"].to_pylist()
    assert all(r["value"] is None or r["value"] == pytest.approx(r["numerator"] / r["n"]) for r in rates)
