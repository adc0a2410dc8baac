"""The evidence on several labels as Arrow tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pyarrow as pa

from auditkit.performance.multilabel.observer import Answers, Flags

POINTS = 200
NO_LABEL = "none"


def predictions_table(answers: Mapping[str, Answers], labels: Sequence[str]) -> pa.Table:
    """split, row, label and prediction (the labels in one text), wrong (how many), correct, confidence, probabilities.

    confidence: the probability of the whole answer were labels independent, the product over labels of max(p, 1 - p).
    probabilities: of each label, in the order of the outputs. What is not known is null.
    """
    parts = []
    for split, found in answers.items():
        known = (found.marks >= 0).all(axis=1)
        judged = known & found.finite
        wrong = (found.given != found.truth).sum(axis=1)
        sure = np.maximum(found.probabilities, 1 - found.probabilities).prod(axis=1)
        parts.append(
            pa.table(
                {
                    "split": pa.array([split] * len(found), pa.string()),
                    "row": pa.array(found.rows, pa.int64()),
                    "label": pa.array(_named(found.truth, labels), pa.string(), mask=~known),
                    "prediction": pa.array(_named(found.given, labels), pa.string(), mask=~found.finite),
                    "wrong": pa.array(wrong, pa.int64(), mask=~judged),
                    "correct": pa.array(wrong == 0, pa.bool_(), mask=~judged),
                    "confidence": pa.array(sure, pa.float64(), mask=~found.finite),
                    "probabilities": pa.array(
                        [row if whole else None for row, whole in zip(found.probabilities, found.finite, strict=True)],
                        pa.list_(pa.float64()),
                    ),
                }
            )
        )
    return pa.concat_tables(parts)


def _named(flags: Flags, labels: Sequence[str]) -> np.ndarray:
    """The labels of each row as one text, [n]."""
    kinds, place = np.unique(flags, axis=0, return_inverse=True)
    texts = [", ".join(name for name, there in zip(labels, kind, strict=True) if there) or NO_LABEL for kind in kinds]
    return np.array(texts, dtype=object)[place.reshape(-1)]


def counts_table(judged: Mapping[str, Answers], labels: Sequence[str]) -> pa.Table:
    """split, label, and how many rows are rightly and wrongly given it or not: tn, fp, fn, tp."""
    records = []
    for split, found in judged.items():
        for place, name in enumerate(labels):
            cells = np.bincount(2 * found.truth[:, place] + found.given[:, place], minlength=4).tolist()
            records.append({"split": split, "label": name, **dict(zip(("tn", "fp", "fn", "tp"), cells, strict=True))})
    kinds = [(name, pa.string()) for name in ("split", "label")]
    kinds += [(name, pa.int64()) for name in ("tn", "fp", "fn", "tp")]
    return pa.Table.from_pylist(records, schema=pa.schema(kinds))


def curves_table(judged: Mapping[str, Answers], labels: Sequence[str]) -> pa.Table:
    """split, label, recall, precision: each label's precision-recall curve at up to 200 thresholds, until all of its
    rows are found."""
    parts = []
    for split, found in judged.items():
        for place, name in enumerate(labels):
            mine = found.truth[:, place]
            if not mine.any():
                continue
            scores = found.logits[:, place]
            order = np.argsort(-scores, kind="stable")
            last_of_tie = np.flatnonzero(np.r_[scores[order][1:] != scores[order][:-1], True])
            right = np.cumsum(mine[order])[last_of_tie]
            right = right[: int(np.searchsorted(right, mine.sum())) + 1]
            kept = np.unique(np.linspace(0, len(right) - 1, POINTS).round().astype(int))
            parts.append(
                pa.table(
                    {
                        "split": pa.array([split] * len(kept), pa.string()),
                        "label": pa.array([name] * len(kept), pa.string()),
                        "recall": pa.array(right[kept] / mine.sum(), pa.float64()),
                        "precision": pa.array(right[kept] / (last_of_tie[kept] + 1), pa.float64()),
                    }
                )
            )
    kinds = [("split", pa.string()), ("label", pa.string()), ("recall", pa.float64()), ("precision", pa.float64())]
    return pa.concat_tables(parts) if parts else pa.schema(kinds).empty_table()
