"""Counterfactual flips of several labels: which of them hang on nothing but the sensitive value.

Each label is a decision of its own, and flips as `flips.py` says; the model is asked once for all of them. Rates have
the label as detail; p-values are adjusted over all labels and pairs of values by Holm.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np
import pyarrow as pa

from auditkit.errors import InputError
from auditkit.evidence.metrics import Findings, MetricRow
from auditkit.fairness.individual.flips import FLIPS, METRICS, Floats, Swaps, flip_records, flip_rows, swap
from auditkit.fairness.settings import Settings
from auditkit.statistics.multiplicity import holm

PredictAll = Callable[[pa.Table], Floats]
HALF = 0.5
TABLE = FLIPS.append(pa.field("label", pa.string()))


def label_flip_findings(
    table: pa.Table,
    attributes: Sequence[str],
    predict: PredictAll,
    settings: Settings,
    *,
    labels: Sequence[str],
    split: str = "",
    refused: Mapping[str, str] | None = None,
) -> Findings:
    """How many answers flip of every label, overall and by the rows' own value, for each attribute.

    predict: table → probability of each label [n, L]; yes from a half on. Other arguments as in `flip_findings`.

    >>> people = pa.table({"sex": ["f", "m"] * 50})
    >>> def predict(rows): return np.array([[float(sex == "m"), 0.2] for sex in rows["sex"].to_pylist()])
    >>> found = label_flip_findings(people, ["sex"], predict, Settings(), labels=["rude", "long"])
    >>> [(row.detail, row.value) for row in found.metrics if row.metric == METRICS[0] and not row.group]
    [('rude', 1.0), ('long', 0.0)]
    """
    metrics: list[MetricRow] = []
    records: list[dict[str, object]] = []
    why = dict(refused or {})
    for attribute in attributes:
        try:
            every = list(_swaps(table, attribute, predict, len(labels)))
        except InputError as problem:
            why[attribute] = str(problem)
            continue
        for label, swaps in zip(labels, every, strict=True):
            metrics += [replace(row, detail=label) for row in flip_rows(swaps, settings, HALF, split)]
            records += [{**record, "label": label} for record in flip_records(swaps, settings, HALF, split)]
    metrics += [
        MetricRow("fairness", metric, split=split, attribute=attribute, status="not applicable", reason=reason)
        for attribute, reason in why.items()
        for metric in METRICS
    ]
    tested = holm([float(str(record["p_value"])) for record in records]).tolist() if records else []
    records = [{**record, "p_adjusted": p} for record, p in zip(records, tested, strict=True)]
    return Findings(metrics=metrics, tables={"label_flips": pa.Table.from_pylist(records, schema=TABLE)})


def _swaps(table: pa.Table, attribute: str, predict: PredictAll, labels: int) -> Iterator[Swaps]:
    """What swapping the attribute did to each label; the model is asked as often as for one."""
    answers: list[Floats] = []

    def ask(rows: pa.Table) -> Floats:
        found = np.asarray(predict(rows), dtype=np.float64)
        if found.shape != (rows.num_rows, labels) or not np.isfinite(found).all():
            raise InputError(f"the model must give {labels} finite numbers for each of {rows.num_rows:,} rows")
        answers.append(found)
        return found[:, 0]

    first = swap(table, attribute, ask)
    asked = [at for at in range(len(first.names)) if not np.isnan(first.swapped[at]).all()]
    for label in range(labels):
        swapped = np.full(first.swapped.shape, np.nan)
        for at, found in zip(asked, answers[1:], strict=True):
            swapped[at, first.own != at] = found[:, label]
        yield replace(first, scores=answers[0][:, label], swapped=swapped)
