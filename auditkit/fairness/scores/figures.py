"""Score evidence as figures: accuracy against gap, rates against threshold, reliability by group."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import plotly.graph_objects as go
import pyarrow as pa
from plotly.subplots import make_subplots

from auditkit import theme
from auditkit.evidence.metrics import MetricRow
from auditkit.evidence.section import matching
from auditkit.fairness.definitions import GAPS, RATES
from auditkit.fairness.scores.thresholds import SHOWN, Frontier

MOST_GROUPS = 12
_NEUTRAL = "#8592A0"


def _bars(rows: Sequence[MetricRow]) -> dict[str, object]:
    return {
        "type": "data",
        "symmetric": False,
        "array": [(row.upper or 0.0) - (row.value or 0.0) for row in rows],
        "arrayminus": [(row.value or 0.0) - (row.lower or 0.0) for row in rows],
        "thickness": 1.5,
        "width": 0,
    }


def frontier_figure(found: Frontier, held_out: Sequence[tuple[MetricRow, MetricRow]] = ()) -> go.Figure:
    """Accuracy against gap: the frontier on the fitted rows, some of its policies on held-out rows, and today.

    held_out: (gap, accuracy) rows of policies; those that are not ok are left out.
    """
    figure = go.Figure()
    figure.add_scatter(
        x=[choice.gap for choice in found.choices],
        y=[choice.accuracy for choice in found.choices],
        mode="lines",
        line={"color": theme.CATEGORIES[0], "width": 2},
        name="best thresholds by group (fitted)",
    )
    judged = [(gap, accuracy) for gap, accuracy in held_out if gap.status == accuracy.status == "ok"]
    if judged:
        gaps, accuracies = [gap for gap, _ in judged], [accuracy for _, accuracy in judged]
        figure.add_scatter(
            x=[row.value for row in gaps],
            y=[row.value for row in accuracies],
            error_x=_bars(gaps),
            error_y=_bars(accuracies),
            mode="markers",
            marker={"color": theme.CATEGORIES[2], "size": 8},
            name="the same on held-out rows",
        )
    figure.add_scatter(
        x=[found.today.gap],
        y=[found.today.accuracy],
        mode="markers",
        marker={"color": theme.CATEGORIES[5], "size": 13, "symbol": "diamond"},
        name="today",
    )
    figure.update_xaxes(title=GAPS[found.metric].title, tickformat=".0%", rangemode="tozero")
    figure.update_yaxes(title="accuracy", tickformat=".1%")
    figure.update_layout(template=theme.template(), title="What a smaller gap costs", height=460, margin={"t": 96})
    return figure


def rates_figure(
    curves: Mapping[str, Sequence[Sequence[float]]], names: Sequence[str], edges: Sequence[float], threshold: float
) -> go.Figure:
    """One panel per rate, one line per group, against the threshold; today's threshold dotted."""
    figure = make_subplots(rows=2, cols=2, shared_xaxes=True, subplot_titles=[RATES[name].title for name in SHOWN])
    for place, metric in enumerate(SHOWN):
        at = {"row": place // 2 + 1, "col": place % 2 + 1}
        for group, values in list(zip(names, curves[metric], strict=True))[:MOST_GROUPS]:
            figure.add_scatter(
                x=list(edges),
                y=[value if value == value else None for value in values],
                mode="lines",
                line={"color": theme.colour_of(group, names)},
                name=theme.escape(theme.short(group)),
                legendgroup=theme.escape(group),
                showlegend=place == 0,
                **at,
            )
        figure.add_vline(x=threshold, line={"dash": "dot", "color": _NEUTRAL}, **at)
    figure.update_yaxes(tickformat=".0%", range=[0, 1.02])
    figure.update_xaxes(title="threshold", row=2)
    figure.update_layout(
        template=theme.template(), title="Rates against threshold", height=560, margin={"t": 110}, legend={"y": 1.07}
    )
    return figure


def reliability_figure(table: pa.Table) -> go.Figure:
    """Share of positives against mean score with Wilson's interval, one panel per group."""
    every = list(dict.fromkeys(table.column("group").to_pylist()))
    groups = every[:MOST_GROUPS]
    columns = min(4, max(1, len(groups)))
    deep = max(1, -(-len(groups) // columns))
    figure = make_subplots(
        rows=deep,
        cols=columns,
        shared_xaxes=True,
        shared_yaxes=True,
        subplot_titles=[theme.escape(theme.short(group)) for group in groups],
    )
    for place, group in enumerate(groups):
        at = {"row": place // columns + 1, "col": place % columns + 1}
        bands = matching(table, group=group)
        figure.add_scatter(
            x=[0, 1], y=[0, 1], mode="lines", line={"dash": "dot", "color": _NEUTRAL}, showlegend=False, **at
        )
        figure.add_scatter(
            x=[band["score"] for band in bands],
            y=[band["rate"] for band in bands],
            error_y={
                "type": "data",
                "symmetric": False,
                "array": [band["upper"] - band["rate"] for band in bands],
                "arrayminus": [band["rate"] - band["lower"] for band in bands],
                "thickness": 1.5,
                "width": 0,
            },
            mode="lines+markers",
            marker={"size": 7, "color": theme.colour_of(group, every)},
            line={"width": 1},
            showlegend=False,
            **at,
        )
    figure.update_xaxes(tickformat=".0%", range=[-0.02, 1.02])
    figure.update_xaxes(title="mean score", row=deep)
    figure.update_yaxes(tickformat=".0%", range=[-0.02, 1.02])
    figure.update_yaxes(title="share positive", col=1)
    figure.update_layout(
        template=theme.template(),
        title="Does a score mean the same in every group?",
        height=160 + 240 * deep,
        margin={"t": 96},
    )
    return figure
