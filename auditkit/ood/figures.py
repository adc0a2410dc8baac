"""Figures of the discipline: evidence tables and metric rows in, plotly figures out."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import plotly.graph_objects as go
import pyarrow as pa
from plotly.subplots import make_subplots

from auditkit.evidence.metrics import MetricRow
from auditkit.theme import CATEGORIES, MUTED, escape, interval, number, template

SEES_COLOURS = {
    "logits": CATEGORIES[1],
    "features": CATEGORIES[0],
    "inputs": CATEGORIES[2],
    "fused": CATEGORIES[3],
}
"""what a detector reads → its colour"""
NORMAL_COLOUR = CATEGORIES[0]
SET_COLOURS = (CATEGORIES[5], CATEGORIES[1], CATEGORIES[3], CATEGORIES[2], CATEGORIES[6])
PER_LINE = 3


def set_colour(place: int) -> str:
    """The colour of the place-th out-of-distribution set."""
    return SET_COLOURS[place % len(SET_COLOURS)]


def _whiskers(rows: Sequence[MetricRow]) -> dict[str, Any]:
    """Error bars from the rows' intervals."""
    values = [row.value or 0.0 for row in rows]
    lower = [value if row.lower is None else row.lower for row, value in zip(rows, values, strict=True)]
    upper = [value if row.upper is None else row.upper for row, value in zip(rows, values, strict=True)]
    return {
        "type": "data",
        "symmetric": False,
        "array": [high - value for high, value in zip(upper, values, strict=True)],
        "arrayminus": [value - low for low, value in zip(lower, values, strict=True)],
        "thickness": 2,
        "width": 0,
    }


def separation(rows: Sequence[MetricRow], sees: Mapping[str, str], titles: Mapping[str, str]) -> go.Figure:
    """The area under the ROC curve of every detector, one panel for each set.

    rows: `auroc` rows that are ok. sees: detector → logits, features, inputs or fused. titles: detector → its name.
    """
    sets = list(dict.fromkeys(row.split for row in rows))
    detectors = [name for name in titles if any(row.detail == name for row in rows)]
    lines = math.ceil(len(sets) / PER_LINE)
    columns = min(len(sets), PER_LINE)
    figure = make_subplots(
        rows=lines,
        cols=columns,
        shared_yaxes=True,
        horizontal_spacing=0.04,
        vertical_spacing=0.18 / lines,
        subplot_titles=[escape(name) for name in sets],
    )
    shown: set[str] = set()
    for place, name in enumerate(sets):
        where = {"row": place // PER_LINE + 1, "col": place % PER_LINE + 1}
        for kind, colour in SEES_COLOURS.items():
            mine = [row for row in rows if row.split == name and sees.get(row.detail) == kind]
            if mine:
                figure.add_trace(_dots(mine, kind, colour, titles, kind not in shown), **where)
                shown.add(kind)
        figure.add_vline(x=0.5, line={"dash": "dot", "color": MUTED, "width": 1}, **where)
        figure.update_xaxes(range=[-0.03, 1.03], tickvals=[0, 0.5, 1], **where)
    figure.update_yaxes(
        categoryorder="array",
        categoryarray=[escape(titles[name]) for name in reversed(detectors)],
        range=[-0.6, len(detectors) - 0.4],
    )
    for column in range(1, columns + 1):
        last = lines if (lines - 1) * PER_LINE + column <= len(sets) else lines - 1
        figure.update_xaxes(title="area under the ROC curve", row=last, col=column)
    figure.update_layout(
        template=template(),
        title="How well each detector tells a set from test rows",
        height=lines * (110 + 30 * len(detectors)) + 90,
        margin={"t": 110},
        legend={"y": 1, "yref": "container", "yanchor": "top", "x": 1, "title": {"text": "reads"}},
    )
    return figure


def _dots(rows: Sequence[MetricRow], kind: str, colour: str, titles: Mapping[str, str], in_legend: bool) -> go.Scatter:
    return go.Scatter(
        x=[row.value for row in rows],
        y=[escape(titles[row.detail]) for row in rows],
        error_x=_whiskers(rows),
        mode="markers",
        marker={"size": 10, "color": colour, "symbol": "diamond" if kind == "fused" else "circle"},
        name=kind,
        legendgroup=kind,
        showlegend=in_legend,
        text=[
            f"{escape(titles[row.detail])}<br>{number(row.value, '', row.lower, row.upper)} "
            f"{interval(row.lower, row.upper)}, {number(row.n, 'rows')} rows"
            for row in rows
        ],
        hoverinfo="text",
    )


def spread(histogram: pa.Table, threshold: float, flagged: Mapping[str, str], test: str) -> go.Figure:
    """How the fused score of each split is spread, one panel below the other, with the threshold through all.

    flagged: split → the share of its rows beyond the threshold, as text. test: the split of normal rows, shown first.
    """
    records = histogram.to_pylist()
    splits = [test, *(name for name in dict.fromkeys(record["split"] for record in records) if name != test)]
    names = [f"{escape(name)} (normal rows)" if name == test else escape(name) for name in splits]
    figure = make_subplots(
        rows=len(splits), cols=1, shared_xaxes=True, vertical_spacing=0.3 / len(splits), subplot_titles=names
    )
    figure.update_annotations(x=0, xanchor="left", font={"size": 13})
    for line, split in enumerate(splits, start=1):
        mine = [record for record in records if record["split"] == split]
        figure.add_trace(
            go.Bar(
                x=[(record["low"] + record["high"]) / 2 for record in mine],
                y=[record["share"] for record in mine],
                width=[record["high"] - record["low"] for record in mine],
                marker={"color": NORMAL_COLOUR if split == test else set_colour(line - 2), "line": {"width": 0}},
                customdata=[record["rows"] for record in mine],
                hovertemplate="score about %{x:.1f}: %{y:.2%}, %{customdata:,} rows<extra></extra>",
            ),
            row=line,
            col=1,
        )
        figure.add_vline(x=threshold, line={"dash": "dash", "color": MUTED, "width": 1.5}, row=line, col=1)
        figure.add_annotation(
            text=f"{flagged.get(split, '')} flagged →",
            x=threshold,
            xshift=6,
            xanchor="left",
            yref="y domain" if line == 1 else f"y{line} domain",
            y=1,
            yanchor="bottom",
            showarrow=False,
            row=line,
            col=1,
        )
    figure.update_xaxes(showgrid=False)
    figure.update_xaxes(title="fused score (larger = stranger)", row=len(splits), col=1)
    figure.update_yaxes(tickformat=".0%", rangemode="tozero", nticks=4)
    figure.update_yaxes(title="share of rows", row=(len(splits) + 1) // 2, col=1)
    figure.update_layout(
        template=template(),
        title="How strange the rows of each set are",
        height=130 + 130 * len(splits),
        bargap=0,
        showlegend=False,
        margin={"t": 90},
    )
    return figure


def group_flags(rows: Sequence[MetricRow], level: float, overall: float | None) -> go.Figure:
    """Flag rates of groups as dots on their intervals, attribute by attribute, with the promised level.

    rows: `group_flag_rate` rows; those too small to judge are named at their place. overall: the rate of all rows.
    """
    attributes = list(dict.fromkeys(row.attribute for row in rows))
    places = [(row, f"{escape(row.group)} <i>({number(row.n, 'rows')})</i>") for row in rows]
    heights = [sum(row.attribute == name for row in rows) + 0.6 for name in attributes]
    figure = make_subplots(
        rows=len(attributes),
        cols=1,
        shared_xaxes=True,
        row_heights=heights,
        vertical_spacing=min(0.3, 0.45 / max(sum(heights), 1)),
        subplot_titles=[f"<b>{escape(name)}</b>" for name in attributes],
    )
    highest = max([row.upper or 0.0 for row in rows] + [level]) * 1.08
    for line, name in enumerate(attributes, start=1):
        mine = [(row, label) for row, label in places if row.attribute == name]
        judged = [(row, label) for row, label in mine if row.value is not None]
        figure.add_trace(_rates([row for row, _ in judged], [label for _, label in judged]), row=line, col=1)
        for row, label in mine:
            if row.value is None:
                figure.add_annotation(
                    x=0, y=label, text="too few rows to judge", showarrow=False, xanchor="left", row=line, col=1
                )
        figure.update_yaxes(
            categoryorder="array",
            categoryarray=[label for _, label in reversed(mine)],
            range=[-0.7, len(mine) - 0.3],
            row=line,
            col=1,
        )
        figure.add_vline(x=level, line={"dash": "dash", "color": MUTED, "width": 1.5}, row=line, col=1)
        if overall is not None:
            figure.add_vline(x=overall, line={"color": MUTED, "width": 1}, row=line, col=1)
    figure.update_xaxes(range=[0, highest], tickformat=".0%")
    figure.update_xaxes(title="share of the group's test rows flagged", row=len(attributes), col=1)
    figure.update_annotations(xanchor="left", x=0, selector={"xref": "paper"})
    figure.update_layout(
        template=template(),
        title="Who gets flagged among rows that are normal",
        height=150 + round(34 * sum(heights)) + 26 * len(attributes),
        showlegend=False,
        margin={"t": 90},
    )
    return figure


def _rates(rows: Sequence[MetricRow], labels: Sequence[str]) -> go.Scatter:
    return go.Scatter(
        x=[row.value for row in rows],
        y=list(labels),
        error_x=_whiskers(rows),
        mode="markers",
        marker={"size": 10, "color": NORMAL_COLOUR},
        text=[
            f"{escape(row.group)}: {number(row.value, 'rate', row.lower, row.upper)} "
            f"{interval(row.lower, row.upper, 'rate')}"
            for row in rows
        ],
        hoverinfo="text",
    )


def blamed(columns: pa.Table, test: str, sets: Sequence[str], most: int = 8) -> go.Figure:
    """Which columns made rows strange: the share of each set's flagged rows, the most frequent columns first.

    test: the split of normal rows. sets: the out-of-distribution sets, in the order that gives them their colours.
    """
    colours = {test: NORMAL_COLOUR} | {name: set_colour(place) for place, name in enumerate(sets)}
    splits = [name for name in colours if name in columns["split"].to_pylist()]
    records = [record for record in columns.to_pylist() if record["split"] in splits]
    largest: dict[str, float] = {}
    for record in records:
        largest[record["column"]] = max(largest.get(record["column"], 0.0), record["share"])
    shown = sorted(largest, key=lambda name: -largest[name])[:most]
    figure = go.Figure()
    for split in splits:
        mine = [record for record in records if record["split"] == split and record["column"] in shown]
        figure.add_trace(
            go.Scatter(
                x=[record["share"] for record in mine],
                y=[escape(record["column"]) for record in mine],
                mode="markers",
                marker={"size": 11, "color": colours[split]},
                name=escape(split),
                hovertemplate="%{y}: %{x:.1%} of flagged rows<extra>%{fullData.name}</extra>",
            )
        )
    figure.update_layout(
        template=template(),
        title="Which column is the strange one",
        xaxis={"title": "share of the flagged rows", "tickformat": ".0%", "range": [-0.02, 1.02]},
        yaxis={
            "categoryorder": "array",
            "categoryarray": [escape(name) for name in reversed(shown)],
            "range": [-0.6, len(shown) - 0.4],
        },
        height=170 + 32 * len(shown),
        margin={"t": 90},
    )
    return figure
