"""How well scores rank within each group: the area under the ROC curve by group, where scores are given.

The area is the chance that a row with a positive label scores above one with a negative label of the same group, ties
counting one half. It depends on no threshold, so it tells a score that is blind for a group from a threshold that is
set unluckily for it. Interval: DeLong's variance in Wilson's form (see `auditkit.statistics.roc`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from auditkit.evidence.metrics import MetricRow
from auditkit.fairness.counting.counts import GroupCodes
from auditkit.fairness.groups.margin import FEWEST_CLUSTERS
from auditkit.fairness.settings import Settings
from auditkit.statistics.roc import Estimate, auroc_interval, weighted_auroc_interval


@dataclass(frozen=True)
class Drawn:
    """How rows were drawn. weights: float64 [n], what each weighs; clusters: int64 [n], which cluster it is of."""

    weights: npt.NDArray[np.float64] | None = None
    clusters: npt.NDArray[np.int64] | None = None

    def among(self, rows: npt.NDArray[np.bool_]) -> Drawn:
        """The same of some of the rows."""
        weights = None if self.weights is None else self.weights[rows]
        return Drawn(weights, None if self.clusters is None else self.clusters[rows])


PLAIN = Drawn()


def auc_rows(
    scores: npt.NDArray[np.float64],
    truth: npt.NDArray[np.bool_],
    groups: Mapping[str, tuple[npt.NDArray[np.int64], Sequence[str]]],
    settings: Settings,
    drawn: Drawn = PLAIN,
) -> list[MetricRow]:
    """The area overall and for each group of each attribute.

    scores, truth: [n], larger scores meaning more positive. groups: attribute → (each row's place, the group names).
    drawn: what the rows weigh and which clusters they are of.
    """
    rows = [_row(scores, truth, drawn, "", "", settings)]
    for attribute, (places, names) in groups.items():
        for place, name in enumerate(names):
            inside = places == place
            rows.append(_row(scores[inside], truth[inside], drawn.among(inside), attribute, name, settings))
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
    scores: npt.NDArray[np.float64],
    truth: npt.NDArray[np.bool_],
    drawn: Drawn,
    attribute: str,
    group: str,
    settings: Settings,
) -> MetricRow:
    if drawn.weights is not None:
        weighing = drawn.weights > 0
        scores, truth, drawn = scores[weighing], truth[weighing], drawn.among(weighing)
    needed, reason = max(2, settings.minimum_group), ""
    for side, kind in ((truth, "positive"), (~truth, "negative")):
        rows = int(side.sum())
        if not reason and rows < needed:
            reason = f"only {rows} rows with a {kind} label, fewer than the {needed} needed to judge"
        elif not reason and drawn.clusters is not None and len(np.unique(drawn.clusters[side])) < FEWEST_CLUSTERS:
            reason = f"its rows with a {kind} label lie in fewer than {FEWEST_CLUSTERS} clusters"
    estimate = None if reason else _area(scores, truth, drawn, settings.confidence)
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
        method=f"DeLong's variance in Wilson's form{_how(drawn)}" if estimate else "",
    )


def _area(scores: npt.NDArray[np.float64], truth: npt.NDArray[np.bool_], drawn: Drawn, confidence: float) -> Estimate:
    negatives, positives = scores[~truth], scores[truth]
    if drawn.weights is None and drawn.clusters is None:
        return auroc_interval(negatives, positives, confidence)
    weights = np.ones(len(scores)) if drawn.weights is None else drawn.weights
    clusters = None if drawn.clusters is None else (drawn.clusters[~truth], drawn.clusters[truth])
    return weighted_auroc_interval(negatives, positives, (weights[~truth], weights[truth]), confidence, clusters)


def _how(drawn: Drawn) -> str:
    weighted, clustered = drawn.weights is not None, drawn.clusters is not None
    return ", weighted" * weighted + ", over clusters" * clustered
