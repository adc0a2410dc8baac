"""The fairness analysis: counts the pass's decisions by group, and infers rates and gaps from the counts."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from auditkit.engine.analysis import Context, Needs, Observation, Observer
from auditkit.errors import InputError
from auditkit.evidence.metrics import Caveat, Findings, MetricRow
from auditkit.fairness.counting.counts import Counts, GroupCodes, encode_column, encode_groups
from auditkit.fairness.groups.conclude import conclude
from auditkit.fairness.groups.draws import Design, checked_weights, design_of
from auditkit.fairness.groups.ranking import Drawn, auc_rows, single_groups
from auditkit.fairness.identity.probe import identity_part, speaks
from auditkit.fairness.outcomes.audited import NumberObserver, number_findings, number_observer, why_not
from auditkit.fairness.outcomes.audited_labels import LabelObserver, label_findings, label_observer
from auditkit.fairness.parts import Rows, in_split, parts_of, thresholds_part
from auditkit.fairness.scores.bins import ScoreCounts
from auditkit.fairness.sensitivity.verdicts import verdicts_table
from auditkit.fairness.settings import Settings
from auditkit.spec import AuditSpec, Gate
from auditkit.subject.data import Split
from auditkit.subject.subject import Subject

JUDGED_ROLES, SCORED_ROLES = ("train", "test"), ("train", "validation", "test")


class FairnessObserver:
    """Counts of group × label × decision over what has passed of a split; `unlabelled` rows are not among them.

    wrong, truth, scores: float64 by row, NaN where the label is not known: 1 where the decision was wrong, else 0; 1
    where the label is positive, else 0; the probability of the positive class. judged: whether rates are to be judged,
    or only scores counted.
    """

    def __init__(self, groups: GroupCodes, positive: int, judged: bool = True) -> None:
        self.groups, self.positive, self.judged = groups, positive, judged
        nobody = np.zeros(0, dtype=bool)
        self.counts = Counts.tally(groups, nobody, nobody, np.zeros(0, dtype=np.int64))
        self.unlabelled = 0
        self.wrong, self.truth, self.scores = np.full((3, len(groups.codes)), np.nan)

    def update(self, observation: Observation) -> None:
        """Count a batch: the decision is the class of the largest logit, positive or not."""
        known = observation.labels >= 0
        decision = observation.logits.argmax(dim=-1).cpu().numpy() == self.positive
        truth = observation.labels == self.positive
        batch = Counts.tally(self.groups, truth[known], decision[known], observation.rows[known])
        self.counts = Counts(batch.attributes, batch.groups, self.counts.cells + batch.cells)
        self.unlabelled += int((~known).sum())
        rows = observation.rows[known]
        self.wrong[rows] = truth[known] != decision[known]
        self.truth[rows] = truth[known]
        probabilities = observation.logits.detach().cpu().double().softmax(dim=-1)
        self.scores[rows] = probabilities[:, self.positive].numpy()[known]

    def merge(self, other: FairnessObserver) -> None:
        """Add what another observer counted of the same split."""
        self.counts = self.counts.merge(other.counts)
        self.unlabelled += other.unlabelled
        mine = np.isnan(self.truth)
        for name in ("wrong", "truth", "scores"):
            setattr(self, name, np.where(mine, getattr(other, name), getattr(self, name)))

    def score_counts(self, split: str) -> ScoreCounts:
        """The labelled rows by group, label and score. Raises InputError where a score is no number."""
        known = np.flatnonzero(~np.isnan(self.truth))
        where = f"split {split!r}, probabilities of the positive class"
        return ScoreCounts.tally(self.groups, self.truth[known] > 0, self.scores[known], rows=known, where=where)


class FairnessAnalysis:
    """Selection and error rates by group and intersection, and the gaps between groups, on reference and test."""

    name = "fairness"
    title = "Fairness"

    def needs(self, subject: Subject, spec: AuditSpec) -> Needs:
        """Logits, where there are groups and a positive class, several labels or a number to judge."""
        if subject.schema.task != "classification":
            return Needs(logits=not why_not(subject))
        return Needs(logits=not _not_applicable(subject))

    def observe(
        self, context: Context, split: Split, earlier: Mapping[str, Observer]
    ) -> FairnessObserver | NumberObserver | LabelObserver | None:
        """Counts for the reference and the test split, scores for validation too; the others sit out."""
        schema = context.subject.schema
        if schema.task == "regression":
            return number_observer(context, split)
        if schema.task == "multilabel":
            return label_observer(context, split)
        if split.role not in SCORED_ROLES or schema.positive_index is None or not schema.sensitive:
            return None
        judged = split.role in JUDGED_ROLES
        columns = {name: split.column(name) for name in schema.sensitive}
        try:
            groups = encode_groups(columns, f"split {split.name!r}")
        except InputError:
            if judged:
                raise
            return None
        return FairnessObserver(groups, schema.positive_index, judged)

    def conclude(self, context: Context, observers: Mapping[str, Observer]) -> Findings:
        """Rates, gaps, what scores add, and the other parts of a check, from the rows that passed."""
        if context.subject.schema.task == "regression":
            return _of_numbers(context, observers, _settings(context.spec))
        if context.subject.schema.task == "multilabel":
            return _of_labels(context, observers, _settings(context.spec))
        reason = _not_applicable(context.subject)
        every = {split: seen for split, seen in observers.items() if isinstance(seen, FairnessObserver)}
        every = {split: observer for split, observer in every.items() if observer.counts.rows}
        seen = {split: observer for split, observer in every.items() if observer.judged}
        settings = _settings(context.spec)
        swapped = identity_part(context, settings) if speaks(context) else Findings()
        if reason or not seen:
            reason = reason or "no split of labelled rows was passed"
            swapped.metrics.insert(0, MetricRow("fairness", "fairness", status="not applicable", reason=reason))
            return swapped
        rows = {split: _labelled(context, split, observer) for split, observer in seen.items()}
        concluded = conclude(
            {split: part.counts for split, part in rows.items()},
            settings,
            {split: observer.groups.missing for split, observer in seen.items()},
            {split: part.design for split, part in rows.items() if part.design is not None},
        )
        findings = concluded.findings()
        findings.caveats += [
            Caveat(
                "fairness", f"split {split}: {observer.unlabelled:,} rows without a label were not counted", "fairness"
            )
            for split, observer in seen.items()
            if observer.unlabelled
        ]
        judged = concluded.judged
        gates = {name: given if isinstance(given, list) else [given] for name, given in context.spec.gates.items()}
        for part in (swapped, *_further(context, rows[judged], every, judged, settings, gates)):
            _join(findings, part)
        findings.tables["verdict_sensitivity"] = verdicts_table(
            rows[judged].counts, findings.metrics, gates, settings, judged
        )
        return findings


def _of_numbers(context: Context, observers: Mapping[str, Observer], settings: Settings) -> Findings:
    """Numbers and errors by group, and how far predictions move with nothing but who a row or sentence is about."""
    findings = number_findings(context, observers, settings)
    split = next((split for split in context.subject.of_role("test") if split.name in observers), None)
    if speaks(context):
        _join(findings, identity_part(context, settings))
    if split is not None and context.subject.schema.sensitive:
        from auditkit.fairness.individual.probe import counterfactual_findings

        _join(findings, counterfactual_findings(context, split, settings))
    return findings


def _of_labels(context: Context, observers: Mapping[str, Observer], settings: Settings) -> Findings:
    """Every label's decisions by group, and which of them hang on nothing but a sensitive value."""
    findings = label_findings(context, observers, settings)
    split = next((split for split in context.subject.of_role("test") if split.name in observers), None)
    if split is not None and context.subject.schema.sensitive:
        from auditkit.fairness.individual.probe import counterfactual_findings

        _join(findings, counterfactual_findings(context, split, settings))
    return findings


def _join(findings: Findings, part: Findings) -> None:
    """Take a part in; rows of tables that both have stand one after the other."""
    findings.metrics += part.metrics
    findings.caveats += part.caveats
    for name, table in part.tables.items():
        there = findings.tables.get(name)
        findings.tables[name] = table if there is None else pa.concat_tables([there, table])


def _settings(spec: AuditSpec) -> Settings:
    given = spec.fairness
    return Settings(
        minimum_group=given.minimum_group,
        replicates=given.replicates,
        confidence=given.confidence,
        intersections=given.intersections,
        seed=(spec.seed, zlib.crc32(b"fairness")),
        reference=tuple(given.reference.items()),
    )


@dataclass(frozen=True)
class _Labelled:
    """The labelled rows of a split: their places in it, what they count to, and how they were drawn."""

    places: npt.NDArray[np.int64]
    rows: Rows
    counts: Counts
    design: Design | None
    drawn: Drawn
    scores: npt.NDArray[np.float64]


def _labelled(context: Context, name: str, observer: FairnessObserver) -> _Labelled:
    split, given = context.subject.split(name), context.spec.fairness
    assert split is not None
    places = np.flatnonzero(~np.isnan(observer.truth))

    def of(asked: str) -> pa.Array:
        return _whole(split.column(asked).take(pa.array(places)))

    def column(asked: str | None) -> pa.Array | None:
        return None if asked is None else of(asked)

    where, all_groups = f"split {name!r}", observer.groups
    groups = GroupCodes(all_groups.attributes, all_groups.groups, all_groups.codes[places], all_groups.missing)
    truth = observer.truth[places] > 0
    decision = truth ^ (observer.wrong[places] > 0)
    weights = checked_weights(column(given.weight), where)
    clusters = column(given.cluster)
    counts = Counts.tally(groups, truth, decision, weights=weights)
    design = design_of(counts, groups, truth, decision, weights, column(given.stratum), clusters, where)
    schema = context.subject.schema
    read = context.subject.model.preprocessing.modality == "text"  # sentences are no values to group people by
    features = [each for each in schema.features if each in split.table.column_names and not read]
    rows = Rows(
        groups,
        truth,
        decision,
        {each: of(each) for each in schema.sensitive},
        {each: of(each) for each in given.control},
        {each: of(each) for each in features},
        weights is None and design is None,
    )
    drawn = Drawn(weights, None if clusters is None else encode_column(clusters)[0])
    return _Labelled(places, rows, counts, design, drawn, observer.scores[places])


def _further(
    context: Context,
    part: _Labelled,
    every: Mapping[str, FairnessObserver],
    judged: str,
    settings: Settings,
    gates: Mapping[str, Sequence[Gate]],
) -> Iterator[Findings]:
    """What is found of the judged split besides its rates and gaps."""
    rows = part.rows
    if np.isfinite(part.scores).all():
        ranked = auc_rows(part.scores, rows.truth, single_groups(rows.groups), settings, part.drawn)
        yield in_split(Findings(metrics=ranked), judged)
    if rows.plain:
        yield from _of_scores(every, part, judged, settings, gates)
    else:
        text = "calibration within groups was not judged: rows are weighted or drawn from strata or clusters"
        yield Findings(caveats=[Caveat("fairness", f"split {judged}: {text}", "fairness/calibration_error", "note")])
    yield from parts_of(rows, part.counts, settings, context.spec.fairness.population, judged)
    split = context.subject.split(judged)
    if split is not None:
        from auditkit.fairness.individual.probe import counterfactual_findings

        yield counterfactual_findings(context, split, settings)


def _of_scores(
    every: Mapping[str, FairnessObserver],
    part: _Labelled,
    judged: str,
    settings: Settings,
    gates: Mapping[str, Sequence[Gate]],
) -> Iterator[Findings]:
    """How well scores are calibrated and rank by group, and what other thresholds would bring: fitted on validation,
    judged on test."""
    from auditkit.fairness.scores.evidence import score_findings

    counts: dict[str, ScoreCounts] = {}
    for split, observer in every.items():
        try:
            counts[split] = observer.score_counts(split)
        except InputError as problem:
            text = f"scores were not judged: {problem}"
            yield Findings(caveats=[Caveat("fairness", text, "fairness/calibration_error")])
    if judged not in counts:
        return
    found = score_findings(counts, part.counts, settings, judged)
    yield found
    if judged == "test" and "validation" in counts:
        yield thresholds_part(counts["validation"], counts["test"], found.metrics, settings, gates, "test")


def _whole(column: pa.Array | pa.ChunkedArray) -> pa.Array:
    return column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column


def _not_applicable(subject: Subject) -> str:
    """Why fairness cannot be judged, or nothing."""
    if not subject.schema.sensitive:
        return "no sensitive attribute is named (columns: sensitive)"
    if subject.schema.positive is None:
        return "no positive class is named (columns: positive)"
    return ""
