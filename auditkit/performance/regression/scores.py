"""How far off predicted numbers are, as metric rows with intervals.

mae     mean |p - y|             rmse    √ mean (p - y)²
r2      1 - Σ (p - y)² / Σ (y - ȳ)²: the share of the labels' spread that is explained; below 0 worse than their mean
bias    mean (p - y): above 0, predictions are too high on the whole

Estimates and intervals are those of `auditkit.statistics.error_measures`; no normal errors are assumed. The
generalisation gap is R² on train minus R² on test. The splits are independent, so its limits join those of the two by
squaring and adding (Newcombe 1998; Zou and Donner 2008, Statistics in Medicine 27, 1693-1702).
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import numpy as np

from auditkit.errors import InputError
from auditkit.evidence.metrics import Better, MetricRow
from auditkit.performance.regression.observer import Numbers
from auditkit.statistics.error_measures import MEASURES, METHODS, Measure, estimates
from auditkit.statistics.error_moments import Moments
from auditkit.statistics.estimates import differences

FIGURES: dict[str, tuple[Measure, Better]] = {
    "mae": (MEASURES["mean_absolute_error"], "lower"),
    "rmse": (MEASURES["root_mean_squared_error"], "lower"),
    "r2": (MEASURES["r2"], "higher"),
    "bias": (MEASURES["mean_error"], "none"),
}
"""metric → how it is estimated, and which way is better"""
ALL_EQUAL = "all errors are equal in size, or all labels, so the spread is unknown"


def score_rows(split: str, found: Numbers, confidence: float) -> Iterator[MetricRow]:
    """Every figure of one split. `found` holds rows with truth and finite predictions only, at least two."""
    moments = _moments(split, found)
    for name, (measure, better) in FIGURES.items():
        estimate = estimates(moments, measure)
        lower, upper = (float(edge[0]) for edge in estimate.intervals(confidence))
        row = partial(MetricRow, "performance", name, split, n=len(found), better=better)
        value = float(estimate.value[0])
        if not np.isfinite(value):
            yield row(status="insufficient", reason=ALL_EQUAL)
        elif np.isfinite(lower) and np.isfinite(upper):
            made = METHODS[measure.scale]
            yield row(value=value, lower=lower, upper=upper, confidence=confidence, method=made)
        else:
            yield row(value=value, method=f"no interval: {ALL_EQUAL}")


def generalisation_gap(train: Numbers, test: Numbers, confidence: float) -> MetricRow:
    """R² on the reference minus R² on test, as one row of the test split."""
    row = partial(
        MetricRow, "performance", "generalisation_gap", "test", n=len(test), better="lower",
        method="train R² minus test R², limits of both joined by squaring and adding",
    )  # fmt: skip
    sides = [estimates(_moments(name, side), MEASURES["r2"]) for name, side in (("train", train), ("test", test))]
    value, low, high = (
        np.concatenate(part)
        for part in zip(*((side.value, *side.intervals(confidence)) for side in sides), strict=True)
    )
    if not np.isfinite([value, low, high]).all():
        return row(status="insufficient", reason=ALL_EQUAL, method="")
    gap = differences(np.array([0]), np.array([1]), value, low, high)
    lower, upper = float(gap.lower[0]), float(gap.upper[0])
    return row(value=float(gap.estimate[0]), lower=lower, upper=upper, confidence=confidence)


def _moments(split: str, found: Numbers) -> Moments:
    """The moments of all rows as one group."""
    with np.errstate(over="ignore", invalid="ignore"):
        moments = Moments.tally(np.zeros(len(found), dtype=np.int64), 1, found.truth, found.predicted)
    if not np.isfinite(moments.sampled).all():
        raise InputError(f"split {split!r}: labels and predictions are too large to be squared twice; give them in a "
                         "larger unit")  # fmt: skip
    return moments
