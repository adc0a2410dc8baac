"""Counterfactual flips of an audit's model: the swaps of `flips`, asked of the model on the test split."""

from __future__ import annotations

import zlib
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from auditkit.engine.analysis import Context
from auditkit.evidence.metrics import Caveat, Findings
from auditkit.fairness.individual.flips import METRICS, flip_findings
from auditkit.fairness.settings import Settings
from auditkit.subject.data import Split

PHASE = "counterfactual"
MAXIMUM_ROWS = 10_000


def positive_scores(context: Context, split: Split, table: pa.Table, positive: int) -> npt.NDArray[np.float64]:
    """How sure the model is of the positive class against the strongest other, float64 [n].

    Of two classes that is the positive probability; of more, 0.5 is still where the decision turns positive. Rows are
    counted in the cost ledger.
    """
    model = context.subject.model
    changed = replace(split, table=table, arrays={})
    size = context.spec.batch_size or model.safe_rows(changed)
    parts = []
    with model.evaluating():
        for start in range(0, table.num_rows, size):
            rows = np.arange(start, min(start + size, table.num_rows))
            logits = model.logits(model.encode(changed, rows)).detach().cpu().double().numpy()
            margin = logits[:, positive] - np.delete(logits, positive, axis=1).max(axis=1)
            parts.append(1 / (1 + np.exp(-np.clip(margin, -700, 700))))
    context.ledger.forward(PHASE, split.name, table.num_rows)
    return np.concatenate(parts)


def counterfactual_findings(context: Context, split: Split, settings: Settings) -> Findings:
    """Flips for every sensitive column that the model reads; for the others, that it does not read them.

    At most 10,000 rows of the split, drawn by the seed, are swapped, and a caveat says so.
    """
    schema = split.schema
    positive = schema.positive_index
    reads = set(context.subject.model.preprocessing.columns) if not split.arrays else set()
    no_model = context.subject.model.lacks.get("model")
    asked = [name for name in schema.sensitive if name in reads and not no_model]
    refused = {
        name: no_model or "the model does not read this column, so that swapping its value changes nothing"
        for name in schema.sensitive
        if name not in asked
    }
    if positive is None or not asked:
        return flip_findings(split.table, [], _nothing, settings, split=split.name, refused=refused)
    table, caveats = split.table, list[Caveat]()
    if len(split) > MAXIMUM_ROWS:
        rng = np.random.default_rng([*settings.seed, zlib.crc32(b"flips")])
        table = table.take(pa.array(np.sort(rng.choice(len(split), MAXIMUM_ROWS, replace=False))))
        text = f"split {split.name}: values were swapped in {MAXIMUM_ROWS:,} of {len(split):,} rows, drawn at random"
        caveats.append(Caveat("fairness", text, f"fairness/{METRICS[0]}", "note"))
    context.ledger.distinct(PHASE, split.name, table.num_rows)
    found = flip_findings(
        table,
        asked,
        lambda changed: positive_scores(context, split, changed, positive),
        settings,
        split=split.name,
        refused=refused,
    )
    found.caveats += caveats
    return found


def _nothing(table: pa.Table) -> npt.NDArray[np.float64]:
    return np.zeros(table.num_rows)
