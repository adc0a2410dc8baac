"""Two methods on one row, side by side on one scale: shares of what each attributes to the row in all.

Methods speak in units of their own: a gradient is no difference of scores. As shares, each value over the summed
magnitudes of its row, they can be laid side by side; the values themselves are told where a reader points.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import plotly.graph_objects as go
import pyarrow as pa
from plotly.subplots import make_subplots

from auditkit import theme
from auditkit.attribution.framing import AGAINST, FOR, NEUTRAL, finished
from auditkit.attribution.picture_figures import pictures
from auditkit.attribution.series_figures import curves
from auditkit.attribution.word_figures import sentences
from auditkit.evidence.section import matching

SHOWN = 12
"""columns before the rest is added up"""


def comparison(evidence: Any, row: int, first: str, second: str) -> go.Figure | None:
    """The figure of a row by two methods; None where either left no explanation of it."""
    table, rows = evidence.table("attribution/explanations"), evidence.table("attribution/rows")
    methods, inputs = evidence.table("attribution/methods"), evidence.table("attribution/inputs")
    pair = [first, second]
    if table is None or rows is None or methods is None:
        return None
    if not all(matching(part, method=method, row=row) for method in pair for part in (table, rows)):
        return None
    if "map" in table.column_names:
        figure = pictures(table, inputs, rows, methods, [row], pair)
    elif "word" in table.column_names:
        figure = sentences(_as_shares(table, row, pair), rows, methods, [row], pair)
    elif "channel" in table.column_names:
        figure = curves(_as_shares(table, row, pair), inputs, rows, methods, [row], pair)
    else:
        figure = _bars(table, inputs, methods, row, pair)
    top = 68 if "map" in table.column_names else figure.layout.margin.t - 36
    height = figure.layout.height - (figure.layout.margin.t - top)
    return figure.update_layout(title_text=None, margin_t=top, height=height)


def _as_shares(table: pa.Table, row: int, pair: Sequence[str]) -> pa.Table:
    """The two methods' lines of the row, each value over the summed magnitudes of its method."""
    parts = []
    for method in pair:
        lines = matching(table, method=method, row=row)
        total = sum(abs(v) for line in lines for v in _values(line)) or 1.0
        for line in lines:
            key = "values" if "values" in line else "value"
            shares = [v / total for v in _values(line)]
            parts.append(line | {key: shares if key == "values" else shares[0]})
    return pa.Table.from_pylist(parts, schema=table.schema)


def _values(line: dict[str, Any]) -> list[float]:
    return line["values"] if "values" in line else [line["value"]]


def _bars(table: pa.Table, inputs: pa.Table | None, methods: pa.Table, row: int, pair: Sequence[str]) -> go.Figure:
    """Bars of both methods in the order of the first one's magnitudes."""
    known = {line["method"]: line for line in methods.to_pylist()}
    raw = {name: {line["column"]: line["value"] for line in matching(table, method=name, row=row)} for name in pair}
    shares = {name: _normed(values) for name, values in raw.items()}
    said = {line["column"]: line["value"] for line in matching(inputs, row=row)} if inputs is not None else {}
    order = sorted(shares[pair[0]], key=lambda column: -abs(shares[pair[0]][column]))
    shown, rest = (order, []) if len(order) <= SHOWN + 1 else (order[:SHOWN], order[SHOWN:])
    ticks = [_label(column, said) for column in shown] + ([f"{len(rest)} other columns"] if rest else [])
    titles = [
        theme.escape(known[name]["title"]) + ("" if known[name]["signed"] else " (tells no sign)") for name in pair
    ]
    figure = make_subplots(rows=1, cols=2, shared_yaxes=True, horizontal_spacing=0.05, subplot_titles=titles)
    reach = [0.0]
    for place, name in enumerate(pair, start=1):
        drawn = [shares[name].get(column, 0.0) for column in shown]
        values = [raw[name].get(column, 0.0) for column in shown]
        if rest:
            drawn.append(sum(shares[name].get(column, 0.0) for column in rest))
            values.append(sum(raw[name].get(column, 0.0) for column in rest))
        reach += drawn
        colours = [FOR if value > 0 else AGAINST for value in drawn] if known[name]["signed"] else NEUTRAL
        figure.add_bar(
            x=drawn,
            y=list(range(len(drawn))),
            orientation="h",
            marker_color=colours,
            customdata=list(zip(ticks, values, strict=True)),
            hovertemplate="%{customdata[0]}: %{x:+.1%} (%{customdata[1]:+.3g})<extra></extra>",
            showlegend=False,
            row=1,
            col=place,
        )
    room = 0.05 * ((max(reach) - min(reach)) or 1.0)
    figure.update_xaxes(range=[min(reach) - room, max(reach) + room], tickformat="+.0%", nticks=6, zeroline=True)
    figure.update_xaxes(title="share of the row's attribution")
    figure.update_yaxes(tickvals=list(range(len(ticks))), ticktext=ticks, showgrid=False, zeroline=False)
    figure.update_yaxes(range=[len(ticks) - 0.4, -0.6])
    figure.update_annotations(font_size=13)
    return finished(figure, "Two methods", 150 + 26 * len(ticks))


def _normed(values: dict[str, float]) -> dict[str, float]:
    total = sum(abs(value) for value in values.values()) or 1.0
    return {column: value / total for column, value in values.items()}


def _label(column: str, said: dict[str, str | None]) -> str:
    """The column and the row's value of it, escaped."""
    if column not in said:
        return theme.escape(theme.short(column))
    value = said[column]
    return theme.escape(f"{theme.short(column)} = {'missing' if value is None else theme.short(value, 18)}")
