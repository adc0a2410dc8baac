"""Performance of a model on every split that has labels, from the one pass: of classes, several labels or numbers.

The reference (train) and test stand side by side: their difference is the generalisation gap. Right or wrong is kept
per row, for whoever wants to know what else these rows have in common.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping
from typing import cast

import numpy as np
import pyarrow as pa

from auditkit.engine.analysis import Context, Needs, Observer
from auditkit.evidence.metrics import Caveat, Findings, MetricRow
from auditkit.performance.generation.findings import made_findings
from auditkit.performance.multilabel.findings import multilabel_findings
from auditkit.performance.multilabel.observer import LabelObserver
from auditkit.performance.observer import PredictionObserver, Predictions
from auditkit.performance.regression.findings import regression_findings
from auditkit.performance.regression.observer import NumberObserver
from auditkit.performance.returns import return_findings
from auditkit.performance.scores import Settings, generalisation_gap, score_rows
from auditkit.performance.tables import (
    confusion_table,
    curves_table,
    predictions_table,
    reliability_table,
    roc_table,
)
from auditkit.performance.training_search import TABLE as TRIED
from auditkit.performance.training_search import search_table
from auditkit.performance.transfer import TABLE as CHANGE
from auditkit.performance.transfer import change_table
from auditkit.spec import AuditSpec
from auditkit.subject.data import Split
from auditkit.subject.subject import Subject

MINIMUM_ROWS = 30


class PerformanceAnalysis:
    """Accuracy, AUC, calibration and confusion, with intervals, and how much of it survives on new data."""

    name = "performance"
    title = "Performance"

    def needs(self, subject: Subject, spec: AuditSpec) -> Needs:
        return Needs(logits=True)

    def observe(self, context: Context, split: Split, earlier: Mapping[str, Observer]) -> Observer | None:
        task = context.subject.schema.task
        if task == "multilabel":
            return LabelObserver()
        return NumberObserver() if task == "regression" else PredictionObserver()

    def conclude(self, context: Context, observers: Mapping[str, Observer]) -> Findings:
        schema = context.subject.schema
        if schema.task == "regression":
            numbers = {name: cast(NumberObserver, seen).numbers() for name, seen in observers.items()}
            findings = regression_findings(context, numbers)
            findings.tables |= _of_training(context)
            return findings
        if schema.task == "multilabel":
            given = {name: cast(LabelObserver, seen).answers() for name, seen in observers.items()}
            findings = multilabel_findings(context, given)
            findings.tables |= _of_training(context)
            return findings
        answers = {name: cast(PredictionObserver, seen).predictions() for name, seen in observers.items()}
        judged = {name: found.known() for name, found in answers.items()}
        findings = Findings()
        for name, found in judged.items():
            split = context.subject.split(name)
            assert split is not None
            if len(found.rows) or split.role != "ood":
                findings.metrics += _split_rows(context, name, found)
        findings.metrics += _gap(context, judged)
        enough = {name: found for name, found in judged.items() if len(found.rows) >= MINIMUM_ROWS}
        findings.tables = {
            "predictions": predictions_table(answers, schema),
            "confusion": confusion_table(enough, schema),
            "reliability": reliability_table(enough, _settings(context, "")),
        }
        if schema.positive_index is not None:
            findings.tables["roc"] = roc_table(enough, schema.positive_index)
        findings.tables |= _of_training(context)
        for part in (*made_findings(context, judged), return_findings(context)):
            if part is not None:
                findings.metrics += part.metrics
                findings.tables |= part.tables
        findings.caveats += _caveats(context, answers)
        return findings


def _of_training(context: Context) -> dict[str, pa.Table]:
    """What the model's record says of its training."""
    record = context.subject.model.record
    made = {"curves": curves_table(record), CHANGE: change_table(record), TRIED: search_table(record)}
    return {name: table for name, table in made.items() if table is not None}


def _settings(context: Context, split: str) -> Settings:
    spec = context.spec.performance
    return Settings(spec.replicates, spec.confidence, spec.bins, (context.spec.seed, zlib.crc32(split.encode())))


def _split_rows(context: Context, split: str, found: Predictions) -> Iterator[MetricRow]:
    if len(found.rows) < MINIMUM_ROWS:
        reason = f"{len(found.rows)} rows with a label and finite outputs, fewer than {MINIMUM_ROWS}"
        for metric in ("accuracy", "balanced_accuracy", "auc", "calibration_error", "log_loss", "brier"):
            yield MetricRow("performance", metric, split, status="insufficient", reason=reason, n=len(found.rows))
        return
    yield from score_rows(split, found, context.subject.schema, _settings(context, split))


def _gap(context: Context, judged: Mapping[str, Predictions]) -> list[MetricRow]:
    roles = {split.role: split.name for split in context.subject.in_order() if split.role in ("train", "test")}
    sides = [judged.get(roles.get(role, "")) for role in ("train", "test")]
    if any(side is None or len(side.rows) < MINIMUM_ROWS for side in sides):
        reason = f"needs a train and a test split with at least {MINIMUM_ROWS} labelled rows each"
        row = MetricRow("performance", "generalisation_gap", "test", status="not applicable", reason=reason)
        return [row]
    train, test = cast(list[Predictions], sides)
    if context.subject.model.one_class:
        test = test.of_classes(np.unique(train.labels))
        if len(test.rows) < MINIMUM_ROWS:
            reason = f"fewer than {MINIMUM_ROWS} test rows are of the one class that was trained on"
            return [MetricRow("performance", "generalisation_gap", "test", status="insufficient", reason=reason)]
    return [generalisation_gap(train, test, context.spec.performance.confidence)]


def _caveats(context: Context, answers: Mapping[str, Predictions]) -> list[Caveat]:
    caveats = []
    for name, found in answers.items():
        if found.broken:
            text = f"split {name}: {found.broken:,} of {len(found.rows):,} rows have outputs that are not finite; "
            caveats.append(Caveat("performance", text + "they have no prediction and are in no figure"))
        split = context.subject.split(name)
        present = np.unique(found.labels[found.labels >= 0])
        if split is not None and split.role == "test" and 0 < present.size < found.classes:
            absent = [c for place, c in enumerate(context.subject.schema.classes) if place not in present]
            text = f"split {name} has no row of {len(absent)} classes: {', '.join(absent[:10])}"
            caveats.append(Caveat("performance", text, "performance/balanced_accuracy"))
    if "train" not in {split.role for split in context.subject.splits}:
        text = "there is no train split, so overfitting cannot be seen"
        caveats.append(Caveat("performance", text, "performance/generalisation_gap", "note"))
    return caveats
