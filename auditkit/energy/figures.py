"""Figures of the energy discipline: evidence tables in, plotly figures out."""

from __future__ import annotations

from typing import Any

import plotly.graph_objects as go
import pyarrow as pa

from auditkit.energy.quantity import prefix_of, quantity
from auditkit.theme import CATEGORIES, MUTED, escape, template

SOURCE_COLOURS = {"measured": CATEGORIES[2], "estimated": CATEGORIES[1]}
LOG_SPAN = 20.0
"""From this ratio of the largest to the smallest on, phases are shown on a logarithmic axis."""


def phase_costs(phases: pa.Table) -> go.Figure:
    """A dot with its range for each phase, by source; a phase without energy says so at its place."""
    records = phases.to_pylist()
    known = [record for record in records if record["joules"]]
    figure = go.Figure()
    for source, colour in SOURCE_COLOURS.items():
        chosen = [record for record in known if record["source"] == source]
        if chosen:
            figure.add_trace(_dots(chosen, source, colour))
    edges = [edge for record in known for edge in (record["low_joules"], record["high_joules"]) if edge]
    wide = bool(edges) and max(edges) / min(edges) > LOG_SPAN
    for record in records:
        if record["joules"] is None:
            place = escape(record["phase"])
            figure.add_annotation(x=0, xref="paper", xanchor="left", xshift=4, y=place, text="absent", showarrow=False)
    figure.update_layout(
        template=template(),
        title="Energy of training and of each phase of the audit",
        xaxis={"title": "energy (J)", "type": "log" if wide else "linear", "rangemode": "tozero"},
        yaxis={
            "categoryorder": "array",
            "categoryarray": [escape(record["phase"]) for record in reversed(records)],
            "range": [-0.6, len(records) - 0.4],
        },
        height=150 + 34 * len(records),
        showlegend=True,
    )
    if wide:
        figure.update_xaxes(dtick=1, tickformat="~s", minor={"showgrid": False})
    return figure


def _dots(records: list[dict[str, Any]], source: str, colour: str) -> go.Scatter:
    text = [
        f"{escape(record['phase'])}: {quantity(record['joules'], 'J', record['low_joules'], record['high_joules'])}"
        f"<br>{quantity(record['seconds'], 's')}, {source}"
        for record in records
    ]
    return go.Scatter(
        x=[record["joules"] for record in records],
        y=[escape(record["phase"]) for record in records],
        error_x={
            "type": "data",
            "symmetric": False,
            "array": [record["high_joules"] - record["joules"] for record in records],
            "arrayminus": [record["joules"] - record["low_joules"] for record in records],
            "thickness": 2,
            "width": 0,
        },
        mode="markers",
        marker={"size": 11, "color": colour, "symbol": "circle" if source == "measured" else "diamond"},
        name=source,
        text=text,
        hoverinfo="text",
    )


def inference_blocks(blocks: pa.Table, value: float, lower: float, upper: float) -> go.Figure:
    """Joules per 1,000 rows block by block, beside the mean and its interval."""
    records = blocks.to_pylist()
    factor, unit = prefix_of(value, "J")
    colour = SOURCE_COLOURS.get(records[0]["source"], MUTED)
    figure = go.Figure(
        go.Scatter(
            x=[index + 1 for index in range(len(records))],
            y=[1000 * record["joules"] / record["rows"] / factor for record in records],
            mode="markers",
            marker={"size": 10, "color": colour},
            name="one block",
            hovertemplate=f"block %{{x}}: %{{y:.3g}} {unit}<extra></extra>",
        )
    )
    figure.add_hrect(lower / factor, upper / factor, fillcolor=colour, opacity=0.14, line_width=0, layer="below")
    figure.add_hline(value / factor, line={"color": colour, "width": 2})
    figure.update_layout(
        template=template(),
        title="Energy of scoring 1,000 rows",
        xaxis={"title": "block", "dtick": 1, "range": [0.5, len(records) + 0.5]},
        yaxis={"title": f"energy per 1,000 rows ({unit})", "range": [0, 1.1 * upper / factor]},
        height=340,
        showlegend=False,
    )
    return figure
