"""Who is in the data as sections: groups against the population, and missing values by group."""

from __future__ import annotations

import hashlib
from typing import Any

import pyarrow as pa

from auditkit.evidence.metrics import MetricRow, select
from auditkit.evidence.section import Section
from auditkit.fairness.counting.counts import JOIN
from auditkit.fairness.population.figures import missing_by_group, shares_of_groups
from auditkit.fairness.population.missingness import DIFFERENCE as MISSINGNESS
from auditkit.fairness.population.representation import DIFFERENCE, P_VALUE, RATIO
from auditkit.fairness.sentences import shown
from auditkit.theme import interval, number, probability


def _key(kind: str, *parts: str) -> str:
    return f"{kind}-{hashlib.sha256(chr(0).join(parts).encode()).hexdigest()[:8]}"


def _keys(records: list[dict[str, Any]]) -> list[tuple[str, str]]:
    return list(dict.fromkeys((record["split"], record["attribute"]) for record in records))


def _title(text: str, split: str) -> str:
    return f"{text} ({split})" if split else text


def representation_sections(evidence: Any) -> list[Section]:
    """A section for each split and attribute with population shares; none where none were given."""
    table = evidence.table("fairness/representation")
    records = [] if table is None else table.to_pylist()
    sections = []
    for split, attribute in _keys(records):
        mine = [record for record in records if (record["split"], record["attribute"]) == (split, attribute)]
        rows = select(evidence.rows, analysis="fairness", split=split, attribute=attribute)
        ratios = {row.group: row for row in select(rows, metric=RATIO)}
        sections.append(
            Section(
                key=_key("representation", split, attribute),
                title=_title(f"Whether the rows represent the population by {attribute}", split),
                finding=_representation_finding(rows, mine, attribute),
                figure=shares_of_groups(mine, attribute),
                reading="A dot left of its grey bar is a group with fewer rows than its share of the population; where "
                "the dot's interval reaches the bar, chance alone may explain it.",
                table=pa.Table.from_pylist([_share_line(record, ratios.get(record["group"])) for record in mine]),
                how="Goodman's intervals hold for all groups of the attribute together. The test is Pearson's "
                "chi-square, by multinomial draws where a group is expected fewer than five times. Few rows make a "
                "group's rates uncertain; that it is under-represented does not by itself make them unfair.",
            )
        )
    return sections


def _representation_finding(rows: list[MetricRow], records: list[dict[str, Any]], attribute: str) -> str:
    gap = next(iter(select(rows, metric=DIFFERENCE)), None)
    if gap is None or gap.status != "ok":
        return f"Representation by {attribute} is not judged: {gap.reason if gap else 'no rows'}."
    ratios = [row for row in select(rows, metric=RATIO) if row.status == "ok" and row.value is not None]
    sure = [row for row in ratios if row.upper is not None and row.upper < 1]
    least = min(ratios, key=lambda row: row.value or 0.0)
    text = f"{least.group} has {shown(least)} times the rows of its population share"
    text += ", the least of all groups" if sure else "; no group is clearly under-represented"
    absent = [record["group"] for record in records if not record["n"] and record["population"]]
    if absent:
        text += f". Without a single row: {', '.join(absent[:5])}" + (" …" if len(absent) > 5 else "")
    test = next((row.value for row in select(rows, metric=P_VALUE)), None)
    return f"{text}" + (f" (all groups: p {test:.2g})." if test is not None else ".")


def _share_line(record: dict[str, Any], ratio: MetricRow | None) -> dict[str, str]:
    edges = record["observed"], record["lower"], record["upper"]
    return {
        "group": record["group"],
        "rows": number(record["n"], "rows"),
        "share of the rows": f"{number(edges[0], 'rate', *edges[1:])} {interval(*edges[1:], 'rate')}",
        "share of the population": number(record["population"], "rate"),
        "ratio": "–" if ratio is None else shown(ratio),
    }


def missingness_sections(evidence: Any) -> list[Section]:
    """A section for each split and attribute; none where missing values were not looked at. Intersections are in the
    evidence."""
    table, gaps = evidence.table("fairness/missingness"), evidence.table("fairness/missingness_gaps")
    if table is None or gaps is None:
        return []
    records, widest = table.to_pylist(), gaps.to_pylist()
    sections = []
    for split, attribute in _keys([gap for gap in widest if JOIN not in gap["attribute"]]):
        mine, of = (
            [line for line in part if (line["split"], line["attribute"]) == (split, attribute)]
            for part in (records, widest)
        )
        rows = select(evidence.rows, metric=MISSINGNESS, split=split, attribute=attribute)
        level = 1 - next((row.confidence for row in rows if row.confidence), 0.95)
        some = {record["column"] for record in mine if record["missing"]}
        drawn = [gap for gap in of if gap["column"] in some]
        ordered = sorted(of, key=lambda gap: (gap["p_adjusted"], -gap["gap"]))
        sections.append(
            Section(
                key=_key("missingness", split, attribute),
                title=_title(f"Missing values by {attribute}", split),
                finding=_missing_finding(drawn, attribute, level),
                figure=missing_by_group(mine, drawn) if drawn else None,
                reading="A line joins the groups with the fewest and the most missing values of a column; the longer "
                "it is, the more one group's values have to be filled in." if drawn else "",
                table=pa.Table.from_pylist([_gap_line(gap) for gap in ordered]),
                how="Missing are nulls, NaN and empty text. The bounds of a column's gap hold for all pairs of groups "
                "together. p: chi-square, or a permutation test where few are expected; adjusted for all columns and "
                "attributes (Benjamini-Hochberg).",
            )
        )  # fmt: skip
    return sections


def _missing_finding(gaps: list[dict[str, Any]], attribute: str, level: float) -> str:
    if not gaps:
        return f"No value is missing in any group of {attribute}."
    found = sorted((gap for gap in gaps if gap["p_adjusted"] <= level), key=lambda gap: -gap["gap"])
    if not found:
        return f"No column has values missing more often for one group of {attribute} than chance alone would show."
    worst = found[0]
    gap = number(worst["gap"], "points", worst["lower"], worst["upper"])
    count = "one column" if len(found) == 1 else f"{len(found)} columns"
    return (
        f"In {count} values are missing more often for some groups of {attribute}; most in {worst['column']}, for "
        f"{worst['high']} {gap} {interval(worst['lower'], worst['upper'], 'points')}"
        f" more often than for {worst['low']}."
    )


def _gap_line(gap: dict[str, Any]) -> dict[str, str]:
    return {
        "column": gap["column"],
        "widest gap": f"{number(gap['gap'], 'points', gap['lower'], gap['upper'])} "
        f"{interval(gap['lower'], gap['upper'], 'points')}",
        "most missing": gap["high"] if gap["gap"] else "–",
        "fewest missing": gap["low"] if gap["gap"] else "–",
        "p": probability(gap["p_value"]),
        "p, all columns together": probability(gap["p_adjusted"]),
    }
