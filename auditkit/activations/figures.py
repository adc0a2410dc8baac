"""Activation figures: evidence tables → plotly figures, nothing else."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import plotly.graph_objects as go
import pyarrow as pa
from plotly.subplots import make_subplots

from auditkit import theme
from auditkit.evidence.section import matching

NEUTRAL = "#8492A0"
"""lines and marks without a category, legible on white and on dark"""
POINTS = 2_000
SHOWN_LAYERS = 40
SHOWN_CHANNELS = 4


def layers(table: pa.Table, split: str) -> go.Figure:
    """From input to output: effective rank beside the number of units, and the share of units without work."""
    lines = sorted(matching(table, split=split), key=lambda line: line["place"])[:SHOWN_LAYERS]
    labels = [theme.escape(f"{theme.short(line['layer'])} · {line['kind']}") for line in lines]
    places = list(range(len(lines)))
    figure = make_subplots(
        rows=1,
        cols=2,
        shared_yaxes=True,
        column_widths=[0.6, 0.4],
        horizontal_spacing=0.05,
        subplot_titles=["directions in use", "units without work"],
    )
    figure.add_bar(
        x=[min(line["units"], line["covariance_units"]) for line in lines],
        y=places,
        orientation="h",
        name="units",
        marker_color=NEUTRAL,
        opacity=0.3,
        customdata=labels,
        hovertemplate="%{customdata}: %{x} units<extra></extra>",
        row=1,
        col=1,
    )
    figure.add_bar(
        x=[line["effective_rank"] for line in lines],
        y=places,
        orientation="h",
        name="effective rank",
        marker_color=theme.CATEGORIES[0],
        customdata=labels,
        hovertemplate="%{customdata}: effective rank %{x:.1f}<extra></extra>",
        row=1,
        col=1,
    )
    for place, what in enumerate(("dead", "saturated", "constant")):
        judged = [(y, line) for y, line in zip(places, lines, strict=True) if line[what] is not None]
        if judged and (what != "constant" or any(line[what] for _, line in judged)):
            figure.add_scatter(
                x=[line[what] / line["units"] for _, line in judged],
                y=[y for y, _ in judged],
                mode="markers",
                name=what,
                marker={
                    "symbol": ("circle", "diamond", "x-thin-open")[place],
                    "size": 9,
                    "color": (theme.CATEGORIES[5], theme.CATEGORIES[1], theme.CATEGORIES[2])[place],
                },
                customdata=[labels[y] for y, _ in judged],
                hovertemplate="%{customdata}: %{x:.1%} " + what + "<extra></extra>",
                row=1,
                col=2,
            )
    highest = max((line[what] or 0) / line["units"] for line in lines for what in ("dead", "saturated", "constant"))
    figure.update_xaxes(title="number", row=1, col=1)
    figure.update_xaxes(
        title="share of units",
        tickformat=".0%",
        range=[-0.05 * max(highest, 0.1), 1.1 * max(highest, 0.1)],
        row=1,
        col=2,
    )
    figure.update_yaxes(
        tickvals=places, ticktext=labels, range=[len(lines) - 0.4, -0.6], showgrid=False, zeroline=False
    )
    figure.update_yaxes(showgrid=True, row=1, col=2)
    figure.update_layout(barmode="overlay")
    figure.update_annotations(font_size=13)
    return _finished(figure, "Layer by layer", max(330, 170 + 24 * len(lines)), legend_below=True)


def feature_map(points: pa.Table, classes: Sequence[str], explained: Sequence[float]) -> go.Figure:
    """Test rows coloured by class; out-of-distribution rows laid over them as open marks."""
    figure = go.Figure()
    lines = points.slice(0, POINTS).to_pylist()
    inside = [line for line in lines if line["role"] != "ood"]
    outside = [line for line in lines if line["role"] == "ood"]
    for place, split in enumerate(dict.fromkeys(line["split"] for line in outside)):
        colour = (NEUTRAL, theme.CATEGORIES[3])[place % 2]
        symbol = ("x-thin", "cross-thin", "asterisk", "y-up")[place % 4]
        marker = {"symbol": symbol, "size": 6, "opacity": 0.7, "color": colour, "line": {"width": 1, "color": colour}}
        _add_points(figure, [line for line in outside if line["split"] == split], f"OOD: {theme.short(split)}", marker)
    for place, name in enumerate(classes):
        own = [line for line in inside if line["label"] == name]
        if own:
            symbol = ("circle", "square", "diamond", "triangle-up")[place // len(theme.CATEGORIES) % 4]
            colour = theme.colour_of(name, classes)
            _add_points(figure, own, theme.short(name), {"color": colour, "size": 6, "opacity": 0.75, "symbol": symbol})
    unknown = [line for line in inside if line["label"] is None]
    if unknown:
        named, colour = ("label unknown", NEUTRAL) if classes else ("rows of test", theme.CATEGORIES[0])
        _add_points(figure, unknown, named, {"color": colour, "size": 6, "opacity": 0.75})
    _frame(figure, inside, outside)
    said = [f" ({theme.number(share, 'rate')} of variance)" for share in explained[:2]] + ["", ""]
    figure.update_xaxes(title=f"first principal component{said[0]}")
    figure.update_yaxes(title=f"second principal component{said[1]}")
    figure.update_layout(legend={"itemsizing": "constant"})
    return _finished(figure, "Penultimate features", 620, legend_below=True)


def _frame(figure: go.Figure, inside: list[dict[str, Any]], outside: list[dict[str, Any]]) -> None:
    """Show the test rows with room around them, and say how many foreign rows lie beyond the edge."""
    if not inside or not outside:
        return
    edges = {}
    for axis in ("x", "y"):
        low, high = min(line[axis] for line in inside), max(line[axis] for line in inside)
        room = 0.5 * ((high - low) or 1.0)
        edges[axis] = (low - room, high + room)
    beyond = [line for line in outside if not all(edges[a][0] <= line[a] <= edges[a][1] for a in edges)]
    if not beyond:
        return
    figure.update_xaxes(range=list(edges["x"]))
    figure.update_yaxes(range=list(edges["y"]))
    text = f"{len(beyond)} of {len(outside)} out-of-distribution rows lie beyond the edge"
    at = {"x": 0, "y": 1, "xref": "paper", "yref": "paper", "xanchor": "left", "yanchor": "bottom"}
    figure.add_annotation(text=text, showarrow=False, font={"size": 12}, opacity=0.75, **at)


def _add_points(figure: go.Figure, lines: list[dict[str, Any]], name: str, marker: dict[str, Any]) -> None:
    figure.add_scatter(
        x=[line["x"] for line in lines],
        y=[line["y"] for line in lines],
        mode="markers",
        name=theme.escape(name),
        marker=marker,
        customdata=[theme.escape(f"{line['split']} row {line['row']}{_predicted(line)}") for line in lines],
        hovertemplate="%{customdata}<extra></extra>",
    )


def _predicted(line: dict[str, Any]) -> str:
    """What was predicted for a row, where that is a class."""
    return f": predicted {theme.short(str(line['prediction']))}" if line["prediction"] is not None else ""


def variance(table: pa.Table) -> go.Figure:
    """Share of the features' variance along each component, and added up."""
    figure = go.Figure()
    component = table.column("component").to_pylist()
    shares, added = table.column("explained").to_pylist(), table.column("cumulative").to_pylist()
    figure.add_bar(x=component, y=shares, name="each", marker_color=theme.CATEGORIES[0])
    line = {"color": theme.CATEGORIES[1]}
    figure.add_scatter(x=component, y=added, name="added up", mode="lines+markers", line=line)
    figure.update_xaxes(title="principal component", dtick=max(1, len(component) // 10), showgrid=False)
    figure.update_yaxes(title="share of variance", tickformat=".0%", range=[0, 1.02])
    return _finished(figure, "Variance explained", 360)


def top_pictures(top: pa.Table, inputs: pa.Table, units: Sequence[int]) -> go.Figure:
    """Images: the pictures that activate each unit most, best first."""
    ranks = max(top.column("rank").to_pylist())
    seen = {line["row"]: line for line in inputs.to_pylist()}
    figure = make_subplots(
        rows=len(units),
        cols=ranks,
        horizontal_spacing=0.02,
        vertical_spacing=0.35 / (3 + len(units)),
    )
    for place, unit in enumerate(units, start=1):
        figure.update_yaxes(title={"text": f"unit {unit}", "font": {"size": 12}}, row=place, col=1)
        for line in matching(top, unit=unit):
            if line["row"] in seen:
                figure.add_trace(theme.picture(seen[line["row"]]), row=place, col=line["rank"])
            label = theme.escape(f"{theme.short(str(line['label'] or theme.NO_VALUE), 10)} · {line['value']:.2f}")
            figure.update_xaxes(title={"text": label, "font": {"size": 11}, "standoff": 2}, row=place, col=line["rank"])
    figure.update_xaxes(showticklabels=False, showgrid=False, zeroline=False, constrain="domain")
    figure.update_yaxes(showticklabels=False, showgrid=False, zeroline=False, autorange="reversed", constrain="domain")
    for axis in figure.select_yaxes():
        axis.scaleanchor = axis.anchor
    return _finished(figure, "What activates a unit most", 110 + 125 * len(units))


def top_curves(top: pa.Table, inputs: pa.Table, units: Sequence[int]) -> go.Figure:
    """Series: the lines that activate each unit most, best first; of many channels the first few, each by its colour.

    Channels differ in unit, so each is drawn from its lowest to its highest value among the rows shown.
    """
    channels = list(dict.fromkeys(inputs.column("channel").to_pylist()))[:SHOWN_CHANNELS]
    lines = {(line["row"], line["channel"]): line for line in inputs.to_pylist()}
    ranges = {channel: _extent(line for (_, name), line in lines.items() if name == channel) for channel in channels}
    ranks = max(top.column("rank").to_pylist())
    figure = make_subplots(
        rows=len(units), cols=ranks, horizontal_spacing=0.02, vertical_spacing=0.35 / (3 + len(units))
    )
    named: set[str] = set()
    for place, unit in enumerate(units, start=1):
        figure.update_yaxes(title={"text": f"unit {unit}", "font": {"size": 12}}, row=place, col=1)
        for line in matching(top, unit=unit):
            at = {"row": place, "col": line["rank"]}
            for number, channel in enumerate(channels):
                if (seen := lines.get((line["row"], channel))) is None:
                    continue
                low, high = ranges[channel]
                figure.add_scatter(
                    x=seen["steps"],
                    y=[None if value is None else (value - low) / (high - low) for value in seen["values"]],
                    customdata=seen["values"],
                    mode="lines",
                    name=theme.escape(theme.short(channel, 20)),
                    legendgroup=str(number),
                    showlegend=len(channels) > 1 and channel not in named,
                    line={"color": theme.CATEGORIES[number], "width": 1.3},
                    hovertemplate="step %{x}: %{customdata:.4g}<extra></extra>",
                    **at,
                )
                named.add(channel)
            label = theme.escape(f"{theme.short(str(line['label'] or theme.NO_VALUE), 10)} · {line['value']:.2f}")
            figure.update_xaxes(title={"text": label, "font": {"size": 11}, "standoff": 2}, **at)
    figure.update_xaxes(showticklabels=False, showgrid=False, zeroline=False)
    figure.update_yaxes(showticklabels=False, showgrid=False, zeroline=False, range=[-0.05, 1.05])
    return _finished(figure, "What activates a unit most", 130 + 105 * len(units))


def _extent(lines: Iterable[dict[str, Any]]) -> tuple[float, float]:
    """The lowest and the highest value of some lines, never the same."""
    values = [value for line in lines for value in line["values"] if value is not None] or [0.0]
    low, high = min(values), max(values)
    return (low, high) if high > low else (low - 0.5, low + 0.5)


def _finished(figure: go.Figure, title: str, height: int, legend_below: bool = False) -> go.Figure:
    figure.update_layout(
        template=theme.template(),
        title={"text": title, "y": 1, "yref": "container", "yanchor": "top", "pad": {"t": 14}},
        height=height,
        margin_t=76,
    )
    if legend_below:
        figure.update_layout(legend={"y": -70 / height, "yanchor": "top", "x": 0, "xanchor": "left"}, margin_b=100)
    return figure
