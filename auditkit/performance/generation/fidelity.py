"""Precision and recall of a generator: are its rows like real ones, and does it reach all of these?

Each set of rows spans a region: balls around its rows, as wide as the distance to the third nearest of the same set.
Precision is the share of generated rows in the region of real ones, recall the share of real rows in the region of
generated ones. Both sets are of one size, drawn with the audit's seed, since regions grow with their rows. What
held-out real rows reach against the same training rows stands beside it, since chance alone keeps both below one.
Source: Kynkäänniemi et al. 2019, "Improved precision and recall metric for assessing generative models", NeurIPS.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import numpy as np

from auditkit.evidence.metrics import MetricRow
from auditkit.performance.generation.neighbours import Floats, nearest
from auditkit.statistics.intervals import wilson

NEIGHBOUR = 3


def inside(rows: Floats, region: Floats) -> int:
    """How many rows lie in the region that the rows of `region` span. Needs more than three of these.

    >>> inside(np.array([[0.5], [9.0]]), np.arange(5.0)[:, None])
    1
    """
    radii = nearest(region, region, NEIGHBOUR, same=True)[0][:, -1]
    squares, found = (region**2).sum(axis=1), 0
    step = max(1, 2**24 // len(region))
    for start in range(0, len(rows), step):
        part = rows[start : start + step]
        between = (part**2).sum(axis=1)[:, None] + squares - 2 * part @ region.T
        found += int((between <= radii**2 + 1e-9).any(axis=1).sum())
    return found


def fidelity_rows(
    generated: Floats, training: Floats, held_out: Floats, space: str, confidence: float, rng: np.random.Generator
) -> Iterator[MetricRow]:
    """Precision and recall of generated rows [n, d] and, as a yardstick, of held-out rows, against training rows."""
    size = min(len(generated), len(training), len(held_out))
    sides = {name: _some(rows, size, rng) for name, rows in (("", generated), ("_of_held_out", held_out))}
    real = _some(training, size, rng)
    base = partial(MetricRow, "performance", split="train", detail=space, n=size, unit="rate", confidence=confidence)
    for name, rows in sides.items():
        better = "none" if name else "higher"
        for metric, count in (("precision", inside(rows, real)), ("recall", inside(real, rows))):
            lower, upper = (float(edge) for edge in wilson(count, size, confidence))
            how = f"in balls as wide as the distance to the {NEIGHBOUR}rd neighbour, {size:,} rows a side; Wilson"
            row = partial(base, f"generated_{metric}{name}", value=count / size, lower=lower, upper=upper)
            yield row(better=better, method=how)


def _some(rows: Floats, size: int, rng: np.random.Generator) -> Floats:
    return rows[np.sort(rng.permutation(len(rows))[:size])]
