"""How insights are shown: evidence → sections. Picks rows and formats them; computes no statistics."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from auditkit import theme
from auditkit.evidence.metrics import select
from auditkit.evidence.section import Section, matching
from auditkit.insights import figures

NAME = "insights"
DRIVERS, PROXIES = "What drives gaps between groups", "What gives an attribute away"
HOW_DRIVERS = (
    "All rows are explained against one baseline for one target, so that the gap of mean scores is exactly the sum of "
    "the gaps of mean attributions and a remainder, which is what the attributions fall short of. Intervals come from "
    "drawing the explained rows of each group again; those of the contributions hold all together, that of the gap by "
    "itself. They cover the choice of rows, not that of the baseline: from another baseline the same gap divides "
    "otherwise. A contribution says through which column the model makes the difference, not whether that is fair."
)
HOW_PROXIES = (
    "Area under the ROC curve of a classifier that sees this column alone, cross-validated in five folds; 0.5 tells "
    "nothing, 1 tells all; of more than two groups the mean of each against the rest. Chance: groups dealt out anew "
    "199 times (99 for penultimate features); a column is found where the best of all columns seldom does as well by "
    "chance. With many rows even a faint trace is found: read the area. Share of attribution: over the explained rows."
)


def sections(evidence: Any) -> list[Section]:
    """The sections of the page, in reading order; where there is nothing to join, one that says why."""
    found = [*_drivers(evidence), *_proxies(evidence)]
    said = [row.reason for row in select(evidence.rows, analysis=NAME, status="not applicable")]
    if not evidence.table(f"{NAME}/drivers") and said:
        text = f"The gap between groups was not divided among features: {said[0]}."
        found.insert(0, Section("no-drivers", DRIVERS, text, chapter=DRIVERS))
    return found


def _drivers(evidence: Any) -> list[Section]:
    table = evidence.table(f"{NAME}/drivers")
    if table is None or not table.num_rows:
        return []
    result, pairs = [], dict.fromkeys(
        (line["attribute"], line["group"]) for line in table.to_pylist() if line["status"] == "ok"
    )  # fmt: skip
    for place, (attribute, group) in enumerate(pairs, start=1):
        lines = matching(table, attribute=attribute, group=group)
        gap = next(line for line in lines if line["kind"] == "gap")
        rest = next(line for line in lines if line["kind"] == "remainder")
        features = sorted(
            (line for line in lines if line["kind"] == "feature"), key=lambda line: -abs(line["contribution"])
        )
        target = str(gap["target"]).split(" (")[0]
        result.append(
            Section(
                f"drivers-{place}",
                f"{attribute}: {group} against {gap['reference']}",
                _driver_finding(gap, features, target, _remainder(evidence, attribute, group)),
                figure=figures.waterfall(lines, target),
                reading="Each bar begins where the one above ends: blue raises the score of the group against its "
                "reference, orange lowers it; together they make the gap. Lines: 95 % intervals, of the contributions "
                "all together.",
                table=_driver_table(gap, features, rest),
                how=HOW_DRIVERS,
                chapter=DRIVERS,
            )
        )
    small = [line for line in table.to_pylist() if line["status"] != "ok"]
    if small:
        text = f"Not judged: {'; '.join(_names(line) for line in small)}."
        result.append(Section("drivers-left-out", "Groups that were not compared", text, chapter=DRIVERS))
    return result


def _driver_finding(
    gap: dict[str, Any], features: list[dict[str, Any]], target: str, remainder: float | None
) -> str:  # fmt: skip
    size = abs(gap["contribution"])
    edges = sorted((abs(gap["lower"]), abs(gap["upper"])))
    clear = gap["lower"] > 0 or gap["upper"] < 0
    way = "higher" if gap["contribution"] > 0 else "lower"
    text = (
        f"The mean {target} of {gap['group']} is {theme.number(size, '', *edges)} {theme.interval(*edges)} {way} than "
        f"that of {gap['reference']}."
        if clear
        else f"The mean {target} of {gap['group']} and of {gap['reference']} do not clearly differ "
        f"({_value(gap)} {theme.interval(gap['lower'], gap['upper'])})."
    )
    sure = [line for line in features if line["lower"] > 0 or line["upper"] < 0][:3]
    if sure:
        said = [f"{line['column']} ({_value(line)})" for line in sure]
        text += f" It comes most clearly from {_listed(said)}."
    else:
        text += " No single column's contribution is clearly other than zero."
    if remainder is not None:
        text += f" The contributions add up to it but for {theme.number(remainder, 'rate')}."
    return text


def _remainder(evidence: Any, attribute: str, group: str) -> float | None:
    rows = select(evidence.rows, analysis=NAME, metric="score_gap_remainder", attribute=attribute, group=group)
    return rows[0].value if rows else None


def _driver_table(gap: dict[str, Any], features: list[dict[str, Any]], rest: dict[str, Any]) -> pa.Table:
    lines = [*features, rest, gap]
    names = [*(line["column"] for line in features), "remainder", "the gap"]
    means = [
        [theme.NO_VALUE if line[key] is None else f"{line[key]:+.3f}" for line in lines]
        for key in ("mean", "reference_mean")
    ]
    return pa.table(
        {
            "column": names,
            "contribution": [_value(line) for line in lines],
            "interval": [theme.interval(line["lower"], line["upper"]) for line in lines],
            f"mean attribution, {gap['group']} (n={gap['n']})": means[0],
            f"mean attribution, {gap['reference']} (n={gap['reference_n']})": means[1],
        }
    )


def _proxies(evidence: Any) -> list[Section]:
    table = evidence.table(f"{NAME}/proxies")
    if table is None:
        return []
    result = []
    for place, attribute in enumerate(dict.fromkeys(table.column("attribute").to_pylist()), start=1):
        lines = matching(table, attribute=attribute)
        judged = [line for line in lines if line["status"] == "ok"]
        title = f"What gives {attribute} away"
        if not judged:
            text = f"Not judged: {lines[0]['reason']}."
            result.append(Section(f"proxies-{place}", title, text, chapter=PROXIES))
            continue
        result.append(
            Section(
                f"proxies-{place}",
                title,
                _proxy_finding(judged, attribute, evidence),
                figure=figures.proxies(judged, attribute),
                reading="Far right on the left, the column tells the groups apart; a long bar on the right, the model "
                "rests on it. A column with both stands in for the attribute in the model's answers.",
                table=_proxy_table(judged),
                how=HOW_PROXIES + f" Groups: {', '.join(judged[0]['groups'])}.",
                chapter=PROXIES,
            )
        )
    return result


def _proxy_finding(lines: list[dict[str, Any]], attribute: str, evidence: Any) -> str:
    found = sorted(
        (line for line in lines if line["kind"] == "feature" and line["found"]), key=lambda line: -line["auc"]
    )
    columns = sum(line["kind"] == "feature" for line in lines)
    text = ""
    if found:
        said = [f"{line['column']} (area {_area(line)}{_used(line)})" for line in found[:3]]
        text = f"{len(found)} of {columns} columns tell {attribute} beyond chance, best {_listed(said)}."
    elif columns:
        text = f"No column tells {attribute} beyond chance."
    for line in lines:
        if line["kind"] == "representation":
            beyond = "give it away" if line["found"] else "do not tell it beyond chance"
            text += f" The penultimate features together {beyond} (area {_area(line)})."
    seen = evidence.info.get("schema", {}).get("features", ())
    return text.strip() + (f" The model is given {attribute} itself." if attribute in seen else "")


def _used(line: dict[str, Any]) -> str:
    if line["share"] is None:
        return ""
    share = theme.number(line["share"], "rate", line["share_lower"], line["share_upper"])
    return f", {share} of the attribution"


def _proxy_table(lines: list[dict[str, Any]]) -> pa.Table:
    ranked = sorted(lines, key=lambda line: (line["kind"] == "feature", -line["auc"]))
    return pa.table(
        {
            "column": [line["column"] for line in ranked],
            "area": [_area(line) for line in ranked],
            "interval": [theme.interval(line["lower"], line["upper"]) for line in ranked],
            "what chance reaches": [theme.number(line["chance"]) for line in ranked],
            "adjusted p": [theme.probability(line["adjusted"]) for line in ranked],
            "found": ["yes" if line["found"] else "no" for line in ranked],
            "share of attribution": [
                theme.NO_VALUE
                if line["share"] is None
                else f"{theme.number(line['share'], 'rate', line['share_lower'], line['share_upper'])} "
                f"{theme.interval(line['share_lower'], line['share_upper'], 'rate')}"
                for line in ranked
            ],
        }
    )


def _area(line: dict[str, Any]) -> str:
    return theme.number(line["auc"], "", line["lower"], line["upper"])


def _value(line: dict[str, Any]) -> str:
    sign = "+" if line["contribution"] > 0 else "−" if line["contribution"] < 0 else ""
    edges = line["lower"], line["upper"]
    return sign + theme.number(abs(line["contribution"]), "", *edges)


def _names(line: dict[str, Any]) -> str:
    return f"{line['attribute']}: {line['group']} against {line['reference']} ({line['reason']})"


def _listed(parts: list[str]) -> str:
    """Words in a row, as in a sentence."""
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}" if parts else ""
