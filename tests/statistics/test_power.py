"""Planning: closed forms against simulation and against the intervals they invert."""

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from auditkit.statistics.intervals import score_interval, wilson
from auditkit.statistics.power import rows_to_decide, rows_to_decide_gap, smallest_detectable_gap

DRAWS = 40_000


def power_of(gap: float, n1: int, n2: int, rate: float, critical: float, sign: int) -> float:
    """How often the two-sided z test with pooled variance rejects, by simulation."""
    rng = np.random.default_rng(6)
    first = rng.binomial(n1, rate + sign * gap * n2 / (n1 + n2), DRAWS) / n1
    second = rng.binomial(n2, rate - sign * gap * n1 / (n1 + n2), DRAWS) / n2
    pooled = (n1 * first + n2 * second) / (n1 + n2)
    error = np.sqrt(np.maximum(pooled * (1 - pooled), 1e-12) * (1 / n1 + 1 / n2))
    return float((np.abs(first - second) > critical * error).mean())


@pytest.mark.parametrize(
    ("n1", "n2", "rate", "critical"),
    [(200, 200, 0.3, 1.96), (1000, 1000, 0.05, 1.96), (60, 4000, 0.5, 1.96), (100, 5000, 0.2, 1.96),
     (400, 250, 0.7, 3.03)],
)  # fmt: skip
def test_the_gap_is_found_with_the_power_promised(n1: int, n2: int, rate: float, critical: float) -> None:
    gap = smallest_detectable_gap(n1, n2, rate, critical=critical)
    assert gap is not None
    worse = min(power_of(gap, n1, n2, rate, critical, sign) for sign in (1, -1))
    assert worse == pytest.approx(0.8, abs=0.03)


def test_equal_groups_are_fleiss_formula() -> None:
    """Fleiss, Levin and Paik 2003, formula 4.14: rows per group for p1 = 0.35, p2 = 0.25 and back again."""
    p1, p2, mean, c, z = 0.35, 0.25, 0.30, 1.959964, 0.841621
    n = (c * np.sqrt(2 * mean * (1 - mean)) + z * np.sqrt(p1 * (1 - p1) + p2 * (1 - p2))) ** 2 / (p1 - p2) ** 2
    assert smallest_detectable_gap(round(n), round(n), mean) == pytest.approx(0.10, abs=2e-4)


@example(1, 23, 0.96875)
@given(st.integers(1, 5000), st.integers(1, 5000), st.floats(0.01, 0.99))
def test_groups_and_outcomes_may_be_swapped_and_more_rows_show_more(n1: int, n2: int, rate: float) -> None:
    gap = smallest_detectable_gap(n1, n2, rate)
    for same in (smallest_detectable_gap(n2, n1, rate), smallest_detectable_gap(n1, n2, 1 - rate)):
        assert same == (None if gap is None else pytest.approx(gap, abs=1e-9))
    if gap is not None:
        assert 0 < gap < 1
        more = smallest_detectable_gap(n1 * 4, n2 * 4, rate)
        assert more is not None
        assert more < gap


def test_too_few_rows_show_no_gap_at_all() -> None:
    assert smallest_detectable_gap(5, 5, 0.1) is None
    assert smallest_detectable_gap(5, 5000, 0.02) is None


@given(st.floats(0, 1), st.floats(0.005, 0.45))
def test_rows_are_the_fewest_with_which_wilsons_interval_is_narrow_enough(rate: float, half_width: float) -> None:
    def half(n: int) -> float:
        low, high = score_interval(rate * n, n, 1.959963984540054)
        return float(high - low) / 2

    n = rows_to_decide(rate, half_width)
    assert half(n) <= half_width + 1e-9
    assert n == 1 or half(n - 1) > half_width - 1e-9


@pytest.mark.parametrize("power", [0.5, 0.8, 0.9])
@pytest.mark.parametrize(("rate", "limit"), [(0.30, 0.25), (0.70, 0.75), (0.5, 0.42)])
def test_that_many_rows_decide_a_limit_as_often_as_promised(rate: float, limit: float, power: float) -> None:
    n = rows_to_decide(rate, abs(rate - limit), power=power)
    low, high = wilson(np.random.default_rng(7).binomial(n, rate, DRAWS), n)
    decided = low > limit if rate > limit else high < limit
    assert decided.mean() == pytest.approx(power, abs=0.06)


@pytest.mark.parametrize("power", [0.5, 0.8])
@pytest.mark.parametrize(("rate", "other", "limit"), [(0.30, 0.34, 0.10), (0.45, 0.25, 0.10)])
def test_that_many_rows_decide_a_gap_as_often_as_promised(
    rate: float, other: float, limit: float, power: float
) -> None:
    n = rows_to_decide_gap(rate, other, 4000, limit, power=power)
    assert n is not None
    rng = np.random.default_rng(8)
    p, q = rng.binomial(n, rate, DRAWS) / n, rng.binomial(4000, other, DRAWS) / 4000
    reach = 1.96 * np.sqrt(p * (1 - p) / n + q * (1 - q) / 4000)
    gap = np.abs(p - q)
    decided = gap + reach < limit if abs(rate - other) < limit else gap - reach > limit
    assert decided.mean() == pytest.approx(power, abs=0.06)


def test_what_no_number_of_rows_decides() -> None:
    assert rows_to_decide_gap(0.3, 0.4, 10**9, limit=0.1 + 1e-17) is None
    assert rows_to_decide_gap(0.30, 0.34, 100, limit=0.10) is None


@pytest.mark.parametrize(
    "call",
    [
        lambda: smallest_detectable_gap(0, 5, 0.5),
        lambda: smallest_detectable_gap(5, 5, 0.0),
        lambda: smallest_detectable_gap(5, 5, 0.5, power=0.2),
        lambda: rows_to_decide(1.2, 0.1),
        lambda: rows_to_decide(0.2, 0.0),
        lambda: rows_to_decide_gap(0.2, 0.3, 0, 0.1),
    ],
)
def test_what_cannot_be_planned_is_refused(call) -> None:
    with pytest.raises(ValueError, match=r"must|needs"):
        call()
