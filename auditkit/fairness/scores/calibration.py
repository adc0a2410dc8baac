"""Calibration within groups: does a score of 0.8 mean 80 % positives in every group? And how well scores fit at all.

reliability               share of positives against mean score in bands of the score, with Wilson's interval
calibration error         mean distance between the two over the bands, weighted by rows (expected calibration error)
calibration in the large  mean score less base rate: above zero, a group is scored too high
Brier score, log loss     mean squared distance and mean surprise; smaller is better (proper scores)

All from score counts: their sums give the rows' own means, so that nothing but the bands is rounded. Calibration
error never cancels, so noise alone keeps it above zero, and the more so the smaller a group: groups must not be
compared by it without its level by chance, what a group of this size would show if each row were positive with the
probability its score states (Bröcker and Smith 2007, Weather and Forecasting 22(3), 651-661). The interval is the
set of values that a test does not reject (`auditkit.statistics.magnitudes`), since the plain percentile interval never
covers zero. Calibration within groups and equal error rates cannot both hold where base
rates differ (Kleinberg, Mullainathan and Raghavan 2017; Chouldechova 2017).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from auditkit.errors import InputError
from auditkit.fairness.counting.counts import joined
from auditkit.fairness.scores.bins import Floats, ScoreCounts
from auditkit.statistics.intervals import normal_quantile, wilson
from auditkit.statistics.magnitudes import mean_magnitude_interval
from auditkit.statistics.resampling import percentile_interval
from auditkit.statistics.roc import Estimate

BANDS = 10
DRAWS = 2000


@dataclass(frozen=True)
class Bands:
    """Per band of the score: rows, summed score, positives, variance of the outcome as the scores state it, and the
    summed square of (score - outcome). All [..., bands]."""

    rows: npt.NDArray[np.int64]
    score: Floats
    positives: npt.NDArray[np.int64]
    stated_variance: Floats
    squared_error: Floats


def bands_that_fit(counts: ScoreCounts) -> int:
    """Ten bands where the bins divide into them, else as many as there are bins."""
    return BANDS if counts.bins % BANDS == 0 else counts.bins


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
    bands: Bands, group: int, confidence: float, rng: np.random.Generator, draws: int = DRAWS
) -> tuple[Estimate, float]:
    """A group's calibration error with its interval, and its mean level by chance.

    A band enters through the mean of its rows' score less outcome (see `auditkit.statistics.magnitudes`).
    """
    rows = bands.rows[group]
    filled = rows > 0
    n = rows[filled]
    mean = (bands.score[group] - bands.positives[group])[filled] / n
    spread = np.maximum(bands.squared_error[group][filled] / n - mean**2, 0)
    stated = bands.stated_variance[group]
    found = mean_magnitude_interval(mean, n, spread, stated[filled] / n, rng, confidence, draws)
    noise = rng.standard_normal((draws, len(rows))) * np.sqrt(stated)
    return found, float(np.abs(noise).sum(axis=1).mean() / n.sum())


def debiased(value: float, resampled: Floats, chance: float, confidence: float) -> Estimate:
    """The interval of a sum of magnitudes: the lower edge less the resamples' bias and the level by chance."""
    low, high = (float(edge) for edge in percentile_interval(resampled, confidence))
    bias = max(0.0, float(resampled.mean()) - value)
    return Estimate(value, min(value, max(0.0, low - bias - chance)), max(value, high))


class Mean(NamedTuple):
    """A mean, its standard error, and the range it can lie in."""

    value: float
    error: float
    lowest: float
    highest: float

    def interval(self, confidence: float = 0.95) -> Estimate:
        """The normal interval, within the range."""
        half = normal_quantile(confidence) * self.error
        return Estimate(self.value, max(self.value - half, self.lowest), min(self.value + half, self.highest))


def _mean(total: float, squares: float, n: int, lowest: float, highest: float, pseudo: float = 0.0) -> Mean:
    """A mean from sums; `pseudo` is added to the squared deviations, so that none vanish."""
    value = total / n
    deviation = max(0.0, squares - n * value**2) + pseudo
    return Mean(float(value), float(np.sqrt(deviation / max(n - 1, 1) / n)), lowest, highest)


def mean_score(counts: ScoreCounts, group: int) -> Mean:
    """A group's mean score."""
    score, squared = counts.sums[:2, group].sum(axis=(1, 2))
    return _mean(score, squared, int(counts.cells[group].sum()), 0, 1)


def calibration_in_the_large(counts: ScoreCounts, group: int) -> Mean:
    """A group's mean score less its base rate; the error is that of the rows' differences, and never zero."""
    positives, n = int(counts.cells[group, 1].sum()), int(counts.cells[group].sum())
    score, squared = counts.sums[0, group].sum(), counts.sums[1, group].sum()
    errors = squared - 2 * counts.sums[0, group, 1].sum() + positives
    return _mean(score - positives, errors, n, -1, 1, pseudo=0.5)


def brier_score(counts: ScoreCounts, group: int) -> Mean:
    """A group's mean squared distance between score and outcome; its error is that of the cells' own means."""
    cells = counts.cells[group].astype(np.float64)
    score, squared = counts.sums[0, group], counts.sums[1, group]
    label = np.array([0.0, 1.0])[:, None]
    errors = squared - 2 * label * score + label * cells
    squares = np.divide(errors**2, cells, out=np.zeros_like(cells), where=cells > 0).sum()
    return _mean(float(errors.sum()), float(squares), int(cells.sum()), 0, 1)


def log_loss(counts: ScoreCounts, group: int) -> Mean:
    """A group's mean log loss; scores of 0 and 1 count as the nearest number to them."""
    loss, squared = counts.sums[2:, group].sum(axis=(1, 2))
    return _mean(loss, squared, int(counts.cells[group].sum()), 0, np.inf)
