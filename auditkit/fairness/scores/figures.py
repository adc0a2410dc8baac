"""Score evidence as figures: reliability, ranking within and between groups, cells of multicalibration, rate curves."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from auditkit import theme
from auditkit.evidence.metrics import MetricRow
from auditkit.fairness.groups.definitions import RATES
from auditkit.fairness.groups.many import MOST_LINES, lines_of

CURVES = ("selection_rate", "true_positive_rate", "false_positive_rate", "accuracy")
MOST_PANELS, _COLUMNS = 9, 3
MOST_CELLS = 12
_NEUTRAL, _FAINT = "#8592A0", 0.7
_PANEL, _BETWEEN, _APART = 190, 56, 96

Record = Mapping[str, Any]


def _short(name: str, longest: int = 26) -> str:
    return theme.escape(theme.short(name, longest))


def _bars(values: Sequence[float], lower: Sequence[float | None], upper: Sequence[float | None]) -> dict[str, Any]:
    ends = list(zip(values, lower, upper, strict=True))
    return {
        "type": "data",
        "symmetric": False,
        "array": [0.0 if high is None else high - value for value, _, high in ends],
        "arrayminus": [0.0 if low is None else value - low for value, low, _ in ends],
        "thickness": 2,
        "width": 0,
        "color": _NEUTRAL,
    }


def reliability_figure(records: Sequence[Record], groups: Sequence[str], every: Sequence[str]) -> go.Figure:
    """Share of positives against mean score with Wilson's interval, one panel per group, at most `MOST_PANELS`.

    records: lines of the table `reliability` of one attribute. every: all its groups, which give the colours.
    """
    columns = min(_COLUMNS, max(1, len(groups)))
    deep = max(1, -(-len(groups) // columns))
    inner = deep * _PANEL + (deep - 1) * _BETWEEN
    figure = make_subplots(
        rows=deep,
        cols=columns,
        shared_xaxes=True,
        shared_yaxes=True,
        horizontal_spacing=0.04,
        vertical_spacing=_BETWEEN / inner if deep > 1 else 0,
        subplot_titles=[_short(group, 66 // columns) for group in groups],
    )
    for place, group in enumerate(groups):
        at = {"row": place // columns + 1, "col": place % columns + 1}
        bands = [record for record in records if record["group"] == group]
        figure.add_scatter(
            x=[0, 1], y=[0, 1], mode="lines", line={"dash": "dot", "color": _NEUTRAL, "width": 1.5},
            hoverinfo="skip", showlegend=False, **at,
        )  # fmt: skip
        figure.add_scatter(
            x=[band["score"] for band in bands],
            y=[band["rate"] for band in bands],
            error_y=_bars(*([band[name] for band in bands] for name in ("rate", "lower", "upper"))),
            mode="lines+markers",
            marker={"size": 8, "color": theme.colour_of(group, every)},
            line={"width": 1},
            customdata=[_band(band) for band in bands],
            hovertemplate="%{customdata}<extra></extra>",
            showlegend=False,
            **at,
        )
    figure.update_xaxes(tickformat=".0%", range=[-0.03, 1.03], nticks=5, zeroline=False)
    figure.update_xaxes(title="mean score", row=deep)
    figure.update_yaxes(tickformat=".0%", range=[-0.03, 1.03], nticks=5, zeroline=False)
    figure.update_yaxes(title="share positive", col=1)
    title = f": {len(groups)} of {len(every)} groups, most clearly off" if len(groups) == MOST_PANELS else ""
    figure.update_layout(
        template=theme.template(), title=f"Calibration within groups{title}", height=inner + 160,
        margin={"t": 96, "b": 64},
    )  # fmt: skip
    return figure


def _band(band: Record) -> str:
    rate, span = theme.number(band["rate"], "rate", band["lower"], band["upper"]), theme.interval(
        band["lower"], band["upper"], "rate"
    )  # fmt: skip
    return f"{band['n']:,} rows scored {band['score']:.3f} on average<br>{rate} positive {span}"


def cells_figure(records: Sequence[Record]) -> go.Figure:
    """The cells furthest off: what their scores say and what share is positive, with bounds. records: widest first."""
    shown = list(records)[:MOST_CELLS]
    places = list(range(len(shown)))
    figure = go.Figure()
    figure.add_scatter(
        x=[cell["rate"] for cell in shown],
        y=places,
        error_x=_bars(
            [cell["rate"] for cell in shown],
            [cell["score"] + cell["lower"] for cell in shown],
            [cell["score"] + cell["upper"] for cell in shown],
        ),
        mode="markers",
        marker={"size": 10, "color": theme.CATEGORIES[0]},
        name="share positive",
        customdata=[_told_cell(cell) for cell in shown],
        hovertemplate="%{customdata}<extra></extra>",
    )
    figure.add_scatter(
        x=[cell["score"] for cell in shown],
        y=places,
        mode="markers",
        marker={"size": 11, "symbol": "diamond-open", "color": theme.CATEGORIES[5], "line": {"width": 2}},
        name="mean score",
        customdata=[_told_cell(cell) for cell in shown],
        hovertemplate="%{customdata}<extra></extra>",
    )
    labels = [f"{_short(cell['group'], 34)}, {cell['low']:g} to {cell['high']:g} ({cell['n']:,})" for cell in shown]
    figure.update_yaxes(tickvals=places, ticktext=labels, range=[len(shown) - 0.4, -0.6], zeroline=False)
    figure.update_xaxes(tickformat=".0%", range=[-0.03, 1.03], title="share, with bounds for all cells", zeroline=False)
    figure.update_layout(
        template=theme.template(), title="Where scores are furthest off", height=170 + 30 * len(shown),
        margin={"t": 96},
    )  # fmt: skip
    return figure


def _told_cell(cell: Record) -> str:
    return (
        f"{theme.escape(cell['group'])}<br>scores {cell['low']:g} to {cell['high']:g}, {cell['n']:,} rows<br>"
        f"mean score {cell['score']:.3f}, {cell['rate']:.1%} positive"
    )


def ranking_figure(rows: Sequence[MetricRow], crossed: Sequence[Record]) -> go.Figure:
    """AUC of each group with its interval; below it, for few groups, how positives of one rank above negatives of
    another. rows: `auc` of one attribute's groups. crossed: lines of the table `cross_auc`."""
    lines = lines_of({row.group: row.value for row in rows}, "AUC")
    judged = list(dict.fromkeys(record["positive"] for record in crossed))
    below = 2 <= len(judged) <= MOST_LINES
    deep = [24 + 30 * lines.deep, 24 + 34 * len(judged)] if below else [24 + 30 * lines.deep]
    figure = make_subplots(
        rows=len(deep),
        row_heights=deep,
        vertical_spacing=_APART / (sum(deep) + _APART) if below else 0,
        subplot_titles=["within groups", "between groups"] if below else None,
    )
    every = [row for row in rows if row.status == "ok"]
    shown = [row for row in every if row.group in lines.place]
    if lines.between:
        figure.add_scatter(
            x=[row.value for row in every], y=[0] * len(every), mode="markers", opacity=0.6, showlegend=False,
            marker={"symbol": "line-ns", "size": 15, "line": {"width": 1.5, "color": theme.CATEGORIES[4]}},
            customdata=[theme.escape(row.group) for row in every],
            hovertemplate="%{customdata}<br>%{x:.3f}<extra></extra>", row=1, col=1,
        )  # fmt: skip
    names = [row.group for row in rows]
    single = len(names) > MOST_LINES
    figure.add_scatter(
        x=[row.value for row in shown],
        y=[lines.place[row.group] for row in shown],
        error_x=_bars([row.value or 0.0 for row in shown], [r.lower for r in shown], [r.upper for r in shown]),
        mode="markers",
        marker={
            "size": 9,
            "color": [theme.CATEGORIES[0] if single else theme.colour_of(r.group, names) for r in shown],
        },
        customdata=[theme.escape(row.group) for row in shown],
        hovertemplate="%{customdata}<br>%{x:.3f}<extra></extra>",
        showlegend=False,
        row=1,
        col=1,
    )
    for row in rows:
        if row.group in lines.place and row.status != "ok":
            figure.add_annotation(
                text="not judged", x=0.02, xref="x domain", xanchor="left", y=lines.place[row.group],
                showarrow=False, font={"size": 11}, opacity=_FAINT, row=1, col=1,
            )  # fmt: skip
    sizes = {row.group: row.n or 0 for row in rows}
    ticks = {y: f"{_short(group)} ({sizes[group]:,})" for group, y in lines.place.items()} | lines.labels
    figure.update_yaxes(tickvals=list(ticks), ticktext=list(ticks.values()), range=[lines.deep - 0.4, -0.6], row=1)
    figure.update_yaxes(zeroline=False)
    figure.update_xaxes(title="AUC, with its interval", zeroline=False, row=1, col=1)
    if below:
        _heat(figure, crossed, judged)
    figure.update_layout(
        template=theme.template(),
        title=f"Ranking{lines.title}",
        height=sum(deep) + (_APART if below else 0) + 180,
        margin={"t": 96, "b": 84},
    )
    return figure


def _heat(figure: go.Figure, crossed: Sequence[Record], judged: Sequence[str]) -> None:
    areas = {(record["positive"], record["negative"]): record["auc"] for record in crossed}
    places = list(range(len(judged)))
    z = [[areas.get((down, across)) for across in judged] for down in judged]
    figure.add_heatmap(
        z=z,
        x=places,
        y=places,
        colorscale=theme.MAGNITUDE,
        zmin=0.5,
        zmax=1.0,
        texttemplate="%{z:.2f}",
        customdata=[[f"{theme.escape(i)} above {theme.escape(j)}" for j in judged] for i in judged],
        hovertemplate="%{customdata}<br>%{z:.3f}<extra></extra>",
        showscale=False,
        xgap=3,
        ygap=3,
        row=2,
        col=1,
    )
    labels = [_short(name, 14 if len(judged) > 4 else 20) for name in judged]
    figure.update_xaxes(
        title="a negative of", tickvals=places, ticktext=labels, showgrid=False, zeroline=False, row=2, col=1
    )
    figure.update_yaxes(
        title="a positive of", tickvals=places, ticktext=[_short(name) for name in judged],
        range=[len(judged) - 0.5, -0.5], showgrid=False, row=2, col=1,
    )  # fmt: skip


def curves_figure(records: Sequence[Record], groups: Sequence[str], threshold: float | None) -> go.Figure:
    """One panel per rate, one line per group, against the threshold; the threshold in use dotted.

    records: lines of the table `score_curves` of one attribute. Of many groups each is a thin grey line.
    """
    figure = make_subplots(
        rows=2, cols=2, shared_xaxes=True, subplot_titles=[RATES[name].title for name in CURVES],
        horizontal_spacing=0.08, vertical_spacing=0.14,
    )  # fmt: skip
    lines: dict[str, list[Record]] = defaultdict(list)
    for record in records:
        lines[record["group"]].append(record)
    few = len(groups) <= MOST_LINES
    for place, metric in enumerate(CURVES):
        at = {"row": place // 2 + 1, "col": place % 2 + 1}
        for order, group in enumerate(groups):
            figure.add_scatter(
                x=[line["threshold"] for line in lines[group]],
                y=[line[metric] for line in lines[group]],
                mode="lines",
                line={"color": theme.colour_of(group, groups) if few else _NEUTRAL, "width": 2 if few else 1},
                opacity=1.0 if few else 0.35,
                name=_short(group) if few else f"each of {len(groups)} groups",
                legendgroup=str(order) if few else "all",
                showlegend=place == 0 and (few or order == 0),
                hovertemplate=f"{theme.escape(group)}<br>%{{y:.1%}} from %{{x:.2f}}<extra></extra>",
                **at,
            )
        if threshold is not None:
            figure.add_vline(x=threshold, line={"dash": "dot", "width": 1.5, "color": _NEUTRAL}, **at)
    figure.update_yaxes(tickformat=".0%", range=[-0.02, 1.03], nticks=6, zeroline=False)
    figure.update_xaxes(range=[0, 1], zeroline=False)
    figure.update_xaxes(title="threshold", row=2)
    figure.update_layout(
        template=theme.template(),
        title="Rates against threshold",
        height=600,
        margin={"t": 96, "b": 110},
        legend={"y": 0.01, "yref": "container", "yanchor": "bottom", "x": 0, "xanchor": "left"},
    )
    return figure
