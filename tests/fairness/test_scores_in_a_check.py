"""Scores in a check: ranking and calibration within groups, the frontier, and what is said of scores that are none."""

import json

import numpy as np
import pytest
from sklearn.metrics import brier_score_loss, roc_auc_score

from auditkit import InputError, check_fairness
from auditkit.fairness.scores.view import score_sections

NASTY = "<script>alert(1)</script>"


@pytest.fixture(scope="module")
def scored():
    rng = np.random.default_rng(0)
    sex, truth_share = rng.choice(["f", NASTY], 4000), rng.random(4000)
    truth = (rng.random(4000) < truth_share).astype(int)
    scores = np.where(sex == "f", np.clip(truth_share - 0.15, 0, 1), truth_share)
    return {"sex": sex}, truth, scores


def value(check, metric, group="", attribute="sex", detail=""):
    rows = [row for row in check.metrics if (row.metric, row.group, row.attribute) == (metric, group, attribute)]
    return next(row for row in rows if detail in row.detail)


def test_a_group_that_is_scored_too_low_is_seen(scored):
    groups, truth, scores = scored
    check = check_fairness(truth, scores >= 0.5, sensitive_features=groups, scores=scores)
    low = value(check, "calibration_in_the_large", "f")
    assert low.upper < 0 or low.lower > 0, "scores of f lie 15 points too low"
    fair = value(check, "calibration_in_the_large", NASTY)
    assert fair.lower < 0 < fair.upper
    mine = groups["sex"] == "f"
    assert value(check, "brier_score", "f").value == pytest.approx(
        brier_score_loss(truth[mine], scores[mine]), abs=1e-9
    )
    assert value(check, "auc", "f").value == pytest.approx(roc_auc_score(truth[mine], scores[mine]), abs=1e-12)


def test_the_frontier_brings_groups_together_and_says_at_what_cost(scored):
    groups, truth, scores = scored
    check = check_fairness(truth, scores >= 0.5, sensitive_features=groups, scores=scores)
    table = check.frontier("demographic_parity_difference").table().to_pylist()
    assert len(table) > 1
    assert all(line["accuracy"] <= max(other["accuracy"] for other in table) for line in table)


def test_scores_that_are_no_probabilities_are_ranked_and_no_more(scored):
    groups, truth, scores = scored
    check = check_fairness(truth, scores >= 0.5, sensitive_features=groups, scores=scores * 10)
    assert any("calibration within groups was not judged" in caveat.text for caveat in check.caveats)
    assert not [row for row in check.metrics if row.metric == "calibration_error"]
    assert value(check, "auc", "f").status == "ok"
    with pytest.raises(InputError, match="scores from 0 to 1"):
        check.frontier("demographic_parity_difference")


def test_names_reach_plotly_only_escaped(scored):
    groups, truth, scores = scored
    check = check_fairness(truth, scores >= 0.5, sensitive_features=groups, scores=scores)
    found = check.frontier("demographic_parity_difference")
    sections = score_sections(check.score_counts, found)
    assert len(sections) == 3
    for section in sections:
        assert "<script" not in json.dumps(json.loads(section.figure.to_json()), ensure_ascii=False)
        assert section.figure.layout.title.text
