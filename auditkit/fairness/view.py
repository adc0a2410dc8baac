"""The fairness discipline as sections: the gaps, the rates behind them by attribute, and the intersections."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pyarrow as pa

from auditkit.evidence.metrics import MetricRow
from auditkit.evidence.section import Section
from auditkit.fairness.conditional.view import conditional_sections
from auditkit.fairness.counting.counts import JOIN
from auditkit.fairness.figures import PANELS, gap_overview, intersection_rates, rates_by_group
from auditkit.fairness.groups.against_view import against_section
from auditkit.fairness.groups.companions_view import companions_section
from auditkit.fairness.groups.definitions import GAPS, RATES
from auditkit.fairness.identity.view import METRICS as IDENTITY
from auditkit.fairness.identity.view import identity_sections
from auditkit.fairness.individual.label_flips_view import label_flip_sections
from auditkit.fairness.individual.moves_view import move_sections
from auditkit.fairness.individual.view import individual_sections
from auditkit.fairness.mitigation.view import mitigation_sections
from auditkit.fairness.outcomes.multiclass_view import multiclass_sections
from auditkit.fairness.outcomes.multilabel_view import multilabel_sections
from auditkit.fairness.outcomes.rankings_view import ranking_sections
from auditkit.fairness.outcomes.regression_view import regression_sections
from auditkit.fairness.population.view import missingness_sections, representation_sections
from auditkit.fairness.release_view import release_section
from auditkit.fairness.scores.view import score_sections
from auditkit.fairness.sensitivity.view import sensitivity_sections
from auditkit.fairness.sentences import four_fifths_finding, shown, widest_finding
from auditkit.fairness.slices.error_view import heatmap_sections, tree_sections
from auditkit.fairness.slices.view import slice_sections
from auditkit.fairness.standards.view import standard_sections
from auditkit.theme import number

_STANDARDS = ("four_fifths", "ll144", "ll144_notes")
GROUPS, STANDARDS, ERRORS, SCORES = "Groups", "Standards", "Where it errs", "Scores"
REMEDIES, INDIVIDUALS, DATA = "What would fix it", "Individuals", "Labels and data"
_MOST_SERIES = 5
_MOST_DOWN, _MOST_ACROSS = 20, 12
_RATES_READING = (
    "Each dot is a group's rate, the line through it its interval, the dotted line the rate of everybody. Behind a "
    "group's name stands how many rows it has. Of many groups the lowest and the highest are drawn, and all as marks "
    "in the strip above them."
)
_RATES_HOW = (
    "Rates are shares of the rows counted by group, label and decision. Their intervals come from {resamples} of those "
    "counts (percentile bootstrap), or are Wilson's where a rate rests on fewer than 20 successes or failures."
)
_GAPS_READING = (
    "Each dot is the widest gap between any two groups of an attribute, the line its interval. On the left 0 is equal, "
    "on the right 1; left of the dashed line the smaller selection rate is below four-fifths of the larger."
)
_GAPS_HOW = (
    "A gap is the largest difference, or the smallest ratio, between any two groups; equalized odds takes the worse of "
    "true and false positive rate. Intervals hold for all pairs of groups at once (studentised bootstrap, never "
    "narrower than Tukey's range; Newcombe's limits for differences, Donner and Zou's for ratios), so that they reach "
    "equality where groups are alike. Four-fifths is an engineering reading, not a legal finding."
)
_CROSSED_READING = (
    "Each cell is a combination of groups: its selection rate and how many rows it has. Cells that are not judged have "
    "too few rows, or none."
)


def sections(evidence: Any) -> list[Section]:
    """The sections there is evidence for."""
    every = [row for row in evidence.rows if row.analysis == "fairness"]
    if every and all(row.status == "not applicable" for row in every if row.metric not in IDENTITY):
        reason = next((row.reason for row in every if row.metric not in IDENTITY), every[0].reason)
        text = f"Fairness between groups was not judged: {reason}."
        return [Section(key="gaps", title="Fairness", finding=text), *identity_sections(evidence)]
    splits = list(dict.fromkeys(row.split for row in every if row.metric not in IDENTITY))
    if not splits:
        return []
    if (outcomes := _outcomes(evidence)) and not any(
        row.metric == "selection_rate" and not row.detail for row in every
    ):
        asked_again = (*move_sections(evidence), *label_flip_sections(evidence))
        return [*outcomes, *identity_sections(evidence), *asked_again]
    split = "test" if "test" in splits else splits[-1]
    rows = [row for row in every if row.split == split]
    attributes = list(dict.fromkeys(row.attribute for row in rows if row.metric in GAPS))
    single = _single(attributes, evidence.info)
    made = [_gaps(rows, single, attributes, split)]
    made += [_rates(rows, attribute, at, split) for at, attribute in enumerate(single)]
    made += [
        _crossed(rows, (first, second), f"intersection-{first_at}-{second_at}", split)
        for first_at, first in enumerate(single)
        for second_at, second in enumerate(single)
        if first_at < second_at and first + JOIN + second in attributes
    ]
    also = (against_section(rows, single), companions_section(rows), release_section(rows))
    made += [section for section in also if section is not None]
    chapters = {
        GROUPS: [*made, *conditional_sections(evidence)],
        STANDARDS: standard_sections(
            {name: table for name in _STANDARDS if (table := evidence.table(f"fairness/{name}")) is not None}
        ),
        ERRORS: _errors(evidence, rows),
        SCORES: score_sections(evidence, rows, single),
        REMEDIES: mitigation_sections(evidence),
        INDIVIDUALS: [*identity_sections(evidence), *individual_sections(evidence)],
        DATA: [
            *sensitivity_sections(evidence), *representation_sections(evidence), *missingness_sections(evidence)
        ],
    }  # fmt: skip
    return [replace(section, chapter=chapter) for chapter, parts in chapters.items() for section in parts]


def _errors(evidence: Any, rows: Sequence[MetricRow]) -> list[Section]:
    """Where the model is wrong."""
    made: list[Section] = []
    accuracy = next((row.value for row in rows if row.metric == "accuracy" and not row.attribute), None)
    if (slices := evidence.table("fairness/slices")) is not None and accuracy is not None:
        made += slice_sections(slices, 1 - accuracy)
    for name, show in (("error_tree", tree_sections), ("error_heatmap", heatmap_sections)):
        if (table := evidence.table(f"fairness/{name}")) is not None:
            made += show(table)
    return made


def _outcomes(evidence: Any) -> list[Section]:
    """What there is of other predictions than decisions."""
    return [
        *multiclass_sections(evidence),
        *multilabel_sections(evidence),
        *regression_sections(evidence),
        *ranking_sections(evidence),
    ]


def _single(attributes: Sequence[str], info: dict[str, Any]) -> list[str]:
    """The attributes that are not combinations of others."""
    named = (info.get("schema") or {}).get("sensitive")
    return [name for name in attributes if (name in named if named else JOIN not in name)]


def _on(split: str) -> str:
    return f" on {split}" if split else ""


def _gaps(rows: list[MetricRow], single: list[str], attributes: list[str], split: str) -> Section:
    gaps = [row for row in rows if row.metric in GAPS and row.metric != "four_fifths"]
    crossed = [name for name in attributes if name not in single]
    listed = (single + crossed[-1:])[:_MOST_SERIES]
    judged = any(row.status == "ok" for row in gaps)
    table = pa.table(
        {
            "attribute": [row.attribute for row in gaps],
            "gap": [GAPS[row.metric].title for row in gaps],
            "value [interval]": [shown(row) for row in gaps],
            "widest between": [row.detail or row.reason for row in gaps],
            "not judged": [", ".join(row.unjudged) for row in gaps],
        }
    )
    return Section(
        key="gaps",
        title=f"Gaps between groups{_on(split)}",
        finding=four_fifths_finding(rows, single),
        figure=gap_overview(gaps, listed) if judged else None,
        reading=_GAPS_READING if judged else "",
        table=table,
        how=_GAPS_HOW,
    )


def _rates(rows: list[MetricRow], attribute: str, at: int, split: str) -> Section:
    mine = [row for row in rows if row.attribute == attribute and row.metric in RATES]
    overall = {row.metric: row for row in rows if not row.attribute and row.metric in RATES}
    sizes = {row.group: row.n for row in mine if row.metric == "selection_rate"}
    return Section(
        key=f"rates-{at}",
        title=f"Rates by {attribute}{_on(split)}",
        finding=widest_finding(rows, attribute),
        figure=rates_by_group(mine, overall, sizes),
        reading=_RATES_READING,
        table=rate_table(mine),
        how=_RATES_HOW.format(resamples=_resamples(mine)),
    )


def _groups(rows: Sequence[MetricRow], attribute: str) -> list[str]:
    return [row.group for row in rows if row.attribute == attribute and row.metric == "selection_rate"]


def _resamples(rows: Sequence[MetricRow]) -> str:
    found = next((row.method for row in rows if row.method.startswith("percentile")), "")
    return found.rpartition(", ")[2] or "resamples"


def rate_table(rows: Sequence[MetricRow]) -> pa.Table:
    """One line per group with its rates, written out. rows: the rates of one attribute."""
    groups = list(dict.fromkeys(row.group for row in rows))
    cells = {(row.group, row.metric): row for row in rows}
    sizes = [cells[group, "selection_rate"].n for group in groups]
    columns = {"group": groups, "rows": [number(size, "rows") for size in sizes]}
    for metric in PANELS:
        columns[RATES[metric].title] = [shown(cells[group, metric]) for group in groups]
    return pa.table(columns)


def _crossed(rows: list[MetricRow], pair: tuple[str, str], key: str, split: str) -> Section:
    attribute = JOIN.join(pair)
    mine = [row for row in rows if row.attribute == attribute and row.metric in RATES]
    rates = [row for row in mine if row.metric == "selection_rate"]
    first, second = _groups(rows, pair[0]), _groups(rows, pair[1])
    overall = {row.metric: row for row in rows if not row.attribute and row.metric in RATES}
    sizes = {row.group: row.n for row in rates}
    few = max(len(first), len(second)) <= _MOST_DOWN and min(len(first), len(second)) <= _MOST_ACROSS
    small = sum(row.status != "ok" for row in rates)
    left_out = f" {small} of {len(rates)} combinations have too few rows to be judged." if small else ""
    return Section(
        key=key,
        title=f"Intersections of {pair[0]} and {pair[1]}{_on(split)}",
        finding=widest_finding(rows, attribute) + left_out,
        figure=intersection_rates(rates, pair, first, second) if few else rates_by_group(mine, overall, sizes),
        reading=_CROSSED_READING if few else _RATES_READING,
        table=rate_table(mine),
        how=_RATES_HOW.format(resamples=_resamples(mine)),
    )
