"""The error tree and the error heat map as figures."""

from __future__ import annotations

from typing import Any

import plotly.graph_objects as go
import pyarrow as pa

from auditkit import theme
from auditkit.fairness.sentences import NOT_JUDGED

_UNJUDGED = "#A3ADB8"
"""A grey that reads on light and dark alike."""
_CONFIRMED = "▲ "
_MOST_WRITTEN = 10
_COLOURS = [[0.0, "#FFF3D6"], [0.5, "#E9A23B"], [1.0, "#B03A06"]]


def tree_figure(table: pa.Table) -> go.Figure:
    """The tree from left to right: a box per node, as high as it has rows, coloured by its confirmed mean loss.

    table: the evidence `error_tree`. Confirmed nodes carry a triangle; nodes of too few rows to judge are grey.
    """
    lines = table.to_pylist()
    rate = lines[0]["unit"] == "rate"
    values = [line["loss"] for line in lines if line["loss"] is not None]
    leaves = sum(line["leaf"] for line in lines)
    low, high = min(values), max(values)
    height = max(240, min(820, 80 + 62 * leaves))
    scale = {"cmin": low, "cmax": high if high > low else low + 1e-9}
    figure = go.Figure(
        go.Icicle(
            ids=[str(line["node"]) for line in lines],
            parents=["" if line["parent"] is None else str(line["parent"]) for line in lines],
            labels=[_label(line, height * line["n"] / max(1, lines[0]["n"])) for line in lines],
            values=[line["n"] for line in lines],
            branchvalues="total",
            sort=False,
            tiling={"orientation": "h", "pad": 2},
            pathbar={"visible": False},
            textinfo="label",
            marker={
                "colors": [_colour(line["loss"], low, high) for line in lines],
                "line": {"width": 0},
            },
            leaf={"opacity": 1},
            customdata=[_told(line) for line in lines],
            hovertemplate="%{customdata}<extra></extra>",
            textfont={"size": 13, "color": [_ink(line["loss"], low, high) for line in lines]},
        )
    )
    figure.add_scatter(
        x=[None],
        y=[None],
        mode="markers",
        marker={
            "color": [low],
            **scale,
            "colorscale": _COLOURS,
            "showscale": True,
            "colorbar": {
                "title": {"text": "error rate" if rate else "mean loss"},
                "tickformat": ".0%" if rate and high - low > 0.04 else ".1%" if rate else "",
                "thickness": 12,
            },
        },
        hoverinfo="skip",
        showlegend=False,
    )
    figure.update_xaxes(visible=False)
    figure.update_yaxes(visible=False)
    figure.update_layout(
        template=theme.template(),
        title="Where the errors lie" if rate else "Where the loss lies",
        height=height + 76,
        margin={"l": 10, "r": 10, "t": 60, "b": 16},
        uniformtext={"minsize": 10, "mode": "hide"},
    )
    return figure


def _colour(value: float | None, low: float, high: float) -> str:
    from plotly.colors import sample_colorscale

    if value is None:
        return _UNJUDGED
    place = (value - low) / (high - low) if high > low else 0.0
    return str(sample_colorscale(_COLOURS, [min(1.0, max(0.0, place))])[0])


def _ink(value: float | None, low: float, high: float) -> str:
    """What reads on a box's own colour, whatever the page's."""
    dark = value is not None and high > low and (value - low) / (high - low) > 0.7
    return theme.PAPER if dark else theme.INK


def _label(line: dict[str, Any], height: float) -> str:
    """The last condition and the numbers: on two lines where the box is high enough for them."""
    mark = _CONFIRMED if line["confirmed"] else ""
    value = theme.number(line["loss"], line["unit"], line["lower"], line["upper"])
    shown = value if line["loss"] is not None else NOT_JUDGED
    if height < 34:
        return f"{mark}{theme.escape(theme.short(line['condition'], 18))}: {shown}"
    return f"{mark}{theme.escape(theme.short(line['condition'], 34))}<br>{shown}, {line['n']:,} rows"


def _told(line: dict[str, Any]) -> str:
    text = _wrapped(line["slice"])
    if line["loss"] is None:
        return f"{text}<br>{theme.escape(line['reason'])}"
    value = theme.number(line["loss"], line["unit"], line["lower"], line["upper"])
    span = theme.interval(line["lower"], line["upper"], line["unit"])
    told = f"{text}<br>{value} {span}<br>over {line['confirm_n']:,} rows that confirm, {line['n']:,} in all"
    if line["coverage"] is not None:
        told += f"<br>holds {theme.number(line['coverage'], 'rate')} of all {_what(line)}"
    if line["lift"] is not None:
        told += f", {line['lift']:.2f} times everyone's"
    return told


def _what(line: dict[str, Any]) -> str:
    return "errors" if line["unit"] == "rate" else "loss"


def _wrapped(text: str) -> str:
    return " and<br>".join(theme.escape(theme.short(part, 80)) for part in text.split(" and "))


def heatmap_figure(table: pa.Table) -> go.Figure:
    """Mean loss by two columns: a cell is coloured and written with its rows where there are enough of them.

    table: the evidence `error_heatmap`.
    """
    lines = table.to_pylist()
    rate = lines[0]["unit"] == "rate"
    cells = {(line["row"], line["column"]): line for line in lines}
    deep, wide = max(line["row"] for line in lines) + 1, max(line["column"] for line in lines) + 1
    written = wide <= _MOST_WRITTEN
    grid = [[cells[row, column] for column in range(wide)] for row in range(deep)]
    figure = go.Figure(
        go.Heatmap(
            z=[[cell["loss"] for cell in row] for row in grid],
            text=[[_cell(cell) for cell in row] for row in grid],
            texttemplate="%{text}" if written else None,
            customdata=[[_cell_told(cell) for cell in row] for row in grid],
            hovertemplate="%{customdata}<extra></extra>",
            hoverongaps=False,
            colorscale=_COLOURS,
            xgap=3,
            ygap=3,
            colorbar={
                "title": {"text": "error<br>rate" if rate else "mean<br>loss"},
                "tickformat": ".0%" if rate else "",
                "thickness": 12,
            },
        )
    )
    unjudged = [line for line in lines if line["loss"] is None]
    figure.add_scatter(
        x=[line["column"] for line in unjudged],
        y=[line["row"] for line in unjudged],
        mode="text" if unjudged else "markers",
        text=[f"{NOT_JUDGED}<br>n = {line['n']:,}" if written else "·" for line in unjudged],
        textfont={"size": 11},
        opacity=0.7,
        customdata=[_cell_told(line) for line in unjudged],
        hovertemplate="%{customdata}<extra></extra>",
        showlegend=False,
    )
    figure.update_xaxes(
        title=theme.escape(theme.short(lines[0]["across"], 60)),
        tickvals=list(range(wide)),
        ticktext=[theme.escape(theme.short(grid[0][column]["column_label"], 18)) for column in range(wide)],
        range=[-0.5, wide - 0.5],
        showgrid=False,
        zeroline=False,
    )
    figure.update_yaxes(
        title=theme.escape(theme.short(lines[0]["down"], 40)),
        tickvals=list(range(deep)),
        ticktext=[theme.escape(theme.short(grid[row][0]["row_label"], 26)) for row in range(deep)],
        range=[deep - 0.5, -0.5],
        showgrid=False,
        zeroline=False,
    )
    figure.update_layout(
        template=theme.template(),
        title="Error rate by two columns" if rate else "Mean loss by two columns",
        height=190 + (50 if written else 36) * deep,
    )
    return figure


def _cell(line: dict[str, Any]) -> str:
    if line["loss"] is None:
        return ""
    return f"{theme.number(line['loss'], line['unit'], line['lower'], line['upper'])}<br>n = {line['n']:,}"


def _cell_told(line: dict[str, Any]) -> str:
    name = "<br>".join(
        f"{theme.escape(theme.short(line[side], 40))}: {theme.escape(theme.short(line[label], 40))}"
        for side, label in (("down", "row_label"), ("across", "column_label"))
    )
    if line["loss"] is None:
        return f"{name}<br>{NOT_JUDGED}: {theme.escape(line['reason'])}"
    value = theme.number(line["loss"], line["unit"], line["lower"], line["upper"])
    return f"{name}<br>{value} {theme.interval(line['lower'], line['upper'], line['unit'])}<br>over {line['n']:,} rows"
