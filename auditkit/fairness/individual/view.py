"""Fairness of individuals as sections: inequality of benefits, consistency, counterfactual flips."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from auditkit.evidence.metrics import MetricRow, select
from auditkit.evidence.section import Section, matching
from auditkit.fairness.counting.counts import JOIN
from auditkit.fairness.individual.figures import flips_by_swap
from auditkit.fairness.individual.inequality import INDICES, PARTS
from auditkit.fairness.outcomes.group_figures import dots_by_group
from auditkit.fairness.sentences import NOT_JUDGED, shown
from auditkit.theme import number, probability

MOST = 30


def individual_sections(evidence: Any) -> list[Section]:
    """The sections there is evidence for."""
    rows = [row for row in evidence.rows if row.analysis == "fairness"]
    splits = [row.split for row in rows if row.metric == "generalised_entropy_index"]
    judged = [row for row in rows if row.split == ("test" if "test" in splits else next(iter(splits), ""))]
    consistency = select(rows, metric=["consistency", "consistency_difference"])
    return [*_inequality(judged), *_consistency(consistency), *_flips(rows, evidence.table("fairness/flips"))]


def _inequality(rows: Sequence[MetricRow]) -> list[Section]:
    mine = [row for row in rows if row.metric in INDICES]
    whole = next((row for row in mine if row.metric == "generalised_entropy_index" and not row.attribute), None)
    if whole is None:
        return []
    parts = [row for row in rows if row.metric == "between_group_entropy" and JOIN not in row.attribute]
    within = {row.attribute: row for row in rows if row.metric == "within_group_entropy"}
    told = [f"by {row.attribute} {shown(row)}" for row in parts if row.status == "ok"]
    between = f" Between groups lies, of that: {'; '.join(told)}." if told else ""
    attribute = next((row.attribute for row in parts), "")
    panels = {**INDICES}
    groups = [row for row in mine if row.attribute == attribute and row.group] if attribute else []
    references = {row.metric: row.value for row in mine if not row.attribute and row.value is not None}
    table = [{"by": row.attribute or "everybody", "part": PARTS[row.metric], "index": shown(row),
              "not judged": ", ".join(row.unjudged)}
             for name in dict.fromkeys(row.attribute for row in parts)
             for row in [next(r for r in parts if r.attribute == name), within[name]]]  # fmt: skip
    return [
        Section(
            key="inequality",
            title="How unequally individuals are treated",
            finding=f"The generalised entropy index of benefits is {shown(whole)}; 0 would be the same for all."
            + between,
            figure=dots_by_group(groups, panels, {row.group: row.n or 0 for row in groups}, references,
                                 f"Inequality of benefits within each group of {attribute}") if groups else None,
            reading="Each dot is the inequality inside one group, the dotted line that among everybody.",
            table=pa.Table.from_pylist(table) if table else None,
            how="A wrongly negative decision has benefit 0, a right one 1, a wrongly positive one 2 (Speicher et al. "
            "2018). The index splits exactly into a part within groups and one between them; a small part between "
            "groups does not mean that individuals are treated alike.",
        )
    ]  # fmt: skip


def _consistency(rows: Sequence[MetricRow]) -> list[Section]:
    whole = next((row for row in rows if row.metric == "consistency" and not row.attribute), None)
    if whole is None:
        return []
    if whole.status != "ok":
        return [Section("consistency", "Are people who are alike decided alike?", f"Not judged: {whole.reason}.")]
    gaps = [row for row in rows if row.metric == "consistency_difference" and JOIN not in row.attribute]
    told = [f"by {row.attribute} it differs by {shown(row)} ({row.detail})" for row in gaps if row.status == "ok"]
    attribute = next((row.attribute for row in gaps), "")
    groups = [row for row in rows if row.metric == "consistency" and row.attribute == attribute and row.group]
    table = [{"by": row.attribute, "group": row.group, "consistency": shown(row), "rows": number(row.n, "rows")}
             for row in rows if row.metric == "consistency" and row.group]  # fmt: skip
    return [
        Section(
            key="consistency",
            title="Are people who are alike decided alike?",
            finding=f"Decisions agree with those of the nearest neighbours to {shown(whole)}"
            + (f"; {'; '.join(told)}." if told else "."),
            figure=dots_by_group(groups, {"consistency": "consistency"}, {row.group: row.n or 0 for row in groups},
                                 {"consistency": whole.value or 0.0}, f"Consistency by {attribute}")
            if groups else None,
            reading="Each dot is how far a group's decisions agree with those of their neighbours, the dotted line "
            "that of everybody.",
            table=pa.Table.from_pylist(table) if table else None,
            how=f"{whole.method}. Numbers are standardised and categories are columns of 0 and 1 (Zemel et al. 2013); "
            "other scalings find other neighbours. AIF360 counts a row among its own neighbours and shows a higher "
            "number.",
        )
    ]  # fmt: skip


def _flips(rows: Sequence[MetricRow], table: pa.Table | None) -> list[Section]:
    whole = [row for row in rows if row.metric == "counterfactual_flip_rate" and not row.group]
    return [_flip_section(rows, row, table, at) for at, row in enumerate(whole)]


def _flip_section(rows: Sequence[MetricRow], whole: MetricRow, table: pa.Table | None, at: int) -> Section:
    title = f"Does swapping {whole.attribute} flip decisions?"
    blind = (
        "Only the direct use of the column is seen: a model that works through proxies of it has no flips. "
        "A swapped row may be a person who could hardly exist."
    )
    if whole.status != "ok" or table is None:
        return Section(f"flips-{at}", title, f"Not asked: {whole.reason}.", how=blind)
    lines = matching(table, attribute=whole.attribute)
    lines.sort(key=lambda line: -(line["to_positive"] + line["to_negative"]) / line["n"])
    flipping = [line for line in lines if line["to_positive"] + line["to_negative"]]
    scores = next(row for row in rows if row.metric == "counterfactual_score_change"
                  and row.attribute == whole.attribute and not row.group)  # fmt: skip
    sure = [line for line in lines if line["p_adjusted"] <= 1 - (whole.confidence or 0.95) + 1e-12]
    finding = (
        f"{shown(whole)} of decisions flip for some other {whole.attribute}; scores move by {shown(scores)} on average."
    )
    if sure:
        most = max(sure, key=lambda line: abs(line["net_change"]))
        way = "more" if most["net_change"] > 0 else "fewer"
        finding += (
            f" From {most['value']} to {most['swapped_for']} there are {number(abs(most['net_change']), 'points')} "
            f"{way} positive decisions, beyond chance."
        )
    return Section(
        key=f"flips-{at}",
        title=title,
        finding=finding,
        figure=flips_by_swap(flipping[:MOST] or lines[:MOST]),
        reading="Each line is one swap: to the right the decisions that turn positive, to the left those that turn "
        "negative."
        + (" Swaps without a flip are not drawn." if 0 < len(flipping) < len(lines) else "")
        + (f" The {MOST} swaps with most flips are drawn." if len(flipping) > MOST else ""),
        table=pa.Table.from_pylist([_swap(line) for line in lines]),
        how="Nothing but this column is changed and the model asked again. p: exact McNemar test, Holm over all swaps; "
        f"the interval is paired (Agresti and Min). {blind}",
    )


def _swap(line: dict[str, Any]) -> dict[str, str]:
    row = MetricRow("fairness", "net", value=line["net_change"], lower=line["lower"], upper=line["upper"],
                    unit="points")  # fmt: skip
    return {
        "from": line["value"],
        "to": line["swapped_for"],
        "rows": number(line["n"], "rows"),
        "turn positive": number(line["to_positive"], "rows"),
        "turn negative": number(line["to_negative"], "rows"),
        "net change": shown(row) if line["n"] else NOT_JUDGED,
        "p, all swaps together": probability(line["p_adjusted"]),
    }
