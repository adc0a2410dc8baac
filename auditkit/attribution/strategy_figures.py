"""Figures over the whole set: strategies, shortcut candidates, and importance by class and by answer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go
import pyarrow as pa
from plotly.subplots import make_subplots

from auditkit import theme
from auditkit.attribution.framing import NEUTRAL, error_bars, finished
from auditkit.evidence.section import matching

ACROSS, PANELS = 6, 18
"""maps side by side, and at most in one figure"""
COLUMNS, LINES = 12, 24
"""columns and strategies of a table's figure at most"""


def strategies(table: pa.Table) -> go.Figure:
    """Each strategy's mean share of attribution: a small map for pictures, else a line of a grid over the parts."""
    lines = told(table)
    names = [f"{label(line)} (n={line['rows']})" for line in lines]
    shares = [np.array(line["shares"]) for line in lines]
    parts = lines[0]["parts"]
    if is_picture(parts):
        return maps(parts, shares[:PANELS], names[:PANELS], "What each strategy rests on")
    order = np.argsort(-np.max(shares, axis=0), kind="stable")[:COLUMNS]
    grid = [share[order] for share in shares[:LINES]]
    return _grid([parts[place] for place in order], names[:LINES], grid, "What each strategy rests on")


def suspects(found: Sequence[dict[str, Any]], table: pa.Table, inputs: pa.Table | None) -> go.Figure:
    """The candidates: for pictures the strategy's medoid beside its mean map, else bars against the comparison."""
    lines = {(line["class"], line["strategy"]): line for line in table.to_pylist()}
    parts = table.column("parts")[0].as_py()
    if not is_picture(parts):
        return _bars(found)
    shown = list(found)[:4]
    heads = [text for line in shown for text in (f"{label(line)}: row {line['medoid']}", "mean share")]
    figure = make_subplots(
        rows=len(shown), cols=2, subplot_titles=[theme.escape(text) for text in heads], horizontal_spacing=0.04,
        vertical_spacing=0.3 / (1 + len(shown)),
    )  # fmt: skip
    top = 0.0
    grids = []
    for line in shown:
        own = [found for key, found in lines.items() if key[0] == line["class"] and line["strategy"] in (0, key[1])]
        weights = np.array([part["rows"] for part in own], dtype=float)
        mean = np.average([part["shares"] for part in own], axis=0, weights=weights)
        grids.append(_picture(parts, mean))
        top = max(top, float(mean.max()))
    for place, (line, grid) in enumerate(zip(shown, grids, strict=True), start=1):
        seen = matching(inputs, row=line["medoid"]) if inputs is not None else []
        if seen:
            figure.add_trace(theme.picture(seen[0]), row=place, col=1)
        figure.add_trace(_heat(grid, top, place == len(shown)), row=place, col=2)
        cells = {tuple(int(part) for part in cell.split(",")) for cell in line["region"]}
        for row, column in cells:
            corners = {"x0": column - 0.5, "x1": column + 0.5, "y0": row - 0.5, "y1": row + 0.5}
            pen = {"color": theme.CATEGORIES[5], "width": 2}
            figure.add_shape(type="rect", line=pen, **corners, row=place, col=2)
    return _framed(figure, "Shortcut candidates", 110 + 210 * len(shown))


def by_selection(table: pa.Table, by: str, title: str, rest: str = "") -> go.Figure:
    """Importance by class or by answer: maps for pictures; marks with intervals for a few selections, else a grid."""
    lines = matching(table, by=by, kind="part", status="ok")
    names = list(dict.fromkeys(line["name"] for line in lines))
    parts = list(dict.fromkeys(line["column"] for line in lines))
    share = {(line["name"], line["column"]): line for line in lines}
    labels = [f"{name}{rest} (n={share[name, parts[0]]['n']})" for name in names]
    grid = [np.array([share[name, part]["share"] for part in parts]) for name in names]
    if is_picture(parts):
        return maps(parts, grid[:PANELS], labels[:PANELS], title)
    order = np.argsort(-np.mean(grid, axis=0), kind="stable")[:COLUMNS]
    if len(names) > 4:
        return _grid([parts[place] for place in order], labels, [line[order] for line in grid], title)
    figure = go.Figure()
    columns = [parts[place] for place in order][::-1]
    for place, (name, text) in enumerate(zip(names, labels, strict=True)):
        chosen = [share[name, column] for column in columns]
        shift = 0.6 * ((place + 0.5) / len(names) - 0.5)
        colour = theme.colour_of(name, names)
        figure.add_scatter(
            x=[line["share"] for line in chosen],
            y=[row - shift for row in range(len(columns))],
            mode="markers",
            name=theme.escape(text),
            marker={"color": colour, "size": 8},
            error_x=error_bars(chosen, "share") | {"color": colour},
            customdata=[theme.escape(f"{name}, {column}") for column in columns],
            hovertemplate="%{customdata}: %{x:.1%}<extra></extra>",
        )
    ticks = [theme.escape(theme.short(column)) for column in columns]
    figure.update_yaxes(tickvals=list(range(len(columns))), ticktext=ticks, showgrid=False, zeroline=False)
    figure.update_xaxes(title="share of attribution", tickformat=".0%", rangemode="tozero")
    return finished(figure, title, 160 + max(30, 12 * len(names) + 8) * len(columns))


def told(table: pa.Table) -> list[dict[str, Any]]:
    """The strategies in the order they are shown: of classes with several of them first, else by class."""
    lines: list[dict[str, Any]] = table.to_pylist()
    several = {line["class"] for line in lines if line["strategy"] > 1}
    return sorted(lines, key=lambda line: line["class"] not in several)


def label(line: dict[str, Any]) -> str:
    """A strategy's name: its class, and its number where the class has several."""
    name = theme.short(line["class"], 18) or "all rows"
    return f"{name} · {line['strategy']}" if line["strategy"] else name


def is_picture(parts: Sequence[str]) -> bool:
    """Whether parts are cells of a picture, named "row,column"."""
    return all(part.replace(",", "", 1).isdigit() and part.count(",") == 1 for part in parts)


def maps(parts: Sequence[str], shares: Sequence[np.ndarray], names: Sequence[str], title: str) -> go.Figure:
    """Small maps of shares by cell, all on one scale."""
    down = -(-len(shares) // ACROSS)
    across = min(ACROSS, len(shares))
    figure = make_subplots(
        rows=down, cols=across, subplot_titles=[theme.escape(name) for name in names], horizontal_spacing=0.02,
        vertical_spacing=0.3 / (1 + down),
    )  # fmt: skip
    top = max(float(share.max()) for share in shares)
    for place, share in enumerate(shares):
        trace = _heat(_picture(parts, share), top, place == len(shares) - 1)
        figure.add_trace(trace, row=1 + place // ACROSS, col=1 + place % ACROSS)
    return _framed(figure, title, 100 + 170 * down)


def _picture(parts: Sequence[str], share: np.ndarray) -> np.ndarray:
    cells = np.array([[int(number) for number in part.split(",")] for part in parts])
    grid = np.zeros(tuple(1 + cells.max(axis=0)))
    grid[cells[:, 0], cells[:, 1]] = share
    return grid


def _heat(grid: np.ndarray, top: float, scale: bool) -> go.Heatmap:
    bar = {"title": {"text": "share"}, "tickformat": ".0%", "thickness": 12}
    style = {"colorscale": theme.MAGNITUDE, "zmin": 0.0, "zmax": top, "showscale": scale, "colorbar": bar}
    return go.Heatmap(z=grid, hovertemplate="%{z:.1%}<extra></extra>", **style)


def _framed(figure: go.Figure, title: str, height: int) -> go.Figure:
    figure.update_xaxes(showticklabels=False, showgrid=False, zeroline=False, constrain="domain")
    figure.update_yaxes(showticklabels=False, showgrid=False, zeroline=False, autorange="reversed", constrain="domain")
    for axis in figure.select_yaxes():
        axis.scaleanchor = axis.anchor
    figure.update_annotations(font_size=12)
    return finished(figure, title, height, bottom=16)


def _grid(columns: Sequence[str], names: Sequence[str], shares: Sequence[np.ndarray], title: str) -> go.Figure:
    """A grid of shares: selections down, columns across, each with its number."""
    values = np.array(shares)
    figure = go.Figure(
        go.Heatmap(
            z=values,
            x=list(range(len(columns))),
            y=list(range(len(names))),
            colorscale=theme.MAGNITUDE,
            zmin=0.0,
            text=[[f"{value:.0%}" if value >= 0.005 else "" for value in line] for line in values],
            texttemplate="%{text}",
            textfont_size=11,
            customdata=[[theme.escape(f"{name}, {column}") for column in columns] for name in names],
            hovertemplate="%{customdata}: %{z:.1%}<extra></extra>",
            showscale=False,
        )
    )
    ticks = [theme.escape(theme.short(column, 18)) for column in columns]
    figure.update_xaxes(tickvals=list(range(len(columns))), ticktext=ticks, tickangle=-40, showgrid=False)
    rows = [theme.escape(name) for name in names]
    figure.update_yaxes(tickvals=list(range(len(names))), ticktext=rows, autorange="reversed", showgrid=False)
    return finished(figure, title, 190 + 26 * len(names), bottom=110)


def _bars(found: Sequence[dict[str, Any]]) -> go.Figure:
    """For each candidate what its region holds, beside what it holds in the comparison."""
    figure, names = go.Figure(), [f"{label(line)}: {line['place']}" for line in found]
    for place, (key, name, colour) in enumerate(
        (("share", "the strategy", theme.CATEGORIES[0]), ("elsewhere", "compared with", NEUTRAL))
    ):
        figure.add_bar(
            x=[line[key] for line in found],
            y=list(range(len(found))),
            orientation="h",
            name=name,
            marker_color=colour,
            offsetgroup=str(place),
            text=[f"{line[key]:.1%}" for line in found],
            textposition="outside",
            cliponaxis=False,
            hovertemplate="%{x:.1%}<extra></extra>",
        )
    ticks = [theme.escape(theme.short(name, 48)) for name in names]
    figure.update_yaxes(tickvals=list(range(len(found))), ticktext=ticks, autorange="reversed", showgrid=False)
    edge = 1.15 * max(line["share"] for line in found)
    figure.update_xaxes(title="share of attribution in the region", tickformat=".0%", range=[0, edge])
    figure.update_layout(barmode="group")
    return finished(figure, "Shortcut candidates", 150 + 56 * len(found))
