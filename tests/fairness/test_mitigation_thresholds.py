"""Threshold policies: hulls by hand, optima against brute force and fairlearn, deterministic never above randomised."""

import math
import time
import warnings
from dataclasses import replace
from itertools import product

import numpy as np
import pyarrow as pa
import pytest
from fairlearn.postprocessing import ThresholdOptimizer
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import BaseEstimator, ClassifierMixin

from auditkit.errors import InputError
from auditkit.fairness.counting.counts import GroupCodes, encode_groups
from auditkit.fairness.mitigation import deterministic
from auditkit.fairness.mitigation.deterministic import gap_of
from auditkit.fairness.mitigation.frontier import cheapest_change, frontier
from auditkit.fairness.mitigation.policy import Policy
from auditkit.fairness.mitigation.randomised import optimise_thresholds, programme_of_counts
from auditkit.fairness.mitigation.roc import hull_of_scores, hulls_of_counts
from auditkit.fairness.mitigation.targets import CONSTRAINTS, METRICS, OBJECTIVES, target
from auditkit.fairness.scores.bins import SUMS, ScoreCounts
from auditkit.fairness.scores.thresholds import rate_curves

DIFFERENCES = tuple(name for name in METRICS if name.endswith("difference"))


def people(seed: int, n: int = 20_000, groups: int = 2) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Groups ranked alike; later ones have fewer positives and lower scores."""
    rng = np.random.default_rng(seed)
    group = rng.choice(groups, n, p=np.arange(groups, 0, -1) / np.arange(groups + 1).sum())
    truth = rng.random(n) < 0.5 - 0.2 * group / max(1, groups - 1)
    logit = rng.normal(np.where(truth, 1.0, -1.0) - 0.7 * group / max(1, groups - 1), 1.0)
    return np.array(list("abcdefgh"))[group], truth, 1 / (1 + np.exp(-logit))


def codes_of(group: np.ndarray) -> GroupCodes:
    return encode_groups({"group": pa.array(group)}, "here")


def count(group: np.ndarray, truth: np.ndarray, scores: np.ndarray, bins: int = 200) -> ScoreCounts:
    return ScoreCounts.tally(codes_of(group), truth, scores, bins)


def small(seed: int, groups: int, bins: int) -> ScoreCounts:
    """Random counts without rows behind them; every group has both labels."""
    cells = np.random.default_rng(seed).integers(0, 12, (groups, 2, bins))
    cells[:, :, 0] += 1
    names = tuple((chr(97 + at),) for at in range(groups))
    return ScoreCounts(("group",), names, cells.astype(np.int64), np.zeros((len(SUMS), *cells.shape)))


class Given(ClassifierMixin, BaseEstimator):
    """An estimator whose scores are its one feature."""

    def fit(self, x: np.ndarray, y: np.ndarray) -> "Given":
        self.classes_ = np.array([0, 1])
        return self

    def predict(self, x: np.ndarray) -> np.ndarray:
        return np.asarray(x)[:, 0]


def fairlearns(group: np.ndarray, truth: np.ndarray, scores: np.ndarray, constraint: str, objective: str) -> np.ndarray:
    """The chance of a positive decision that fairlearn's optimiser gives every row."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        optimiser = ThresholdOptimizer(
            estimator=Given().fit(scores[:, None], truth), constraints=constraint, objective=objective, prefit=True,
            predict_method="predict",
        ).fit(scores[:, None], truth.astype(int), sensitive_features=group)  # fmt: skip
    return optimiser._pmf_predict(scores[:, None], sensitive_features=group)[:, 1]


def expected(
    chances: np.ndarray, group: np.ndarray, truth: np.ndarray, constraint: str, objective: str
) -> tuple[float, float]:
    """Objective and gap of chances, from the rows themselves."""
    right = np.where(truth, chances, 1 - chances)
    if objective == "accuracy_score":
        value = right.mean()
    else:
        parts = [
            (group == g).mean() * (right[(group == g) & truth].mean() + right[(group == g) & ~truth].mean()) / 2
            for g in np.unique(group)
        ]
        value = sum(parts)
    among = {"selection_rate": truth | ~truth, "true_positive_rate": truth, "false_positive_rate": ~truth}
    gaps = [
        np.ptp([chances[(group == g) & among[name]].mean() for g in np.unique(group)])
        for name in target(constraint).rates
    ]
    return float(value), float(max(gaps))


@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.parametrize("constraint", CONSTRAINTS)
def test_optima_are_those_of_fairlearns_threshold_optimizer(constraint: str, objective: str) -> None:
    for seed, groups in ((0, 2), (1, 3), (2, 5)):
        rows = people(seed, 4000, groups)
        group, truth, scores = rows
        found = optimise_thresholds(scores, truth, codes_of(group), constraint, objective=objective)
        ours = expected(found.policy.chances(codes_of(group), scores), group, truth, constraint, objective)
        theirs = expected(fairlearns(*rows, constraint, objective), group, truth, constraint, objective)
        assert ours[0] == pytest.approx(theirs[0], abs=0.002)
        assert ours[0] >= theirs[0] - 1e-6, "their grid of rates can only lose"
        assert ours[1] == pytest.approx(theirs[1], abs=0.002)
        assert ours == pytest.approx((found.objective, found.gap), abs=1e-9)
        assert ours[1] <= 1e-6


def test_ties_in_scores_are_decided_alike() -> None:
    group, truth, scores = people(3, 3000)
    scores = np.round(scores, 1)
    theirs = expected(fairlearns(group, truth, scores, "demographic_parity", OBJECTIVES[0]), group, truth,
                      "demographic_parity", OBJECTIVES[0])  # fmt: skip
    found = optimise_thresholds(scores, truth, codes_of(group))
    chances = found.policy.chances(codes_of(group), scores)
    assert expected(chances, group, truth, "demographic_parity", OBJECTIVES[0])[0] == pytest.approx(
        theirs[0], abs=0.002
    )
    for name in "ab":
        for score in np.unique(scores):
            assert len(np.unique(chances[(group == name) & (scores == score)])) <= 1


def test_a_million_rows_are_a_matter_of_one_sort() -> None:
    group, truth, scores = people(4, 60_000)
    optimise_thresholds(scores[:100], truth[:100], codes_of(group[:100]))
    codes = codes_of(group)
    started = time.perf_counter()
    optimise_thresholds(scores, truth, codes, "equalized_odds")
    ours = time.perf_counter() - started
    started = time.perf_counter()
    fairlearns(group, truth, scores, "equalized_odds", OBJECTIVES[0])
    assert time.perf_counter() - started > 5 * ours


def test_hull_by_hand() -> None:
    """Labels from the highest score down: 1 0 1 1 0 0; the corners are none, the first four and everybody."""
    scores, truth = np.array([6.0, 5, 4, 3, 2, 1]), np.array([1, 0, 1, 1, 0, 0], dtype=bool)
    hull = hull_of_scores(scores, truth)
    upper = slice(0, hull.upper)
    assert hull.thresholds[upper].tolist() == [math.inf, 5.5, 2.5, -math.inf]
    assert hull.true_positives[upper].tolist() == [0, 1, 3, 3]
    assert hull.false_positives[upper].tolist() == [0, 0, 1, 3]
    assert (hull.true_positives[hull.upper :] * 3 <= 3 * hull.false_positives[hull.upper :]).all()


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 6), st.booleans()), min_size=2, max_size=40))
def test_hulls_are_convex_and_hold_every_threshold(rows: list[tuple[int, bool]]) -> None:
    scores, truth = np.array([row[0] for row in rows], dtype=float), np.array([row[1] for row in rows])
    hull = hull_of_scores(scores, truth)
    x, y = hull.false_positives[: hull.upper], hull.true_positives[: hull.upper]
    dx, dy = np.diff(x), np.diff(y)
    assert (dx[:-1] * dy[1:] < dx[1:] * dy[:-1]).all()
    for threshold in np.unique(scores):
        point = ((scores >= threshold) & ~truth).sum(), ((scores >= threshold) & truth).sum()
        for at in range(len(dx)):
            assert dx[at] * (point[1] - y[at]) <= dy[at] * (point[0] - x[at])
    for threshold, fp, tp in zip(hull.thresholds, hull.false_positives, hull.true_positives, strict=True):
        assert (((scores >= threshold) & ~truth).sum(), ((scores >= threshold) & truth).sum()) == (fp, tp)


def test_hulls_of_bins_are_those_of_rounded_scores() -> None:
    group, truth, scores = people(5, 3000)
    counts = count(group, truth, scores, bins=20)
    for at, hull in enumerate(hulls_of_counts(counts)):
        mine = group == "ab"[at]
        rows = hull_of_scores(np.floor(scores[mine] * 20) / 20, truth[mine])
        assert hull.true_positives.tolist() == rows.true_positives.tolist()
        assert hull.false_positives.tolist() == rows.false_positives.tolist()


def test_binning_costs_little() -> None:
    group, truth, scores = people(6)
    for constraint in ("demographic_parity", "equalized_odds"):
        rows = optimise_thresholds(scores, truth, codes_of(group), constraint).objective
        binned = programme_of_counts(count(group, truth, scores), target(constraint), 0.5, 30).within(0.0).objective
        assert rows - 0.001 <= binned <= rows + 1e-9


def test_parity_by_hand() -> None:
    """Scores rank perfectly; a has 3 of 4 positive, b 1 of 4. The same selection rate s costs |s - 3/4| + |s - 1/4|."""
    scores = np.tile([0.1, 0.2, 0.3, 0.4], 2)
    truth = np.array([0, 1, 1, 1, 0, 0, 0, 1], dtype=bool)
    codes = codes_of(np.repeat(["a", "b"], 4))
    assert optimise_thresholds(scores, truth, codes).objective == pytest.approx(0.75)
    assert optimise_thresholds(scores, truth, codes, "equalized_odds").objective == pytest.approx(1)
    relaxed = optimise_thresholds(scores, truth, codes, "demographic_parity_difference", limit=0.2)
    assert (relaxed.objective, relaxed.gap) == pytest.approx((0.85, 0.2))
    ratio = optimise_thresholds(scores, truth, codes, "four_fifths", limit=0.8)
    assert ratio.objective == pytest.approx(1 - (0.75 * 0.8 - 0.25) / 2), "b rises to 0.6, a stays"
    assert ratio.gap == pytest.approx(0.8)


def brute(counts: ScoreCounts, metric: str, limit: float) -> float:
    """The best accuracy by trying every combination of thresholds."""
    gap, best = target(metric), 0.0
    for places in product(range(counts.bins + 1), repeat=len(counts.groups)):
        decided = counts.decided(places)
        value = gap_of(decided, gap, range(len(places)))
        if (value <= limit + 1e-12) if gap.kind == "difference" else value >= limit - 1e-12:
            best = max(best, float((decided.cells[:, 0, 0] + decided.cells[:, 1, 1]).sum() / decided.rows))
    return best


@settings(max_examples=40, deadline=None)
@given(
    st.integers(0, 10_000), st.sampled_from(METRICS), st.sampled_from([0.001, 0.05, 0.2, 0.6, 0.9]),
    st.sampled_from([2, 3]),
)  # fmt: skip
def test_the_deterministic_frontier_is_the_best_of_all_policies(
    seed: int, metric: str, limit: float, groups: int
) -> None:
    counts = small(seed, groups, 6)
    (found,) = frontier(counts, metric, limits=[limit], minimum_group=1).choices
    assert found.accuracy == pytest.approx(brute(counts, metric, limit), abs=1e-12)
    assert found.most == found.accuracy
    assert found.gap <= limit + 1e-9 if target(metric).kind == "difference" else found.gap >= limit - 1e-9


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from(METRICS), st.sampled_from([0.02, 0.1, 0.3, 0.8]), st.integers(2, 4))
def test_no_deterministic_policy_is_better_than_the_randomised_one(
    seed: int, metric: str, limit: float, groups: int
) -> None:
    counts = small(seed, groups, 12)
    (fixed,) = frontier(counts, metric, limits=[limit], minimum_group=1).choices
    drawn = programme_of_counts(counts, target(metric), 0.5, 1).within(limit)
    assert drawn.objective >= fixed.accuracy - 1e-6
    if target(metric).kind == "difference":
        assert drawn.gap <= limit + 1e-6
    else:
        assert drawn.gap >= limit - 1e-6


def test_a_search_cut_short_says_what_it_may_miss(monkeypatch: pytest.MonkeyPatch) -> None:
    counts = count(*people(7, 4000, 6))
    limits = [0.01, 0.1]
    exact = frontier(counts, "equalized_odds_difference", limits=limits, minimum_group=1).choices
    monkeypatch.setattr(deterministic, "MOST_WINDOWS", 600)
    short = frontier(counts, "equalized_odds_difference", limits=limits, minimum_group=1).choices
    assert all(choice.most == choice.accuracy for choice in exact)
    assert any(choice.most > choice.accuracy for choice in short)
    for full, cut in zip(exact, short, strict=True):
        assert cut.accuracy <= full.accuracy <= cut.most


@pytest.mark.parametrize("kind", ["deterministic", "randomised"])
@pytest.mark.parametrize("metric", METRICS)
def test_more_gap_allowed_never_costs_accuracy(metric: str, kind: str) -> None:
    found = frontier(small(1, 4, 60), metric, minimum_group=1, kind=kind)
    accuracies = [choice.accuracy for choice in found.choices]
    assert np.diff(accuracies).min() >= -0.002 * (kind == "randomised"), "a drawn policy is rounded to whole people"
    assert found.kind == kind
    assert all(choice.policy.kind == "deterministic" for choice in found.choices) or kind == "randomised"


def test_people_gained_and_lost_are_those_whose_decision_changes() -> None:
    group, truth, scores = people(1)
    counts = count(group, truth, scores)
    today, choice = cheapest_change(counts, DIFFERENCES[0], 0.02)
    assert today.gap > 0.1
    assert choice.gap <= 0.02
    for at, name in enumerate("ab"):
        mine = scores[group == name]
        before, after = mine >= 0.5, mine >= choice.policy.thresholds[name]
        assert choice.gained[at] == (after & ~before).sum()
        assert choice.lost[at] == (before & ~after).sum()
    unchanged = cheapest_change(counts, DIFFERENCES[0], 0.9)
    assert unchanged[0] is unchanged[1]


def test_ties_change_the_fewest_decisions() -> None:
    cells = np.zeros((2, 2, 10), dtype=np.int64)
    cells[:, 0, 0], cells[:, 1, 9] = 50, 50  # every threshold from 0.1 to 0.9 is right for everybody
    counts = ScoreCounts(("g",), (("a",), ("b",)), cells, np.zeros((len(SUMS), *cells.shape)))
    for kind in ("deterministic", "randomised"):
        (choice,) = frontier(counts, DIFFERENCES[0], limits=[0.0], kind=kind).choices
        assert choice.accuracy == 1
        assert choice.gained == choice.lost == (0, 0)


def test_a_drawn_policy_counts_what_it_draws() -> None:
    group, truth, scores = people(8)
    counts, codes = count(group, truth, scores), codes_of(group)
    policy = programme_of_counts(counts, target("equalized_odds"), 0.5, 30).within(0.0).policy
    assert policy.kind == "randomised"
    drawn = policy.chances(codes, np.floor(scores * 200) / 200) >= np.random.default_rng(0).random(len(scores))
    decided = policy.decide(counts).cells
    for at, name in enumerate("ab"):
        for label in (0, 1):
            mine = (group == name) & (truth == label)
            assert decided[at, label].sum() == mine.sum()
            assert abs(decided[at, label, 1] - drawn[mine].sum()) < 5 * math.sqrt(mine.sum())


def test_a_group_the_policy_does_not_know_has_todays_threshold() -> None:
    group, truth, scores = people(6, 2000)
    policy = replace(Policy.same(count(group, truth, scores), 0.2), otherwise=0.5)
    new = np.where(group == "b", "c", "a")
    decided = policy.decide(count(new, truth, scores))
    assert decided.cells[1, :, 1].sum() == (scores[new == "c"] >= 0.5).sum()
    assert decided.cells[0, :, 1].sum() == (scores[new == "a"] >= 0.2).sum()
    other = ScoreCounts.tally(encode_groups({"other": pa.array(group)}, "here"), truth, scores)
    with pytest.raises(InputError, match="count them the same way"):
        policy.decide(other)


@pytest.mark.parametrize("kind", ["deterministic", "randomised"])
def test_small_groups_keep_todays_threshold_and_are_named(kind: str) -> None:
    group, truth, scores = people(7, 2000)
    group = np.append(group, ["tiny"] * 5)
    counts = count(group, np.append(truth, [True] * 5), np.append(scores, [0.2] * 5))
    found = frontier(counts, "equal_opportunity_difference", kind=kind)
    assert found.unjudged == ("tiny",)
    assert {choice.policy.named["tiny"] for choice in found.choices} == {((0.5, 1.0),)}


def test_a_group_without_rows_is_unjudged_and_keeps_its_threshold() -> None:
    group, truth, scores = people(9, 500, 3)
    codes = codes_of(group)
    kept = group != "c"
    found = optimise_thresholds(scores[kept], truth[kept], replace(codes, codes=codes.codes[kept]))
    assert found.unjudged == ("c",)
    assert found.policy.named["c"] == ((0.5, 1.0),)


def test_what_cannot_be_searched_is_refused() -> None:
    counts = small(0, 2, 10)
    with pytest.raises(InputError, match="demographic_parity_difference"):
        frontier(counts, "demographic_paritydifference", minimum_group=1)
    with pytest.raises(InputError, match="not a gap"):
        frontier(counts, "predictive_parity_difference", minimum_group=1)
    with pytest.raises(InputError, match="0 of 2 have them"):
        frontier(counts, DIFFERENCES[0], minimum_group=10_000)
    with pytest.raises(InputError, match="cannot be negative"):
        cheapest_change(counts, DIFFERENCES[0], -0.1, minimum_group=1)
    with pytest.raises(InputError, match="ratio must lie above 0"):
        cheapest_change(counts, "four_fifths", 0, minimum_group=1)
    with pytest.raises(InputError, match="no rows"):
        frontier(replace(counts, cells=counts.cells * 0), DIFFERENCES[0])
    with pytest.raises(InputError, match="no kind of policy"):
        frontier(counts, DIFFERENCES[0], minimum_group=1, kind="random")
    codes = codes_of(np.array(["a", "b"]))
    with pytest.raises(InputError, match="missing or infinite"):
        optimise_thresholds([np.nan, 1], [True, False], codes)
    with pytest.raises(InputError, match="one of each"):
        optimise_thresholds([1.0], [True, False], codes)
    with pytest.raises(InputError, match="is no objective"):
        optimise_thresholds([0.0, 1], [True, False], codes, objective="accuracy")


def test_a_place_beyond_the_last_bin_accepts_nobody() -> None:
    counts = small(0, 2, 10)
    policy = Policy.at_places(counts, (10, 0), 0.5)
    assert policy.thresholds == {"a": math.inf, "b": 0.0}
    assert policy.decide(counts).cells[:, :, 1].sum(axis=1).tolist() == [0, counts.cells[1].sum()]


def test_curves_and_policies_agree() -> None:
    counts = small(4, 3, 20)
    curves = rate_curves(counts)["selection_rate"]
    decided = Policy.at_places(counts, (3, 7, 20), 0.5).decide(counts)
    shares = decided.cells[:, :, 1].sum(axis=1) / decided.cells.sum(axis=(1, 2))
    assert shares.tolist() == [curves[at, place] for at, place in enumerate((3, 7, 20))]
