"""Decisions among several classes, and sets of labels, as sections. Nothing is computed here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from auditkit.evidence.metrics import MetricRow, select
from auditkit.evidence.section import Section
from auditkit.fairness.counting.counts import JOIN
from auditkit.fairness.outcomes.group_figures import dots_by_group
from auditkit.fairness.outcomes.one_by_one_figures import gaps_of_each
from auditkit.fairness.sentences import NOT_JUDGED, shown
from auditkit.theme import number

PANELS = {
    "demographic_parity_difference": "selection rate gap",
    "equal_opportunity_difference": "true positive rate gap",
}
MOST = 40


def outcome_sections(evidence: Any, noun: str, nouns: str, averages: Mapping[str, str], how: str) -> list[Section]:
    """Sections by attribute: gaps of every class or label, and averages by group.

    noun, nouns: `class`, `classes`; averages: metric → title, in the order to be shown.
    """
    rows = [row for row in evidence.rows if row.analysis == "fairness"]
    worst = [row for row in rows if row.metric == f"worst_{noun}_demographic_parity_difference"]
    made = []
    for at, attribute in enumerate(row.attribute for row in worst if JOIN not in row.attribute):
        mine = [row for row in rows if row.attribute == attribute]
        made += [_gaps(mine, attribute, at, noun, nouns, how), _averages(rows, mine, attribute, at, noun, averages)]
    return made


def _gaps(mine: Sequence[MetricRow], attribute: str, at: int, noun: str, nouns: str, how: str) -> Section:
    gaps = [row for row in mine if row.metric in PANELS and not row.group]
    names = list(dict.fromkeys(row.detail for row in gaps))
    found = {(row.metric, row.detail): row for row in gaps}
    largest = sorted(names, key=lambda name: -(found[next(iter(PANELS)), name].value or -1.0))[:MOST]
    table = [
        {noun: name, **{title: shown(found[metric, name]) for metric, title in PANELS.items()},
         "not judged": ", ".join(dict.fromkeys(g for metric in PANELS for g in found[metric, name].unjudged))}
        for name in names
    ]  # fmt: skip
    worst = [row for row in mine if row.metric in {f"worst_{noun}_{metric}" for metric in PANELS}]
    more = f" The {MOST} {nouns} with the largest gaps are drawn." if len(names) > MOST else ""
    return Section(
        key=f"{noun}-gaps-{at}",
        title=f"Gaps of every {noun} by {attribute}",
        finding=" ".join(_worst(row, attribute, noun) for row in worst),
        figure=gaps_of_each([row for row in gaps if row.detail in largest], PANELS, f"Gaps of every {noun}"),
        reading=f"Each dot is the largest difference between two groups for one {noun}, decided for or not; the line "
        f"through it is its interval, which holds for all pairs of groups.{more}",
        table=pa.Table.from_pylist(table),
        how=how,
    )


def _worst(row: MetricRow, attribute: str, noun: str) -> str:
    what = "selection rates" if "demographic" in row.metric else "true positive rates"
    if row.status != "ok":
        return f"By {attribute}, {what} were not compared: {row.reason}."
    sure = "" if (row.lower or 0) > 0 else ", which chance alone could give"
    return f"By {attribute}, {what} differ most for {noun} {row.detail}: {shown(row)}{sure}."


def _averages(
    rows: Sequence[MetricRow],
    mine: Sequence[MetricRow],
    attribute: str,
    at: int,
    noun: str,
    averages: Mapping[str, str],
) -> Section:
    groups = [row for row in mine if row.metric in averages and row.group]
    sizes = {row.group: row.n or 0 for row in groups}
    overall = {row.metric: row.value for row in rows if row.metric in averages and not row.attribute}
    references = {name: value for name, value in overall.items() if value is not None}
    found = {(row.group, row.metric): row for row in groups}
    table = [
        {"group": group, "rows": number(n, "rows"),
         **{title: _cell(found.get((group, name))) for name, title in averages.items()}}
        for group, n in sizes.items()
    ]  # fmt: skip
    gaps = [row for name in averages for row in select(mine, metric=f"{name}_difference")]
    judged = [f"{averages[row.compares[0]] if row.compares and row.compares[0] in averages else 'accuracy'} "
              f"{shown(row)} ({row.detail})" for row in gaps if row.status == "ok"]  # fmt: skip
    return Section(
        key=f"{noun}-averages-{at}",
        title=f"Over all {noun} decisions, by {attribute}",
        finding=f"Largest differences by {attribute}: {'; '.join(judged)}." if judged
        else f"By {attribute}, fewer than two groups could be judged.",
        figure=dots_by_group(groups, averages, sizes, references, "All decisions together, by group"),
        reading="Each dot is a group's number, the line through it its interval, the dotted line that of everybody.",
        table=pa.Table.from_pylist(table),
        how="; ".join(dict.fromkeys(f"{averages[row.metric]}: {row.method}" for row in groups if row.method)),
    )  # fmt: skip


def _cell(row: MetricRow | None) -> str:
    return NOT_JUDGED if row is None else shown(row)
