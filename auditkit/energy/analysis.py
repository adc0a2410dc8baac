"""EnergyAnalysis: joules, seconds and grams of CO₂e per 1,000 rows of inference on the test split.

It needs nothing of the shared pass: it scores the split's first rows again and again, at the batch size of the pass,
under a meter of its own (`inference.py`). All of its figures are measured anew each time, so they stand outside the
digest of results.

When it misleads: an estimate from a power model is right to within a factor, not a percentage, and its range says so;
a whole GPU is charged even where others use it; a block of a second is short for a GPU's energy counter.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pyarrow as pa

from auditkit.energy.inference import Block, Estimate, joules_per_1000, measure, seconds_per_1000
from auditkit.engine.analysis import Context, Needs, Observer
from auditkit.engine.meter import COST_SCHEMA, Meter
from auditkit.engine.reader import Reader
from auditkit.evidence.metrics import Caveat, Findings, MetricRow
from auditkit.spec import AuditSpec
from auditkit.subject.data import Split
from auditkit.subject.subject import Subject

CONFIDENCE = 0.95
HELD_BATCHES = 4
"""Batches prepared beforehand and scored in turn: enough to vary the rows, few enough to fit beside the model."""


class EnergyAnalysis:
    """What inference costs. `reader` can be given in place of codecarbon, for machines whose power is known."""

    name = "energy"
    title = "Energy and carbon"

    def __init__(self, reader: Reader | None = None) -> None:
        self._reader = reader

    def needs(self, subject: Subject, spec: AuditSpec) -> Needs:
        """Nothing of the shared pass."""
        return Needs()

    def observe(self, context: Context, split: Split, earlier: Mapping[str, Observer]) -> Observer | None:
        """Sits the pass out."""
        return None

    def conclude(self, context: Context, observers: Mapping[str, Observer]) -> Findings:
        """Score the test split in blocks; absent with the reason where there is no test split or no energy."""
        splits = context.subject.of_role("test")
        if not splits:
            return Findings(measured=_absent("", "the audit has no test split"))
        split = splits[0]
        if reason := context.subject.model.lacks.get("model"):
            return Findings(measured=_absent(split.name, reason))
        blocks, size = self._blocks(context, split)
        joules = joules_per_1000(blocks, CONFIDENCE)
        return Findings(
            measured=_rows(split.name, blocks, size, joules),
            measured_tables={"blocks": _table(blocks)},
            caveats=_caveats(blocks, context.spec.energy.seconds, joules),
        )

    def _blocks(self, context: Context, split: Split) -> tuple[list[Block], int]:
        import torch

        model, spec = context.subject.model, context.spec
        size = min(spec.batch_size or model.safe_rows(split), model.batch_rows or len(split), len(split))
        meter = Meter(spec.energy.country, reader=self._reader)
        held = np.arange(min(len(split), HELD_BATCHES * size))
        batches = [model.encode(split, held[start : start + size]) for start in range(0, len(held), size)]

        def score(index: int) -> int:
            inputs = batches[index]
            model.logits(inputs)
            rows = len(inputs[0])
            context.ledger.forward("energy", split.name, rows)
            return rows

        context.ledger.distinct("energy", split.name, len(held))
        with model.evaluating(), torch.inference_mode():
            wanted = spec.energy
            return measure(score, len(batches), meter, blocks=wanted.blocks, seconds=wanted.seconds), size


def _rows(split: str, blocks: list[Block], size: int, joules: Estimate | str) -> list[MetricRow]:
    how = f"throughput: batches of {size:,} rows, encoded beforehand, {len(blocks)} blocks of {blocks[0].rows:,} rows"
    rows = [_row("seconds_per_1000_rows", split, seconds_per_1000(blocks, CONFIDENCE), "s", len(blocks), how)]
    if isinstance(joules, str):
        return rows + [row for row in _absent(split, joules) if row.unit != "s"]
    source = "measured" if all(block.cost.source == "measured" for block in blocks) else "estimated"
    how = f"{source}; {how}; {blocks[0].cost.reader}"
    grams = blocks[0].cost.grid_g_per_kwh / 3.6e6
    carbon = Estimate(joules.value * grams, joules.lower * grams, joules.upper * grams)
    return [
        _row("joules_per_1000_rows", split, joules, "J", len(blocks), how),
        *rows,
        _row("co2_grams_per_1000_rows", split, carbon, "g", len(blocks), how),
    ]


def _row(metric: str, split: str, estimate: Estimate, unit: str, n: int, how: str) -> MetricRow:
    return MetricRow(
        "energy",
        metric,
        split=split,
        value=estimate.value,
        lower=estimate.lower,
        upper=estimate.upper,
        confidence=CONFIDENCE,
        n=n,
        unit=unit,
        better="lower",
        method=how,
    )


def _absent(split: str, reason: str) -> list[MetricRow]:
    units = {"joules_per_1000_rows": "J", "seconds_per_1000_rows": "s", "co2_grams_per_1000_rows": "g"}
    return [
        MetricRow("energy", metric, split=split, unit=unit, better="lower", status="absent", reason=reason)
        for metric, unit in units.items()
    ]


def _table(blocks: list[Block]) -> pa.Table:
    """One row per block: its rows, and what a cost says."""
    records = [
        {"rows": block.rows} | {name: getattr(block.cost, name) for name in COST_SCHEMA.names} for block in blocks
    ]
    return pa.Table.from_pylist(records, schema=pa.schema([("rows", pa.int64()), *COST_SCHEMA]))


def _caveats(blocks: list[Block], seconds: float, joules: Estimate | str) -> list[Caveat]:
    about, cost = "energy/joules_per_1000_rows", blocks[0].cost
    if isinstance(joules, str):
        return [Caveat("energy", f"no energy figure for inference: {joules}", about)]
    caveats = []
    if any(block.cost.source == "estimated" for block in blocks):
        text = f"energy is estimated, not measured: trust the range, not the digits ({cost.reader})"
        caveats.append(Caveat("energy", text, about))
    if coarse := [block.cost.reason for block in blocks if block.cost.reason.startswith("coarse")]:
        text = f"{coarse[0]}: set energy.seconds to 10 to let a counter settle (it is {seconds:g})"
        caveats.append(Caveat("energy", text, about))
    return caveats
