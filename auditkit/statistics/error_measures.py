"""Errors of predicted numbers from their moments: value, standard error on the scale where it is nearest to normal.

Means take Student's t. Errors are positive and lean to the right: their intervals are made on the logarithmic scale,
for RMSE by the delta method. R² is 1 - s / V with s the mean squared error and V the variance of the labels; the
logarithm of s / V has the influence function e² / s - (y - ȳ)² / V, whose variance follows from the moments. Heavy
tails tell less about a spread than their rows: both take no more than Satterthwaite's degrees of freedom (1946,
Biometrics Bulletin 2(6), 110-114), 2 over the variance of the logarithm.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from auditkit.statistics.error_moments import (
    ABSOLUTE,
    ERROR,
    PREDICTED,
    SQUARED,
    TRUTH,
    TRUTH_SQUARED,
    Floats,
    Moments,
)
from auditkit.statistics.estimates import Estimates, Scale

TOP_SHARE = 0.01
METHODS: dict[Scale, str] = {
    "plain": "Student's t",
    "log": "delta method on the logarithm, Student's t",
    "below one": "delta method on the logarithm of 1 - R², Student's t",
}
"""how intervals are made on each scale"""


@dataclass(frozen=True, slots=True)
class Measure:
    """A number of each group. gaps: how groups are compared by it."""

    name: str
    title: str
    better: Literal["higher", "lower", "none"]
    scale: Scale
    gaps: tuple[Literal["difference", "ratio"], ...]
    feature: int


MEASURES: dict[str, Measure] = {
    measure.name: measure
    for measure in (
        Measure("mean_prediction", "mean prediction", "none", "plain", ("difference",), PREDICTED),
        Measure("mean_error", "mean error (bias)", "none", "plain", ("difference",), ERROR),
        Measure("mean_absolute_error", "mean absolute error", "lower", "log", ("difference", "ratio"), ABSOLUTE),
        Measure("root_mean_squared_error", "root mean squared error", "lower", "log", ("difference", "ratio"), SQUARED),
        Measure("r2", "R²", "higher", "below one", ("difference",), SQUARED),
    )
}


def estimates(moments: Moments, measure: Measure) -> Estimates:
    """The measure of each group with its standard error on its scale; NaN where it has no value or no spread."""
    covariance, freedom = moments.covariance(), moments.effective - 1
    mean, at = moments.mean, measure.feature
    with np.errstate(invalid="ignore", divide="ignore"):
        value, variance = mean[:, at], covariance[:, at, at]
        if measure.name == "root_mean_squared_error":
            value, variance = np.sqrt(value), variance / (2 * value) ** 2
        elif measure.name == "r2":
            spread = moments.label_variance()
            slope = np.zeros_like(mean)
            slope[:, SQUARED], slope[:, TRUTH_SQUARED] = 1 / value, -1 / spread
            slope[:, TRUTH] = 2 * mean[:, TRUTH] / spread
            value, variance = 1 - value / spread, np.einsum("gi,gij,gj->g", slope, covariance, slope)
        elif measure.scale == "log":
            variance = variance / value**2
    usable = np.isfinite(value) & (variance > _rounding(moments, measure)) & np.isfinite(variance) & (freedom > 0)
    if measure.feature == SQUARED:
        known = 2 / np.where(usable, variance * (4 if measure.name == "root_mean_squared_error" else 1), np.nan)
        freedom = np.where(usable, np.clip(known, 1.0, np.maximum(freedom, 1.0)), freedom)
    error = np.sqrt(np.where(usable, variance, np.nan))
    return Estimates(np.where(np.isfinite(value), value, np.nan), error, freedom, measure.scale)


def _rounding(moments: Moments, measure: Measure) -> Floats:
    """Variances up to this are rounding: the numbers that were averaged are all equal."""
    size = np.square(moments.mean[:, measure.feature]) if measure.scale == "plain" else np.ones(len(moments.rows))
    return np.asarray(size * 1e-26)


def top_share(squared: Floats, share: float = TOP_SHARE) -> float:
    """What part of the sum the largest `share` of the values carry, at least one of them.

    >>> top_share(np.array([1.0] * 99 + [99.0]))
    0.5
    """
    most = max(1, round(len(squared) * share))
    total = squared.sum()
    return float(np.partition(squared, -most)[-most:].sum() / total) if total > 0 else 0.0
