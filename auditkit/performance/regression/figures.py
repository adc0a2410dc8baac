"""The evidence on predicted numbers as figures."""

from __future__ import annotations

import plotly.graph_objects as go
import pyarrow as pa

from auditkit import theme
from auditkit.performance.figures import colour_of_split


def predicted_against_true(bins: pa.Table, split: str, name: str) -> go.Figure:
    """Of one split, by bins of prediction: mean truth with its interval, and the spread of the truth behind it.

    name: what the number is called.
    """
    lines = [line for line in bins.to_pylist() if line["split"] == split]
    x = [line["prediction"] for line in lines]
    colour = colour_of_split(split)
    figure = go.Figure()
    for low, high, opacity, said in (("q5", "q95", 0.14, "5 to 95 % of rows"), ("q25", "q75", 0.25, "middle half")):
        figure.add_scatter(
            x=[*x, *reversed(x)],
            y=[*(line[high] for line in lines), *(line[low] for line in reversed(lines))],
            mode="lines",
            fill="toself",
            fillcolor=colour,
            opacity=opacity,
            line={"width": 0, "color": colour},
            name=said,
            hoverinfo="skip",
        )
    ends = [min(x), max(x)]
    figure.add_scatter(
        x=ends, y=ends, mode="lines", line={"dash": "dot", "color": theme.MUTED}, name="right on average"
    )
    figure.add_scatter(
        x=x,
        y=[line["truth"] for line in lines],
        error_y={
            "type": "data",
            "symmetric": False,
            "array": [0.0 if line["upper"] is None else line["upper"] - line["truth"] for line in lines],
            "arrayminus": [0.0 if line["lower"] is None else line["truth"] - line["lower"] for line in lines],
            "thickness": 1.5,
            "width": 0,
        },
        mode="markers",
        marker={"size": 9, "color": colour},
        name="mean",
        customdata=[line["rows"] for line in lines],
        hovertemplate="predicted %{x:.4g}, truly %{y:.4g} on average<br>%{customdata:,} rows<extra></extra>",
    )
    figure.update_layout(template=theme.template(), title="Predicted against true", height=480)
    shown = theme.escape(theme.short(name, 40))
    figure.update_xaxes(title=f"predicted {shown}")
    figure.update_yaxes(title=f"true {shown}")
    return figure


def residuals(table: pa.Table, splits: tuple[str, ...], name: str) -> go.Figure:
    """How errors are spread on each split, as shares of its rows; 0 is right."""
    figure = go.Figure()
    for split in splits:
        lines = [line for line in table.to_pylist() if line["split"] == split]
        total = sum(line["rows"] for line in lines)
        if not total:
            continue
        figure.add_scatter(
            x=[(line["from"] + line["to"]) / 2 for line in lines],
            y=[line["rows"] / total for line in lines],
            mode="lines",
            line={"shape": "hvh", "width": 2, "color": colour_of_split(split)},
            fill="tozeroy" if split == "test" else None,
            name=theme.escape(split),
            customdata=[line["rows"] for line in lines],
            hovertemplate="error about %{x:.4g}: %{customdata:,} rows, %{y:.1%}<extra>%{fullData.name}</extra>",
        )
    figure.add_vline(x=0, line={"dash": "dot", "color": theme.MUTED})
    figure.update_layout(template=theme.template(), title="Errors", height=400)
    figure.update_xaxes(title=f"predicted minus true {theme.escape(theme.short(name, 40))}")
    figure.update_yaxes(title="share of rows", tickformat=".0%", rangemode="tozero")
    return figure
