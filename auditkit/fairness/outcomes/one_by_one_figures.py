"""Gaps of many classes or labels as one figure: a dot on its interval for each, a panel for each gap."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from auditkit import theme
from auditkit.evidence.metrics import MetricRow
from auditkit.fairness.sentences import NOT_JUDGED

_NEUTRAL = "#8592A0"


def gaps_of_each(rows: Sequence[MetricRow], panels: Mapping[str, str], title: str) -> go.Figure:
    """One panel per gap, one line per class or label, the largest on top.

    rows: of one attribute; panels: metric → title.
    """
    first = next(iter(panels))
    size = {row.detail: row.value or -1.0 for row in rows if row.metric == first}
    names = sorted(size, key=lambda name: -size[name])
    figure = make_subplots(
        rows=1, cols=len(panels), shared_yaxes=True, subplot_titles=list(panels.values()), horizontal_spacing=0.06
    )
    for place, metric in enumerate(panels, start=1):
        mine = {row.detail: row for row in rows if row.metric == metric}
        shown = [mine[name] for name in names if name in mine and mine[name].status == "ok"]
        figure.add_scatter(
            x=[100 * (row.value or 0.0) for row in shown],
            y=[names.index(row.detail) for row in shown],
            error_x=_bars(shown),
            mode="markers",
            marker={"size": 9, "color": theme.CATEGORIES[0]},
            customdata=[
                f"{theme.escape(row.detail)}<br>{theme.number(row.value, row.unit, row.lower, row.upper)} "
                f"{theme.interval(row.lower, row.upper, row.unit)}"
                for row in shown
            ],
            hovertemplate="%{customdata}<extra></extra>",
            showlegend=False,
            row=1,
            col=place,
        )
        for at, name in enumerate(names):
            if name not in mine or mine[name].status != "ok":
                figure.add_annotation(
                    text=NOT_JUDGED, x=0.02, xref="x domain", xanchor="left", y=at, showarrow=False,
                    font={"size": 11}, opacity=0.7, row=1, col=place,
                )  # fmt: skip
        figure.update_xaxes(rangemode="tozero", nticks=6, ticksuffix=" pts", zeroline=False, row=1, col=place)
        if not shown:
            figure.update_xaxes(range=[0, 1], showticklabels=False, row=1, col=place)
    figure.update_yaxes(
        tickvals=list(range(len(names))),
        ticktext=[theme.escape(theme.short(name)) for name in names],
        range=[len(names) - 0.4, -0.6],
        zeroline=False,
    )
    figure.update_layout(
        template=theme.template(), title=title, height=190 + 26 * len(names), margin={"t": 100, "b": 56}
    )
    figure.update_annotations(selector={"yanchor": "bottom"}, font={"size": 13})
    return figure


def _bars(rows: Sequence[MetricRow]) -> dict[str, Any]:
    values = [(row.value or 0.0, row.lower, row.upper) for row in rows]
    return {
        "type": "data",
        "symmetric": False,
        "array": [0.0 if upper is None else 100 * (upper - value) for value, _, upper in values],
        "arrayminus": [0.0 if lower is None else 100 * (value - lower) for value, lower, _ in values],
        "thickness": 2,
        "width": 0,
        "color": _NEUTRAL,
    }
