"""Impact ratios as dots, one panel for each way people are grouped, with the four-fifths line as what it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from auditkit import theme
from auditkit.fairness.groups.definitions import FOUR_FIFTHS

LINE = "four-fifths (a rule of thumb, not a verdict)"
_NEUTRAL = "#8592A0"
"""A grey that reads on light and dark alike."""
_ROW, _BETWEEN, _TOP, _BOTTOM = 26, 46, 110, 64


@dataclass(frozen=True, slots=True)
class Dot:
    """A group's impact ratio, None where there is none. firm: drawn filled. told: what hovering says, plain text."""

    label: str
    ratio: float | None
    firm: bool
    told: str


def impact_ratios(panels: Mapping[str, Sequence[Dot]], title: str) -> go.Figure:
    """One panel per breakdown (its name → dots from top to bottom). The ratio axis starts at 0."""
    sizes = [max(1, len(dots)) for dots in panels.values()]
    inner = _ROW * sum(sizes) + _BETWEEN * (len(sizes) - 1)
    figure = make_subplots(
        rows=len(sizes),
        cols=1,
        shared_xaxes=True,
        row_heights=[size / sum(sizes) for size in sizes],
        vertical_spacing=_BETWEEN / inner if len(sizes) > 1 else 0,
        subplot_titles=[theme.escape(name) for name in panels],
    )
    for row, dots in enumerate(panels.values(), 1):
        shown = [(place, dot) for place, dot in enumerate(dots) if dot.ratio is not None]
        figure.add_scatter(
            x=[dot.ratio for _, dot in shown],
            y=[place for place, _ in shown],
            mode="markers",
            marker={
                "size": 10,
                "color": theme.CATEGORIES[0],
                "symbol": ["circle" if dot.firm else "circle-open" for _, dot in shown],
                "line": {"width": 2, "color": theme.CATEGORIES[0]},
            },
            customdata=["<br>".join(theme.escape(line) for line in dot.told.split("\n")) for _, dot in shown],
            hovertemplate="%{customdata}<extra></extra>",
            showlegend=False,
            row=row,
            col=1,
        )
        for place, dot in enumerate(dots):
            if dot.ratio is None:
                figure.add_annotation(
                    text="no ratio", x=0.01, xanchor="left", y=place, showarrow=False, font={"size": 11},
                    opacity=0.7, row=row, col=1,
                )  # fmt: skip
        figure.add_vline(x=FOUR_FIFTHS, line={"dash": "dash", "width": 2, "color": _NEUTRAL}, row=row, col=1)
        labels = [theme.escape(theme.short(dot.label, 52)) for dot in dots]
        figure.update_yaxes(
            tickvals=list(range(len(dots))),
            ticktext=labels,
            range=[len(dots) - 0.4, -0.6],
            zeroline=False,
            row=row,
            col=1,
        )
    figure.update_xaxes(range=[0, 1.04], zeroline=False)
    figure.update_xaxes(title="impact ratio: rate ÷ highest rate (1 is equal)", row=len(sizes), col=1)
    figure.update_annotations(selector={"yanchor": "bottom"}, font={"size": 13}, x=0, xanchor="left")
    figure.add_annotation(
        text=LINE,
        x=FOUR_FIFTHS,
        xref="x",
        y=1,
        yref="paper",
        yanchor="bottom",
        xanchor="right",
        xshift=6,
        yshift=4,
        showarrow=False,
        font={"size": 11},
        opacity=0.8,
    )
    figure.update_layout(
        template=theme.template(),
        title=theme.escape(title),
        height=inner + _TOP + _BOTTOM,
        margin={"t": _TOP, "b": _BOTTOM},
    )
    return figure
