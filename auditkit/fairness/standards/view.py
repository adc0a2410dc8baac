"""The standards' tables as sections: four-fifths with its companions, and the Local Law 144 tables with their notes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pyarrow as pa

from auditkit.evidence.section import Section
from auditkit.fairness.standards.figures import Dot, impact_ratios
from auditkit.fairness.standards.four_fifths import NOT_JUDGED
from auditkit.fairness.standards.reading import (
    WORDS,
    Record,
    four_fifths_finding,
    ll144_finding,
    p_text,
    ratio_text,
    selections_text,
)
from auditkit.fairness.standards.rule import Standard, load_standard
from auditkit.theme import NO_VALUE, number

_MOST_DOTS = 40
_FIFTHS_READING = (
    "Each dot is a group's selection rate over that of the group with the highest rate, which stands at 1. Filled: the "
    "difference is more than chance explains; hollow: chance or small numbers could explain it. Behind each name "
    "stands how many people the group has."
)
_FIFTHS_HOW = (
    "p values are of the pooled two-proportion z test, or of Fisher's exact test where an expected count is below 5, "
    "and are read after Bonferroni's correction for all pairs of groups, because the group with the highest rate is "
    "chosen after looking. Small numbers: fewer than 30 people in either group, an expected count below 5, or an "
    "outcome that two selections would change."
)
_LAW_READING = (
    "Each dot is a category's rate over the highest rate of its breakdown. Hollow: the category is under 2 % of the "
    "data. The dashed line is not part of this rule, which sets no limit; it comes from federal guidelines."
)
_LAW_HOW = (
    "{rate}. People of unknown sex or race/ethnicity are in none of the tables. Categories bear the names they have in "
    "the data; the rule means those of the EEO-1 report: {categories}."
)


def standard_sections(tables: Mapping[str, pa.Table]) -> list[Section]:
    """The sections there are tables for, by the names of `standards_tables`, with or without `fairness/` before."""
    named = {name.removeprefix("fairness/"): table for name, table in tables.items() if table is not None}
    made = []
    if "four_fifths" in named and named["four_fifths"].num_rows:
        made.append(_four_fifths(named["four_fifths"].to_pylist()))
    if "ll144" in named and named["ll144"].num_rows:
        notes = named["ll144_notes"].to_pylist() if "ll144_notes" in named else []
        made.append(_ll144(named["ll144"].to_pylist(), notes))
        if notes:
            made.append(_notes(notes))
    return made


def _four_fifths(records: list[Record]) -> Section:
    table = pa.table(
        {
            "attribute": [record["attribute"] for record in records],
            "group": [record["group"] for record in records],
            "people": [number(record["n"], "rows") for record in records],
            "selected": [number(record["selected"], "rows") for record in records],
            "rate": [number(record["rate"], "rate") for record in records],
            "impact ratio": [ratio_text(record["impact_ratio"]) for record in records],
            "p, z test": [_p(record["p_z"]) for record in records],
            "p, Fisher": [_p(record["p_fisher"]) for record in records],
            "p, adjusted": [_p(record["p_adjusted"]) for record in records],
            "selections": [selections_text(record) or NO_VALUE for record in records],
            "reading": [record["reason"] or WORDS[record["outcome"]] for record in records],
        }
    )
    compared = [record for record in records if record["outcome"] != NOT_JUDGED]
    panels = _panels(records, "attribute", lambda record: _fifths_dot(record))
    return Section(
        key="four-fifths",
        title="Four-fifths",
        finding=four_fifths_finding(records),
        figure=impact_ratios(panels, f"Impact ratios{_left_out(records, 'attribute')}") if compared else None,
        reading=_FIFTHS_READING if compared else "",
        table=table,
        how=_how(_FIFTHS_HOW, load_standard("four_fifths")),
    )


def _fifths_dot(record: Record) -> Dot:
    firm = record["p_adjusted"] is None or "beyond" in record["outcome"]
    told = [
        record["group"],
        f"{ratio_text(record['impact_ratio'])}, {p_text(record['p_adjusted'])}",
        f"{number(record['rate'], 'rate')} of {number(record['n'], 'rows')} selected",
        record["reason"] or WORDS[record["outcome"]],
    ]
    return Dot(f"{record['group']} ({number(record['n'], 'rows')})", record["impact_ratio"], firm, "\n".join(told))


def _ll144(records: list[Record], notes: list[Record]) -> Section:
    standard = load_standard("ll144")
    scoring = records[0]["kind"] == "scoring"
    rate = "scoring rate" if scoring else "selection rate"
    table = pa.table(
        {
            "by": [record["breakdown"] for record in records],
            "category": [record["category"] for record in records],
            "applicants": [number(record["applicants"], "rows") for record in records],
            "above the median" if scoring else "selected": [number(record["selected"], "rows") for record in records],
            rate: [number(record["rate"], "rate") for record in records],
            "impact ratio": [ratio_text(record["impact_ratio"]) for record in records],
            "share of data": [number(record["share"], "rate") for record in records],
            "note": [record["reason"] or ("under 2 % of the data" if record["small"] else "") for record in records],
        }
    )
    explained = (
        "The scoring rate is the share of a category with a score above the median of all people counted"
        if scoring
        else "The selection rate is the share of a category that was selected"
    )
    categories = "; ".join(f"{name}: {', '.join(values)}" for name, values in standard.categories.items())
    return Section(
        key="ll144",
        title="New York City Local Law 144 tables",
        finding=ll144_finding(records, notes),
        figure=impact_ratios(
            _panels(records, "breakdown", _law_dot), f"Impact ratios of {rate}s{_left_out(records, 'breakdown')}"
        ),
        reading=_LAW_READING,
        table=table,
        how=_how(_LAW_HOW.format(rate=explained, categories=categories), standard),
    )


def _law_dot(record: Record) -> Dot:
    told = [
        record["category"],
        f"impact ratio {ratio_text(record['impact_ratio'])}",
        f"{number(record['rate'], 'rate')} of {record['applicants']:,}, {number(record['share'], 'rate')} of the data",
    ]
    label = f"{record['category']} ({record['applicants']:,})"
    return Dot(label, record["impact_ratio"], not record["small"], "\n".join(told))


def _notes(notes: list[Record]) -> Section:
    table = pa.table(
        {
            "about": [note["topic"] for note in notes],
            "by": [note["breakdown"] or NO_VALUE for note in notes],
            "note": [note["text"] for note in notes],
        }
    )
    margins = sum(note["topic"] == "margin" for note in notes)
    finding = "What has to be told together with the tables."
    if margins:
        finding = (
            f"{margins} numbers do not agree between the tables by sex, by race/ethnicity and by both: they cannot all "
            "be counts of the same people."
        )
    return Section(key="ll144-notes", title="Notes to the Local Law 144 tables", finding=finding, table=table)


def _panels(records: Sequence[Record], by: str, dot: Callable[[Record], Dot]) -> dict[str, list[Dot]]:
    """Dots by breakdown; of many, those with the lowest ratios."""
    panels: dict[str, list[Dot]] = {}
    for name in dict.fromkeys(record[by] for record in records):
        dots = [dot(record) for record in records if record[by] == name]
        if len(dots) > _MOST_DOTS:
            dots = sorted((each for each in dots if each.ratio is not None), key=_ratio)[:_MOST_DOTS]
        panels[name] = dots
    return panels


def _ratio(dot: Dot) -> float:
    return 0.0 if dot.ratio is None else dot.ratio


def _left_out(records: Sequence[Record], by: str) -> str:
    names: list[Any] = [record[by] for record in records]
    return f", the {_MOST_DOTS} lowest of each" if max(map(names.count, names)) > _MOST_DOTS else ""


def _p(p: float | None) -> str:
    return NO_VALUE if p is None else p_text(p).removeprefix("p = ").removeprefix("p ")


def _how(how: str, standard: Standard) -> str:
    return f"{how} {standard.wording} {standard.described()}"
