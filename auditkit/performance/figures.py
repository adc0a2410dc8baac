"""Performance evidence as figures."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go
import pyarrow as pa
from plotly.subplots import make_subplots

from auditkit import theme
from auditkit.evidence.metrics import MetricRow

SPLIT_COLOURS = {"train": theme.CATEGORIES[4], "validation": theme.CATEGORIES[7], "test": theme.CATEGORIES[0]}
OTHER_SPLIT = theme.CATEGORIES[3]
MOST_LABELLED = 15


def colour_of_split(split: str) -> str:
    """A split's colour, the same in every figure."""
    return SPLIT_COLOURS.get(split, OTHER_SPLIT)


def overview(rows: Sequence[MetricRow], labels: dict[str, str]) -> go.Figure:
    """Each figure of merit on each split, as a dot on its interval. `labels`: metric → what to call it."""
    figure = go.Figure()
    for split in dict.fromkeys(row.split for row in rows):
        mine = [row for row in rows if row.split == split and row.status == "ok" and row.value is not None]
        shift = {"train": 0.16, "test": -0.16}.get(split, 0.0)
        figure.add_scatter(
            x=[row.value for row in mine],
            y=[list(labels).index(row.metric) + shift for row in mine],
            error_x={
                "type": "data",
                "symmetric": False,
                "array": [_or_zero(row.upper, row.value) for row in mine],
                "arrayminus": [-_or_zero(row.lower, row.value) for row in mine],
                "thickness": 2,
                "width": 0,
            },
            mode="markers",
            marker={"size": 10, "color": colour_of_split(split)},
            name=theme.escape(split),
            customdata=[theme.interval(row.lower, row.upper) for row in mine],
            hovertemplate="%{x:.4f} %{customdata}<extra>%{fullData.name}</extra>",
        )
    figure.update_layout(
        template=theme.template(), title="How good it is, on each split", height=120 + 62 * len(labels)
    )
    figure.update_xaxes(title="value with its interval (1 is best)")
    names = list(labels.values())
    figure.update_yaxes(tickvals=list(range(len(names))), ticktext=names, autorange="reversed", zeroline=False)
    return figure


def _or_zero(edge: float | None, value: float | None) -> float:
    return 0.0 if edge is None or value is None else edge - value


def reliability(bins: pa.Table) -> go.Figure:
    """Accuracy against confidence with Wilson bands, over the number of rows in each bin."""
    figure = make_subplots(rows=2, shared_xaxes=True, row_heights=[0.74, 0.26], vertical_spacing=0.06)
    figure.add_scatter(
        x=[0, 1], y=[0, 1], mode="lines", line={"dash": "dot", "color": theme.MUTED}, name="perfect", row=1, col=1
    )
    for split in dict.fromkeys(bins["split"].to_pylist()):
        records = [record for record in bins.to_pylist() if record["split"] == split]
        colour, x = colour_of_split(split), [record["confidence"] for record in records]
        y = np.array([record["accuracy"] for record in records])
        figure.add_scatter(
            x=x,
            y=y,
            error_y={
                "type": "data",
                "symmetric": False,
                "array": np.array([record["upper"] for record in records]) - y,
                "arrayminus": y - np.array([record["lower"] for record in records]),
                "thickness": 1.5,
                "width": 0,
            },
            mode="lines+markers",
            marker={"size": 8, "color": colour},
            line={"color": colour, "width": 1},
            name=theme.escape(split),
            hovertemplate="confidence %{x:.1%}, accuracy %{y:.1%}<extra>%{fullData.name}</extra>",
            row=1,
            col=1,
        )
        figure.add_bar(
            x=[(record["from"] + record["to"]) / 2 for record in records],
            y=[record["rows"] for record in records],
            marker={"color": colour},
            showlegend=False,
            hovertemplate="%{y:,} rows<extra></extra>",
            row=2,
            col=1,
        )
    lowest = min(bins["from"].to_pylist(), default=0.0)
    figure.update_layout(template=theme.template(), title="Is its confidence right?", height=520, barmode="group")
    figure.update_xaxes(range=[lowest - 0.02, 1.02], tickformat=".0%")
    figure.update_xaxes(title="confidence in its answer", row=2)
    figure.update_yaxes(title="share right", tickformat=".0%", row=1)
    figure.update_yaxes(title="rows", row=2)
    return figure


def confusion(cells: pa.Table, split: str) -> go.Figure:
    """True against predicted classes of one split, coloured by the share of the true class."""
    records = [record for record in cells.to_pylist() if record["split"] == split]
    classes = list(dict.fromkeys(record["label"] for record in records))
    counts = np.array([record["rows"] for record in records]).reshape(len(classes), len(classes))
    totals = counts.sum(axis=1, keepdims=True)
    shares = np.divide(counts, totals, out=np.zeros(counts.shape), where=totals > 0)
    names = [theme.escape(name) for name in classes]
    labelled = len(classes) <= MOST_LABELLED
    figure = go.Figure(
        go.Heatmap(
            z=shares,
            x=names,
            y=names,
            zmin=0,
            zmax=1,
            colorscale="Blues",
            xgap=2,
            ygap=2,
            text=[[f"{rows:,}" for rows in line] for line in counts.tolist()] if labelled else None,
            texttemplate="%{text}" if labelled else None,
            customdata=counts,
            hovertemplate="true %{y}, predicted %{x}<br>%{customdata:,} rows, %{z:.1%} of the class<extra></extra>",
            colorbar={"title": {"text": "share of<br>true class"}, "tickformat": ".0%", "thickness": 12},
        )
    )
    size = min(760, 260 + 34 * len(classes))
    figure.update_layout(template=theme.template(), title="What it takes for what", height=size)
    figure.update_xaxes(title="predicted class", type="category", showgrid=False)
    figure.update_yaxes(title="true class", type="category", autorange="reversed", showgrid=False)
    return figure


def training_curves(curves: pa.Table) -> go.Figure:
    """Loss and accuracy (of numbers R²) after every epoch, on training and validation rows, and the epoch kept."""
    kinds = {"loss": "loss", "accuracy": "accuracy", "r2": "R²"}
    kinds = {kind: said for kind, said in kinds.items() if f"train_{kind}" in curves.column_names}
    figure = make_subplots(cols=2, subplot_titles=tuple(kinds.values()), horizontal_spacing=0.1)
    epochs = curves["epoch"].to_pylist()
    for col, kind in enumerate(kinds, start=1):
        for split in ("train", "validation"):
            figure.add_scatter(
                x=epochs,
                y=curves[f"{split}_{kind}"].to_pylist(),
                mode="lines+markers",
                marker={"size": 5},
                line={"color": colour_of_split(split), "width": 2},
                name=split,
                legendgroup=split,
                showlegend=col == 1,
                hovertemplate=f"epoch %{{x}}: %{{y:.4f}}<extra>{split} {kinds[kind]}</extra>",
                row=1,
                col=col,
            )
    best = next((epoch for epoch, kept in zip(epochs, curves["best"].to_pylist(), strict=True) if kept), None)
    if best is not None:
        figure.add_vline(x=best, line={"dash": "dot", "color": theme.MUTED}, row=1, col="all")
    figure.update_layout(template=theme.template(), title="How it was trained", height=420, margin={"t": 100})
    figure.update_layout(legend={"y": 1.14})
    figure.update_xaxes(title="epoch")
    if "accuracy" in kinds:
        figure.update_yaxes(tickformat=".1%", row=1, col=2)
    return figure


def roc(points: pa.Table) -> go.Figure:
    """The ROC curve of each split."""
    figure = go.Figure()
    figure.add_scatter(x=[0, 1], y=[0, 1], mode="lines", line={"dash": "dot", "color": theme.MUTED}, name="chance")
    records = points.to_pylist()
    for split in dict.fromkeys(points["split"].to_pylist()):
        mine = [record for record in records if record["split"] == split]
        figure.add_scatter(
            x=[record["false_positive_rate"] for record in mine],
            y=[record["true_positive_rate"] for record in mine],
            mode="lines",
            line={"color": colour_of_split(split), "width": 2},
            name=theme.escape(split),
            hovertemplate="false positives %{x:.1%}, true positives %{y:.1%}<extra>%{fullData.name}</extra>",
        )
    figure.update_layout(template=theme.template(), title="What each threshold would give", height=440)
    figure.update_xaxes(title="false positive rate", tickformat=".0%", range=[-0.01, 1.01])
    figure.update_yaxes(title="true positive rate", tickformat=".0%", range=[-0.01, 1.01])
    return figure
