"""Fairness of the labels that an audited model gives: the pass's yes and no by group, on the test split.

Each label is a decision of its own, yes where its logit is 0 or more (a probability of a half). Asked of the rows whose
labels are all known and whose outputs are finite; the rest is said in a caveat. What an audit can be asked of a single
decision alone (reference groups, sampling weights, shares of the population, swaps of identity in texts, other
thresholds) is not judged for several, which a caveat says.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
import numpy.typing as npt

from auditkit.engine.analysis import Context, Observation
from auditkit.evidence.metrics import Caveat, Findings, MetricRow
from auditkit.fairness.counting.counts import GroupCodes, encode_groups
from auditkit.fairness.outcomes.audited import OF_DECISIONS, why_not
from auditkit.fairness.outcomes.multilabel import MAXIMUM_LABELS, multilabel_findings
from auditkit.fairness.parts import in_split
from auditkit.fairness.settings import Settings
from auditkit.spec import FairnessSpec
from auditkit.subject.data import Split

NOT_JUDGED = (
    "of several labels, decisions and gaps between groups are judged label by label; how well scores are calibrated by "
    "group, other thresholds, swaps of identity in texts and mitigation are not: for these, audit a label by itself as "
    "a classification"
)


class LabelObserver:
    """Groups, marks (1, 0, -1 unknown) and decisions (1, 0, -1 none) of one split, int8 [n, labels]."""

    def __init__(self, groups: GroupCodes, labels: int) -> None:
        self.groups = groups
        self.truth, self.decided = np.full((2, len(groups.codes), labels), -1, dtype=np.int8)

    def update(self, observation: Observation) -> None:
        """Take in a batch."""
        assert observation.marks is not None
        logits = observation.logits.double().cpu().numpy()
        self.truth[observation.rows] = observation.marks
        self.decided[observation.rows] = np.where(np.isfinite(logits), logits >= 0, -1)

    def merge(self, other: LabelObserver) -> None:
        """Take in what another has seen of the same split."""
        seen = (other.truth >= 0).any(axis=1) | (other.decided >= 0).any(axis=1)
        self.truth[seen], self.decided[seen] = other.truth[seen], other.decided[seen]

    def known(self) -> npt.NDArray[np.int64]:
        """The rows with all labels known and all outputs finite."""
        return np.flatnonzero(((self.truth >= 0) & (self.decided >= 0)).all(axis=1))


def label_observer(context: Context, split: Split) -> LabelObserver | None:
    """An observer for the test split; the others sit out."""
    schema = context.subject.schema
    if split.role != "test" or not schema.sensitive:
        return None
    columns = {name: split.column(name) for name in schema.sensitive}
    return LabelObserver(encode_groups(columns, f"split {split.name!r}"), len(schema.classes))


def label_findings(context: Context, observers: Mapping[str, object], settings: Settings) -> Findings:
    """Every label's rates by group and the gaps between groups, the worst of them, and figures of all labels."""
    seen = [(name, one) for name, one in observers.items() if isinstance(one, LabelObserver)]
    labels = context.subject.schema.classes
    reason = why_not(context.subject) or ("" if seen else "no test split was passed")
    if not reason and not len(seen[0][1].known()):
        reason = "no row of test has all its labels and finite outputs"
    if not reason and len(labels) > MAXIMUM_LABELS:
        reason = f"{len(labels)} labels are more than the {MAXIMUM_LABELS} that can be judged"
    if reason:
        return Findings([MetricRow("fairness", "fairness", status="not applicable", reason=reason)])
    name, observer = seen[0]
    every, known = observer.groups, observer.known()
    groups = GroupCodes(every.attributes, every.groups, every.codes[known], every.missing)
    truth, decided = (
        {label: side[known, place] for place, label in enumerate(labels)} for side in (observer.truth, observer.decided)
    )
    found = multilabel_findings(groups, truth, decided, settings, f"split {name!r}")
    found.caveats += _caveats(name, len(every.codes) - len(known), context.spec.fairness)
    return in_split(found, name)


def _caveats(split: str, left_out: int, given: FairnessSpec) -> Iterator[Caveat]:
    if left_out:
        text = f"split {split}: {left_out:,} rows without all their labels or without finite outputs were not counted"
        yield Caveat("fairness", text, "fairness")
    if asked := [name for name in ("weight", *OF_DECISIONS) if getattr(given, name)]:
        text = f"fairness: {', '.join(asked)} was set, which is for a single decision; labels were judged without it"
        yield Caveat("fairness", text, "fairness")
    yield Caveat("fairness", f"split {split}: {NOT_JUDGED}", "fairness", "note")
