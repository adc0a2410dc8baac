"""Attributions of series as figures: the line of each channel with colour behind it, and the weight of time windows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go
import pyarrow as pa
from plotly.subplots import make_subplots

from auditkit import theme
from auditkit.attribution.framing import NEUTRAL, error_bars, finished, heading, tint, titles
from auditkit.evidence.section import matching

SHOWN_CHANNELS = 6
PANEL = 92
"""pixels of height for a channel"""


def curves(
    table: pa.Table,
    inputs: pa.Table | None,
    rows: pa.Table,
    methods: pa.Table,
    chosen: Sequence[int],
    method: str | Sequence[str],
) -> go.Figure:
    """Each chosen row's channels over time; blue behind steps that speak for the target, orange against it.

    All panels share one scale. Of many channels those with the most attribution are drawn. Of two methods each channel
    is drawn twice, side by side; values are then shares of a row's attribution.
    """
    pair = [method] if isinstance(method, str) else list(method)
    names = titles(methods)
    title = " and ".join(names[name] for name in pair)
    found = {(row, name): matching(table, method=name, row=row) for row in chosen for name in pair}
    edge = max((abs(v) for lines in found.values() for line in lines for v in line["values"]), default=0.0) or 1.0
    panels = [(row, line) for row in chosen for line in _weightiest(found[row, pair[0]])]
    if not panels:
        return finished(go.Figure(), title, 120)
    height = 150 + PANEL * len(panels) + 34 * len(chosen)
    facts = {row: matching(rows, method=pair[0], row=row)[0] for row in chosen}
    figure = make_subplots(
        rows=len(panels),
        cols=len(pair),
        shared_xaxes=True,
        shared_yaxes=True,
        horizontal_spacing=0.04,
        vertical_spacing=0.3 / len(panels),
    )
    drawn = inputs is not None and "steps" in inputs.column_names
    before = None
    for place, (row, line) in enumerate(panels, start=1):
        seen = matching(inputs, row=row, channel=line["channel"]) if drawn else []
        steps, values = (seen[0]["steps"], seen[0]["values"]) if seen else ([1, line["steps"]], [0.0, 0.0])
        finite = [value for value in values if value is not None] or [0.0]
        low, high = min(finite), max(finite)
        room = 0.12 * ((high - low) or 1.0)
        span = (low - room, high + room)
        for column, name in enumerate(pair, start=1):
            at = {"row": place, "col": column}
            own = next((part for part in found[row, name] if part["channel"] == line["channel"]), None)
            if own is not None:
                figure.add_trace(_heat(own, span, edge, place == column == 1, len(pair) > 1), **at)
            style = {"mode": "lines", "line": {"color": NEUTRAL, "width": 2}, "showlegend": False}
            figure.add_scatter(x=steps, y=values, hovertemplate="step %{x}: %{y:.4g}<extra></extra>", **style, **at)
            figure.update_yaxes(range=list(span), showgrid=False, zeroline=False, nticks=4, **at)
        label = theme.escape(theme.short(line["channel"], 13))
        figure.update_yaxes(title={"text": label, "font": {"size": 12}}, row=place, col=1)
        if row != before:
            for column, name in enumerate(pair, start=1):
                part = figure.get_subplot(place, column)
                text = heading(facts[row]) if len(pair) == 1 else _entitled(methods, name)
                note = {"text": text, "showarrow": False, "font": {"size": 13}}
                place_at = {"x": part.xaxis.domain[0], "xref": "paper", "xanchor": "left"}
                figure.add_annotation(**note, **place_at, y=part.yaxis.domain[1], yref="paper", yanchor="bottom")
        before = row
    figure.update_xaxes(range=[0.5, panels[0][1]["steps"] + 0.5], showgrid=False, zeroline=False)
    figure.update_xaxes(title="step", row=len(panels))
    return finished(figure, title, height, top=78)


def _entitled(methods: pa.Table, method: str) -> str:
    """A method's title and whether it tells signs, escaped."""
    known = matching(methods, method=method)[0]
    return theme.escape(known["title"]) + ("" if known["signed"] else " (tells no sign)")


def _weightiest(lines: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The channels with the most attribution, in their own order."""
    ranked = sorted(lines, key=lambda line: -sum(abs(value) for value in line["values"]))[:SHOWN_CHANNELS]
    return [line for line in lines if line in ranked]


def _heat(line: dict[str, Any], height: tuple[float, float], edge: float, bar: bool, share: bool = False) -> go.Heatmap:
    """A channel's attributions as a band of colour as high as its panel."""
    values, wide = np.array(line["values"]), line["block"]
    edges = np.minimum(np.arange(len(values) + 1) * wide, line["steps"]) + 0.5
    scale = [[(1 + share) / 2, tint(share, 1.0)] for share in (-1.0, -1e-9, 0.0, 1.0)]
    return go.Heatmap(
        z=values[None, :],
        x=edges,
        y=list(height),
        zmin=-edge,
        zmax=edge,
        colorscale=scale,
        showscale=bar,
        colorbar={
            "title": {
                "text": "share of attribution" if share else "attribution",
                "side": "right",
                "font": {"size": 12},
            },
            "thickness": 12,
            "len": 1.0,
            "tickformat": "+.2~p" if share else "+.2g",
        },
        hovertemplate="%{z:+.2%}<extra></extra>" if share else "%{z:+.4g}<extra></extra>",
    )


def windows(table: pa.Table, methods: pa.Table, lead: str) -> go.Figure:
    """The lead method's share of attribution per window of time with its interval; other methods as marks."""
    lines = matching(table, method=lead, attribute="", status="ok")
    names, title, figure = [line["column"] for line in lines], titles(methods), go.Figure()
    figure.add_bar(
        x=list(range(len(lines))),
        y=[line["share"] for line in lines],
        name=title[lead],
        marker_color=theme.CATEGORIES[0],
        opacity=0.85,
        error_y=error_bars(lines, "share"),
        customdata=names,
        hovertemplate="steps %{customdata}: %{y:.1%}<extra></extra>",
    )
    for place, method in enumerate([method for method in title if method != lead]):
        found = {line["column"]: line for line in matching(table, method=method, attribute="", status="ok")}
        if found:
            figure.add_scatter(
                x=list(range(len(lines))),
                y=[found[name]["share"] for name in names],
                mode="markers",
                name=title[method],
                marker={
                    "color": theme.CATEGORIES[1 + place],
                    "symbol": ("diamond", "circle", "square")[place % 3],
                    "size": 8,
                },
                customdata=names,
                hovertemplate="steps %{customdata}: %{y:.1%}<extra></extra>",
            )
    figure.update_xaxes(title="steps", tickvals=list(range(len(lines))), ticktext=names, showgrid=False, zeroline=False)
    figure.update_yaxes(title="share of attribution", tickformat=".0%", rangemode="tozero")
    return finished(figure, "Where in time the answers rest", 400)
