"""What is said to decide an inconclusive gate does decide it, and a policy of many gates seldom fails by chance."""

import math
import re

import numpy as np
import pytest

from auditkit import check_fairness
from auditkit.evidence.metrics import MetricRow
from auditkit.gates import judge
from auditkit.spec import Gate
from auditkit.statistics.power import rows_by_group


def rows_of(rates, sizes):
    """Labels are all the same kind, so that selection is all there is to compare."""
    group = np.repeat([f"group {at}" for at in range(len(rates))], sizes)
    decision = np.concatenate([np.arange(n) < round(rate * n) for rate, n in zip(rates, sizes, strict=True)]).astype(
        int
    )
    return np.arange(len(group)) % 2, decision, group


def verdict(rates, sizes, policy):
    label, decision, group = rows_of(rates, sizes)
    return check_fairness(label, decision, sensitive_features={"g": group}, policy=policy, replicates=1000).results[0]


@pytest.mark.parametrize(
    ("rates", "sizes", "metric", "condition"),
    [
        ([0.30, 0.34, 0.36], [20_000, 20_000, 300], "demographic_parity_difference", {"at_most": 0.1}),
        ([0.40, 0.42], [400, 380], "demographic_parity_difference", {"at_most": 0.08}),
        ([0.30, 0.45, 0.31], [5000, 150, 5000], "demographic_parity_difference", {"at_most": 0.08}),
        ([0.50, 0.45], [4000, 250], "demographic_parity_ratio", {"at_least": 0.8}),
        ([0.50, 0.35], [4000, 150], "four_fifths", {"at_least": 0.8}),
    ],
)
def test_the_rows_that_are_said_to_decide_a_gate_decide_it(rates, sizes, metric, condition):
    policy = {metric: condition}
    before = verdict(rates, sizes, policy)
    assert before.verdict == "inconclusive"
    named = {
        name: int(more.replace(",", "")) for more, name in re.findall(r"([\d,]+) more rows of '([^']+)'", before.reason)
    }
    assert named, before.reason
    grown = [n + named.get(f"group {at}", 0) for at, n in enumerate(sizes)]
    assert verdict(rates, grown, policy).verdict in ("pass", "fail")
    barely = [n + named.get(f"group {at}", 0) // 20 for at, n in enumerate(sizes)]
    assert verdict(rates, barely, policy).verdict == "inconclusive"


def test_the_group_that_is_small_is_the_one_named():
    assert (
        "of 'group 2'"
        in verdict(
            [0.30, 0.34, 0.36], [20_000, 20_000, 300], {"demographic_parity_difference": {"at_most": 0.1}}
        ).reason
    )


def test_a_gap_at_its_limit_is_said_to_be_out_of_reach():
    result = verdict([0.30, 0.40], [2000, 2000], {"demographic_parity_difference": {"at_most": 0.1}})
    assert (result.verdict, "hardly any number of rows" in result.reason) == ("inconclusive", True)


def test_a_plan_is_made_for_undecided_pairs_only():
    assert rows_by_group([0.3, 0.3], [50_000, 50_000], 0.1) == {}
    assert rows_by_group([0.3, 0.6, 0.35], [50_000, 50_000, 40], 0.1).keys() <= {2}
    with pytest.raises(ValueError, match="at least two groups"):
        rows_by_group([0.3], [10], 0.1)


def near(metric, value, error=0.01):
    edges = {"lower": value - 1.96 * error, "upper": value + 1.96 * error}
    return MetricRow("fairness", metric, value=value, **edges, confidence=0.95, n=1000, unit="points")


def test_one_of_many_gates_fails_only_if_it_does_once_all_are_judged_together():
    limit = Gate(at_most=0.1)
    alone = judge([near("a", 0.122)], {"a": limit})[0]
    assert (alone.verdict, alone.p_value, alone.p_adjusted) == ("fail", pytest.approx(0.0278, abs=1e-4), alone.p_value)
    kept = [near(name, 0.122 if name == "a" else 0.05) for name in "abcd"]
    first, *others = judge(kept, dict.fromkeys("abcd", limit))
    assert (first.verdict, first.blocking) == ("inconclusive", True)
    assert first.p_adjusted == pytest.approx(4 * alone.p_value)
    assert "not once 4 gates are judged together (p 0.028, by Holm 0.11)" in first.reason
    assert {result.verdict for result in others} == {"pass"}
    sure = [near(name, 0.2 if name == "a" else 0.05) for name in "abcd"]
    assert judge(sure, dict.fromkeys("abcd", limit))[0].verdict == "fail"


def test_a_policy_at_its_limits_fails_by_chance_no_more_often_than_one_gate():
    """20 gaps exactly at the limit: without the adjustment about 40 % of policies would fail, half of 1 - 0.95^20."""
    rng, failed, raw = np.random.default_rng(0), 0, 0
    policy = {f"m{at}": Gate(at_most=0.1) for at in range(20)}
    for _ in range(400):
        rows = [near(name, 0.1 + rng.normal(0, 0.01)) for name in policy]
        results = judge(rows, policy)
        failed += any(result.verdict == "fail" for result in results)
        raw += any(row.lower > 0.1 for row in rows)
    assert failed / 400 <= 0.05
    assert raw / 400 > 0.3


def test_ratios_are_tested_on_the_logarithmic_scale():
    row = MetricRow(
        "fairness", "r", value=0.6, lower=0.5, upper=0.72, confidence=0.95, n=100, unit="ratio", better="higher"
    )
    result = judge([row], {"r": Gate(at_least=0.8)})[0]
    z = 1.959964 * np.log(0.8 / 0.6) / np.log(0.72 / 0.6)
    assert result.p_value == pytest.approx(math.erfc(z / 2**0.5), rel=1e-5)
