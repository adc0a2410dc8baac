"""Fairness of the numbers that an audited model predicts: the pass's predictions by group, on the test split.

Asked of the rows with a true number and a finite prediction; the rest is said in a caveat. What an audit can be asked
of decisions alone (reference groups, shares of the population, columns that may explain a gap, samples drawn in
strata or clusters) is not judged for numbers, which a caveat says where it was asked.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pyarrow as pa

from auditkit.engine.analysis import Context, Observation
from auditkit.evidence.metrics import Caveat, Findings, MetricRow
from auditkit.fairness.counting.counts import GroupCodes, encode_groups
from auditkit.fairness.groups.draws import checked_weights
from auditkit.fairness.outcomes.regression import regression_findings
from auditkit.fairness.parts import in_split
from auditkit.fairness.settings import Settings
from auditkit.spec import FairnessSpec
from auditkit.subject.data import Split
from auditkit.subject.subject import Subject

OF_DECISIONS = ("stratum", "cluster", "reference", "control", "population")


class NumberObserver:
    """Groups, true numbers and predictions of one split, NaN where they are not known; float64 by row."""

    def __init__(self, groups: GroupCodes) -> None:
        self.groups = groups
        self.truth, self.predicted = np.full((2, len(groups.codes)), np.nan)

    def update(self, observation: Observation) -> None:
        """Take in a batch."""
        assert observation.targets is not None
        self.truth[observation.rows] = observation.targets
        self.predicted[observation.rows] = observation.logits[:, 0].double().cpu().numpy()

    def merge(self, other: NumberObserver) -> None:
        """Take in what another has seen of the same split."""
        seen = ~np.isnan(other.predicted)
        self.truth[seen], self.predicted[seen] = other.truth[seen], other.predicted[seen]


def number_observer(context: Context, split: Split) -> NumberObserver | None:
    """An observer for the test split; the others sit out."""
    sensitive = context.subject.schema.sensitive
    if split.role != "test" or not sensitive:
        return None
    return NumberObserver(encode_groups({name: split.column(name) for name in sensitive}, f"split {split.name!r}"))


def why_not(subject: Subject) -> str:
    """Why numbers or labels cannot be compared between groups, or nothing."""
    return "" if subject.schema.sensitive else "no sensitive attribute is named (columns: sensitive)"


def number_findings(context: Context, observers: Mapping[str, object], settings: Settings) -> Findings:
    """Numbers and errors by group, and the gaps between groups."""
    seen = [(name, one) for name, one in observers.items() if isinstance(one, NumberObserver)]
    reason = why_not(context.subject)
    if reason or not seen:
        reason = reason or "no test split was passed"
        return Findings([MetricRow("fairness", "fairness", status="not applicable", reason=reason)])
    name, observer = seen[0]
    split, given = context.subject.split(name), context.spec.fairness
    assert split is not None
    known = np.flatnonzero(np.isfinite(observer.truth) & np.isfinite(observer.predicted))
    if not len(known):
        reason = "no row of test has a true number and a finite prediction"
        return Findings([MetricRow("fairness", "fairness", status="not applicable", reason=reason)])
    every = observer.groups
    groups = GroupCodes(every.attributes, every.groups, every.codes[known], every.missing)
    weights = None
    if given.weight is not None:
        weights = checked_weights(split.column(given.weight).take(pa.array(known)).combine_chunks(), f"split {name!r}")
    found = regression_findings(groups, observer.truth[known], observer.predicted[known], settings, weights)
    found.caveats += _caveats(name, len(every.codes) - len(known), given)
    return in_split(found, name)


def _caveats(split: str, left_out: int, given: FairnessSpec) -> list[Caveat]:
    caveats = []
    if left_out:
        text = f"split {split}: {left_out:,} rows without a number or a finite prediction were not counted"
        caveats.append(Caveat("fairness", text, "fairness"))
    if asked := [name for name in OF_DECISIONS if getattr(given, name)]:
        text = f"fairness: {', '.join(asked)} was set, which is for decisions; numbers were judged without it"
        caveats.append(Caveat("fairness", text, "fairness"))
    return caveats
