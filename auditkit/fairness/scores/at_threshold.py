"""What a threshold brings: rates by group and gaps between groups, at once, from score counts alone.

For trying thresholds out, where every change has to be answered immediately, so nothing is resampled. Rates have
Wilson's intervals. Gaps have the bounds of the check (Newcombe's for differences, Donner and Zou's for ratios, for all
pairs of groups at once) at the critical value of Tukey's studentised range, which the check raises where resampling
asks for more; they may therefore be a little narrower than a check of the same decisions would give.

The rows are those of a check by name, unit and status, so that whatever shows a check shows them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from auditkit.evidence.metrics import MetricRow
from auditkit.fairness.counting.counts import Counts, joined
from auditkit.fairness.groups.definitions import GAPS, RATES, Gap
from auditkit.fairness.groups.gaps import BETWEEN, worst
from auditkit.fairness.groups.margin import fraction_of
from auditkit.fairness.groups.rates import reason_not_judged
from auditkit.fairness.scores.bins import ScoreCounts
from auditkit.fairness.scores.thresholds import place_of
from auditkit.statistics.intervals import wilson
from auditkit.statistics.simultaneous import Pairs, pairwise_differences, pairwise_ratios, range_critical

MAXIMUM_GROUPS = 200


def decided_at(
    counts: ScoreCounts,
    threshold: float,
    by_group: Mapping[str, float] | None = None,
    attributes: Sequence[str] = (),
) -> Counts:
    """Decisions with one threshold for all, but for some groups over `attributes` one of their own (name → threshold).

    Thresholds lie in [0, 1] and move up to the next edge of the bins. Raises InputError for others.

    >>> import pyarrow as pa
    >>> from auditkit.fairness.counting.counts import encode_groups
    >>> groups = encode_groups({"sex": pa.array(["f", "m"])}, "here")
    >>> counts = ScoreCounts.tally(groups, np.array([True, True]), [0.4, 0.4])
    >>> decided_at(counts, 0.5, {"f": 0.3}, ["sex"]).cells[:, 1].tolist()
    [[0, 1], [1, 0]]
    """
    places = np.full(len(counts.groups), place_of(counts, threshold))
    if by_group:
        groups, to = counts.decided(0).places(attributes)
        names = [joined(group) for group in groups]
        own = [place_of(counts, by_group.get(name, threshold)) for name in names]
        places = np.array(own, dtype=np.int64)[to]
    return counts.decided(places)


def nearest_edge(counts: ScoreCounts, threshold: float) -> float:
    """The edge of the bins nearest to a threshold: what a slider means by 0.30000000000000004."""
    return float(counts.edges[round(min(max(threshold, 0.0), 1.0) * counts.bins)])


def rows_at(
    decided: Counts,
    attributes: Sequence[Sequence[str]],
    minimum_group: int = 30,
    confidence: float = 0.95,
    split: str = "",
) -> list[MetricRow]:
    """Rates of everybody and of every group over each of `attributes`, and the gaps between those groups.

    attributes: sets of attributes, such as `[("sex",), ("sex", "race")]`. One of more than 200 groups is left out.
    """
    rows: list[MetricRow] = []
    for chosen in [(), *attributes]:
        margin = decided.margin(chosen)
        if len(margin.groups) <= MAXIMUM_GROUPS:
            part = _Margin(margin, minimum_group, confidence, split)
            rows += part.rates()
            if chosen:
                rows += part.gaps()
    return rows


class _Margin:
    """The groups of one margin under these decisions."""

    def __init__(self, counts: Counts, minimum_group: int, confidence: float, split: str) -> None:
        self.counts, self.minimum, self.confidence = counts, max(1, minimum_group), confidence
        self.common: dict[str, Any] = {"split": split, "attribute": joined(counts.attributes)}
        self.fractions = {name: fraction_of(counts.cells, rate) for name, rate in RATES.items()}
        self.judged = {name: np.flatnonzero(n >= self.minimum) for name, (_, n) in self.fractions.items()}

    def rates(self) -> list[MetricRow]:
        rows = []
        for name, rate in RATES.items():
            successes, n = self.fractions[name]
            lower, upper = wilson(np.where(n > 0, successes, 0), np.maximum(n, 1), self.confidence)
            for at, group in enumerate(self.counts.names):
                k, total = int(successes[at]), int(n[at])
                reason = reason_not_judged(rate, total, self.minimum)
                rows.append(
                    MetricRow("fairness", name, group=group, n=total, unit="rate", better=rate.better,
                              status="insufficient", reason=reason, **self.common)
                    if reason
                    else MetricRow("fairness", name, group=group, value=k / total, lower=float(lower[at]),
                                   upper=float(upper[at]), confidence=self.confidence, n=total, unit="rate",
                                   better=rate.better, method="Wilson's interval", **self.common)
                )  # fmt: skip
        return rows

    def gaps(self) -> list[MetricRow]:
        return [self._gap(gap) for gap in GAPS.values()]

    def _gap(self, gap: Gap) -> MetricRow:
        kept = [self.judged[name] for name in gap.rates]
        in_all = set.intersection(*(set(places.tolist()) for places in kept))
        common: dict[str, Any] = self.common | {
            "n": int(sum(self.fractions[name][1][places].sum() for name, places in zip(gap.rates, kept, strict=True))),
            "unit": gap.unit,
            "better": gap.better,
            "unjudged": tuple(name for at, name in enumerate(self.counts.names) if at not in in_all),
        }
        reason = ""
        for name, places in zip(gap.rates, kept, strict=True):
            if len(places) < 2:
                reason = f"a comparison needs two groups with at least {self.minimum} {RATES[name].among}"
            elif gap.kind == "ratio" and not self.fractions[name][0][places].any():
                reason = f"the {RATES[name].title} of every judged group is 0, so there is no ratio"
        if reason:
            return MetricRow("fairness", gap.name, status="insufficient", reason=reason, **common)
        compare = pairwise_differences if gap.kind == "difference" else pairwise_ratios
        sizes = [len(places) for places in kept]
        critical = range_critical(sizes, self.confidence)
        pairs = [
            compare(self.fractions[name][0][places], self.fractions[name][1][places], critical, sizes != [2])
            for name, places in zip(gap.rates, kept, strict=True)
        ]
        value, lower, upper = worst(gap.kind, pairs)
        return MetricRow(
            "fairness", gap.name, detail=self._widest(gap, pairs, kept), value=value, lower=lower, upper=upper,
            confidence=self.confidence, method=f"simultaneous at {critical:.2f} standard errors (Tukey)", **common,
        )  # fmt: skip

    def _widest(self, gap: Gap, pairs: Sequence[Pairs], kept: Sequence[npt.NDArray[np.int64]]) -> str:
        """The pair behind a gap: larger – smaller for a difference, smaller / larger for a ratio."""
        difference = gap.kind == "difference"
        sizes = [np.abs(p.estimate) if difference else -np.nan_to_num(p.estimate, nan=2.0) for p in pairs]
        which = int(np.argmax([size.max() for size in sizes]))
        at = int(np.argmax(sizes[which]))
        first, second = (int(kept[which][places[at]]) for places in (pairs[which].first, pairs[which].second))
        successes, n = self.fractions[gap.rates[which]]
        high, low = (first, second) if successes[first] * n[second] >= successes[second] * n[first] else (second, first)
        ordered = (high, low) if difference else (low, high)
        text = BETWEEN[gap.kind].join(self.counts.names[place] for place in ordered)
        return f"{text} ({RATES[gap.rates[which]].title})" if len(pairs) > 1 else text
