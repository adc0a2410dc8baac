"""A short run of the simulations behind `python -m benchmarks fairness_validity`, which is where the evidence stands.

Bounds leave the shares that are asked for three and a half standard errors of their draws, so that a line that keeps
its promise fails here once in some thousand changes of the random numbers.
"""

import pytest

from benchmarks.validity.families import family_wise
from benchmarks.validity.gaps import equalized_odds, largest_gap, power
from benchmarks.validity.intervals import areas, calibration, rates_and_gaps, true_calibration_error
from benchmarks.validity.line import COVERED, RARE, line

LEEWAY = 3.5


def found(line: dict[str, str]) -> tuple[float, float]:
    """The share and its leeway."""
    return float(line["found"]), LEEWAY * float(line["standard error"])


def assert_kept(lines: list[dict[str, str]], low: float, high: float) -> None:
    assert lines
    for one in lines:
        share, leeway = found(one)
        assert low - leeway <= share <= high + leeway, one


@pytest.mark.parametrize("size", ["balanced, 200 and 200", "1 % minority, 9,900 and 100"])
def test_rates_differences_and_ratios_are_covered(size: str) -> None:
    assert_kept(rates_and_gaps(size, "apart, 0.30 and 0.42 selected", 120), 0.93, 0.97)


@pytest.mark.parametrize("size", ["balanced, 200 and 200", "1 % minority, 9,900 and 100"])
def test_areas_under_the_curve_are_covered(size: str) -> None:
    assert_kept(areas(size, 1.0, 150), 0.93, 0.97)


@pytest.mark.parametrize("stated", ["calibrated", "overconfident"])
def test_calibration_errors_are_covered(stated: str) -> None:
    assert_kept(calibration("1 % minority, 9,900 and 100", stated, 150), 0.93, 1.0)


@pytest.mark.parametrize("groups", [2, 8])
@pytest.mark.parametrize("size", ["200 each", "half 30, half 3,000"])
def test_parity_is_seldom_called_a_gap_where_the_percentile_bootstrap_always_does(groups: int, size: str) -> None:
    false, *covered = largest_gap(groups, size, "parity at 0.30", 150)
    assert_kept([false], 0.0, 0.05)
    assert_kept(covered, 0.94, 1.0)
    assert float(false["beside it"].split()[-1]) > 0.99


def test_the_true_worst_gap_is_covered_where_there_is_one() -> None:
    for rate in ("first 0.30, others 0.42", "spread 0.10 to 0.30"):
        assert_kept(largest_gap(8, "30 to 600", rate, 120), 0.94, 1.0)


def test_equalized_odds_seldom_sees_a_gap_that_is_not() -> None:
    assert_kept(equalized_odds(8, "30 to 600", 120), 0.0, 0.05)


@pytest.mark.parametrize("case", ["6 groups of 200", "6 groups of 1,000, 500, 200, 100, 60 and 40"])
def test_a_group_that_stands_out_is_found_at_least_as_often_as_by_vfairness(case: str) -> None:
    for one in power(case, 150):
        share, leeway = found(one)
        assert share + leeway >= float(one["beside it"].split()[-1])


def test_forty_intersections_seldom_raise_a_false_alarm() -> None:
    lines = family_wise("40 to 1,000 rows", 30)
    assert_kept(lines, 0.0, 0.05)
    unadjusted = float(lines[1]["beside it"].split()[-1])
    assert unadjusted > 0.6


def test_the_true_calibration_error_is_that_of_a_closed_form() -> None:
    assert true_calibration_error(lambda s: s) == pytest.approx(0, abs=1e-12)
    assert true_calibration_error(lambda s: s + 0.05) == pytest.approx(0.05, abs=1e-6)


@pytest.mark.parametrize(
    ("hits", "draws", "asked", "met"),
    [
        (950, 1000, COVERED, "yes"),
        (925, 1000, COVERED, "by chance"),
        (900, 1000, COVERED, "no"),
        (1000, 1000, COVERED, "no"),
        (60, 1000, RARE, "by chance"),
        (90, 1000, RARE, "no"),
        (0, 1000, RARE, "yes"),
    ],
)
def test_a_line_tells_a_miss_from_chance(hits: int, draws: int, asked: object, met: str) -> None:
    assert line("", "", hits, draws, asked)["met"] == met  # type: ignore[arg-type]
