"""Mitigation judged on held-out rows: splits, intervals, who is moved, gates, evidence tables and their sections."""

import json
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pytest

from auditkit.errors import InputError
from auditkit.evidence.metrics import Findings, select
from auditkit.fairness.counting.counts import encode_groups
from auditkit.fairness.mitigation.changes import change_of_accuracy, who_changes
from auditkit.fairness.mitigation.findings import _aimed, _Attribute, mitigation_findings
from auditkit.fairness.mitigation.frontier import cheapest_change
from auditkit.fairness.mitigation.held_out import evaluate, halves
from auditkit.fairness.mitigation.policy import Policy
from auditkit.fairness.mitigation.view import mitigation_sections
from auditkit.fairness.release import PairedCounts
from auditkit.fairness.scores.bins import ScoreCounts
from auditkit.fairness.settings import Settings
from auditkit.gates import judge
from auditkit.spec import Gate

QUICK = Settings(minimum_group=30, replicates=500)
GATES = {"four_fifths": [Gate(at_least=0.8)], "fairness/equal_opportunity_difference": [Gate(at_most=0.1)]}
PARITY = "demographic_parity_difference"


def scored(seed: int, n: int, shift: float = 0.7) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    group = rng.choice(["a", "b"], n, p=[0.6, 0.4])
    truth = rng.random(n) < np.where(group == "a", 0.5, 0.5 - 0.3 * shift)
    return group, truth, 1 / (1 + np.exp(-rng.normal(np.where(truth, 1.0, -1.0) - shift * (group == "b"), 1.0)))


def counted(seed: int, n: int = 20_000, shift: float = 0.7) -> ScoreCounts:
    group, truth, scores = scored(seed, n, shift)
    return ScoreCounts.tally(encode_groups({"group": pa.array(group)}, "here"), truth, scores)


@dataclass
class Evidence:
    findings: Findings

    def table(self, name: str) -> pa.Table | None:
        return self.findings.tables.get(name.removeprefix("fairness/"))


def test_halves_are_a_coin_tossed_for_every_row() -> None:
    counts = counted(0)
    fit, held_out = halves(counts, 3)
    assert (fit.cells + held_out.cells == counts.cells).all()
    assert np.allclose(fit.sums + held_out.sums, counts.sums)
    assert abs(fit.rows - counts.rows / 2) < 4 * np.sqrt(counts.rows) / 2
    again, _ = halves(counts, 3)
    assert (again.cells == fit.cells).all()
    shares = [halves(counts, seed)[0].cells[0, 0].sum() for seed in range(200)]
    n = counts.cells[0, 0].sum()
    assert np.var(shares) == pytest.approx(n / 4, rel=0.35)


def test_a_policy_is_judged_on_other_rows_with_intervals_that_cover() -> None:
    _, choice = cheapest_change(counted(4), PARITY, 0.05)
    truth_rows = evaluate(choice.policy, counted(5, 400_000), QUICK)
    true_gap = select(truth_rows, metric=PARITY)[0].value
    true_accuracy = select(truth_rows, metric="accuracy", group="", attribute="")[0].value
    covered = np.zeros(2)
    for seed in range(60):
        rows = evaluate(choice.policy, counted(100 + seed, 1000), QUICK, "test")
        gap = select(rows, metric=PARITY)[0]
        accuracy = select(rows, metric="accuracy", group="", attribute="")[0]
        covered += [gap.lower <= true_gap <= gap.upper, accuracy.lower <= true_accuracy <= accuracy.upper]
    assert (covered / 60 >= 0.87).all()


def test_the_change_of_accuracy_covers_the_truth() -> None:
    _, choice = cheapest_change(counted(4), PARITY, 0.05)
    true = change_of_accuracy(choice.policy.moved(counted(5, 400_000), 0.5))[0]
    inside = [
        lower <= true <= upper
        for seed in range(200)
        for _, lower, upper in [change_of_accuracy(choice.policy.moved(counted(100 + seed, 500), 0.5))]
    ]
    assert 0.9 <= np.mean(inside) <= 0.99


def test_who_changes_by_hand() -> None:
    """Ten of a: two gain (one rightly), one loses wrongly. Nobody in b."""
    a = [[[3, 1], [0, 0]], [[1, 1], [1, 3]]]
    moved = PairedCounts(("g",), (("a",), ("b",)), np.array([a, np.zeros((2, 2, 2), int).tolist()]))
    first, second = who_changes(moved)
    assert {name: first[name] for name in ("n", "gained", "gained_right", "lost", "lost_right")} == {
        "n": 10, "gained": 2, "gained_right": 1, "lost": 1, "lost_right": 0,
    }  # fmt: skip
    assert (first["gained_per_1000"], first["lost_per_1000"]) == (200, 100)
    assert second["gained_per_1000"] is None, "no rows, no rate"
    assert change_of_accuracy(moved)[0] == pytest.approx((1 - 2) / 10)


def test_the_cheapest_change_turns_a_gate_green_four_times_in_five() -> None:
    """On rows it never saw. Of 24 such changes fewer than 15 pass by chance once in a hundred times."""
    gate, passed = Gate(at_least=0.8), 0
    for seed in range(24):
        one = _Attribute(counted(seed, 6000), counted(100 + seed, 6000), 0.5, QUICK, "test")
        choice, room = _aimed(one, "four_fifths", 0.8, "deterministic")
        assert room
        assert 0.8 < choice.limit < 1
        (result,) = judge([one.outcome(choice.policy, ["four_fifths"]).gaps["four_fifths"]], {"four_fifths": gate})
        assert result.verdict != "fail"
        passed += result.verdict == "pass"
    assert passed >= 15


def test_evidence_tables_agree_with_the_policies_they_name() -> None:
    fit, held_out = counted(0), counted(1)
    found = mitigation_findings(fit, held_out, 0.5, QUICK, GATES, "test")
    lines = found.tables["frontier"].to_pylist()
    assert {line["metric"] for line in lines} >= {PARITY, "equalized_odds_difference"}
    for line in [line for line in lines if line["policy"] == "deterministic" and line["metric"] == PARITY]:
        places = [round(step["threshold"] * 200) for step in line["steps"]]
        cells = held_out.decided(places).cells
        rates = cells[:, :, 1].sum(axis=1) / cells.sum(axis=(1, 2))
        assert line["gap"] == pytest.approx(np.ptp(rates), abs=1e-12)
        assert line["accuracy"] == pytest.approx((cells[:, 0, 0] + cells[:, 1, 1]).sum() / cells.sum(), abs=1e-12)
        assert line["gap_lower"] <= line["gap"] <= line["gap_upper"]
    changes = found.tables["cheapest_change"].to_pylist()
    who = found.tables["who_changes"].to_pylist()
    for change in changes:
        mine = [line for line in who if (line["metric"], line["policy"]) == (change["metric"], change["policy"])]
        assert sum(line["gained"] for line in mine) == change["gained"]
        assert sum(line["lost"] for line in mine) == change["lost"]
        right = sum(2 * line["gained_right"] - line["gained"] + 2 * line["lost_right"] - line["lost"] for line in mine)
        assert change["accuracy_change"] == pytest.approx(right / held_out.rows, abs=1e-12)
    assert {row.metric for row in found.metrics} == {"cheapest_change_accuracy"}
    assert len(found.metrics) == len(changes) == 4


def test_a_gate_that_holds_needs_no_change() -> None:
    found = mitigation_findings(
        counted(0, shift=0), counted(1, shift=0), 0.5, QUICK, {"four_fifths": [Gate(at_least=0.8)]}
    )
    (line,) = found.tables["cheapest_change"].to_pylist()
    assert (line["policy"], line["verdict"], line["gained"], line["lost"]) == ("today", "pass", 0, 0)
    assert "who_changes" not in found.tables
    assert "holds already" in mitigation_sections(Evidence(found))[0].finding


def test_no_fix_is_one_decision_for_everybody() -> None:
    """Few rows, a strict gate: only accepting everybody or nobody would leave room, and that is not offered."""
    found = mitigation_findings(
        counted(0, 700), counted(1, 700), 0.5, QUICK, {"demographic_parity_difference": [Gate(at_most=0.01)]}
    )
    for line in found.tables["cheapest_change"].to_pylist():
        assert not line["room"]
        assert line["verdict"] != "pass"
        assert line["accuracy"] > 0.62
    assert "nearest" in mitigation_sections(Evidence(found))[0].finding


def test_what_cannot_be_judged_is_said_and_never_green() -> None:
    group, truth, scores = scored(0, 6000)
    group[:40], truth[:40] = "c", False
    counts = ScoreCounts.tally(encode_groups({"group": pa.array(group)}, "here"), truth, scores)
    fit, held_out = halves(counts)
    found = mitigation_findings(fit, held_out, 0.5, QUICK, {"equal_opportunity_difference": [Gate(at_most=0.2)]})
    for line in found.tables["cheapest_change"].to_pylist():
        assert line["unjudged"] == ["c"]
        assert line["verdict"] != "pass"
    tiny = counted(0, 40)
    none = mitigation_findings(tiny, tiny, 0.5, QUICK, GATES)
    assert not none.tables
    assert any("no other thresholds were looked for" in caveat.text for caveat in none.caveats)
    assert mitigation_sections(Evidence(none)) == []


def test_a_group_that_only_the_held_out_rows_have_is_unjudged() -> None:
    group, truth, scores = scored(1, 9000)
    group = np.where(np.arange(9000) < 600, "new", group)
    held_out = ScoreCounts.tally(encode_groups({"group": pa.array(group)}, "here"), truth, scores)
    found = mitigation_findings(counted(0), held_out, 0.5, QUICK, {"four_fifths": [Gate(at_least=0.2)]})
    for line in found.tables["cheapest_change"].to_pylist():
        assert "new" in line["unjudged"]
        assert line["verdict"] != "pass"


def test_crossed_attributes_are_looked_at_where_a_gate_names_them() -> None:
    group, truth, scores = scored(2, 20_000)
    columns = {"sex": pa.array(group), "site": pa.array(np.random.default_rng(0).choice(["x", "y"], 20_000))}
    fit, held_out = halves(ScoreCounts.tally(encode_groups(columns, "here"), truth, scores))
    found = mitigation_findings(fit, held_out, 0.5, QUICK, {"four_fifths": [Gate(at_least=0.8, of=["sex × site"])]})
    assert {line["attribute"] for line in found.tables["cheapest_change"].to_pylist()} == {"sex × site"}
    assert {line["attribute"] for line in found.tables["frontier"].to_pylist()} == {"sex", "site", "sex × site"}


def test_sections_name_policies_and_escape_names() -> None:
    nasty = "<script>alert(1)</script>"
    group, truth, scores = scored(3, 10_000)
    columns = {nasty: pa.array(np.where(group == "a", nasty, "b"))}
    fit, held_out = halves(ScoreCounts.tally(encode_groups(columns, "here"), truth, scores))
    made = mitigation_sections(Evidence(mitigation_findings(fit, held_out, 0.5, QUICK, GATES, "test")))
    assert [section.key for section in made] == [
        "cheapest-change", "who-changes-0", "who-changes-1",
        "frontier-demographic-parity", "frontier-equal-opportunity", "frontier-equalized-odds",
    ]  # fmt: skip
    for section in made:
        if section.figure is not None:
            assert "<script" not in json.dumps(json.loads(section.figure.to_json()), ensure_ascii=False)
    told = [section.how for section in made if section.key.startswith(("cheapest", "frontier"))]
    assert all("Randomised" in how and "Deterministic" in how and "not legal advice" in how for how in told)


def test_no_rows_to_judge_on_are_refused() -> None:
    counts = counted(0, 500)
    empty = halves(counts)[0]
    empty.cells[:] = 0
    with pytest.raises(InputError, match="no rows to judge"):
        evaluate(Policy.same(counts, 0.5), empty, QUICK)
