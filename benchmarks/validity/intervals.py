"""Coverage of 95 % intervals: rates, differences and ratios of two groups, areas under the curve, calibration errors.

Two groups are equally large or one holds 1 % of the rows. Rates and gaps come from `infer`, areas and calibration
errors from the same functions that a check uses. What a check does not judge (too few rows) is left out of the share,
and the share of draws that were judged stands beside, with how many intervals lay below the truth and above it. Near
an end of the range one side may be out of reach, as where even 40 positives and 60 negatives without one error would
leave an area of 0.96 possible: then 0.975 is what is promised.
"""

from collections.abc import Callable, Iterator

import numpy as np
from scipy.special import ndtr

from auditkit.fairness.counting.counts import Counts, GroupCodes
from auditkit.fairness.groups.inference import infer
from auditkit.fairness.scores.bins import ScoreCounts
from auditkit.fairness.scores.calibration import bands_of, calibration_error_interval
from auditkit.fairness.scores.ranking import widest_difference
from auditkit.fairness.settings import Settings
from auditkit.statistics.roc import auroc_interval
from benchmarks.validity.line import COVERED, WORST_COVERED, Asked, line, stream

SIZES = {
    "balanced, 200 and 200": (200, 200),
    "balanced, 2,000 and 2,000": (2000, 2000),
    "1 % minority, 9,900 and 100": (9900, 100),
    "1 % minority, 99,000 and 1,000": (99_000, 1000),
}
# TN, FP, FN, TP of the first group and of the second
SHARES = {
    "parity, 0.30 selected": ([0.55, 0.15, 0.15, 0.15], [0.55, 0.15, 0.15, 0.15]),
    "apart, 0.30 and 0.42 selected": ([0.58, 0.12, 0.12, 0.18], [0.46, 0.14, 0.12, 0.28]),
    "rare, 0.08 and 0.05 selected": ([0.86, 0.04, 0.06, 0.04], [0.87, 0.03, 0.08, 0.02]),
}
RATED = ("selection_rate", "true_positive_rate", "precision")
TRUTHS: dict[str, Callable[[np.ndarray], float]] = {
    "selection_rate": lambda p: p[1] + p[3],
    "true_positive_rate": lambda p: p[3] / (p[2] + p[3]),
    "precision": lambda p: p[3] / (p[1] + p[3]),
}


AT_ZERO = "a truth of 0 can be missed on one side only: 0.975 is what is promised"
FOLDED = "covers both orders of the groups, so more than is promised"


class Covered:
    """How many intervals held the truth, lay below it and lay above it."""

    def __init__(self, what: str, population: str, note: str = "", asked: Asked = COVERED) -> None:
        self.what, self.population, self.note, self.asked = what, population, note, asked
        self.judged = self.below = self.above = 0

    def add(self, lower: float, upper: float, truth: float) -> None:
        """One interval."""
        self.judged += 1
        self.below += upper < truth
        self.above += lower > truth

    def lines(self, draws: int) -> Iterator[dict[str, str]]:
        """A line where at least a fifth of the draws could be judged."""
        if self.judged < draws / 5:
            return
        judged = "" if self.judged == draws else f"judged in {self.judged / draws:.0%} of draws"
        sides = f"below the truth {self.below / self.judged:.3f}, above {self.above / self.judged:.3f}"
        beside = "; ".join(part for part in (sides, judged, self.note) if part)
        hits = self.judged - self.below - self.above
        yield line(self.what, self.population, hits, self.judged, self.asked, beside)


def rates_and_gaps(size: str, shares: str, draws: int) -> list[dict[str, str]]:
    """Coverage of the second group's rates, and of the difference and the ratio of two groups.

    The ratio of the first group to the second is signed as the difference is; the smaller to the larger is what gates
    hold against a limit.
    """
    rng, where = stream(size, shares), f"{size}; {shares}"
    n, p = SIZES[size], [np.array(share) for share in SHARES[shares]]
    covered = {
        f"{kind}: {metric}": Covered(f"{kind}: {metric}", where)
        for kind in ("difference", "rate", "ratio")
        for metric in RATED
    }
    folded = Covered("ratio, smaller to larger: selection_rate", where, FOLDED, WORST_COVERED)
    for seed in range(draws):
        cells = np.array([rng.multinomial(rows, share) for rows, share in zip(n, p, strict=True)]).reshape(2, 2, 2)
        counts = Counts(("group",), (("a",), ("b",)), cells)
        found = infer(counts, Settings(replicates=1000, seed=(seed,)))
        pairs = {str(pair["metric"]): pair for pair in found.pairs}
        for metric in RATED:
            first, second = (TRUTHS[metric](share) for share in p)
            (row,) = (row for row in found.rates if row.metric == metric and row.group == "b")
            if row.lower is not None and row.upper is not None:
                covered[f"rate: {metric}"].add(row.lower, row.upper, second)
            if pair := pairs.get(metric):
                low, high, ratio_low, ratio_high = (
                    np.inf if pair[edge] is None else float(str(pair[edge]))
                    for edge in ("lower", "upper", "ratio_lower", "ratio_upper")
                )
                covered[f"difference: {metric}"].add(low, high, first - second)
                covered[f"ratio: {metric}"].add(ratio_low, ratio_high, first / second)
        smallest = next(row for row in found.gaps if row.metric == "demographic_parity_ratio")
        first, second = (TRUTHS["selection_rate"](share) for share in p)
        if smallest.lower is not None and smallest.upper is not None:
            folded.add(smallest.lower, smallest.upper, min(first, second) / max(first, second))
    return [one for each in [*covered.values(), folded] for one in each.lines(draws)]


def _codes(n: tuple[int, int]) -> GroupCodes:
    return GroupCodes(("group",), (("a",), ("b",)), np.repeat([0, 1], n), {})


def areas(size: str, apart: float, draws: int) -> list[dict[str, str]]:
    """Coverage of the second group's AUC and of the two groups' difference; scores are normal, squeezed into [0, 1].

    Positives lie `apart` standard deviations higher in the second group, one in the first.
    """
    rng = stream(size, apart, "auc")
    groups = _codes(SIZES[size])
    second = groups.codes == 1
    distance = np.where(second, apart, 1.0)
    true, other = (float(ndtr(each / np.sqrt(2))) for each in (apart, 1.0))
    population = f"{size}; normal scores, AUC {true:.2f}, of the other group {other:.2f}"
    own, gaps = (Covered(what, population) for what in ("area under the ROC curve", "difference of two areas"))
    for _ in range(draws):
        label = rng.random(len(second)) < 0.4
        scores = rng.standard_normal(len(second)) + distance * label
        negatives, positives = scores[second & ~label], scores[second & label]
        if min(len(negatives), len(positives)) < Settings().minimum_group:
            continue
        found = auroc_interval(negatives, positives)
        own.add(found.lower, found.upper, true)
        gap, _ = widest_difference(ScoreCounts.tally(groups, label, ndtr(scores / 2)))
        gaps.add(gap.lower, gap.upper, abs(true - other))
    return [one for each in (own, gaps) for one in each.lines(draws)]


# what a score stands for: the chance of a positive, by score
STATED: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "calibrated": lambda s: s,
    "a little off": lambda s: 0.1 + 0.8 * s,
    "overconfident": lambda s: 0.25 + 0.5 * s,
    "one band off": lambda s: np.where((s >= 0.4) & (s < 0.5), s + 0.2, s),
    "0.05 too low": lambda s: np.clip(s + 0.05, 0, 1),
}


def true_calibration_error(chance: Callable[[np.ndarray], np.ndarray], bands: int = 10) -> float:
    """Scores are Beta(2, 2): the mean over bands of |mean of score less chance|, by integration."""
    s = (np.arange(200_000) + 0.5) / 200_000
    density = 6 * s * (1 - s) / len(s)
    return float(np.abs(((s - chance(s)) * density).reshape(bands, -1).sum(axis=1)).sum())


def calibration(size: str, stated: str, draws: int) -> list[dict[str, str]]:
    """Coverage of the second group's calibration error."""
    rng = stream(size, stated, "calibration")
    n = SIZES[size][1]
    truth = true_calibration_error(STATED[stated])
    groups = GroupCodes(("group",), (("b",),), np.zeros(n, dtype=np.int64), {})
    covered = Covered(
        "calibration error",
        f"{n:,} rows; {stated}, true error {truth:.3f}",
        "" if truth > 1e-9 else AT_ZERO,
    )
    for seed in range(draws):
        scores = rng.beta(2, 2, n)
        counts = ScoreCounts.tally(groups, rng.random(n) < STATED[stated](scores), scores)
        found, _ = calibration_error_interval(bands_of(counts), 0, 0.95, np.random.default_rng(seed))
        covered.add(found.lower, found.upper, truth)
    return list(covered.lines(draws))


def lines(draws: int) -> list[tuple[Callable[..., list[dict[str, str]]], tuple[object, ...]]]:
    """What to run: each part's function and arguments."""
    parts: list[tuple[Callable[..., list[dict[str, str]]], tuple[object, ...]]] = []
    parts += [(rates_and_gaps, (size, shares, draws)) for size in SIZES for shares in SHARES]
    parts += [(areas, (size, apart, draws)) for size in SIZES for apart in (1.0, 2.5)]
    rows = ("balanced, 200 and 200", "balanced, 2,000 and 2,000", "1 % minority, 9,900 and 100")
    return parts + [(calibration, (size, stated, draws)) for size in rows for stated in STATED]
