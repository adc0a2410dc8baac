"""Figures of insights: the waterfall of a gap, and what gives an attribute away beside what the model uses."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from auditkit import theme

NEUTRAL = "#8492A0"
"""of totals and of what is no feature, legible on white and on dark"""
RAISES, LOWERS = theme.CATEGORIES[0], theme.CATEGORIES[5]
SHOWN = 14
"""columns before the rest is added up"""


def waterfall(lines: Sequence[dict[str, Any]], target: str) -> go.Figure:
    """How the contributions lead from no gap to the gap, the largest first, then the remainder, then the gap.

    lines: of the table `drivers`, one group against its reference.
    """
    gap = next(line for line in lines if line["kind"] == "gap")
    rest = next(line for line in lines if line["kind"] == "remainder")
    features = sorted(
        (line for line in lines if line["kind"] == "feature"), key=lambda line: -abs(line["contribution"])
    )
    bars = [(line["column"], line) for line in features[:SHOWN]]
    others = features[SHOWN:]
    if others:
        total = sum(line["contribution"] for line in others)
        bars.append((f"{len(others)} other columns", {"contribution": total, "lower": None, "upper": None}))
    bars.append(("remainder", rest))
    starts, start = [], 0.0
    for _, line in bars:
        starts.append(start)
        start += line["contribution"]
    bars.append(("the gap", gap))
    starts.append(0.0)
    colours = [RAISES if line["contribution"] > 0 else LOWERS for _, line in bars]
    colours[-2:] = [NEUTRAL, NEUTRAL]
    places = list(range(len(bars)))
    figure = go.Figure()
    figure.add_bar(
        x=[line["contribution"] for _, line in bars],
        base=starts,
        y=places,
        orientation="h",
        marker={"color": colours, "opacity": [0.85] * (len(bars) - 2) + [0.4, 0.4]},
        customdata=[theme.escape(f"{name}: {line['contribution']:+.3f}") for name, line in bars],
        hovertemplate="%{customdata}<extra></extra>",
        showlegend=False,
    )
    known = [(place, at, line) for place, at, (_, line) in zip(places, starts, bars, strict=True) if line["upper"]
             is not None]  # fmt: skip
    figure.add_scatter(
        x=[at + line["contribution"] for _, at, line in known],
        y=[place for place, _, _ in known],
        mode="markers",
        marker={"size": 1, "color": NEUTRAL},
        error_x={
            "type": "data",
            "symmetric": False,
            "array": [line["upper"] - line["contribution"] for _, _, line in known],
            "arrayminus": [line["contribution"] - line["lower"] for _, _, line in known],
            "thickness": 1.5,
            "width": 4,
            "color": NEUTRAL,
        },
        hoverinfo="skip",
        showlegend=False,
    )
    figure.add_vline(x=0, line={"width": 1, "color": NEUTRAL})
    names = [f"{theme.short(name)}  {_signed(line['contribution'])}" for name, line in bars]
    figure.update_yaxes(
        tickvals=places, ticktext=[theme.escape(name) for name in names], autorange="reversed", showgrid=False,
        zeroline=False,
    )  # fmt: skip
    figure.update_xaxes(title=theme.escape(f"mean {target}: {gap['group']} less {gap['reference']}"), zeroline=False)
    title = f"What the gap of {gap['group']} to {gap['reference']} is made of"
    return _finished(figure, theme.escape(title), 150 + 27 * len(bars), top=62)


def proxies(lines: Sequence[dict[str, Any]], attribute: str) -> go.Figure:
    """Left, how well each column gives the attribute away; right, how much the model rests on that column."""
    ranked = sorted(lines, key=lambda line: (line["kind"] == "representation", line["auc"]))[-SHOWN - 1 :]
    used = any(line["share"] is not None for line in ranked)
    places = list(range(len(ranked)))
    names = [theme.escape(theme.short(line["column"])) for line in ranked]
    figure = make_subplots(
        rows=1, cols=2 if used else 1, shared_yaxes=True, column_widths=[0.6, 0.4] if used else None,
        horizontal_spacing=0.05,
    )  # fmt: skip
    for found, symbol, word in ((True, "circle", "found"), (False, "circle-open", "not beyond chance")):
        own = [place for place in places if bool(ranked[place]["found"]) == found]
        if not own:
            continue
        chosen = [ranked[place] for place in own]
        colours = [NEUTRAL if line["kind"] == "representation" else theme.CATEGORIES[0] for line in chosen]
        figure.add_scatter(
            x=[line["auc"] for line in chosen],
            y=own,
            mode="markers",
            name=word,
            marker={"symbol": symbol, "size": 9, "color": colours, "line": {"width": 1.5, "color": colours}},
            error_x=_errors(chosen, "auc", "lower", "upper"),
            customdata=[theme.escape(line["column"]) for line in chosen],
            hovertemplate="%{customdata}: %{x:.3f}<extra></extra>",
            row=1,
            col=1,
        )
    figure.add_scatter(
        x=[line["chance"] for line in ranked],
        y=places,
        mode="markers",
        name="what chance reaches",
        marker={"symbol": "line-ns", "size": 10, "line": {"width": 1.5, "color": theme.CATEGORIES[5]}},
        hovertemplate="chance: %{x:.3f}<extra></extra>",
        row=1,
        col=1,
    )
    title = f"area under the ROC curve: {theme.escape(theme.short(attribute))} from this alone"
    low = min(0.48, *(line["lower"] for line in ranked))
    figure.update_xaxes(title=title, range=[low, 1.02], row=1, col=1)
    if used:
        known = [place for place in places if ranked[place]["share"] is not None]
        chosen = [ranked[place] for place in known]
        figure.add_bar(
            x=[line["share"] for line in chosen],
            y=known,
            orientation="h",
            marker_color=theme.CATEGORIES[1],
            opacity=0.85,
            showlegend=False,
            error_x=_errors(chosen, "share", "share_lower", "share_upper"),
            customdata=[theme.escape(line["column"]) for line in chosen],
            hovertemplate="%{customdata}: %{x:.1%}<extra></extra>",
            row=1,
            col=2,
        )
        figure.update_xaxes(title="share of attribution", tickformat=".0%", rangemode="tozero", row=1, col=2)
    figure.update_yaxes(tickvals=places, ticktext=names, showgrid=True, zeroline=False, range=[-0.7, len(ranked) - 0.3])
    return _finished(figure, f"What gives {theme.escape(theme.short(attribute))} away", 160 + 27 * len(ranked))


def _signed(value: float) -> str:
    text = f"{value:+.2f}"
    return text[1:] if text[1:] == "0.00" else text


def _errors(lines: Sequence[dict[str, Any]], key: str, lower: str, upper: str) -> dict[str, Any]:
    return {
        "type": "data",
        "symmetric": False,
        "array": [line[upper] - line[key] for line in lines],
        "arrayminus": [line[key] - line[lower] for line in lines],
        "thickness": 1.5,
        "width": 3,
        "color": NEUTRAL,
    }


def _finished(figure: go.Figure, title: str, height: int, top: int = 84) -> go.Figure:
    figure.update_layout(
        template=theme.template(),
        title={"text": title, "y": 1, "yref": "container", "yanchor": "top", "pad": {"t": 14}},
        height=height,
        margin={"t": top, "b": 56},
        bargap=0.35,
    )
    return figure
