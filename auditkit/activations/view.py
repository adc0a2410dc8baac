"""How activations are shown: evidence → sections. Picks rows and formats them; computes no statistics."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from auditkit import theme
from auditkit.activations import figures
from auditkit.evidence.metrics import MetricRow, select
from auditkit.evidence.section import Section, matching

NAME = "activations"
SHOWN_UNITS = 6


def sections(evidence: Any) -> list[Section]:
    """The sections of the page, in reading order."""
    return [*_layers(evidence), *_map(evidence), *_top(evidence)]


def _metrics(evidence: Any, **where: str) -> list[MetricRow]:
    return select(evidence.rows, analysis=NAME, **where)


def _layers(evidence: Any) -> list[Section]:
    table = evidence.table(f"{NAME}/layers")
    if table is None or table.num_rows == 0:
        return []
    split = table.column("split")[0].as_py()
    lines = sorted(matching(table, split=split), key=lambda line: line["place"])
    finding = _idle_finding(evidence, split, lines[0]["rows"])
    return [
        Section(
            "layers",
            "Layer by layer",
            finding,
            figure=figures.layers(table, split),
            reading="Left: how many of a layer's units (grey) amount to directions of their own (blue). Right: the "
            "share of units that are dead (a rectifier that never opens), saturated (at an end of their range) or "
            "constant (one value for every row).",
            table=_layer_table(lines),
            how=f"All rows of split {split!r}. A unit is a column, or a channel of a convolution, whose values at all "
            "positions count. Effective rank: exponential of the entropy of the eigenvalues of the units' covariance "
            "(float64, convolution channels averaged over positions, at most about 8,192 rows). Dropout and flatten "
            "only pass values on and are left out.",
        )
    ]


def _idle_finding(evidence: Any, split: str, rows: int) -> str:
    """Which units do no work, in a sentence."""
    found = [row for row in _metrics(evidence, split=split) if row.metric in ("dead_units", "saturated_units")]
    judged = [row for row in found if row.value is not None]
    if not judged:
        why = found[0].reason if found else "no watched layer is a rectifier or bounded activation module"
        return f"Dead and saturated units are not judged: {why}."
    idle = sorted((row for row in judged if row.value), key=lambda row: -(row.value or 0.0))
    over = f"over {theme.number(rows, 'rows')} rows of {split}"
    if not idle:
        return f"No unit is dead or saturated {over}."
    said = [f"{theme.number(row.value, 'rate')} of {row.detail} ({row.metric.split('_')[0]})" for row in idle[:3]]
    return f"Units without work {over}: {_listed(said)}."


def _layer_table(lines: list[dict[str, Any]]) -> pa.Table:
    def count(line: dict[str, Any], what: str) -> str:
        return theme.NO_VALUE if line[what] is None else f"{line[what]} of {line['units']}"

    return pa.table(
        {
            "layer": [line["layer"] for line in lines],
            "kind": [line["kind"] for line in lines],
            "units": [theme.number(line["units"], "rows") for line in lines],
            "mean": [theme.number(line["mean"]) for line in lines],
            "spread": [theme.number(line["spread"]) for line in lines],
            "range": [f"{line['minimum']:.3g} to {line['maximum']:.3g}" for line in lines],
            "zeros": [theme.number(line["zeros"], "rate") for line in lines],
            "dead": [count(line, "dead") for line in lines],
            "saturated": [count(line, "saturated") for line in lines],
            "effective rank": [theme.number(line["effective_rank"]) for line in lines],
        }
    )


def _map(evidence: Any) -> list[Section]:
    points, spectrum = evidence.table(f"{NAME}/map"), evidence.table(f"{NAME}/variance")
    explained = _metrics(evidence, metric="map_variance_explained")
    if points is None or spectrum is None or points.num_rows == 0:
        reasons = [row.reason for row in explained if row.reason]
        return [Section("map", "Map of the features", f"There is no map: {reasons[0]}.")] if reasons else []
    shares = spectrum.column("explained").to_pylist()
    rank = next((row for row in _metrics(evidence, metric="feature_effective_rank") if row.value is not None), None)
    kept = theme.number(explained[0].value, "rate") if explained else theme.NO_VALUE
    finding = f"The map keeps {kept} of the variance of the penultimate features"
    finding += f", which use about {theme.number(rank.value)} directions." if rank else "."
    schema = evidence.info.get("schema", {})
    apart = schema.get("task", "classification") == "classification"
    classes = list(schema.get("classes", [])) if apart else []
    look = "classes that lie apart are easy to tell apart. " if classes else "rows that lie together look alike. "
    outside = any(role == "ood" for role in points.column("role").to_pylist())
    return [
        Section(
            "map",
            "Map of the features",
            finding,
            figure=figures.feature_map(points, classes, shares),
            reading="Each mark is a row where the last layer sees it: "
            + look
            + (
                "Crosses are out-of-distribution rows; among the coloured marks the model cannot see that they are "
                "foreign, at least in these two directions. "
                if outside
                else ""
            )
            + "Two rows that are close here may still be far apart in other directions.",
            how="Principal components of the training features (float64 covariance from the pass); rows of the test "
            "and out-of-distribution splits, drawn by a hash of row and seed, placed on the first two.",
        ),
        Section(
            "variance",
            "How many directions the features use",
            _steepness(spectrum),
            figure=figures.variance(spectrum),
            reading="A steep start means that a few directions carry the decision.",
            how="Eigenvalues of the training features' covariance, divided by their sum.",
        ),
    ]


def _steepness(spectrum: pa.Table) -> str:
    """How many components hold 90 % of the variance, in a sentence."""
    lines = spectrum.to_pylist()
    enough = next((line["component"] for line in lines if line["cumulative"] >= 0.9), None)
    if enough is None:
        return (
            f"The first {len(lines)} components hold {theme.number(lines[-1]['cumulative'], 'rate')} of the variance."
        )
    return f"{enough} component{'s hold' if enough > 1 else ' holds'} 90 % of the features' variance."


def _top(evidence: Any) -> list[Section]:
    top, inputs = evidence.table(f"{NAME}/top"), evidence.table(f"{NAME}/inputs")
    if top is None or inputs is None or top.num_rows == 0:
        return []
    units = shown_units(top, inputs)
    image, series = "pixels" in inputs.column_names, "steps" in inputs.column_names
    lines = [line for unit in units for line in matching(top, unit=unit)]
    alone = [unit for unit in units if len({line["label"] for line in matching(top, unit=unit)}) == 1]
    return [
        Section(
            "top-rows",
            "What activates a unit most",
            f"Of the {len(units)} units shown, {len(alone)} have most-activating rows of one class only."
            if any(line["label"] for line in lines)
            else f"The test rows that activate {len(units)} units most.",
            figure=figures.top_pictures(top, inputs, units)
            if image
            else figures.top_curves(top, inputs, units)
            if series
            else None,
            reading="Each line is a unit of the penultimate features with the test rows that activate it most, best "
            "first; what they share is what the unit responds to.",
            table=_top_table(lines, {} if image or series else _values(inputs)),
            how="The largest values over all test rows; equal values in the order of rows. The units shown are those "
            "with the largest activations.",
        )
    ]


def shown_units(top: pa.Table, inputs: pa.Table) -> list[int]:
    """The units with the largest activations whose rows are kept in readable form."""
    kept = set(inputs.column("row").to_pylist())
    lines = [line for line in matching(top, rank=1) if line["row"] in kept]
    return [line["unit"] for line in sorted(lines, key=lambda line: -line["value"])[:SHOWN_UNITS]]


def _values(inputs: pa.Table) -> dict[int, dict[str, str]]:
    """row → column → value."""
    found: dict[int, dict[str, str]] = {}
    for line in inputs.to_pylist():
        found.setdefault(line["row"], {})[line["column"]] = line["value"] if line["value"] is not None else "missing"
    return found


def _top_table(lines: list[dict[str, Any]], values: dict[int, dict[str, str]]) -> pa.Table:
    columns = list(next(iter(values.values()))) if values else []
    table = {
        "unit": [str(line["unit"]) for line in lines],
        "rank": [str(line["rank"]) for line in lines],
        "row": [str(line["row"]) for line in lines],
        "activation": [f"{line['value']:.3g}" for line in lines],
    }
    if any(line["prediction"] for line in lines):
        table |= {name: [line[name] or theme.NO_VALUE for line in lines] for name in ("label", "prediction")}
    for column in columns:
        table[column if column not in table else f"{column} (input)"] = [
            values.get(line["row"], {}).get(column, theme.NO_VALUE) for line in lines
        ]
    return pa.table(table)


def _listed(parts: list[str]) -> str:
    """Words in a row, as in a sentence."""
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}" if parts else ""
