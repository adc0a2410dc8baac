"""Attributions of pictures as figures: the picture, and each method's map laid over it, all on one scale of colour.

Methods speak in units of their own, so a map is drawn as shares of its row's attribution (each cell's value over the
summed magnitudes of the map): what is equally strong in colour carries equally much, in whichever map it stands.
"""

from __future__ import annotations

from collections.abc import Sequence
from textwrap import wrap
from typing import Any

import numpy as np
import plotly.graph_objects as go
import pyarrow as pa
from plotly.subplots import make_subplots

from auditkit import theme
from auditkit.attribution.framing import AGAINST, FOR, finished
from auditkit.evidence.section import matching

MAPS = 4
"""methods drawn beside a picture"""
WASHED = [[0.0, "#BFC5CC"], [1.0, "#FFFFFF"]]
"""greys light enough for colour on them to be read; 0 is the darkest, as in the picture"""
OPAQUE = 0.92


def pictures(
    table: pa.Table,
    inputs: pa.Table | None,
    rows: pa.Table,
    methods: pa.Table,
    chosen: Sequence[int],
    shown: Sequence[str],
) -> go.Figure:
    """For each chosen row its picture, and beside it the same picture under the map of each of at most four methods."""
    names, shown = {line["method"]: line for line in methods.to_pylist()}, list(shown)[:MAPS]
    found = {
        (row, name): lines[0] for row in chosen for name in shown if (lines := matching(table, method=name, row=row))
    }
    edge = max((float(np.abs(_shares(line)).max()) for line in found.values()), default=0.0) or 1.0
    gap = 0.25 / (2 + len(chosen))
    titles = [_title(names[name]) for name in shown]
    figure = make_subplots(
        rows=len(chosen),
        cols=1 + len(shown),
        column_titles=["picture", *titles],
        horizontal_spacing=0.025,
        vertical_spacing=gap,
    )
    first = next(iter(found), None)
    for place, row in enumerate(chosen, start=1):
        seen = matching(inputs, row=row) if inputs is not None else []
        if seen:
            figure.add_trace(theme.picture(seen[0]), row=place, col=1)
        for column, name in enumerate(shown, start=2):
            if (row, name) not in found:
                continue
            if seen:
                figure.add_trace(_washed(seen[0], found[row, name]), row=place, col=column)
            figure.add_trace(_laid_over(found[row, name], edge, bar=(row, name) == first), row=place, col=column)
        fact = matching(rows, method=shown[0], row=row)[0]
        texts = [f"row {row}", f"predicted {theme.escape(theme.short(str(fact['prediction']), 12))}"]
        if fact["label"] is not None:
            texts.append(f"truly {theme.escape(theme.short(str(fact['label']), 12))}")
        figure.update_yaxes(title={"text": "<br>".join(texts), "font": {"size": 12}}, row=place, col=1)
    figure.update_xaxes(showticklabels=False, showgrid=False, zeroline=False, constrain="domain")
    figure.update_yaxes(showticklabels=False, showgrid=False, zeroline=False, autorange="reversed", constrain="domain")
    for axis in figure.select_yaxes():
        axis.scaleanchor = axis.anchor
    figure.update_annotations(font_size=13)
    side = {1: 300, 2: 250}.get(len(shown), 165)
    return finished(figure, "What in the picture speaks for the answer", 120 + side * len(chosen), bottom=16)


def _title(line: dict[str, Any]) -> str:
    """A method's title in lines short enough for a panel."""
    return "<br>".join(theme.escape(text) for text in wrap(str(line["title"]), 18)) + (
        "" if line["signed"] else "<br>(tells no sign)"
    )


def _shares(line: dict[str, Any]) -> np.ndarray:
    """The map [height, width], each cell over the summed magnitudes of all."""
    values = np.array(line["map"], dtype=np.float64).reshape(line["height"], line["width"])
    return values / (float(np.abs(values).sum()) or 1.0)


def _washed(seen: dict[str, Any], line: dict[str, Any]) -> go.Heatmap:
    """The picture in pale grey, on the map's own cells."""
    pixels = np.array(seen["pixels"], dtype=np.float64).reshape(seen["channels"], seen["height"], seen["width"])
    wide, high = line["width"] / seen["width"], line["height"] / seen["height"]
    return go.Heatmap(
        z=pixels.mean(axis=0),
        **{"x0": (wide - 1) / 2, "dx": wide, "y0": (high - 1) / 2, "dy": high},
        **{"colorscale": WASHED, "zmin": 0, "zmax": 1, "showscale": False, "hoverinfo": "skip"},
    )


def _laid_over(line: dict[str, Any], edge: float, bar: bool) -> go.Heatmap:
    """The map in colour that lets what lies under it through where little is attributed."""
    shares = _shares(line)
    values = np.array(line["map"], dtype=np.float64).reshape(shares.shape)
    return go.Heatmap(
        z=shares,
        customdata=values,
        zmin=-edge,
        zmax=edge,
        colorscale=[
            [0.0, _see_through(AGAINST, OPAQUE)],
            [0.5, _see_through(AGAINST, 0.0)],
            [0.5, _see_through(FOR, 0.0)],
            [1.0, _see_through(FOR, OPAQUE)],
        ],
        showscale=bar,
        colorbar={
            "title": {"text": "share of the row's attribution", "side": "right", "font": {"size": 12}},
            "thickness": 12,
            "tickformat": "+.2~p",
            "nticks": 7,
        },
        hovertemplate="%{z:+.2%} of the row's attribution (%{customdata:+.3g})<extra></extra>",
    )


def _see_through(colour: str, opacity: float) -> str:
    red, green, blue = (int(colour[place : place + 2], 16) for place in (1, 3, 5))
    return f"rgba({red}, {green}, {blue}, {opacity})"
