"""How well scores rank within each group: the area under the ROC curve by group, where scores are given.

The area is the chance that a row with a positive label scores above one with a negative label of the same group, ties
counting one half. It depends on no threshold, so it tells a score that is blind for a group from a threshold that is
set unluckily for it. Interval: DeLong's variance in Wilson's form (see `auditkit.statistics.roc`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from auditkit.evidence.metrics import MetricRow
from auditkit.fairness.counts import GroupCodes
from auditkit.fairness.settings import Settings
from auditkit.statistics.roc import auroc_interval


def auc_rows(
    scores: npt.NDArray[np.float64],
    truth: npt.NDArray[np.bool_],
    groups: Mapping[str, tuple[npt.NDArray[np.int64], Sequence[str]]],
    settings: Settings,
) -> list[MetricRow]:
    """The area overall and for each group of each attribute.

    scores, truth: [n], larger scores meaning more positive. groups: attribute → (each row's place, the group names).
    """
    rows = [_row(scores, truth, "", "", settings)]
    for attribute, (places, names) in groups.items():
        for place, name in enumerate(names):
            inside = places == place
            rows.append(_row(scores[inside], truth[inside], attribute, name, settings))
    return rows


def single_groups(groups: GroupCodes) -> dict[str, tuple[npt.NDArray[np.int64], list[str]]]:
    """Each attribute's groups and each row's place among them."""
    found = {}
    for at, attribute in enumerate(groups.attributes):
        names = sorted({group[at] for group in groups.groups})
        place = np.array([names.index(group[at]) for group in groups.groups], dtype=np.int64)
        found[attribute] = (place[groups.codes], names)
    return found


def _row(
    scores: npt.NDArray[np.float64], truth: npt.NDArray[np.bool_], attribute: str, group: str, settings: Settings
) -> MetricRow:
    positives, negatives = scores[truth], scores[~truth]
    needed = max(2, settings.minimum_group)
    reason = ""
    for side, kind in ((positives, "positive"), (negatives, "negative")):
        if not reason and len(side) < needed:
            reason = f"only {len(side)} rows with a {kind} label, fewer than the {needed} needed to judge"
    estimate = None if reason else auroc_interval(negatives, positives, settings.confidence)
    return MetricRow(
        "fairness",
        "auc",
        attribute=attribute,
        group=group,
        value=estimate.value if estimate else None,
        lower=estimate.lower if estimate else None,
        upper=estimate.upper if estimate else None,
        confidence=settings.confidence if estimate else None,
        n=len(scores),
        better="higher",
        status="ok" if estimate else "insufficient",
        reason=reason,
        method="DeLong's variance in Wilson's form" if estimate else "",
    )
