"""The largest gap over many groups: false "gap" verdicts under parity, coverage of the true worst gap, power.

A gap verdict is an interval of the largest difference whose lower end lies above zero. Beside it stands the usual
reading, the percentile bootstrap of the largest minus the smallest rate, as fairlearn's `difference_ci` gives it; it
never reaches zero, so that it sees a gap in every sample.
"""

from collections.abc import Callable

import numpy as np

from auditkit.fairness.counting.counts import Counts
from auditkit.fairness.groups.definitions import GAPS
from auditkit.fairness.groups.draws import Draws
from auditkit.fairness.groups.gaps import Comparison
from auditkit.fairness.settings import Settings
from auditkit.statistics.permutation import any_difference
from auditkit.statistics.resampling import multinomial_replicates, percentile_interval
from benchmarks.validity.line import RARE, WORST_COVERED, Asked, line, stream

REPLICATES = 600


def sizes_of(groups: int) -> dict[str, np.ndarray]:
    """Rows by group: all alike, spread, and half of them small."""
    return {
        "200 each": np.full(groups, 200),
        "30 to 600": np.linspace(30, 600, groups).astype(int),
        "half 30, half 3,000": np.array([30] * (groups // 2) + [3000] * (groups // 2)),
    }


def rates_of(groups: int) -> dict[str, np.ndarray]:
    """True selection rates by group."""
    return {
        "parity at 0.30": np.full(groups, 0.3),
        "parity at 0.05": np.full(groups, 0.05),
        "parity at 0.90": np.full(groups, 0.9),
        "first 0.30, others 0.42": np.array([0.3, *[0.42] * (groups - 1)]),
        "spread 0.10 to 0.30": np.linspace(0.1, 0.3, groups),
    }


def compared(cells: np.ndarray, seed: int) -> Comparison:
    """The groups of these cells, [groups, 2, 2], compared as a check compares them."""
    names = tuple((f"{place:02d}",) for place in range(len(cells)))
    settings = Settings(replicates=REPLICATES, seed=(seed,))
    return Comparison(Draws(Counts(("group",), names, cells), settings).of(["group"]), settings)


def interval(comparison: Comparison, gap: str = "demographic_parity_difference") -> tuple[float, float]:
    """The interval that a check gives the gap; everything where it gives none."""
    row = comparison.gap_row(GAPS[gap])
    return (0.0, 1.0) if row.lower is None or row.upper is None else (row.lower, row.upper)


def chosen(n: np.ndarray, p: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Cells of a sample in which only the selections vary, [groups, 2, 2]."""
    cells = np.zeros((len(n), 2, 2), dtype=np.int64)
    cells[:, 0, 1] = rng.binomial(n, p)
    cells[:, 0, 0] = n - cells[:, 0, 1]
    return cells


def percentile(cells: np.ndarray, rng: np.random.Generator) -> tuple[float, float]:
    """The percentile interval of the largest minus the smallest selection rate."""
    resamples = multinomial_replicates(cells[:, 0], REPLICATES, rng)
    rates = resamples[:, 1] / np.maximum(resamples.sum(axis=1), 1)
    low, high = percentile_interval(np.ptp(rates, axis=0))
    return float(low), float(high)


def largest_gap(groups: int, size: str, rate: str, draws: int) -> list[dict[str, str]]:
    """Lines of one population: false verdicts where there is parity, coverage of difference and ratio anywhere."""
    rng = stream(groups, size, rate)
    n, p = sizes_of(groups)[size], rates_of(groups)[rate]
    gap, ratio = float(np.ptp(p)), float(p.min() / p.max())
    false, covered, covered_ratio, percentile_false, percentile_covered = np.zeros(5)
    for seed in range(draws):
        cells = chosen(n, p, rng)
        comparison = compared(cells, seed)
        low, high = interval(comparison)
        false += low > 0
        covered += low <= gap + 1e-12 and gap <= high + 1e-12
        low, high = interval(comparison, "demographic_parity_ratio")
        covered_ratio += low <= ratio + 1e-12 and ratio <= high + 1e-12
        low, high = percentile(cells, rng)
        percentile_false += low > 0
        percentile_covered += low <= gap <= high
    where = f"{groups} groups, {size}, {rate}"
    beside = f"percentile bootstrap {percentile_false / draws:.3f}"
    lines = [line("false gap verdicts", where, false, draws, RARE, beside)] if gap == 0 else []
    beside = f"percentile bootstrap {percentile_covered / draws:.3f}"
    lines.append(line("coverage of the largest difference", where, covered, draws, WORST_COVERED, beside))
    lines.append(line("coverage of the smallest ratio", where, covered_ratio, draws, WORST_COVERED))
    return lines


def equalized_odds(groups: int, sizes: str, draws: int) -> list[dict[str, str]]:
    """False verdicts on equalized odds, the worst of two rates' largest gaps, where all groups are alike."""
    rng = stream(groups, sizes, "equalized odds")
    n = sizes_of(groups)[sizes] * 3
    false = 0
    for seed in range(draws):
        cells = rng.multinomial(n, [0.4, 0.15, 0.15, 0.3]).reshape(-1, 2, 2)
        false += interval(compared(cells, seed), "equalized_odds_difference")[0] > 0
    where = f"{groups} groups, three times {sizes}, parity"
    return [line("false gap verdicts on equalized odds", where, false, draws, RARE)]


# the rate of the one group that stands out, its place, the groups' rows, and vfairness' power in the same case
CASES: dict[str, tuple[np.ndarray, int, float]] = {
    "6 groups of 200": (np.full(6, 200), 5, 0.525),
    "6 groups of 1,000, 500, 200, 100, 60 and 40": (np.array([1000, 500, 200, 100, 60, 40]), 3, 0.265),
}
DEVIANT, OTHERS = 0.42, 0.30


def power(case: str, draws: int) -> list[dict[str, str]]:
    """How often one group at 0.42 among groups at 0.30 is found, by the test of any gap and by the gap's interval."""
    rng = stream(case, "power")
    n, place, rival = CASES[case]
    p = np.where(np.arange(len(n)) == place, DEVIANT, OTHERS)
    tested, seen = 0, 0
    for seed in range(draws):
        cells = chosen(n, p, rng)
        tested += any_difference(cells[:, 0, 1], n, rng, 999).p_value <= 0.05
        seen += interval(compared(cells, seed))[0] > 0
    where = f"{case}, the one of {n[place]} at {DEVIANT:g}, others {OTHERS:g}"
    asked, beside = Asked(low=rival), f"vfairness {rival:.3f}"
    return [
        line("power of the test of any gap", where, tested, draws, asked, beside),
        line("power of the largest gap's interval", where, seen, draws, asked, beside),
    ]


def lines(draws: int) -> list[tuple[Callable[..., list[dict[str, str]]], tuple[object, ...]]]:
    """What to run: each part's function and arguments."""
    parts: list[tuple[Callable[..., list[dict[str, str]]], tuple[object, ...]]] = []
    for groups in (2, 8, 32):
        fewer = draws if groups < 32 else draws // 2
        parts += [(largest_gap, (groups, size, rate, fewer)) for size in sizes_of(groups) for rate in rates_of(groups)]
        parts += [(equalized_odds, (groups, size, fewer)) for size in sizes_of(groups)]
    return parts + [(power, (case, draws)) for case in CASES]
