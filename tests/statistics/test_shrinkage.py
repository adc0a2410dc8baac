"""Shrunken rates: coverage and error by simulation, edges, properties."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import beta

from auditkit.statistics.shrinkage import shrink


def simulate(sizes: list[int], strength: float, rate: float, draws: int = 300) -> tuple[float, float, float]:
    """Coverage of 95 % intervals over groups and draws; mean squared error of shrunken and of raw rates."""
    rng, n = np.random.default_rng(5), np.array(sizes)
    covered, shrunken, raw = [], [], []
    for _ in range(draws):
        truth = rng.beta(strength * rate, strength * (1 - rate), len(n))
        k = rng.binomial(n, truth)
        found = shrink(k, n)
        covered.append((found.lower <= truth) & (truth <= found.upper))
        shrunken.append((found.rate - truth) ** 2)
        raw.append((k / n - truth) ** 2)
    return float(np.mean(covered)), float(np.mean(shrunken)), float(np.mean(raw))


@pytest.mark.parametrize(
    ("sizes", "strength", "rate"),
    [([5] * 5 + [1000] * 5, 30, 0.3), ([5] * 5 + [1000] * 5, 30, 0.05), ([30, 300, 3000], 50, 0.3),
     ([10] * 4, 10, 0.3), ([20, 60, 150, 400] * 5, 5, 0.3), ([20, 60, 150, 400] * 2, 1e6, 0.3)],
)  # fmt: skip
def test_intervals_cover_and_shrunken_rates_are_nearer(sizes: list[int], strength: float, rate: float) -> None:
    covered, shrunken, raw = simulate(sizes, strength, rate)
    assert covered >= 0.91
    assert shrunken < raw


def test_alike_groups_are_drawn_together_and_different_ones_are_left() -> None:
    n = [50, 200, 100, 400]
    alike, apart = shrink([15, 60, 30, 120], n), shrink([5, 100, 80, 40], n)
    assert alike.rate == pytest.approx([0.3] * 4, abs=0.005)
    assert (alike.pull > 0.5).all()
    assert apart.rate == pytest.approx([0.1, 0.5, 0.8, 0.1], abs=0.03)
    assert (apart.pull < 0.2).all()


def test_none_of_two_rows_does_not_make_a_rate_of_zero() -> None:
    found = shrink([0, 170, 160, 180], [2, 200, 200, 200])
    assert found.rate[0] > 0.5
    assert found.lower[0] > 0
    assert found.upper[0] - found.lower[0] > found.upper[1] - found.lower[1]


def test_small_groups_are_drawn_farther() -> None:
    found = shrink([8, 80, 800, 90, 500], [10, 100, 1000, 300, 1000])
    assert found.pull[0] > found.pull[1] > found.pull[2]


def test_one_group_keeps_its_rate_with_jeffreys_interval() -> None:
    found = shrink([10], [50])
    assert found.rate[0] == 0.2
    assert (found.lower[0], found.upper[0]) == pytest.approx(beta.ppf([0.025, 0.975], 10.5, 40.5))
    assert shrink([0, 0], [40, 0]).lower.tolist() == [0, 0]


def test_a_group_without_rows_gets_the_common_rate_and_a_wide_interval() -> None:
    found = shrink([0, 30, 60], [0, 100, 200])
    assert found.rate[0] == pytest.approx(0.3, abs=0.01)
    assert found.upper[0] - found.lower[0] > found.upper[1] - found.lower[1]
    assert found.pull[0] == pytest.approx(1)


@pytest.mark.parametrize("flip", [False, True])
def test_no_successes_anywhere_still_leaves_room(flip: bool) -> None:
    n = np.array([20, 300, 50])
    found = shrink(n if flip else 0 * n, n)
    assert np.isfinite([found.rate, found.lower, found.upper]).all()
    assert (found.upper - found.lower > 1e-4).all()
    assert (np.abs(found.rate - flip) < 0.02).all()


groups = st.lists(
    st.integers(0, 10**6).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))), min_size=1, max_size=12
).filter(lambda counts: any(n for _, n in counts))


@given(groups, st.sampled_from([0.5, 0.95, 0.999]))
def test_rates_stay_within_bounds_and_among_the_raw_ones(counts: list[tuple[int, int]], confidence: float) -> None:
    k, n = (np.array(part) for part in zip(*counts, strict=True))
    found = shrink(k, n, confidence)
    assert ((found.lower >= 0) & (found.upper <= 1)).all()
    assert (found.lower <= found.upper).all()
    assert ((found.rate >= 0) & (found.rate <= 1)).all()
    raw = k[n > 0] / n[n > 0]
    assert (found.rate >= min(raw.min(), 0.5) - 1e-12).all()
    assert (found.rate <= max(raw.max(), 0.5) + 1e-12).all()
    back = shrink(k[::-1], n[::-1], confidence)
    assert back.rate[::-1] == pytest.approx(found.rate, abs=1e-9)


@given(groups)
def test_successes_and_failures_mirror(counts: list[tuple[int, int]]) -> None:
    k, n = (np.array(part) for part in zip(*counts, strict=True))
    found, mirrored = shrink(k, n), shrink(n - k, n)
    assert mirrored.rate == pytest.approx(1 - found.rate, abs=1e-6)
    assert mirrored.lower == pytest.approx(1 - found.upper, abs=1e-6)


@pytest.mark.parametrize(("k", "n"), [([3], [2]), ([-1, 1], [2, 2]), ([0, 0], [0, 0]), ([1, 1], [2])])
def test_what_are_no_counts_is_refused(k: list[int], n: list[int]) -> None:
    with pytest.raises(ValueError, match="rates to shrink need"):
        shrink(k, n)
