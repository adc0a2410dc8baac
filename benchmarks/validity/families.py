"""Family-wise error over forty intersections in which nothing is wrong: 5 × 8 groups, all with the same true rates.

Three families are looked at. All p-values of a check (three rates of two attributes and of their intersection),
adjusted by Holm. The gap verdict over the forty groups at once. Forty tests, one of each group against all others,
adjusted by Holm. Beside the first and the last stands how often the raw p-values raise a false alarm.
"""

from collections.abc import Callable

import numpy as np

from auditkit.evidence.metrics import select
from auditkit.fairness.counting.counts import Counts
from auditkit.fairness.groups.companions import companion_rows
from auditkit.fairness.settings import Settings
from auditkit.statistics.multiplicity import holm
from auditkit.statistics.permutation import any_difference
from benchmarks.validity.gaps import compared, interval
from benchmarks.validity.line import RARE, line, stream

NAMES = tuple((f"first {i}", f"second {j}") for i in range(5) for j in range(8))
SIZES = {"200 rows each": np.full(40, 200), "40 to 1,000 rows": np.geomspace(40, 1000, 40).astype(int)}
SHARES = [0.45, 0.2, 0.1, 0.25]
VERDICTS = ("demographic_parity_difference", "equal_opportunity_difference", "equalized_odds_difference")


def family_wise(sizes: str, draws: int) -> list[dict[str, str]]:
    """Lines of one population: shares of draws with any false alarm in a family."""
    rng = stream(sizes, "families")
    hits: dict[str, int] = dict.fromkeys(("adjusted", "raw", "each", "each raw", *VERDICTS), 0)
    for _ in range(draws):
        cells = rng.multinomial(SIZES[sizes], SHARES).reshape(40, 2, 2)
        counts = Counts(("first", "second"), NAMES, cells)
        settings = Settings(replicates=999, seed=(int(rng.integers(2**31)),))
        rows = companion_rows(counts, settings)
        for name, metric in (("raw", "any_gap_p_value"), ("adjusted", "any_gap_p_value_adjusted")):
            hits[name] += any(row.value is not None and row.value <= 0.05 for row in select(rows, metric=metric))
        n, selected = cells.sum(axis=(1, 2)), cells[:, :, 1].sum(axis=1)
        p = [one_against_the_rest(selected, n, group, rng) for group in range(40)]
        hits["each raw"] += min(p) <= 0.05
        hits["each"] += bool((holm(p) <= 0.05).any())
        comparison = compared(cells, settings.seed[0])
        seen = {name: interval(comparison, name)[0] > 0 for name in VERDICTS}
        for name, found in seen.items():
            hits[name] += found
    where = f"5 × 8 groups, {sizes}, parity"
    raw = f"unadjusted {hits['raw'] / draws:.3f}", f"unadjusted {hits['each raw'] / draws:.3f}"
    return [
        line("any false alarm: a check's Holm-adjusted p-values", where, hits["adjusted"], draws, RARE, raw[0]),
        line("any false alarm: each group against the rest, Holm", where, hits["each"], draws, RARE, raw[1]),
        *(line(f"false gap verdict over all 40: {name}", where, hits[name], draws, RARE) for name in VERDICTS),
    ]


def one_against_the_rest(selected: np.ndarray, n: np.ndarray, group: int, rng: np.random.Generator) -> float:
    """The p-value of the group's selection rate against that of all others together."""
    k, rows = int(selected[group]), int(n[group])
    return any_difference([k, int(selected.sum()) - k], [rows, int(n.sum()) - rows], rng, 1999).p_value


def lines(draws: int) -> list[tuple[Callable[..., list[dict[str, str]]], tuple[object, ...]]]:
    """What to run: each part's function and arguments."""
    return [(family_wise, (sizes, draws)) for sizes in SIZES]
