"""The energy discipline as sections: what inference takes, and what training and the audit took."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from auditkit.energy.figures import inference_blocks, phase_costs
from auditkit.energy.quantity import quantity, span
from auditkit.evidence.metrics import MetricRow, select
from auditkit.evidence.section import Section
from auditkit.theme import number

_LABELS = {
    "joules_per_1000_rows": ("energy per 1,000 rows", "J"),
    "seconds_per_1000_rows": ("time per 1,000 rows", "s"),
    "co2_grams_per_1000_rows": ("CO₂e per 1,000 rows", "g"),
}

_BLOCKS_READING = "Each dot is one block of equal work; the line is their mean, the band its interval. Lower is better."
_PHASES_READING = (
    "A dot is the figure, the line through it the range it may lie in; diamonds are estimates. The range is that of "
    "the gauge or of the power model, not a confidence interval."
)


def sections(evidence: Any) -> list[Section]:
    """The sections there is evidence for."""
    rows = [row for row in evidence.rows if row.analysis == "energy"]
    made = [_inference(evidence, rows), _phases(evidence, rows)]
    return [section for section in made if section is not None]


def _inference(evidence: Any, rows: list[MetricRow]) -> Section | None:
    found = {row.metric: row for row in rows if row.metric in _LABELS}
    energy, time = found.get("joules_per_1000_rows"), found.get("seconds_per_1000_rows")
    if energy is None or time is None:
        return None
    blocks = evidence.table("energy/blocks")
    figure = None
    if energy.status == "ok" and blocks is not None and blocks.num_rows:
        figure = inference_blocks(blocks, energy.value or 0.0, energy.lower or 0.0, energy.upper or 0.0)
    return Section(
        key="inference",
        title="Energy of inference",
        finding=_inference_finding(energy, time),
        figure=figure,
        reading=_BLOCKS_READING if figure is not None else "",
        table=_inference_table(found),
        how=_inference_how(energy, time),
    )


def _inference_finding(energy: MetricRow, time: MetricRow) -> str:
    if time.status != "ok":
        return f"What inference takes is not known: {time.reason}."
    took = f"{_shown(time)} to score 1,000 rows"
    if energy.status != "ok":
        return f"The model takes {took}; its energy is not known: {energy.reason}."
    source = "measured" if energy.method.startswith("measured") else "estimated"
    return f"The model takes {_shown(energy)} ({source}) and {took}, in full batches."


def _shown(row: MetricRow) -> str:
    value = quantity(row.value, row.unit, row.lower, row.upper)
    return f"{value} {span(row.value, row.unit, row.lower, row.upper)}"


def _inference_table(found: dict[str, MetricRow]) -> pa.Table:
    records = []
    for metric, (label, unit) in _LABELS.items():
        if row := found.get(metric):
            records.append(
                {
                    "figure": label,
                    "value": quantity(row.value, unit, row.lower, row.upper),
                    "interval": span(row.value, unit, row.lower, row.upper),
                    "blocks": number(row.n, "rows"),
                    "note": row.reason or row.method.split(";")[0],
                }
            )
    return pa.Table.from_pylist(records)


def _inference_how(energy: MetricRow, time: MetricRow) -> str:
    if time.status != "ok":
        return ""
    method = energy.method if energy.status == "ok" else time.method
    return (
        f"{method}. After a warm-up, blocks of equal work are scored; only the model's forward pass is inside a block. "
        "The interval is Student's over the blocks at 95 %, and for energy each edge is stretched by the range of the "
        "gauge or of the power model, which more blocks do not narrow. A single row alone takes longer."
    )


def _phases(evidence: Any, rows: list[MetricRow]) -> Section | None:
    table = evidence.table("energy/phases")
    if table is None or table.num_rows == 0:
        return None
    known = [record for record in table.to_pylist() if record["joules"]]
    return Section(
        key="phases",
        title="Energy of training and audit",
        finding=_phases_finding(rows, table),
        figure=phase_costs(table) if known else None,
        reading=_PHASES_READING if known else "",
        table=_phases_table(table),
        how=_phases_how(table),
    )


def _phases_finding(rows: list[MetricRow], table: pa.Table) -> str:
    totals = {row.metric: row for row in select(rows, metric=["audit_joules", "audit_co2_grams", "audit_seconds"])}
    energy, carbon, seconds = (totals.get(f"audit_{name}") for name in ("joules", "co2_grams", "seconds"))
    if energy is None or energy.status != "ok" or carbon is None:
        reason = energy.reason if energy is not None else "no phase was metered"
        return f"What the audit took is not known: {reason}."
    phases = [record for record in table.to_pylist() if record["phase"] != "training" and record["joules"]]
    largest = max(phases, key=lambda record: record["joules"])
    sources = {record["source"] for record in phases}
    source = "measured" if sources == {"measured"} else "estimated"
    duration = f" in {quantity(seconds.value, 's')}" if seconds is not None else ""
    grams = quantity(carbon.value, "g", carbon.lower, carbon.upper)
    grid = largest["country_name"] or largest["country"]
    return (
        f"The audit took {_shown(energy)} ({source}){duration}, {grams} of CO₂e on the grid of {grid}; "
        f"most of it went to {largest['phase']}{_training_clause(table)}."
    )


def _training_clause(table: pa.Table) -> str:
    training = [record for record in table.to_pylist() if record["phase"] == "training"]
    if not training:
        return ""
    record = training[0]
    if record["joules"] is None:
        return f". What training took is not known: {record['reason']}"
    shown = quantity(record["joules"], "J", record["low_joules"], record["high_joules"])
    return f". Training took {shown} ({record['source']})"


def _phases_table(table: pa.Table) -> pa.Table:
    records = [
        {
            "phase": record["phase"],
            "time": quantity(record["seconds"], "s"),
            "energy": quantity(record["joules"], "J", record["low_joules"], record["high_joules"]),
            "range": span(record["joules"], "J", record["low_joules"], record["high_joules"]),
            "CO₂e": quantity(record["co2_g"], "g"),
            "source": record["source"],
            "note": record["reason"] or "",
        }
        for record in table.to_pylist()
    ]
    shown = pa.Table.from_pylist(records)
    return shown if any(record["note"] for record in records) else shown.drop_columns("note")


def _phases_how(table: pa.Table) -> str:
    records = [record for record in table.to_pylist() if record["joules"]]
    if not records:
        return "Each phase is a codecarbon task, run offline. What could not be read is absent, never zero."
    grids = dict.fromkeys(
        f"{record['country_name'] or record['country']}: {record['grid_g_per_kwh']:g} g of CO₂e per kWh"
        + (f" in {record['grid_year']}" if record["grid_year"] else "")
        for record in records
    )
    readers = dict.fromkeys(record["reader"] for record in records if record["reader"])
    return (
        "Each phase is a codecarbon task, run offline; what could not be read is absent, never zero. Readers: "
        + " / ".join(readers)
        + ". Grid, as a yearly average of the country's mix (Our World in Data): "
        + "; ".join(grids)
        + "."
    )
