"""The strangest texts of each split, as they are read: what a detector reacts to is best seen in the rows."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from auditkit.engine.readable import beginning
from auditkit.ood.calibrated import Calibrated
from auditkit.ood.registry import FUSED
from auditkit.subject.subject import Subject

SHOWN = 5
STRANGEST = pa.schema(
    [
        ("split", pa.string()),
        ("row", pa.int64()),
        ("fused", pa.float64()),
        ("fused_p", pa.float64()),
        ("text", pa.string()),
    ]
)


def strangest_table(subject: Subject, known: Calibrated) -> pa.Table | None:
    """The rows with the largest fused scores of the test and ood splits, with their texts; None for other rows than
    texts, and where there is no fused score. Equal scores in the order of rows."""
    preprocessing = subject.model.preprocessing
    if preprocessing.modality != "text" or known.fusion is None:
        return None
    parts = []
    for name in [name for name in (known.test, *known.sets) if name]:
        split, scores = subject.split(name), known.scores[name]
        if split is None or FUSED not in scores.scores or name not in known.fused_p:
            continue
        fused = scores.scores[FUSED]
        order = np.argsort(np.where(np.isnan(fused), np.inf, -fused), kind="stable")
        chosen = [place for place in order[:SHOWN] if not np.isnan(fused[place])]
        texts = split.column(preprocessing.columns[0]).take(pa.array(scores.rows[chosen], pa.int64())).to_pylist()
        columns = {
            "split": [name] * len(chosen),
            "row": scores.rows[chosen],
            "fused": fused[chosen],
            "fused_p": np.asarray(known.fused_p[name])[chosen],
            "text": [beginning(text) for text in texts],
        }
        parts.append(pa.table(columns, schema=STRANGEST))
    return pa.concat_tables(parts) if parts else None
