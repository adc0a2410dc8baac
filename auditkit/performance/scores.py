"""Performance figures as metric rows: each with an interval, its n and how the interval was made."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt

from auditkit.evidence.metrics import MetricRow
from auditkit.performance.calibration import (
    bin_confidence,
    brier_scores,
    calibration_error,
    calibration_error_replicates,
    calibration_interval,
    error_by_chance,
    log_losses,
)
from auditkit.performance.confusion import (
    balanced_accuracy,
    balanced_accuracy_interval,
    confusion_counts,
    newcombe_difference,
)
from auditkit.performance.observer import Predictions
from auditkit.statistics.intervals import normal_quantile, wilson
from auditkit.statistics.resampling import percentile_interval
from auditkit.statistics.roc import auroc_interval, macro_auroc
from auditkit.subject.data import Schema

AREA_METHOD = "DeLong's variance with pseudo rows, Wilson interval"


@dataclass(frozen=True, slots=True)
class Settings:
    """Bootstrap replicates, confidence of the intervals, bins of confidence, and the seed of the resampling."""

    replicates: int
    confidence: float
    bins: int
    seed: tuple[int, ...]


def score_rows(split: str, found: Predictions, schema: Schema, settings: Settings) -> Iterator[MetricRow]:
    """Every figure of one split. `found` holds labelled rows with finite outputs only, at least one."""
    rng = np.random.default_rng(settings.seed)
    n, level = len(found.rows), settings.confidence
    row = partial(MetricRow, "performance", split=split, n=n, confidence=level, unit="rate", better="higher")
    right = found.predicted == found.labels
    lower, upper = wilson(int(right.sum()), n, level)
    yield row("accuracy", value=float(right.mean()), lower=float(lower), upper=float(upper), method="Wilson")
    confusion = confusion_counts(found.labels, found.predicted, found.classes)
    low, high = balanced_accuracy_interval(confusion, level)
    how = "mean recall; Wilson, for the rows that give a proportion the same variance"
    yield row("balanced_accuracy", value=float(balanced_accuracy(confusion)), lower=low, upper=high, method=how)
    yield from _auc_rows(found, schema, row, level)
    yield from _class_rows(confusion, schema, split, level)
    yield from _calibration(found, right, row, settings, rng)
    excess = found.confidence - right
    mean, margin = float(excess.mean()), normal_quantile(level) * float(excess.std(ddof=1)) / np.sqrt(n)
    how = "mean confidence minus accuracy; normal, from the spread over rows"
    around = partial(row, unit="points", better="none", method=how)
    yield around("overconfidence", value=mean, lower=mean - margin, upper=mean + margin)
    smaller = partial(row, unit="", better="lower", method="normal, from the spread over rows")
    for metric, losses in (
        ("log_loss", log_losses(found.log_probabilities, found.labels)),
        ("brier", brier_scores(found.probabilities, found.labels)),
    ):
        mean, margin = float(losses.mean()), normal_quantile(level) * float(losses.std(ddof=1)) / np.sqrt(n)
        yield smaller(metric, value=mean, lower=max(0.0, mean - margin), upper=mean + margin)


def generalisation_gap(train: Predictions, test: Predictions, confidence: float) -> MetricRow:
    """Accuracy on the reference minus accuracy on test, as one row of the test split."""
    counts = [(int((side.predicted == side.labels).sum()), len(side.rows)) for side in (train, test)]
    gap, lower, upper = newcombe_difference(*counts[0], *counts[1], confidence)
    return MetricRow(
        "performance",
        "generalisation_gap",
        "test",
        value=gap,
        lower=lower,
        upper=upper,
        confidence=confidence,
        n=len(test.rows),
        unit="points",
        better="lower",
        method="train accuracy minus test accuracy, Newcombe",
    )


def _auc_rows(found: Predictions, schema: Schema, row: partial[MetricRow], level: float) -> Iterator[MetricRow]:
    """The AUC of the positive (or second) of two classes; of more, the mean of each class against the rest.

    Log-odds are what is ranked: probabilities would tie where they round to one.
    """
    row = partial(row, unit="")
    present = np.unique(found.labels)
    if present.size < 2:
        reason = f"all rows are of class {schema.classes[int(present[0])]}"
        yield row("auc", confidence=None, status="insufficient", reason=reason)
        return
    odds = found.log_odds()
    if found.classes == 2:
        place = 1 if schema.positive_index is None else schema.positive_index
        area = auroc_interval(*_sides(odds, found.labels, place), level)
        yield row("auc", value=area.value, lower=area.lower, upper=area.upper, method=AREA_METHOD)
        return
    mean = macro_auroc(found.labels, odds, level)
    how = f"mean over classes of one against the rest; {AREA_METHOD}"
    yield row("auc", value=mean.value, lower=mean.lower, upper=mean.upper, method=how)
    for place in present:
        area = auroc_interval(*_sides(odds, found.labels, place), level)
        name = schema.classes[place]
        how = f"one against the rest; {AREA_METHOD}"
        yield row("class_auc", detail=name, value=area.value, lower=area.lower, upper=area.upper, method=how)


def _sides(odds: npt.NDArray[np.float64], labels: npt.NDArray[np.int64], place: int) -> tuple[npt.NDArray, npt.NDArray]:
    mine = labels == place
    return odds[~mine, place], odds[mine, place]


def _class_rows(confusion: npt.NDArray[np.int64], schema: Schema, split: str, level: float) -> Iterator[MetricRow]:
    """Recall and precision of each class."""
    for metric, totals, of in (
        ("class_recall", confusion.sum(axis=1), "no row is of this class"),
        ("class_precision", confusion.sum(axis=0), "no row is predicted as this class"),
    ):
        for place, name in enumerate(schema.classes):
            right, n = int(confusion[place, place]), int(totals[place])
            base = partial(MetricRow, "performance", metric, split, detail=name, n=n, unit="rate", better="higher")
            if n == 0:
                yield base(status="insufficient", reason=of)
                continue
            lower, upper = wilson(right, n, level)
            low, high = float(lower), float(upper)
            yield base(value=right / n, lower=low, upper=high, confidence=level, method="Wilson")


def _calibration(
    found: Predictions,
    right: npt.NDArray[np.bool_],
    row: partial[MetricRow],
    settings: Settings,
    rng: np.random.Generator,
) -> Iterator[MetricRow]:
    """The calibration error, and the one that chance alone would show."""
    error = calibration_error(bin_confidence(found.confidence, right, settings.bins))
    drawn = calibration_error_replicates(found.confidence, right, settings.bins, settings.replicates, rng)
    chance = error_by_chance(found.confidence, settings.bins, settings.replicates, rng)
    low, high = calibration_interval(error, drawn, chance, settings.confidence)
    how = f"{settings.bins} equally wide bins of confidence; bootstrap of {settings.replicates:,} draws, less its bias"
    yield row("calibration_error", value=error, lower=low, upper=high, unit="points", better="lower", method=how)
    edges = percentile_interval(chance, settings.confidence)
    how = f"were the model perfectly calibrated: mean and middle of {settings.replicates:,} draws"
    yield row(
        "calibration_error_by_chance",
        value=float(chance.mean()),
        lower=float(edges[0]),
        upper=float(edges[1]),
        unit="points",
        better="none",
        method=how,
    )
