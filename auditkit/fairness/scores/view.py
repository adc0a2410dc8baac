"""Scores as sections: calibration within groups, multicalibration, ranking, rates against threshold.

Everything is read from metric rows and evidence tables; nothing is computed here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from auditkit.evidence.metrics import MetricRow, select
from auditkit.evidence.section import Section, matching
from auditkit.fairness.scores.figures import (
    MOST_CELLS,
    MOST_PANELS,
    cells_figure,
    curves_figure,
    ranking_figure,
    reliability_figure,
)
from auditkit.fairness.sentences import NOT_JUDGED, shown
from auditkit.theme import NO_VALUE, number

_CALIBRATION_READING = (
    "Each dot is a band of the score, the line through it Wilson's interval. On the dotted line a score means what it "
    "says; above it, a group is scored too low."
)
_CALIBRATION_HOW = (
    "Share of positives against mean score in ten equally wide bands. The calibration error is the mean distance "
    "between the two, weighted by rows. It never cancels, so noise alone keeps it above zero, and the more so the "
    "smaller a group: read it against the column beside it, what chance alone would show. Mean score, the same less "
    "share positive, and Brier score are those of the rows, not of bands. Equal error rates and calibration within "
    "groups cannot both hold where base rates differ."
)
_CELLS_READING = (
    "Each line is a cell, people of a group with scores in a band: its mean score, its share of positives, and bounds "
    "of that share which hold for all cells at once. A diamond outside the bounds is off beyond chance."
)
_CELLS_HOW = (
    "Multicalibration (Hébert-Johnson and others 2018): the largest distance between mean score and share of positives "
    "over everybody, all groups and all their intersections, in ten bands of the score. Cells with too few rows are "
    "left out. Bounds are Wilson's with continuity correction, with Bonferroni's correction over all cells."
)
_RANKING_READING = (
    "AUC is the chance that a positive of a group scores above a negative, one half being chance. Between groups, the "
    "positive is of the one group and the negative of the other: where a cell and its mirror image differ, scores "
    "favour one of the two."
)
_RANKING_HOW = (
    "AUC from the rows where they were at hand; between groups from scores in 200 bins. DeLong's variance, in Wilson's "
    "form; differences hold for all pairs of groups at once. ABROCA is the area between a group's ROC curve and that "
    "of the largest group, whose crossings do not cancel."
)
_CURVES_READING = "Each line is a group's rate if everybody had that threshold.{now}"


def score_sections(evidence: Any, rows: Sequence[MetricRow], attributes: Sequence[str]) -> list[Section]:
    """The sections there is evidence for. rows: those of one split. attributes: those that are no intersections."""
    made: list[Section | None] = []
    tables = {name: evidence.table(f"fairness/{name}") for name in ("reliability", "score_curves", "cross_auc")}
    for at, attribute in enumerate(attributes):
        mine = select(rows, attribute=attribute)
        made.append(_calibration(mine, tables["reliability"], attribute, at))
    made.append(_cells(rows, evidence.table("fairness/multicalibration")))
    for at, attribute in enumerate(attributes):
        mine = select(rows, attribute=attribute)
        made.append(_ranking(mine, tables["cross_auc"], attribute, at))
    threshold = next((row.value for row in select(rows, metric="decision_threshold") if row.status == "ok"), None)
    for at, attribute in enumerate(attributes):
        made.append(_curves(tables["score_curves"], attribute, at, threshold))
    return [section for section in made if section is not None]


def _by_group(rows: Sequence[MetricRow], metric: str) -> dict[str, MetricRow]:
    return {row.group: row for row in rows if row.metric == metric and row.group}


def _cell(row: MetricRow | None) -> str:
    return NOT_JUDGED if row is None else shown(row)


def _calibration(rows: Sequence[MetricRow], table: pa.Table | None, attribute: str, at: int) -> Section | None:
    large = _by_group(rows, "calibration_in_the_large")
    if table is None or not large:
        return None
    judged = [row for row in large.values() if row.status == "ok"]
    judged.sort(key=lambda row: (_off(row), abs(row.value or 0.0)), reverse=True)
    groups = list(large)
    widest = [row.group for row in judged[:MOST_PANELS]]
    panels = [group for group in groups if group in widest] if len(judged) <= MOST_PANELS else widest
    gap = next(iter(select(rows, metric="calibration_in_the_large_difference")), None)
    errors, scores = _by_group(rows, "calibration_error"), _by_group(rows, "mean_score")
    brier = _by_group(rows, "brier_score")
    return Section(
        key=f"calibration-{at}",
        title=f"Calibration within groups of {attribute}",
        finding=_calibration_finding(judged, list(errors.values()), gap, attribute),
        figure=reliability_figure(matching(table, attribute=attribute), panels, groups) if judged else None,
        reading=_CALIBRATION_READING if judged else "",
        table=pa.table(
            {
                "group": groups,
                "rows": [number(large[group].n, "rows") for group in groups],
                "mean score": [_cell(scores.get(group)) for group in groups],
                "less share positive": [_cell(large[group]) for group in groups],
                "calibration error": [_cell(errors.get(group)) for group in groups],
                "that by chance": [_by_chance(errors.get(group)) for group in groups],
                "Brier score": [_cell(brier.get(group)) for group in groups],
            }
        ),
        how=_CALIBRATION_HOW,
    )


def _by_chance(row: MetricRow | None) -> str:
    return NO_VALUE if row is None or row.status != "ok" else row.detail.removeprefix("by chance ")


def _calibration_finding(
    judged: Sequence[MetricRow], errors: Sequence[MetricRow], gap: MetricRow | None, attribute: str
) -> str:
    """judged: rows of calibration in the large, most clearly off first. errors: those of calibration error. gap: the
    largest difference between two groups."""
    if not judged:
        return f"By {attribute}, no group has rows enough for its calibration to be judged."
    row = judged[0]
    text = f"By {attribute}, every group's mean score agrees with its share positive, as far as can be told"
    if within := [row for row in errors if (row.lower or 0.0) > 0]:
        worst = max(within, key=lambda row: row.lower or 0.0)
        text += f", yet within bands of the score {worst.group} is off by {shown(worst)} on average"
    if _off(row):
        side = "above" if (row.value or 0.0) > 0 else "below"
        size = number(abs(row.value or 0.0), row.unit, row.lower, row.upper)
        text = f"By {attribute}, {row.group} is most clearly off: its mean score lies {size} {side} its share positive"
    if gap is None or gap.status != "ok":
        return f"{text}."
    sure = "" if (gap.lower or 0.0) > 0 else ", as much as groups calibrated alike could by chance"
    return f"{text}. Groups differ in this by {shown(gap)}{sure}."


def _off(row: MetricRow) -> float:
    """How far the nearer end of a row's interval lies from zero; 0 where it holds zero."""
    return max(0.0, row.lower or 0.0, -(row.upper or 0.0))


def _cells(rows: Sequence[MetricRow], table: pa.Table | None) -> Section | None:
    found = select(rows, metric="multicalibration_error")
    if table is None or not found:
        return None
    row = found[-1]
    records = table.to_pylist()
    off = sum(record["lower"] > 0 or record["upper"] < 0 for record in records)
    beyond = f"{off} of {len(records)} cells of group and score are off beyond chance"
    finding = (
        f"The score is furthest off for {row.detail}: {shown(row)} between mean score and share of positives; {beyond}."
        if row.status == "ok"
        else f"Multicalibration was not judged: {row.reason}."
    )
    listed = records[: 2 * MOST_CELLS]
    return Section(
        key="multicalibration",
        title="Calibration in every group and intersection at once",
        finding=finding,
        figure=cells_figure(records) if records else None,
        reading=_CELLS_READING if records else "",
        table=pa.table(
            {
                "attribute": [record["attribute"] or "everybody" for record in listed],
                "group": [record["group"] for record in listed],
                "scores": [f"{record['low']:g} to {record['high']:g}" for record in listed],
                "rows": [number(record["n"], "rows") for record in listed],
                "mean score": [f"{record['score']:.3f}" for record in listed],
                "share positive": [number(record["rate"], "rate") for record in listed],
                "difference": [
                    number(record["difference"], "points", record["lower"], record["upper"]) for record in listed
                ],
                "beyond chance": ["yes" if record["lower"] > 0 or record["upper"] < 0 else "no" for record in listed],
            }
        ),
        how=_CELLS_HOW,
    )


def _ranking(rows: Sequence[MetricRow], table: pa.Table | None, attribute: str, at: int) -> Section | None:
    areas = _by_group(rows, "auc") or _by_group(rows, "score_auc")
    if not areas:
        return None
    precision, between = _by_group(rows, "average_precision"), _by_group(rows, "abroca")
    crossed = [] if table is None else matching(table, attribute=attribute)
    judged = any(row.status == "ok" for row in areas.values())
    return Section(
        key=f"ranking-{at}",
        title=f"Ranking within and between groups of {attribute}",
        finding=_ranking_finding(rows, areas, attribute),
        figure=ranking_figure(list(areas.values()), crossed) if judged else None,
        reading=_RANKING_READING if judged else "",
        table=pa.table(
            {
                "group": list(areas),
                "rows": [number(row.n, "rows") for row in areas.values()],
                "AUC": [shown(row) for row in areas.values()],
                "average precision": [_cell(precision.get(group)) for group in areas],
                "area between ROC curves": [shown(between[group]) if group in between else NO_VALUE for group in areas],
                "compared": [between[group].detail if group in between else NO_VALUE for group in areas],
            }
        ),
        how=_RANKING_HOW,
    )


def _ranking_finding(rows: Sequence[MetricRow], areas: dict[str, MetricRow], attribute: str) -> str:
    judged = sorted((row for row in areas.values() if row.status == "ok"), key=lambda row: row.value or 0.0)
    if len(judged) < 2:
        return f"By {attribute}, ranking could be judged in fewer than two groups."
    low, high = judged[0], judged[-1]
    text = (
        f"By {attribute}, scores rank {low.group} least well, AUC {shown(low)}, and {high.group} best, "
        f"AUC {shown(high)}"
    )
    gap = next((row for row in select(rows, metric="auc_difference") if row.status == "ok"), None)
    sure = gap is not None and (gap.lower or 0.0) > 0
    return (
        f"{text}; {'the two differ beyond chance' if sure else 'groups ranked alike could differ as much by chance'}."
    )


def _curves(table: pa.Table | None, attribute: str, at: int, threshold: float | None) -> Section | None:
    records = [] if table is None else matching(table, attribute=attribute)
    if not records:
        return None
    groups = list(dict.fromkeys(record["group"] for record in records))
    now = (
        "The decisions follow from no single threshold on the score."
        if threshold is None
        else f"Decisions are positive from a score of {threshold:g}, for all groups of {attribute} alike."
    )
    return Section(
        key=f"score-thresholds-{at}",
        title=f"Rates against threshold by {attribute}",
        finding=now,
        figure=curves_figure(records, groups, threshold),
        reading=_CURVES_READING.format(now="" if threshold is None else " The dotted line is the one in use."),
        how="Sums of rows by group, label and score bin.",
    )
