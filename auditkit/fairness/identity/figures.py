"""Identity swaps as a figure: how far scores lie apart for every two groups that sentences may speak of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import plotly.graph_objects as go

from auditkit import theme


def differences_by_pair(records: Sequence[Mapping[str, Any]], confidence: float) -> go.Figure:
    """One line per pair of groups: the mean difference of scores with its interval, in percentage points.

    records: lines of `identity_swaps`, in the order to be drawn; those whose adjusted p-value is below 1 - confidence
    are filled. Of a predicted number differences are in its own unit.
    """
    figure = go.Figure()
    numbers = all(line["flips"] is None for line in records)
    scale, unit, value = (1, "", "%{x:.4g}") if numbers else (100, " %", "%{x:.1f} pts")
    digits = ".4g" if numbers else ".1f"
    names = list(dict.fromkeys(line["dimension"] for line in records))
    for dimension, colour in zip(names, theme.CATEGORIES * len(names), strict=False):
        places = [at for at, line in enumerate(records) if line["dimension"] == dimension]
        mine = [records[at] for at in places]
        beyond = [line["p_adjusted"] <= 1 - confidence + 1e-12 for line in mine]
        figure.add_scatter(
            x=[scale * line["difference"] for line in mine],
            y=places,
            error_x={
                "type": "data",
                "symmetric": False,
                "array": [scale * (line["upper"] - line["difference"]) for line in mine],
                "arrayminus": [scale * (line["difference"] - line["lower"]) for line in mine],
                "width": 0,
                "thickness": 2,
            },
            mode="markers",
            name=theme.escape(theme.short(mine[0]["title"], 24)),
            marker={
                "color": colour,
                "size": 10,
                "line": {"color": colour, "width": 2},
                "symbol": ["circle" if sure else "circle-open" for sure in beyond],
            },
            customdata=[
                f"{theme.escape(line['sentence'])}: {scale * line['score']:{digits}}{unit}<br>"
                f"{theme.escape(line['other_sentence'])}: {scale * line['other_score']:{digits}}{unit}"
                for line in mine
            ],
            hovertemplate=value + "<br>furthest apart:<br>%{customdata}<extra></extra>",
        )
    labels = [f"{theme.short(line['group'], 18)} - {theme.short(line['other'], 18)}" for line in records]
    figure.update_yaxes(
        tickvals=list(range(len(records))),
        ticktext=[theme.escape(label) for label in labels],
        range=[len(records) - 0.4, -0.6],
        zeroline=False,
    )
    figure.update_xaxes(title="in the label's unit (0 is alike)" if numbers else "percentage points (0 is alike)",
                        zeroline=True)  # fmt: skip
    figure.update_layout(
        template=theme.template(),
        title="Difference of mean predictions" if numbers else "Difference of mean scores",
        height=240 + 26 * len(records),
        legend={"y": 0.01, "yref": "container", "yanchor": "bottom", "x": 0, "xanchor": "left"},
        margin={"t": 84, "b": 140},
    )
    return figure
