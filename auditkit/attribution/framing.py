"""What attribution figures share: signs' colours, headings, error bars, the frame."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import plotly.graph_objects as go
import pyarrow as pa

from auditkit import theme

FOR, AGAINST = theme.CATEGORIES[0], theme.CATEGORIES[5]
NEUTRAL = "#8492A0"
"""lines and marks without a category, legible on white and on dark"""
LETTERS, DIGIT = "ui-monospace, Menlo, Consolas, 'DejaVu Sans Mono', monospace", 0.602
"""letters of one width, and that width in ems"""
STRONGEST = 0.72
"""opacity of the strongest colour that text or a line must still be read on, whatever the page behind"""


def titles(methods: pa.Table) -> dict[str, str]:
    """Method name → its title."""
    return {line["method"]: line["title"] for line in methods.to_pylist()}


def heading(fact: Mapping[str, Any]) -> str:
    """Which row it is and what the model said of it, escaped."""
    text = f"row {fact['row']}: predicted {theme.short(str(fact['prediction']), 16)}"
    return theme.escape(text + (f", truly {theme.short(str(fact['label']), 16)}" if fact["label"] is not None else ""))


def tint(value: float, edge: float) -> str:
    """The colour behind something with this attribution: blue for, orange against, nothing at zero.

    >>> tint(0.0, 1.0), tint(-2.0, 1.0)
    ('rgba(0, 114, 178, 0.000)', 'rgba(213, 94, 0, 0.720)')
    """
    colour = AGAINST if value < 0 else FOR
    red, green, blue = (int(colour[place : place + 2], 16) for place in (1, 3, 5))
    opacity = STRONGEST * min(1.0, abs(value) / edge if edge else 0.0)
    return f"rgba({red}, {green}, {blue}, {opacity:.3f})"


def error_bars(lines: Sequence[dict[str, Any]], key: str) -> dict[str, Any]:
    """Error bars from lower and upper; none where these are null."""
    known = [line if line["upper"] is not None else line | {"lower": line[key], "upper": line[key]} for line in lines]
    return {
        "type": "data",
        "symmetric": False,
        "array": [line["upper"] - line[key] for line in known],
        "arrayminus": [line[key] - line["lower"] for line in known],
        "thickness": 1.5,
        "width": 3,
        "color": NEUTRAL,
    }


def finished(figure: go.Figure, title: str, height: int, top: int = 84, bottom: int = 56) -> go.Figure:
    """The figure with its title, in the look of all figures."""
    figure.update_layout(
        template=theme.template(),
        title={"text": title, "y": 1, "yref": "container", "yanchor": "top", "pad": {"t": 14}},
        height=height,
        margin={"t": top, "b": bottom},
        bargap=0.35,
    )
    return figure
