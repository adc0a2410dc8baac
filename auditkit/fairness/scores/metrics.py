"""Every score metric as a metric row: overall, by group of each attribute, and the gaps between groups.

Gaps of means (score, calibration in the large, Brier score, log loss) and of average precision are the largest
difference between two groups. Their bounds hold for all pairs at once: every pair's difference at the critical value
of Tukey's studentised range (Tukey-Kramer; conservative for groups of unequal size, Hayter 1984, Annals of Statistics
12(1), 61-75). Calibration errors have no such gap: noise alone makes that of a smaller group larger, so each stands
beside its level by chance instead.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from auditkit.evidence.metrics import Better, MetricRow
from auditkit.fairness.counting.counts import joined
from auditkit.fairness.scores.bins import ScoreCounts
from auditkit.fairness.scores.calibration import (
    DRAWS,
    Mean,
    bands_of,
    bands_that_fit,
    brier_score,
    calibration_error_interval,
    calibration_in_the_large,
    debiased,
    log_loss,
    mean_score,
)
from auditkit.fairness.scores.ranking import (
    area_between,
    area_between_by_chance,
    area_interval,
    areas_between,
    average_precision,
    widest_difference,
)
from auditkit.fairness.settings import Settings
from auditkit.statistics.resampling import percentile_interval
from auditkit.statistics.roc import Estimate
from auditkit.statistics.simultaneous import range_critical

CURVE_DRAWS = 200
_NORMAL = "normal interval of the mean"


@dataclass(frozen=True, slots=True)
class _Kind:
    """What a mean is: how it comes from counts, its unit, which way is better."""

    of: Callable[[ScoreCounts, int], Mean]
    unit: str
    better: Better


MEANS = {
    "mean_score": _Kind(mean_score, "", "none"),
    "calibration_in_the_large": _Kind(calibration_in_the_large, "points", "none"),
    "brier_score": _Kind(brier_score, "", "lower"),
    "log_loss": _Kind(log_loss, "", "lower"),
}


def widest(values: Sequence[float], errors: Sequence[float], confidence: float) -> tuple[Estimate, tuple[int, int]]:
    """The largest difference between two of several independent values, and the places of the pair, larger first.

    values, errors: estimates and their standard errors, at least two. The bounds hold for all pairs at once.

    >>> found, pair = widest([0.2, 0.5], [0.03, 0.04], 0.95)
    >>> round(found.value, 2), round(found.upper - found.value, 3), pair
    (0.3, 0.098, (1, 0))
    """
    value, error = np.asarray(values, dtype=np.float64), np.asarray(errors, dtype=np.float64)
    first, second = np.triu_indices(len(value), 1)
    size = np.abs(value[first] - value[second])
    reach = range_critical([len(value)], confidence) * np.hypot(error[first], error[second])
    at = int(size.argmax())
    high, low = sorted((int(first[at]), int(second[at])), key=lambda place: -value[place])
    lower, upper = float(np.maximum(size - reach, 0).max()), float((size + reach).max())
    return Estimate(float(size[at]), lower, upper), (high, low)


def score_rows(counts: ScoreCounts, settings: Settings, split: str = "") -> list[MetricRow]:
    """All score metrics: overall, by group of each attribute, and the gaps of each attribute.

    A group with too few rows (of both labels, for ranking) is insufficient; a gap names the groups it left out.
    """
    rng = np.random.default_rng(settings.seed)
    rows: list[MetricRow] = []
    for attributes in [(), *((name,) for name in counts.attributes)]:
        part = _Part(counts.margin(attributes), settings, split, rng)
        rows += part.by_group()
        if attributes:
            rows += part.between()
    return rows


class _Part:
    """One attribute's groups, judged."""

    def __init__(self, counts: ScoreCounts, settings: Settings, split: str, rng: np.random.Generator) -> None:
        self.counts, self.settings, self.split, self.rng = counts, settings, split, rng
        self.labels = counts.cells.sum(axis=2)
        self.bands = bands_of(counts, bands_that_fit(counts))
        self.few = [self._too_few(group, both=False) for group in range(len(counts.groups))]
        self.few_labels = [self._too_few(group, both=True) for group in range(len(counts.groups))]
        self._precision: dict[int, tuple[Estimate, float]] = {}

    def _too_few(self, group: int, both: bool) -> str:
        """Why a group is not judged, or nothing."""
        needed = max(2, self.settings.minimum_group)
        negatives, positives = (int(n) for n in self.labels[group])
        sides = [(positives, "rows with a positive label"), (negatives, "rows with a negative label")]
        for n, what in sides if both else [(negatives + positives, "rows")]:
            if n < needed:
                return f"only {n} {what}, fewer than the {needed} needed to judge" if n else f"no {what}"
        return ""

    def _row(
        self,
        metric: str,
        group: int | None,
        estimate: Estimate | None,
        reason: str,
        unit: str,
        better: Better,
        method: str,
        detail: str = "",
        unjudged: tuple[str, ...] = (),
    ) -> MetricRow:
        return MetricRow(
            "fairness",
            metric,
            split=self.split,
            attribute=joined(self.counts.attributes),
            group="" if group is None else self.counts.names[group],
            detail=detail if estimate else "",
            value=estimate.value if estimate else None,
            lower=estimate.lower if estimate else None,
            upper=estimate.upper if estimate else None,
            confidence=self.settings.confidence if estimate else None,
            n=int(self.labels.sum() if group is None else self.labels[group].sum()),
            unit=unit,
            better=better,
            status="ok" if estimate else "insufficient",
            reason=reason,
            unjudged=unjudged,
            method=method if estimate else "",
        )

    def by_group(self) -> Iterator[MetricRow]:
        """Every metric of each group."""
        level = self.settings.confidence
        for group in range(len(self.counts.groups)):
            cells = self.counts.cells[group]
            few, few_labels = self.few[group], self.few_labels[group]
            ranked = None if few_labels else area_interval(cells[0], cells[1], level)
            yield self._row("score_auc", group, ranked, few_labels, "", "higher", "DeLong's variance in Wilson's form")
            precision = None if few_labels else self.precision(group)[0]
            resamples = f"percentile bootstrap, {CURVE_DRAWS} resamples"
            yield self._row("average_precision", group, precision, few_labels, "", "higher", resamples)
            for metric, kind in MEANS.items():
                mean = None if few else kind.of(self.counts, group).interval(level)
                yield self._row(metric, group, mean, few, kind.unit, kind.better, _NORMAL)
            judged = not few
            error, chance = calibration_error_interval(self.bands, group, level, self.rng) if judged else (None, 0.0)
            method = f"bootstrap less its bias, {DRAWS:,} resamples"
            yield self._row(
                "calibration_error", group, error, few, "points", "lower", method, f"by chance {100 * chance:.2g} pts"
            )

    def precision(self, group: int) -> tuple[Estimate, float]:
        """A group's average precision with its interval, and its standard error."""
        if group not in self._precision:
            cells = self.counts.cells[group]
            drawn = self._resampled(cells)
            values = np.array([average_precision(n, m) for n, m in drawn if m.any()])
            value = average_precision(cells[0], cells[1])
            low, high = (float(edge) for edge in percentile_interval(values, self.settings.confidence))
            # A resample of a group that ranks perfectly varies in nothing: half a row keeps its error from vanishing.
            error = max(float(values.std(ddof=1)), 0.5 / int(cells[1].sum()))
            self._precision[group] = Estimate(value, min(low, value), max(high, value)), error
        return self._precision[group]

    def between(self) -> Iterator[MetricRow]:
        """The gaps between the groups: largest differences, and ABROCA against the largest group."""
        for metric, kind in MEANS.items():
            means = {g: kind.of(self.counts, g) for g, reason in enumerate(self.few) if not reason}
            estimates = {g: (mean.value, mean.error) for g, mean in means.items()}
            yield self._widest(metric, estimates, self.few, kind.unit)
        precise = {g: self.precision(g) for g, reason in enumerate(self.few_labels) if not reason}
        estimates = {g: (estimate.value, error) for g, (estimate, error) in precise.items()}
        yield self._widest("average_precision", estimates, self.few_labels, "")
        judged, few = list(precise), _no_comparison(len(precise))
        kept = ScoreCounts(
            self.counts.attributes,
            tuple(self.counts.groups[group] for group in judged),
            self.counts.cells[judged],
            self.counts.sums[:, judged],
        )
        for metric, crossed in (("auc_difference", False), ("cross_auc_difference", True)):
            estimate, pair = (None, ("", "")) if few else widest_difference(kept, crossed, self.settings.confidence)
            method = f"Bonferroni over {len(judged) * (len(judged) - 1) // 2} pairs, DeLong's variance"
            unjudged = self._unjudged(self.few_labels)
            yield self._row(metric, None, estimate, few, "points", "lower", method, " – ".join(pair), unjudged)
        largest = max(judged, key=lambda group: int(self.labels[group].sum()), default=-1)
        for group, reason in enumerate(self.few_labels):
            if group != largest:
                yield self._curves(group, largest, reason or few)

    def _unjudged(self, reasons: Sequence[str]) -> tuple[str, ...]:
        return tuple(name for name, reason in zip(self.counts.names, reasons, strict=True) if reason)

    def _widest(
        self, metric: str, estimates: dict[int, tuple[float, float]], reasons: Sequence[str], unit: str
    ) -> MetricRow:
        """The largest difference between two groups. estimates: judged group → value and standard error."""
        few = _no_comparison(len(estimates))
        found, detail = None, ""
        if not few:
            values, errors = [value for value, _ in estimates.values()], [error for _, error in estimates.values()]
            found, pair = widest(values, errors, self.settings.confidence)
            detail = " – ".join(self.counts.names[list(estimates)[place]] for place in pair)
        method = f"all {len(estimates)} groups' pairs at once (Tukey-Kramer)"
        return self._row(
            f"{metric}_difference", None, found, few, unit, "lower", method, detail, self._unjudged(reasons)
        )

    def _curves(self, group: int, other: int, reason: str) -> MetricRow:
        if reason:
            return self._row("abroca", group, None, reason, "", "lower", "")
        sides = [(self.counts.cells[at, 0], self.counts.cells[at, 1]) for at in (group, other)]
        chance = float(area_between_by_chance(sides[0], sides[1], CURVE_DRAWS, self.rng).mean())
        drawn = [(self._resampled(negatives), self._resampled(positives)) for negatives, positives in sides]
        resampled = areas_between(drawn[0], drawn[1])
        estimate = debiased(area_between(sides[0], sides[1]), resampled, chance, self.settings.confidence)
        detail = f"against {self.counts.names[other]}; by chance {chance:.4f}"
        method = f"bootstrap within labels less its bias, {CURVE_DRAWS} resamples"
        return self._row("abroca", group, estimate, "", "", "lower", method, detail)

    def _resampled(self, cells: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Resamples of a table of counts, [draws, ...]: so few that threads would cost more than they bring."""
        rows = int(cells.sum())
        drawn = self.rng.multinomial(rows, cells.ravel() / rows, size=CURVE_DRAWS)
        return drawn.reshape(CURVE_DRAWS, *cells.shape)


def _no_comparison(judged: int) -> str:
    return "" if judged > 1 else f"a comparison needs two groups that can be judged, and {judged} can"
