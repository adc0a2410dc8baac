"""What fine-tuning changed: the likeness (CKA) of every layer's representation before and after, from the record."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import plotly.graph_objects as go
import pyarrow as pa

from auditkit import theme
from auditkit.evidence.section import Section
from auditkit.theme import number

TABLE = "representation_change"
_MOST = 40


def change_table(record: Mapping[str, Any]) -> pa.Table | None:
    """One line per layer: its CKA with the layer it began as, and whether its weights were frozen. None without any."""
    transfer = record.get("transfer") or {}
    alike = transfer.get("cka") or {}
    if not alike:
        return None
    frozen = set(transfer.get("frozen", ()))
    layers = list(alike)
    return pa.table(
        {
            "layer": layers,
            "cka": pa.array([alike[layer] for layer in layers], pa.float64()),
            "frozen": [any(name.startswith(f"{layer}.") for name in frozen) for layer in layers],
            "rows": pa.array([transfer.get("compared_rows")] * len(layers), pa.int64()),
            "source": pa.array([transfer.get("source")] * len(layers), pa.string()),
        }
    )


def change_section(evidence: Any) -> Section | None:
    """The section of a model that began from another's weights; None for others."""
    table = evidence.table(f"performance/{TABLE}")
    if table is None:
        return None
    lines = [line for line in table.to_pylist() if line["cka"] is not None]
    if not lines:
        return None
    least = min(lines, key=lambda line: line["cka"])
    frozen = sum(line["frozen"] for line in lines)
    kept = f" {frozen} of {len(lines)} layers were frozen." if frozen else ""
    return Section(
        key="representation-change",
        title="What fine-tuning changed",
        finding=f"Layer {least['layer']} moved furthest from the model this one began as: likeness "
        f"{number(least['cka'])} (1 is unchanged).{kept}",
        figure=change_figure(lines[-_MOST:]),
        reading="Each dot is a layer, from the inputs down to the outputs. At 1 it represents the rows as before "
        "training, up to rotation and scale; hollow dots are frozen layers, which change only by what reaches them.",
        table=pa.table(
            {
                "layer": [line["layer"] for line in lines],
                "likeness (CKA)": [number(line["cka"]) for line in lines],
                "frozen": ["yes" if line["frozen"] else "no" for line in lines],
            }
        ),
        how=f"Unbiased linear centred kernel alignment on {number(lines[0]['rows'], 'rows')} validation rows "
        f"(Kornblith et al. 2019), outputs averaged over places or steps. It began from {lines[0]['source']}.",
    )


def change_figure(lines: list[dict[str, Any]]) -> go.Figure:
    """One dot per layer, from the inputs down. lines: of the table, each with a likeness."""
    figure = go.Figure(
        go.Scatter(
            x=[line["cka"] for line in lines],
            y=list(range(len(lines))),
            mode="markers",
            marker={
                "color": theme.CATEGORIES[0],
                "size": 9,
                "line": {"color": theme.CATEGORIES[0], "width": 2},
                "symbol": ["circle-open" if line["frozen"] else "circle" for line in lines],
            },
            customdata=[theme.escape(line["layer"]) for line in lines],
            hovertemplate="%{customdata}: %{x:.3f}<extra></extra>",
        )
    )
    figure.update_yaxes(
        tickvals=list(range(len(lines))),
        ticktext=[theme.escape(theme.short(line["layer"], 36)) for line in lines],
        range=[len(lines) - 0.4, -0.6],
        zeroline=False,
    )
    figure.update_xaxes(title="CKA with the layer before training (1 is unchanged)", range=[-0.02, 1.04])
    figure.update_layout(
        template=theme.template(), title="Likeness of representations", height=170 + 22 * len(lines),
        margin={"t": 70, "b": 60},
    )  # fmt: skip
    return figure
