"""Mitigation as sections: what a smaller gap costs, the cheapest change for each gate, who gains and who loses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from auditkit.evidence.section import Section
from auditkit.fairness.groups.definitions import GAPS
from auditkit.fairness.mitigation.figures import MOST_GROUPS, frontier_figure, who_figure
from auditkit.fairness.mitigation.targets import SHOWN
from auditkit.fairness.sentences import NOT_JUDGED
from auditkit.theme import NO_VALUE, interval, limit, number, short, verdict_label

Line = Mapping[str, Any]
_LAW = (
    "Whether people of different groups may be held to different thresholds depends on the domain and the place: for "
    "credit, employment or housing it can be disparate treatment and unlawful even where it narrows a gap. This is a "
    "plain reading, not legal advice, and no advice to use such thresholds."
)
_KINDS = (
    "Deterministic: one threshold per group, the best of all. Randomised: in some groups a draw between thresholds, so "
    "that two people with the same score can be decided differently; it is at least as accurate on the rows it was "
    "fitted on."
)
_FITTED = "Policies were fitted on other rows than those they are judged on here, so what they bring is not flattered."
_MOST_SHOWN, _MOST_NAMED = 4, 5


def mitigation_sections(evidence: Any) -> list[Section]:
    """The sections there is evidence for: tables `frontier`, `cheapest_change` and `who_changes`."""
    tables = {name: evidence.table(f"fairness/{name}") for name in ("frontier", "cheapest_change", "who_changes")}
    lines: dict[str, list[Line]] = {name: [] if table is None else table.to_pylist() for name, table in tables.items()}
    changes = [line for line in lines["cheapest_change"] if line["policy"] != "today"]
    made = [_cheapest(lines["cheapest_change"])] if lines["cheapest_change"] else []
    made += _who(changes, lines["who_changes"])
    for metric in SHOWN:
        mine = [line for line in lines["frontier"] if line["metric"] == metric]
        if mine:
            made.append(_frontier(metric, mine, [line for line in changes if line["shown_metric"] == metric]))
    return made


def _frontier(metric: str, lines: Sequence[Line], marks: Sequence[Line]) -> Section:
    title = GAPS[metric].title
    judged = [line for line in lines if line["gap"] is not None and line["accuracy"] is not None]
    left_out = sorted({f"{name} ({line['attribute']})" for line in lines for name in line["unjudged"]})
    named = f" Not judged: {', '.join(left_out[:5])}{' …' if len(left_out) > 5 else ''}." if left_out else ""
    return Section(
        key=f"frontier-{metric.removesuffix('_difference').replace('_', '-')}",
        title=f"What a smaller {title} costs",
        finding=(_narrowest(judged) if judged else "No policy could be judged on the held-out rows.") + named,
        figure=frontier_figure(metric, judged, marks) if judged else None,
        reading=(
            "Each dot is the best policy within an allowed gap, with the gap and accuracy it has on held-out rows; the "
            "thin lines are intervals. The diamond is today's single threshold, a star the cheapest change that "
            "should turn a gate green."
        ),
        table=_frontier_table(lines),
        how=f"{_KINDS} {_FITTED} {_bounded(lines)}{_LAW}",
    )


def _narrowest(lines: Sequence[Line]) -> str:
    """For each attribute, today and the strictest deterministic policy."""
    parts = []
    for attribute in dict.fromkeys(line["attribute"] for line in lines):
        mine = [line for line in lines if line["attribute"] == attribute]
        today = next((line for line in mine if line["policy"] == "today"), None)
        fitted = [line for line in mine if line["policy"] == "deterministic"]
        if today is None or not fitted:
            continue
        best = min(fitted, key=lambda line: line["allowed"])
        parts.append(
            f"by {attribute}, one threshold per group takes it from {_points(today['gap'])} to "
            f"{_valued(best, 'gap', 'points')} at {_signed(best)} of accuracy"
        )
    text = "; ".join(parts)
    return f"{text[0].upper()}{text[1:]}." if text else "No thresholds by group narrow this gap usefully."


def _bounded(lines: Sequence[Line]) -> str:
    """What a search that was cut short may have missed."""
    short = [line for line in lines if line["fit_most"] > line["fit_accuracy"] + 1e-9]
    if not short:
        return ""
    most = max(line["fit_most"] - line["fit_accuracy"] for line in short)
    return f"With this many groups the search was cut short; it may have missed up to {_points(most)} of accuracy. "


def _frontier_table(lines: Sequence[Line]) -> pa.Table:
    return pa.table(
        {
            "attribute": [line["attribute"] for line in lines],
            "policy": [
                "today" if line["policy"] == "today" else f"{line['policy']}, gap up to {_points(line['allowed'])}"
                for line in lines
            ],
            "gap [interval]": [_valued(line, "gap", "points") for line in lines],
            "accuracy [interval]": [_valued(line, "accuracy", "rate") for line in lines],
            "change of accuracy": [
                "" if line["policy"] == "today" else _valued(line, "accuracy_change", "points") for line in lines
            ],
            "thresholds": [_steps(line["steps"]) for line in lines],
        }
    )


def _cheapest(lines: Sequence[Line]) -> Section:
    return Section(
        key="cheapest-change",
        title="The cheapest change for each gate",
        finding=_headline([line for line in lines if line["policy"] in ("today", "deterministic")]),
        table=pa.table(
            {
                "attribute": [line["attribute"] for line in lines],
                "gate": [_gate(line) for line in lines],
                "policy": ["today, no change" if line["policy"] == "today" else line["policy"] for line in lines],
                "today": [f"{_number(line['today_gap'], line)}, {line['today_verdict']}" for line in lines],
                "on held-out rows": [_valued(line, "gap", _unit(line)) for line in lines],
                "gate there": [verdict_label(line["verdict"]) for line in lines],
                "change of accuracy": [_valued(line, "accuracy_change", "points") for line in lines],
                "no to yes": [number(line["gained"], "rows") for line in lines],
                "yes to no": [number(line["lost"], "rows") for line in lines],
                "thresholds": [_steps(line["steps"]) for line in lines],
            }
        ),
        how=(
            "The loosest thresholds that leave room for the interval which held-out rows will have, so that the gate "
            "should pass four times in five; chosen on the fitted rows alone and held against others once. Policies "
            "that give up more than half of what the scores add to one decision for everybody are left aside. "
            f"{_KINDS} {_LAW}"
        ),
    )


def _headline(lines: Sequence[Line]) -> str:
    """The change for the first gate, and how many more the table holds."""
    more = len(lines) - 1
    rest = f" The table holds {more} more gate{'s' if more > 1 else ''}." if more else ""
    return _change(lines[0]) + rest


def _change(line: Line) -> str:
    gate = f"{_gate(line)} by {line['attribute']}"
    if line["policy"] == "today":
        return f"{_upper(gate)} holds already."
    text = (
        f"{_upper(gate)}: one threshold per group (deterministic) takes {_number(line['today_gap'], line)} to "
        f"{_valued(line, 'gap', _unit(line))} on held-out rows, {verdict_label(line['verdict'])}, at {_signed(line)} "
        "of accuracy."
    )
    if not line["room"]:
        text += " No useful thresholds leave room for the interval of so few rows; these come nearest."
    return text


def _who(changes: Sequence[Line], every: Sequence[Line]) -> list[Section]:
    made = []
    for at, change in enumerate(line for line in changes if line["policy"] == "deterministic"):
        if at == _MOST_SHOWN:
            break
        same = {name: change[name] for name in ("attribute", "metric", "limit")}
        both = [line for line in every if all(line[name] == value for name, value in same.items())]
        mine = [line for line in both if line["policy"] == "deterministic"]
        made.append(
            Section(
                key=f"who-changes-{at}",
                title=f"Who gains and who loses: {_gate(change)} by {change['attribute']}",
                finding=_moved(mine),
                figure=who_figure(mine),
                reading=(
                    "Per 1,000 held-out people of a group: to the right those who would now get the positive decision, "
                    "to the left those who would no longer. Full colour where the label bears the new decision out, "
                    "pale where it does not. The figure shows the deterministic change, the table both."
                    + (
                        f" Drawn are the {MOST_GROUPS} groups with most people moved."
                        if len(mine) > MOST_GROUPS
                        else ""
                    )
                ),
                table=_who_table(both),
                how="Today's decision and the policy's on the same held-out rows; intervals are Wilson's.",
            )
        )
    return made


def _moved(lines: Sequence[Line]) -> str:
    parts = []
    for what, words in (("gained", "from no to yes"), ("lost", "from yes to no")):
        most = max(lines, key=lambda line: line[f"{what}_per_1000"] or 0)
        if most[what]:
            parts.append(
                f"{words} most often in {most['group']}: {most[f'{what}_per_1000']:.0f} in 1,000, "
                f"{most[f'{what}_right'] / most[what]:.0%} of them rightly".replace("%", " %")
            )
    return f"Decisions change {'; '.join(parts)}." if parts else "Nobody's decision changes."


def _who_table(lines: Sequence[Line]) -> pa.Table:
    def per(line: Line, what: str) -> str:
        value = line[f"{what}_per_1000"]
        return NO_VALUE if value is None else f"{value:.0f} {interval(line[f'{what}_lower'], line[f'{what}_upper'])}"

    def rightly(line: Line, what: str) -> str:
        return f"{line[f'{what}_right']:,} of {line[what]:,}" if line[what] else NO_VALUE

    return pa.table(
        {
            "policy": [line["policy"] for line in lines],
            "group": [line["group"] for line in lines],
            "rows": [number(line["n"], "rows") for line in lines],
            "threshold": [line["threshold"] for line in lines],
            "no to yes, per 1,000": [per(line, "gained") for line in lines],
            "of these right": [rightly(line, "gained") for line in lines],
            "yes to no, per 1,000": [per(line, "lost") for line in lines],
            "of those right": [rightly(line, "lost") for line in lines],
        }
    )


def _gate(line: Line) -> str:
    gap = GAPS[line["metric"]]
    return f"{gap.title} {'at most' if gap.kind == 'difference' else 'at least'} {limit(line['limit'], gap.unit)}"


def _unit(line: Line) -> str:
    return GAPS[line["metric"]].unit


def _number(value: float | None, line: Line) -> str:
    return NOT_JUDGED if value is None else number(value, _unit(line))


def _points(value: float) -> str:
    return number(value, "points")


def _valued(line: Line, what: str, unit: str) -> str:
    value, lower, upper = line[what], line[f"{what}_lower"], line[f"{what}_upper"]
    return NOT_JUDGED if value is None else f"{number(value, unit, lower, upper)} {interval(lower, upper, unit)}"


def _signed(line: Line) -> str:
    value = line["accuracy_change"]
    if value is None:
        return "an unknown change"
    text = number(value, "points", line["accuracy_change_lower"], line["accuracy_change_upper"])
    return f"a change of {text if value < 0 else '+' + text}"


def _upper(text: str) -> str:
    return text[0].upper() + text[1:]


def _steps(steps: Sequence[Line]) -> str:
    """Thresholds by group in words, of few groups only."""
    by_group: dict[str, list[str]] = {}
    drawn = {step["group"] for step in steps if step["chance"] < 1}
    for step in steps:
        name = "nobody" if step["threshold"] is None else f"{max(0.0, step['threshold']):.3g}"
        chance = f" ({step['chance']:.0%})".replace("%", " %") if step["group"] in drawn else ""
        by_group.setdefault(step["group"], []).append(name + chance)
    told = [f"{short(group)} {' or '.join(names)}" for group, names in by_group.items()]
    return ", ".join(told[:_MOST_NAMED]) + (f", … ({len(told)} groups)" if len(told) > _MOST_NAMED else "")
