"""Evidence of conditional gaps as a figure: two groups' rates among all rows and within each stratum."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import plotly.graph_objects as go

from auditkit import theme

MOST_STRATA = 14
_NEUTRAL = "#8592A0"
_SMALLEST, _LARGEST = 7.0, 20.0
"""Diameters of the dots of few and of all of a group's rows."""


def raw_against_strata(
    strata: Sequence[Mapping[str, Any]], groups: tuple[str, str], names: Sequence[str], rate: str, control: str
) -> go.Figure:
    """Two groups' rates, first among all rows, below stratum by stratum; a dot's area tells the group's rows there.

    strata: records of the table `conditional` of these two groups. names: all groups, for their colours. Of
    many strata the largest are drawn, and the title says so.
    """
    sizes: dict[str, int] = {}
    for record in strata:
        sizes[record["stratum"]] = sizes.get(record["stratum"], 0) + record["n"]
    kept = sorted(sorted(sizes, key=lambda name: (-sizes[name], name))[:MOST_STRATA])
    of = f": the {MOST_STRATA} largest of {len(sizes)} strata" if len(sizes) > len(kept) else ""
    places = {name: at + 1.6 for at, name in enumerate(kept)}
    figure = go.Figure()
    for group, apart in zip(groups, (-0.14, 0.14), strict=True):
        mine = {record["stratum"]: record for record in strata if record["group"] == group}
        n, successes = (sum(record[key] for record in mine.values()) for key in ("n", "successes"))
        if not n:
            continue
        dots = [("all rows", 0.0, successes / n, None, None, n)] + [
            (name, places[name], mine[name]["value"], mine[name]["lower"], mine[name]["upper"], mine[name]["n"])
            for name in kept
            if name in mine
        ]
        colour, short = theme.colour_of(group, names), theme.escape(theme.short(group))
        figure.add_scatter(
            x=[dot[2] for dot in dots],
            y=[dot[1] + (apart if dot[1] else 0.0) for dot in dots],
            mode="markers",
            name=short,
            legendgroup=group,
            marker={
                "color": colour,
                "opacity": 0.85,
                "symbol": ["diamond"] + ["circle"] * (len(dots) - 1),
                "size": [_SMALLEST + (_LARGEST - _SMALLEST) * (dot[5] / n) ** 0.5 for dot in dots],
                "line": {"width": 0},
            },
            error_x={
                "type": "data",
                "symmetric": False,
                "array": [0.0 if dot[4] is None else dot[4] - dot[2] for dot in dots],
                "arrayminus": [0.0 if dot[3] is None else dot[2] - dot[3] for dot in dots],
                "thickness": 1.5,
                "width": 0,
                "color": _NEUTRAL,
            },
            customdata=[f"{short}, {theme.escape(theme.short(dot[0]))}: {dot[2]:.1%} of {dot[5]:,}" for dot in dots],
            hovertemplate="%{customdata}<extra></extra>",
        )
    ticks = {0.0: "all rows"} | {
        places[name]: f"{theme.escape(theme.short(name, 22))} ({sizes[name]:,})" for name in kept
    }
    figure.add_hline(y=0.8, line={"color": _NEUTRAL, "width": 1, "dash": "dot"})
    figure.update_yaxes(
        tickvals=list(ticks), ticktext=list(ticks.values()), range=[len(kept) + 1.2, -0.6], zeroline=False
    )
    figure.update_xaxes(tickformat=".0%", rangemode="tozero", title=f"{rate}, with its interval")
    figure.update_layout(
        template=theme.template(),
        title=f"{rate.capitalize()} among all rows and given {theme.escape(theme.short(control))}{of}",
        height=200 + 34 * (len(kept) + 2),
        margin={"t": 96},
        legend={"itemsizing": "constant"},
    )
    return figure
