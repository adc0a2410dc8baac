"""Thresholds: rates against the rows, frontiers against brute force and fairlearn, held-out judgement, figures."""

import math
import time
import warnings
from dataclasses import replace
from itertools import product

import numpy as np
import pyarrow as pa
import pytest
from fairlearn.metrics import MetricFrame, selection_rate
from fairlearn.postprocessing import ThresholdOptimizer
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import BaseEstimator, ClassifierMixin

from auditkit.errors import InputError
from auditkit.evidence.metrics import select
from auditkit.fairness.counts import encode_groups
from auditkit.fairness.scores import thresholds
from auditkit.fairness.scores.bins import SUMS, ScoreCounts
from auditkit.fairness.scores.thresholds import METRICS, Policy, cheapest_change, evaluate, frontier, rates_at
from auditkit.fairness.settings import Settings

QUICK = Settings(minimum_group=30, replicates=500)


def people(seed: int, n: int = 20_000) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Two groups ranked alike; b has fewer positives and lower scores."""
    rng = np.random.default_rng(seed)
    group = rng.choice(["a", "b"], n, p=[0.6, 0.4])
    truth = rng.random(n) < np.where(group == "a", 0.5, 0.3)
    logit = rng.normal(np.where(truth, 1.0, -1.0) - 0.7 * (group == "b"), 1.0)
    return group, truth, 1 / (1 + np.exp(-logit))


def count(group: np.ndarray, truth: np.ndarray, scores: np.ndarray, bins: int = 200) -> ScoreCounts:
    return ScoreCounts.tally(encode_groups({"group": pa.array(group)}, "here"), truth, scores, bins)


def small(seed: int, groups: int, bins: int) -> ScoreCounts:
    """Random counts without rows behind them; every group has both labels."""
    cells = np.random.default_rng(seed).integers(0, 12, (groups, 2, bins))
    cells[:, :, 0] += 1
    names = tuple((chr(97 + at),) for at in range(groups))
    return ScoreCounts(("group",), names, cells.astype(np.int64), np.zeros((len(SUMS), *cells.shape)))


def test_rates_at_a_threshold_are_those_of_fairlearn() -> None:
    group, truth, scores = people(0, 3000)
    counts = count(group, truth, scores)
    frame = MetricFrame(metrics=selection_rate, y_true=truth, y_pred=scores >= 0.3, sensitive_features=group)
    table = rates_at(counts, 0.3)
    assert table.column("selection_rate").to_pylist() == pytest.approx(frame.by_group.tolist(), abs=1e-12)
    assert table.column("threshold").to_pylist() == [0.3, 0.3]
    curves = thresholds.rate_curves(counts)
    for name, k in product(thresholds.SHOWN, (0, 60, 200)):
        expected = rates_at(counts, k / 200).column(name).to_pylist()
        if k < 200:
            assert curves[name][:, k].tolist() == expected
    assert curves["selection_rate"][:, 200].tolist() == [0, 0]


def test_a_rate_over_no_rows_is_null() -> None:
    counts = count(np.array(["a", "a", "b"]), np.array([True, False, False]), np.array([0.9, 0.1, 0.4]))
    assert rates_at(counts, 0.5).column("true_positive_rate").to_pylist() == [1.0, None]
    with pytest.raises(InputError, match="between 0 and 1"):
        rates_at(counts, 50)


def brute(counts: ScoreCounts, metric: str, limit: float) -> float:
    """The best accuracy by trying every combination of thresholds."""
    curves = thresholds.rate_curves(counts)
    names = {
        METRICS[0]: ["selection_rate"],
        METRICS[1]: ["true_positive_rate"],
        METRICS[2]: ["true_positive_rate", "false_positive_rate"],
    }[metric]
    n = counts.cells.sum(axis=(1, 2))
    best = 0.0
    for places in product(range(counts.bins + 1), repeat=len(n)):
        at = (np.arange(len(n)), np.array(places))
        if max(np.ptp(curves[name][at]) for name in names) <= limit + 1e-12:
            best = max(best, float((curves["accuracy"][at] * n).sum() / n.sum()))
    return best


@settings(max_examples=25, deadline=None)
@given(
    st.integers(0, 10_000), st.sampled_from(METRICS), st.sampled_from([0.0, 0.05, 0.2, 0.6]), st.sampled_from([2, 3])
)
def test_the_frontier_is_the_best_of_all_policies(seed: int, metric: str, limit: float, groups: int) -> None:
    counts = small(seed, groups, 6)
    (found,) = frontier(counts, metric, limits=[limit], minimum_group=1).choices
    assert found.accuracy == pytest.approx(brute(counts, metric, limit), abs=1e-12)
    assert found.gap <= limit + 1e-9


@pytest.mark.parametrize("metric", METRICS)
def test_windows_find_for_two_groups_what_trying_all_pairs_finds(metric: str) -> None:
    counts = small(3, 2, 40)
    search = thresholds._Search(counts, metric, 0.5, 1)
    limits = [0.0, 0.02, 0.1, 0.3]
    for pair, window in zip(search._pairs(limits), search._windows(limits), strict=True):
        assert search.choice(0, window).accuracy == search.choice(0, pair).accuracy


@pytest.mark.parametrize("groups", [2, 5])
def test_more_gap_allowed_never_costs_accuracy(groups: int) -> None:
    for metric in METRICS:
        found = frontier(small(1, groups, 200), metric, minimum_group=1)
        accuracies = [choice.accuracy for choice in found.choices]
        assert accuracies == sorted(accuracies)
        assert all(choice.gap <= choice.limit + 1e-9 for choice in found.choices)
        assert accuracies[-1] == pytest.approx(
            thresholds._Search(small(1, groups, 200), metric, 0.5, 1).right.max(axis=1).sum()
            / small(1, groups, 200).rows
        )


def test_people_gained_and_lost_are_those_whose_decision_changes() -> None:
    group, truth, scores = people(1)
    counts = count(group, truth, scores)
    today, choice = cheapest_change(counts, METRICS[0], 0.02)
    assert today.gap > 0.1
    assert choice.gap <= 0.02
    for at, name in enumerate("ab"):
        mine = scores[group == name]
        before, after = mine >= 0.5, mine >= choice.policy.thresholds[name]
        assert choice.gained[at] == (after & ~before).sum()
        assert choice.lost[at] == (before & ~after).sum()
    assert choice.accuracy == brute_pairs(counts, 0.02)
    unchanged = cheapest_change(counts, METRICS[0], 0.9)
    assert unchanged[0] is unchanged[1]


def brute_pairs(counts: ScoreCounts, limit: float) -> float:
    curves = thresholds.rate_curves(counts)
    n = counts.cells.sum(axis=(1, 2))
    selected, right = curves["selection_rate"], np.rint(curves["accuracy"] * n[:, None])
    allowed = np.abs(selected[0][:, None] - selected[1][None]) <= limit
    return float(np.where(allowed, right[0][:, None] + right[1][None], 0).max() / n.sum())


def test_ties_change_the_fewest_decisions() -> None:
    cells = np.zeros((2, 2, 10), dtype=np.int64)
    cells[:, 0, 0], cells[:, 1, 9] = 50, 50  # every threshold from 0.1 to 0.9 is right for everybody
    counts = ScoreCounts(("g",), (("a",), ("b",)), cells, np.zeros((len(SUMS), *cells.shape)))
    (choice,) = frontier(counts, METRICS[0], limits=[0.0]).choices
    assert choice.accuracy == 1
    assert choice.gained == choice.lost == (0, 0)


class Given(ClassifierMixin, BaseEstimator):
    """An estimator whose scores are its one feature."""

    def fit(self, x: np.ndarray, y: np.ndarray) -> "Given":
        self.classes_ = np.array([0, 1])
        return self

    def predict(self, x: np.ndarray) -> np.ndarray:
        return np.asarray(x)[:, 0]


@pytest.mark.parametrize(
    ("metric", "constraint", "allowed"),
    [(METRICS[0], "demographic_parity", 0.01), (METRICS[1], "true_positive_rate_parity", 0.01),
     (METRICS[2], "equalized_odds", 0.02)],
)  # fmt: skip
def test_accuracy_is_near_that_of_fairlearns_randomised_optimum(metric: str, constraint: str, allowed: float) -> None:
    group, truth, scores = people(2, 10_000)
    found = cheapest_change(count(group, truth, scores), metric, allowed)[1]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        optimiser = ThresholdOptimizer(
            estimator=Given().fit(scores[:, None], truth), constraints=constraint, prefit=True, predict_method="predict"
        ).fit(scores[:, None], truth.astype(int), sensitive_features=group)
    chance = optimiser._pmf_predict(scores[:, None], sensitive_features=group)[:, 1]
    randomised = float(np.where(truth, chance, 1 - chance).mean())
    assert abs(found.accuracy - randomised) <= 0.01
    assert found.gap <= allowed


def test_a_million_rows_take_no_longer_than_their_bins() -> None:
    counts = count(*people(3))
    many = replace(counts, cells=counts.cells * 50)
    started = time.perf_counter()
    frontier(many, METRICS[2])
    assert time.perf_counter() - started < 1


def test_a_policy_is_judged_on_other_rows_with_intervals_that_cover() -> None:
    _, choice = cheapest_change(count(*people(4)), METRICS[0], 0.05)
    truth_rows = evaluate(choice.policy, count(*people(5, 400_000)), QUICK)
    true_gap = select(truth_rows, metric=METRICS[0])[0].value
    true_accuracy = select(truth_rows, metric="accuracy", group="")[0].value
    covered = np.zeros(2)
    for seed in range(60):
        rows = evaluate(choice.policy, count(*people(100 + seed, 1000)), QUICK, "test")
        gap, accuracy = select(rows, metric=METRICS[0])[0], select(rows, metric="accuracy", group="")[0]
        covered += [gap.lower <= true_gap <= gap.upper, accuracy.lower <= true_accuracy <= accuracy.upper]
    assert (covered / 60 >= 0.87).all()


def test_a_group_the_policy_does_not_know_has_todays_threshold() -> None:
    group, truth, scores = people(6, 2000)
    policy = replace(Policy.same(count(group, truth, scores), 0.2), otherwise=100)
    new = np.where(group == "b", "c", "a")
    decided = policy.decide(count(new, truth, scores))
    assert decided.cells[1, :, 1].sum() == (scores[new == "c"] >= 0.5).sum()
    assert decided.cells[0, :, 1].sum() == (scores[new == "a"] >= 0.2).sum()
    with pytest.raises(InputError, match="count scores the same way"):
        policy.decide(count(group, truth, scores, bins=100))


def test_small_groups_keep_todays_threshold_and_are_named() -> None:
    group, truth, scores = people(7, 2000)
    group = np.append(group, ["tiny"] * 5)
    counts = count(group, np.append(truth, [True] * 5), np.append(scores, [0.2] * 5))
    found = frontier(counts, METRICS[1])
    assert found.unjudged == ("tiny",)
    assert {choice.policy.thresholds["tiny"] for choice in found.choices} == {0.5}


def test_what_cannot_be_searched_is_refused() -> None:
    counts = small(0, 2, 10)
    with pytest.raises(InputError, match="demographic_parity_difference"):
        frontier(counts, "demographic_parity", minimum_group=1)
    with pytest.raises(InputError, match="0 of 2 have them"):
        frontier(counts, METRICS[0], minimum_group=10_000)
    with pytest.raises(InputError, match="cannot be negative"):
        cheapest_change(counts, METRICS[0], -0.1, minimum_group=1)
    with pytest.raises(InputError, match="no rows"):
        frontier(replace(counts, cells=counts.cells * 0), METRICS[0])


def test_a_place_beyond_the_last_bin_accepts_nobody() -> None:
    counts = small(0, 2, 10)
    policy = Policy(counts.attributes, counts.groups, (10, 0), 5, 10)
    assert policy.thresholds == {"a": math.inf, "b": 0.0}
    assert policy.decide(counts).cells[:, :, 1].sum(axis=1).tolist() == [0, counts.cells[1].sum()]
