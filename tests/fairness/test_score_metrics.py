"""Ranking and calibration from score counts, against scikit-learn, the rows themselves and simulation."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, brier_score_loss, log_loss, roc_auc_score, roc_curve

from auditkit.evidence.metrics import MetricRow, select
from auditkit.fairness.counting.counts import encode_groups
from auditkit.fairness.scores import calibration, metrics, ranking
from auditkit.fairness.scores.bins import ScoreCounts
from auditkit.fairness.settings import Settings
from auditkit.statistics.roc import auroc_interval

BINS = 200
QUICK = Settings(minimum_group=30, replicates=500)


def count(group: np.ndarray, truth: np.ndarray, scores: np.ndarray) -> ScoreCounts:
    return ScoreCounts.tally(encode_groups({"group": pa.array(group)}, "here"), truth, scores, BINS)


def people(seed: int, n: int = 2000) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Groups, labels and scores on bin centres; b is scored less well and too high."""
    rng = np.random.default_rng(seed)
    group = rng.choice(["a", "b", "c"], n, p=[0.5, 0.3, 0.2])
    truth = rng.random(n) < np.where(group == "a", 0.5, 0.3)
    logit = rng.normal(np.where(truth, 1.0, -1.0) * np.where(group == "b", 0.5, 1.0), 1.0)
    scores = 1 / (1 + np.exp(-logit))
    return group, truth, (np.floor(scores * BINS) + 0.5) / BINS


@pytest.mark.parametrize("seed", range(3))
def test_ranking_on_bin_centres_is_that_of_the_rows(seed: int) -> None:
    group, truth, scores = people(seed)
    counts = count(group, truth, scores)
    crossed = ranking.cross_areas(counts)
    for i, name in enumerate(counts.names):
        mine = group == name
        assert ranking.group_areas(counts)[i] == pytest.approx(roc_auc_score(truth[mine], scores[mine]), abs=1e-12)
        assert ranking.average_precision(counts.cells[i, 0], counts.cells[i, 1]) == pytest.approx(
            average_precision_score(truth[mine], scores[mine]), abs=1e-12
        )
        exact = auroc_interval(scores[mine & ~truth], scores[mine & truth])
        assert ranking.area_interval(counts.cells[i, 0], counts.cells[i, 1]) == pytest.approx(exact, abs=1e-12)
        for j, other in enumerate(counts.names):
            both = (mine & truth) | ((group == other) & ~truth)
            assert crossed[i, j] == pytest.approx(roc_auc_score(truth[both], scores[both]), abs=1e-12)


def test_unbinned_scores_are_off_by_less_than_half_the_ties() -> None:
    rng = np.random.default_rng(0)
    truth = rng.random(5000) < 0.4
    scores = rng.beta(np.where(truth, 3, 2), 2)
    counts = count(np.array(["a", "b"] * 2500), truth, scores).margin([])
    n, m = counts.cells[0]
    tied = (n * m).sum() / (n.sum() * m.sum())
    assert abs(ranking.area(n, m) - roc_auc_score(truth, scores)) <= tied / 2


def fine_area_between(first: tuple[np.ndarray, np.ndarray], second: tuple[np.ndarray, np.ndarray]) -> float:
    grid = (np.arange(200_000) + 0.5) / 200_000
    heights = []
    for truth, scores in (first, second):
        x, y, _ = roc_curve(truth, scores, drop_intermediate=False)
        heights.append(np.interp(grid, x, y))
    return float(np.abs(heights[0] - heights[1]).mean())


@pytest.mark.parametrize("seed", range(3))
def test_area_between_is_the_integral_of_sklearns_curves(seed: int) -> None:
    group, truth, scores = people(seed, 400)
    counts = count(group, truth, scores)
    rows = [(truth[group == name], scores[group == name]) for name in ("a", "b")]
    found = ranking.area_between(tuple(counts.cells[0]), tuple(counts.cells[1]))
    assert found == pytest.approx(fine_area_between(*rows), abs=1e-4)


@settings(max_examples=50)
@given(st.integers(0, 10_000))
def test_area_between_is_symmetric_zero_for_equals_and_bounds_the_difference_of_areas(seed: int) -> None:
    rng = np.random.default_rng(seed)
    cells = rng.integers(0, 4, (2, 2, 8))
    cells[..., 0] += 1
    first, second = tuple(cells[0]), tuple(cells[1])
    between = ranking.area_between(first, second)
    assert between == pytest.approx(ranking.area_between(second, first), abs=1e-12)
    assert ranking.area_between(first, first) == 0
    assert between >= abs(ranking.area(*first) - ranking.area(*second)) - 1e-12


def test_crossing_curves_do_not_cancel() -> None:
    up, down = (np.array([1, 1]), np.array([1, 1])), (np.array([1, 0, 1]), np.array([0, 2, 0]))
    # `down` climbs from (0.5, 0) to (0.5, 1): below the diagonal `up` for half of the rates, above it for the other
    assert ranking.area(*down) == ranking.area(*up) == 0.5
    assert ranking.area_between(up, down) == pytest.approx(0.25, abs=1e-12)


def test_a_group_without_a_label_has_no_area() -> None:
    counts = count(np.array(["a", "a", "b", "b"]), np.array([True, False, False, False]), np.full(4, 0.5))
    assert np.isnan(ranking.group_areas(counts)).tolist() == [False, True]
    assert np.isnan(ranking.average_precision(counts.cells[1, 0], counts.cells[1, 1]))


def test_means_are_those_of_the_rows_also_off_the_centres() -> None:
    rng = np.random.default_rng(1)
    n = 3000
    group, scores = rng.choice(["a", "b"], n), rng.random(n)
    truth = rng.random(n) < scores
    counts = count(group, truth, scores)
    for g, name in enumerate(counts.names):
        mine = group == name
        y, s = truth[mine], scores[mine]
        assert calibration.mean_score(counts, g).value == pytest.approx(s.mean(), abs=1e-12)
        assert calibration.calibration_in_the_large(counts, g).value == pytest.approx(s.mean() - y.mean(), abs=1e-12)
        assert calibration.brier_score(counts, g).value == pytest.approx(brier_score_loss(y, s), abs=1e-12)
        assert calibration.log_loss(counts, g).value == pytest.approx(log_loss(y, s), abs=1e-10)
        band = np.minimum((s * 10).astype(int), 9)
        error = sum(abs((s - y)[band == b].sum()) for b in range(10)) / mine.sum()
        assert calibration.calibration_errors(calibration.bands_of(counts))[g] == pytest.approx(error, abs=1e-12)
        plain = calibration.log_loss(counts, g).interval()
        losses = -np.log(np.where(y, s, 1 - s))
        assert (plain.upper - plain.value) == pytest.approx(1.95996 * losses.std(ddof=1) / mine.sum() ** 0.5, rel=1e-4)


def test_scores_of_zero_and_one_keep_a_finite_log_loss() -> None:
    group, truth = np.array(["a", "b"] * 2), np.array([True, False, False, True])
    counts = count(group, truth, np.array([0.0, 0.0, 1.0, 1.0])).margin([])
    assert calibration.log_loss(counts, 0).value == pytest.approx(log_loss(truth, [0.0, 0.0, 1.0, 1.0]), rel=1e-9)


def test_reliability_counts_rows_per_band() -> None:
    group, truth, scores = people(4)
    table = calibration.reliability(count(group, truth, scores)).to_pylist()
    assert sum(record["n"] for record in table) == len(scores)
    record = next(r for r in table if r["group"] == "b" and r["low"] == 0.3)
    inside = (group == "b") & (scores >= 0.3) & (scores < 0.4)
    assert record["rate"] == pytest.approx(truth[inside].mean())
    assert record["score"] == pytest.approx(scores[inside].mean())
    assert record["lower"] < record["rate"] < record["upper"]


def test_intervals_cover_calibrated_and_overconfident_scores() -> None:
    rng = np.random.default_rng(5)
    covered = {"error": 0, "large": 0, "brier": 0, "error off": 0}
    runs, n = 200, 400
    for _ in range(runs):
        scores = rng.beta(2, 3, n)
        truth = rng.random(n) < scores
        counts = count(np.array(["a", "b"] * (n // 2)), truth, scores).margin([])
        bands = calibration.bands_of(counts)
        error, chance = calibration.calibration_error_interval(bands, 0, 0.95, rng, 500)
        covered["error"] += error.lower == 0
        large = calibration.calibration_in_the_large(counts, 0).interval()
        covered["large"] += large.lower <= 0 <= large.upper
        brier = calibration.brier_score(counts, 0).interval()
        covered["brier"] += brier.lower <= 0.2 <= brier.upper  # E[s(1 - s)] of Beta(2, 3) = 6/30
        assert 0.02 < chance < 0.08
        off = count(np.array(["a", "b"] * (n // 2)), rng.random(n) < scores / 2, scores).margin([])
        error, _ = calibration.calibration_error_interval(calibration.bands_of(off), 0, 0.95, rng, 500)
        covered["error off"] += error.lower <= 0.2 <= error.upper  # E[s - s / 2] = 0.2
    for name, times in covered.items():
        assert times / runs >= 0.92, name


def test_areas_differences_cover_their_truth_and_seldom_see_gaps_that_are_not() -> None:
    rng = np.random.default_rng(6)
    false, found, runs = 0, 0, 150
    for _ in range(runs):
        group = np.repeat(["a", "b", "c", "d"], 100)
        truth = rng.random(400) < 0.5
        logit = rng.normal(truth, 1.0)
        counts = count(group, truth, 1 / (1 + np.exp(-logit)))
        false += ranking.widest_difference(counts)[0].lower > 0
        shifted = np.where(group == "d", logit + 2.5, logit)
        estimate, pair = ranking.widest_difference(count(group, truth, 1 / (1 + np.exp(-shifted))), crossed=True)
        found += estimate.lower > 0.3 and pair[0] == "d"
    assert false / runs <= 0.05
    assert found / runs >= 0.95


def rows_of(seed: int = 7) -> list[MetricRow]:
    group, truth, scores = people(seed)
    group = np.append(group, ["tiny"] * 5)
    return metrics.score_rows(count(group, np.append(truth, [True] * 5), np.append(scores, [0.5] * 5)), QUICK, "test")


def test_rows_judge_large_groups_and_name_small_ones() -> None:
    rows = rows_of()
    for metric in ("score_auc", "average_precision", "mean_score", "calibration_in_the_large", "calibration_error",
                   "brier_score", "log_loss"):  # fmt: skip
        mine = {row.group: row for row in select(rows, metric=metric)}
        assert set(mine) == {"", "a", "b", "c", "tiny"}
        assert mine["tiny"].status == "insufficient"
        assert "only 5" in mine["tiny"].reason
        for name in ("", "a", "b", "c"):
            assert mine[name].lower <= mine[name].value <= mine[name].upper
    for metric in metrics.MEANS:
        (gap,) = select(rows, metric=f"{metric}_difference")
        values = {row.group: row.value for row in select(rows, metric=metric) if row.group and row.status == "ok"}
        assert gap.value == pytest.approx(max(values.values()) - min(values.values()), abs=1e-12)
        assert gap.detail == f"{max(values, key=values.__getitem__)} – {min(values, key=values.__getitem__)}"
        assert gap.lower <= gap.value <= gap.upper
        assert gap.unjudged == ("tiny",)
    for metric in ("auc_difference", "cross_auc_difference"):
        (gap,) = select(rows, metric=metric)
        assert gap.unjudged == ("tiny",)
        # both xAUC of a and b are those of normals 1.5 apart: only their own AUCs differ
        assert (gap.lower > 0) == (metric == "auc_difference")
    assert {row.group for row in select(rows, metric="abroca")} == {"b", "c", "tiny"}
    assert select(rows, metric="abroca", group="b")[0].lower > 0
    assert select(rows, metric="abroca", group="c")[0].lower == 0
    assert rows == rows_of()


def test_one_group_that_can_be_judged_is_no_comparison() -> None:
    group = np.array(["a"] * 100 + ["b"] * 10)
    truth = np.array([True, False] * 55)
    rows = metrics.score_rows(count(group, truth, np.linspace(0, 1, 110)), QUICK)
    assert {row.status for row in rows if row.metric in ("auc_difference", "cross_auc_difference", "abroca")} == {
        "insufficient"
    }


def test_many_areas_at_once_are_each_its_own() -> None:
    rng = np.random.default_rng(2)
    cells = rng.integers(0, 5, (2, 2, 40, 20))
    cells[..., 0] += 1
    together = ranking.areas_between((cells[0, 0], cells[0, 1]), (cells[1, 0], cells[1, 1]))
    for at, found in enumerate(together):
        first, second = (cells[0, 0, at], cells[0, 1, at]), (cells[1, 0, at], cells[1, 1, at])
        a, b = (np.array([0, *np.cumsum(side[::-1])]) / side.sum() for side in (first[0], second[0]))
        fine = np.unique([*np.linspace(0, 1, 20_001), *a, *b])
        heights = [
            np.interp(fine + 1e-12, x, np.array([0, *np.cumsum(side[1][::-1])]) / side[1].sum())
            for x, side in ((a, first), (b, second))
        ]
        difference = np.abs(heights[0] - heights[1])
        walked = float(np.sum(np.diff(fine) * (difference[1:] + difference[:-1]) / 2))
        assert found == pytest.approx(walked, abs=2e-3)
        assert found == pytest.approx(ranking.area_between(first, second), abs=1e-12)


@pytest.mark.parametrize("sizes", [(400, 400), (1000, 60, 60), (300,) * 6])
def test_differences_of_means_cover_the_truth_for_all_pairs_at_once(sizes: tuple[int, ...]) -> None:
    rng = np.random.default_rng(9)
    runs, sure = 200, dict.fromkeys(metrics.MEANS, 0)
    group = np.repeat([f"g{at}" for at in range(len(sizes))], sizes)
    for _ in range(runs):
        scores = rng.beta(1.5, 3, len(group))
        counts = count(group, rng.random(len(group)) < scores, scores)
        for metric, kind in metrics.MEANS.items():
            means = [kind.of(counts, g) for g in range(len(sizes))]
            found, _ = metrics.widest([mean.value for mean in means], [mean.error for mean in means], 0.95)
            sure[metric] += found.lower > 0
    for metric, times in sure.items():
        assert times / runs <= 0.08, metric  # 0.05 is promised; 200 runs tell 0.08 from it
