"""The figure of one explained row of plain tensors: bars, a picture's map, words with colour, or a series' heat."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from auditkit import theme
from auditkit.attribution.framing import AGAINST, FOR, NEUTRAL, finished
from auditkit.attribution.registry import METHODS

if TYPE_CHECKING:
    from torch import Tensor

    from auditkit.attribution.explanation import Attribution

SHOWN = 16
"""bars before the rest is added up"""
BAR = {"title": {"text": "attribution", "side": "right"}, "thickness": 12, "tickformat": "+.2g"}
Numbers = npt.NDArray[np.float64]


def explained(
    found: Attribution, row: int = 0, names: Sequence[str] | None = None, inputs: Tensor | None = None
) -> go.Figure:
    """One row: a map where its values are a picture [C, H, W], heat where they are [T, C], bars elsewhere.

    names: of the row's numbers (or ids, or groups) for bars; of the channels for a series. inputs: the rows that were
    explained, to be shown beside a picture's map.
    """
    values = found.values if not isinstance(found.values, tuple) else None
    shown = None if values is None else values[row].detach().cpu().double().numpy()
    if shown is not None and shown.ndim == 3:
        figure = _picture(shown, None if inputs is None else inputs[row].detach().cpu().double().numpy())
        height = 380
    elif shown is not None and shown.ndim == 2:
        figure, height = _series(shown, names), 140 + 24 * shown.shape[1]
    else:
        errors = None if found.standard_error is None else found.standard_error[row].cpu().numpy()
        figure, bars = _bars(found.by_part[row].cpu().numpy(), errors, names)
        height = 130 + 26 * bars
    told = f"{float(found.baseline_scores[row]):+.4g} at the baseline, {float(found.scores[row]):+.4g} at the row"
    figure.update_xaxes(title=theme.escape(f"{found.target}: {told}"), row=1, col=1)
    return finished(figure, f"{METHODS[found.method].title}, row {row}", height, top=56)


def _bars(values: Numbers, errors: Numbers | None, names: Sequence[str] | None) -> tuple[go.Figure, int]:
    """The largest values as bars, with 95 % intervals where they were sampled, and how many there are."""
    labels = [str(place) for place in range(len(values))] if names is None else list(names)
    order = np.argsort(-np.abs(values), kind="stable")
    first, rest = (order, order[:0]) if len(order) <= SHOWN + 1 else (order[:SHOWN], order[SHOWN:])
    texts = [theme.escape(theme.short(labels[place])) for place in first]
    drawn = [float(values[place]) for place in first]
    if len(rest):
        texts.append(f"{len(rest):,} others, added up")
        drawn.append(float(values[rest].sum()))
    spread = None
    if errors is not None:
        spread = {"array": [*(1.96 * errors[first]), *([0.0] if len(rest) else [])], "color": NEUTRAL}
    figure = make_subplots(rows=1, cols=1)
    figure.add_bar(
        x=drawn,
        y=list(range(len(drawn))),
        orientation="h",
        marker_color=[FOR if value > 0 else AGAINST for value in drawn],
        error_x=spread,
        customdata=texts,
        hovertemplate="%{customdata}: %{x:+.4g}<extra></extra>",
        showlegend=False,
    )
    figure.update_yaxes(tickvals=list(range(len(drawn))), ticktext=texts, autorange="reversed", showgrid=False)
    return figure, len(drawn)


def _picture(values: Numbers, picture: Numbers | None) -> go.Figure:
    """The map, added up over channels, on a scale centred at zero; beside it the picture."""
    whole = values.sum(axis=0)
    edge = float(np.abs(whole).max()) or 1.0
    columns = 1 if picture is None else 2
    figure = make_subplots(rows=1, cols=columns, horizontal_spacing=0.06)
    style = {"colorscale": theme.SIGNED, "zmin": -edge, "zmax": edge, "colorbar": BAR}
    figure.add_trace(go.Heatmap(z=whole, hovertemplate="%{z:+.4g}<extra></extra>", **style), row=1, col=1)
    if picture is not None:
        figure.add_trace(_seen(picture), row=1, col=2)
    figure.update_xaxes(showticklabels=False, showgrid=False, zeroline=False, constrain="domain")
    figure.update_yaxes(showticklabels=False, showgrid=False, zeroline=False, autorange="reversed", constrain="domain")
    for axis in figure.select_yaxes():
        axis.scaleanchor = axis.anchor
    return figure


def _seen(picture: Numbers) -> go.Image | go.Heatmap:
    """A picture of three channels in colour, of any other number in grey, from its least to its largest value."""
    low, high = float(picture.min()), float(picture.max())
    scaled = (picture - low) / ((high - low) or 1.0)
    if len(scaled) == 3:
        return go.Image(z=(255 * scaled.transpose(1, 2, 0)).astype(np.uint8), hoverinfo="skip")
    return go.Heatmap(z=scaled.mean(axis=0), colorscale="Greys", reversescale=True, showscale=False, hoverinfo="skip")


def _series(values: Numbers, names: Sequence[str] | None) -> go.Figure:
    """Time across, a band for each channel."""
    edge = float(np.abs(values).max()) or 1.0
    labels = [f"channel {place + 1}" for place in range(values.shape[1])] if names is None else list(names)
    figure = make_subplots(rows=1, cols=1)
    figure.add_heatmap(
        z=values.T,
        colorscale=theme.SIGNED,
        zmin=-edge,
        zmax=edge,
        colorbar={
            "title": {"text": "attribution", "side": "right"},
            "thickness": 12,
            "tickformat": "+.2g",
            "nticks": 4,
        },
        hovertemplate="%{z:+.4g}<extra></extra>",
    )
    ticks = [theme.escape(theme.short(label)) for label in labels]
    figure.update_yaxes(tickvals=list(range(len(labels))), ticktext=ticks, autorange="reversed", showgrid=False)
    return figure
