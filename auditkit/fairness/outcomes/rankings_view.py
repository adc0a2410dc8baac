"""Rankings as sections: gaps between groups, who holds the first places, attention and relevance by group."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from auditkit.evidence.metrics import MetricRow
from auditkit.evidence.section import Section, matching
from auditkit.fairness.counting.counts import JOIN
from auditkit.fairness.outcomes.group_figures import dots_by_group, place_shares
from auditkit.fairness.sentences import NOT_JUDGED, shown
from auditkit.theme import number, probability

_TITLES = {
    "exposure": "exposure against its due",
    "geometric_exposure": "geometric exposure",
    "exposure_per_relevance": "exposure per relevance",
    "ndcg": "NDCG",
    "pairwise_accuracy": "pairwise accuracy",
}
_GAPS = {
    "exposure_ratio": "exposure ratio",
    "geometric_exposure_ratio": "geometric exposure ratio",
    "exposure_per_relevance_ratio": "exposure per relevance ratio",
    "ndcg_difference": "NDCG difference",
    "pairwise_accuracy_difference": "pairwise accuracy difference",
}
_HOW = (
    "Exposure is the attention of a place, 1 / log2(1 + rank), against that of a random order of the same candidates; "
    "geometric exposure is that of a reader who goes on with a chance of 0.8; exposure per relevance holds it against "
    "a due in proportion to relevance (Singh and Joachims 2018). Candidates with one score share their places. From 10 "
    "rankings on whole rankings are resampled, below that the candidates within them; intervals of a gap hold for all "
    "pairs of groups at once."
)


def _title(metric: str) -> str | None:
    """How a number of groups is called, or None for what is none of rankings."""
    found = re.fullmatch(r"top_(\d+)_representation", metric)
    return f"places in the top {found[1]} against its due" if found else _TITLES.get(metric)


def _gap(metric: str) -> str | None:
    found = re.fullmatch(r"top_(\d+)_ratio", metric)
    return f"top {found[1]} ratio" if found else _GAPS.get(metric)


def ranking_sections(evidence: Any) -> list[Section]:
    """The sections there is evidence for: none where nothing was ranked."""
    rows = [row for row in evidence.rows if row.analysis == "fairness"]
    gaps = [row for row in rows if _gap(row.metric) is not None]
    if not any(row.metric == "exposure_ratio" for row in gaps):
        return []
    attributes = list(dict.fromkeys(row.attribute for row in gaps))
    tests = {(row.attribute, row.metric.removesuffix("_p_value")): row for row in rows if "p_value" in row.metric}
    made = [_gaps(gaps, attributes, tests)]
    top = evidence.table("fairness/ranking_top")
    for at, attribute in enumerate(name for name in attributes if JOIN not in name):
        places = [] if top is None else matching(top, attribute=attribute)
        if places:
            made.append(_places(gaps, attribute, places, at))
        made.append(_numbers(rows, attribute, at))
    return made


def _gaps(gaps: Sequence[MetricRow], attributes: Sequence[str], tests: dict[tuple[str, str], MetricRow]) -> Section:
    records = []
    for attribute in attributes:
        for row in (row for row in gaps if row.attribute == attribute):
            test = tests.get((attribute, row.metric.removesuffix("_ratio")))
            records.append(
                {
                    "by": attribute,
                    "gap": _gap(row.metric),
                    "smallest ratio, or largest difference": shown(row),
                    "between": row.detail or (row.reason if row.status != "ok" else ""),
                    "p of no difference": "" if test is None or test.value is None else probability(test.value),
                    "not judged": ", ".join(row.unjudged),
                }
            )
    return Section(
        key="ranking-gaps",
        title="Gaps in rankings",
        finding=" ".join(_finding(gaps, attribute) for attribute in attributes if JOIN not in attribute),
        table=pa.Table.from_pylist(records),
        how=_HOW,
    )


def _finding(gaps: Sequence[MetricRow], attribute: str) -> str:
    row = next(row for row in gaps if row.metric == "exposure_ratio" and row.attribute == attribute)
    if row.status != "ok":
        return f"By {attribute}, exposure was not compared: {row.reason}."
    sure = "" if (row.upper or 1.0) < 1 else "; groups that are alike could differ as much by chance"
    return (
        f"By {attribute}, the least seen group gets {shown(row)} of the exposure of the most seen ({row.detail}){sure}."
    )


def _places(gaps: Sequence[MetricRow], attribute: str, records: list[dict[str, Any]], at: int) -> Section:
    ratios = {row.metric: row for row in gaps if row.attribute == attribute}
    parts = []
    for k in sorted({record["k"] for record in records}):
        row = ratios.get(f"top_{k}_ratio")
        if row is not None and row.status == "ok":
            parts.append(f"{shown(row)} in the first {k:,} ({row.detail})")
    table = [
        {
            "group": record["group"],
            "first places": number(record["k"], "rows"),
            "candidates": number(record["candidates"], "rows"),
            "share of candidates": number(record["candidate_share"], "rate"),
            "places held": number(record["places"]),
            "share of places": number(record["place_share"], "rate"),
        }
        for record in records
    ]
    told = f"The smallest ratio of two groups' chances is {', '.join(parts)}." if parts else "No groups were compared."
    return Section(
        key=f"ranking-places-{at}",
        title=f"Who holds the first places, by {attribute}",
        finding=told,
        figure=place_shares(records),
        reading="The filled dot is a group's share of the first places, the open one its share of the candidates: to "
        "the right of it a group holds more than its number.",
        table=pa.Table.from_pylist(table),
        how="Places are counted in rankings with more candidates than that; a tie across the edge is shared. The due "
        "of a group is what it would hold in a random order.",
    )


def _numbers(rows: Sequence[MetricRow], attribute: str, at: int) -> Section:
    mine = [row for row in rows if row.attribute == attribute and row.group and _title(row.metric) is not None]
    panels = {row.metric: str(_title(row.metric)) for row in mine}
    sizes: dict[str, int] = {}
    for row in mine:
        sizes[row.group] = max(row.n or 0, sizes.get(row.group, 0))
    references = {name: 1.0 for name in panels if name not in ("ndcg", "pairwise_accuracy")}
    named = {(row.group, row.metric): row for row in mine}
    table = [
        {"group": group, "candidates": number(n, "rows"),
         **{title: _cell(named.get((group, name))) for name, title in panels.items()}}
        for group, n in sizes.items()
    ]  # fmt: skip
    seen = [row for row in mine if row.metric == "exposure" and row.status == "ok"]
    finding = f"By {attribute}, no group could be judged."
    if seen:
        low, high = (choose(seen, key=lambda row: row.value or 0.0) for choose in (min, max))
        finding = (
            f"By {attribute}, {low.group} gets {shown(low)} times the exposure of a random order, {high.group} "
            f"{shown(high)} times."
        )
    return Section(
        key=f"ranking-numbers-{at}",
        title=f"Attention and relevance by {attribute}",
        finding=finding,
        figure=dots_by_group(mine, panels, sizes, references, "Attention and relevance by group"),
        reading="Each dot is a group's number, the line through it its interval. The dotted line is 1, a group's due.",
        table=pa.Table.from_pylist(table),
        how=_HOW,
    )


def _cell(row: MetricRow | None) -> str:
    return NOT_JUDGED if row is None else shown(row)
