"""Who is in the data, as figures: shares of groups against the population's, and missing values by group."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import plotly.graph_objects as go

from auditkit import theme
from auditkit.fairness.groups.many import lines_of

_NEUTRAL = "#8592A0"
MOST_COLUMNS = 14


def shares_of_groups(records: Sequence[Mapping[str, Any]], attribute: str) -> go.Figure:
    """Each group's share of the rows as a dot on its interval, and its share of the population as a bar across.

    records: those of the table `representation` of one attribute. Of many groups those with the lowest and
    the highest ratios of the two shares are drawn.
    """
    ratios = {
        record["group"]: record["observed"] / record["population"]
        if record["observed"] is not None and record["population"]
        else None
        for record in records
    }
    lines = lines_of(ratios, "ratio of shares")
    shown = [record for record in records if record["group"] in lines.place and record["observed"] is not None]
    names = [record["group"] for record in records]
    figure = go.Figure()
    figure.add_scatter(
        x=[record["population"] for record in records if record["group"] in lines.place],
        y=[lines.place[record["group"]] for record in records if record["group"] in lines.place],
        mode="markers",
        name="share of the population",
        marker={"symbol": "line-ns-open", "size": 18, "color": _NEUTRAL, "line": {"width": 3}},
        hovertemplate="population %{x:.2%}<extra></extra>",
    )
    figure.add_scatter(
        x=[record["observed"] for record in shown],
        y=[lines.place[record["group"]] for record in shown],
        mode="markers",
        name="share of the rows",
        marker={"size": 10, "color": [theme.colour_of(record["group"], names) for record in shown]},
        error_x={
            "type": "data",
            "symmetric": False,
            "array": [record["upper"] - record["observed"] for record in shown],
            "arrayminus": [record["observed"] - record["lower"] for record in shown],
            "thickness": 2,
            "width": 0,
            "color": _NEUTRAL,
        },
        customdata=[f"{theme.escape(record['group'])}: {record['n']:,} rows" for record in shown],
        hovertemplate="%{customdata}, %{x:.2%}<extra></extra>",
    )
    sizes = {record["group"]: record["n"] for record in records}
    ticks = {y: f"{theme.escape(theme.short(name))} ({sizes[name]:,})" for name, y in lines.place.items()}
    ticks |= {y: label for y, label in lines.labels.items() if y}
    figure.update_yaxes(
        tickvals=list(ticks),
        ticktext=list(ticks.values()),
        range=[lines.deep - 0.4, 0.4 if lines.between else -0.6],
        zeroline=False,
    )
    figure.update_xaxes(tickformat=".0%", rangemode="tozero", title="share, with its interval")
    figure.update_layout(
        template=theme.template(),
        title=f"Shares by {theme.escape(theme.short(attribute))}{lines.title}",
        height=190 + 34 * lines.deep,
        margin={"t": 96},
        legend={"itemsizing": "trace"},
    )
    return figure


def missing_by_group(records: Sequence[Mapping[str, Any]], gaps: Sequence[Mapping[str, Any]]) -> go.Figure:
    """The widest gap of each column: a line between the groups with the most and the fewest missing values.

    records: those of the table `missingness` of one attribute, gaps: of `fairness/missingness_gaps`. Of many
    columns those with the widest gaps are drawn.
    """
    kept = sorted(gaps, key=lambda gap: (-gap["gap"], gap["column"]))[:MOST_COLUMNS]
    of = f": the {MOST_COLUMNS} widest gaps of {len(gaps)} columns" if len(gaps) > len(kept) else ""
    place = {gap["column"]: at for at, gap in enumerate(kept)}
    names = sorted({record["group"] for record in records})
    ends = {(gap["column"], gap[end]) for gap in kept for end in ("high", "low")}
    figure = go.Figure()
    for gap in kept:
        edges = [
            r["share"] for r in records if r["column"] == gap["column"] and r["group"] in (gap["high"], gap["low"])
        ]
        figure.add_scatter(
            x=edges,
            y=[place[gap["column"]]] * len(edges),
            mode="lines",
            line={"color": _NEUTRAL, "width": 2},
            showlegend=False,
            hoverinfo="skip",
        )
    many = len({group for _, group in ends}) > 8
    for name in names:
        mine = [record for record in records if (record["column"], name) in ends and record["group"] == name]
        if not mine:
            continue
        figure.add_scatter(
            x=[record["share"] for record in mine],
            y=[place[record["column"]] for record in mine],
            mode="markers",
            name=theme.escape(theme.short(name, 18)),
            showlegend=not many,
            marker={"size": 10, "color": _NEUTRAL if many else theme.colour_of(name, names)},
            customdata=[
                f"{theme.escape(name)}: {record['missing']:,} of {record['n']:,} missing, "
                f"[{record['lower']:.1%}, {record['upper']:.1%}]"
                for record in mine
            ],
            hovertemplate="%{customdata}<extra></extra>",
        )
    for gap in kept if many else []:
        shares = {r["group"]: r["share"] for r in records if r["column"] == gap["column"]}
        for end, anchor, shift in (("high", "left", 9), ("low", "right", -9)):
            figure.add_annotation(
                x=shares[gap[end]],
                y=place[gap["column"]],
                text=theme.escape(theme.short(gap[end], 14)),
                xanchor=anchor,
                xshift=shift,
                showarrow=False,
                font={"size": 11},
            )
    if many:
        widest = max(record["share"] for record in records if (record["column"], record["group"]) in ends)
        step = next((step for step in (0.01, 0.02, 0.05, 0.1) if widest <= 6 * step), 0.2)
        ticks = [at * step for at in range(int(widest / step) + 1)]
        figure.update_xaxes(range=[-0.32 * widest, 1.32 * widest], tickvals=ticks)
    figure.update_yaxes(
        tickvals=list(place.values()),
        ticktext=[theme.escape(theme.short(name)) for name in place],
        range=[len(place) - 0.4, -0.6],
        zeroline=False,
    )
    figure.update_xaxes(tickformat=".0%", rangemode="tozero", title="share of values missing")
    figure.update_layout(
        template=theme.template(),
        title=f"Missing values by group{of}",
        height=190 + 30 * len(place),
        margin={"t": 96},
    )
    return figure
