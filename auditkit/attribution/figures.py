"""Attribution figures: evidence tables → plotly figures, nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go
import pyarrow as pa
from plotly.subplots import make_subplots

from auditkit import theme
from auditkit.attribution.framing import AGAINST, FOR, NEUTRAL, error_bars, finished, heading, titles
from auditkit.attribution.picture_figures import pictures
from auditkit.attribution.series_figures import curves
from auditkit.attribution.word_figures import sentences
from auditkit.evidence.section import matching

SHOWN_COLUMNS = 15
STEPS = 8
"""bars of one explanation before the rest is added up"""


def importance(overall: pa.Table, methods: pa.Table, lead: str) -> go.Figure:
    """Bars of the lead method's share per column with their intervals; other methods as marks beside them."""
    lines = matching(overall, method=lead, attribute="", status="ok")
    lines = sorted(lines, key=lambda line: line["share"])[-SHOWN_COLUMNS:]
    columns = [line["column"] for line in lines]
    labels = [theme.escape(theme.short(column)) for column in columns]
    name, figure = titles(methods), go.Figure()
    figure.add_bar(
        x=[line["share"] for line in lines],
        y=list(range(len(lines))),
        orientation="h",
        name=name[lead],
        marker_color=theme.CATEGORIES[0],
        opacity=0.85,
        error_x=error_bars(lines, "share"),
        customdata=labels,
        hovertemplate="%{customdata}: %{x:.1%}<extra></extra>",
    )
    others = [method for method in name if method != lead]
    for place, method in enumerate(others):
        found = {
            line["column"]: line for line in matching(overall, method=method, attribute="") if line["status"] == "ok"
        }
        if not found:
            continue
        figure.add_scatter(
            x=[found[column]["share"] for column in columns],
            y=list(range(len(lines))),
            mode="markers",
            name=name[method],
            marker={
                "color": theme.CATEGORIES[1 + place],
                "symbol": ("diamond", "circle", "square")[place % 3],
                "size": 8,
            },
            customdata=labels,
            hovertemplate="%{customdata}: %{x:.1%}<extra></extra>",
        )
    figure.update_yaxes(tickvals=list(range(len(lines))), ticktext=labels, showgrid=False, zeroline=False)
    figure.update_xaxes(title="share of attribution", tickformat=".0%", rangemode="tozero")
    return finished(figure, "What the answers rest on", 150 + 30 * len(lines))


def importance_by_group(overall: pa.Table, attribute: str, method: str) -> go.Figure:
    """One mark per column and group, with intervals; groups too small to judge are left out."""
    lines = [line for line in matching(overall, method=method, attribute=attribute) if line["status"] == "ok"]
    everybody = {line["column"]: line["share"] or 0.0 for line in matching(overall, method=method, attribute="")}
    columns = sorted(everybody, key=lambda column: everybody[column])[-SHOWN_COLUMNS:]
    groups = sorted({line["group"] for line in matching(overall, method=method, attribute=attribute)})
    judged = [group for group in groups if any(line["group"] == group for line in lines)]
    figure = go.Figure()
    for place, group in enumerate(judged):
        own = {line["column"]: line for line in lines if line["group"] == group}
        shift = 0.6 * ((place + 0.5) / len(judged) - 0.5)
        chosen = [own[column] for column in columns]
        figure.add_scatter(
            x=[line["share"] for line in chosen],
            y=[-shift + row for row in range(len(columns))],
            mode="markers",
            name=theme.escape(f"{group} (n={chosen[0]['n']})"),
            marker={"color": theme.colour_of(group, groups), "size": 8},
            error_x=error_bars(chosen, "share") | {"color": theme.colour_of(group, groups)},
            customdata=[theme.escape(f"{group}, {column}") for column in columns],
            hovertemplate="%{customdata}: %{x:.1%}<extra></extra>",
        )
    ticks = [theme.escape(theme.short(column)) for column in columns]
    figure.update_yaxes(tickvals=list(range(len(columns))), ticktext=ticks, showgrid=False, zeroline=False)
    figure.update_xaxes(title="share of attribution", tickformat=".0%", rangemode="tozero")
    title = f"What the answers rest on, by {theme.escape(theme.short(attribute))}"
    return finished(figure, title, 160 + max(30, 12 * len(judged) + 10) * len(columns))


def completeness(rows: pa.Table, methods: pa.Table, tolerance: float | None) -> go.Figure:
    """Each method's relative completeness gap over the explained rows, as a box on a log scale."""
    name, figure = titles(methods), go.Figure()
    present = [method for method in name if method in set(rows.column("method").to_pylist())]
    for place, method in enumerate(reversed(present)):
        gaps = [max(line["relative_gap"], 1e-7) for line in matching(rows, method=method)]
        figure.add_box(
            x=gaps,
            name=name[method],
            orientation="h",
            boxpoints=False,
            marker_color=theme.CATEGORIES[(len(present) - 1 - place) % len(theme.CATEGORIES)],
            showlegend=False,
        )
    if tolerance is not None:
        figure.add_vline(x=tolerance, line={"dash": "dot", "color": NEUTRAL})
        label = {"text": "tolerance", "showarrow": False, "yshift": 10, "font": {"size": 12}, "opacity": 0.75}
        figure.add_annotation(x=float(np.log10(tolerance)), y=1, yref="paper", **label)
    figure.update_xaxes(type="log", title="completeness gap, relative", exponentformat="power", dtick=1)
    return finished(figure, "Do the attributions add up?", 150 + 50 * len(present))


def explanation(evidence: Any, method: str, row: int) -> go.Figure | None:
    """One row by one method: bars for a table, a picture and its map over it, a text's words and a series' lines with
    colour behind them. None where it is not there."""
    table, rows = evidence.table("attribution/explanations"), evidence.table("attribution/rows")
    methods, inputs = evidence.table("attribution/methods"), evidence.table("attribution/inputs")
    if table is None or rows is None or methods is None:
        return None
    facts = matching(rows, method=method, row=row)
    if not facts:
        return None
    if "map" in table.column_names:
        return pictures(table, inputs, rows, methods, [row], [method])
    if "word" in table.column_names:
        return sentences(table, rows, methods, [row], method)
    if "channel" in table.column_names:
        if not matching(table, method=method, row=row):
            return None
        return curves(table, inputs, rows, methods, [row], method)
    return steps(table, inputs, rows, methods, [row], method)


def steps(
    table: pa.Table, inputs: pa.Table | None, rows: pa.Table, methods: pa.Table, chosen: Sequence[int], method: str
) -> go.Figure:
    """For each chosen row how its columns take the score from the baseline to the row's own, largest first.

    A method that does not promise to add up gets bars from zero instead.
    """
    known = next(line for line in methods.to_pylist() if line["method"] == method)
    facts = [matching(rows, method=method, row=row)[0] for row in chosen]
    heads = [heading(fact) for fact in facts]
    figure = make_subplots(rows=len(chosen), cols=1, subplot_titles=heads, vertical_spacing=0.32 / (1 + len(chosen)))
    count = 0
    for place, (row, fact) in enumerate(zip(chosen, facts, strict=True), start=1):
        values = {line["column"]: line["value"] for line in matching(table, method=method, row=row)}
        said = {line["column"]: line["value"] for line in matching(inputs, row=row)} if inputs is not None else {}
        order = sorted(values, key=lambda column: -abs(values[column]))
        first, rest = (order, []) if len(order) <= STEPS + 1 else (order[:STEPS], order[STEPS:])
        bars = [(_with_value(column, said), values[column]) for column in first]
        if rest:
            bars.append((f"{len(rest)} other columns", sum(values[column] for column in rest)))
        count += len(bars)
        start = fact["baseline_score"] if known["complete"] else 0.0
        reached = np.cumsum([start, *(value for _, value in bars)])
        figure.add_bar(
            x=[value for _, value in bars],
            base=reached[:-1].tolist() if known["complete"] else 0,
            y=list(range(len(bars))),
            orientation="h",
            marker_color=[FOR if value > 0 else AGAINST for _, value in bars],
            text=[f"{value:+.2f}" for _, value in bars],
            textposition="outside" if not known["complete"] else "auto",
            textfont_size=11,
            constraintext="none",
            textangle=0,
            cliponaxis=False,
            customdata=[theme.escape(text) for text, _ in bars],
            hovertemplate="%{customdata}: %{text}<extra></extra>",
            showlegend=False,
            row=place,
            col=1,
        )
        if known["complete"]:
            for level, word in ((start, "baseline"), (float(reached[-1]), "row")):
                line = {"dash": "dot", "width": 1, "color": NEUTRAL}
                ends = {"x0": level, "x1": level, "y0": -0.6, "y1": len(bars) - 0.6}
                figure.add_shape(type="line", line=line, **ends, row=place, col=1)
                note = {"text": f"{word} {level:+.2f}", "showarrow": False, "font": {"size": 11}, "opacity": 0.75}
                figure.add_annotation(x=level, y=len(bars) - 0.3, **note, row=place, col=1)
        drawn = reached.tolist() if known["complete"] else [0.0, *(value for _, value in bars)]
        low, high = min(drawn), max(drawn)
        edge = 0.09 * ((high - low) or 1.0)
        figure.update_xaxes(range=[low - edge, high + edge], zeroline=not known["complete"], row=place, col=1)
        ticks = [theme.escape(text) for text, _ in bars]
        figure.update_yaxes(
            tickvals=list(range(len(bars))),
            ticktext=ticks,
            range=[len(bars) + 0.05, -0.7],
            showgrid=False,
            row=place,
            col=1,
        )
    figure.update_xaxes(title=theme.escape(theme.short(facts[-1]["target"], 90)), row=len(chosen), col=1)
    figure.update_annotations(selector=lambda note: note.text in heads, font_size=13, x=0, xanchor="left")
    return finished(figure, known["title"], 130 + 26 * count + 60 * len(chosen), top=76)


def importance_map(overall: pa.Table, methods: pa.Table) -> go.Figure:
    """Images: each cell's share of attribution, one panel per method, all on one scale."""
    name = titles(methods)
    present = [method for method in name if matching(overall, method=method, attribute="", status="ok")]
    figure = make_subplots(rows=1, cols=max(1, len(present)), subplot_titles=[name[method] for method in present])
    grids = []
    for method in present:
        lines = matching(overall, method=method, attribute="")
        cells = [tuple(int(part) for part in line["column"].split(",")) for line in lines]
        grid = np.zeros(tuple(1 + max(cell[axis] for cell in cells) for axis in (0, 1)))
        for cell, line in zip(cells, lines, strict=True):
            grid[cell] = line["share"]
        grids.append(grid)
    top = max((float(grid.max()) for grid in grids), default=1.0)
    bar = {"title": {"text": "share"}, "tickformat": ".1%", "thickness": 12}
    for place, grid in enumerate(grids, start=1):
        last = place == len(grids)
        style = {"colorscale": theme.MAGNITUDE, "zmin": 0.0, "zmax": top, "showscale": last, "colorbar": bar}
        figure.add_trace(go.Heatmap(z=grid, hovertemplate="%{z:.2%}<extra></extra>", **style), row=1, col=place)
    figure.update_xaxes(showticklabels=False, showgrid=False, zeroline=False, constrain="domain")
    figure.update_yaxes(showticklabels=False, showgrid=False, zeroline=False, autorange="reversed", constrain="domain")
    for axis in figure.select_yaxes():
        axis.scaleanchor = axis.anchor
    figure.update_annotations(font_size=13)
    return finished(figure, "Where in the picture the answers rest", 280, bottom=16)


def _with_value(column: str, said: dict[str, str | None]) -> str:
    if column not in said:
        return theme.short(column)
    value = said[column]
    return f"{theme.short(column)} = {'missing' if value is None else theme.short(value, 18)}"
