"""What the audit's own phases and the model's training took: one table, and its rows of the metric table.

A phase that ran in several windows, as in an audit that was resumed, is one row with their sum; it is absent where one
of them is, because a part is not the whole. The range of a sum is the sum of ranges: models and gauges err together.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pyarrow as pa

from auditkit.engine.meter import COST_SCHEMA, Cost, costs_table
from auditkit.evidence.metrics import MetricRow

TRAINING = "training"
RANGE = "range of the gauge where measured, of the power model where estimated; not a confidence interval"


def phases_table(costs: Iterable[Cost | Mapping[str, Any]], training: Mapping[str, Any] | None) -> pa.Table:
    """Training first, then each phase of the audit, with the schema `COST_SCHEMA`.

    `costs` are costs or their records; `training` is the record that came with the model, or None.
    """
    listed = [cost if isinstance(cost, Cost) else Cost.from_record(dict(cost)) for cost in costs]
    phases = dict.fromkeys(cost.phase for cost in listed)
    summed = [_sum(phase, [cost for cost in listed if cost.phase == phase]) for phase in phases]
    audit = costs_table(summed)
    return pa.concat_tables([_training(training), audit])


def phase_rows(table: pa.Table) -> list[MetricRow]:
    """Joules, seconds and grams of CO₂e of each phase (`detail` names it), and of the audit without the training."""
    records = table.to_pylist()
    rows = [row for record in records for row in _rows_of("phase", record["phase"], record)]
    return rows + _rows_of("audit", "", _total([record for record in records if record["phase"] != TRAINING]))


def _training(record: Mapping[str, Any] | None) -> pa.Table:
    """The training's record as a row; one that says why, where there is none."""
    if record and record.get("seconds") is not None:
        return costs_table([Cost.from_record({**record, "phase": TRAINING})])
    reason = str((record or {}).get("reason") or "the model came without a record of its training")
    absent = dict.fromkeys(COST_SCHEMA.names) | {
        "phase": TRAINING,
        "source": "absent",
        "reader": "",
        "reason": reason,
    }
    return pa.Table.from_pylist([absent], schema=COST_SCHEMA)


def _sum(phase: str, costs: Sequence[Cost]) -> Cost:
    if len(costs) == 1:
        return costs[0]
    total = Cost.from_record({**costs[0].record(), "phase": phase, "parts": ()})
    total.seconds = math.fsum(cost.seconds for cost in costs)
    missing = [cost.reason for cost in costs if cost.joules is None]
    if missing:
        total.joules = total.low_joules = total.high_joules = None
        total.source, total.reader, total.reason = "absent", "", missing[0]
        return total
    for name in ("joules", "low_joules", "high_joules"):
        setattr(total, name, math.fsum(getattr(cost, name) for cost in costs))
    total.source = "measured" if all(cost.source == "measured" for cost in costs) else "estimated"
    total.reason = "; ".join(dict.fromkeys(cost.reason for cost in costs if cost.reason))
    return total


def _total(records: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """All phases of the audit as one; without energy where one of them has none."""
    missing = [record["phase"] for record in records if record["joules"] is None]
    total: dict[str, Any] = dict.fromkeys(COST_SCHEMA.names)
    total["reason"] = "no phase was metered" if not records else ""
    if records:
        total["seconds"] = math.fsum(record["seconds"] for record in records)
    if missing:
        total["reason"] = f"no energy is known for: {', '.join(missing)}"
    elif records:
        for name in ("joules", "low_joules", "high_joules", "co2_g"):
            total[name] = math.fsum(record[name] for record in records)
    return total


def _rows_of(prefix: str, detail: str, record: Mapping[str, Any]) -> list[MetricRow]:
    """A record's joules, seconds and grams as metric rows; absent with the reason where null."""
    joules = record["joules"]
    scale = record["co2_g"] / joules if joules else 0.0
    bounds = (record["low_joules"], record["high_joules"])
    carbon = tuple(None if edge is None else edge * scale for edge in bounds)
    return [
        _row(f"{prefix}_joules", detail, joules, bounds, "J", record["reason"]),
        _row(f"{prefix}_co2_grams", detail, record["co2_g"], carbon, "g", record["reason"]),
        _row(f"{prefix}_seconds", detail, record["seconds"], (None, None), "s", record["reason"]),
    ]


def _row(
    metric: str, detail: str, value: float | None, bounds: tuple[float | None, ...], unit: str, reason: str
) -> MetricRow:
    if value is None:
        return MetricRow("energy", metric, detail=detail, unit=unit, better="lower", status="absent", reason=reason)
    lower, upper = bounds
    method = RANGE if lower is not None else "wall clock"
    return MetricRow(
        "energy", metric, detail=detail, value=value, lower=lower, upper=upper, unit=unit, better="lower", method=method
    )
