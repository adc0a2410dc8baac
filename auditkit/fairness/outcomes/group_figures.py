"""Numbers by group as figures: dots on their intervals, spreads of predictions, shares of places."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from auditkit import theme
from auditkit.evidence.metrics import MetricRow
from auditkit.fairness.sentences import NOT_JUDGED

COLUMNS = 3
_NEUTRAL, _FAINT, _BETWEEN = "#8592A0", 0.7, 84


def _labels(sizes: Mapping[str, int]) -> list[str]:
    return [f"{theme.escape(theme.short(group))} ({rows:,})" for group, rows in sizes.items()]


def _finish(figure: go.Figure, sizes: Mapping[str, int], title: str, deep: int, panel: int) -> go.Figure:
    """Group names down the left, a title, and room for both."""
    figure.update_yaxes(
        tickvals=list(range(len(sizes))), ticktext=_labels(sizes), range=[len(sizes) - 0.4, -0.6], zeroline=False
    )
    figure.update_layout(
        template=theme.template(),
        title=title,
        height=deep * panel + (deep - 1) * _BETWEEN + 170,
        margin={"t": 100, "b": 68},
    )
    figure.update_annotations(selector={"yanchor": "bottom"}, font={"size": 13})
    return figure


def _panels(titles: Sequence[str], groups: int) -> tuple[go.Figure, int, int]:
    """Empty panels in rows of three, how many rows, and the height of one."""
    columns = min(COLUMNS, len(titles))
    deep, panel = -(-len(titles) // columns), 24 + 30 * groups
    figure = make_subplots(
        rows=deep,
        cols=columns,
        shared_yaxes=True,
        subplot_titles=list(titles),
        horizontal_spacing=0.05,
        vertical_spacing=_BETWEEN / (deep * panel + (deep - 1) * _BETWEEN) if deep > 1 else 0.0,
    )
    return figure, deep, panel


def dots_by_group(
    rows: Sequence[MetricRow],
    panels: Mapping[str, str],
    sizes: Mapping[str, int],
    references: Mapping[str, float],
    title: str,
) -> go.Figure:
    """One panel per metric, one line per group: a dot on its interval; dotted, what it is held against.

    rows: of one attribute. panels: metric → title. sizes: group → rows. references: metric → value of a dotted line.
    """
    groups = list(sizes)
    figure, deep, panel = _panels(list(panels.values()), len(groups))
    columns = min(COLUMNS, len(panels))
    for place, metric in enumerate(panels):
        at = {"row": place // columns + 1, "col": place % columns + 1}
        mine = {row.group: row for row in rows if row.metric == metric and row.group}
        shown = [mine[group] for group in groups if group in mine and mine[group].status == "ok"]
        percent = 100.0 if shown and shown[0].unit == "rate" else 1.0
        figure.add_scatter(
            x=[(row.value or 0.0) * percent for row in shown],
            y=[groups.index(row.group) for row in shown],
            error_x=_bars(shown, percent),
            mode="markers",
            marker={"size": 9, "color": [theme.colour_of(row.group, groups) for row in shown]},
            customdata=[_told(row) for row in shown],
            hovertemplate="%{customdata}<extra></extra>",
            showlegend=False,
            **at,
        )
        if shown and metric in references:
            line = {"dash": "dot", "width": 1.5, "color": _NEUTRAL}
            figure.add_vline(x=references[metric] * percent, line=line, **at)
        for group in groups:
            if group not in mine or mine[group].status != "ok":
                figure.add_annotation(
                    text=NOT_JUDGED, x=0.02, xref="x domain", xanchor="left", y=groups.index(group), showarrow=False,
                    font={"size": 11}, opacity=_FAINT, **at,
                )  # fmt: skip
        figure.update_xaxes(nticks=5, zeroline=False, ticksuffix=" %" if percent > 1 else "", **at)
        if not shown:
            figure.update_xaxes(range=[0, 1], showticklabels=False, **at)
    figure.update_xaxes(title="value, with its interval", row=deep)
    return _finish(figure, sizes, title, deep, panel)


def _bars(rows: Sequence[MetricRow], factor: float) -> dict[str, Any]:
    values = [(row.value or 0.0, row.lower, row.upper) for row in rows]
    return {
        "type": "data",
        "symmetric": False,
        "array": [0.0 if upper is None else (upper - value) * factor for value, _, upper in values],
        "arrayminus": [0.0 if lower is None else (value - lower) * factor for value, lower, _ in values],
        "thickness": 2,
        "width": 0,
        "color": _NEUTRAL,
    }


def _told(row: MetricRow) -> str:
    value = theme.number(row.value, row.unit, row.lower, row.upper)
    return f"{theme.escape(row.group)}<br>{value} {theme.interval(row.lower, row.upper, row.unit)}<br>n = {row.n:,}"


def prediction_spread(records: Sequence[Mapping[str, Any]]) -> go.Figure:
    """Per group, where its predictions lie: a thin line from 5 to 95 %, a thick one over the middle half, the median.

    records: lines of `regression_quantiles` of one attribute.
    """
    sizes = {record["group"]: record["n"] for record in records}
    groups = list(sizes)
    figure, deep, panel = _panels([""], len(groups))
    for low, high, width in (("q5", "q95", 2), ("q25", "q75", 8)):
        for place, record in enumerate(records):
            figure.add_scatter(
                x=[record[low], record[high]],
                y=[place, place],
                mode="lines",
                line={"width": width, "color": theme.colour_of(record["group"], groups)},
                opacity=0.65,
                hoverinfo="skip",
                showlegend=False,
            )
    figure.add_scatter(
        x=[record["q50"] for record in records],
        y=list(range(len(groups))),
        mode="markers",
        marker={"size": 11, "color": [theme.colour_of(name, groups) for name in groups],
                "line": {"width": 2, "color": _NEUTRAL}},
        customdata=[
            f"{theme.escape(record['group'])}<br>median {theme.number(record['q50'])}<br>middle half "
            f"{theme.interval(record['q25'], record['q75'])}<br>5 to 95 % {theme.interval(record['q5'], record['q95'])}"
            for record in records
        ],
        hovertemplate="%{customdata}<extra></extra>",
        showlegend=False,
    )  # fmt: skip
    low, high = min(record["q5"] for record in records), max(record["q95"] for record in records)
    room = 0.03 * (high - low) or 1.0
    figure.update_xaxes(title="prediction", nticks=8, zeroline=False, range=[low - room, high + room])
    return _finish(figure, sizes, "Predictions by group", deep, panel)


def place_shares(records: Sequence[Mapping[str, Any]]) -> go.Figure:
    """One panel per k: each group's share of the first k places (filled) against its share of candidates (open).

    records: lines of `ranking_top` of one attribute.
    """
    sizes: dict[str, int] = {}
    for record in records:
        sizes[record["group"]] = max(record["candidates"], sizes.get(record["group"], 0))
    levels = sorted({record["k"] for record in records})
    groups = list(sizes)
    figure, deep, panel = _panels([f"first {k:,} {'place' if k == 1 else 'places'}" for k in levels], len(groups))
    columns = min(COLUMNS, len(levels))
    for place, k in enumerate(levels):
        at = {"row": place // columns + 1, "col": place % columns + 1}
        mine = [record for record in records if record["k"] == k]
        y = [groups.index(record["group"]) for record in mine]
        for record, line in zip(mine, y, strict=True):
            figure.add_scatter(
                x=[100 * record["candidate_share"], 100 * record["place_share"]], y=[line, line], mode="lines",
                line={"width": 2, "color": _NEUTRAL}, hoverinfo="skip", showlegend=False, **at,
            )  # fmt: skip
        for name, share, symbol in (
            ("share of candidates", "candidate_share", "circle-open"),
            ("share of places", "place_share", "circle"),
        ):
            figure.add_scatter(
                x=[100 * record[share] for record in mine], y=y, mode="markers", name=name, legendgroup=name,
                marker={"size": 10, "symbol": symbol, "line": {"width": 2 if "open" in symbol else 0},
                        "color": [theme.colour_of(record["group"], groups) for record in mine]},
                customdata=[
                    f"{theme.escape(record['group'])}<br>{theme.number(record['place_share'], 'rate')} of places, "
                    f"{theme.number(record['candidate_share'], 'rate')} of candidates" for record in mine
                ],
                hovertemplate="%{customdata}<extra></extra>", showlegend=False, **at,
            )  # fmt: skip
    figure.update_xaxes(ticksuffix=" %", rangemode="tozero", nticks=5, zeroline=False)
    return _finish(figure, sizes, "Who holds the first places", deep, panel)
