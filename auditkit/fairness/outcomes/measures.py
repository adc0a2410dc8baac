"""Numbers of groups from their moments: value, standard error on the scale where it is nearest to normal, interval.

Means take Student's t. Errors are positive and lean to the right: their intervals are made on the logarithmic scale,
for RMSE by the delta method. R² is 1 - s / V with s the mean squared error and V the variance of the labels; the
logarithm of s / V has the influence function e² / s - (y - ȳ)² / V, whose variance follows from the moments. Heavy
tails tell less about a spread than their rows: both take no more than Satterthwaite's degrees of freedom (1946,
Biometrics Bulletin 2(6), 110-114), 2 over the variance of the logarithm.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from auditkit.evidence.metrics import Better, Caveat, MetricRow
from auditkit.fairness.counting.counts import JOIN
from auditkit.fairness.groups.definitions import Kind
from auditkit.fairness.outcomes.comparisons import Estimates, Grouping, Scale
from auditkit.fairness.outcomes.moments import (
    ABSOLUTE,
    ERROR,
    PREDICTED,
    SQUARED,
    TRUTH,
    TRUTH_SQUARED,
    Floats,
    Integers,
    Moments,
)
from auditkit.fairness.settings import Settings

TOP_SHARE, DOMINATED = 0.01, 0.5


@dataclass(frozen=True, slots=True)
class Measure:
    """A number of each group. gaps: how groups are compared by it."""

    name: str
    title: str
    better: Better
    scale: Scale
    gaps: tuple[Kind, ...]
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


def reasons(moments: Moments, found: Estimates, measure: Measure, settings: Settings) -> list[str]:
    """Per group, why it has no number, or nothing."""
    needed = max(2, settings.minimum_group)
    found_reasons = []
    for rows, effective, error, variance in zip(
        moments.rows, moments.effective, found.error, moments.label_variance(), strict=True
    ):
        reason = ""
        if rows < needed:
            reason = f"only {rows} rows, fewer than the {needed} needed to judge"
        elif effective < needed - 1e-6:
            reason = f"{rows} weighted rows tell as much as {effective:.1f}, fewer than the {needed} needed to judge"
        elif measure.name == "r2" and variance <= 0:
            reason = "all labels are equal, so there is nothing to explain"
        elif not error > 0:
            same = "all errors are equal in size" if measure.feature != PREDICTED else "all predictions are equal"
            reason = f"{same}, so the spread is unknown"
        found_reasons.append(reason)
    return found_reasons


def group_rows(grouping: Grouping, moments: Moments, measure: Measure, settings: Settings) -> Iterator[MetricRow]:
    """Every group's number with its interval, or why there is none."""
    found = estimates(moments, measure)
    lower, upper = found.intervals(settings.confidence)
    made = {
        "plain": "Student's t",
        "log": "delta method on the logarithm, Student's t",
        "below one": "delta method on the logarithm of 1 - R², Student's t",
    }[measure.scale]
    for at, reason in enumerate(reasons(moments, found, measure, settings)):
        row = MetricRow(
            "fairness",
            measure.name,
            attribute=grouping.attribute,
            group=grouping.names[at],
            n=int(moments.rows[at]),
            better=measure.better,
            status="insufficient",
            reason=reason or "not computed",
        )
        yield (
            row
            if reason
            else replace(
                row,
                value=float(found.value[at]),
                lower=float(lower[at]),
                upper=float(upper[at]),
                confidence=settings.confidence,
                status="ok",
                reason="",
                method=made,
            )
        )


def top_share(squared: Floats, share: float = TOP_SHARE) -> float:
    """What part of the sum the largest `share` of the values carry, at least one of them.

    >>> top_share(np.array([1.0] * 99 + [99.0]))
    0.5
    """
    most = max(1, round(len(squared) * share))
    total = squared.sum()
    return float(np.partition(squared, -most)[-most:].sum() / total) if total > 0 else 0.0


def dominated(
    grouping: Grouping, codes: Integers, squared: Floats, moments: Moments, settings: Settings
) -> Iterator[Caveat]:
    """Groups of which a few rows carry most of the squared error."""
    if JOIN in grouping.attribute:
        return
    place = grouping.places[codes]
    for at, name in enumerate(grouping.names):
        if moments.rows[at] < max(2, settings.minimum_group):
            continue
        share = top_share(squared[place == at])
        if share > DOMINATED:
            whom = f"of {name} ({grouping.attribute})" if grouping.attribute else "of all"
            yield Caveat(
                "fairness",
                f"the largest 1 % of the errors {whom} carry {share:.0%} of its squared error: intervals of RMSE and "
                "R² rest on a few rows and may be too narrow",
                grouping.attribute or "fairness/root_mean_squared_error",
            )
