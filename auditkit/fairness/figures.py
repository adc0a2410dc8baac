"""Fairness evidence as figures: rates by group, gaps by attribute, rates of intersections."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from auditkit import theme
from auditkit.evidence.metrics import MetricRow
from auditkit.fairness.counting.counts import JOIN
from auditkit.fairness.groups.definitions import FOUR_FIFTHS, GAPS, RATES
from auditkit.fairness.groups.many import MOST_LINES, lines_of
from auditkit.fairness.sentences import NOT_JUDGED

PANELS = ("selection_rate", "true_positive_rate", "false_positive_rate", "false_negative_rate", "precision", "accuracy")
FAMILIES = ("demographic_parity", "equal_opportunity", "predictive_equality", "equalized_odds", "predictive_parity")
_COLUMNS = 3
_NEUTRAL, _FAINT = "#8592A0", 0.7
"""A grey that reads on light and dark alike, and the opacity of what is said in passing."""
_BETWEEN = 76
"""Pixels between two lines of panels: room for tick labels and the next panel's title."""


def _short(name: str, longest: int = 26) -> str:
    return theme.escape(theme.short(name, longest))


def _bars(rows: Sequence[MetricRow], factor: float = 1.0, colour: str = "") -> dict[str, Any]:
    """Error bars from the rows' intervals."""
    values = [(row.value or 0.0, row.lower, row.upper) for row in rows]
    return {
        "type": "data",
        "symmetric": False,
        "array": [0.0 if upper is None else (upper - value) * factor for value, _, upper in values],
        "arrayminus": [0.0 if lower is None else (value - lower) * factor for value, lower, _ in values],
        "thickness": 2,
        "width": 0,
        **({"color": colour} if colour else {}),
    }


def rates_by_group(
    rows: Sequence[MetricRow],
    overall: Mapping[str, MetricRow],
    sizes: Mapping[str, int | None],
    before: Sequence[MetricRow] = (),
) -> go.Figure:
    """One panel per rate, one line per group: a dot on its interval, the overall rate as a dotted line.

    rows: the rates of one attribute. overall: metric → the row of everybody. sizes: group → rows. Of many groups those
    with the lowest and the highest selection rates are drawn, and above them a strip with a mark for every group.
    before: rates to compare with, drawn hollow.
    """
    selection = {row.group: row.value for row in rows if row.metric == "selection_rate"}
    lines = lines_of({group: selection.get(group) for group in sizes})
    deep, panel = -(-len(PANELS) // _COLUMNS), 24 + 30 * lines.deep
    figure = make_subplots(
        rows=deep,
        cols=_COLUMNS,
        shared_yaxes=True,
        subplot_titles=[RATES[name].title for name in PANELS],
        horizontal_spacing=0.04,
        vertical_spacing=_BETWEEN / (deep * panel + (deep - 1) * _BETWEEN),
    )
    shapes = []
    for place, metric in enumerate(PANELS):
        at = {"row": place // _COLUMNS + 1, "col": place % _COLUMNS + 1}
        mine = {row.group: row for row in rows if row.metric == metric}
        every = [row for row in mine.values() if row.status == "ok"]
        shown = [row for row in every if row.group in lines.place]
        if lines.between:
            _strip(figure, every, at)
        old = [row for row in before if row.metric == metric and row.status == "ok" and row.group in lines.place]
        figure.add_scatter(
            x=[row.value for row in old],
            y=[lines.place[row.group] for row in old],
            mode="markers",
            marker={"size": 9, "symbol": "circle-open", "color": _NEUTRAL, "line": {"width": 1.5}},
            customdata=[f"before: {_told(row)}" for row in old],
            hovertemplate="%{customdata}<extra></extra>",
            showlegend=False,
            **at,
        )
        figure.add_scatter(
            x=[row.value for row in shown],
            y=[lines.place[row.group] for row in shown],
            error_x=_bars(shown, colour=_NEUTRAL),
            mode="markers",
            marker={"size": 9, "color": [_colour(row.group, list(sizes)) for row in shown]},
            customdata=[_told(row) for row in shown],
            hovertemplate="%{customdata}<extra></extra>",
            showlegend=False,
            **at,
        )
        everybody = overall.get(metric)
        if everybody is not None and everybody.value is not None:
            shapes.append(_line(everybody.value, place + 1))
        for group, y in lines.place.items():
            if group in mine and mine[group].status != "ok":
                figure.add_annotation(
                    text=NOT_JUDGED,
                    x=0.02,
                    xref="x domain",
                    xanchor="left",
                    y=y,
                    showarrow=False,
                    font={"size": 11},
                    opacity=_FAINT,
                    **at,
                )
    ticks = {
        y: f"{_short(group)} ({theme.number(sizes[group], 'rows')})" for group, y in lines.place.items()
    } | lines.labels
    figure.update_yaxes(tickvals=list(ticks), ticktext=list(ticks.values()), range=[lines.deep - 0.4, -0.6])
    figure.update_yaxes(zeroline=False)
    figure.update_xaxes(tickformat=".0%", nticks=5, rangemode="tozero")
    figure.update_xaxes(title="rate, with its interval", row=deep)
    figure.update_layout(
        template=theme.template(),
        title=f"Rates by group{lines.title}",
        height=deep * panel + (deep - 1) * _BETWEEN + 160,
        margin={"t": 96, "b": 64},
        shapes=shapes,
    )
    figure.update_annotations(selector={"yanchor": "bottom"}, font={"size": 13})
    return figure


def _line(x: float, panel: int) -> dict[str, Any]:
    """A dotted line up a panel, as a shape: `add_vline` would take as long for one as all the rest of the figure."""
    axis = "" if panel == 1 else str(panel)
    line = {"dash": "dot", "width": 1.5, "color": _NEUTRAL}
    return {"type": "line", "x0": x, "x1": x, "y0": 0, "y1": 1, "xref": f"x{axis}", "yref": f"y{axis} domain",
            "line": line}  # fmt: skip


def _strip(figure: go.Figure, rows: Sequence[MetricRow], at: Mapping[str, int]) -> None:
    """A mark for every group, on the first line."""
    figure.add_scatter(
        x=[row.value for row in rows],
        y=[0] * len(rows),
        mode="markers",
        marker={"symbol": "line-ns", "size": 15, "line": {"width": 1.5, "color": theme.CATEGORIES[4]}},
        opacity=0.6,
        customdata=[_told(row) for row in rows],
        hovertemplate="%{customdata}<extra></extra>",
        showlegend=False,
        **at,
    )


def _colour(group: str, groups: Sequence[str]) -> str:
    """A group's own colour, or one for all where there are more groups than can be told apart."""
    return theme.colour_of(group, groups) if len(groups) <= MOST_LINES else theme.CATEGORIES[0]


def _told(row: MetricRow) -> str:
    value = theme.number(row.value, row.unit, row.lower, row.upper)
    span = theme.interval(row.lower, row.upper, row.unit)
    return f"{theme.escape(row.group or row.detail)}<br>{value} {span}<br>over {theme.number(row.n, 'rows')} rows"


def gap_overview(rows: Sequence[MetricRow], attributes: Sequence[str]) -> go.Figure:
    """Largest differences (left) and smallest ratios (right) of each attribute, with their intervals.

    rows: gap rows of one split. attributes: those to show, one colour each.
    """
    figure = make_subplots(
        cols=2,
        shared_yaxes=True,
        horizontal_spacing=0.06,
        subplot_titles=("largest difference", "smallest ratio"),
    )
    step = 0.7 / max(1, len(attributes))
    for col, kind in ((1, "difference"), (2, "ratio")):
        for place, attribute in enumerate(attributes):
            names = {f"{family}_{kind}": at for at, family in enumerate(FAMILIES)}
            shown = [row for row in rows if row.attribute == attribute and row.metric in names and row.status == "ok"]
            shift = (place - (len(attributes) - 1) / 2) * step
            figure.add_scatter(
                x=[(row.value or 0.0) * (100 if kind == "difference" else 1) for row in shown],
                y=[names[row.metric] + shift for row in shown],
                error_x=_bars(shown, 100.0 if kind == "difference" else 1.0),
                mode="markers",
                marker={"size": 9, "color": theme.CATEGORIES[place % len(theme.CATEGORIES)]},
                name=_short(attribute),
                legendgroup=str(place),
                showlegend=col == 1,
                customdata=[_told(row) for row in shown],
                hovertemplate="%{customdata}<extra></extra>",
                row=1,
                col=col,
            )
    figure.add_vline(x=FOUR_FIFTHS, line={"dash": "dash", "width": 1.5, "color": _NEUTRAL}, row=1, col=2)
    figure.add_annotation(
        text="four-fifths",
        x=FOUR_FIFTHS,
        y=len(FAMILIES) - 0.45,
        xanchor="right",
        xshift=-4,
        showarrow=False,
        font={"size": 11},
        opacity=_FAINT,
        row=1,
        col=2,
    )
    titles = [GAPS[f"{family}_difference"].title.removesuffix(" difference") for family in FAMILIES]
    figure.update_yaxes(tickvals=list(range(len(FAMILIES))), ticktext=titles, range=[len(FAMILIES) - 0.3, -0.6])
    figure.update_yaxes(zeroline=False)
    figure.update_xaxes(title="percentage points (0 is equal)", rangemode="tozero", row=1, col=1)
    figure.update_xaxes(title="ratio (1 is equal)", range=[-0.02, 1.04], row=1, col=2)
    figure.update_layout(
        template=theme.template(),
        title="Gaps between groups",
        height=230 + len(FAMILIES) * (26 + 16 * len(attributes)),
        margin={"t": 96, "b": 110},
        legend={"y": 0.01, "yref": "container", "yanchor": "bottom", "x": 0, "xanchor": "left"},
    )
    return figure


def intersection_rates(
    rows: Sequence[MetricRow], attributes: tuple[str, str], first: Sequence[str], second: Sequence[str]
) -> go.Figure:
    """The selection rate of every combination of two attributes' groups, with how many rows each has.

    rows: the selection rates of the intersection. first, second: the two attributes' groups. A combination that does
    not occur stays empty. The attribute with more groups goes down.
    """
    named = {row.group: row for row in rows}
    cells = {(a, b): named.get(f"{a}{JOIN}{b}") for a in first for b in second}
    down, across = list(first), list(second)
    if len(down) < len(across):
        down, across, attributes = across, down, (attributes[1], attributes[0])
        cells = {(b, a): row for (a, b), row in cells.items()}
    value = [[_value(cells.get((y, x))) for x in across] for y in down]
    text = [[_cell(cells.get((y, x))) for x in across] for y in down]
    figure = go.Figure(
        go.Heatmap(
            z=value,
            x=list(range(len(across))),
            y=list(range(len(down))),
            text=text,
            texttemplate="%{text}" if len(across) <= 10 else None,
            colorscale=theme.MAGNITUDE,
            xgap=3,
            ygap=3,
            customdata=[[_hover(cells.get((y, x)), x, y) for x in across] for y in down],
            hovertemplate="%{customdata}<extra></extra>",
            hoverongaps=False,
            colorbar={"title": {"text": "selection<br>rate"}, "tickformat": ".0%", "thickness": 12},
        )
    )
    for y, group in enumerate(down):
        for x, other in enumerate(across):
            row = cells.get((group, other))
            if row is not None and row.status != "ok":
                figure.add_annotation(
                    text=f"{NOT_JUDGED}<br>n = {theme.number(row.n, 'rows')}" if len(across) <= 10 else "·",
                    x=x,
                    y=y,
                    showarrow=False,
                    font={"size": 11},
                    opacity=_FAINT,
                )
    figure.update_xaxes(
        title=theme.escape(attributes[1]),
        tickvals=list(range(len(across))),
        ticktext=[_short(name, 18) for name in across],
    )
    figure.update_yaxes(
        title=theme.escape(attributes[0]), tickvals=list(range(len(down))), ticktext=[_short(name) for name in down]
    )
    figure.update_xaxes(showgrid=False, zeroline=False, range=[-0.5, len(across) - 0.5])
    figure.update_yaxes(showgrid=False, zeroline=False, range=[len(down) - 0.5, -0.5])
    figure.update_layout(
        template=theme.template(),
        title="Selection rate of intersections",
        height=180 + (56 if len(down) <= 8 else 44) * len(down),
    )
    return figure


def _value(row: MetricRow | None) -> float | None:
    return row.value if row is not None else None


def _cell(row: MetricRow | None) -> str:
    if row is None or row.status != "ok":
        return ""
    return f"{theme.number(row.value, 'rate', row.lower, row.upper)}<br>n = {theme.number(row.n, 'rows')}"


def _hover(row: MetricRow | None, x: str, y: str) -> str:
    name = f"{theme.escape(y)}, {theme.escape(x)}"
    if row is None:
        return name
    return f"{name}<br>{_told(row).partition('<br>')[2]}" if row.status == "ok" else f"{name}<br>{row.reason}"
