"""The metric rows of the discipline: how well each detector tells a set apart, and how often it flags normal rows.

For a detector and a set: the area under the ROC curve, the two false positive rates that go by the name FPR95, and the
share of the set flagged at the conformal threshold. `fpr_at_95_id_tpr` keeps 95 % of normal rows and says how many of
the strange ones pass with them; `fpr_at_95_ood_tpr` catches 95 % of the strange rows and says how many normal ones are
caught with them. Papers and libraries mean one or the other, so both are named in full.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from functools import partial

import numpy as np

from auditkit.evidence.metrics import MetricRow
from auditkit.ood.groups import GroupFlags, largest_difference
from auditkit.ood.panel import Unmeasured
from auditkit.ood.scores import Floats
from auditkit.statistics.conformal import Threshold
from auditkit.statistics.intervals import wilson
from auditkit.statistics.roc import auroc_interval, fpr_at_tpr_interval

NAME = "ood"
MINIMUM_ROWS = 30
SEPARATION = ("auroc", "fpr_at_95_id_tpr", "fpr_at_95_ood_tpr")
AUROC_METHOD = "Mann-Whitney area by ranks; DeLong's variance with pseudo rows, Wilson interval"
FPR_METHOD = "exact threshold that occurs; interval by drawing the threshold and, given it, the rate"


def separation_rows(
    split: str, detector: str, normal: Floats, strange: Floats, confidence: float, seed: int
) -> Iterator[MetricRow]:
    """Area and false positive rates of one detector for one set; `normal` and `strange` are finite scores."""
    row = partial(MetricRow, NAME, split=split, detail=detector, n=len(strange))
    few = min(len(normal), len(strange))
    if few < MINIMUM_ROWS:
        for metric in SEPARATION:
            yield row(metric, status="insufficient", reason=f"{few} rows with a score, fewer than {MINIMUM_ROWS}")
        return
    area = auroc_interval(normal, strange, confidence)
    ends = partial(row, confidence=confidence)
    yield ends("auroc", value=area.value, lower=area.lower, upper=area.upper, better="higher", method=AUROC_METHOD)
    rng = np.random.default_rng([seed, zlib.crc32(f"{NAME}/{split}/{detector}".encode())])
    for metric, negatives, positives in (
        ("fpr_at_95_id_tpr", -strange, -normal),
        ("fpr_at_95_ood_tpr", normal, strange),
    ):
        found = fpr_at_tpr_interval(negatives, positives, rng, 0.95, confidence)
        rate = partial(ends, metric, value=found.value, lower=found.lower, upper=found.upper)
        yield rate(unit="rate", better="lower", method=FPR_METHOD)


def unmeasured_rows(split: str, detector: str, why: Unmeasured, metrics: tuple[str, ...]) -> Iterator[MetricRow]:
    """Rows that say why there is no number."""
    for metric in metrics:
        yield MetricRow(NAME, metric, split=split, detail=detector, status=why.status, reason=why.reason)


def flag_row(
    split: str, detector: str, scores: Floats, threshold: Threshold, role: str, confidence: float
) -> MetricRow:
    """The share of a split flagged: `id_flag_rate` on normal rows, `detection_rate` on a set meant to be strange."""
    metric, better = ("detection_rate", "higher") if role == "ood" else ("id_flag_rate", "lower")
    row = partial(MetricRow, NAME, metric, split=split, detail=detector, n=len(scores), unit="rate")
    if len(scores) < MINIMUM_ROWS:
        return row(status="insufficient", reason=f"{len(scores)} rows with a score, fewer than {MINIMUM_ROWS}")
    flagged = int((scores > threshold.value).sum())
    lower, upper = wilson(flagged, len(scores), confidence)
    return row(
        value=flagged / len(scores),
        lower=float(lower),
        upper=float(upper),
        confidence=confidence,
        better=better,  # type: ignore[arg-type]
        method=f"Wilson; {promise(threshold)}",
    )


def promise(threshold: Threshold) -> str:
    """What a threshold promises, in words."""
    return (
        f"threshold at rank {threshold.k:,} of {threshold.n:,} validation scores, made to flag at most "
        f"{threshold.level:.3g} of normal rows with {threshold.confidence:.3g} confidence"
    )


def group_rows(
    split: str, detector: str, counted: list[GroupFlags], minimum: int, confidence: float
) -> Iterator[MetricRow]:
    """Flag rates of one attribute's groups, and their largest difference."""
    attribute = counted[0].attribute
    row = partial(MetricRow, NAME, split=split, attribute=attribute, detail=detector)
    for group in counted:
        rate = partial(row, "group_flag_rate", group=group.group, n=group.rows, unit="rate")
        if group.rows < minimum:
            yield rate(status="insufficient", reason=f"{group.rows} rows, fewer than {minimum}")
            continue
        lower, upper = wilson(group.flagged, group.rows, confidence)
        yield rate(
            value=group.flagged / group.rows,
            lower=float(lower),
            upper=float(upper),
            confidence=confidence,
            better="lower",
            method="Wilson",
        )
    judged = [group for group in counted if group.rows >= minimum]
    small = tuple(group.group for group in counted if group.rows < minimum)
    gap = partial(row, "flag_rate_difference", n=sum(group.rows for group in judged), unit="points", unjudged=small)
    if len(judged) < 2:
        yield gap(status="insufficient", reason=f"fewer than two groups of {attribute} have {minimum} rows or more")
        return
    found = largest_difference(judged, confidence)
    yield gap(
        value=found.value,
        lower=found.lower,
        upper=found.upper,
        confidence=confidence,
        better="lower",
        method=f"{found.high} less {found.low}; bounds that hold for all pairs together",
    )


def inverted_row(split: str, rows: list[MetricRow]) -> tuple[MetricRow, list[str]]:
    """How many detectors call a set more normal than normal rows (area surely below 0.5), and which."""
    areas = [row for row in rows if row.metric == "auroc" and row.split == split and row.status == "ok"]
    if not areas:
        reason = "no detector's area could be measured"
        return MetricRow(NAME, "inverted_detectors", split=split, status="not applicable", reason=reason), []
    turned = [row.detail for row in areas if row.upper is not None and row.upper < 0.5]
    method = "detectors whose area's upper bound is below 0.5"
    value = float(len(turned))
    row = MetricRow(NAME, "inverted_detectors", split=split, value=value, n=len(areas), better="lower", method=method)
    return row, turned
