"""Predicted numbers as sections: how far off, whether right on average, and how errors are spread."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from auditkit.evidence.metrics import MetricRow
from auditkit.evidence.section import Section
from auditkit.performance.regression import figures
from auditkit.performance.said import SHOWN_SPLITS, by_split, on_test, shown
from auditkit.theme import interval, number

LABELS = {
    "mae": "mean absolute error (MAE)",
    "rmse": "root mean squared error (RMSE)",
    "r2": "R²",
    "bias": "bias (mean error)",
    "generalisation_gap": "generalisation gap (R²)",
}


def regression_sections(evidence: Any, rows: Sequence[MetricRow]) -> list[Section]:
    """The sections of a model that predicts a number. rows: those of the discipline."""
    listed = [row for row in rows if row.metric in LABELS and row.split in SHOWN_SPLITS]
    overview = Section(
        key="overview",
        title="How good it is",
        finding=_finding(rows, _name(evidence)),
        table=by_split(listed, LABELS),
        how="Each split is scored by the one pass. Errors are in the label's own unit; R² is the share of the labels' "
        "spread that is explained, below 0 it is worse than their mean. Intervals: Student's t for the bias, for the "
        "others the delta method on the logarithm, without assuming normal errors. The generalisation gap is train "
        "minus test R².",
    )
    made = [overview, _against(evidence, rows), _residuals(evidence, rows)]
    return [section for section in made if section is not None]


def _name(evidence: Any) -> str:
    schema = evidence.info.get("schema", {})
    return str(schema.get("label") or next(iter(schema.get("classes", ())), "number"))


def _finding(rows: Sequence[MetricRow], name: str) -> str:
    mae, r2, gap = (on_test(rows, metric) for metric in ("mae", "r2", "generalisation_gap"))
    if mae is None:
        return "There is no test split, so how good the model is on new data is not known."
    if mae.status != "ok":
        return f"How good the model is on the test split is not known: {mae.reason}."
    text = f"On the {number(mae.n, 'rows')} rows of test its predictions of {name} are off by {shown(mae)} on average"
    if r2 is not None and r2.status == "ok":
        text += f" and explain {shown(r2)} of its spread (R²)"
    if gap is None or gap.status != "ok" or gap.lower is None or gap.upper is None:
        return f"{text}."
    if gap.lower > 0:
        return f"{text}; R² is {shown(gap)} higher on its training rows: it has partly learned them by heart."
    if gap.upper < 0:
        return f"{text}; R² is lower on its training rows."
    return f"{text}; a gap to its training rows cannot be told from chance ({shown(gap)})."


def _against(evidence: Any, rows: Sequence[MetricRow]) -> Section | None:
    bins = evidence.table("performance/regression_bins")
    lines = [] if bins is None else [line for line in bins.to_pylist() if line["split"] == "test"]
    if not lines:
        return None
    judged = [line for line in lines if line["lower"] is not None]
    off = [line for line in judged if not line["lower"] <= line["prediction"] <= line["upper"]]
    finding = f"In {len(off)} of {len(lines)} bins of prediction the mean truth lies elsewhere than predicted."
    if not off:
        finding = f"In all {len(lines)} bins of prediction the mean truth agrees with what is predicted."
    return Section(
        key="predicted-true",
        title="Whether it is right on average",
        finding=finding,
        figure=figures.predicted_against_true(bins, "test", _name(evidence)),
        reading="Dots below the dotted line: what is predicted there is too high. The line through a dot is the "
        "interval of the mean, the shades how far single rows lie from it.",
        table=pa.table(
            {
                "mean prediction": [number(line["prediction"]) for line in lines],
                "rows": [number(line["rows"], "rows") for line in lines],
                "mean truth": [number(line["truth"], "", line["lower"], line["upper"]) for line in lines],
                "interval": [interval(line["lower"], line["upper"]) for line in lines],
                "middle half": [interval(line["q25"], line["q75"]) for line in lines],
            }
        ),
        how="Rows of test in bins of about equally many by their prediction. Interval of the mean: Student's t, each "
        "bin by itself, so that about one in twenty misses by chance.",
    )


def _residuals(evidence: Any, rows: Sequence[MetricRow]) -> Section | None:
    table, bias = evidence.table("performance/residuals"), on_test(rows, "bias")
    if table is None or bias is None or bias.status != "ok":
        return None
    finding = f"Its errors have no direction that chance could not give: {shown(bias)} on average."
    if (bias.lower or 0) > 0:
        finding = f"Its predictions are too high by {shown(bias)} on average."
    elif (bias.upper or 0) < 0:
        finding = f"Its predictions are too low on average: {shown(bias)}."
    splits = tuple(name for name in ("train", "test") if name in table["split"].to_pylist())
    return Section(
        key="residuals",
        title="How its errors are spread",
        finding=finding,
        figure=figures.residuals(table, splits, _name(evidence)),
        reading="Right of 0 predictions are too high. A curve of test that is wider than that of train has been "
        "learned by heart; a long tail are rows on which it is far off.",
        how="Errors are predicted minus true; the outermost 0.5 % on each side count at the edge.",
    )
