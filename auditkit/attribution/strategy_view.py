"""How the whole set of explained rows is shown: by class, by answer, strategies, shortcut candidates."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from auditkit import theme
from auditkit.attribution import strategy_figures as figures
from auditkit.attribution.framing import titles
from auditkit.evidence.metrics import select
from auditkit.evidence.section import Section, matching

NAME = "attribution"
LOOKED_FOR = (
    "Within each predicted class rows are clustered by what they rest on (k-means on sign(φ)·sqrt(|φ|/Σ|φ|), two to "
    "five clusters of eight rows or more by the largest mean silhouette, one where none reaches 0.1). A region is made "
    "of the parts that hold five times the share they have in the rest of the class and in other classes, or, for a "
    "class as a whole, fifteen times that of other classes. It is chosen on one half of the rows; shares, lift and "
    "p-value (Mann-Whitney, class against other classes, adjusted after Benjamini and Hochberg) come from the other."
)


def whole_set_sections(evidence: Any, methods: pa.Table) -> list[Section]:
    """The sections, in reading order; none where the tables are absent."""
    return [
        *_by(evidence, methods, "class", "What each answer rests on"),
        *_by(evidence, methods, "answer", "Right and wrong answers"),
        *_strategies(evidence, methods),
        *_suspects(evidence),
    ]


def _small(evidence: Any, by: str) -> str:
    """The classes, or kinds of answers, that have too few explained rows to be judged, in a sentence."""
    table = evidence.table(f"{NAME}/by_class")
    lines = [] if table is None else matching(table, by=by, kind="part", status="insufficient")
    small = {line["name"] + (" answers" if by == "answer" else ""): line["reason"] for line in lines}
    if not small:
        return ""
    return f" Not judged by itself: {_listed([f'{name} ({why})' for name, why in list(small.items())[:6]])}."


def _by(evidence: Any, methods: pa.Table, by: str, title: str) -> list[Section]:
    table = evidence.table(f"{NAME}/by_class")
    if table is None:
        return []
    lines = matching(table, by=by, kind="part")
    judged = [line for line in lines if line["status"] == "ok"]
    names = list(dict.fromkeys(line["name"] for line in judged))
    if len(names) < 2:
        return []
    method = judged[0]["method"]
    picture = figures.is_picture([line["column"] for line in judged])
    rest = " answers" if by == "answer" else ""
    stability = select(evidence.rows, analysis=NAME, metric="rank_stability")
    stable = ""
    if by == "class" and stability and stability[0].value is not None:
        row = stability[0]
        stable = (
            f" Over all rows the order of the {'cells' if picture else 'columns'} is repeated by new draws with a rank "
            f"correlation of {theme.number(row.value, '', row.lower, row.upper)} "
            f"{theme.interval(row.lower, row.upper)}."
        )
    return [
        Section(
            f"by-{by}",
            title,
            (_zones_told(table, by) if picture else _leaders(judged, names, rest)) + stable + _small(evidence, by),
            figure=figures.by_selection(table, by, title, rest),
            reading=(
                "Mean share of the attribution by cell, for or against; all panels share one scale."
                if picture
                else "Intervals that do not overlap: the model rests on that column more in one than in the other."
            ),
            table=_zone_table(table, by) if picture else _rank_table(judged, names),
            how=f"{titles(methods).get(method, method)}; shares within the explained rows of each "
            f"{'predicted class' if by == 'class' else 'kind'}, percentile bootstrap over rows, each interval by "
            "itself. Selections of fewer than ten rows are not judged. Leading: in how many of 500 draws of the rows a "
            "column is among the first five.",
        )
    ]


def _leaders(judged: list[dict[str, Any]], names: list[str], rest: str) -> str:
    tops = {
        name: max((line for line in judged if line["name"] == name), key=lambda line: line["share"]) for name in names
    }
    if len({line["column"] for line in tops.values()}) == 1:
        return f"{tops[names[0]]['column']} carries the most weight in all of them: {_listed(_shown(tops, rest))}."
    said = [f"{line['column']} for {name}{rest}" for name, line in tops.items()]
    return f"The most weight lies on {_listed(said[:5])}."


def _shown(tops: dict[str, dict[str, Any]], rest: str) -> list[str]:
    return [
        f"{theme.number(line['share'], 'rate', line['lower'], line['upper'])} for {name}{rest}"
        for name, line in list(tops.items())[:5]
    ]


def _zones_told(table: pa.Table, by: str) -> str:
    lines = matching(table, by=by, kind="zone", status="ok")
    corners = [line for line in lines if line["column"] == "corners"]
    if not corners:
        return "Mean maps of what the answers rest on."
    top = max(corners, key=lambda line: line["share"])
    return (
        f"The corners, a quarter of the picture, hold most for {top['name']}: "
        f"{theme.number(top['share'], 'rate', top['lower'], top['upper'])} of the attribution."
    )


def _zone_table(table: pa.Table, by: str) -> pa.Table | None:
    lines = matching(table, by=by, kind="zone", status="ok")
    names = list(dict.fromkeys(line["name"] for line in lines))
    cells: dict[str, list[str]] = {"answers": names}
    for zone in dict.fromkeys(line["column"] for line in lines):
        own = {line["name"]: line for line in lines if line["column"] == zone}
        cells[zone] = [_with_interval(own[name]) for name in names]
    return pa.table(cells) if names else None


def _rank_table(judged: list[dict[str, Any]], names: list[str]) -> pa.Table:
    found = {(line["name"], line["column"]): line for line in judged}
    first = sorted((line for line in judged if line["name"] == names[0]), key=lambda line: -line["share"])
    columns = [line["column"] for line in first][:20]
    cells: dict[str, list[str]] = {"column": columns}
    for name in names[:6]:
        own = [found[name, column] for column in columns]
        cells[f"{name} (n={own[0]['n']})"] = [_with_interval(line) for line in own]
        cells[f"{name}: rank"] = [
            f"{line['rank']:.0f} [{line['rank_lower']:.0f}, {line['rank_upper']:.0f}]" for line in own
        ]
        cells[f"{name}: leading"] = [f"{line['leading']:.0%}" for line in own]
    return pa.table(cells)


def _with_interval(line: dict[str, Any]) -> str:
    edges = line["lower"], line["upper"]
    return f"{theme.number(line['share'], 'rate', *edges)} {theme.interval(*edges, 'rate')}"


def _strategies(evidence: Any, methods: pa.Table) -> list[Section]:
    table = evidence.table(f"{NAME}/strategies")
    if table is None or table.num_rows == 0:
        return []
    lines = figures.told(table)
    classes = list(dict.fromkeys(line["class"] for line in lines))
    several = [name for name in classes if sum(line["class"] == name for line in lines) > 1]
    named = [name or "the rows" for name in several]
    if len(named) > 6:
        named = [*named[:6], f"{len(named) - 6} more"]
    finding = (
        f"The model has {len(lines)} strategies for {len(classes)} answers; more than one for {_listed(named)}."
        if several and classes != [""]
        else f"The explained rows fall into {len(lines)} strategies."
        if several
        else "Every answer is reached in one way: its rows do not fall into groups that rest on different things."
        if classes != [""]
        else "The explained rows do not fall into groups that rest on different things."
    )
    worst = [line for line in lines if line["known"] >= 8 and line["right"] < line["known"]]
    if worst:
        line = min(worst, key=lambda line: line["right"] / line["known"])
        finding += f" Least often right is {figures.label(line)}: {line['right']} of {line['known']} explained rows."
    shortcuts = evidence.table(f"{NAME}/shortcuts")
    if shortcuts is not None and classes != [""] and not matching(shortcuts, candidate=True):
        finding += " No shortcut candidate: no strategy, and no answer as a whole, rests on a place of its own."
    judged = {section.key for by in ("class", "answer") for section in _by(evidence, methods, by, "")}
    finding += "".join(_small(evidence, by) for by in ("class", "answer") if f"by-{by}" not in judged)
    method, sorted_out = lines[0]["method"], classes != [""]
    apart = "two of one answer that differ" if sorted_out else "two that differ"
    return [
        Section(
            "strategies",
            f"Strategies: the ways in which {'each answer is' if sorted_out else 'predictions are'} reached",
            finding,
            figure=figures.strategies(table),
            reading=f"Mean share of the attribution in the rows of each strategy; {apart} are two ways of reaching "
            f"{'the same' if sorted_out else 'an'} answer. Look at the row that stands for each.",
            table=pa.table(
                {
                    "strategy": [figures.label(line) for line in lines],
                    "explained rows": [theme.number(line["rows"], "rows") for line in lines],
                    "right": [f"{line['right']} of {line['known']}" if line["known"] else "–" for line in lines],
                    "stands for it": [f"row {line['medoid']}" for line in lines],
                    "farthest from that": [f"row {line['farthest']}" for line in lines],
                    "rests most on": [_top(line) for line in lines],
                    "silhouette": [theme.number(line["silhouette"]) for line in lines],
                }
            ),
            how=f"{titles(methods).get(method, method)}. {LOOKED_FOR}",
        )
    ]


def _top(line: dict[str, Any]) -> str:
    ranked = sorted(zip(line["shares"], line["parts"], strict=True), reverse=True)[:3]
    return ", ".join(f"{part} ({theme.number(share, 'rate')})" for share, part in ranked)


def _suspects(evidence: Any) -> list[Section]:
    table, strategies = evidence.table(f"{NAME}/shortcuts"), evidence.table(f"{NAME}/strategies")
    if table is None or strategies is None or table.num_rows == 0:
        return []
    found = sorted(matching(table, candidate=True), key=lambda line: -line["share"])
    tested = [line for line in table.to_pylist() if line["lift"] is not None]
    if not found:
        return []
    said = [
        f"{theme.number(line['share'], 'rate')} of the attribution of answers {line['class']!r} "
        f"({_which(line)}) rests on {line['place']}, {_times(line)} what {_than(line)}"
        for line in found
    ]
    return [
        Section(
            "shortcuts",
            "Does an answer rest on a mark?",
            f"A reason to look: {'; '.join(said[:3])}.",
            figure=figures.suspects(found, strategies, evidence.table(f"{NAME}/inputs")),
            reading="Left: the row that stands for the strategy; right: its mean share of the attribution, the region "
            "framed. A candidate is no proof: the region may be what the answer is about."
            if figures.is_picture(strategies.column("parts")[0].as_py())
            else "What the region holds in the strategy, beside what it holds in the rows compared with. A candidate "
            "is no proof: the region may be what the answer is about.",
            table=_suspect_table(tested),
            how=LOOKED_FOR,
        )
    ]


def _times(line: dict[str, Any]) -> str:
    return "more than 100 times" if line["lift"] > 100 else f"{theme.number(line['lift'])} times"


def _which(line: dict[str, Any]) -> str:
    return f"all {line['rows']} explained rows" if line["against"] == "other classes" else f"{line['rows']} of its rows"


def _than(line: dict[str, Any]) -> str:
    return "other classes rest there" if line["against"] == "other classes" else "the rest of its class rests there"


def _suspect_table(tested: list[dict[str, Any]]) -> pa.Table | None:
    lines = sorted(tested, key=lambda line: (not line["candidate"], -line["share"]))[:15]
    if not lines:
        return None
    return pa.table(
        {
            "strategy": [figures.label(line) for line in lines],
            "explained rows": [theme.number(line["rows"], "rows") for line in lines],
            "region": [line["place"] for line in lines],
            "share there": [theme.number(line["share"], "rate") for line in lines],
            "against": [f"{line['against']}: {theme.number(line['elsewhere'], 'rate')}" for line in lines],
            "lift": [_times(line) for line in lines],
            "adjusted p": [theme.probability(line["adjusted"]) for line in lines],
            "candidate": ["yes" if line["candidate"] else f"no: {line['reason']}" for line in lines],
        }
    )


def _listed(parts: list[str]) -> str:
    """Words in a row, as in a sentence."""
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}" if parts else ""
