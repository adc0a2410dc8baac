"""How large a share of wrong labels or wrong groups a gate's verdict stands.

A verdict stands as long as no gap between the smallest and the largest that so many errors could make, moved by the
interval it has, lies on the other side of the limit. The share at which that ends, found by bisection, is the breakdown
point of the verdict (in the sense of Horowitz and Manski 1995, Econometrica 63(2), 281-302, for contaminated data).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial

import pyarrow as pa

from auditkit.evidence.metrics import MetricRow
from auditkit.fairness.counting.counts import Counts, joined
from auditkit.fairness.groups.definitions import GAPS
from auditkit.fairness.groups.inference import subsets
from auditkit.fairness.sensitivity.errors import Errors, gap_with_errors, judged_cells
from auditkit.fairness.settings import Settings
from auditkit.spec import Gate

FARTHEST = 0.25
"""a verdict that outlasts as many errors is not asked further"""
_STEPS = 24
SCHEMA = pa.schema(
    [(name, pa.string()) for name in ("split", "attribute", "metric", "condition", "verdict", "errors")]
    + [("stands_up_to", pa.float64()), ("stands_all", pa.bool_())]
)


def verdicts_table(
    counts: Counts, rows: Sequence[MetricRow], gates: Mapping[str, Sequence[Gate]], settings: Settings, split: str = ""
) -> pa.Table:
    """The share of errors that every gate on a gap stands: schema `SCHEMA`. Undecided gates are left out.

    rows: the gaps' metric rows, whose intervals tell the verdict.
    """
    records = [
        record
        for name, conditions in gates.items()
        if (metric := name.removeprefix("fairness/")) in GAPS
        for gate in conditions
        for row in rows
        if row.metric == metric and row.split == split and (not gate.of or row.attribute in gate.of)
        for record in _stands(counts, row, gate, settings)
    ]
    return pa.Table.from_pylist(records, schema=SCHEMA)


def _stands(counts: Counts, row: MetricRow, gate: Gate, settings: Settings) -> Iterator[dict[str, object]]:
    at_least, limit = gate.at_least is not None, gate.at_least if gate.at_least is not None else gate.at_most
    if row.value is None or row.lower is None or row.upper is None or limit is None or row.unjudged:
        return
    kept, broken = (row.lower >= limit, row.upper < limit) if at_least else (row.upper <= limit, row.lower > limit)
    if not kept and not broken:
        return
    gap = GAPS[row.metric]
    names = next(names for names in subsets(counts.attributes) if joined(names) == row.attribute)
    cells = judged_cells(counts.margin(names), gap, settings)
    below, above = row.value - row.lower, row.upper - row.value

    def stands(errors: Errors, share: float) -> bool:
        smallest, largest = gap_with_errors(cells, gap, errors, share)
        if kept:
            return smallest - below >= limit if at_least else largest + above <= limit
        return largest + above < limit if at_least else smallest - below > limit

    kinds: tuple[Errors, ...] = ("groups",) if gap.rates == ("selection_rate",) else ("labels", "groups")
    for errors in kinds:
        share = _last(partial(stands, errors))
        yield {
            "split": row.split,
            "attribute": row.attribute,
            "metric": row.metric,
            "condition": f"at least {limit:g}" if at_least else f"at most {limit:g}",
            "verdict": "pass" if kept else "fail",
            "errors": errors,
            "stands_up_to": share,
            "stands_all": share >= FARTHEST,
        }


def _last(stands: Callable[[float], bool]) -> float:
    """The largest share at which it still stands, by bisection."""
    if stands(FARTHEST):
        return FARTHEST
    low, high = 0.0, FARTHEST
    for _ in range(_STEPS):
        middle = (low + high) / 2
        low, high = (middle, high) if stands(middle) else (low, middle)
    return low
