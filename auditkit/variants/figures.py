"""The comparison as figures: every paired difference, what is won in size and speed, and who is affected."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from auditkit import theme

Line = Mapping[str, Any]
COLUMNS = 3
COLOURS = {"worse": theme.CATEGORIES[5], "better": theme.CATEGORIES[2], "": theme.CATEGORIES[7]}
WORDS = {"worse": "worse beyond chance", "better": "better beyond chance", "": "within chance"}


def forest_figure(panels: Sequence[tuple[str, str, Sequence[Line]]], variants: Sequence[str]) -> go.Figure:
    """One panel per figure, (title, unit of its change, lines of `differences`): a dot and interval per variant."""
    deep = -(-len(panels) // COLUMNS)
    height = 34 * len(variants) + 104
    figure = make_subplots(
        rows=deep,
        cols=COLUMNS,
        subplot_titles=[theme.escape(theme.short(title, 40)) for title, _, _ in panels],
        shared_yaxes=True,
        horizontal_spacing=0.05,
        vertical_spacing=76 / max(1, height * deep),
    )
    shown: set[str] = set()
    for at, (title, unit, lines) in enumerate(panels):
        place = {"row": at // COLUMNS + 1, "col": at % COLUMNS + 1}
        for judged in ("worse", "better", ""):
            mine = [line for line in lines if line["judged"] == judged]
            if not mine:
                continue
            figure.add_scatter(
                x=[line["change"] for line in mine],
                y=[theme.escape(theme.short(line["variant"], 22)) for line in mine],
                error_x=_reach(mine, COLOURS[judged]),
                mode="markers",
                marker={"size": 9, "color": COLOURS[judged], "symbol": "circle" if judged else "circle-open"},
                name=WORDS[judged],
                legendgroup=judged,
                showlegend=judged not in shown,
                hovertemplate=f"%{{y}}: %{{x:{_format(unit)}}}<extra>{theme.escape(title)}</extra>",
                **place,
            )
            shown.add(judged)
        figure.add_vline(x=0, line={"dash": "dot", "color": theme.MUTED, "width": 1}, **place)
        figure.update_xaxes(tickformat=_format(unit), zeroline=False, nticks=5, **place)
    figure.update_yaxes(
        type="category", categoryorder="array", zeroline=False,
        categoryarray=[theme.escape(theme.short(name, 22)) for name in reversed(variants)],
    )  # fmt: skip
    figure.update_layout(
        template=theme.template(),
        title="Variant minus original, on the same rows",
        height=110 + height * deep,
        margin={"t": 96, "b": 84},
        legend={"y": 0, "yref": "container", "yanchor": "bottom", "x": 0, "xanchor": "left"},
    )
    figure.update_annotations(font={"size": 13})
    return figure


def tradeoff_figure(panels: Sequence[tuple[str, Sequence[Line]]], change: str, unit: str = "points") -> go.Figure:
    """What is won against what is lost: one panel per cost, its lines with variant, ratio, change, lower, upper.

    change, unit: what the change is of, and in which unit.
    """
    figure = make_subplots(rows=1, cols=len(panels), shared_yaxes=True, horizontal_spacing=0.05)
    variants = sorted({line["variant"] for _, lines in panels for line in lines})
    for at, (title, lines) in enumerate(panels, start=1):
        for line in lines:
            colour = theme.colour_of(line["variant"], variants)
            figure.add_scatter(
                x=[line["ratio"]],
                y=[line["change"]],
                error_y=_reach([line], colour),
                mode="markers",
                marker={
                    "size": 11,
                    "color": colour,
                    "symbol": _SYMBOLS[variants.index(line["variant"]) % len(_SYMBOLS)],
                },
                name=theme.escape(theme.short(line["variant"], 26)),
                legendgroup=line["variant"],
                showlegend=at == 1,
                hovertemplate=f"%{{x:.2f}} of the original, %{{y:{_format(unit)}}}<extra>%{{fullData.name}}</extra>",
                row=1,
                col=at,
            )
        figure.add_vline(x=1, line={"dash": "dot", "color": theme.MUTED, "width": 1}, row=1, col=at)
        figure.add_hline(y=0, line={"dash": "dot", "color": theme.MUTED, "width": 1}, row=1, col=at)
        figure.update_xaxes(title=title, tickformat=".3~g", rangemode="tozero", zeroline=False, row=1, col=at)
    figure.update_yaxes(tickformat="+.1%" if unit == "points" else _format(unit), zeroline=False)
    figure.update_yaxes(title=change, col=1)
    figure.update_layout(
        template=theme.template(),
        title="What is won, and what the worst-off lose",
        height=440,
        margin={"t": 72, "b": 120},
        legend={"y": 0, "yref": "container", "yanchor": "bottom", "x": 0, "xanchor": "left"},
    )
    return figure


def groups_figure(lines: Sequence[Line], variants: Sequence[str]) -> go.Figure:
    """Change of accuracy, or of the absolute error, by group: a panel per variant, a dot and interval per group."""
    title, unit = lines[0]["title"], lines[0]["change_unit"]
    groups = list(dict.fromkeys((line["attribute"], line["group"]) for line in lines))
    names = {name: theme.escape(f"{theme.short(name[1], 24)} ({theme.short(name[0], 12)})") for name in groups}
    figure = make_subplots(
        rows=1, cols=len(variants), shared_yaxes=True, horizontal_spacing=0.03,
        subplot_titles=[theme.escape(theme.short(name, 22)) for name in variants],
    )  # fmt: skip
    shown: set[str] = set()
    for at, variant in enumerate(variants, start=1):
        for judged in ("worse", "better", ""):
            mine = [line for line in lines if line["variant"] == variant and line["judged"] == judged]
            if not mine:
                continue
            figure.add_scatter(
                x=[line["change"] for line in mine],
                y=[names[line["attribute"], line["group"]] for line in mine],
                error_x=_reach(mine, COLOURS[judged]),
                mode="markers",
                marker={"size": 8, "color": COLOURS[judged], "symbol": "circle" if judged else "circle-open"},
                name=WORDS[judged],
                legendgroup=judged,
                showlegend=judged not in shown,
                hovertemplate=f"%{{y}}: %{{x:{_format(unit)}}}<extra></extra>",
                row=1,
                col=at,
            )
            shown.add(judged)
        figure.add_vline(x=0, line={"dash": "dot", "color": theme.MUTED, "width": 1}, row=1, col=at)
    figure.update_xaxes(
        tickformat="+.1~%" if unit == "points" else _format(unit), zeroline=False, nticks=4, matches="x"
    )
    figure.update_yaxes(
        type="category", categoryorder="array", categoryarray=[names[name] for name in reversed(groups)], zeroline=False
    )
    figure.update_layout(
        template=theme.template(),
        title=f"Change of {title} by group",
        height=190 + 27 * len(groups),
        margin={"t": 92, "b": 90},
        legend={"y": 0, "yref": "container", "yanchor": "bottom", "x": 0, "xanchor": "left"},
    )
    figure.update_annotations(font={"size": 13})
    return figure


_SYMBOLS = ("circle", "square", "diamond", "triangle-up", "star", "cross")


def _reach(lines: Sequence[Line], colour: str) -> dict[str, Any]:
    return {
        "type": "data",
        "symmetric": False,
        "array": [line["upper"] - line["change"] for line in lines],
        "arrayminus": [line["change"] - line["lower"] for line in lines],
        "thickness": 2,
        "width": 0,
        "color": colour,
    }


def _format(unit: str) -> str:
    return "+.2~%" if unit == "points" else "+.3~g"
