"""A gate passes only when the whole interval is within its limit."""

from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditkit.evidence.metrics import MetricRow
from auditkit.gates import judge, overall, passes
from auditkit.spec import Gate


def row(value=0.85, lower=0.82, upper=0.88, **more):
    return MetricRow(
        **{
            "analysis": "fairness",
            "metric": "ratio",
            "split": "test",
            "attribute": "sex",
            "value": value,
            "lower": lower,
            "upper": upper,
            "confidence": 0.95,
            "n": 100,
            "unit": "ratio",
            **more,
        }
    )


@pytest.mark.parametrize(
    ("limit", "verdict"),
    [(0.80, "pass"), (0.82, "pass"), (0.85, "inconclusive"), (0.88, "inconclusive"), (0.90, "fail")],
)
def test_at_least_is_judged_on_the_interval(limit, verdict):
    assert judge([row()], {"ratio": Gate(at_least=limit)})[0].verdict == verdict


@pytest.mark.parametrize(("limit", "verdict"), [(0.90, "pass"), (0.88, "pass"), (0.85, "inconclusive"), (0.8, "fail")])
def test_at_most_is_judged_on_the_interval(limit, verdict):
    assert judge([row()], {"fairness/ratio": Gate(at_most=limit)})[0].verdict == verdict


@given(
    edges=st.tuples(*[st.floats(0, 1)] * 3).map(sorted),
    limit=st.floats(0, 1),
)
def test_at_least_and_at_most_never_both_pass_unless_equal(edges, limit):
    lower, value, upper = edges
    verdicts = {
        kind: judge([row(value, lower, upper)], {"ratio": Gate(**{kind: limit})})[0].verdict
        for kind in ("at_least", "at_most")
    }
    if list(verdicts.values()) == ["pass", "pass"]:
        assert lower == upper == limit


def test_a_group_that_could_not_be_judged_keeps_a_gate_from_passing_but_not_from_failing():
    assert judge([row(unjudged=("Other",))], {"ratio": Gate(at_least=0.8)})[0].verdict == "inconclusive"
    assert judge([row(unjudged=("Other",))], {"ratio": Gate(at_least=0.9)})[0].verdict == "fail"


def test_an_insufficient_row_is_inconclusive_and_blocks_unless_it_may_warn():
    weak = MetricRow("fairness", "ratio", split="test", status="insufficient", reason="12 rows")
    strict, lenient = (judge([weak], {"ratio": Gate(at_least=0.8, on_inconclusive=on)})[0] for on in ("fail", "warn"))
    assert (strict.verdict, strict.blocking, strict.reason) == ("inconclusive", True, "12 rows")
    assert (lenient.verdict, lenient.blocking) == ("inconclusive", False)
    assert overall([lenient]) == "inconclusive"
    assert passes([lenient])
    assert not passes([strict])


def test_an_unknown_metric_is_missing_and_names_the_nearest():
    result = judge([row()], {"fairness/ratoi": Gate(at_least=0.8)})[0]
    assert (result.verdict, result.blocking) == ("missing", True)
    assert "fairness/ratio" in result.reason


def test_an_unknown_attribute_is_missing():
    result = judge([row()], {"ratio": Gate(at_least=0.8, of=["sx"])})[0]
    assert result.verdict == "missing"
    assert "'sex'" in result.reason


def test_a_bare_name_that_two_analyses_share_is_ambiguous():
    rows = [row(), row(analysis="performance")]
    result = judge(rows, {"ratio": Gate(at_least=0.8)})[0]
    assert result.verdict == "missing"
    assert "fairness/ratio or performance/ratio" in result.reason


def test_an_interval_of_less_confidence_than_asked_for_is_not_used():
    assert judge([row()], {"ratio": Gate(at_least=0.5, confidence=0.99)})[0].verdict == "missing"


def test_of_speaks_of_the_gap_between_groups_not_of_each_group():
    rows = [row(), row(group="Female", value=0.2, lower=0.1, upper=0.3)]
    assert [r.subject for r in judge(rows, {"ratio": Gate(at_least=0.8, of=["sex"])})] == ["sex"]


def test_the_test_split_is_judged_where_there_is_one():
    rows = [row(), row(split="train", value=0.2, lower=0.1, upper=0.3)]
    assert overall(judge(rows, {"ratio": Gate(at_least=0.8)})) == "pass"
    assert overall(judge(rows, {"ratio": Gate(at_least=0.8, split="train")})) == "fail"


def test_no_gates_is_no_verdict():
    assert overall([]) == "missing"
    assert passes([])


def test_the_worst_blocking_gate_decides():
    gates = {"ratio": [Gate(at_least=0.8), Gate(at_least=0.85), Gate(at_least=0.9)]}
    results = judge([row()], gates)
    assert [r.verdict for r in results] == ["pass", "inconclusive", "fail"]
    assert overall(results) == "fail"
    assert overall(results[:2]) == "inconclusive"


@pytest.mark.parametrize(
    ("limit", "says"),
    [
        (0.84, "about 1,800 more rows like these would decide it"),
        (0.87, "about 360 more rows like these would decide it"),
        (0.8501, "hardly any number of rows would decide it"),
    ],
)
def test_an_inconclusive_gate_says_what_would_decide_it(limit, says):
    assert says in judge([row()], {"ratio": Gate(at_least=limit)})[0].reason


def test_so_many_rows_do_decide_it_four_times_in_five():
    rng, n = np.random.default_rng(0), 100 + 1739
    se = 0.03 / NormalDist().inv_cdf(0.975) * (100 / n) ** 0.5
    reach = se * NormalDist().inv_cdf(0.975)
    decided = 0
    for value in rng.normal(0.85, se, size=2000):
        new = row(value=value, lower=value - reach, upper=value + reach, n=n)
        decided += judge([new], {"ratio": Gate(at_least=0.84)})[0].verdict == "pass"
    assert 0.77 <= decided / 2000 <= 0.83


def test_a_p_value_is_held_to_no_limit():
    p = MetricRow("fairness", "any_gap_p_value", split="test", attribute="sex", value=0.6, n=40)
    result = judge([p], {"any_gap_p_value": Gate(at_least=0.05)})[0]
    assert (result.verdict, result.blocking) == ("missing", True)
    assert "hold the gap itself to a limit" in result.reason
