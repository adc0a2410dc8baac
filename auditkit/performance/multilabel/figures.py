"""The evidence on several labels as figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import plotly.graph_objects as go
import pyarrow as pa

from auditkit import theme
from auditkit.evidence.metrics import MetricRow

SYMBOLS = ("circle", "square", "diamond")


def dots_by_label(rows: Sequence[MetricRow], names: Mapping[str, str], labels: Sequence[str]) -> go.Figure:
    """Figures of each label with their intervals, a line for each label. names: metric → what to call it."""
    figure = go.Figure()
    for at, (metric, title) in enumerate(names.items()):
        mine = [row for row in rows if row.metric == metric and row.detail in labels and row.value is not None]
        shift, colour = 0.22 * (at - (len(names) - 1) / 2), theme.CATEGORIES[at]
        figure.add_scatter(
            x=[row.value for row in mine],
            y=[labels.index(row.detail) + shift for row in mine],
            error_x={
                "type": "data",
                "symmetric": False,
                "array": [(row.upper or 0.0) - (row.value or 0.0) for row in mine],
                "arrayminus": [(row.value or 0.0) - (row.lower or 0.0) for row in mine],
                "thickness": 1.5,
                "width": 0,
            },
            mode="markers",
            marker={"size": 9, "color": colour, "symbol": SYMBOLS[at % len(SYMBOLS)]},
            name=title,
            customdata=[f"{theme.interval(row.lower, row.upper, row.unit)}, {row.n or 0:,} rows" for row in mine],
            hovertemplate="%{x:.1%} %{customdata}<extra>%{fullData.name}</extra>",
        )
    figure.update_layout(template=theme.template(), title="Label by label", height=150 + 46 * len(labels))
    figure.update_xaxes(title="share, with its interval", tickformat=".0%", range=[-0.02, 1.02])
    ticks = [theme.escape(theme.short(name)) for name in labels]
    figure.update_yaxes(tickvals=list(range(len(labels))), ticktext=ticks, zeroline=False)
    figure.update_yaxes(range=[len(labels) - 0.4, -0.6])
    return figure


def precision_recall(curves: pa.Table, split: str, labels: Sequence[str]) -> go.Figure:
    """What each threshold would give: precision against recall, a curve for each label."""
    figure = go.Figure()
    lines = [line for line in curves.to_pylist() if line["split"] == split]
    every = list(dict.fromkeys(line["label"] for line in lines))
    for name in labels:
        mine = [line for line in lines if line["label"] == name]
        figure.add_scatter(
            x=[line["recall"] for line in mine],
            y=[line["precision"] for line in mine],
            mode="lines",
            line={"width": 2, "shape": "vh", "color": theme.colour_of(name, every)},
            name=theme.escape(theme.short(name)),
            hovertemplate="recall %{x:.1%}, precision %{y:.1%}<extra>%{fullData.name}</extra>",
        )
    figure.update_layout(template=theme.template(), title="What each threshold would give", height=460)
    figure.update_xaxes(title="recall: share of the rows with the label that are given it", tickformat=".0%")
    figure.update_yaxes(title="precision: share of those given it that have it", tickformat=".0%", range=[-0.02, 1.03])
    figure.update_xaxes(range=[-0.02, 1.02])
    return figure
