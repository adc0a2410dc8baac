"""Counterfactual moves: how far a predicted number moves when nothing but the sensitive value does.

What `flips.py` is for decisions: every row's value of an attribute that the model is given is swapped for each other
value in turn, and the model asked again. For each row the size of the change is averaged over the other values, and
that over rows, in the label's unit. For each pair of values the mean change shows its direction, with Student's
interval of the paired differences; p-values are adjusted over all pairs by Holm. A model that adds a constant for a
group moves every row by it.

It sees direct use of the attribute only, as flips do.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial

import numpy as np
import pyarrow as pa

from auditkit.errors import InputError
from auditkit.evidence.metrics import Findings, MetricRow
from auditkit.fairness.individual.flips import Floats, Predict, Swaps, swap
from auditkit.fairness.settings import Settings
from auditkit.statistics.multiplicity import holm

METRIC = "counterfactual_prediction_change"
ROUNDING = 5e-7
"""of the size of predictions: a smaller change is what float32 leaves of none"""
_TABLE = pa.schema(
    [(name, pa.string()) for name in ("split", "attribute", "value", "swapped_for")]
    + [("n", pa.int64())]
    + [(name, pa.float64()) for name in ("change", "lower", "upper", "p_value", "p_adjusted", "size", "largest")]
)


def move_findings(
    table: pa.Table,
    attributes: Sequence[str],
    predict: Predict,
    settings: Settings,
    *,
    split: str = "",
    refused: Mapping[str, str] | None = None,
) -> Findings:
    """How far predictions move, overall and by the rows' own value, for each attribute that is a column of the table.

    predict: table → predicted numbers [n]. refused: attribute → why it was not asked about (it is no feature, say).

    >>> people = pa.table({"sex": ["f", "m"] * 50})
    >>> def predict(rows): return [3.0 * (sex == "m") for sex in rows["sex"].to_pylist()]
    >>> found = move_findings(people, ["sex"], predict, Settings())
    >>> found.metrics[0].metric, found.metrics[0].value
    ('counterfactual_prediction_change', 3.0)
    """
    metrics: list[MetricRow] = []
    records: list[dict[str, object]] = []
    why = dict(refused or {})
    factual = np.asarray(predict(table), dtype=np.float64) if attributes else None
    for attribute in attributes:
        try:
            swaps = swap(table, attribute, predict, factual)
        except InputError as problem:
            why[attribute] = str(problem)
            continue
        changes = _changes(swaps)
        metrics += _rows(swaps, changes, settings, split)
        records += _records(swaps, changes, settings, split)
    metrics += [
        MetricRow("fairness", METRIC, split=split, attribute=attribute, status="not applicable", reason=reason)
        for attribute, reason in why.items()
    ]
    adjusted = holm([float(str(record["p_value"])) for record in records]).tolist() if records else []
    records = [{**record, "p_adjusted": p} for record, p in zip(records, adjusted, strict=True)]
    return Findings(metrics=metrics, tables={"moves": pa.Table.from_pylist(records, schema=_TABLE)})


def _changes(swaps: Swaps) -> Floats:
    """Swapped less factual predictions [values, n], NaN where the value is the row's own."""
    changes = swaps.swapped - swaps.scores
    return np.where(np.abs(changes) <= ROUNDING * np.abs(swaps.scores).max(), 0.0 * changes, changes)


def _rows(swaps: Swaps, changes: Floats, settings: Settings, split: str) -> Iterator[MetricRow]:
    moved = np.nanmean(np.abs(changes), axis=0)
    everybody = ("", np.ones(len(swaps.own), dtype=bool))
    few = tuple(name for at, name in enumerate(swaps.names) if (swaps.own == at).sum() < settings.minimum_group)
    for group, mine in [everybody, *((name, swaps.own == at) for at, name in enumerate(swaps.names))]:
        n = int(mine.sum())
        row = partial(MetricRow, "fairness", METRIC, split, swaps.attribute, group, n=n, better="lower")
        if n < max(2, settings.minimum_group):
            yield row(status="insufficient", reason=f"only {n} rows, fewer than the {settings.minimum_group} needed to "
                      "judge")  # fmt: skip
            continue
        mean, lower, upper, _ = _student(moved[mine], settings.confidence)
        yield row(
            value=mean, lower=max(0.0, lower), upper=upper, confidence=settings.confidence,
            unjudged=() if group else few,
            method="mean size of a prediction's change over rows and other values, in the label's unit; Student's t",
        )  # fmt: skip


def _records(swaps: Swaps, changes: Floats, settings: Settings, split: str) -> Iterator[dict[str, object]]:
    for at, name in enumerate(swaps.names):
        mine = swaps.own == at
        for other, second in enumerate(swaps.names):
            if other == at or mine.sum() < 2 or np.isnan(changes[other, mine]).any():
                continue
            mean, lower, upper, p_value = _student(changes[other, mine], settings.confidence)
            size = np.abs(changes[other, mine])
            yield {
                "split": split,
                "attribute": swaps.attribute,
                "value": name,
                "swapped_for": second,
                "n": int(mine.sum()),
                "change": mean,
                "lower": lower,
                "upper": upper,
                "p_value": p_value,
                "size": float(size.mean()),
                "largest": float(size.max()),
            }


def _student(values: Floats, confidence: float) -> tuple[float, float, float, float]:
    """Mean, interval and two-sided p-value of no mean, of at least two values."""
    from scipy.special import stdtr, stdtrit

    freedom, mean = len(values) - 1, float(values.mean())
    error = float(values.std(ddof=1) / np.sqrt(len(values)))
    away = float(stdtrit(freedom, 0.5 + confidence / 2)) * error
    if error == 0:
        return mean, mean, mean, 1.0 if mean == 0 else 0.0
    return mean, mean - away, mean + away, float(2 * stdtr(freedom, -abs(mean) / error))
