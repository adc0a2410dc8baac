"""The evidence tables of the discipline."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from auditkit.ood.calibrated import Calibrated
from auditkit.ood.groups import GroupFlags
from auditkit.ood.panel import Panel, Unmeasured
from auditkit.ood.registry import FUSED
from auditkit.ood.scores import Floats
from auditkit.statistics.conformal import Threshold

BINS = 40
FACTS = ("neighbours", "bank_rows", "shrinkage", "condition_number", "dead_units")


def nullable(values: npt.NDArray) -> pa.Array:
    """A float column with NaN as null."""
    return pa.array(values, mask=np.isnan(values))


def score_table(split: str, known: Calibrated) -> pa.Table:
    """One row per row of a split: every score, the fused score's p-value, and whether that flags it."""
    scores, threshold = known.scores[split], known.thresholds[FUSED]
    columns: dict[str, pa.Array] = {
        "split": pa.array([split] * len(scores.rows), pa.string()),
        "row": pa.array(scores.rows, pa.int64()),
    }
    columns |= {name: nullable(values) for name, values in scores.scores.items()}
    if split in known.fused_p:
        columns[f"{FUSED}_p"] = nullable(known.fused_p[split])
    if isinstance(threshold, Threshold):
        statistic = scores.scores[FUSED]
        columns["flagged"] = pa.array(statistic > threshold.value, mask=np.isnan(statistic))
    return pa.table(columns)


def detector_table(panel: Panel, members: Sequence[str]) -> pa.Table:
    """One row per detector: what it is, whether it could be used, and what is worth knowing of its fit."""
    records = []
    for detector in panel.detectors:
        why = panel.refused.get(detector.name)
        facts = {} if why else panel.fitted[detector.name].facts
        records.append(
            {
                "detector": detector.name,
                "title": detector.title,
                "sees": detector.sees,
                "valid_for": detector.valid_for,
                "source": detector.source,
                "in_fused": detector.name in members,
                "status": why.status if why else "ok",
                "reason": why.reason if why else "",
                **{fact: facts.get(fact) for fact in FACTS},
            }
        )
    text = ("detector", "title", "sees", "valid_for", "source", "status", "reason")
    types = dict.fromkeys(text, pa.string()) | {"in_fused": pa.bool_()} | dict.fromkeys(FACTS, pa.float64())
    return pa.Table.from_pylist(records, schema=pa.schema([(name, types[name]) for name in records[0]]))


def threshold_table(thresholds: Mapping[str, Threshold | Unmeasured]) -> pa.Table:
    """One row per detector: its threshold and what it promises, or why there is none."""
    records = []
    for name, threshold in thresholds.items():
        known = threshold if isinstance(threshold, Threshold) else None
        records.append(
            {
                "detector": name,
                "threshold": known and known.value,
                "n": known and known.n,
                "k": known and known.k,
                "level": known and known.level,
                "confidence": known and known.confidence,
                "mean_rate": known and known.mean,
                "low_rate": known and known.low,
                "high_rate": known and known.high,
                "status": "ok" if isinstance(threshold, Threshold) else threshold.status,
                "reason": "" if isinstance(threshold, Threshold) else threshold.reason,
            }
        )
    floats = ("threshold", "level", "confidence", "mean_rate", "low_rate", "high_rate")
    types = dict.fromkeys(floats, pa.float64()) | {"n": pa.int64(), "k": pa.int64()}
    names = ("detector", "threshold", "n", "k", *floats[1:], "status", "reason")
    return pa.Table.from_pylist(records, schema=pa.schema([(name, types.get(name, pa.string())) for name in names]))


def group_table(counted: Mapping[str, Sequence[Sequence[GroupFlags]]]) -> pa.Table:
    """How many rows of each group every detector flags."""
    records = [
        {"detector": detector, "attribute": g.attribute, "group": g.group, "rows": g.rows, "flagged": g.flagged}
        for detector, attributes in counted.items()
        for groups in attributes
        for g in groups
    ]
    return pa.Table.from_pylist(records)


def histogram_table(detector: str, scores: Mapping[str, Floats], bins: int = BINS) -> pa.Table:
    """How a detector's finite scores are spread over equal bins of their common range, split by split."""
    everything = np.concatenate([values for values in scores.values() if len(values)])
    edges = np.linspace(everything.min(), max(everything.max(), everything.min() + 1e-9), bins + 1)
    parts = []
    for split, values in scores.items():
        if len(values) == 0:
            continue
        counts, _ = np.histogram(values, edges)
        parts.append(
            pa.table(
                {
                    "detector": [detector] * bins,
                    "split": [split] * bins,
                    "low": edges[:-1],
                    "high": edges[1:],
                    "rows": counts.astype(np.int64),
                    "share": counts / len(values),
                }
            )
        )
    return pa.concat_tables(parts)


def blame_table(columns: Sequence[str], flagged: Mapping[str, npt.NDArray[np.int64]]) -> pa.Table:
    """Which column made the flagged rows of each split strange. flagged: split → column places of its flagged rows."""
    records: list[tuple[str, str, int, float]] = []
    for split, places in flagged.items():
        counts = np.bincount(places, minlength=len(columns))
        records += [
            (split, name, int(count), int(count) / len(places))
            for name, count in zip(columns, counts, strict=True)
            if count
        ]
    schema = pa.schema([("split", pa.string()), ("column", pa.string()), ("rows", pa.int64()), ("share", pa.float64())])
    ordered = sorted(records, key=lambda record: (record[0], -record[2], record[1]))
    return pa.Table.from_pylist([dict(zip(schema.names, record, strict=True)) for record in ordered], schema=schema)
