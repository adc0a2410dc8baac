"""Out of distribution: how well the model, or its data, shows that a row is unlike those it was fitted on.

The training split is streamed into class means, scatter matrices and a bounded bank; every later split is scored as it
passes. Thresholds and p-values come from the validation split, never from test. Test rows stand for normal ones, and
each set of the role ood is held against them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
import pyarrow as pa

from auditkit.engine.analysis import Context, Needs, Observer
from auditkit.evidence.metrics import Caveat, Findings, MetricRow
from auditkit.ood.calibrated import Calibrated, calibrated
from auditkit.ood.groups import GroupFlags, flags_by_group
from auditkit.ood.metrics import (
    NAME,
    SEPARATION,
    flag_row,
    group_rows,
    inverted_row,
    separation_rows,
    unmeasured_rows,
)
from auditkit.ood.panel import Unmeasured, fit_panel
from auditkit.ood.reference import ReferenceObserver, TableInputs
from auditkit.ood.registry import FUSED, chosen
from auditkit.ood.scores import ScoreObserver, Scores
from auditkit.ood.strangest import strangest_table
from auditkit.ood.tables import (
    blame_table,
    detector_table,
    group_table,
    histogram_table,
    score_table,
    threshold_table,
)
from auditkit.spec import AuditSpec
from auditkit.statistics.conformal import Threshold
from auditkit.subject.data import Split
from auditkit.subject.preprocessing import TablePreprocessing, TextPreprocessing
from auditkit.subject.preprocessing.text import UNKNOWN
from auditkit.subject.subject import Subject
from auditkit.theme import interval, number

NO_TEST = Unmeasured("not applicable", "there is no test split to stand for normal rows")
NO_SET = "no out-of-distribution set was given"


class OodAnalysis:
    """Detectors from the one pass, calibrated thresholds, and who gets flagged."""

    name = NAME
    title = "Out of distribution"

    def needs(self, subject: Subject, spec: AuditSpec) -> Needs:
        chosen(spec.ood.detectors)
        return Needs(logits=True, features=True, inputs=True)

    def observe(self, context: Context, split: Split, earlier: Mapping[str, Observer]) -> Observer | None:
        settings = context.spec.ood
        scored = [observer for observer in earlier.values() if isinstance(observer, ScoreObserver)]
        if scored:
            return ScoreObserver(scored[0].panel)
        seen = [observer for observer in earlier.values() if isinstance(observer, ReferenceObserver)]
        if split.role == "train":
            if seen:
                return None
            model, table = context.subject.model, _table_inputs(context.subject)
            classes = 1 if model.multilabel else len(model.classes)
            return ReferenceObserver(classes, table, settings.bank, settings.neighbours, context.spec.seed)
        reference = seen[0].reference() if seen else None
        model = context.subject.model
        detectors = chosen(settings.detectors, model.one_class, model.preprocessing.modality, model.multilabel)
        unknown = UNKNOWN if isinstance(model.preprocessing, TextPreprocessing) else None
        return ScoreObserver(fit_panel(detectors, reference, model.lacks, model.outlier, unknown, model.multilabel))

    def conclude(self, context: Context, observers: Mapping[str, Observer]) -> Findings:
        scored = {name: o for name, o in observers.items() if isinstance(o, ScoreObserver)}
        if not scored:
            reason = "there is no split but the training one, and no row of it can be judged by itself"
            return Findings([MetricRow(NAME, "auroc", status="not applicable", reason=reason)])
        panel = next(iter(scored.values())).panel
        roles = {split.name: split.role for split in context.subject.in_order()}
        known = calibrated(panel, _normal(context, scored), roles, context.spec)
        counted = _groups(context, known)
        findings = Findings(metrics=list(_rows(context, known, counted)), tables=_tables(known, counted))
        if (strangest := strangest_table(context.subject, known)) is not None:
            findings.tables["strangest"] = strangest
        findings.caveats += _caveats(context, known, findings.metrics, observers)
        return findings


def _normal(context: Context, scored: Mapping[str, ScoreObserver]) -> dict[str, Scores]:
    """The scores of every split; rows of the class that a model of one class is to notice only in ood sets."""
    found = {name: observer.scores() for name, observer in scored.items()}
    outlier = context.subject.model.outlier
    for split in context.subject.in_order():
        if outlier is not None and split.name in found and split.role != "ood":
            scores = found[split.name]
            found[split.name] = scores.take(split.labels[scores.rows] != outlier)
    return found


def _table_inputs(subject: Subject) -> TableInputs | None:
    preprocessing = subject.model.preprocessing
    if not isinstance(preprocessing, TablePreprocessing) or not preprocessing.columns:
        return None
    return TableInputs(
        tuple(column.name for column in preprocessing.numeric),
        tuple(column.name for column in preprocessing.categorical),
        tuple(len(column.vocabulary) + 1 for column in preprocessing.categorical),
    )


def _groups(context: Context, known: Calibrated) -> dict[str, list[list[GroupFlags]]]:
    """Detector → the test split's flags by group, one list for each sensitive attribute."""
    split = context.subject.split(known.test or "")
    if split is None:
        return {}
    counted: dict[str, list[list[GroupFlags]]] = {}
    for detector, threshold in known.thresholds.items():
        if isinstance(threshold, Threshold):
            scores = known.scores[split.name]
            flagged, judged = scores.scores[detector] > threshold.value, scores.has(detector)
            counted[detector] = [
                list(flags_by_group(name, split.column(name).take(pa.array(scores.rows[judged])), flagged[judged]))
                for name in context.subject.schema.sensitive
                if name in split.table.column_names
            ]
    return counted


def _rows(context: Context, known: Calibrated, counted: Mapping[str, list[list[GroupFlags]]]) -> Iterator[MetricRow]:
    spec, minimum = context.spec, context.spec.fairness.minimum_group
    areas: list[MetricRow] = []
    if not known.sets:
        yield MetricRow(NAME, "auroc", status="not applicable", reason=NO_SET)
    for split in known.sets:
        for detector in known.detectors:
            why = known.refusal(detector) or (None if known.test else NO_TEST)
            if why:
                areas += unmeasured_rows(split, detector, why, SEPARATION)
                continue
            normal, strange = (known.scores[name].finite(detector) for name in (known.test or "", split))
            areas += separation_rows(split, detector, normal, strange, spec.ood.confidence, spec.seed)
    yield from areas
    for split in known.sets:
        yield inverted_row(split, areas)[0]
    for split in [name for name in (known.test, *known.sets) if name]:
        for detector in known.detectors:
            threshold = known.refusal(detector) or known.thresholds[detector]
            role = "ood" if split in known.sets else "test"
            if isinstance(threshold, Threshold):
                scores = known.scores[split].finite(detector)
                yield flag_row(split, detector, scores, threshold, role, spec.ood.confidence)
            else:
                metric = "detection_rate" if role == "ood" else "id_flag_rate"
                yield from unmeasured_rows(split, detector, threshold, (metric,))
    for groups in counted.get(FUSED, []):
        yield from group_rows(known.test or "", FUSED, groups, minimum, spec.ood.confidence)


def _tables(known: Calibrated, counted: Mapping[str, list[list[GroupFlags]]]) -> dict[str, pa.Table]:
    tables = {
        "scores": pa.concat_tables([score_table(split, known) for split in known.scores]),
        "detectors": detector_table(known.panel, known.members),
        "thresholds": threshold_table(known.thresholds),
    }
    if known.fusion is not None and known.test:
        shown = {split: known.scores[split].finite(FUSED) for split in (known.test, *known.sets)}
        if any(len(values) for values in shown.values()):
            tables["histogram"] = histogram_table(FUSED, shown)
    if any(counted.values()):
        tables["groups"] = group_table(counted)
    blamed = _blamed(known)
    if blamed is not None:
        tables["columns"] = blamed
    return tables


def _blamed(known: Calibrated) -> pa.Table | None:
    """Which columns made the rows strange that the detector with an explanation flags."""
    for name, fitted in known.panel.fitted.items():
        threshold = known.thresholds.get(name)
        if fitted.blame is None or not isinstance(threshold, Threshold):
            continue
        flagged: dict[str, Scores] = {split: known.scores[split] for split in (known.test, *known.sets) if split}
        places = {
            split: scores.blame[name][scores.scores[name] > threshold.value]
            for split, scores in flagged.items()
            if name in scores.blame
        }
        return blame_table(fitted.columns, {split: found for split, found in places.items() if len(found)})
    return None


def _caveats(
    context: Context, known: Calibrated, rows: list[MetricRow], observers: Mapping[str, Observer]
) -> Iterator[Caveat]:
    for split in known.sets:
        for detector in inverted_row(split, rows)[1]:
            text = f"the detector {detector} calls {split} more normal than normal rows"
            yield Caveat(NAME, text, f"{split} {detector}")
    outlier = context.subject.model.outlier
    if outlier is not None and known.test:
        name = context.subject.schema.classes[outlier]
        text = f"split {known.test}: rows of class {name} are no normal rows but what the model is to notice; they "
        text += "were left out, and how well they are told apart stands under performance"
        yield Caveat(NAME, text, known.test, "note")
    for split, scores in known.scores.items():
        if count := int(scores.strange.sum()):
            text = f"split {split}: {count:,} of {len(scores.rows):,} rows have logits or features that are not finite"
            yield Caveat(NAME, f"{text}; they were not scored", split)
        unscored = [~scores.has(name) & ~scores.strange for name in known.panel.fitted]
        if count := int(np.any(unscored, axis=0).sum()) if unscored else 0:
            text = f"split {split}: {count:,} of {len(scores.rows):,} rows have values missing among their inputs"
            yield Caveat(NAME, f"{text}; detectors that read these did not score them, nor did the fused score", split)
    for split, observer in observers.items():
        if isinstance(observer, ReferenceObserver):
            yield from _fit_caveats(split, observer, context.subject.schema.task != "classification")
            if context.subject.model.multilabel and observer.features.rows:
                text = "a row may have several labels, so distances of features are to all training rows together, not "
                yield Caveat(NAME, f"{text}to those of its class", "mahalanobis", "note")
    is_table = isinstance(context.subject.model.preprocessing, TablePreprocessing)
    if is_table and not any(known.panel.sees(name) == "inputs" for name in known.members):
        text = "the fused score sees no inputs, so that gross errors in a table may pass it; add input_mahalanobis"
        yield Caveat(NAME, text, FUSED)
    for row in rows:
        if row.metric == "id_flag_rate" and row.lower is not None and row.lower > context.spec.ood.level:
            found = f"{number(row.value, 'rate', row.lower, row.upper)} {interval(row.lower, row.upper, 'rate')}"
            text = f"{row.detail} flags {found} of test, more than its threshold promised on validation rows"
            yield Caveat(NAME, text, f"{row.split} {row.detail}", level="note")
    if isinstance(why := known.thresholds[FUSED], Unmeasured):
        yield Caveat(NAME, f"there is no fused score: {why.reason}", FUSED)


def _fit_caveats(split: str, observer: ReferenceObserver, classless: bool) -> Iterator[Caveat]:
    if observer.strange:
        text = f"split {split}: {observer.strange:,} rows whose logits or features are not finite were not fitted on"
        yield Caveat(NAME, text, split)
    if observer.unlabelled and not classless:
        text = f"split {split}: {observer.unlabelled:,} rows without a label were fitted on under the predicted class"
        yield Caveat(NAME, text, split)
