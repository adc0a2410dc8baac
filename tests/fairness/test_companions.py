"""P-values, detectable gaps and shrunken rates from counts: truth where known, a reason where there is too little."""

from pathlib import Path

import numpy as np
import pytest
from scipy.stats import ttest_ind

from auditkit.evidence.metrics import MetricRow, select
from auditkit.fairness.check import check_predictions
from auditkit.fairness.counting.counts import Counts
from auditkit.fairness.counting.table import read_predictions
from auditkit.fairness.groups.companions import EQUALIZED_ODDS, SHRUNKEN, TESTED, companions
from auditkit.fairness.groups.definitions import RATES
from auditkit.fairness.settings import Settings
from auditkit.statistics.multiplicity import holm

QUICK = Settings(replicates=999)
METRICS = ("any_gap_p_value", "any_gap_p_value_adjusted", "smallest_detectable_gap")


def counts_of(*cells: tuple[int, int, int, int]) -> Counts:
    """Counts of one attribute with groups a, b, …; each as (tn, fp, fn, tp)."""
    names = tuple((chr(ord("a") + place),) for place in range(len(cells)))
    return Counts(("sex",), names, np.array(cells, dtype=np.int64).reshape(-1, 2, 2))


def crossed(rng: np.random.Generator, rows: int = 4000) -> Counts:
    """Two attributes, all groups alike."""
    groups = tuple((a, b) for a in "fm" for b in "xyz")
    return Counts(("sex", "race"), groups, rng.multinomial(rows, np.tile([0.4, 0.2, 0.1, 0.3], 6) / 6).reshape(6, 2, 2))


def only(rows: list[MetricRow], **where: str) -> MetricRow:
    (row,) = select(rows, **where)
    return row


def compas(real_data: Path) -> Counts:
    predictions = read_predictions(
        real_data / "compas_two_years.csv", "two_year_recid", "decile_score", sensitive=["race", "sex"], threshold=5
    )
    return check_predictions(predictions, replicates=200).counts


def test_compas_false_positive_rates_differ_by_race_beyond_doubt(real_data: Path) -> None:
    """On actual negatives the p-value of Black against White is 2.7e-38; on predicted positives it would be 0.05."""
    counts = compas(real_data)
    rows, _ = companions(counts, Settings())
    row = only(rows, metric="any_gap_p_value", attribute="race", detail="false_positive_rate")
    assert row.value == 1 / 10_001
    assert "none as extreme" in row.method
    race = counts.margin(["race"])
    assert row.n == sum(race.cells[:, 0].sum(axis=1)[[name not in row.unjudged for name in race.names]])
    black, white = (race.cells[race.groups.index((name,))] for name in ("African-American", "Caucasian"))
    pair = Counts(("race",), (("black",), ("white",)), np.stack([black, white]))
    rows, _ = companions(pair, Settings())
    assert only(rows, metric="any_gap_p_value", detail="false_positive_rate").value == 1 / 10_001
    assert t_test(black[0, 1], black[0].sum(), white[0, 1], white[0].sum()) == pytest.approx(2.7e-38, rel=0.02)
    assert t_test(black[0, 1], black[:, 1].sum(), white[0, 1], white[:, 1].sum()) == pytest.approx(0.0504, abs=5e-5)


def t_test(k: int, n: int, other_k: int, other_n: int) -> float:
    """Student's, of two rates."""
    first, second = (np.repeat([1, 0], [hits, rows - hits]) for hits, rows in ((k, n), (other_k, other_n)))
    return float(ttest_ind(first, second).pvalue)


def test_every_attribute_and_intersection_has_its_rows() -> None:
    rows, shrunken = companions(crossed(np.random.default_rng(0)), QUICK, "test")
    attributes = ["sex", "race", "sex × race"]
    for metric in METRICS[:2]:
        found = select(rows, metric=metric)
        assert [(row.attribute, row.detail) for row in found] == [
            (a, test) for a in attributes for test in (*TESTED, EQUALIZED_ODDS)
        ]
    assert [row.attribute for row in select(rows, metric=METRICS[2])] == attributes
    assert {row.split for row in rows} == {"test"}
    assert all(row.status == "ok" for row in rows)
    assert shrunken.schema == SHRUNKEN
    assert shrunken.num_rows == len(RATES) * (2 + 3 + 6)
    alone, _ = companions(crossed(np.random.default_rng(0)), Settings(replicates=999, intersections=False))
    assert {row.attribute for row in alone} == {"sex", "race"}


def test_adjusted_values_are_holms_over_all_tests() -> None:
    rows, _ = companions(crossed(np.random.default_rng(1)), QUICK)
    raw, adjusted = (select(rows, metric=metric) for metric in METRICS[:2])
    assert [row.value for row in adjusted] == holm([row.value for row in raw]).tolist()
    assert {row.method for row in adjusted} == {"Holm over 12 tests"}


def test_under_parity_hardly_any_family_has_a_false_alarm() -> None:
    """200 audits of nothing: one of 12 adjusted p-values is below 0.05 in at most 5 %, raw ones far more often."""
    rng, settings = np.random.default_rng(2), Settings(replicates=299)
    alarms, raw_alarms = 0, 0
    for _ in range(200):
        rows, _ = companions(crossed(rng, 1500), settings)
        alarms += min(row.value for row in select(rows, metric=METRICS[1])) <= 0.05
        raw_alarms += min(row.value for row in select(rows, metric=METRICS[0])) <= 0.05
    assert alarms / 200 <= 0.05 + 0.03
    assert raw_alarms > 3 * alarms


def test_a_raw_p_value_does_not_depend_on_the_other_attributes_or_the_order_of_groups() -> None:
    counts = crossed(np.random.default_rng(3))
    rows, _ = companions(counts, QUICK)
    alone, _ = companions(counts.margin(["race"]), QUICK)
    reverse, _ = companions(Counts(counts.attributes, counts.groups[::-1], counts.cells[::-1]), QUICK)
    of_race = {row.detail: row.value for row in select(rows, metric=METRICS[0], attribute="race")}
    assert {row.detail: row.value for row in select(alone, metric=METRICS[0])} == of_race
    assert {row.detail: row.value for row in select(reverse, metric=METRICS[0], attribute="race")} == of_race
    assert companions(counts, QUICK)[0] == rows


def test_the_gap_that_could_have_been_found_is_found_four_times_in_five() -> None:
    """Two groups that far apart in selection rate: the permutation test at 0.05 rejects with power 0.8."""
    row = only(companions(counts_of((140, 60, 60, 140), (210, 90, 90, 210)), QUICK)[0], metric=METRICS[2])
    assert (row.unit, row.better, row.detail) == ("points", "lower", "selection_rate")
    rng, found = np.random.default_rng(4), 0
    for seed in range(400):
        first = rng.binomial(400, 0.5 + row.value * 600 / 1000)
        second = rng.binomial(600, 0.5 - row.value * 400 / 1000)
        rows, _ = companions(
            counts_of((400 - first, first, 0, 0), (600 - second, second, 0, 0)), Settings(seed=(seed,), replicates=199)
        )
        found += only(rows, metric=METRICS[0], detail="selection_rate").value <= 0.05
    assert found / 400 == pytest.approx(0.8, abs=0.06)


def test_more_groups_hide_larger_gaps() -> None:
    alike = (140, 60, 60, 140)
    two, six = (only(companions(counts_of(*[alike] * g), QUICK)[0], metric=METRICS[2]) for g in (2, 6))
    assert two.value < six.value
    assert "15 pairs" in six.method


def test_a_small_group_is_named_and_left_out_but_has_a_shrunken_rate() -> None:
    rows, shrunken = companions(counts_of((500, 200, 100, 200), (400, 300, 100, 200), (0, 0, 2, 0)), QUICK)
    assert all(row.unjudged == ("c",) for row in rows)
    assert {row.n for row in select(rows, detail="selection_rate")} == {2000}
    record = next(r for r in shrunken.to_pylist() if r["group"] == "c" and r["rate"] == "true_positive_rate")
    assert (record["n"], record["raw"]) == (2, 0)
    assert 0.5 < record["shrunken"] < 0.75
    nothing = next(r for r in shrunken.to_pylist() if r["group"] == "c" and r["rate"] == "false_positive_rate")
    assert [nothing[name] for name in ("n", "raw", "shrunken", "lower", "upper")] == [0, None, None, None, None]


def test_too_few_groups_give_no_number_and_say_why() -> None:
    rows, shrunken = companions(counts_of((500, 200, 100, 200), (400, 300, 0, 0), (5, 5, 5, 5)), QUICK)
    for metric in METRICS[:2]:
        row = only(rows, metric=metric, detail="true_positive_rate")
        assert (row.status, row.value) == ("insufficient", None)
        assert "only 'a' has at least 30 rows with a positive label" in row.reason
    assert only(rows, metric=METRICS[1], detail="selection_rate").method == "Holm over 2 tests"
    rows, _ = companions(counts_of((5, 5, 5, 5), (5, 5, 5, 5)), QUICK)
    assert {row.status for row in rows} == {"insufficient"}
    assert all("no group has at least 30 rows" in row.reason for row in rows)
    assert len(shrunken) == 3 * len(RATES)


def test_a_rate_that_nobody_varies_in_has_no_detectable_gap() -> None:
    rows, _ = companions(counts_of((500, 0, 100, 0), (400, 0, 100, 0)), QUICK)
    assert only(rows, metric=METRICS[0], detail="selection_rate").value == 1
    row = only(rows, metric=METRICS[2])
    assert row.status == "insufficient"
    assert "spread is unknown" in row.reason


def test_groups_too_small_for_any_gap_say_so() -> None:
    rows, _ = companions(counts_of((30, 1, 0, 0), (30, 0, 0, 0)), QUICK)
    row = only(rows, metric=METRICS[2])
    assert row.status == "insufficient"
    assert "too small to show any gap" in row.reason


def test_too_many_groups_and_too_many_rows_are_refused_by_row() -> None:
    rng = np.random.default_rng(0)
    groups = tuple((f"{i:02d}", f"{j:02d}") for i in range(20) for j in range(20))
    rows, shrunken = companions(Counts(("a", "b"), groups, rng.integers(50, 200, (400, 2, 2))), Settings(replicates=99))
    for row in select(rows, attribute="a × b"):
        assert (row.status, row.reason) == ("insufficient", "400 groups are more than the 200 that can be compared")
    assert set(shrunken["attribute"].to_pylist()) == {"a", "b"}
    huge = 10**9
    rows, _ = companions(counts_of((huge, huge, 5, 5), (huge, huge, 5, 5)), QUICK)
    row = only(rows, metric=METRICS[0], detail="selection_rate")
    assert (row.status, row.value) == ("not applicable", None)
