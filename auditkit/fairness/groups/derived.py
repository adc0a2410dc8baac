"""Metrics of a group that are no share of its rows, but follow from the same four counts.

balanced accuracy   mean of the true positive and true negative rate
F1                  2 TP / (2 TP + FP + FN)
Matthews            correlation of label and decision (Matthews 1975, Biochimica et Biophysica Acta 405, 442-451)
treatment equality  FN / FP, wrong refusals for each wrong grant (Berk et al. 2021, Sociological Methods & Research)

Intervals are percentile intervals of resampled counts. Where a denominator is zero there is no value, and where it
rests on fewer rows than can be judged it is insufficient; a resample without a value makes the interval unsafe, so the
metric is then insufficient too.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from auditkit.evidence.metrics import Better, MetricRow
from auditkit.fairness.counting.counts import joined
from auditkit.fairness.groups.margin import Margin
from auditkit.fairness.settings import Settings
from auditkit.statistics.resampling import percentile_interval

Floats = npt.NDArray[np.float64]
Formula = Callable[[Floats, Floats, Floats, Floats], tuple[Floats, Floats]]


@dataclass(frozen=True, slots=True)
class Derived:
    """formula: (TN, FP, FN, TP) → (numerator, denominator). rests_on: the counts whose smallest sum must suffice."""

    name: str
    title: str
    formula: Formula
    rests_on: tuple[str, ...]
    better: Better
    unit: str = ""


def _balanced(tn: Floats, fp: Floats, fn: Floats, tp: Floats) -> tuple[Floats, Floats]:
    positives, negatives = tp + fn, tn + fp
    return tp * negatives + tn * positives, 2 * positives * negatives


def _f1(tn: Floats, fp: Floats, fn: Floats, tp: Floats) -> tuple[Floats, Floats]:
    return 2 * tp, 2 * tp + fp + fn


def _matthews(tn: Floats, fp: Floats, fn: Floats, tp: Floats) -> tuple[Floats, Floats]:
    return tp * tn - fp * fn, np.sqrt((tp + fp) * (tp + fn) * (tn + fp) * (tn + fn))


def _treatment(tn: Floats, fp: Floats, fn: Floats, tp: Floats) -> tuple[Floats, Floats]:
    return fn, fp


POSITIVE, NEGATIVE, ERRORS = "positive labels", "negative labels", "wrong grants"
DERIVED: dict[str, Derived] = {
    metric.name: metric
    for metric in (
        Derived("balanced_accuracy", "balanced accuracy", _balanced, (POSITIVE, NEGATIVE), "higher", "rate"),
        Derived("f1", "F1", _f1, (POSITIVE,), "higher"),
        Derived("matthews_correlation", "Matthews correlation", _matthews, (POSITIVE, NEGATIVE), "higher"),
        Derived("treatment_equality", "wrong refusals per wrong grant", _treatment, (ERRORS,), "none", "ratio"),
    )
}


def derived_values(cells: npt.NDArray, metric: Derived) -> Floats:
    """A metric of each table of counts; NaN where it has no value.

    cells: [groups, label, decision, ...]; returns float64 [groups, ...].

    >>> derived_values(np.array([[[4, 1], [1, 4]]]), DERIVED["balanced_accuracy"]).tolist()
    [0.8]
    """
    counts = cells.astype(np.float64)
    numerator, denominator = metric.formula(counts[:, 0, 0], counts[:, 0, 1], counts[:, 1, 0], counts[:, 1, 1])
    return np.divide(numerator, denominator, out=np.full(numerator.shape, np.nan), where=denominator > 0)


def derived_rows(margin: Margin, settings: Settings, split: str = "") -> Iterator[MetricRow]:
    """A metric row for each group and derived metric."""
    counts, resamples = margin.counts, margin.resamples
    sums = {
        POSITIVE: counts.cells[:, 1].sum(axis=1),
        NEGATIVE: counts.cells[:, 0].sum(axis=1),
        ERRORS: counts.cells[:, 0, 1],
    }
    for metric in DERIVED.values():
        values = derived_values(counts.totals, metric)
        reasons = [_reason(metric, {of: int(sums[of][at]) for of in metric.rests_on}, settings, values[at])
                   for at in range(len(values))]  # fmt: skip
        judged = np.array([not reason for reason in reasons])
        drawn = derived_values(resamples[judged], metric)
        unsafe = np.isnan(drawn).any(axis=1)
        lower, upper = np.full((2, len(values)), np.nan)
        if judged.any():
            lower[judged], upper[judged] = percentile_interval(np.nan_to_num(drawn), settings.confidence)
        places = np.flatnonzero(judged)[unsafe]
        for at, group in enumerate(counts.names):
            reason = reasons[at] or ("too few errors for an interval" if at in places else "")
            yield MetricRow(
                "fairness",
                metric.name,
                split=split,
                attribute=joined(counts.attributes),
                group=group,
                value=None if reason else float(values[at]),
                lower=None if reason else float(lower[at]),
                upper=None if reason else float(upper[at]),
                confidence=None if reason else settings.confidence,
                n=int(counts.cells[at].sum()),
                unit=metric.unit,
                better=metric.better,
                status="insufficient" if reason else "ok",
                reason=reason,
                method="" if reason else f"percentile bootstrap, {settings.replicates:,} resamples",
            )


def _reason(metric: Derived, sums: dict[str, int], settings: Settings, value: float) -> str:
    """Why a group's metric is not judged, or nothing."""
    for of, rows in sums.items():
        if rows < max(1, settings.minimum_group):
            return f"only {rows} {of}, fewer than the {settings.minimum_group} needed to judge" if rows else f"no {of}"
    return "its denominator is zero" if np.isnan(value) else ""
