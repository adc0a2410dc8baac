"""Identity swaps as a section: which groups' sentences score differently, by how much, and the sentences themselves."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from auditkit.evidence.metrics import MetricRow
from auditkit.evidence.section import Section
from auditkit.fairness.identity.figures import differences_by_pair
from auditkit.fairness.identity.swaps import GAP, SCORE
from auditkit.fairness.sentences import shown
from auditkit.theme import number, probability

METRICS = (GAP, SCORE)
TITLE = "Does it matter who a sentence speaks of?"
_HOW = (
    "Every term of a group stands in every template, and nothing else changes. The interval of a difference covers "
    "both the choice of terms and that of templates (two-way clustering); p: Student's t, Holm over all pairs. Only "
    "these templates were asked: what people really write may differ. A dot that is filled is beyond chance."
)


def identity_sections(evidence: Any) -> list[Section]:
    """One section where sentences were swapped; none for models that read no text."""
    rows = [row for row in evidence.rows if row.analysis == "fairness" and row.metric == GAP]
    table = evidence.table("fairness/identity_swaps")
    if not rows:
        return []
    judged = [row for row in rows if row.status == "ok"]
    if not judged or table is None:
        return [Section("identity-swaps", TITLE, f"Not asked: {rows[0].reason}.", how=_HOW)]
    lines = table.to_pylist()
    confidence = judged[0].confidence or 0.95
    what = "predictions" if _numbers(lines) else "scores"
    return [
        Section(
            key="identity-swaps",
            title=TITLE,
            finding=_finding(judged, lines, confidence),
            figure=differences_by_pair(lines, confidence),
            reading=f"Each dot is the mean difference of {what} between sentences about one group and about another, "
            f"the line its interval. To the right the first group's {what} are higher.",
            table=pa.Table.from_pylist([_line(line) for line in lines]),
            how=_HOW,
        )
    ]


def _numbers(lines: list[dict[str, Any]]) -> bool:
    """Whether a number was predicted, and nothing decided."""
    return all(line["flips"] is None for line in lines)


def _finding(rows: list[MetricRow], lines: list[dict[str, Any]], confidence: float) -> str:
    sure = [line for line in lines if line["p_adjusted"] <= 1 - confidence + 1e-12]
    largest = max(rows, key=lambda row: row.value or 0.0)
    unit, score = ("", "are predicted") if _numbers(lines) else ("points", "score")
    if not sure:
        return (
            f"No two groups' sentences {score} differently beyond chance; the largest gap is "
            f"{shown(largest)}, {largest.detail} ({largest.attribute})."
        )
    most = max(sure, key=lambda line: abs(line["difference"]))
    higher, lower = (most["group"], most["other"]) if most["difference"] > 0 else (most["other"], most["group"])
    return (
        f"Sentences about {higher} {score} {number(abs(most['difference']), unit)} higher than the same about "
        f"{lower}, beyond chance; so do {len(sure)} of {len(lines)} pairs of groups."
        if len(sure) > 1
        else f"Sentences about {higher} {score} {number(abs(most['difference']), unit)} higher than the same about "
        f"{lower}, beyond chance."
    )


def _line(line: dict[str, Any]) -> dict[str, str]:
    numbers = line["flips"] is None
    row = MetricRow("fairness", GAP, value=line["difference"], lower=line["lower"], upper=line["upper"],
                    unit="" if numbers else "points")  # fmt: skip
    scores = [f"{line[key]:.4g}" if numbers else f"{100 * line[key]:.0f} %" for key in ("score", "other_score")]
    return {
        "dimension": line["title"],
        "sentences about": line["group"],
        "against": line["other"],
        "difference": shown(row),
        "p, all pairs together": probability(line["p_adjusted"]),
        **({} if numbers else {"decisions that differ": f"{line['flips']:,} of {line['sentences']:,}"}),
        "furthest apart": f"“{line['sentence']}” {scores[0]}, “{line['other_sentence']}” {scores[1]}",
    }
