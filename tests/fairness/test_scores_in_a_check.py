"""Scores in a check: ranking and calibration within groups, the frontier, and what is said of scores that are none."""

import json

import numpy as np
import pyarrow as pa
import pytest
from sklearn.metrics import brier_score_loss, roc_auc_score

from auditkit import InputError, check_fairness
from auditkit.evidence.metrics import select
from auditkit.evidence.section import matching
from auditkit.evidence.store import Evidence
from auditkit.fairness.record import keep
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


def test_scores_have_sections_that_name_no_group_but_as_text(scored):
    groups, truth, scores = scored
    check = check_fairness(truth, scores >= 0.5, sensitive_features=groups, scores=scores)
    made = {section.key: section for section in check.sections()}
    for key in ("calibration-0", "multicalibration", "ranking-0", "score-thresholds-0"):
        section = made[key]
        assert "<script" not in json.dumps(json.loads(section.figure.to_json()), ensure_ascii=False)
        assert section.figure.layout.title.text
        assert section.reading
        assert section.how
    assert made["calibration-0"].finding.startswith("By sex, f is most clearly off: its mean score lies")
    assert made["score-thresholds-0"].finding.startswith("Decisions are positive from a score of 0.5")


def test_the_view_shows_what_the_evidence_holds_and_computes_nothing(scored, tmp_path):
    groups, truth, scores = scored
    check = check_fairness(truth, scores >= 0.5, sensitive_features=groups, scores=scores)
    kept = Evidence(keep(check, tmp_path))
    rows = select(kept.rows, analysis="fairness")
    told = {section.key: section for section in score_sections(kept, rows, ["sex"])}
    assert [section.finding for section in told.values()] == [
        section.finding for section in score_sections(check, check.rows, ["sex"])
    ]
    dots = [trace for trace in told["calibration-0"].figure.data if trace.mode == "lines+markers"]
    for trace, group in zip(dots, check.counts.names, strict=True):
        bands = matching(kept.table("fairness/reliability"), attribute="sex", group=group)
        assert list(trace.x) == [band["score"] for band in bands]
        assert list(trace.y) == [band["rate"] for band in bands]
    curve = next(trace for trace in told["score-thresholds-0"].figure.data if trace.name == "f")
    assert list(curve.y) == [line["selection_rate"] for line in matching(
        kept.table("fairness/score_curves"), attribute="sex", group="f"
    )]  # fmt: skip
    cells = kept.table("fairness/multicalibration").to_pylist()
    (worst,) = select(rows, metric="multicalibration_error", attribute="sex")
    assert abs(cells[0]["difference"]) == pytest.approx(worst.value)
    changed = kept.table("fairness/reliability").append_column("rate2", kept.table("fairness/reliability")["rate"])
    changed = changed.set_column(changed.schema.get_field_index("rate"), "rate", pa.array([0.25] * len(changed)))
    told = score_sections(Other(kept, {"fairness/reliability": changed}), rows, ["sex"])
    assert set(told[0].figure.data[1].y) == {0.25}, "a view shows the table that is there"


class Other:
    """Evidence with some tables exchanged."""

    def __init__(self, evidence, tables):
        self.evidence, self.tables = evidence, tables

    def table(self, name):
        return self.tables[name] if name in self.tables else self.evidence.table(name)
