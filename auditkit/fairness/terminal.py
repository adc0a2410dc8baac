"""A fairness check on the terminal: the verdict first, then why; and the same for a machine, as JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import pyarrow as pa
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from auditkit.evidence.metrics import MetricRow
from auditkit.fairness.groups.definitions import GAPS, RATES
from auditkit.fairness.result import Check, FairnessCheck
from auditkit.fairness.sentences import NOT_JUDGED, four_fifths_finding, shown, widest_finding
from auditkit.theme import VERDICTS, number, probability, verdict_label

_WIDE = 125
_RATES = ("selection_rate", "true_positive_rate", "false_positive_rate", "false_negative_rate", "precision")
_GAPS = ("demographic_parity_ratio", "demographic_parity_difference", "equal_opportunity_difference",
         "predictive_equality_difference", "equalized_odds_difference")  # fmt: skip


def render(check: Check, width: int = _WIDE) -> RenderableType:
    """All of a check for a person to read. Names that users gave are shown as they are, never as markup.

    width: of the terminal, in characters; on a narrow one intervals stand under their rates, and precision is left out.
    """
    if not isinstance(check, FairnessCheck):
        return Group(_verdict(check), _gates(check), *_sections(check), *_caveats(check))
    attributes = check.counts.attributes
    parts: list[RenderableType] = [_verdict(check), _gates(check)]
    parts.append(_line(four_fifths_finding(check.rows, attributes)))
    for attribute in attributes:
        parts += [_line(widest_finding(check.rows, attribute)), _rates(check.rows, attribute, width)]
    crossed = list(dict.fromkeys(row.attribute for row in check.rows if row.metric in GAPS))
    parts += [_line("Largest gaps, each with an interval that holds for all pairs of groups at once:")]
    parts.append(_gap_table(check.rows, crossed))
    if "ll144" in check.added:
        parts += _standards(check.added)
    if check.release is not None:
        parts += [_line("Against the last release, on the same rows:"), _line(check.release.sentence)]
        parts.append(_changes(check.release.metrics))
    return Group(*parts, *_caveats(check))


def _caveats(check: Check) -> list[RenderableType]:
    if not check.caveats:
        return []
    told = [Text(f"{'!' if caveat.level == 'warning' else '·'} {caveat.text}") for caveat in check.caveats]
    return [_line("Read this before trusting a number:"), *told]


def _sections(check: Check) -> list[RenderableType]:
    """What other predictions than decisions come to: each finding with its table."""
    parts: list[RenderableType] = []
    for section in check.sections():
        parts.append(_line(f"{section.title}: {section.finding}"))
        if section.table is not None:
            table = _table(*section.table.column_names)
            for record in section.table.to_pylist():
                _row(table, *(str(value) for value in record.values()))
            parts.append(table)
    return parts


def _line(text: str) -> RenderableType:
    return Padding(Text(text), (1, 0, 0, 0))


def _verdict(check: Check) -> RenderableType:
    text = Text(verdict_label(check.verdict), style=f"bold {VERDICTS[check.verdict][1]}")
    text.append(f"   fairness of {check.where}", style="bold default")
    positive = f", positive class {check.positive}" if isinstance(check, FairnessCheck) else ""
    text.append(f"   {check.size:,} rows{positive}", style="dim default")
    return text


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    for at, column in enumerate(columns):
        table.add_column(column, overflow="fold", no_wrap=at == 0)
    return table


def _row(table: Table, *cells: str) -> None:
    table.add_row(*(Text(cell, style="dim" if cell == NOT_JUDGED else "") for cell in cells))


def _gates(check: Check) -> RenderableType:
    if not check.results:
        return _line("The policy has no gates, so there is nothing to pass.")
    table = _table("gate", "of", "condition", "verdict", "why")
    for result in check.results:
        _row(table, result.gate, result.subject, result.condition, verdict_label(result.verdict), result.reason)
    return Padding(table, (1, 0, 0, 0))


def _standards(tables: Mapping[str, pa.Table]) -> list[RenderableType]:
    from auditkit.fairness.standards.view import standard_sections

    parts: list[RenderableType] = []
    for section in standard_sections({name: table for name, table in tables.items() if name.startswith("ll144")}):
        parts += [_line(f"{section.title}: {section.finding}")]
        if section.table is not None:
            table = _table(*section.table.column_names)
            for record in section.table.to_pylist():
                _row(table, *(str(value) for value in record.values()))
            parts.append(table)
    return parts


def _changes(rows: Sequence[MetricRow]) -> RenderableType:
    table = _table("group", "rows", "decisions changed", "change of accuracy", "p (Holm)")
    adjusted = {(r.attribute, r.group): r for r in rows if r.metric == "accuracy_change_p_value_adjusted"}
    for row in rows:
        if row.metric == "accuracy_change":
            churn = next(r for r in rows if (r.metric, r.attribute, r.group) == ("churn", row.attribute, row.group))
            p = adjusted.get((row.attribute, row.group))
            name = f"{row.group} ({row.attribute})" if row.attribute else "everybody"
            chance = NOT_JUDGED if p is None or p.value is None else probability(p.value)
            _row(table, name, number(row.n, "rows"), shown(churn), shown(row), chance)
    return table


def _rates(rows: Sequence[MetricRow], attribute: str, width: int) -> RenderableType:
    between, metrics = (" ", _RATES) if width >= _WIDE else ("\n", _RATES[:-1])
    mine = {(row.group, row.metric): row for row in rows if row.attribute == attribute and row.group}
    overall = {row.metric: row for row in rows if not row.attribute}
    table = _table(attribute, "rows", *(RATES[name].title for name in metrics))
    for group in dict.fromkeys(group for group, _ in mine):
        size = number(mine[group, "selection_rate"].n, "rows")
        _row(table, group, size, *(shown(mine[group, name], between) for name in metrics))
    size = number(overall["selection_rate"].n, "rows")
    _row(table, "everybody", size, *(shown(overall[name], between) for name in metrics))
    return table


def _gap_table(rows: Sequence[MetricRow], attributes: Sequence[str]) -> RenderableType:
    gaps = {(row.attribute, row.metric): row for row in rows if row.metric in GAPS}
    table = _table("by", "gap", "value", "between", "groups not judged")
    for attribute in attributes:
        for place, metric in enumerate(_GAPS):
            row = gaps[attribute, metric]
            left_out = f"{len(row.unjudged)}: {', '.join(row.unjudged[:3])}" + (" …" if row.unjudged[3:] else "")
            cells = (GAPS[metric].title, shown(row), row.detail or row.reason, left_out if row.unjudged else "")
            _row(table, attribute if place == 0 else "", *cells)
    return table


def to_json(check: Check) -> dict[str, Any]:
    """All of a check as plain values: no NaN, null where there is no number, keys that stay the same."""
    return {
        "verdict": check.verdict,
        "exit_code": check.exit_code,
        "checked": check.where,
        "task": check.info.get("task", "binary"),
        "rows": check.size,
        "classes": check.info["schema"]["classes"],
        "positive": check.info["schema"]["positive"],
        "sensitive": check.info["schema"]["sensitive"],
        "settings": asdict(check.settings) | {"seed": check.settings.seed[0]},
        "gates": [asdict(result) for result in check.results],
        "caveats": [asdict(caveat) for caveat in check.caveats],
        "metrics": [
            asdict(row) | {"unjudged": list(row.unjudged), "compares": list(row.compares)} for row in check.rows
        ],
        "counts": _counts(check),
    }


def _counts(check: Check) -> list[dict[str, Any]]:
    """Every group's cells of a check of decisions; null where they are withheld."""
    if not isinstance(check, FairnessCheck):
        return []
    records = check.counts.table().to_pylist()
    return [{name: record[name] for name in ("group", "tn", "fp", "fn", "tp")} for record in records]
