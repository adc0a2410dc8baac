"""Distances from everybody and from a reference group: fairlearn's points, and bounds that hold."""

import numpy as np
import pyarrow as pa
import pytest
from fairlearn.metrics import MetricFrame, false_positive_rate, selection_rate, true_positive_rate
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, precision_score

from auditkit import InputError, check_fairness
from auditkit.evidence.metrics import select
from auditkit.fairness.counting.counts import Counts, encode_groups
from auditkit.fairness.groups.against import against_rows
from auditkit.fairness.groups.margin import Margin
from auditkit.fairness.settings import Settings

POLICY = {"accuracy_group_min": {"at_least": 0.5}}
FAMILIES = {
    "demographic_parity": selection_rate,
    "equal_opportunity": true_positive_rate,
    "predictive_equality": false_positive_rate,
    "predictive_parity": precision_score,
    "accuracy": accuracy_score,
}


def one(check, metric):
    return select(check.metrics, metric=metric, attribute="g")[0]


@given(st.integers(0, 10_000))
@settings(max_examples=40, deadline=None)
def test_points_are_fairlearns(seed):
    rng = np.random.default_rng(seed)
    n, names = 500, list("abcdefgh"[: rng.integers(2, 9)])
    group, label = rng.choice(names, n), rng.integers(0, 2, n)
    decision = (rng.random(n) < np.where(label, 0.7, 0.3)).astype(int)
    check = check_fairness(
        label, decision, sensitive_features={"g": group}, minimum_group=1, replicates=200, policy=POLICY
    )
    for family, metric in FAMILIES.items():
        frame = MetricFrame(metrics=metric, y_true=label, y_pred=decision, sensitive_features=group)
        difference, ratio = (one(check, f"{family}_{kind}_to_overall") for kind in ("difference", "ratio"))
        assert difference.value == pytest.approx(frame.difference(method="to_overall"), abs=1e-12)
        if not difference.unjudged and not np.isnan(frame.ratio(method="to_overall")):
            assert ratio.value == pytest.approx(frame.ratio(method="to_overall"), abs=1e-12)
        assert difference.lower <= difference.value <= difference.upper
        assert ratio.lower <= ratio.value <= ratio.upper
    frame = MetricFrame(metrics=accuracy_score, y_true=label, y_pred=decision, sensitive_features=group)
    assert one(check, "accuracy_group_min").value == pytest.approx(frame.group_min(), abs=1e-12)
    assert one(check, "accuracy_group_max").value == pytest.approx(frame.group_max(), abs=1e-12)


def test_a_reference_group_is_what_all_others_are_held_against():
    group = np.repeat(["a", "b", "c"], 400)
    decision = np.concatenate([np.arange(400) < k for k in (200, 160, 220)]).astype(int)
    check = check_fairness(
        np.arange(1200) % 2, decision, sensitive_features={"g": group}, reference={"g": "b"}, policy=POLICY
    )
    row = one(check, "demographic_parity_difference_to_reference")
    assert (row.detail, row.value, row.unjudged) == ("c", pytest.approx(0.15), ())
    assert one(check, "demographic_parity_ratio_to_reference").value == pytest.approx(160 / 220)
    with pytest.raises(InputError, match="no reference group 'z'"):
        check_fairness(np.arange(1200) % 2, decision, sensitive_features={"g": group}, reference={"g": "z"})


def test_bounds_hold_the_true_farthest_group_under_parity_and_apart():
    rng = np.random.default_rng(0)
    sizes, draws = np.array([900, 300, 100, 60]), 500
    for rates in (np.full(4, 0.3), np.array([0.3, 0.3, 0.5, 0.3])):
        truth = np.abs(rates - (rates * sizes).sum() / sizes.sum()).max()
        held, lowest_held = 0, 0
        codes = encode_groups({"g": pa.array(np.repeat(list("abcd"), sizes))}, "here")
        for _ in range(draws):
            decision = rng.random(sizes.sum()) < np.repeat(rates, sizes)
            counts = Counts.tally(codes, np.zeros(len(decision), dtype=bool), decision)
            rows = list(against_rows(Margin(counts, counts.cells[..., None]), Settings()))
            row = next(row for row in rows if row.metric == "demographic_parity_difference_to_overall")
            held += row.lower <= truth <= row.upper
            least = next(row for row in rows if row.metric == "selection_rate_group_min")
            lowest_held += least.lower <= 0.3 <= least.upper
        assert held / draws >= 0.94
        assert lowest_held / draws >= 0.94


def test_a_group_too_small_keeps_every_one_of_these_gates_from_passing():
    group = np.array(["a"] * 500 + ["b"] * 500 + ["c"] * 5)
    label = np.arange(1005) % 2
    policy = {
        "accuracy_group_min": {"at_least": 0.5},
        "demographic_parity_difference_to_overall": {"at_most": 0.2},
        "demographic_parity_ratio_to_overall": {"at_least": 0.5},
    }
    check = check_fairness(label, label, sensitive_features={"g": group}, policy=policy)
    assert [result.verdict for result in check.results] == ["inconclusive"] * 3
    assert all("c" in result.reason for result in check.results)
