"""Counterfactual flips of several labels as sections."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pyarrow as pa

from auditkit.evidence.metrics import MetricRow, select
from auditkit.evidence.section import Section, matching
from auditkit.fairness.individual.flips import METRICS
from auditkit.fairness.outcomes.group_figures import dots_by_group
from auditkit.fairness.sentences import shown
from auditkit.theme import number, probability

MOST = 30
PANELS = {METRICS[0]: "rows whose answer flips", METRICS[1]: "mean change of the probability"}
BLIND = (
    "Only the direct use of the column is seen: a model that works through proxies of it has no flips. A swapped row "
    "may be a person who could hardly exist."
)


def label_flip_sections(evidence: Any) -> list[Section]:
    """One section for each attribute that was asked about."""
    table = evidence.table("fairness/label_flips")
    if table is None:
        return []
    rows = [row for row in select(evidence.rows, analysis="fairness", metric=METRICS) if not row.group]
    attributes = list(dict.fromkeys(row.attribute for row in rows))
    return [_section([row for row in rows if row.attribute == name], name, table, at)
            for at, name in enumerate(attributes)]  # fmt: skip


def _section(rows: list[MetricRow], attribute: str, table: pa.Table, at: int) -> Section:
    title = f"Does swapping {attribute} flip labels?"
    judged = [row for row in rows if row.status == "ok"]
    rates = sorted(select(judged, metric=METRICS[0]), key=lambda row: -(row.value or 0.0))
    if not rates:
        return Section(f"label-flips-{at}", title, f"Not asked: {rows[0].reason}.", how=BLIND)
    first = rates[0]
    finding = f"Most answers flip for label {first.detail}: {shown(first)} for some other {attribute}."
    if not first.value:
        finding = f"No answer to any label flips for some other {attribute}."
    lines = matching(table, attribute=attribute)
    lines.sort(key=lambda line: -(line["to_positive"] + line["to_negative"]) / line["n"])
    sure = [line for line in lines if line["p_adjusted"] <= 1 - (first.confidence or 0.95) + 1e-12]
    if sure:
        most = max(sure, key=lambda line: abs(line["net_change"]))
        way = "more" if most["net_change"] > 0 else "fewer"
        finding += (
            f" As {most['swapped_for']} instead of {most['value']}, {number(abs(most['net_change']), 'points')} {way} "
            f"rows are given {most['label']}, beyond chance."
        )
    drawn = [row.detail for row in rates[:MOST]]
    dots = [replace(row, group=row.detail) for row in judged if row.detail in drawn]
    sizes = {row.detail: row.n or 0 for row in rates[:MOST]}
    return Section(
        key=f"label-flips-{at}",
        title=title,
        finding=finding,
        figure=dots_by_group(dots, PANELS, sizes, {}, "Answers that hang on nothing but this column"),
        reading="Each dot is a label, the line through it its interval; at zero nothing but this column changes no "
        "answer." + (f" The {MOST} labels with most flips are drawn." if len(rates) > MOST else ""),
        table=pa.Table.from_pylist([_swap(line) for line in lines]),
        how="Nothing but this column is changed and the model asked again. Rates: Wilson's interval; p: exact McNemar "
        f"test, Holm over all labels and swaps. {BLIND}",
    )


def _swap(line: dict[str, Any]) -> dict[str, str]:
    row = MetricRow("fairness", "net", value=line["net_change"], lower=line["lower"], upper=line["upper"],
                    unit="points")  # fmt: skip
    return {
        "label": line["label"],
        "from": line["value"],
        "to": line["swapped_for"],
        "rows": number(line["n"], "rows"),
        "turn yes": number(line["to_positive"], "rows"),
        "turn no": number(line["to_negative"], "rows"),
        "net change": shown(row),
        "p, all labels and swaps together": probability(line["p_adjusted"]),
    }
