"""Gaps as bands that widen with the share of labels or groups that may be wrong."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from auditkit import theme

MOST_PANELS = 6
_WORDS = {"labels": "labels are wrong", "groups": "group memberships are wrong"}


def gap_bands(panels: Mapping[tuple[str, str], Sequence[Mapping[str, Any]]]) -> go.Figure:
    """One panel per (attribute, what is wrong) with the records of one gap by share, the share growing."""
    shown = dict(list(panels.items())[:MOST_PANELS])
    columns = min(2, len(shown))
    deep = -(-len(shown) // columns)
    figure = make_subplots(
        rows=deep,
        cols=columns,
        shared_yaxes="all",
        subplot_titles=[theme.escape(f"by {theme.short(name)}, if {_WORDS[errors]}") for name, errors in shown],
        horizontal_spacing=0.06,
        vertical_spacing=0.36 / deep,
    )
    for at, ((_, errors), records) in enumerate(shown.items()):
        place = {"row": at // columns + 1, "col": at % columns + 1}
        colour = theme.CATEGORIES[0 if errors == "labels" else 1]
        shares = [0.0, *(record["share"] for record in records)]
        value = records[0]["value"]
        low, high = ([value, *(record[end] for record in records)] for end in ("smallest", "largest"))
        told = [
            f"{share:.1%} wrong in the worst places:<br>a gap from {theme.number(a, 'points')} to "
            f"{theme.number(b, 'points')}"
            for share, a, b in zip(shares, low, high, strict=True)
        ]
        first = {"line": {"width": 0}, "hoverinfo": "skip", "showlegend": False, "mode": "lines"}
        figure.add_scatter(x=shares, y=low, **first, **place)
        figure.add_scatter(
            x=shares, y=high, mode="lines", line={"width": 1, "color": colour}, fill="tonexty",
            fillcolor=f"rgba({int(colour[1:3], 16)},{int(colour[3:5], 16)},{int(colour[5:7], 16)},0.22)",
            hovertemplate="%{text}<extra></extra>", text=told, showlegend=False, **place,
        )  # fmt: skip
        figure.add_scatter(
            x=[shares[0], shares[-1]], y=[value, value], mode="lines", hoverinfo="skip", showlegend=False,
            line={"width": 2, "color": colour}, **place,
        )  # fmt: skip
        mixed = [(record["share"], record["corrected"]) for record in records if record["corrected"] is not None]
        if mixed:
            figure.add_scatter(
                x=[0.0, *(share for share, _ in mixed)], y=[value, *(each for _, each in mixed)], mode="lines",
                line={"width": 2, "color": colour, "dash": "dot"}, showlegend=False,
                hovertemplate="%{x:.1%} wrong at random:<br>a true gap of %{y:.1%}<extra></extra>", **place,
            )  # fmt: skip
    figure.update_xaxes(tickformat=".0%", title="share wrong")
    figure.update_yaxes(tickformat=".0%", rangemode="tozero")
    figure.update_yaxes(title="equalized odds difference", col=1)
    figure.update_annotations(font_size=13)
    figure.update_layout(
        template=theme.template(), title="What the gap could be if the data were wrong", height=130 + 230 * deep,
        margin={"t": 92},
    )  # fmt: skip
    return figure
