"""The beeswarm of a table: every explained row a dot in every column, its attribution across, its value as colour.

A column whose dots change colour from left to right moves the score one way as it grows; where colours are mixed, what
it does depends on the other columns. Dots that would lie on each other are moved apart up and down, in an order drawn
with a seed; the height says only how many there are.

Source: Lundberg et al., "From local explanations to global understanding with explainable AI for trees", 2020, Nature
Machine Intelligence 2, 56-67.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import plotly.graph_objects as go
import pyarrow as pa

from auditkit import theme
from auditkit.attribution.framing import NEUTRAL, finished, titles
from auditkit.evidence.section import Section, matching

SHOWN, MOST = 15, 1_000
"""columns, and rows, that are drawn"""
BINS = 120
"""places across the figure at which dots are stacked"""
VALUES = [[0.0, "#6F5BB5"], [0.5, "#2A9D9A"], [1.0, "#8FBF2F"]]
"""low to high, legible on white and on dark, and none of the colours that mean for and against"""
Floats = npt.NDArray[np.float64]


def beeswarm(
    table: pa.Table, inputs: pa.Table | None, baseline: pa.Table | None, methods: pa.Table, method: str
) -> go.Figure:
    """At most fifteen columns, the weightiest first, of at most a thousand rows.

    table: explanations (method, row, column, value). inputs: the rows' values as text (row, column, value). baseline:
    (column, kind), which columns are numbers and have an order; the dots of all others are grey.
    """
    values = _by_column(table, method)
    ranked = sorted(values, key=lambda column: -sum(abs(value) for value in values[column].values()))[:SHOWN]
    said = _said(inputs)
    kinds = {} if baseline is None or "kind" not in baseline.column_names else _kinds(baseline)
    figure = go.Figure()
    reach = [value for column in ranked for value in list(values[column].values())[:MOST]]
    low, high = min(reach, default=0.0), max(reach, default=1.0)
    for place, column in enumerate(ranked):
        rows = list(values[column])[:MOST]
        across = np.array([values[column][row] for row in rows])
        texts = [said.get((row, column)) for row in rows]
        numbers = _numbers(texts) if kinds.get(column) == "numeric" else np.full(len(rows), np.nan)
        known = np.isfinite(numbers)
        up = place + stacked(across, low, high, place)
        for chosen, colour in ((~known, {"color": NEUTRAL}), (known, _coloured(numbers[known]))):
            if chosen.any():
                figure.add_scatter(
                    x=across[chosen],
                    y=up[chosen],
                    mode="markers",
                    marker={"size": 5, "opacity": 0.9, "line": {"width": 0}} | colour,
                    customdata=[
                        f"row {rows[at]}, {_label(column)} = {_label(texts[at] or 'missing')}"
                        for at in np.flatnonzero(chosen)
                    ],
                    hovertemplate="%{customdata}: %{x:+.3g}<extra></extra>",
                    showlegend=False,
                )
    ticks = {"tickvals": list(range(len(ranked))), "ticktext": [_label(column) for column in ranked]}
    figure.update_yaxes(**ticks, range=[len(ranked) - 0.5, -0.5], showgrid=False, zeroline=False)
    figure.update_xaxes(title="attribution", zeroline=True)
    _scale(figure)
    title = f"Every explained row, by {titles(methods)[method]}"
    return finished(figure, theme.escape(title), 130 + 34 * len(ranked), top=56)


def stacked(across: Floats, low: float, high: float, seed: int) -> Floats:
    """[n]: how far each dot is moved up or down, within ±0.42, so that near ones do not hide each other.

    >>> stacked(np.array([0.0, 9.0]), 0.0, 9.0, 0).tolist()
    [0.0, 0.0]
    """
    rng = np.random.default_rng([seed, 20])
    bins = np.floor((across - low) / ((high - low) or 1.0) * BINS).astype(int)
    found = np.zeros(len(across))
    for at in np.unique(bins):
        inside = rng.permutation(np.flatnonzero(bins == at))
        layer = np.arange(len(inside))
        found[inside] = (layer + 1) // 2 * np.where(layer % 2, 1, -1)
    tallest = float(np.abs(found).max(initial=0.0))
    return found * min(0.07, 0.42 / tallest) if tallest else found


def beeswarm_section(evidence: Any, methods: pa.Table, lead: str) -> list[Section]:
    """The beeswarm and how to read it; nothing where columns of a table are not what is explained."""
    table = evidence.table("attribution/explanations")
    if table is None or not {"column", "value"} <= set(table.column_names) or not matching(table, method=lead):
        return []
    values = _by_column(table, lead)
    rows = max(len(column) for column in values.values())
    drawn = f"{theme.number(min(rows, MOST), 'rows')} explained rows"
    if rows > MOST:
        drawn = f"The first {drawn} of {theme.number(rows, 'rows')}"
    columns = f"all {len(values)} columns" if len(values) <= SHOWN else f"{SHOWN} of {len(values)} columns"
    rows_table = evidence.table("attribution/rows")
    targets = set() if rows_table is None else {line["target"] for line in matching(rows_table, method=lead)}
    several = len(targets) > 1
    told = "" if several else _directions(evidence, lead)
    labels = evidence.info.get("schema", {}).get("task") == "multilabel"
    target = "label that scores highest in" if labels else "class predicted for"
    inputs, baseline = evidence.table("attribution/inputs"), evidence.table("attribution/baseline")
    return [
        Section(
            "beeswarm",
            "What each column does, row by row",
            told or f"{drawn} in {columns}: each dot is one row.",
            figure=beeswarm(table, inputs, baseline, methods, lead),
            reading=f"{drawn} in {columns}, each dot one row. Right of zero the column raised the score"
            f"{f', the logit of the {target} that row' if several else ''}, left of it it lowered it. "
            "Colour: the row's own value among all explained rows, from low to high; grey where a column is no number "
            "or its value is missing. A colour on one side alone: the column works one way. Colours mixed: it depends "
            "on the others.",
            how=f"{titles(methods)[lead]}. Columns are ordered by the sum of their magnitudes. Colour is the rank of "
            "the value. Correlations are Spearman's, of a column's values with its attributions. Dots are moved up and "
            "down only to be seen, in an order drawn with a fixed seed.",
        )
    ]


def _directions(evidence: Any, method: str, most: int = 3) -> str:
    """Which columns of numbers work one way most plainly, as a sentence; empty where the audit did not keep it."""
    table = evidence.table("attribution/directions")
    lines = [] if table is None else [line for line in matching(table, method=method) if line["rank"] is not None]
    ranked = sorted(lines, key=lambda line: -abs(line["rank"]))[:most]
    said = []
    for word, own in (
        ("raise", [line for line in ranked if line["rank"] > 0]),
        ("lower", [line for line in ranked if line["rank"] < 0]),
    ):
        names = [f"{line['column']} ({line['rank']:+.2f})" for line in own]
        if names:
            said.append(f"{word} the score for {', '.join(names)}")
    return f"Larger values most plainly {' and '.join(said)}, by rank correlation." if said else ""


def _by_column(table: pa.Table, method: str) -> dict[str, dict[int, float]]:
    """Column → row → attribution."""
    found: dict[str, dict[int, float]] = {}
    for line in matching(table, method=method):
        found.setdefault(line["column"], {})[line["row"]] = line["value"]
    return found


def _said(inputs: pa.Table | None) -> dict[tuple[int, str], str | None]:
    if inputs is None or "column" not in inputs.column_names:
        return {}
    return {(line["row"], line["column"]): line["value"] for line in inputs.to_pylist()}


def _kinds(baseline: pa.Table) -> Mapping[str, str]:
    return {line["column"]: line["kind"] for line in baseline.to_pylist()}


def _numbers(texts: list[str | None]) -> Floats:
    """Values as numbers; NaN, which is drawn grey, where they are missing or no number."""
    found = np.full(len(texts), np.nan)
    for place, text in enumerate(texts):
        try:
            found[place] = np.nan if text is None else float(text)
        except ValueError:
            continue
    return found


def _coloured(values: Floats) -> dict[str, Any]:
    """Markers coloured by the rank of their values among the different ones, from 0 to 1."""
    different, places = np.unique(values, return_inverse=True)
    ranks = places / (len(different) - 1) if len(different) > 1 else np.full(len(values), 0.5)
    return {"color": ranks, "colorscale": VALUES, "cmin": 0.0, "cmax": 1.0}


def _label(text: str) -> str:
    return theme.escape(theme.short(text))


def _scale(figure: go.Figure) -> None:
    """What the colours mean, as a bar of its own."""
    bar = {"thickness": 10, "len": 0.75, "tickvals": [0, 1], "ticktext": ["low", "high"]}
    bar |= {"title": {"text": "the column's value", "side": "right", "font": {"size": 12}}}
    style = {"color": [0.0], "colorscale": VALUES, "cmin": 0.0, "cmax": 1.0, "showscale": True, "colorbar": bar}
    figure.add_scatter(x=[None], y=[None], mode="markers", marker=style, hoverinfo="skip", showlegend=False)
