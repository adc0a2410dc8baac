"""The interval of a mean of magnitudes: covers small, large, sparse and absent means, where the bootstrap does not."""

import numpy as np
import pytest

from auditkit.statistics.magnitudes import mean_magnitude_interval

BANDS = 10


def covered(true: np.ndarray, n: int, draws: int, seed: int) -> tuple[int, int]:
    """How often the truth lay below and above the interval; rows of a band have variance 0.2."""
    rng = np.random.default_rng(seed)
    weights = np.full(BANDS, 1 / BANDS)
    truth = float((weights * np.abs(true)).sum())
    low = high = 0
    for _ in range(draws):
        rows = np.maximum(rng.multinomial(n, weights), 1)
        means = true + np.sqrt(0.2 / rows) * rng.standard_normal(BANDS)
        found = mean_magnitude_interval(means, rows, np.full(BANDS, 0.2), np.full(BANDS, 0.2), rng, draws=300)
        assert found.lower <= found.value <= found.upper
        low += truth < found.lower - 1e-12
        high += truth > found.upper + 1e-12
    return low, high


ONE = np.array([0.3, *[0.0] * 9])


@pytest.mark.parametrize("n", [200, 3000])
@pytest.mark.parametrize(
    "true",
    [np.full(BANDS, 0.05), np.linspace(-0.2, 0.2, BANDS), ONE],
    ids=["all alike", "spread", "one band"],
)
def test_coverage(true: np.ndarray, n: int) -> None:
    """250 draws of 95 % have a standard error of 1.4 %."""
    low, high = covered(true, n, 250, 3)
    assert 0.91 <= 1 - (low + high) / 250 <= 0.995


def test_zero_is_covered_as_often_as_one_side_promises() -> None:
    low, high = covered(np.zeros(BANDS), 500, 300, 4)
    assert high == 0
    assert 0.945 <= 1 - low / 300 <= 0.999


def test_it_shrinks_with_rows_and_knows_its_value() -> None:
    rng = np.random.default_rng(0)
    few, many = (mean_magnitude_interval([0.1, -0.1], [n, n], [0.2, 0.2], [0.2, 0.2], rng) for n in (100, 10_000))
    assert few.value == many.value == pytest.approx(0.1)
    assert few.upper - few.lower > 5 * (many.upper - many.lower)


def test_the_same_stream_gives_the_same_interval() -> None:
    one, two = (
        mean_magnitude_interval([0.1, -0.05], [80, 90], [0.2, 0.1], [0.2, 0.2], np.random.default_rng(5))
        for _ in range(2)
    )
    assert one == two


def test_an_empty_band_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one row each"):
        mean_magnitude_interval([0.1, 0.0], [5, 0], [0.1, 0.1], [0.1, 0.1], np.random.default_rng(0))
