"""The performance discipline as sections."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from auditkit.evidence.metrics import MetricRow, select
from auditkit.evidence.section import Section
from auditkit.performance import figures
from auditkit.performance.generation.view import made_sections
from auditkit.performance.multilabel.view import multilabel_sections
from auditkit.performance.regression.view import regression_sections
from auditkit.performance.training_search import search_section
from auditkit.performance.transfer import change_section
from auditkit.theme import interval, number

LABELS = {
    "accuracy": "accuracy",
    "balanced_accuracy": "balanced accuracy",
    "auc": "AUC",
    "calibration_error": "expected calibration error",
    "calibration_error_by_chance": "the same, by chance alone",
    "overconfidence": "confidence minus accuracy",
    "log_loss": "log loss",
    "brier": "Brier score",
    "generalisation_gap": "generalisation gap",
}
OF_MERIT = ("accuracy", "balanced_accuracy", "auc")
SHOWN_SPLITS = ("train", "validation", "test")


def sections(evidence: Any) -> list[Section]:
    """The sections there is evidence for."""
    rows = select(evidence.rows, analysis="performance")
    if not rows:
        return []
    task = (evidence.info.get("schema") or {}).get("task")
    if task in ("regression", "multilabel"):
        show = regression_sections if task == "regression" else multilabel_sections
        trained = (_curves(evidence, rows), search_section(evidence), change_section(evidence))
        return [*show(evidence, rows), *(section for section in trained if section is not None)]
    made = [_overview(rows), _reliability(evidence, rows), _confusion(evidence, rows)]
    made += [_curves(evidence, rows), search_section(evidence), change_section(evidence), _roc(evidence, rows)]
    return [*(section for section in made if section is not None), *made_sections(evidence, rows)]


def _one(rows: Sequence[MetricRow], metric: str, split: str = "test") -> MetricRow | None:
    return next(iter(select(rows, metric=metric, split=split, detail="")), None)


def _shown(row: MetricRow) -> str:
    text = number(row.value, row.unit, row.lower, row.upper)
    return text if row.lower is None else f"{text} {interval(row.lower, row.upper, row.unit)}"


def _overview(rows: Sequence[MetricRow]) -> Section:
    merit = select(rows, metric=OF_MERIT, split=("train", "test"), detail="")
    shown = [row for row in rows if row.metric in LABELS and row.split in SHOWN_SPLITS and not row.detail]
    merit = [row for row in merit if row.status == "ok"]
    return Section(
        key="overview",
        title="How good it is",
        finding=_overview_finding(rows),
        figure=figures.overview(merit, {name: LABELS[name] for name in OF_MERIT}) if merit else None,
        reading="A dot is the figure, the line its interval. Where train lies right of test, the model has learned "
        "something of its training rows that does not hold for new ones.",
        table=_table(shown),
        how="Each split is scored by the one pass. Accuracy and balanced accuracy: Wilson's intervals. AUC: DeLong's "
        "variance, with an interval that keeps a width at 1. Calibration error: bootstrap less its bias. The "
        "generalisation gap is train minus test accuracy, with Newcombe's interval.",
    )


def _overview_finding(rows: Sequence[MetricRow]) -> str:
    accuracy, gap = _one(rows, "accuracy"), _one(rows, "generalisation_gap")
    if accuracy is None:
        return "There is no test split, so how good the model is on new data is not known."
    if accuracy.status != "ok":
        return f"How good the model is on the test split is not known: {accuracy.reason}."
    text = f"It is right for {_shown(accuracy)} of the {number(accuracy.n, 'rows')} rows of test"
    if gap is None or gap.status != "ok" or gap.lower is None or gap.upper is None:
        return f"{text}."
    if gap.lower > 0:
        return f"{text}, {_shown(gap)} fewer than of its training rows: it has partly learned them by heart."
    if gap.upper < 0:
        return f"{text}, more than of its training rows."
    return f"{text}; a gap to its training rows cannot be told from chance ({_shown(gap)})."


def _table(rows: Sequence[MetricRow]) -> pa.Table:
    records = [
        {
            "figure": LABELS[row.metric],
            "split": row.split,
            "value": number(row.value, row.unit, row.lower, row.upper),
            "interval": interval(row.lower, row.upper, row.unit),
            "rows": number(row.n, "rows"),
            "note": row.reason,
        }
        for row in sorted(rows, key=lambda row: (list(LABELS).index(row.metric), SHOWN_SPLITS.index(row.split)))
    ]
    return pa.Table.from_pylist(records)


def _reliability(evidence: Any, rows: Sequence[MetricRow]) -> Section | None:
    bins, error = evidence.table("performance/reliability"), _one(rows, "calibration_error")
    if bins is None or error is None:
        return None
    bins = _only_split(bins, "test")
    if error.status != "ok" or not bins.num_rows:
        return Section("calibration", "Whether its confidence is right", f"Not known: {error.reason}.")
    excess = _one(rows, "overconfidence")
    size = "as often right as it says, on the whole"
    if excess is not None and (excess.lower or 0) > 0:
        size = f"too sure of itself by {_shown(excess)}"
    elif excess is not None and (excess.upper or 0) < 0:
        size = f"too cautious: it is right by {_turned(excess)} more often than it says"
    return Section(
        key="calibration",
        title="Whether its confidence is right",
        finding=f"It is {size}; expected calibration error {_shown(error)} on test{_chance(rows)}.",
        figure=figures.reliability(bins),
        reading="Dots below the dotted line: it is right less often than it says. Bands are Wilson intervals; below, "
        "how many rows each bin of confidence holds.",
        table=_bins_table(bins),
        how=f"Confidence is the probability of the predicted class. {error.method}. Noise alone gives an "
        "error above zero, which is why the error of a perfectly calibrated model stands beside it.",
    )


def _turned(row: MetricRow) -> str:
    """A negative difference said the other way round."""
    value, lower, upper = (-(edge or 0.0) for edge in (row.value, row.upper, row.lower))
    return f"{number(value, row.unit, lower, upper)} {interval(lower, upper, row.unit)}"


def _chance(rows: Sequence[MetricRow]) -> str:
    """What a perfectly calibrated model would show on as many rows."""
    row = _one(rows, "calibration_error_by_chance")
    if row is None or row.status != "ok":
        return ""
    return f", where chance alone would show about {number(row.value, row.unit, row.lower, row.upper)}"


def _only_split(table: pa.Table, split: str) -> pa.Table:
    return table.filter(pc.equal(table["split"], split))


def _bins_table(bins: pa.Table) -> pa.Table:
    return pa.Table.from_pylist(
        [
            {
                "confidence": f"{record['from']:.0%} to {record['to']:.0%}",
                "rows": number(record["rows"], "rows"),
                "mean confidence": number(record["confidence"], "rate"),
                "right": number(record["accuracy"], "rate", record["lower"], record["upper"]),
                "interval": interval(record["lower"], record["upper"], "rate"),
            }
            for record in bins.to_pylist()
        ]
    )


def _confusion(evidence: Any, rows: Sequence[MetricRow]) -> Section | None:
    cells = evidence.table("performance/confusion")
    if cells is None or "test" not in cells["split"].to_pylist():
        return None
    wrong = [cell for cell in _only_split(cells, "test").to_pylist() if cell["label"] != cell["prediction"]]
    most = max(wrong, key=lambda cell: cell["rows"], default=None)
    finding = "It makes no mistake on test."
    if most is not None and most["rows"]:
        times = "once" if most["rows"] == 1 else f"{most['rows']:,} times"
        finding = f"Its most frequent mistake on test is to take {most['label']} for {most['prediction']}: {times}."
    classes = select(rows, metric=("class_recall", "class_precision"), split="test")
    return Section(
        key="confusion",
        title="Which classes it mixes up",
        finding=finding,
        figure=figures.confusion(cells, "test"),
        reading="A row is a true class, a column what it was taken for; the diagonal is right.",
        table=_class_table(classes),
        how="Recall is the share of a true class that is found, precision the share of a prediction that is right; "
        "intervals are Wilson's.",
    )


def _class_table(rows: Sequence[MetricRow]) -> pa.Table:
    records = []
    for name in dict.fromkeys(row.detail for row in rows):
        record = {"class": name}
        for row in rows:
            if row.detail == name:
                kind = row.metric.removeprefix("class_")
                record |= {kind: number(row.value, "rate", row.lower, row.upper), f"{kind} of": number(row.n, "rows")}
                record[f"{kind} interval"] = (
                    interval(row.lower, row.upper, "rate") if row.value is not None else row.reason
                )
        records.append(record)
    return pa.Table.from_pylist(records)


def _curves(evidence: Any, rows: Sequence[MetricRow]) -> Section | None:
    curves = evidence.table("performance/curves")
    if curves is None:
        return None
    points = curves.to_pylist()
    best = next((point for point in points if point["best"]), points[-1])
    finding = (
        f"Training stopped after {len(points)} epochs and kept epoch {best['epoch']}, where the validation loss was "
        f"lowest ({best['validation_loss']:.3f}, against {best['train_loss']:.3f} on its training rows)."
    )
    return Section(
        key="training",
        title="How it was trained",
        finding=finding,
        figure=figures.training_curves(curves),
        reading="Where the two curves part, the model begins to learn its training rows by heart; the dotted line is "
        "the epoch that was kept.",
        how="Both splits are measured after every epoch in eval mode, so that the curves can be compared.",
    )


def _roc(evidence: Any, rows: Sequence[MetricRow]) -> Section | None:
    points, area = evidence.table("performance/roc"), _one(rows, "auc")
    if points is None or area is None or area.status != "ok":
        return None
    points = points.filter(pc.is_in(points["split"], pa.array(["train", "test"])))
    return Section(
        key="roc",
        title="What each threshold would give",
        finding=f"A positive row of test scores above a negative one with probability {_shown(area)} (AUC).",
        figure=figures.roc(points),
        reading="Up and left is better; the dotted diagonal is chance.",
        how=f"Exact over all thresholds; drawn at {len(points):,} of them. Interval: {area.method}.",
    )
