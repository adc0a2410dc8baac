"""What the pass says of predicted numbers: figures by split, the generalisation gap, tables and caveats."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from auditkit.engine.analysis import Context
from auditkit.evidence.metrics import Caveat, Findings, MetricRow
from auditkit.performance.regression.observer import Numbers
from auditkit.performance.regression.scores import FIGURES, generalisation_gap, score_rows
from auditkit.performance.regression.tables import bins_table, predictions_table, residuals_table
from auditkit.statistics.error_measures import top_share

MINIMUM_ROWS = 30
DOMINATED = 0.5
NO_GAP = f"needs a train and a test split with at least {MINIMUM_ROWS} labelled rows each"


def regression_findings(context: Context, answers: Mapping[str, Numbers]) -> Findings:
    """Everything there is to say of these numbers. answers: split name → all its rows."""
    confidence = context.spec.performance.confidence
    judged = {name: found.known() for name, found in answers.items()}
    enough = {name: found for name, found in judged.items() if len(found) >= MINIMUM_ROWS}
    strange = {split.name for split in context.subject.of_role("ood")}
    findings = Findings()
    for name, found in judged.items():
        split = context.subject.split(name)
        if name in enough:
            findings.metrics += score_rows(name, found, confidence)
        elif len(found) or (split is not None and split.role != "ood"):
            reason = f"{len(found)} rows with a label and a finite prediction, fewer than {MINIMUM_ROWS}"
            findings.metrics += [
                MetricRow("performance", metric, name, status="insufficient", reason=reason, n=len(found))
                for metric in FIGURES
            ]
    sides = [enough.get(_of_role(context, role)) for role in ("train", "test")]
    if sides[0] is None or sides[1] is None:
        gap = MetricRow("performance", "generalisation_gap", "test", status="not applicable", reason=NO_GAP)
    else:
        gap = generalisation_gap(sides[0], sides[1], confidence)
    findings.metrics.append(gap)
    findings.tables = {
        "predictions": predictions_table(answers),
        "regression_bins": bins_table(enough, confidence),
        "residuals": residuals_table({name: found for name, found in enough.items() if name not in strange}),
    }
    findings.caveats += _caveats(context, answers, enough)
    return findings


def _of_role(context: Context, role: str) -> str:
    return next((split.name for split in context.subject.in_order() if split.role == role), "")


def _caveats(context: Context, answers: Mapping[str, Numbers], enough: Mapping[str, Numbers]) -> Iterator[Caveat]:
    for name, found in answers.items():
        if found.broken:
            text = f"split {name}: {found.broken:,} of {len(found):,} rows have outputs that are not finite; "
            yield Caveat("performance", text + "they have no prediction and are in no figure")
    for name, found in enough.items():
        share = top_share(np.square(found.errors))
        if name == _of_role(context, "test") and share > DOMINATED:
            text = f"split {name}: the largest 1 % of the errors carry {share:.0%} of the squared error: intervals of "
            yield Caveat("performance", text + "RMSE and R² rest on a few rows and may be too narrow",
                         "performance/rmse")  # fmt: skip
    if not context.subject.of_role("train"):
        text = "there is no train split, so overfitting cannot be seen"
        yield Caveat("performance", text, "performance/generalisation_gap", "note")
