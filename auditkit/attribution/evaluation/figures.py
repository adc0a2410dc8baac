"""Figures of the evaluation: evidence tables → plotly figures, nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import plotly.graph_objects as go
import pyarrow as pa
from plotly.subplots import make_subplots

from auditkit import theme
from auditkit.attribution.framing import NEUTRAL, finished
from auditkit.evidence.section import matching

OWN, VERDICT = "attribution", "verdict"
DASHES = {"random attribution": "dot", "input magnitude": "dash", "random model": "dashdot"}
SHOWN = len(theme.CATEGORIES)
PANELS = {"deletion": "Deletion: parts go", "insertion": "Insertion: parts come"}
CHECKS = {
    "completeness": ("adds up", "gap"),
    "faithfulness": ("finds what counts", "gain over the best null"),
    "randomisation": ("notices another model", "likeness"),
    "sensitivity": ("steady", "largest change"),
    "stability": ("same for any seed", "rank correlation"),
}
"""check → what a method does that passes, and what is measured"""
STATUSES = {
    "pass": "pass",
    "believable": "pass",
    "fail": "fail",
    "not believable": "fail",
    "undecided": "inconclusive",
    "not applicable": "missing",
}
"""status of a check or a verdict → how it looks"""
SHARES = ("completeness", "sensitivity")


def faithfulness(curves: pa.Table, titles: Mapping[str, str], lead: str) -> go.Figure:
    """Deletion and insertion of every method, the lead with its interval, beside the lead's three nulls."""
    present = set(curves.column("method").to_pylist())
    methods = sorted((name for name in titles if name in present), key=lambda name: name != lead)[:SHOWN]
    figure = make_subplots(rows=1, cols=2, subplot_titles=list(PANELS.values()), shared_yaxes=True)
    for column, curve in enumerate(PANELS, start=1):
        for null, dash in DASHES.items():
            lines = matching(curves, method=lead, curve=curve, of=null)
            if lines:
                style = {"color": NEUTRAL, "dash": dash, "width": 1.6}
                _line(figure, lines, null, style, column)
        for place, method in reversed(list(enumerate(methods))):
            lines = matching(curves, method=method, curve=curve, of=OWN)
            if not lines:
                continue
            if method == lead:
                _band(figure, lines, column)
            style = {"color": theme.CATEGORIES[place], "width": 2.8 if method == lead else 1.8}
            _line(figure, lines, theme.escape(titles[method]), style, column)
    figure.update_xaxes(title="share of parts at the baseline", tickformat=".0%", row=1, col=1)
    figure.update_xaxes(title="share of parts as in the row", tickformat=".0%", row=1, col=2)
    figure.update_yaxes(title="change in score that is left", tickformat=".0%", row=1, col=1)
    figure.update_annotations(font_size=13)
    figure.update_layout(legend={"y": -0.2, "yanchor": "top", "x": 0, "xanchor": "left", "traceorder": "reversed"})
    return finished(figure, "Does the order of the parts find what the score rests on?", 460, bottom=120)


def _line(figure: go.Figure, lines: list[dict[str, Any]], name: str, style: dict[str, Any], column: int) -> None:
    figure.add_scatter(
        x=[line["share"] for line in lines],
        y=[line["value"] for line in lines],
        mode="lines",
        name=name,
        legendgroup=name,
        showlegend=column == 1,
        line=style,
        customdata=[name] * len(lines),
        hovertemplate="%{customdata}<br>%{x:.0%} of parts: %{y:.1%}<extra></extra>",
        row=1,
        col=column,
    )


def _band(figure: go.Figure, lines: list[dict[str, Any]], column: int) -> None:
    """The interval of the lead's curve."""
    share = [line["share"] for line in lines]
    figure.add_scatter(
        x=share + share[::-1],
        y=[line["upper"] for line in lines] + [line["lower"] for line in lines][::-1],
        fill="toself",
        fillcolor="rgba(0, 114, 178, 0.16)",
        line={"width": 0},
        hoverinfo="skip",
        showlegend=False,
        row=1,
        col=column,
    )


def quorum(table: pa.Table, titles: Mapping[str, str]) -> go.Figure:
    """A matrix method by check, each cell with its mark and what was measured; the verdict stands last."""
    present = set(table.column("method").to_pylist())
    methods = [name for name in titles if name in present]
    cells = {(line["method"], line["check"]): line for line in table.to_pylist()}
    judged = {line["check"] for line in cells.values() if line["status"] != "not applicable"}
    checks = [*(check for check in CHECKS if check in judged), VERDICT]
    looks = list(theme.VERDICTS)
    grid = [[looks.index(STATUSES[cells[method, check]["status"]]) for check in checks] for method in methods]
    steps = [
        [edge / len(looks), _tinted(colour)]
        for place, (_, colour) in enumerate(theme.VERDICTS.values())
        for edge in (place, place + 1)
    ]
    figure = go.Figure(
        go.Heatmap(
            z=grid,
            x=list(range(len(checks))),
            y=list(range(len(methods))),
            zmin=-0.5,
            zmax=len(looks) - 0.5,
            colorscale=steps,
            showscale=False,
            xgap=3,
            ygap=3,
            customdata=[[_wrapped(cells[method, check]["reason"]) for check in checks] for method in methods],
            hovertemplate="%{customdata}<extra></extra>",
        )
    )
    _words(figure, [[_cell(cells[method, check]) for check in checks[:-1]] for method in methods], 0, "normal")
    _words(figure, [[_cell(cells[method, VERDICT])] for method in methods], len(checks) - 1, "bold")
    heads = [_headed(*CHECKS[check]) if check in CHECKS else VERDICT for check in checks]
    plain = {"showgrid": False, "zeroline": False, "fixedrange": True}
    figure.update_xaxes(tickvals=list(range(len(checks))), ticktext=heads, tickangle=0, side="top", **plain)
    names = [theme.escape(theme.short(titles[method])) for method in methods]
    figure.update_yaxes(tickvals=list(range(len(methods))), ticktext=names, autorange="reversed", **plain)
    figure.update_yaxes(ticklabelstandoff=8)
    figure.update_xaxes(ticklabelstandoff=4)
    return finished(figure, "Is it believable?", 160 + 46 * len(methods), top=130, bottom=20)


def _words(figure: go.Figure, rows: list[list[str]], first: int, weight: str) -> None:
    """Text on the cells of a matrix, from the column `first` on."""
    figure.add_scatter(
        x=[first + place for row in rows for place in range(len(row))],
        y=[place for place, row in enumerate(rows) for _ in row],
        text=[text for row in rows for text in row],
        mode="text",
        textfont={"size": 13, "weight": weight},
        hoverinfo="skip",
        showlegend=False,
    )


def _cell(line: Mapping[str, Any]) -> str:
    """A mark, and what was measured or the verdict in a word."""
    look = STATUSES[line["status"]]
    mark = theme.VERDICTS[look][0]
    if line["check"] == VERDICT:
        return f"{mark} {line['status']}"
    if line["value"] is None:
        return mark
    unit = "rate" if line["check"] in SHARES else ""
    return f"{mark} {theme.number(line['value'], unit, line['lower'], line['upper'])}"


def _tinted(colour: str) -> str:
    """A colour thin enough for text on it to be read on white and on dark."""
    red, green, blue = (int(colour[place : place + 2], 16) for place in (1, 3, 5))
    return f"rgba({red}, {green}, {blue}, 0.3)"


def _headed(does: str, measured: str) -> str:
    """A column's head: what passes does, and what is measured, in lines that leave room beside each other."""
    return f"{_wrapped(does + ':', 12)}<br>{_wrapped(measured, 12)}"


def _wrapped(text: str, width: int = 70) -> str:
    """Text in lines, for a hover or a head."""
    lines = [""]
    for word in text.split():
        if len(lines[-1]) + len(word) > width:
            lines.append("")
        lines[-1] = f"{lines[-1]} {word}".strip()
    return "<br>".join(theme.escape(line) for line in lines)
