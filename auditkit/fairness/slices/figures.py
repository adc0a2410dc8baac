"""Slices as a figure: each one's mean loss on its interval, beside everyone's."""

from __future__ import annotations

from typing import Any

import plotly.graph_objects as go
import pyarrow as pa

from auditkit import theme

_NEUTRAL = "#8592A0"
"""A grey that reads on light and dark alike."""
_FOUND, _NOT = theme.CATEGORIES[5], _NEUTRAL


def slice_intervals(table: pa.Table, overall: float) -> go.Figure:
    """One line per slice, the worst on top: a dot on its interval, filled where the slice is confirmed.

    table: as `SliceSearch.table` gives it. overall: the mean loss of everyone, a dotted line. What the half that was
    searched showed stands as a small stroke. Slices without numbers keep an empty line.
    """
    lines = table.to_pylist()
    rate = any(line["unit"] == "rate" for line in lines)
    figure = go.Figure()
    figure.add_scatter(
        x=[line["search_loss"] for line in lines],
        y=list(range(len(lines))),
        mode="markers",
        marker={"symbol": "line-ns", "size": 12, "line": {"width": 2, "color": _NEUTRAL}},
        name="where it was found",
        hoverinfo="skip",
    )
    for confirmed, name, colour in ((True, "confirmed", _FOUND), (False, "not confirmed", _NOT)):
        chosen = [at for at, line in enumerate(lines) if line["confirmed"] is confirmed]
        chosen = [at for at in chosen if lines[at]["confirm_loss"] is not None]
        if not chosen:
            continue
        mine = [lines[at] for at in chosen]
        figure.add_scatter(
            x=[line["confirm_loss"] for line in mine],
            y=chosen,
            error_x={
                "type": "data",
                "symmetric": False,
                "array": [line["loss_upper"] - line["confirm_loss"] for line in mine],
                "arrayminus": [line["confirm_loss"] - line["loss_lower"] for line in mine],
                "thickness": 2,
                "width": 0,
            },
            mode="markers",
            marker={
                "size": 10,
                "color": colour,
                "symbol": "circle" if confirmed else "circle-open",
                "line": {"width": 2, "color": colour},
            },
            name=name,
            customdata=[_told(line) for line in mine],
            hovertemplate="%{customdata}<extra></extra>",
        )
    figure.add_vline(x=overall, line={"dash": "dot", "width": 1.5, "color": _NEUTRAL})
    figure.add_annotation(
        text="everyone",
        x=overall,
        y=1,
        yref="y domain",
        yanchor="bottom",
        showarrow=False,
        font={"size": 11},
        opacity=0.7,
    )
    figure.update_yaxes(
        tickvals=list(range(len(lines))), ticktext=[_label(line) for line in lines], range=[len(lines) - 0.4, -0.6]
    )
    figure.update_yaxes(zeroline=False, ticklabelstandoff=8)
    figure.update_xaxes(
        title="error rate, with its interval" if rate else "mean loss, with its interval",
        tickformat=".0%" if rate else "",
        rangemode="tozero",
    )
    figure.update_layout(
        template=theme.template(),
        title="Slices with the worst loss",
        height=190 + 44 * len(lines),
        margin={"t": 84, "b": 96},
        legend={"y": 0.01, "yref": "container", "yanchor": "bottom", "x": 0, "xanchor": "left"},
    )
    return figure


def _label(line: dict[str, Any]) -> str:
    shown = [theme.escape(theme.short(condition, 40)) for condition in line["conditions"]]
    return "<br>".join([*shown[:-1], f"{shown[-1]} ({line['n']:,})"])


def _told(line: dict[str, Any]) -> str:
    value = theme.number(line["confirm_loss"], line["unit"], line["loss_lower"], line["loss_upper"])
    span = theme.interval(line["loss_lower"], line["loss_upper"], line["unit"])
    return f"{theme.escape(line['slice'])}<br>{value} {span}<br>over {line['confirm_n']:,} rows that confirm"
