"""Which kinds of rows a generator makes, and which it has forgotten.

Every generated row is given the kind that most of its five nearest labelled training rows have (of a tie, the one of
the nearest). A kind is missing where even the upper limit of its share among generated rows lies below a fifth of its
share in training. How often the same neighbours are right about held-out rows (`mode_accuracy`) says how far the kinds
can be trusted.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial

import numpy as np

from auditkit.evidence.metrics import MetricRow
from auditkit.performance.generation.neighbours import Floats, Places, nearest
from auditkit.statistics.intervals import wilson

NEIGHBOURS = 5
FEW = 0.2
"""a kind with less than this part of its share in training is missing"""


def kinds_of(rows: Floats, training: Floats, kinds: Places) -> Places:
    """The kind int64 [n] of each row by its nearest training rows. kinds: int64 [m], of the training rows.

    >>> kinds_of(np.array([[0.1]]), np.array([[0.0], [0.2], [9.0]]), np.array([3, 3, 7])).tolist()
    [3]
    """
    _, places = nearest(rows, training, min(NEIGHBOURS, len(training)))
    seen = kinds[places]
    votes = (seen[:, :, None] == seen[:, None, :]).sum(axis=2)
    found: Places = seen[np.arange(len(rows)), votes.argmax(axis=1)]
    return found


def coverage_rows(
    generated: Places, training: Places, names: Sequence[str], accuracy: tuple[int, int], confidence: float
) -> Iterator[MetricRow]:
    """generated, training: kinds as places in `names`. accuracy: held-out rows given their own kind, of how many."""
    base = partial(MetricRow, "performance", split="train", unit="rate", confidence=confidence)
    counts = np.bincount(generated, minlength=len(names))
    known = np.bincount(training, minlength=len(names))
    n, missing = len(generated), []
    for name, count, seen in zip(names, counts.tolist(), known.tolist(), strict=True):
        lower, upper = (float(edge) for edge in wilson(count, n, confidence))
        share = seen / len(training)
        if upper < FEW * share:
            missing.append(name)
        how = f"{NEIGHBOURS} nearest training rows, of which {share:.1%} are of this kind; Wilson"
        yield base("mode_share", detail=name, value=count / n, lower=lower, upper=upper, n=n, method=how)
    how = f"missing: {', '.join(missing)}" if missing else "no kind is missing"
    value = 1 - len(missing) / len(names)
    yield base("modes_covered", value=value, confidence=None, n=n, better="higher", method=how)
    right, of = accuracy
    low, high = (float(edge) for edge in wilson(right, of, confidence))
    how = "held-out real rows whose kind these neighbours tell; Wilson"
    yield base("mode_accuracy", value=right / of, lower=low, upper=high, n=of, better="higher", method=how)


def missing_modes(rows: Sequence[MetricRow]) -> list[str]:
    """The kinds said to be missing, from the metric rows."""
    said = next((row.method for row in rows if row.metric == "modes_covered"), "")
    return said.removeprefix("missing: ").split(", ") if said.startswith("missing: ") else []
