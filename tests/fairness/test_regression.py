"""Numbers by group: equal to scikit-learn and scipy, intervals that hold, gaps that hold for all pairs at once."""

from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from auditkit.errors import InputError
from auditkit.evidence.metrics import Findings, MetricRow, select
from auditkit.fairness.counting.counts import GroupCodes
from auditkit.fairness.groups.gaps import worst
from auditkit.fairness.outcomes.comparisons import groupings
from auditkit.fairness.outcomes.distances import Histogram, cuts_of, distances, farthest
from auditkit.fairness.outcomes.measures import MEASURES, estimates, top_share
from auditkit.fairness.outcomes.regression import DISTANCES, regression_findings
from auditkit.fairness.outcomes.regression_view import regression_sections
from auditkit.fairness.settings import Settings
from auditkit.gates import judge
from auditkit.spec import Gate
from auditkit.statistics.error_moments import Moments

QUICK = Settings(replicates=400)


def people(codes: np.ndarray, names: str = "abcdefgh") -> GroupCodes:
    return GroupCodes(("sex",), tuple((name,) for name in names[: int(codes.max()) + 1]), codes.astype(np.int64), {})


def only(rows: list[MetricRow], **where: str) -> MetricRow:
    (row,) = select(rows, **where)
    return row


def drawn(seed: int = 0, rows: int = 900, groups: int = 3) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Codes, labels, predictions, weights."""
    rng = np.random.default_rng(seed)
    codes, truth = rng.integers(groups, size=rows), rng.gamma(3, 1000, rows)
    return codes, truth, truth * 0.8 + rng.normal(50 * codes, 300), rng.uniform(0.5, 3, rows)


@pytest.mark.parametrize("weighted", [False, True])
def test_every_number_is_that_of_scikit_learn_by_group(weighted: bool) -> None:
    import sklearn.metrics as sk
    from fairlearn.metrics import MetricFrame, mean_prediction

    codes, truth, predicted, weights = drawn()
    found = regression_findings(people(codes), truth, predicted, QUICK, weights if weighted else None)
    metrics = {
        "mean_prediction": mean_prediction,
        "mean_absolute_error": sk.mean_absolute_error,
        "root_mean_squared_error": sk.root_mean_squared_error,
        "r2": sk.r2_score,
    }
    w = weights if weighted else np.ones_like(weights)
    frame = MetricFrame(
        metrics=metrics, y_true=truth, y_pred=predicted, sensitive_features=np.array(list("abc"))[codes],
        sample_params={name: {"sample_weight": w} for name in metrics},
    )  # fmt: skip
    for name in metrics:
        assert only(found.metrics, metric=name, attribute="").value == pytest.approx(frame.overall[name], rel=1e-12)
        for group in "abc":
            assert only(found.metrics, metric=name, group=group).value == pytest.approx(
                frame.by_group[name][group], rel=1e-12
            )
    for name, gap in (("mean_prediction", "difference"), ("mean_absolute_error", "ratio"), ("r2", "difference")):
        expected = getattr(frame, gap)(method="between_groups")[name]
        assert only(found.metrics, metric=f"{name}_{gap}").value == pytest.approx(expected, rel=1e-11)


def test_bias_and_its_gap_by_hand() -> None:
    codes = np.repeat([0, 1], 40)
    truth = np.tile(np.arange(40.0), 2)
    predicted = truth + np.where(codes == 0, 1.0, -2.0) + np.tile([0.5, -0.5], 40)
    found = regression_findings(people(codes), truth, predicted, QUICK)
    row = only(found.metrics, metric="mean_error", group="b")
    assert row.value == pytest.approx(-2.0)
    # the spread of ±0.5 over 40 rows: 0.5·√(40/39)/√40 standard errors, Student's t with 39 degrees of freedom
    assert row.upper - row.value == pytest.approx(2.0226909 * 0.5 / np.sqrt(39), rel=1e-6)
    gap = only(found.metrics, metric="mean_error_difference")
    assert gap.value == pytest.approx(3.0)
    assert gap.detail == "a – b"
    assert gap.lower < 3.0 < gap.upper


def test_fair_predictions_pass_and_unfair_ones_fail_a_gate_by_name() -> None:
    rng = np.random.default_rng(3)
    codes, truth = np.repeat([0, 1], 2000), rng.normal(50, 5, 4000)
    policy = {
        "mean_prediction_difference": Gate(at_most=2.0),
        "mean_absolute_error_ratio": Gate(at_least=0.8),
        "prediction_wasserstein_distance": Gate(at_most=2.0),
    }
    fair = regression_findings(people(codes), truth, truth + rng.normal(0, 1, 4000), QUICK)
    assert {result.verdict for result in judge(fair.metrics, policy)} == {"pass"}
    unfair = regression_findings(people(codes), truth, truth + rng.normal(0, 1 + codes) + 3.0 * codes, QUICK)
    assert {result.verdict for result in judge(unfair.metrics, policy)} == {"fail"}


def test_a_small_group_is_named_and_keeps_a_gate_from_passing() -> None:
    codes = np.r_[np.zeros(500), np.ones(500), np.full(12, 2)].astype(int)
    truth = np.random.default_rng(0).normal(size=len(codes))
    found = regression_findings(people(codes), truth, truth + np.random.default_rng(1).normal(size=len(codes)), QUICK)
    gaps = [row for row in found.metrics if row.attribute and not row.group and "p_value" not in row.metric]
    assert {row.unjudged for row in gaps} == {("c",)}
    results = judge(found.metrics, {row.metric: Gate(at_most=1e9) for row in gaps if row.better == "lower"})
    assert {result.verdict for result in results} == {"inconclusive"}
    assert only(found.metrics, metric="r2", group="c").status == "insufficient"


def test_what_has_no_spread_or_no_meaning_is_not_judged() -> None:
    codes, level = np.repeat([0, 1], 50), np.tile(np.arange(50.0), 2)
    perfect = regression_findings(people(codes), level, level, QUICK)
    assert {row.status for row in select(perfect.metrics, metric="mean_absolute_error_ratio")} == {"insufficient"}
    assert "all errors are equal" in only(perfect.metrics, metric="mean_error", group="a").reason
    same = regression_findings(people(codes), np.where(codes == 0, 5.0, level), level, QUICK)
    assert "all labels are equal" in only(same.metrics, metric="r2", group="a").reason
    assert only(same.metrics, metric="r2_difference").status == "insufficient"


def test_input_that_cannot_be_judged_is_refused() -> None:
    codes = people(np.repeat([0, 1], 40))
    good = np.arange(80.0)
    with pytest.raises(InputError, match="predictions are missing or infinite in 1 of 80 rows, first in row 3"):
        regression_findings(codes, good, np.where(good == 2, np.nan, good), QUICK)
    with pytest.raises(InputError, match="labels have shape"):
        regression_findings(codes, good[:79], good, QUICK)
    with pytest.raises(InputError, match="weights must not be negative"):
        regression_findings(codes, good, good, QUICK, -good)


def test_distances_are_refused_with_weights_and_the_rest_is_not() -> None:
    codes, truth, predicted, weights = drawn()
    found = regression_findings(people(codes), truth, predicted, QUICK, weights)
    assert {row.status for row in select(found.metrics, metric=list(DISTANCES))} == {"not applicable"}
    assert only(found.metrics, metric="mean_prediction_difference").status == "ok"
    doubled = regression_findings(people(codes), truth, predicted, QUICK, np.full(len(codes), 7.0))
    plain = regression_findings(people(codes), truth, predicted, QUICK)
    for name in MEASURES:
        for one, other in zip(select(doubled.metrics, metric=name), select(plain.metrics, metric=name), strict=True):
            assert (one.lower, one.upper) == pytest.approx((other.lower, other.upper), rel=1e-9)


@given(st.integers(0, 10_000), st.floats(-1e6, 1e6), st.booleans())
@settings(max_examples=40, deadline=None)
def test_moments_do_not_depend_on_chunks_or_the_order_of_rows(seed: int, offset: float, weighted: bool) -> None:
    rng = np.random.default_rng(seed)
    codes, truth, predicted, weights = drawn(seed, rows=200)
    truth, predicted, w = truth + offset, predicted + offset, weights if weighted else None
    whole = Moments.tally(codes, 3, truth, predicted, w)
    order, cut = rng.permutation(200), int(rng.integers(1, 199))
    parts = [
        Moments.tally(codes[rows], 3, truth[rows], predicted[rows], None if w is None else w[rows])
        for rows in (order[:cut], order[cut:])
    ]
    merged = parts[0].merge(parts[1])
    for measure in MEASURES.values():
        one, other = estimates(whole, measure), estimates(merged, measure)
        np.testing.assert_allclose(one.value, other.value, rtol=1e-7, atol=1e-9)
        np.testing.assert_allclose(one.error, other.error, rtol=1e-6)
    added = merged.added(np.zeros(3, dtype=np.int64), 1)
    together = Moments.tally(np.zeros(200, dtype=np.int64), 1, truth, predicted, w)
    assert estimates(added, MEASURES["r2"]).error == pytest.approx(estimates(together, MEASURES["r2"]).error, rel=1e-6)


def test_where_labels_are_counted_from_makes_no_difference() -> None:
    codes, truth, predicted, weights = drawn()
    found = Moments.tally(codes, 3, truth, predicted, weights)
    for measure in MEASURES.values():
        one, other = estimates(found, measure), estimates(found.moved(-500.0), measure)
        np.testing.assert_allclose(one.value, other.value, rtol=1e-9)
        np.testing.assert_allclose(one.error, other.error, rtol=1e-7)


@given(st.integers(0, 10_000))
@settings(max_examples=15, deadline=None)
def test_findings_do_not_depend_on_the_order_of_rows(seed: int) -> None:
    codes, truth, predicted, _ = drawn(seed, rows=240)
    order = np.random.default_rng(seed).permutation(240)
    found = regression_findings(people(codes), truth, predicted, QUICK).metrics
    again = regression_findings(people(codes[order]), truth[order], predicted[order], QUICK).metrics
    for one, other in zip(found, again, strict=True):
        assert (one.metric, one.group, one.status, one.detail) == (
            other.metric,
            other.group,
            other.status,
            other.detail,
        )
        if one.value is not None:
            assert one.value == pytest.approx(other.value, rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("measure", list(MEASURES))
def test_intervals_hold_in_19_of_20_samples(measure: str) -> None:
    """4,000 samples of 60 rows: normal labels and errors, of which the truth is known."""
    rng, samples, rows = np.random.default_rng(5), 4000, 60
    codes = np.repeat(np.arange(samples), rows)
    truth = rng.normal(10, 2, len(codes))
    moments = Moments.tally(codes, samples, truth, truth + rng.normal(1, 1, len(codes)))
    lower, upper = estimates(moments, MEASURES[measure]).intervals(0.95)
    absolute = np.sqrt(2 / np.pi) * np.exp(-0.5) + (1 - 2 * 0.15865525393)
    known = {"mean_prediction": 11.0, "mean_error": 1.0, "mean_absolute_error": absolute,
             "root_mean_squared_error": np.sqrt(2), "r2": 0.5}[measure]  # fmt: skip
    assert 0.93 <= ((lower <= known) & (known <= upper)).mean() <= 0.97


@pytest.mark.parametrize("sizes", [(400, 400), (30, 60, 120, 240, 480), (30,) * 8])
def test_the_largest_gap_reaches_zero_where_groups_are_alike(sizes: tuple[int, ...]) -> None:
    rng, samples = np.random.default_rng(1), 400
    codes = np.repeat(np.arange(len(sizes)), sizes)
    covered = 0
    for _ in range(samples):
        truth = rng.normal(10, 2, len(codes))
        moments = Moments.tally(codes, len(sizes), truth, truth + rng.normal(0, 1, len(codes)))
        found = estimates(moments, MEASURES["mean_absolute_error"])
        pairs = found.pairs("difference", found.critical(0.95, rng, 1000))
        covered += worst("difference", [pairs])[1] == 0.0
    assert 0.92 <= covered / samples <= 0.985


def test_the_true_largest_gap_lies_within_its_bounds() -> None:
    rng, sizes, samples = np.random.default_rng(2), (50, 100, 200, 400), 400
    codes = np.repeat(np.arange(4), sizes)
    shift = np.array([0.0, 0.1, 0.2, 0.6])
    covered = 0
    for _ in range(samples):
        predicted = rng.normal(0, 1, len(codes)) + shift[codes]
        found = estimates(Moments.tally(codes, 4, np.zeros(len(codes)), predicted), MEASURES["mean_prediction"])
        _, lower, upper = worst("difference", [found.pairs("difference", found.critical(0.95, rng, 1000))])
        covered += lower <= 0.6 <= upper
    assert covered / samples >= 0.94


def test_distances_are_those_of_scipy() -> None:
    from scipy.stats import ks_2samp, wasserstein_distance

    rng = np.random.default_rng(0)
    codes, values = np.repeat([0, 1], [300, 500]), np.round(np.r_[rng.normal(0, 1, 300), rng.normal(0.4, 2, 500)], 2)
    histogram = Histogram.tally(codes, 2, values)
    level, counts = histogram.filled()
    found = distances(np.cumsum(counts, axis=1) / counts.sum(axis=1, keepdims=True), level)
    assert found[0][0] == pytest.approx(wasserstein_distance(values[:300], values[300:]), abs=1e-12)
    assert found[1][0] == pytest.approx(ks_2samp(values[:300], values[300:]).statistic, abs=1e-12)


def test_more_distinct_values_than_bins_cost_little_precision() -> None:
    from scipy.stats import wasserstein_distance

    rng = np.random.default_rng(0)
    codes, values = np.repeat([0, 1], 20_000), np.r_[rng.lognormal(0, 1, 20_000), rng.lognormal(0.1, 1.1, 20_000)]
    far, _ = farthest(Histogram.tally(codes, 2, values), 0.95, rng, 200)
    assert far.value == pytest.approx(wasserstein_distance(values[:20_000], values[20_000:]), rel=0.01)


@given(st.integers(0, 10_000))
@settings(max_examples=30, deadline=None)
def test_histograms_add_up(seed: int) -> None:
    rng = np.random.default_rng(seed)
    codes, values = rng.integers(3, size=200), np.round(rng.normal(size=200), int(rng.integers(0, 3)))
    whole, cuts = Histogram.tally(codes, 3, values), cuts_of(values)
    cut = int(rng.integers(200))
    merged = Histogram.tally(codes[:cut], 3, values[:cut], cuts).merge(
        Histogram.tally(codes[cut:], 3, values[cut:], cuts)
    )
    assert (whole.counts == merged.counts).all()
    np.testing.assert_allclose(whole.sums, merged.sums, rtol=1e-12, atol=1e-12)
    for group in range(3):
        inside = values[codes == group]
        expected = np.quantile(inside, [0.25, 0.5], method="inverted_cdf")
        np.testing.assert_allclose(whole.quantiles(np.array([0.25, 0.5]))[group], expected, atol=1e-12)


def test_distances_keep_their_level_and_reach_zero_where_groups_are_alike() -> None:
    rng, codes = np.random.default_rng(4), np.repeat([0, 1, 2], [50, 100, 200])
    rejected, covered, over = np.zeros(2), np.zeros(2), np.zeros(2)
    samples = 120
    for _ in range(samples):
        for at, far in enumerate(farthest(Histogram.tally(codes, 3, rng.normal(size=350)), 0.95, rng, 200)):
            rejected[at] += far.p_value <= 0.05
            covered[at] += far.lower == 0.0
            over[at] += far.value / far.chance / samples
    assert (rejected / samples <= 0.11).all()  # 0.05 and three standard errors
    assert (covered / samples >= 0.90).all()
    assert over == pytest.approx([1.0, 1.0], abs=0.1)


def test_the_true_distance_lies_within_its_interval() -> None:
    rng, codes = np.random.default_rng(4), np.repeat([0, 1], 200)
    inside = np.zeros(2)
    for _ in range(100):
        found = farthest(Histogram.tally(codes, 2, rng.normal(size=400) + 0.5 * codes), 0.95, rng, 200)
        # two normals half a standard deviation apart: W1 = 0.5, KS = 2·Φ(0.25) - 1
        inside += [far.lower <= true <= far.upper for far, true in zip(found, (0.5, 0.19741), strict=True)]
    assert (inside >= 93).all()


def test_a_few_rows_that_carry_the_squared_error_are_pointed_out() -> None:
    codes = np.repeat([0, 1], 1000)
    truth = np.random.default_rng(0).normal(size=2000)
    predicted = truth + np.random.default_rng(1).normal(size=2000)
    assert not regression_findings(people(codes), truth, predicted, QUICK).caveats
    predicted[:3] += 100
    texts = [caveat.text for caveat in regression_findings(people(codes), truth, predicted, QUICK).caveats]
    assert len(texts) == 2
    assert "of a (sex)" in texts[1]
    assert top_share(np.zeros(10)) == 0.0


def test_intersections_are_compared_and_everybody_stands_first() -> None:
    both = GroupCodes(("sex", "age"), (("f", "old"), ("f", "young"), ("m", "old")), np.tile([0, 1, 2], 50), {})
    assert [found.attribute for found in groupings(both, QUICK)[0]] == ["", "sex", "age", "sex × age"]
    rng = np.random.default_rng(0)
    found = regression_findings(both, rng.normal(size=150), rng.normal(size=150), QUICK)
    assert only(found.metrics, metric="mean_error", attribute="sex", group="f").n == 100
    assert only(found.metrics, metric="mean_error_difference", attribute="sex × age").status == "ok"


def evidence(found: Findings) -> SimpleNamespace:
    tables = {f"fairness/{name}": table for name, table in found.tables.items()}
    return SimpleNamespace(rows=found.metrics, table=tables.get, caveats=found.caveats, info={})


def test_sections_show_every_group_and_escape_its_name() -> None:
    codes, truth, predicted, _ = drawn()
    groups = GroupCodes(("sex",), (("<b>x</b>",), ("y",), ("z",)), codes, {})
    made = regression_sections(evidence(regression_findings(groups, truth, predicted, QUICK)))
    assert [section.key for section in made] == ["regression-gaps", "regression-numbers-0", "regression-predictions-0"]
    assert made[1].table.column("group").to_pylist() == ["<b>x</b>", "y", "z"]
    assert "&lt;b&gt;x&lt;/b&gt;" in made[1].figure.layout.yaxis.ticktext[0]
    assert regression_sections(evidence(Findings())) == []
    without = evidence(regression_findings(groups, truth, predicted, QUICK))
    without.table = lambda name: None
    assert [section.key for section in regression_sections(without)] == ["regression-gaps", "regression-numbers-0"]
