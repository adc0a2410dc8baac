"""The tables activations leave as evidence, made from the observers' states."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from auditkit.activations.extremes import TopRows
from auditkit.activations.layers import Layer
from auditkit.activations.moments import effective_rank
from auditkit.activations.observer import ActivationsObserver, LayerState
from auditkit.activations.projection import Projection

LAYERS = pa.schema(
    [
        ("split", pa.string()),
        ("place", pa.int64()),
        ("layer", pa.string()),
        ("kind", pa.string()),
        ("units", pa.int64()),
        ("positions", pa.int64()),
        ("rows", pa.int64()),
        ("mean", pa.float64()),
        ("spread", pa.float64()),
        ("minimum", pa.float64()),
        ("maximum", pa.float64()),
        ("zeros", pa.float64()),
        ("dead", pa.int64()),
        ("saturated", pa.int64()),
        ("constant", pa.int64()),
        ("effective_rank", pa.float64()),
        ("covariance_rows", pa.int64()),
        ("covariance_units", pa.int64()),
        ("not_finite", pa.int64()),
    ]
)
SATURATED_SHARE = 0.95
"""a unit is saturated where at least this share of its values lies in the flat ends of its range"""
COMPONENTS = 20


def dead_units(layer: Layer, state: LayerState) -> npt.NDArray[np.bool_] | None:
    """Rectified units that never let anything through; None for a layer that is no rectifier."""
    return state.moments.high <= 0 if layer.rectifier else None


def saturated_units(layer: Layer, state: LayerState) -> npt.NDArray[np.bool_] | None:
    """Bounded units that are nearly always at an end of their range; None for a layer without bounds."""
    if layer.bounds is None:
        return None
    return state.moments.saturated / max(state.moments.values, 1) >= SATURATED_SHARE


def constant_units(state: LayerState) -> npt.NDArray[np.bool_]:
    """Units with one value for every row and position."""
    return state.moments.low == state.moments.high


def layer_table(observed: Mapping[str, ActivationsObserver]) -> pa.Table:
    """One line per split and layer that was seen."""
    records = []
    for split, observer in observed.items():
        for place, layer in enumerate(observer.wanted.layers):
            state = observer.layers[layer.name]
            moments = state.moments
            if moments.values == 0:
                continue
            dead, saturated = dead_units(layer, state), saturated_units(layer, state)
            within = moments.m2.sum() / (moments.values * state.units)
            between = ((moments.mean - moments.mean.mean()) ** 2).mean()
            records.append(
                {
                    "split": split,
                    "place": place,
                    "layer": layer.name,
                    "kind": layer.kind,
                    "units": state.units,
                    "positions": state.positions,
                    "rows": moments.rows,
                    "mean": float(moments.mean.mean()),
                    "spread": float(np.sqrt(within + between)),
                    "minimum": float(moments.low.min()),
                    "maximum": float(moments.high.max()),
                    "zeros": float(moments.zeros.sum() / (moments.values * state.units)),
                    "dead": None if dead is None else int(dead.sum()),
                    "saturated": None if saturated is None else int(saturated.sum()),
                    "constant": int(constant_units(state).sum()),
                    "effective_rank": effective_rank(state.covariance.matrix) if state.covariance.rows > 1 else None,
                    "covariance_rows": state.covariance.rows,
                    "covariance_units": len(state.covariance.mean),
                    "not_finite": moments.strange,
                }
            )
    return pa.Table.from_pylist(records, schema=LAYERS)


def unit_table(observed: Mapping[str, ActivationsObserver]) -> pa.Table:
    """One line per split, layer and unit."""
    parts = []
    for split, observer in observed.items():
        for layer in observer.wanted.layers:
            state, moments = observer.layers[layer.name], observer.layers[layer.name].moments
            n = len(moments.mean)
            if n == 0:
                continue
            dead, saturated = dead_units(layer, state), saturated_units(layer, state)
            parts.append(
                pa.table(
                    {
                        "split": pa.array([split] * n, pa.string()),
                        "layer": pa.array([layer.name] * n, pa.string()),
                        "unit": pa.array(np.arange(n), pa.int64()),
                        "mean": moments.mean,
                        "spread": moments.spread,
                        "minimum": moments.low,
                        "maximum": moments.high,
                        "zeros": moments.zeros / moments.values,
                        "dead": pa.nulls(n, pa.bool_()) if dead is None else pa.array(dead),
                        "saturated": pa.nulls(n, pa.bool_()) if saturated is None else pa.array(saturated),
                        "constant": pa.array(constant_units(state)),
                    }
                )
            )
    return pa.concat_tables(parts) if parts else pa.table({})


def map_table(
    projection: Projection,
    observed: Mapping[str, ActivationsObserver],
    roles: Mapping[str, str],
    classes: Sequence[str],
) -> pa.Table:
    """Where the kept rows of each split lie on the map."""
    names = np.array([*classes, None], dtype=object)
    parts = []
    for split, observer in observed.items():
        kept = observer.reservoir
        if kept.vectors is None or len(kept.rows) == 0:
            continue
        order = np.argsort(kept.rows)
        vectors = kept.vectors[order]
        finite = np.isfinite(vectors).all(axis=1)
        order, n = order[finite], int(finite.sum())
        placed = projection.place(vectors[finite])
        parts.append(
            pa.table(
                {
                    "split": pa.array([split] * n, pa.string()),
                    "role": pa.array([roles[split]] * n, pa.string()),
                    "row": pa.array(kept.rows[order], pa.int64()),
                    "label": pa.array(names[kept.labels[order]].tolist(), pa.string()),
                    "prediction": pa.array(names[kept.predictions[order]].tolist(), pa.string()),
                    "x": placed[:, 0],
                    "y": placed[:, 1] if placed.shape[1] > 1 else np.zeros(n),
                }
            )
        )
    return pa.concat_tables(parts) if parts else pa.table({})


def variance_table(projection: Projection) -> pa.Table:
    """Share of the reference's variance along each of the leading components."""
    explained = projection.explained[:COMPONENTS]
    return pa.table(
        {
            "component": pa.array(np.arange(1, len(explained) + 1), pa.int64()),
            "explained": explained,
            "cumulative": np.cumsum(explained),
        }
    )


def top_table(top: TopRows, units: npt.NDArray[np.int64], classes: Sequence[str]) -> pa.Table:
    """The most-activating rows of each penultimate feature, best first. units: the features' own numbers."""
    names = np.array([*classes, None], dtype=object)
    k, width = top.values.shape
    return pa.table(
        {
            "unit": pa.array(np.repeat(units, k), pa.int64()),
            "rank": pa.array(np.tile(np.arange(1, k + 1), width), pa.int64()),
            "row": pa.array(top.rows.T.ravel(), pa.int64()),
            "value": top.values.T.ravel(),
            "label": pa.array(names[top.labels.T.ravel()].tolist(), pa.string()),
            "prediction": pa.array(names[top.predictions.T.ravel()].tolist(), pa.string()),
        }
    )
