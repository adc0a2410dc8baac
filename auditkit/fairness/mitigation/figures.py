"""Mitigation evidence as figures: accuracy against gap, and who gains and who loses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from auditkit import theme
from auditkit.fairness.groups.definitions import GAPS

Line = Mapping[str, Any]
_NEUTRAL = "#8592A0"
_DETERMINISTIC, _RANDOMISED, _TODAY, _CHEAPEST = (theme.CATEGORIES[at] for at in (0, 2, 5, 1))
_PALE = {"gained": "#9CC9E4", "lost": "#EFB58C"}
_FULL = {"gained": theme.CATEGORIES[0], "lost": theme.CATEGORIES[5]}
MOST_GROUPS = 12
MOST_PANELS = 6


def _bars(lines: Sequence[Line], what: str, colour: str, names: tuple[str, str] | None = None) -> dict[str, Any]:
    lower, upper = names or (f"{what}_lower", f"{what}_upper")
    return {
        "type": "data",
        "symmetric": False,
        "array": [line[upper] - line[what] for line in lines],
        "arrayminus": [line[what] - line[lower] for line in lines],
        "thickness": 1,
        "width": 0,
        "color": colour,
    }


def _faded(colour: str) -> str:
    red, green, blue = (int(colour[at : at + 2], 16) for at in (1, 3, 5))
    return f"rgba({red},{green},{blue},0.4)"


def frontier_figure(metric: str, lines: Sequence[Line], marks: Sequence[Line] = ()) -> go.Figure:
    """Accuracy against one gap on held-out rows, with intervals: one panel per attribute.

    lines: of the table `frontier`, with numbers; marks: of `cheapest_change` whose rates are those of the metric.
    """
    attributes = list(dict.fromkeys(line["attribute"] for line in lines))[:MOST_PANELS]
    columns = min(2, max(1, len(attributes)))
    deep = -(-len(attributes) // columns)
    figure = make_subplots(
        rows=max(1, deep),
        cols=columns,
        subplot_titles=[theme.escape(theme.short(name, 40)) for name in attributes] if len(attributes) > 1 else None,
        horizontal_spacing=0.12,
        vertical_spacing=0.32 / max(1, deep),
    )
    for at, attribute in enumerate(attributes):
        place = {"row": at // columns + 1, "col": at % columns + 1}
        mine = [line for line in lines if line["attribute"] == attribute]
        for policy, colour, dash, symbol in (
            ("randomised", _RANDOMISED, "dot", "circle-open"),
            ("deterministic", _DETERMINISTIC, "solid", "circle"),
        ):
            chosen = [line for line in mine if line["policy"] == policy]
            figure.add_scatter(
                x=[line["gap"] for line in chosen],
                y=[line["accuracy"] for line in chosen],
                error_x=_bars(chosen, "gap", _faded(colour)),
                error_y=_bars(chosen, "accuracy", _faded(colour)),
                mode="lines+markers",
                line={"color": colour, "width": 2, "dash": dash},
                marker={"color": colour, "size": 8, "symbol": symbol},
                name=f"thresholds by group, {policy}",
                legendgroup=policy,
                showlegend=at == 0,
                customdata=[[line["allowed"]] for line in chosen],
                hovertemplate="gap %{x:.1%}, accuracy %{y:.1%}<br>fitted to a gap of at most %{customdata[0]:.1%}"
                f"<extra>{policy}</extra>",
                **place,
            )
        _mark(figure, [line for line in marks if line["attribute"] == attribute], at == 0, place)
        today = [line for line in mine if line["policy"] == "today"]
        figure.add_scatter(
            x=[line["gap"] for line in today],
            y=[line["accuracy"] for line in today],
            error_x=_bars(today, "gap", _TODAY),
            error_y=_bars(today, "accuracy", _TODAY),
            mode="markers",
            marker={"color": _TODAY, "size": 13, "symbol": "diamond"},
            name="today, one threshold for all",
            legendgroup="today",
            showlegend=at == 0,
            hovertemplate="gap %{x:.1%}, accuracy %{y:.1%}<extra>today</extra>",
            **place,
        )
    figure.update_xaxes(title=GAPS[metric].title, tickformat=".0%", rangemode="tozero")
    figure.update_yaxes(tickformat=".1%")
    figure.update_yaxes(title="accuracy", col=1)
    figure.update_layout(
        template=theme.template(),
        title="What a smaller gap costs, on held-out rows",
        height=170 + 310 * max(1, deep),
        margin={"t": 84, "b": 130},
        legend={"y": 0, "yref": "container", "yanchor": "bottom", "x": 0, "xanchor": "left"},
    )
    return figure


def _mark(figure: go.Figure, marks: Sequence[Line], legend: bool, place: Mapping[str, int]) -> None:
    """The cheapest changes, of either kind."""
    judged = [line for line in marks if line["shown_gap"] is not None and line["accuracy"] is not None]
    figure.add_scatter(
        x=[line["shown_gap"] for line in judged],
        y=[line["accuracy"] for line in judged],
        mode="markers",
        marker={"color": _CHEAPEST, "size": 15, "symbol": "star", "line": {"width": 1, "color": _NEUTRAL}},
        name="cheapest change for a gate",
        legendgroup="cheapest",
        showlegend=legend,
        customdata=[[theme.escape(f"{GAPS[line['metric']].title}, {line['policy']}")] for line in judged],
        hovertemplate="gap %{x:.1%}, accuracy %{y:.1%}<extra>%{customdata[0]}</extra>",
        **place,
    )


def who_figure(lines: Sequence[Line]) -> go.Figure:
    """Per group, how many in 1,000 lose the positive decision (left) and get it (right); pale where that is wrong.

    lines: of the table `who_changes`, one per group of one change; those with most people moved first.
    """
    shown = [line for line in lines if line["n"]]
    shown = sorted(shown, key=lambda line: -(line["gained_per_1000"] + line["lost_per_1000"]))[:MOST_GROUPS]
    names = [f"{theme.escape(theme.short(line['group'], 32))} ({line['n']:,})" for line in shown]
    figure = go.Figure()
    for what, sign, words in (("lost", -1, "yes to no"), ("gained", 1, "no to yes")):
        for right, colour, told in ((True, _FULL[what], "rightly"), (False, _PALE[what], "wrongly")):
            people = [line[f"{what}_right"] if right else line[what] - line[f"{what}_right"] for line in shown]
            per = [1000 * count / line["n"] for count, line in zip(people, shown, strict=True)]
            figure.add_bar(
                x=[sign * value for value in per],
                y=list(range(len(shown))),
                orientation="h",
                marker={"color": colour},
                name=f"{words}, {told}",
                customdata=[[value, count] for value, count in zip(per, people, strict=True)],
                hovertemplate="%{customdata[0]:.0f} in 1,000 (%{customdata[1]:,} people)"
                + f"<extra>{words}, {told}</extra>",
            )
    figure.add_vline(x=0, line={"width": 1.5, "color": _NEUTRAL})
    figure.update_yaxes(
        tickvals=list(range(len(names))), ticktext=names, autorange="reversed", zeroline=False, ticklabelstandoff=8
    )
    reach = max([line[f"{what}_per_1000"] for line in shown for what in ("gained", "lost")], default=0) or 1
    step = _step(reach)
    ticks = [step * at for at in range(-int(reach // step) - 1, int(reach // step) + 2)]
    figure.update_xaxes(
        title="people in 1,000 whose decision changes", tickvals=ticks, ticktext=[f"{abs(tick):g}" for tick in ticks],
        range=[-1.08 * reach, 1.08 * reach], zeroline=False,
    )  # fmt: skip
    figure.update_layout(
        template=theme.template(),
        title="Who loses (left) and who gains (right)",
        barmode="relative",
        height=200 + 36 * max(1, len(shown)),
        margin={"t": 64, "b": 110},
        legend={"y": 0, "yref": "container", "yanchor": "bottom", "x": 0, "xanchor": "left", "traceorder": "normal"},
    )
    return figure


def _step(reach: float) -> float:
    """A round step that cuts a reach into two to five."""
    for step in (1, 2, 5, 10, 20, 50, 100, 200, 500):
        if reach / step <= 5:
            return float(step)
    return 500.0
