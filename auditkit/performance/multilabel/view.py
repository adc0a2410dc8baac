"""Several labels as sections: all of a row's together, label by label, and what other thresholds would give."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from auditkit.evidence.metrics import MetricRow, select
from auditkit.evidence.section import Section
from auditkit.performance.multilabel import figures
from auditkit.performance.said import SHOWN_SPLITS, by_split, on_test, shown
from auditkit.theme import number

LABELS = {
    "subset_accuracy": "subset accuracy (all labels right)",
    "hamming_loss": "Hamming loss (single answers wrong)",
    "micro_f1": "micro F1",
    "macro_f1": "macro F1",
    "mean_average_precision": "mean average precision",
    "label_ranking_average_precision": "label ranking average precision",
    "coverage_error": "coverage error",
    "generalisation_gap": "generalisation gap (subset accuracy)",
}
DRAWN = {"label_precision": "precision", "label_recall": "recall", "label_f1": "F1"}
OF_EACH = DRAWN | {"label_auc": "AUC", "label_average_precision": "average precision", "label_brier": "Brier score"}
MOST, MOST_CURVES = 25, 8


def multilabel_sections(evidence: Any, rows: Sequence[MetricRow]) -> list[Section]:
    """The sections of a model that gives several labels. rows: those of the discipline."""
    overview = Section(
        key="overview",
        title="How good it is",
        finding=_finding(rows),
        table=by_split([row for row in rows if row.metric in LABELS and row.split in SHOWN_SPLITS], LABELS),
        how="Each split is scored by the one pass; a label is given where its probability is a half or more. Subset "
        "accuracy: Wilson's interval. Micro and macro F1: a bootstrap of rows. Hamming loss and what ranks labels: "
        "Wilson's interval for the rows that give a proportion the same variance. The generalisation gap is train "
        "minus test subset accuracy, with Newcombe's interval.",
    )
    made = [overview, _each(rows), _curves(evidence, rows)]
    return [section for section in made if section is not None]


def _finding(rows: Sequence[MetricRow]) -> str:
    whole, loss, gap = (on_test(rows, metric) for metric in ("subset_accuracy", "hamming_loss", "generalisation_gap"))
    if whole is None:
        return "There is no test split, so how good the model is on new data is not known."
    if whole.status != "ok":
        return f"How good the model is on the test split is not known: {whole.reason}."
    text = f"It has every label right for {shown(whole)} of the {number(whole.n, 'rows')} rows of test"
    if loss is not None and loss.status == "ok":
        text += f", and is wrong in {shown(loss)} of its single answers"
    if gap is None or gap.status != "ok" or gap.lower is None or gap.upper is None:
        return f"{text}."
    if gap.lower > 0:
        return f"{text}. Of its training rows it has {shown(gap)} more right: it has partly learned them by heart."
    if gap.upper < 0:
        return f"{text}. Of its training rows it has fewer right."
    return f"{text}; a gap to its training rows cannot be told from chance ({shown(gap)})."


def _each(rows: Sequence[MetricRow]) -> Section | None:
    mine = select(rows, metric=tuple(OF_EACH), split="test")
    found = {(row.metric, row.detail): row for row in mine}
    names = list(dict.fromkeys(row.detail for row in mine))
    judged = [row for row in mine if row.metric == "label_f1" and row.status == "ok"]
    if not judged:
        return None
    worst = sorted(judged, key=lambda row: row.value or 0.0)
    drawn = [row.detail for row in worst[:MOST]]
    finding = f"It finds {worst[0].detail} worst: F1 {shown(worst[0])}"
    finding += f", and {worst[-1].detail} best: {shown(worst[-1])}." if len(worst) > 1 else "."
    if unjudged := [name for name in names if found["label_f1", name].status != "ok"]:
        finding += f" Not judged: {', '.join(unjudged[:10])} ({found['label_f1', unjudged[0]].reason})."
    more = f" The {MOST} with the lowest F1 are drawn." if len(judged) > MOST else ""
    return Section(
        key="labels",
        title="Which labels it finds",
        finding=finding,
        figure=figures.dots_by_label(mine, DRAWN, drawn),
        reading=f"A dot is the figure, the line its interval. A label far left in recall is missed, one far left in "
        f"precision is given to rows that do not have it.{more}",
        table=pa.table(
            {
                "label": names,
                "rows with it": [number(found["label_recall", name].n, "rows") for name in names],
                **{title: [_cell(found.get((metric, name))) for name in names] for metric, title in OF_EACH.items()},
            }
        ),
        how="Precision and recall: Wilson's interval; F1: that of Jaccard's index, turned into F1. AUC: DeLong's "
        "variance; average precision: infinitesimal jackknife; both with Wilson's interval for as many rows. Brier "
        "score: normal, from the spread over rows.",
    )


def _cell(row: MetricRow | None) -> str:
    return "" if row is None else shown(row) if row.status == "ok" else row.reason


def _curves(evidence: Any, rows: Sequence[MetricRow]) -> Section | None:
    curves, mean = evidence.table("performance/precision_recall"), on_test(rows, "mean_average_precision")
    if curves is None or mean is None or mean.status != "ok" or "test" not in curves["split"].to_pylist():
        return None
    found = select(rows, metric="label_average_precision", split="test")
    ranked = sorted((row for row in found if row.status == "ok"), key=lambda row: row.value or 0.0)
    drawn = [row.detail for row in ranked[:MOST_CURVES]]
    more = f" Drawn are the {len(drawn)} labels with the lowest average precision." if ranked[MOST_CURVES:] else ""
    return Section(
        key="precision-recall",
        title="What each threshold would give",
        finding=f"Over all thresholds and labels its average precision on test is {shown(mean)}.",
        figure=figures.precision_recall(curves, "test", drawn),
        reading="Further right more of a label's rows are found, further up fewer others are given it. A curve of "
        f"chance alone is flat, at the share of rows with the label.{more}",
        how=f"Exact over all thresholds, drawn at up to 200 of each label. {mean.method[0].upper()}{mean.method[1:]}.",
    )
