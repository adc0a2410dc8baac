"""Counterfactual moves as sections: which swaps of a sensitive value move predicted numbers, and how far."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from auditkit.evidence.metrics import MetricRow
from auditkit.evidence.section import Section, matching
from auditkit.fairness.individual.figures import moves_by_swap
from auditkit.fairness.individual.moves import METRIC
from auditkit.fairness.sentences import shown
from auditkit.theme import number, probability

MOST = 30
BLIND = (
    "Only the direct use of the column is seen: a model that works through proxies of it does not move. A swapped row "
    "may be a person who could hardly exist."
)


def move_sections(evidence: Any) -> list[Section]:
    """One section for each attribute that was asked about."""
    rows = [row for row in evidence.rows if row.analysis == "fairness" and row.metric == METRIC]
    whole = [row for row in rows if not row.group]
    return [_section(rows, row, evidence.table("fairness/moves"), at) for at, row in enumerate(whole)]


def _section(rows: list[MetricRow], whole: MetricRow, table: pa.Table | None, at: int) -> Section:
    title = f"Does swapping {whole.attribute} move predictions?"
    lines = [] if table is None else matching(table, attribute=whole.attribute)
    if whole.status != "ok" or not lines:
        return Section(f"moves-{at}", title, f"Not asked: {whole.reason}.", how=BLIND)
    confidence = whole.confidence or 0.95
    lines.sort(key=lambda line: -abs(line["change"]))
    sure = [line for line in lines if line["p_adjusted"] <= 1 - confidence + 1e-12]
    finding = f"Predictions move by {shown(whole)} on average with another {whole.attribute}."
    if sure:
        most = sure[0]
        way = "higher" if most["change"] > 0 else "lower"
        finding += (
            f" As {most['swapped_for']} instead of {most['value']} they are {number(abs(most['change']), '')} {way}, "
            "beyond chance."
        )
    groups = [row for row in rows if row.attribute == whole.attribute and row.group and row.status == "ok"]
    if len(groups) > 1:
        near, far = (choose(groups, key=lambda row: row.value or 0.0) for choose in (min, max))
        if (far.lower or 0.0) > (near.upper or 0.0):
            finding += f" They move most for {far.group}: {shown(far)}."
    return Section(
        key=f"moves-{at}",
        title=title,
        finding=finding,
        figure=moves_by_swap(lines[:MOST], confidence),
        reading="Each dot is the mean change of the prediction in one swap, the line its interval; to the right "
        "predictions rise. A dot that is filled is beyond chance."
        + (f" The {MOST} largest are drawn." if len(lines) > MOST else ""),
        table=pa.Table.from_pylist([_swap(line) for line in lines]),
        how="Nothing but this column is changed and the model asked again. Student's t of the paired differences; p: "
        f"Holm over all swaps. {BLIND}",
    )


def _swap(line: dict[str, Any]) -> dict[str, str]:
    row = MetricRow("fairness", METRIC, value=line["change"], lower=line["lower"], upper=line["upper"])
    return {
        "from": line["value"],
        "to": line["swapped_for"],
        "rows": number(line["n"], "rows"),
        "mean change": shown(row),
        "mean size of change": number(line["size"], ""),
        "largest": number(line["largest"], ""),
        "p, all swaps together": probability(line["p_adjusted"]),
    }
