"""Out of distribution: how well the model, or its data, shows that a row is unlike those it was fitted on.

The training split is streamed into class means, scatter matrices and a bounded bank; every later split is scored as it
passes. Thresholds and p-values come from the validation split, never from test. Test rows stand for normal ones, and
each set of the role ood is held against them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import cast

import numpy as np
import pyarrow as pa

from auditkit.engine.analysis import Context, Needs, Observer
from auditkit.evidence.metrics import Caveat, Findings, MetricRow
from auditkit.ood.detector import Detector, Fitted, NotApplicableError
from auditkit.ood.fusion import Fusion, calibrate, members_of
from auditkit.ood.groups import GroupFlags, flags_by_group
from auditkit.ood.metrics import (
    NAME,
    SEPARATION,
    Unmeasured,
    flag_row,
    group_rows,
    inverted_row,
    separation_rows,
    unmeasured_rows,
)
from auditkit.ood.reference import ReferenceObserver, TableInputs
from auditkit.ood.registry import FUSED, chosen
from auditkit.ood.scores import Floats, ScoreObserver, Scores
from auditkit.ood.tables import blame_table, detector_table, histogram_table, score_table, threshold_table
from auditkit.spec import AuditSpec
from auditkit.statistics.conformal import Threshold, conformal_threshold, fewest_rows
from auditkit.subject.data import Split
from auditkit.subject.preprocessing import TablePreprocessing
from auditkit.subject.subject import Subject

NO_TRAIN = Unmeasured("not applicable", "there is no training split to fit on")
NO_VALIDATION = Unmeasured("not applicable", "there is no validation split to set a threshold on")


class OodAnalysis:
    """Detectors from the one pass, calibrated thresholds, and who gets flagged."""

    name = NAME
    title = "Out of distribution"

    def needs(self, subject: Subject, spec: AuditSpec) -> Needs:
        chosen(spec.ood.detectors)
        return Needs(logits=True, features=True, inputs=True)

    def observe(self, context: Context, split: Split, earlier: Mapping[str, Observer]) -> Observer | None:
        settings = context.spec.ood
        if split.role == "train":
            classes, table = len(context.subject.model.classes), _table_inputs(context.subject)
            return ReferenceObserver(classes, table, settings.bank, settings.neighbours, context.spec.seed)
        return ScoreObserver(_fitted(context, earlier)[0])

    def conclude(self, context: Context, observers: Mapping[str, Observer]) -> Findings:
        return _Conclusion.drawn(context, observers).findings()


def _table_inputs(subject: Subject) -> TableInputs | None:
    preprocessing = subject.model.preprocessing
    if not isinstance(preprocessing, TablePreprocessing):
        return None
    return TableInputs(
        tuple(column.name for column in preprocessing.numeric),
        tuple(column.name for column in preprocessing.categorical),
        tuple(len(column.vocabulary) + 1 for column in preprocessing.categorical),
    )


def _fitted(context: Context, earlier: Mapping[str, Observer]) -> tuple[dict[str, Fitted], dict[str, Unmeasured]]:
    """The chosen detectors fitted on what was seen of the training split, and why others could not be."""
    for observer in earlier.values():
        if isinstance(observer, ScoreObserver):
            return dict(observer.fitted), dict(observer.refused)
    return {}, {}
