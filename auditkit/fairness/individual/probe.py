"""Counterfactual flips of an audit's model, or moves of its predicted numbers, asked of it on the test split."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from auditkit.engine.analysis import Context
from auditkit.evidence.metrics import Caveat, Findings
from auditkit.fairness.individual.flips import METRICS, flip_findings
from auditkit.fairness.individual.label_flips import label_flip_findings
from auditkit.fairness.individual.moves import METRIC, move_findings
from auditkit.fairness.settings import Settings
from auditkit.subject.data import Split

PHASE = "counterfactual"
MAXIMUM_ROWS = 10_000


def positive_scores(context: Context, split: Split, table: pa.Table, positive: int) -> npt.NDArray[np.float64]:
    """How sure the model is of the positive class against the strongest other, float64 [n].

    Of two classes that is the positive probability; of more, 0.5 is still where the decision turns positive. Rows are
    counted in the cost ledger.
    """
    parts = []
    for logits in _asked_again(context, split, table):
        margin = logits[:, positive] - np.delete(logits, positive, axis=1).max(axis=1)
        parts.append(1 / (1 + np.exp(-np.clip(margin, -700, 700))))
    return np.concatenate(parts)


def predicted_numbers(context: Context, split: Split, table: pa.Table) -> npt.NDArray[np.float64]:
    """What a regression predicts of the table's rows, float64 [n]. Rows are counted in the cost ledger."""
    return np.concatenate([logits[:, 0] for logits in _asked_again(context, split, table)])


def label_scores(context: Context, split: Split, table: pa.Table) -> npt.NDArray[np.float64]:
    """The probability of each of several labels, float64 [n, L]. Rows are counted in the cost ledger."""
    logits = np.concatenate(list(_asked_again(context, split, table)))
    found: npt.NDArray[np.float64] = 1 / (1 + np.exp(-np.clip(logits, -700, 700)))
    return found


def _asked_again(context: Context, split: Split, table: pa.Table) -> Iterator[npt.NDArray[np.float64]]:
    """The model's outputs for rows that are the split's but for some values, batch by batch [n, classes]."""
    model = context.subject.model
    changed = replace(split, table=table, arrays={})
    size = context.spec.batch_size or model.safe_rows(changed)
    with model.evaluating():
        for start in range(0, table.num_rows, size):
            rows = np.arange(start, min(start + size, table.num_rows))
            yield model.logits(model.encode(changed, rows)).detach().cpu().double().numpy()
    context.ledger.forward(PHASE, split.name, table.num_rows)


def counterfactual_findings(context: Context, split: Split, settings: Settings) -> Findings:
    """Flips, or of a regression moves, for every sensitive column that the model reads; that it does not read the rest.

    At most 10,000 rows of the split, drawn by the seed, are swapped, and a caveat says so.
    """
    schema = split.schema
    numbers, several, positive = schema.task == "regression", schema.task == "multilabel", schema.positive_index
    metric = METRIC if numbers else METRICS[0]
    reads = set(context.subject.model.preprocessing.columns) if not split.arrays else set()
    no_model = context.subject.model.lacks.get("model")
    asked = [name for name in schema.sensitive if name in reads and not no_model]
    refused = {
        name: no_model or "the model does not read this column, so that swapping its value changes nothing"
        for name in schema.sensitive
        if name not in asked
    }
    table, caveats = split.table, list[Caveat]()
    if (positive is None and schema.task == "classification") or not asked:
        asked = []
    elif len(split) > MAXIMUM_ROWS:
        rng = np.random.default_rng([*settings.seed, zlib.crc32(b"flips")])
        table = table.take(pa.array(np.sort(rng.choice(len(split), MAXIMUM_ROWS, replace=False))))
        text = f"split {split.name}: values were swapped in {MAXIMUM_ROWS:,} of {len(split):,} rows, drawn at random"
        caveats.append(Caveat("fairness", text, f"fairness/{metric}", "note"))
    if asked:
        context.ledger.distinct(PHASE, split.name, table.num_rows)

    def predict(changed: pa.Table) -> npt.NDArray[np.float64]:
        if numbers:
            return predicted_numbers(context, split, changed)
        return positive_scores(context, split, changed, positive or 0)

    if several:
        found = label_flip_findings(
            table, asked, lambda changed: label_scores(context, split, changed), settings, labels=schema.classes,
            split=split.name, refused=refused,
        )  # fmt: skip
    else:
        find = move_findings if numbers else flip_findings
        found = find(table, asked, predict, settings, split=split.name, refused=refused)
    found.caveats += caveats
    return found
