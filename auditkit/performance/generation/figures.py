"""Copies and generated rows as figures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import plotly.graph_objects as go
import pyarrow as pa
from plotly.subplots import make_subplots

from auditkit import theme
from auditkit.evidence.metrics import MetricRow
from auditkit.evidence.section import matching

USUAL, UNUSUAL = theme.CATEGORIES[0], theme.CATEGORIES[5]
PER_LINE = 8


def errors(histogram: pa.Table, threshold: float | None, unusual: str) -> go.Figure:
    """The share of rows by reconstruction error, for test and the ood sets, with the threshold."""
    figure = go.Figure()
    splits = [name for name in dict.fromkeys(histogram.column("split").to_pylist()) if name not in NOT_SHOWN]
    dashes = ["solid", "dash", "dot", "dashdot"]
    for place, split in enumerate(splits):
        for name in dict.fromkeys(line["class"] for line in matching(histogram, split=split)):
            lines = matching(histogram, split=split, **{"class": name})
            figure.add_scatter(
                x=[(line["from"] * line["to"]) ** 0.5 for line in lines],
                y=[line["rows"] / max(line["of"], 1) for line in lines],
                mode="lines",
                line={
                    "shape": "hvh",
                    "width": 2,
                    "dash": dashes[max(place, 0) % len(dashes)],
                    "color": UNUSUAL if name == unusual else USUAL,
                },
                name=theme.escape(f"{split}: {name}"),
                hovertemplate="error %{x:.3g}: %{y:.1%}<extra>%{fullData.name}</extra>",
            )
    if threshold is not None:
        figure.add_vline(x=threshold, line={"dash": "dot", "width": 1.5, "color": theme.CATEGORIES[7]})
        note = {"showarrow": False, "xanchor": "left", "yanchor": "top", "xshift": 4, "yref": "paper", "y": 1.0}
        figure.add_annotation(x=_log10(threshold), text="threshold", font={"size": 11}, **note)
    figure.update_xaxes(type="log", title="reconstruction error of a row (log scale)", showgrid=False)
    figure.update_yaxes(title="share of rows", tickformat=".0%", rangemode="tozero")
    return _finished(figure, "How well rows are copied", 380)


NOT_SHOWN = ("train", "validation")


def _log10(value: float) -> float:
    from math import log10

    return log10(value) if value > 0 else 0.0


def copies(table: pa.Table, unusual: str) -> go.Figure:
    """Images: each shown row, its copy and where they differ, from well copied to badly, usual rows first."""
    inputs = sorted(matching(table, what="input"), key=lambda line: (line["class"] == unusual, line["error"]))
    groups = [[line for line in inputs if (line["class"] == unusual) == side] for side in (False, True)]
    groups = [group for group in groups if group]
    across = max(len(group) for group in groups)
    figure = make_subplots(rows=3 * len(groups), cols=across, horizontal_spacing=0.015, vertical_spacing=0.02)
    kinds = {what: {line["row"]: line for line in matching(table, what=what)} for what in ("input", "copy", "error")}
    for block, group in enumerate(groups):
        for place, (what, lines) in enumerate(kinds.items()):
            row = 3 * block + place + 1
            for column, line in enumerate(group, start=1):
                figure.add_trace(theme.picture(lines[line["row"]]), row=row, col=column)
                if what == "error":
                    label = {"text": f"{line['error']:.3g}", "font": {"size": 11}, "standoff": 2}
                    figure.update_xaxes(title=label, row=row, col=column)
            name = theme.escape(theme.short(str(group[0]["class"]), 12))
            text = name if what == "input" else what
            figure.update_yaxes(title={"text": text, "font": {"size": 11}}, row=row, col=1)
    return _finished(_bare(figure), "Rows, their copies and where they differ", 110 + 85 * 3 * len(groups), bottom=30)


def column_errors(table: pa.Table, unusual: str) -> go.Figure:
    """Tables: the mean error of each column, of usual and unusual rows; the widest gap first."""
    lines = {(line["class"], line["column"]): line["error"] for line in table.to_pylist()}
    classes = list(dict.fromkeys(name for name, _ in lines))
    columns = list(dict.fromkeys(column for _, column in lines))
    columns.sort(key=lambda column: max(lines[name, column] for name in classes))
    figure = go.Figure()
    for name in classes:
        figure.add_bar(
            x=[lines[name, column] for column in columns],
            y=[theme.escape(theme.short(column)) for column in columns],
            orientation="h",
            name=theme.escape(name),
            marker_color=UNUSUAL if name == unusual else USUAL,
            hovertemplate="%{y}: %{x:.3g}<extra>%{fullData.name}</extra>",
        )
    figure.update_xaxes(title="mean error of a column, in scaled units")
    figure.update_yaxes(showgrid=False)
    return _finished(figure, "Which columns are copied badly", 140 + 30 * len(columns))


def generated(table: pa.Table) -> go.Figure:
    """Generated pictures, each above the training row nearest to it."""
    made, near = (matching(table, what=what) for what in ("generated", "nearest"))
    lines = -(-len(made) // PER_LINE)
    figure = make_subplots(rows=2 * lines, cols=PER_LINE, horizontal_spacing=0.012, vertical_spacing=0.02)
    for place, (ours, theirs) in enumerate(zip(made, near, strict=True)):
        row, column = 2 * (place // PER_LINE) + 1, place % PER_LINE + 1
        figure.add_trace(theme.picture(ours), row=row, col=column)
        figure.add_trace(theme.picture(theirs), row=row + 1, col=column)
        label = {"text": f"{ours['distance']:.1f}", "font": {"size": 11}, "standoff": 2}
        figure.update_xaxes(title=label, row=row + 1, col=column)
    for line in range(lines):
        figure.update_yaxes(title={"text": "generated", "font": {"size": 11}}, row=2 * line + 1, col=1)
        figure.update_yaxes(title={"text": "nearest", "font": {"size": 11}}, row=2 * line + 2, col=1)
    return _finished(_bare(figure), "Generated rows above the nearest training rows", 100 + 190 * lines, bottom=30)


def shares(rows: Sequence[MetricRow]) -> go.Figure:
    """The share of each kind among generated rows, with its interval."""
    figure = go.Figure()
    figure.add_scatter(
        x=[row.value for row in rows],
        y=[theme.escape(theme.short(row.detail)) for row in rows],
        error_x={
            "type": "data",
            "symmetric": False,
            "array": [(row.upper or 0.0) - (row.value or 0.0) for row in rows],
            "arrayminus": [(row.value or 0.0) - (row.lower or 0.0) for row in rows],
            "thickness": 2,
            "width": 0,
        },
        mode="markers",
        marker={"size": 9, "color": USUAL},
        hovertemplate="%{y}: %{x:.1%}<extra></extra>",
        showlegend=False,
    )
    figure.update_xaxes(title="share of generated rows, with its interval", tickformat=".0%", rangemode="tozero")
    figure.update_yaxes(title="kind", type="category", autorange="reversed", zeroline=False)
    return _finished(figure, "Which kinds it makes", 140 + 26 * len(rows))


def returns(table: pa.Table) -> go.Figure:
    """Each episode's return, of the policy and of the reference controller, by world."""
    figure = go.Figure()
    for who, colour in (("policy", USUAL), ("reference", theme.CATEGORIES[7])):
        lines = matching(table, who=who)
        figure.add_box(
            x=[line["return"] for line in lines],
            y=[line["world"].replace("_", " ") for line in lines],
            orientation="h",
            name=who,
            marker_color=colour,
            boxpoints="all",
            jitter=0.5,
            pointpos=0,
            marker_size=4,
            line_width=1,
            fillcolor="rgba(0,0,0,0)",
        )
    figure.update_layout(boxmode="group")
    figure.update_xaxes(title="steps survived in an episode", rangemode="tozero")
    figure.update_yaxes(autorange="reversed", showgrid=False)
    return _finished(figure, "How long it lasts", 340)


def _bare(figure: go.Figure) -> go.Figure:
    """Pictures without ticks, as wide as high."""
    figure.update_xaxes(showticklabels=False, showgrid=False, zeroline=False, constrain="domain")
    figure.update_yaxes(showticklabels=False, showgrid=False, zeroline=False, autorange="reversed", constrain="domain")
    for axis in figure.select_yaxes():
        axis.scaleanchor = axis.anchor
    return figure


def _finished(figure: go.Figure, title: str, height: int, **margin: Any) -> go.Figure:
    given = {"b": margin["bottom"]} if "bottom" in margin else {}
    return figure.update_layout(template=theme.template(), title=title, height=height, margin=given)
