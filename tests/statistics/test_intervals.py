"""Intervals of proportions against published values, an oracle, and their own definition."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom, binomtest

from auditkit.statistics.intervals import normal_quantile, score_interval, wilson


def test_wilson_gives_newcombes_published_limits() -> None:
    # Newcombe 1998, Statistics in Medicine 17, 857-872, table I: methods 3 (plain) and 4 (continuity corrected)
    for (k, n), plain, corrected in (
        ((81, 263), (0.2553, 0.3662), (0.2535, 0.3682)),
        ((15, 148), (0.0624, 0.1605), (0.0598, 0.1644)),
        ((0, 20), (0.0000, 0.1611), (0.0000, 0.2005)),
        ((1, 29), (0.0061, 0.1718), (0.0018, 0.1963)),
    ):
        assert [edge.round(4).item() for edge in wilson(k, n)] == pytest.approx(plain, abs=1e-4)
        limits = score_interval(k, n, normal_quantile(0.95), corrected=True)
        assert [edge.round(4).item() for edge in limits] == pytest.approx(corrected, abs=1e-4)


@given(
    st.integers(1, 5000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))), st.sampled_from([0.8, 0.95, 0.99])
)
def test_wilson_equals_scipys(counts: tuple[int, int], confidence: float) -> None:
    k, n = counts
    lower, upper = wilson(k, n, confidence)
    oracle = binomtest(k, n).proportion_ci(confidence, method="wilson")
    assert (float(lower), float(upper)) == pytest.approx((oracle.low, oracle.high), abs=1e-9)
    assert lower <= k / n <= upper
    assert upper > lower


def test_correction_only_widens() -> None:
    k, n = np.arange(31), np.full(31, 30)
    plain, corrected = score_interval(k, n, 3.0), score_interval(k, n, 3.0, corrected=True)
    assert (corrected[0] <= plain[0]).all()
    assert (corrected[1] >= plain[1]).all()


def test_wilson_covers_where_wald_does_not() -> None:
    n, p = 40, 0.03
    k = np.arange(n + 1)
    lower, upper = wilson(k, n)
    assert binom.pmf(k[(lower <= p) & (p <= upper)], n, p).sum() > 0.92
    half = 1.96 * np.sqrt(k / n * (1 - k / n) / n)
    assert binom.pmf(k[np.abs(k / n - p) <= half], n, p).sum() < 0.75


@pytest.mark.parametrize(("k", "n"), [(1, 0), (-1, 5), (6, 5)])
def test_impossible_counts_are_refused(k: int, n: int) -> None:
    with pytest.raises(ValueError, match="0 <= successes <= n"):
        wilson(k, n)


def test_confidence_outside_zero_and_one_is_refused() -> None:
    with pytest.raises(ValueError, match="strictly between"):
        normal_quantile(1.0)
