"""How often the intervals of gaps cover the truth, beside the percentile bootstrap of the largest gap.

Each line is one population: groups of given sizes and rates. `ours` are the simultaneous intervals of the largest
difference and the smallest ratio at 95 %, `percentile` the usual interval of the largest difference.
"""

import numpy as np

from auditkit.statistics.resampling import multinomial_replicates, percentile_interval
from auditkit.statistics.simultaneous import (
    critical_value,
    pairwise_differences,
    pairwise_ratios,
    studentised_deviations,
)

TITLE = "Coverage of 95 % intervals of the largest gap"
REPLICATES = 1000


def sizes_of(groups: int) -> dict[str, np.ndarray]:
    return {
        "200 each": np.full(groups, 200),
        "30 to 600": np.linspace(30, 600, groups).astype(int),
        "half 30, half 3000": np.array([30] * (groups // 2) + [3000] * (groups // 2)),
    }


def rates_of(groups: int) -> dict[str, np.ndarray]:
    return {
        "parity at 0.30": np.full(groups, 0.3),
        "parity at 0.05": np.full(groups, 0.05),
        "parity at 0.02": np.full(groups, 0.02),
        "parity at 0.90": np.full(groups, 0.9),
        "one deviant 0.30, 0.42": np.array([0.3, *[0.42] * (groups - 1)]),
        "spread 0.10 to 0.30": np.linspace(0.1, 0.3, groups),
    }


def coverage(n: np.ndarray, p: np.ndarray, draws: int, rng: np.random.Generator) -> tuple[float, float, float]:
    """Shares of draws that covered: the largest difference, the smallest ratio, the difference by percentile."""
    i, j = np.triu_indices(len(n), 1)
    gap = np.abs(p[i] - p[j]).max()
    ratio = (np.minimum(p[i], p[j]) / np.maximum(p[i], p[j])).min()
    hits = np.zeros(3)
    for _ in range(draws):
        s = rng.binomial(n, p)
        drawn = multinomial_replicates(np.stack([n - s, s], axis=-1), REPLICATES, rng)
        drawn_n = np.maximum(drawn.sum(axis=1), 1)
        c = critical_value(studentised_deviations(drawn[:, 1], drawn_n, s / n), [len(n)])
        d, r = pairwise_differences(s, n, c, len(n) > 2), pairwise_ratios(s, n, c, len(n) > 2)
        near = np.maximum(0, np.maximum(d.lower, -d.upper)).max()
        far = np.maximum(np.abs(d.lower), np.abs(d.upper)).max()
        low, high = percentile_interval(np.ptp(drawn[:, 1] / drawn_n, axis=0))
        hits += near <= gap + 1e-12 <= far + 2e-12, r.lower.min() <= ratio <= r.upper.min(), low <= gap <= high
    return tuple(hits / draws)  # type: ignore[return-value]


def rows(draws: int = 300) -> list[dict[str, str]]:
    rng = np.random.default_rng(0)
    lines = []
    for groups in (2, 8, 32):
        for size, n in sizes_of(groups).items():
            for rate, p in rates_of(groups).items():
                covered = dict(zip(("difference", "ratio", "percentile"), coverage(n, p, draws, rng), strict=True))
                shares = {name: f"{share:.3f}" for name, share in covered.items()}
                lines.append({"groups": str(groups), "sizes": size, "rates": rate, **shares})
    return lines
