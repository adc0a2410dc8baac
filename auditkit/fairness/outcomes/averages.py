"""Averages by group, such as macro F1: metric rows with intervals, and the largest difference between two groups.

An average is told by its value and its standard error. The largest difference has bounds that hold for all pairs of
groups at once (`auditkit.statistics.estimates`).
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from auditkit.evidence.metrics import Better, MetricRow
from auditkit.fairness.groups.gaps import worst
from auditkit.fairness.outcomes.comparisons import Estimates, Floats, Grouping, Integers, widest
from auditkit.fairness.settings import Settings


@dataclass(frozen=True)
class Average:
    """One average of every group. value, error: float64 [groups]; rows: int64 [groups]; reasons: why a group's is not
    judged, or nothing, [groups]. unit: `rate` for shares. how: where the standard error comes from."""

    name: str
    value: Floats
    error: Floats
    rows: Integers
    reasons: Sequence[str]
    better: Better = "higher"
    unit: str = "rate"
    how: str = ""
    highest: float = 1.0

    def _estimates(self, places: Integers) -> Estimates:
        freedom = np.maximum(self.rows - 1.0, 1.0)
        return Estimates(self.value, self.error, freedom).chosen(places)

    def group_rows(self, grouping: Grouping, settings: Settings) -> Iterator[MetricRow]:
        """A metric row for each group."""
        places = np.arange(len(self.value))
        lower, upper = self._estimates(places).intervals(settings.confidence)
        for at, group in enumerate(grouping.names):
            reason = self.reasons[at]
            row = MetricRow(
                "fairness",
                self.name,
                attribute=grouping.attribute,
                group=group,
                n=int(self.rows[at]),
                unit=self.unit,
                better=self.better,
                status="insufficient",
                reason=reason or "not computed",
            )
            if not reason:
                row = replace(
                    row,
                    value=float(self.value[at]),
                    lower=min(max(0.0, float(lower[at])), float(self.value[at])),
                    upper=max(min(self.highest, float(upper[at])), float(self.value[at])),
                    confidence=settings.confidence,
                    status="ok",
                    reason="",
                    method=self.how,
                )
            yield row

    def gap_row(self, grouping: Grouping, settings: Settings) -> MetricRow:
        """The largest difference between two groups."""
        able = np.array([at for at, reason in enumerate(self.reasons) if not reason], dtype=np.int64)
        names = [grouping.names[at] for at in able]
        who = f"only {names[0]!r} can be judged" if names else "no group can be judged"
        row = MetricRow(
            "fairness",
            f"{self.name}_difference",
            attribute=grouping.attribute,
            n=int(self.rows[able].sum()),
            unit="points" if self.unit == "rate" else self.unit,
            better="lower",
            status="insufficient",
            reason=f"a comparison needs two groups, and {who}",
            compares=(self.name,),
            unjudged=tuple(name for name in grouping.names if name not in names),
        )
        if len(able) < 2:
            return row
        judged = self._estimates(able)
        if not judged.error.any():
            return replace(row, reason="nothing varies within any group, so that no error of the difference is known")
        stream = np.random.default_rng([*settings.seed, zlib.crc32(f"{grouping.attribute}/{self.name}".encode())])
        critical = judged.critical(settings.confidence, stream, settings.replicates)
        pairs = judged.pairs("difference", critical)
        value, lower, upper = worst("difference", [pairs])
        count = len(pairs.estimate)
        return replace(
            row,
            detail=widest("difference", pairs, judged.value, names),
            value=value,
            lower=min(lower, value),
            upper=max(value, min(upper, self.highest)),
            confidence=settings.confidence,
            status="ok",
            reason="",
            method=f"simultaneous over {count} {'pair' if count == 1 else 'pairs'} at {critical:.2f} standard errors; "
            + self.how,
        )
