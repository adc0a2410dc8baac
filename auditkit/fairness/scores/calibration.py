"""Calibration within groups: does a score of 0.8 mean 80 % positives in every group? And how well scores fit at all.

reliability               share of positives against mean score in bands of the score, with Wilson's interval
calibration error         mean distance between the two over the bands, weighted by rows (expected calibration error)
calibration in the large  mean score less base rate: above zero, a group is scored too high
Brier score, log loss     mean squared distance and mean surprise; smaller is better (proper scores)

All from score counts: their sums give the rows' own means, so that nothing but the bands is rounded. Calibration
error never cancels, so noise alone keeps it above zero, and the more so the smaller a group: groups must not be
compared by it without its level by chance, what a group of this size would show if each row were positive with the
probability its score states (Bröcker and Smith 2007, Weather and Forecasting 22(3), 651-661). The interval is the
bootstrap's upper edge, and its lower edge less the bias seen in the bootstrap and the level by chance, since the plain
percentile interval never covers zero. Calibration within groups and equal error rates cannot both hold where base
rates differ (Kleinberg, Mullainathan and Raghavan 2017; Chouldechova 2017).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from auditkit.errors import InputError
from auditkit.evidence.metrics import Better, MetricRow
from auditkit.fairness.counts import joined
from auditkit.fairness.scores.bins import Floats, ScoreCounts
from auditkit.fairness.scores.ranking import (
    area_between,
    area_between_by_chance,
    area_interval,
    average_precision,
    widest_difference,
)
from auditkit.fairness.settings import Settings
from auditkit.statistics.intervals import normal_quantile, wilson
from auditkit.statistics.resampling import multinomial_replicates, percentile_interval
from auditkit.statistics.roc import Estimate

BANDS = 10
_DRAWS, _CURVE_DRAWS = 2000, 200


@dataclass(frozen=True)
class Bands:
    """Per band of the score: rows, summed score, positives, variance of the outcome as the scores state it, and the
    summed square of (score - outcome). All [..., bands]."""

    rows: npt.NDArray[np.int64]
    score: Floats
    positives: npt.NDArray[np.int64]
    stated_variance: Floats
    squared_error: Floats


def bands_of(counts: ScoreCounts, bands: int = BANDS) -> Bands:
    """Each group's bins gathered into equally wide bands, [groups, bands]. The bins must divide evenly."""
    if bands < 1 or counts.bins % bands:
        raise InputError(f"{counts.bins} score bins do not make {bands} bands; give a number that divides them")

    def gathered(values: npt.NDArray) -> npt.NDArray:
        return values.reshape(*values.shape[:-1], bands, -1).sum(axis=-1)

    cells, (score, squared) = gathered(counts.cells), gathered(counts.sums[:2])
    return Bands(
        rows=cells.sum(axis=1),
        score=score.sum(axis=1),
        positives=cells[:, 1],
        stated_variance=np.maximum((score - squared).sum(axis=1), 0),
        squared_error=np.maximum(squared.sum(axis=1) - 2 * score[:, 1] + cells[:, 1], 0),
    )


def reliability(counts: ScoreCounts, bands: int = BANDS, confidence: float = 0.95) -> pa.Table:
    """One record per group and filled band: mean score, share of positives, Wilson's interval of it.

    Columns: attribute, group, low, high (the band's edges), n, score, positives, rate, lower, upper.
    """
    found = bands_of(counts, bands)
    at, band = np.nonzero(found.rows)
    n, positives = found.rows[at, band], found.positives[at, band]
    lower, upper = wilson(positives, n, confidence)
    return pa.table(
        {
            "attribute": pa.array([joined(counts.attributes)] * len(at), pa.string()),
            "group": pa.array([counts.names[g] for g in at], pa.string()),
            "low": band / bands,
            "high": (band + 1) / bands,
            "n": n,
            "score": found.score[at, band] / n,
            "positives": positives,
            "rate": positives / n,
            "lower": lower,
            "upper": upper,
        }
    )


def calibration_errors(bands: Bands) -> Floats:
    """Each group's expected calibration error, float64 [groups]; NaN for a group without rows."""
    rows = bands.rows.sum(axis=1)
    distance = np.abs(bands.score - bands.positives).sum(axis=1)
    return np.divide(distance, rows, out=np.full(distance.shape, np.nan), where=rows > 0)


def calibration_error_interval(
    bands: Bands, group: int, confidence: float, rng: np.random.Generator, draws: int = _DRAWS
) -> tuple[Estimate, float]:
    """A group's calibration error with its interval, and its mean level by chance.

    A band enters through the sum of its rows' score less outcome alone, for which the normal limit is drawn, given a
    multinomial draw of the rows per band.
    """
    rows = bands.rows[group]
    filled = rows > 0
    n = int(rows.sum())
    mean = (bands.score[group] - bands.positives[group])[filled] / rows[filled]
    spread = np.sqrt(np.maximum(bands.squared_error[group][filled] / rows[filled] - mean**2, 0))
    drawn = multinomial_replicates(rows[filled], draws, rng).T
    resampled = np.abs(drawn * mean + np.sqrt(drawn) * spread * rng.standard_normal(drawn.shape)).sum(axis=1) / n
    noise = rng.standard_normal((draws, len(rows))) * np.sqrt(bands.stated_variance[group])
    chance = float(np.abs(noise).sum(axis=1).mean() / n)
    value = float(calibration_errors(bands)[group])
    return _debiased(value, resampled, chance, confidence), chance


def _debiased(value: float, resampled: Floats, chance: float, confidence: float) -> Estimate:
    """The interval of a sum of magnitudes: the lower edge less the resamples' bias and the level by chance."""
    low, high = (float(edge) for edge in percentile_interval(resampled, confidence))
    bias = max(0.0, float(resampled.mean()) - value)
    return Estimate(value, min(value, max(0.0, low - bias - chance)), max(value, high))


def _mean(total: float, squares: float, n: int, confidence: float, pseudo: float = 0.0) -> Estimate:
    """A mean and its normal interval from sums; `pseudo` is added to the squared deviations, so that none vanish."""
    value = total / n
    deviation = max(0.0, squares - n * value**2) + pseudo
    half = normal_quantile(confidence) * np.sqrt(deviation / max(n - 1, 1) / n)
    return Estimate(value, float(value - half), float(value + half))


def mean_score(counts: ScoreCounts, group: int, confidence: float = 0.95) -> Estimate:
    """A group's mean score with its normal interval."""
    score, squared = counts.sums[:2, group].sum(axis=(1, 2))
    return _clipped(_mean(score, squared, int(counts.cells[group].sum()), confidence), 0, 1)


def calibration_in_the_large(counts: ScoreCounts, group: int, confidence: float = 0.95) -> Estimate:
    """A group's mean score less its base rate, with a normal interval of the rows' differences (never of no width)."""
    positives, n = int(counts.cells[group, 1].sum()), int(counts.cells[group].sum())
    score, squared = counts.sums[0, group].sum(), counts.sums[1, group].sum()
    errors = squared - 2 * counts.sums[0, group, 1].sum() + positives
    return _clipped(_mean(score - positives, errors, n, confidence, pseudo=0.5), -1, 1)


def brier_score(counts: ScoreCounts, group: int, confidence: float = 0.95) -> Estimate:
    """A group's mean squared distance between score and outcome; its error is that of the cells' own means."""
    cells = counts.cells[group].astype(np.float64)
    score, squared = counts.sums[0, group], counts.sums[1, group]
    label = np.array([0.0, 1.0])[:, None]
    errors = squared - 2 * label * score + label * cells
    squares = np.divide(errors**2, cells, out=np.zeros_like(cells), where=cells > 0).sum()
    return _clipped(_mean(float(errors.sum()), float(squares), int(cells.sum()), confidence), 0, 1)


def log_loss(counts: ScoreCounts, group: int, confidence: float = 0.95) -> Estimate:
    """A group's mean log loss with its normal interval; scores of 0 and 1 count as the nearest number to them."""
    loss, squared = counts.sums[2:, group].sum(axis=(1, 2))
    return _clipped(_mean(loss, squared, int(counts.cells[group].sum()), confidence), 0, np.inf)


def _clipped(estimate: Estimate, low: float, high: float) -> Estimate:
    return Estimate(estimate.value, max(estimate.lower, low), min(estimate.upper, high))


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


_NORMAL = "normal interval of the mean"


class _Part:
    """One attribute's groups, judged."""

    def __init__(self, counts: ScoreCounts, settings: Settings, split: str, rng: np.random.Generator) -> None:
        self.counts, self.settings, self.split, self.rng = counts, settings, split, rng
        self.labels = counts.cells.sum(axis=2)
        self.bands = bands_of(counts, BANDS) if counts.bins % BANDS == 0 else bands_of(counts, counts.bins)

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
            few, few_labels = self._too_few(group, both=False), self._too_few(group, both=True)
            ranked = None if few_labels else area_interval(cells[0], cells[1], level)
            yield self._row("score_auc", group, ranked, few_labels, "", "higher", "DeLong's variance in Wilson's form")
            precision = None if few_labels else self._precision(group)
            resamples = f"percentile bootstrap, {_CURVE_DRAWS} resamples"
            yield self._row("average_precision", group, precision, few_labels, "", "higher", resamples)
            judged = not few
            mean = mean_score(self.counts, group, level) if judged else None
            yield self._row("mean_score", group, mean, few, "", "none", _NORMAL)
            large = calibration_in_the_large(self.counts, group, level) if judged else None
            yield self._row("calibration_in_the_large", group, large, few, "points", "none", _NORMAL)
            error, chance = calibration_error_interval(self.bands, group, level, self.rng) if judged else (None, 0.0)
            method = f"bootstrap less its bias, {_DRAWS:,} resamples"
            note = f"by chance {chance:.4f}"
            yield self._row("calibration_error", group, error, few, "points", "lower", method, note)
            brier = brier_score(self.counts, group, level) if judged else None
            yield self._row("brier_score", group, brier, few, "", "lower", _NORMAL)
            loss = log_loss(self.counts, group, level) if judged else None
            yield self._row("log_loss", group, loss, few, "", "lower", _NORMAL)

    def _precision(self, group: int) -> Estimate:
        cells = self.counts.cells[group]
        drawn = np.moveaxis(multinomial_replicates(cells, _CURVE_DRAWS, self.rng), -1, 0)
        values = [average_precision(n, m) for n, m in drawn if m.any()]
        value = average_precision(cells[0], cells[1])
        low, high = (float(edge) for edge in percentile_interval(values, self.settings.confidence))
        return Estimate(value, min(low, value), max(high, value))

    def between(self) -> Iterator[MetricRow]:
        """The gaps between the groups: largest difference of AUC and of xAUC, and ABROCA against the largest group."""
        reasons = [self._too_few(group, both=True) for group in range(len(self.counts.groups))]
        judged = [group for group, reason in enumerate(reasons) if not reason]
        unjudged = tuple(name for name, reason in zip(self.counts.names, reasons, strict=True) if reason)
        few = "" if len(judged) > 1 else f"a comparison needs two groups that can be judged, and {len(judged)} can"
        kept = ScoreCounts(
            self.counts.attributes,
            tuple(self.counts.groups[group] for group in judged),
            self.counts.cells[judged],
            self.counts.sums[:, judged],
        )
        for metric, crossed in (("auc_difference", False), ("cross_auc_difference", True)):
            estimate, pair = (None, ("", "")) if few else widest_difference(kept, crossed, self.settings.confidence)
            method = f"Bonferroni over {len(judged) * (len(judged) - 1) // 2} pairs, DeLong's variance"
            detail = " – ".join(pair)
            yield self._row(metric, None, estimate, few, "points", "lower", method, detail, unjudged)
        largest = max(judged, key=lambda group: int(self.labels[group].sum()), default=-1)
        for group, reason in enumerate(reasons):
            if group != largest:
                yield self._curves(group, largest, reason or few)

    def _curves(self, group: int, other: int, reason: str) -> MetricRow:
        if reason:
            return self._row("abroca", group, None, reason, "", "lower", "")
        sides = [(self.counts.cells[at, 0], self.counts.cells[at, 1]) for at in (group, other)]
        chance = float(area_between_by_chance(sides[0], sides[1], _CURVE_DRAWS, self.rng).mean())
        drawn = [
            [np.moveaxis(multinomial_replicates(side, _CURVE_DRAWS, self.rng), -1, 0) for side in pair]
            for pair in sides
        ]
        resampled = np.array([area_between((a, b), (c, d)) for a, b, c, d in zip(*drawn[0], *drawn[1], strict=True)])
        estimate = _debiased(area_between(sides[0], sides[1]), resampled, chance, self.settings.confidence)
        detail = f"against {self.counts.names[other]}; by chance {chance:.4f}"
        method = f"bootstrap within labels less its bias, {_CURVE_DRAWS} resamples"
        return self._row("abroca", group, estimate, "", "", "lower", method, detail)
