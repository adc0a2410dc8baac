"""What is inferred from counts: coverage, statuses, and that nothing is judged on too few rows."""

import numpy as np
import pytest

from auditkit.evidence.metrics import MetricRow, select
from auditkit.fairness.counting.counts import Counts
from auditkit.fairness.groups.definitions import GAPS, RATES
from auditkit.fairness.groups.inference import infer, subsets
from auditkit.fairness.settings import Settings
from auditkit.gates import judge, overall
from auditkit.spec import Gate


def counts_of(*cells: tuple[int, int, int, int], attribute: str = "sex") -> Counts:
    """Counts of one attribute with groups a, b, …; each as (tn, fp, fn, tp)."""
    names = tuple((chr(ord("a") + place),) for place in range(len(cells)))
    return Counts((attribute,), names, np.array(cells, dtype=np.int64).reshape(-1, 2, 2))


def rows_of(counts: Counts, **settings: object) -> list[MetricRow]:
    found = infer(counts, Settings(replicates=1000, **settings))  # type: ignore[arg-type]
    return found.rates + found.gaps


def only(rows: list[MetricRow], **where: str) -> MetricRow:
    (row,) = select(rows, **where)
    return row


def test_rates_and_signed_differences_are_covered_as_often_as_promised() -> None:
    """500 draws of two groups: true rates and their difference lie within the 95 % intervals in 93 to 97 %."""
    rng = np.random.default_rng(20)
    sizes, shares = (900, 500), np.array([[0.52, 0.13, 0.12, 0.23], [0.40, 0.10, 0.20, 0.30]])
    truth = {"selection_rate": (0.36, 0.40), "true_positive_rate": (0.23 / 0.35, 0.6), "accuracy": (0.75, 0.70)}
    draws, rate_hits, difference_hits = 500, dict.fromkeys(truth, 0), dict.fromkeys(truth, 0)
    for seed in range(draws):
        drawn = counts_of(*(tuple(rng.multinomial(n, p)) for n, p in zip(sizes, shares, strict=True)))
        found = infer(drawn, Settings(replicates=600, intersections=False, seed=(seed,)))
        pairs = {pair["metric"]: pair for pair in found.pairs}
        for metric, (first, second) in truth.items():
            row = only(found.rates, metric=metric, group="a")
            rate_hits[metric] += row.lower <= first <= row.upper
            difference_hits[metric] += pairs[metric]["lower"] <= first - second <= pairs[metric]["upper"]
    for hits in (*rate_hits.values(), *difference_hits.values()):
        assert 0.93 <= hits / draws <= 0.97


def test_equalized_odds_covers_parity() -> None:
    rng = np.random.default_rng(21)
    hits = 0
    for seed in range(150):
        drawn = counts_of(*(tuple(rng.multinomial(n, [0.5, 0.2, 0.1, 0.2])) for n in (1500, 400, 250)))
        found = infer(drawn, Settings(replicates=500, seed=(seed,)))
        row = only(found.gaps, metric="equalized_odds_difference")
        hits += row.lower == 0
    assert hits / 150 >= 0.91


@pytest.mark.parametrize("metric", list(RATES))
def test_an_interval_is_never_a_point(metric: str) -> None:
    """A rate of 0 or 1 still has an interval of positive length."""
    rows = rows_of(counts_of((40, 0, 0, 40), (0, 40, 40, 0)))
    for row in select(rows, metric=metric):
        assert row.upper - row.lower > 0.01
    assert "Wilson" in only(rows, metric="accuracy", group="a").method


def test_many_rows_are_bootstrapped() -> None:
    row = only(rows_of(counts_of((500, 200, 100, 200), (400, 300, 100, 200))), metric="selection_rate", group="a")
    assert row.method == "percentile bootstrap, 1,000 resamples"
    assert row.n == 1000


def test_a_small_group_is_named_and_not_judged() -> None:
    rows = rows_of(counts_of((500, 200, 100, 200), (400, 300, 100, 200), (10, 5, 3, 4)))
    small = only(rows, metric="selection_rate", group="c")
    assert (small.status, small.value, small.lower) == ("insufficient", None, None)
    assert small.reason == "only 22 rows, fewer than the 30 needed to judge"
    gap = only(rows, metric="demographic_parity_difference")
    assert gap.unjudged == ("c",)
    assert gap.value == pytest.approx(0.1)


def test_a_rate_over_no_rows_is_no_rate() -> None:
    rows = rows_of(counts_of((500, 200, 100, 200), (400, 300, 0, 0)))
    row = only(rows, metric="true_positive_rate", group="b")
    assert (row.status, row.reason) == ("insufficient", "no rows with a positive label")
    gap = only(rows, metric="equal_opportunity_difference")
    assert gap.status == "insufficient"
    assert "only 'a' has at least 30 rows with a positive label" in gap.reason
    assert only(rows, metric="equalized_odds_ratio").unjudged == ("b",)


def test_a_ratio_of_zeros_is_no_ratio() -> None:
    rows = rows_of(counts_of((500, 0, 100, 0), (400, 0, 100, 0)))
    ratio = only(rows, metric="demographic_parity_ratio")
    assert ratio.status == "insufficient"
    assert "there is no ratio" in ratio.reason
    assert only(rows, metric="demographic_parity_difference").value == 0


def test_one_group_without_selections_has_ratio_zero_and_an_interval() -> None:
    row = only(rows_of(counts_of((100, 0, 100, 0), (100, 40, 20, 40))), metric="demographic_parity_ratio")
    assert row.value == row.lower == 0
    assert 0 < row.upper < 0.3
    assert row.detail == "a / b"


@pytest.mark.parametrize("gap", list(GAPS))
def test_what_cannot_be_judged_never_passes_a_gate(gap: str) -> None:
    alike = (500, 200, 100, 200)
    gate = Gate(at_most=1.0) if GAPS[gap].kind == "difference" else Gate(at_least=0.0)
    assert overall(judge(rows_of(counts_of(alike, alike)), {gap: gate})) == "pass"
    assert overall(judge(rows_of(counts_of(alike, alike, (3, 2, 1, 1))), {gap: gate})) == "inconclusive"
    assert overall(judge(rows_of(counts_of(alike, (3, 2, 1, 1))), {gap: gate})) == "inconclusive"


def test_four_fifths_is_the_demographic_parity_ratio() -> None:
    rows = rows_of(counts_of((500, 200, 100, 200), (400, 100, 100, 100)))
    one, other = (only(rows, metric=name) for name in ("four_fifths", "demographic_parity_ratio"))
    assert (one.value, one.lower, one.upper, one.detail) == (other.value, other.lower, other.upper, other.detail)


def test_equalized_odds_is_the_worse_rate_and_says_which() -> None:
    rows = rows_of(counts_of((500, 500, 500, 500), (800, 200, 450, 550)))
    row = only(rows, metric="equalized_odds_difference")
    assert row.value == pytest.approx(0.3)
    assert row.detail == "a – b (false positive rate)"
    plain = only(rows, metric="predictive_equality_difference")
    assert row.lower < plain.lower
    assert row.upper > plain.upper


def test_the_same_seed_gives_the_same_rows() -> None:
    counts = counts_of((500, 200, 100, 200), (400, 300, 100, 200))
    assert rows_of(counts, seed=(5,)) == rows_of(counts, seed=(5,))
    assert rows_of(counts, seed=(5,)) != rows_of(counts, seed=(6,))


def test_four_attributes_are_crossed_in_pairs() -> None:
    assert len(subsets("abc")) == 7
    assert [len(subset) for subset in subsets("abcd")] == [1] * 4 + [2] * 6
    assert subsets("ab", intersections=False) == [("a",), ("b",)]


def test_too_many_intersections_are_left_out_and_said() -> None:
    rng = np.random.default_rng(0)
    groups = tuple((f"{i:02d}", f"{j:02d}") for i in range(20) for j in range(20))
    found = infer(Counts(("a", "b"), groups, rng.integers(5, 20, (400, 2, 2))), Settings(replicates=200))
    assert found.left_out == ["a × b"]
    crossed = [row for row in found.gaps if row.attribute == "a × b"]
    assert {row.status for row in crossed} == {"insufficient"}
    assert "400 groups are more than" in crossed[0].reason
