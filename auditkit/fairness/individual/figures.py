"""Swapped values as figures: how many decisions turn positive or negative, or how far numbers move, for each swap."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import plotly.graph_objects as go

from auditkit import theme

_UP, _DOWN = theme.CATEGORIES[0], theme.CATEGORIES[5]


def flips_by_swap(records: Sequence[Mapping[str, Any]]) -> go.Figure:
    """One line per swap: to the left decisions lost, to the right decisions gained, in percent of its rows.

    records: lines of `flips` of one attribute, in the order to be drawn.
    """
    names = [f"{theme.short(line['value'], 16)} → {theme.short(line['swapped_for'], 16)}" for line in records]
    figure = go.Figure()
    for label, key, sign, colour in (
        ("turn negative", "to_negative", -1, _DOWN),
        ("turn positive", "to_positive", 1, _UP),
    ):
        figure.add_bar(
            y=list(range(len(records))),
            x=[sign * 100 * line[key] / line["n"] for line in records],
            orientation="h",
            name=label,
            marker={"color": colour},
            customdata=[
                f"{theme.escape(line['value'])} → {theme.escape(line['swapped_for'])}<br>{line[key]:,} of "
                f"{line['n']:,} {label}"
                for line in records
            ],
            hovertemplate="%{customdata}<extra></extra>",
        )
    reach = max([100 * max(line["to_positive"], line["to_negative"]) / line["n"] for line in records], default=0.0)
    reach = 1.08 * reach or 1.0
    figure.update_yaxes(
        tickvals=list(range(len(records))),
        ticktext=[theme.escape(name) for name in names],
        range=[len(records) - 0.4, -0.6],
        zeroline=False,
    )
    figure.update_xaxes(title="decisions that flip, % of the rows swapped", range=[-reach, reach], zeroline=True)
    figure.update_layout(
        template=theme.template(), title="Decisions that flip", barmode="relative", bargap=0.35,
        height=190 + 28 * len(records), margin={"t": 84, "b": 60},
    )  # fmt: skip
    return figure


def moves_by_swap(records: Sequence[Mapping[str, Any]], confidence: float) -> go.Figure:
    """One line per swap: the mean change of the predicted number with its interval, in the label's unit.

    records: lines of `moves` of one attribute, in the order to be drawn; those whose adjusted p-value is below 1 -
    confidence are filled.
    """
    sure = [line["p_adjusted"] <= 1 - confidence + 1e-12 for line in records]
    figure = go.Figure()
    figure.add_scatter(
        x=[line["change"] for line in records],
        y=list(range(len(records))),
        error_x={
            "type": "data",
            "symmetric": False,
            "array": [line["upper"] - line["change"] for line in records],
            "arrayminus": [line["change"] - line["lower"] for line in records],
            "width": 0,
            "thickness": 2,
        },
        mode="markers",
        marker={
            "color": _UP,
            "size": 10,
            "line": {"color": _UP, "width": 2},
            "symbol": ["circle" if beyond else "circle-open" for beyond in sure],
        },
        customdata=[
            f"{theme.escape(line['value'])} → {theme.escape(line['swapped_for'])}<br>{line['n']:,} rows, up to "
            f"{line['largest']:.4g}"
            for line in records
        ],
        hovertemplate="%{x:.4g}<br>%{customdata}<extra></extra>",
        showlegend=False,
    )
    figure.update_yaxes(
        tickvals=list(range(len(records))),
        ticktext=[
            theme.escape(f"{theme.short(line['value'], 16)} → {theme.short(line['swapped_for'], 16)}")
            for line in records
        ],
        range=[len(records) - 0.4, -0.6],
        zeroline=False,
    )
    figure.update_xaxes(title="change of the prediction, in the label's unit (0 is none)", zeroline=True)
    figure.update_layout(
        template=theme.template(), title="How far predictions move", height=190 + 28 * len(records),
        margin={"t": 84, "b": 60},
    )  # fmt: skip
    return figure
