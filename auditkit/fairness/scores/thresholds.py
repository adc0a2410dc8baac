"""Rates against threshold: what moving one does, for everybody and group by group, from score counts alone.

A threshold is a place among the bins' edges: k means positive from edges[k] upwards, so 0 accepts everybody and `bins`
nobody. Cumulative sums give all rates at all thresholds at once. Which thresholds to choose is another question:
`auditkit.fairness.mitigation`.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from auditkit.errors import InputError
from auditkit.fairness.counting.counts import Integers
from auditkit.fairness.groups.definitions import RATES
from auditkit.fairness.groups.margin import fraction_of
from auditkit.fairness.scores.bins import Floats, ScoreCounts

SHOWN = ("selection_rate", "true_positive_rate", "false_positive_rate", "accuracy")


def place_of(counts: ScoreCounts, threshold: float) -> int:
    """The place of the lowest edge at or above a threshold; above 1 nobody is positive.

    Raises InputError for a threshold outside [0, 1].
    """
    if not 0 <= threshold <= 1:
        raise InputError(f"a threshold must lie between 0 and 1, got {threshold:g}")
    return int(np.searchsorted(counts.edges, threshold, side="left"))


def decision_curves(counts: ScoreCounts) -> Integers:
    """Every group's decisions at every threshold: int64 [groups, label, decision, bins + 1]."""
    reached = np.zeros((*counts.cells.shape[:2], counts.bins + 1), dtype=np.int64)
    reached[..., :-1] = np.cumsum(counts.cells[..., ::-1], axis=2)[..., ::-1]
    return np.stack([reached[..., :1] - reached, reached], axis=2)


def rate_curves(counts: ScoreCounts) -> dict[str, Floats]:
    """Selection, true positive, false positive rate and accuracy at every threshold: name → float64 [groups, bins + 1].

    NaN where a rate is over no rows.
    """
    curves = decision_curves(counts)
    return {name: _shares(*fraction_of(curves, RATES[name])) for name in SHOWN}


def _shares(k: npt.NDArray[np.integer], n: npt.NDArray[np.integer]) -> Floats:
    return np.divide(k, n, out=np.full(k.shape, np.nan), where=n > 0)


def rates_at(counts: ScoreCounts, threshold: float) -> pa.Table:
    """Each group's rates at one threshold, moved up to the next edge; null where a rate is over no rows.

    Columns: group, n, threshold (the edge used), selection_rate, true_positive_rate, false_positive_rate, accuracy.
    """
    place = place_of(counts, threshold)
    decided = counts.decided(place)
    size = len(counts.groups)
    table: dict[str, object] = {
        "group": counts.names,
        "n": decided.cells.sum(axis=(1, 2)),
        "threshold": [float(counts.edges[place])] * size,
    }
    for name in SHOWN:
        shares = _shares(*fraction_of(decided.cells, RATES[name]))
        table[name] = pa.array(shares, pa.float64(), mask=np.isnan(shares))
    return pa.table(table)
