"""Figures of a split as they are said in sentences and listed in tables, whatever the model predicts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pyarrow as pa

from auditkit.evidence.metrics import MetricRow, select
from auditkit.theme import interval, number

SHOWN_SPLITS = ("train", "validation", "test")


def on_test(rows: Sequence[MetricRow], metric: str) -> MetricRow | None:
    """The figure of the whole test split; None where there is none."""
    return next(iter(select(rows, metric=metric, split="test", detail="")), None)


def shown(row: MetricRow) -> str:
    """A value with its interval, where it has one."""
    text = number(row.value, row.unit, row.lower, row.upper)
    return text if row.lower is None else f"{text} {interval(row.lower, row.upper, row.unit)}"


def by_split(rows: Sequence[MetricRow], labels: Mapping[str, str]) -> pa.Table:
    """Figures by split, in the order of `labels` (metric → its name)."""
    order = sorted(rows, key=lambda row: (list(labels).index(row.metric), SHOWN_SPLITS.index(row.split)))
    return pa.table(
        {
            "figure": [labels[row.metric] for row in order],
            "split": [row.split for row in order],
            "value": [number(row.value, row.unit, row.lower, row.upper) for row in order],
            "interval": [interval(row.lower, row.upper, row.unit) for row in order],
            "rows": [number(row.n, "rows") for row in order],
            "note": [row.reason for row in order],
        }
    )
