"""The fairness analysis: counts the pass's decisions by group, and infers rates and gaps from the counts."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from functools import partial

import numpy as np
import pyarrow as pa

from auditkit.engine.analysis import Context, Needs, Observation, Observer
from auditkit.errors import InputError
from auditkit.evidence.metrics import Caveat, Findings, MetricRow
from auditkit.fairness.conclude import conclude
from auditkit.fairness.counts import Counts, GroupCodes, encode_groups
from auditkit.fairness.settings import Settings
from auditkit.spec import AuditSpec
from auditkit.subject.data import Split
from auditkit.subject.subject import Subject

JUDGED_ROLES = ("train", "test")


class FairnessObserver:
    """Counts of group × label × decision over what has passed of a split; `unlabelled` rows are not among them.

    wrong: float64 by row, 1 where the decision was wrong, 0 where it was right, NaN where that is not known.
    """

    def __init__(self, groups: GroupCodes, positive: int) -> None:
        self.groups, self.positive = groups, positive
        nobody = np.zeros(0, dtype=bool)
        self.counts = Counts.tally(groups, nobody, nobody, np.zeros(0, dtype=np.int64))
        self.unlabelled = 0
        self.wrong = np.full(len(groups.codes), np.nan)

    def update(self, observation: Observation) -> None:
        """Count a batch: the decision is the class of the largest logit, positive or not."""
        known = observation.labels >= 0
        decision = observation.logits.argmax(dim=-1).cpu().numpy() == self.positive
        truth = observation.labels == self.positive
        batch = Counts.tally(self.groups, truth[known], decision[known], observation.rows[known])
        self.counts = Counts(batch.attributes, batch.groups, self.counts.cells + batch.cells)
        self.unlabelled += int((~known).sum())
        self.wrong[observation.rows[known]] = truth[known] != decision[known]

    def merge(self, other: FairnessObserver) -> None:
        """Add what another observer counted of the same split."""
        self.counts = self.counts.merge(other.counts)
        self.unlabelled += other.unlabelled
        self.wrong = np.where(np.isnan(self.wrong), other.wrong, self.wrong)


class FairnessAnalysis:
    """Selection and error rates by group and intersection, and the gaps between groups, on reference and test."""

    name = "fairness"
    title = "Fairness"

    def needs(self, subject: Subject, spec: AuditSpec) -> Needs:
        """Logits, where there are groups and a positive class to judge."""
        return Needs(logits=not _not_applicable(subject))

    def observe(self, context: Context, split: Split, earlier: Mapping[str, Observer]) -> FairnessObserver | None:
        """Counts for the reference and the test split; the others sit out."""
        schema = context.subject.schema
        if split.role not in JUDGED_ROLES or schema.positive_index is None or not schema.sensitive:
            return None
        columns = {name: split.column(name) for name in schema.sensitive}
        return FairnessObserver(encode_groups(columns, f"split {split.name!r}"), schema.positive_index)

    def conclude(self, context: Context, observers: Mapping[str, Observer]) -> Findings:
        """Rates, gaps and caveats from the counts."""
        reason = _not_applicable(context.subject)
        seen = {split: seen for split, seen in observers.items() if isinstance(seen, FairnessObserver)}
        seen = {split: observer for split, observer in seen.items() if observer.counts.rows}
        if reason or not seen:
            reason = reason or "no split of labelled rows was passed"
            return Findings(metrics=[MetricRow("fairness", "fairness", status="not applicable", reason=reason)])
        given = context.spec.fairness
        settings = Settings(
            minimum_group=given.minimum_group,
            replicates=given.replicates,
            confidence=given.confidence,
            intersections=given.intersections,
            seed=(context.spec.seed, zlib.crc32(b"fairness")),
        )
        missing = {split: observer.groups.missing for split, observer in seen.items()}
        findings = conclude({split: observer.counts for split, observer in seen.items()}, settings, missing).findings()
        findings.caveats += [
            Caveat(
                "fairness", f"split {split}: {observer.unlabelled:,} rows without a label were not counted", "fairness"
            )
            for split, observer in seen.items()
            if observer.unlabelled
        ]
        _add_slices(context, findings, seen)
        return findings


def _add_slices(context: Context, findings: Findings, seen: Mapping[str, FairnessObserver]) -> None:
    """Where the model errs most on test, over all columns of the table."""
    split = context.subject.split("test")
    if split is None or "test" not in seen:
        return
    from auditkit.fairness.slices import find_slices

    wrong = seen["test"].wrong
    known = np.flatnonzero(~np.isnan(wrong))
    names = dict.fromkeys([*context.subject.schema.features, *context.subject.schema.sensitive])
    columns = {name: split.column(name).take(pa.array(known)) for name in names if name in split.table.column_names}
    try:
        found = find_slices(columns, wrong[known], seed=context.spec.seed, confidence=context.spec.fairness.confidence)
    except InputError as problem:
        findings.caveats.append(Caveat("fairness", f"no worst slice was searched for: {problem}", "slices", "note"))
        return
    findings.tables["slices"] = found.table()
    row = partial(MetricRow, "fairness", split="test", confidence=found.confidence)
    findings.metrics.append(row("confirmed_slices", value=float(len(found.found)), n=found.rows, better="lower"))
    findings.metrics += [
        row(
            "slice_error_rate",
            detail=one.text,
            value=one.confirm_loss,
            lower=one.loss_lower,
            upper=one.loss_upper,
            n=one.confirm_n,
            unit="rate",
            better="lower",
            method="on the half of the rows that was not searched; holds for all listed slices at once",
        )
        for one in found.found
    ]


def _not_applicable(subject: Subject) -> str:
    """Why fairness cannot be judged, or nothing."""
    if not subject.schema.sensitive:
        return "no sensitive attribute is named (columns: sensitive)"
    if subject.schema.positive is None:
        return "no positive class is named (columns: positive)"
    return ""
