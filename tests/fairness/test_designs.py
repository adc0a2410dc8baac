"""Weights, strata and clusters: points against fairlearn, intervals by simulation, refusals."""

import numpy as np
import pyarrow as pa
import pytest
from fairlearn.metrics import MetricFrame, demographic_parity_ratio, equalized_odds_difference, selection_rate
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import precision_score, recall_score, roc_auc_score

from auditkit import InputError, check_fairness
from auditkit.evidence.metrics import select
from auditkit.fairness.counting.counts import Counts, encode_groups
from auditkit.fairness.groups.draws import design_of
from auditkit.fairness.groups.inference import infer
from auditkit.fairness.settings import Settings
from auditkit.statistics.resampling import cluster_replicates

QUICK = {"replicates": 500, "minimum_group": 1}
POLICY = {"demographic_parity_difference": {"at_most": 0.2}}


def people(rng, n=600, groups="abc"):
    group = rng.choice(list(groups), n)
    label = rng.integers(0, 2, n)
    score = np.clip(rng.normal(0.4 + 0.2 * label, 0.25), 0, 1).round(2)
    return group, label, (score >= 0.5).astype(int), score


def values(check, metric, attribute="g"):
    return {row.group: row.value for row in select(check.metrics, metric=metric, attribute=attribute)}


@given(st.integers(0, 10_000))
@settings(max_examples=40, deadline=None)
def test_weighted_points_are_fairlearns(seed):
    rng = np.random.default_rng(seed)
    group, label, decision, score = people(rng, groups="abcdef"[: rng.integers(2, 7)])
    weights = rng.gamma(1.0, 3.0, len(label)) * (rng.random(len(label)) > 0.1)
    check = check_fairness(
        label, decision, sensitive_features={"g": group}, scores=score, sample_weight=weights, policy=POLICY, **QUICK
    )
    shared = {"selection_rate": selection_rate, "true_positive_rate": recall_score, "precision": precision_score}
    for name, metric in shared.items():
        oracle = MetricFrame(
            metrics=metric, y_true=label, y_pred=decision, sensitive_features=group,
            sample_params={"sample_weight": weights},
        ).by_group  # fmt: skip
        for each, value in values(check, name).items():
            if value is not None:
                assert value == pytest.approx(oracle[each], abs=1e-12)
    for each, area in values(check, "auc").items():
        mine = group == each
        if area is not None:
            assert area == pytest.approx(
                roc_auc_score(label[mine], score[mine], sample_weight=weights[mine]), abs=1e-12
            )
    options = {"sensitive_features": group, "sample_weight": weights}
    ratio, odds = (values(check, name)[""] for name in ("demographic_parity_ratio", "equalized_odds_difference"))
    assert ratio == pytest.approx(demographic_parity_ratio(label, decision, **options), abs=1e-12)
    assert odds == pytest.approx(equalized_odds_difference(label, decision, **options), abs=1e-12)


def test_one_weight_for_all_tells_as_much_as_none():
    group, label, decision, _ = people(np.random.default_rng(0), 3000)
    plain = check_fairness(label, decision, sensitive_features={"g": group}, policy=POLICY, **QUICK)
    alike = check_fairness(
        label, decision, sensitive_features={"g": group}, sample_weight=np.full(3000, 7.5), policy=POLICY, **QUICK
    )
    for name in ("selection_rate", "demographic_parity_difference", "f1"):
        for one, other in zip(select(plain.metrics, metric=name), select(alike.metrics, metric=name), strict=True):
            assert (one.value, one.n) == (pytest.approx(other.value, abs=1e-12), other.n)
            assert (one.lower, one.upper) == (
                pytest.approx(other.lower, abs=0.01),
                pytest.approx(other.upper, abs=0.01),
            )


def drawn_in_clusters(rng, clusters=120, spread=1.0):
    """Rows of clusters that lean one way together; the true rate is one half by symmetry."""
    sizes = rng.integers(3, 9, clusters)
    cluster = np.repeat(np.arange(clusters), sizes)
    chance = 1 / (1 + np.exp(-rng.normal(0, spread, clusters)))
    return cluster, (rng.random(len(cluster)) < chance[cluster]).astype(bool)


@pytest.mark.parametrize("clustered", [True, False])
def test_intervals_over_clusters_cover_and_those_that_ignore_them_do_not(clustered):
    rng = np.random.default_rng(1)
    covered, alike, draws = 0, 0, 400
    for _ in range(draws):
        cluster, decision = drawn_in_clusters(rng)
        site = rng.integers(0, 2, 120)[cluster]
        groups = encode_groups({"g": pa.array(np.array(["a", "b"])[site])}, "here")
        truth = np.zeros(len(cluster), dtype=bool)
        counts = Counts.tally(groups, truth, decision)
        design = design_of(counts, groups, truth, decision, clusters=pa.array(cluster)) if clustered else None
        found = infer(counts, Settings(replicates=300), design=design)
        overall = next(row for row in found.rates if row.metric == "selection_rate")
        gap = next(row for row in found.gaps if row.metric == "demographic_parity_difference")
        covered += overall.lower <= 0.5 <= overall.upper
        alike += gap.lower == 0
    if clustered:
        assert 0.92 <= covered / draws <= 0.98
        assert alike / draws >= 0.92
    else:
        assert covered / draws < 0.88
        assert alike / draws < 0.88


def test_weighted_intervals_cover_the_population_that_weights_point_at():
    rng = np.random.default_rng(2)
    covered, draws = 0, 400
    for _ in range(draws):
        rare = rng.random(500) < 0.5  # half of the sample, a tenth of the population
        decision = rng.random(500) < np.where(rare, 0.8, 0.3)
        weights = np.where(rare, 0.1 / 0.5, 0.9 / 0.5)
        groups = encode_groups({"g": pa.array(rng.choice(["a", "b"], 500))}, "here")
        counts = Counts.tally(groups, np.zeros(500, dtype=bool), decision, weights=weights)
        row = infer(counts, Settings(replicates=200)).rates[0]
        covered += row.lower <= 0.1 * 0.8 + 0.9 * 0.3 <= row.upper
    assert 0.92 <= covered / draws <= 0.98


def test_strata_that_explain_the_decision_make_intervals_narrower():
    rng = np.random.default_rng(3)
    stratum = np.repeat([0, 1], 1000)
    decision = rng.random(2000) < np.where(stratum == 0, 0.05, 0.95)
    options = {"sensitive_features": {"g": rng.choice(["a", "b"], 2000)}, "policy": POLICY}
    label = rng.integers(0, 2, 2000)
    plain = check_fairness(label, decision.astype(int), **options)
    kept = check_fairness(label, decision.astype(int), strata=stratum, **options)
    widths = [c.metrics[0].upper - c.metrics[0].lower for c in (plain, kept)]
    assert widths[1] < 0.6 * widths[0]
    assert plain.metrics[0].value == kept.metrics[0].value


def test_cluster_totals_drawn_normally_have_the_spread_of_those_drawn_exactly(monkeypatch):
    rng = np.random.default_rng(4)
    cluster, cell, total = rng.integers(0, 500, 3000), rng.integers(0, 8, 3000), rng.gamma(2, 1, 3000)
    strata = rng.integers(0, 3, 500)
    exact = cluster_replicates((cluster, cell, total), 8, strata, 4000, np.random.default_rng(0))
    monkeypatch.setattr("auditkit.statistics.resampling.MOST_DRAWN", 0)
    normal = cluster_replicates((cluster, cell, total), 8, strata, 4000, np.random.default_rng(0))
    assert normal.mean(axis=1) == pytest.approx(exact.mean(axis=1), rel=0.01)
    assert np.cov(normal) == pytest.approx(np.cov(exact), abs=0.1 * np.cov(exact).max())


def test_tests_that_count_rows_are_left_out_and_said_to_be():
    group, label, decision, _ = people(np.random.default_rng(5))
    check = check_fairness(
        label, decision, sensitive_features={"g": group}, sample_weight=np.ones(600) * 2, policy=POLICY, **QUICK
    )
    tests = select(check.metrics, metric="any_gap_p_value")
    assert {row.status for row in tests} == {"not applicable"}
    assert "four_fifths" not in check.tables
    assert any("tests that count rows" in caveat.text for caveat in check.caveats)


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ({"sample_weight": [1.0] * 599 + [-1.0]}, "sample_weight is negative in 1 of 600 rows, first in row 600"),
        ({"sample_weight": [0.0] * 600}, "every sample_weight is 0"),
        ({"sample_weight": [1.0] * 10}, "sample_weight has 10 rows"),
        ({"clusters": [1, 2] * 300}, "the rows lie in 2 clusters, and fewer than 20"),
        ({"clusters": [*range(100)] * 6, "strata": ["x"] * 300 + ["y"] * 300}, "lies in several strata"),
    ],
)
def test_bad_designs_are_refused_in_one_sentence(more, says):
    group, label, decision, _ = people(np.random.default_rng(6))
    with pytest.raises(InputError, match=says):
        check_fairness(label, decision, sensitive_features={"g": group}, **more)


def test_a_group_of_few_clusters_or_little_weight_never_passes():
    group = np.array(["a"] * 500 + ["b"] * 100)
    label, decision = np.tile([0, 1], 300), np.tile([0, 1, 1, 0], 150)
    cluster = np.concatenate([np.arange(500) % 50, 50 + np.arange(100) % 5])
    check = check_fairness(label, decision, sensitive_features={"g": group}, clusters=cluster, policy=POLICY)
    assert check.verdict == "inconclusive"
    assert "5 clusters" in next(row.reason for row in check.metrics if row.group == "b")
    heavy = np.ones(600)
    heavy[500] = 1e6
    check = check_fairness(label, decision, sensitive_features={"g": group}, sample_weight=heavy, policy=POLICY)
    assert check.verdict == "inconclusive"
    assert "tell as much as 1.0 plain ones" in next(row.reason for row in check.metrics if row.group == "b")
