"""How good several labels are, as metric rows with intervals.

Of each label (detail: its name) precision, recall, F1, AUC, average precision and Brier score; of all labels of a row
together subset accuracy (all right), Hamming loss (share of single answers that are wrong), micro and macro F1, mean
average precision, label ranking average precision and coverage error. Values are scikit-learn's, but what does not
exist, such as the recall of a label that no row has, is no number here.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial

import numpy as np

from auditkit.evidence.metrics import MetricRow
from auditkit.performance.confusion import newcombe_difference
from auditkit.performance.multilabel.f1 import Counts, averages, label_f1
from auditkit.performance.multilabel.observer import Answers
from auditkit.performance.multilabel.ranking import coverage, ranking_precision
from auditkit.performance.scores import AREA_METHOD, Settings
from auditkit.statistics.average_precision import AveragePrecision, average_precision, averaged
from auditkit.statistics.bounded_means import bounded_mean
from auditkit.statistics.intervals import normal_quantile, wilson
from auditkit.statistics.roc import Estimate, auroc_interval

OF_ALL = ("subset_accuracy", "hamming_loss", "micro_f1", "macro_f1", "mean_average_precision",
          "label_ranking_average_precision", "coverage_error")  # fmt: skip
OF_EACH = ("label_precision", "label_recall", "label_f1", "label_auc", "label_average_precision", "label_brier")
NO_LABEL = "no row has a label, and none is given one"
NONE_HAS, NONE_GIVEN, ALL_HAVE = "no row has this label", "no row is given this label", "every row has this label"
AS_PROPORTION = "Wilson's for the rows that give a proportion the same variance"


def score_rows(split: str, found: Answers, labels: Sequence[str], settings: Settings) -> Iterator[MetricRow]:
    """Every figure of one split. `found` holds rows with all labels and finite outputs only, at least two."""
    precisions = {
        place: average_precision(found.truth[:, place], found.logits[:, place])
        for place in np.flatnonzero(found.truth.any(axis=0)).tolist()
    }
    yield from _rows_of_all(split, found, len(labels), precisions, settings)
    counts = Counts.tally(found.truth, found.given)
    for place, name in enumerate(labels):
        yield from _rows_of_one(split, found, counts, place, name, precisions.get(place), settings.confidence)


def _rows_of_all(
    split: str, found: Answers, labels: int, precisions: dict[int, AveragePrecision], settings: Settings
) -> Iterator[MetricRow]:
    """All labels of a row together."""
    n, level = len(found), settings.confidence
    row = partial(MetricRow, "performance", split=split, n=n, better="higher", unit="rate")
    known = partial(row, confidence=level)
    right = Estimate(*_share(int((found.given == found.truth).all(axis=1).sum()), n, level))
    yield _judged(known, "subset_accuracy", right, "rows with every label right; Wilson")
    wrong = bounded_mean((found.given != found.truth).mean(axis=1), level)
    how = f"share of single answers that are wrong; {AS_PROPORTION}"
    yield _judged(partial(known, better="lower"), "hamming_loss", wrong, how)
    touched = int((found.truth | found.given).any(axis=0).sum())
    if touched:
        rng = np.random.default_rng(settings.seed)
        micro, macro, draws = averages(found.truth, found.given, settings.replicates, level, rng)
        how = f"bootstrap of {draws:,} draws of rows"
        some = "" if touched == labels else f"; over the {touched} of {labels} labels that a row has or is given"
        yield _judged(known, "micro_f1", micro, how)
        yield _judged(known, "macro_f1", macro, how + some)
    else:
        yield from (row(name, status="insufficient", reason=NO_LABEL) for name in ("micro_f1", "macro_f1"))
    row, known = partial(row, unit=""), partial(known, unit="")
    if precisions:
        mean = averaged(list(precisions.values()), level)
        some = "" if len(precisions) == labels else f" over the {len(precisions)} of {labels} labels that a row has"
        how = f"mean of the labels' average precision{some}; infinitesimal jackknife, {AS_PROPORTION}"
        yield _judged(known, "mean_average_precision", mean, how)
    else:
        yield row("mean_average_precision", status="insufficient", reason="no row has a label")
    ranked = bounded_mean(ranking_precision(found.truth, found.logits), level)
    how = f"mean over rows, 1 for those with none or all of the labels; {AS_PROPORTION}"
    yield _judged(known, "label_ranking_average_precision", ranked, how)
    depth = _around(coverage(found.truth, found.logits), level, float(labels))
    how = "labels from the top to meet all of the row's, mean over rows, 0 for those with none; normal, from the spread"
    yield _judged(partial(known, better="lower", unit="labels"), "coverage_error", depth, how)


def _rows_of_one(
    split: str, found: Answers, counts: Counts, place: int, name: str, precision: AveragePrecision | None, level: float
) -> Iterator[MetricRow]:
    """One label against its absence."""
    right, positives, given = (int(part[place]) for part in (counts.right, counts.positives, counts.given))
    row = partial(MetricRow, "performance", split=split, detail=name, better="higher", unit="rate")
    known = partial(row, confidence=level)
    for metric, n, reason in (("label_precision", given, NONE_GIVEN), ("label_recall", positives, NONE_HAS)):
        if n:
            yield _judged(partial(known, n=n), metric, Estimate(*_share(right, n, level)), "Wilson")
        else:
            yield row(metric, n=0, status="insufficient", reason=reason)
    if touched := int(counts.touched[place]):
        how = "Wilson's of Jaccard's index, of which F1 is a function"
        yield _judged(partial(known, n=touched), "label_f1", label_f1(right, touched, level), how)
    else:
        yield row("label_f1", n=0, status="insufficient", reason="no row has this label or is given it")
    mine, scores = found.truth[:, place], found.logits[:, place]
    row, known = (partial(part, unit="", n=len(found)) for part in (row, known))
    if 0 < positives < len(found):
        yield _judged(known, "label_auc", auroc_interval(scores[~mine], scores[mine], level), AREA_METHOD)
    else:
        yield row("label_auc", status="insufficient", reason=ALL_HAVE if positives else NONE_HAS)
    if precision is not None:
        how = f"infinitesimal jackknife, {AS_PROPORTION}, at most as many as have the label"
        yield _judged(known, "label_average_precision", precision.interval(level), how)
    else:
        yield row("label_average_precision", status="insufficient", reason=NONE_HAS)
    brier = _around((found.probabilities[:, place] - mine) ** 2, level, 1.0)
    yield _judged(partial(known, better="lower"), "label_brier", brier, "normal, from the spread over rows")


def generalisation_gap(train: Answers, test: Answers, confidence: float) -> MetricRow:
    """Subset accuracy on the reference minus that on test, as one row of the test split."""
    counts = [(int((side.given == side.truth).all(axis=1).sum()), len(side)) for side in (train, test)]
    gap = Estimate(*newcombe_difference(*counts[0], *counts[1], confidence))
    row = partial(MetricRow, "performance", split="test", n=len(test), unit="points", better="lower",
                  confidence=confidence)  # fmt: skip
    return _judged(row, "generalisation_gap", gap, "train minus test subset accuracy, Newcombe")


def _judged(row: partial[MetricRow], metric: str, found: Estimate, method: str) -> MetricRow:
    return row(metric, value=found.value, lower=found.lower, upper=found.upper, method=method)


def _share(successes: int, n: int, level: float) -> tuple[float, float, float]:
    lower, upper = wilson(successes, n, level)
    return successes / n, float(lower), float(upper)


def _around(values: np.ndarray, level: float, most: float) -> Estimate:
    mean = float(values.mean())
    margin = normal_quantile(level) * float(values.std(ddof=1)) / float(np.sqrt(len(values)))
    return Estimate(mean, max(0.0, mean - margin), min(most, mean + margin))
