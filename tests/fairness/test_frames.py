"""Results as frames, the scorer and the pytest fixture: the same numbers and verdicts by every way in."""

import numpy as np
import pandas as pd
import pytest
from fairlearn.metrics import MetricFrame, false_positive_rate, selection_rate, true_positive_rate
from sklearn.dummy import DummyClassifier
from sklearn.metrics import accuracy_score

from auditkit import check_fairness
from auditkit.fairness.scorer import fairness_scorer

FAIRLEARN = {
    "selection_rate": selection_rate,
    "true_positive_rate": true_positive_rate,
    "false_positive_rate": false_positive_rate,
    "accuracy": accuracy_score,
}


@pytest.fixture(scope="module")
def people():
    rng = np.random.default_rng(0)
    table = pd.DataFrame({"sex": rng.choice(["f", "m"], 2000), "race": rng.choice(["a", "b", "c"], 2000)})
    table["truth"] = rng.integers(0, 2, 2000)
    table["decision"] = (rng.random(2000) < 0.3 + 0.2 * (table.sex == "m") + 0.2 * table.truth).astype(int)
    return table


@pytest.mark.parametrize("attributes", [["sex"], ["sex", "race"]])
def test_by_group_is_metricframes(people, attributes):
    ours = check_fairness(people.truth, people.decision, sensitive_features=people[attributes])
    theirs = MetricFrame(
        metrics=FAIRLEARN, y_true=people.truth, y_pred=people.decision, sensitive_features=people[attributes]
    )
    pd.testing.assert_frame_equal(ours.by_group[list(FAIRLEARN)], theirs.by_group, rtol=1e-12)
    pd.testing.assert_series_equal(ours.overall[list(FAIRLEARN)], theirs.overall, check_names=False, rtol=1e-12)
    gap = ours.disparities.loc[(" × ".join(attributes), "demographic_parity_difference"), "value"]
    assert gap == pytest.approx(theirs.difference()["selection_rate"], abs=1e-12)


def test_intervals_hold_their_values(people):
    check = check_fairness(people.truth, people.decision, sensitive_features=people[["sex", "race"]])
    for metric in FAIRLEARN:
        ends = check.intervals[metric]
        assert (ends["lower"] <= check.by_group[metric]).all()
        assert (check.by_group[metric] <= ends["upper"]).all()


def test_what_is_not_judged_is_nan_and_never_zero(people):
    few = people.copy()
    few.loc[:4, "sex"] = "x"
    check = check_fairness(few.truth, few.decision, sensitive_features=few[["sex"]])
    assert check.by_group.loc["x"].isna().all()
    assert check.disparities["unjudged"].map(lambda names: names == ["x"]).all()


def test_the_scorer_ranks_the_fairer_model_higher(people):
    class BySex(DummyClassifier):
        def predict(self, X):
            return (X["sex"] == "m").astype(int).to_numpy()

    class Blind(DummyClassifier):
        def predict(self, X):
            return np.arange(len(X)) % 2

    X, y = people[["sex", "race"]], people.truth
    for metric in ("demographic_parity_ratio", "demographic_parity_difference", "equalized_odds_difference"):
        score = fairness_scorer("sex", metric, positive=1)
        assert score(Blind(), X, y) > score(BySex(), X, y)
    assert fairness_scorer("sex", positive=1)(BySex(), X, y) == 0


def test_where_nothing_can_be_compared_the_score_is_nan(people):
    few = people[:40]
    score = fairness_scorer("sex", positive=1, minimum_group=100)
    assert np.isnan(score(DummyClassifier().fit(few[["sex"]], few.truth), few[["sex"]], few.truth))


def test_the_fixture_fails_a_test_in_words_and_never_passes_what_was_not_judged(people, assert_fair):
    groups = {"sex": people.sex}
    lenient, strict = ({"demographic_parity_ratio": {"at_least": limit}} for limit in (0.2, 0.95))
    assert assert_fair(people.truth, people.decision, sensitive_features=groups, policy=lenient).verdict == "pass"
    for policy, few, says in (
        (strict, people, "is beyond the limit 0.95"),
        ({"demographic_parity_rtio": {"at_least": 0.1}}, people, "no analysis measured"),
        ({}, people, "the policy has no gate"),
        (lenient, people[:50], "inconclusive"),
    ):
        with pytest.raises(pytest.fail.Exception) as failed:
            assert_fair(few.truth, few.decision, sensitive_features={"sex": few.sex}, policy=policy, minimum_group=40)
        assert says in str(failed.value)
