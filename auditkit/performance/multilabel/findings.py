"""What the pass says of several labels: figures by split, the generalisation gap, tables and caveats."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping

import numpy as np

from auditkit.engine.analysis import Context
from auditkit.evidence.metrics import Caveat, Findings, MetricRow
from auditkit.performance.multilabel.observer import Answers
from auditkit.performance.multilabel.scores import OF_ALL, OF_EACH, generalisation_gap, score_rows
from auditkit.performance.multilabel.tables import counts_table, curves_table, predictions_table
from auditkit.performance.scores import Settings

MINIMUM_ROWS = 30
NO_GAP = f"needs a train and a test split with at least {MINIMUM_ROWS} labelled rows each"


def multilabel_findings(context: Context, answers: Mapping[str, Answers]) -> Findings:
    """Everything there is to say of these labels. answers: split name → all its rows."""
    labels = context.subject.schema.classes
    judged = {name: found.known() for name, found in answers.items()}
    enough = {name: found for name, found in judged.items() if len(found) >= MINIMUM_ROWS}
    findings = Findings()
    for name, found in judged.items():
        split = context.subject.split(name)
        if name in enough:
            findings.metrics += score_rows(name, found, labels, _settings(context, name))
        elif len(found) or (split is not None and split.role != "ood"):
            findings.metrics += _too_few(name, len(found), labels)
    sides = [enough.get(_of_role(context, role)) for role in ("train", "test")]
    gap = MetricRow("performance", "generalisation_gap", "test", status="not applicable", reason=NO_GAP)
    if sides[0] is not None and sides[1] is not None:
        gap = generalisation_gap(sides[0], sides[1], context.spec.performance.confidence)
    findings.metrics.append(gap)
    findings.tables = {
        "predictions": predictions_table(answers, labels),
        "label_counts": counts_table(enough, labels),
        "precision_recall": curves_table(enough, labels),
    }
    findings.caveats += _caveats(context, answers, enough)
    return findings


def _settings(context: Context, split: str) -> Settings:
    spec = context.spec.performance
    return Settings(spec.replicates, spec.confidence, spec.bins, (context.spec.seed, zlib.crc32(split.encode())))


def _too_few(split: str, rows: int, labels: tuple[str, ...]) -> Iterator[MetricRow]:
    reason = f"{rows} rows with all labels and finite outputs, fewer than {MINIMUM_ROWS}"
    for metric in OF_ALL:
        yield MetricRow("performance", metric, split, status="insufficient", reason=reason, n=rows)
    for metric in OF_EACH:
        for name in labels:
            yield MetricRow("performance", metric, split, detail=name, status="insufficient", reason=reason, n=rows)


def _of_role(context: Context, role: str) -> str:
    return next((split.name for split in context.subject.in_order() if split.role == role), "")


def _caveats(context: Context, answers: Mapping[str, Answers], enough: Mapping[str, Answers]) -> Iterator[Caveat]:
    for name, found in answers.items():
        if found.broken:
            text = f"split {name}: {found.broken:,} of {len(found):,} rows have outputs that are not finite; "
            yield Caveat("performance", text + "they have no prediction and are in no figure")
    for name, found in enough.items():
        if name != _of_role(context, "test"):
            continue
        none, every = ~found.truth.any(axis=0), found.truth.all(axis=0)
        for what, absent in (("no row that has", none), ("no row without", every)):
            if absent.any():
                named = [context.subject.schema.classes[place] for place in np.flatnonzero(absent)]
                text = f"split {name} has {what} {', '.join(named[:10])}, so not all of its figures exist"
                yield Caveat("performance", text, "performance/label_recall")
    if not context.subject.of_role("train"):
        text = "there is no train split, so overfitting cannot be seen"
        yield Caveat("performance", text, "performance/generalisation_gap", "note")
