"""Gaps: the largest difference or the smallest ratio of a rate between groups, with an interval that can be trusted.

Point values are fairlearn's `MetricFrame(...).difference(method="between_groups")` and `.ratio(...)`; equalized odds
takes the worst over true and false positive rates. Intervals hold for all pairs of groups at once (see
`auditkit.statistics.simultaneous`), so that a true gap of zero is covered as often as they say. A group whose rate
cannot be judged is left out and named.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import numpy.typing as npt

from auditkit.evidence.metrics import MetricRow
from auditkit.fairness.counting.counts import Counts, joined
from auditkit.fairness.groups.definitions import GAPS, RATES, Gap, Kind, Rate
from auditkit.fairness.groups.margin import Margin
from auditkit.fairness.settings import Settings
from auditkit.statistics.simultaneous import (
    Pairs,
    critical_value,
    pairwise_differences,
    pairwise_ratios,
    pairwise_signed_ratios,
    studentised_deviations,
)

BETWEEN: dict[Kind, str] = {"difference": " – ", "ratio": " / "}


@dataclass(frozen=True)
class Family:
    """One rate of the groups that can be judged. names, rows: [groups]; successes, n: [groups], effective counts;
    drawn: the same of the resamples."""

    rate: Rate
    names: list[str]
    rows: npt.NDArray[np.int64]
    successes: npt.NDArray
    n: npt.NDArray
    drawn: tuple[npt.NDArray, npt.NDArray]

    @cached_property
    def largest(self) -> npt.NDArray[np.float32]:
        """Per resample, the largest studentised deviation between two groups."""
        return studentised_deviations(*self.drawn, self.successes / self.n)

    def compare(self, kind: Kind, critical: float, corrected: bool) -> Pairs:
        """All pairs of groups, with bounds at `critical` standard errors."""
        compare = pairwise_differences if kind == "difference" else pairwise_ratios
        return compare(self.successes, self.n, critical, corrected)


class Comparison:
    """The groups of one margin, compared."""

    def __init__(self, margin: Margin, settings: Settings, split: str = "") -> None:
        self.margin, self.counts, self.settings, self.split = margin, margin.counts, settings, split
        self._families: dict[str, Family] = {}
        self._criticals: dict[tuple[str, ...], tuple[float, bool]] = {}

    def family(self, name: str) -> Family:
        """The judged groups' rates of that name."""
        if name not in self._families:
            rate = RATES[name]
            fraction = self.margin.fraction(rate)
            judged = np.flatnonzero(fraction.judged(self.settings.minimum_group))
            self._families[name] = Family(
                rate,
                [self.counts.names[place] for place in judged],
                fraction.rows[judged],
                fraction.successes[judged],
                fraction.n[judged],
                self.margin.drawn(rate, judged, fraction),
            )
        return self._families[name]

    def gap_row(self, gap: Gap) -> MetricRow:
        """The gap as a metric row: the worst pair of groups over all of the gap's rates."""
        families = [self.family(name) for name in gap.rates]
        reason = next((why for family in families if (why := self._reason(gap, family))), "")
        common = MetricRow(
            "fairness",
            gap.name,
            split=self.split,
            attribute=joined(self.counts.attributes),
            n=int(sum(family.rows.sum() for family in families)),
            unit=gap.unit,
            better=gap.better,
            status="insufficient",
            reason=reason or "not compared",
            compares=gap.rates,
            unjudged=(
                *(name for name in self.counts.names if any(name not in family.names for family in families)),
                *nobody(self.counts),
            ),
        )
        return common if reason else self._judged(common, gap, families)

    def _reason(self, gap: Gap, family: Family) -> str:
        """Why there is no gap, or nothing."""
        if len(family.names) < 2:
            able = f"only {family.names[0]!r} has" if family.names else "no group has"
            rows = f"{max(1, self.settings.minimum_group)} {family.rate.among}"
            return f"a comparison needs two groups, and {able} at least {rows}"
        if gap.kind == "ratio" and not family.successes.any():
            return f"the {family.rate.title} of every judged group is 0, so there is no ratio"
        return ""

    def _judged(self, row: MetricRow, gap: Gap, families: Sequence[Family]) -> MetricRow:
        critical, corrected = self._critical(families)
        compared = [family.compare(gap.kind, critical, corrected) for family in families]
        value, lower, upper = worst(gap.kind, compared)
        count = sum(len(pairs.estimate) for pairs in compared)
        method = (
            f"simultaneous over {count} {'pair' if count == 1 else 'pairs'} at {critical:.2f} standard errors, "
            f"{self.settings.replicates:,} resamples"
        )
        return replace(
            row,
            detail=_widest(gap.kind, families, compared),
            value=value,
            lower=lower,
            upper=upper,
            confidence=self.settings.confidence,
            status="ok",
            reason="",
            method=method,
        )

    def _critical(self, families: Sequence[Family]) -> tuple[float, bool]:
        """The common critical value, and whether to correct for continuity: where more than one pair is compared."""
        rates = tuple(family.rate.name for family in families)
        if rates not in self._criticals:
            largest = np.max([family.largest for family in families], axis=0)
            groups = [len(family.names) for family in families]
            self._criticals[rates] = critical_value(largest, groups, self.settings.confidence), groups != [2]
        return self._criticals[rates]

    def pair_records(self) -> Iterator[dict[str, object]]:
        """Every two groups, first less and over second, with bounds that hold for all pairs of a rate at once."""
        for gap in GAPS.values():
            if gap.kind == "ratio" or len(gap.rates) > 1:
                continue
            family = self.family(gap.rates[0])
            if len(family.names) < 2:
                continue
            critical, corrected = self._critical([family])
            pairs = family.compare("difference", critical, corrected)
            ratios = pairwise_signed_ratios(family.successes, family.n, critical, corrected)
            for at in range(len(pairs.estimate)):
                yield {
                    "split": self.split,
                    "attribute": joined(self.counts.attributes),
                    "metric": family.rate.name,
                    "first": family.names[pairs.first[at]],
                    "second": family.names[pairs.second[at]],
                    "difference": float(pairs.estimate[at]),
                    "lower": float(pairs.lower[at]),
                    "upper": float(pairs.upper[at]),
                    "ratio": _finite(ratios.estimate[at]),
                    "ratio_lower": float(ratios.lower[at]),
                    "ratio_upper": _finite(ratios.upper[at]),
                    "p_value": two_rates(family, int(pairs.first[at]), int(pairs.second[at])),
                }


def _finite(value: float) -> float | None:
    """Nothing where a ratio, or the bound of one, is over a rate that is or may be 0."""
    return float(value) if math.isfinite(value) else None


def nobody(counts: Counts) -> tuple[str, ...]:
    """What to say of combinations that are not among the groups since nobody belongs to them: no gap knows of them."""
    return (f"{counts.nobody:,} combinations nobody belongs to",) if counts.nobody else ()


def two_rates(family: Family, first: int, second: int) -> float:
    """The p-value of two groups having one rate: the two-sided z test with the pooled rate; 1 where nothing varies."""
    (k, other_k), (n, other_n) = family.successes[[first, second]], family.n[[first, second]]
    pooled = (k + other_k) / (n + other_n)
    error = math.sqrt(pooled * (1 - pooled) * (1 / n + 1 / other_n))
    return math.erfc(abs(k / n - other_k / other_n) / error / math.sqrt(2)) if error > 0 else 1.0


def worst(kind: Kind, families: Sequence[Pairs]) -> tuple[float, float, float]:
    """The largest magnitude of a difference, or the smallest ratio, over all pairs of all families, with its bounds."""
    estimate = np.concatenate([pairs.estimate for pairs in families])
    lower = np.concatenate([pairs.lower for pairs in families])
    upper = np.concatenate([pairs.upper for pairs in families])
    if kind == "ratio":
        return float(np.nanmin(estimate)), float(lower.min()), float(upper.min())
    nearest = np.maximum(0.0, np.maximum(lower, -upper))
    farthest = np.maximum(np.abs(lower), np.abs(upper))
    return float(np.abs(estimate).max()), float(nearest.max()), float(farthest.max())


def _widest(kind: Kind, families: Sequence[Family], compared: Sequence[Pairs]) -> str:
    """The pair behind the gap: larger – smaller for a difference, smaller / larger for a ratio."""
    sizes = [
        np.abs(pairs.estimate) if kind == "difference" else -np.nan_to_num(pairs.estimate, nan=2.0)
        for pairs in compared
    ]
    which = int(np.argmax([size.max() for size in sizes]))
    family, pairs, at = families[which], compared[which], int(np.argmax(sizes[which]))
    first, second = int(pairs.first[at]), int(pairs.second[at])
    rates = family.successes / family.n
    high, low = (first, second) if rates[first] >= rates[second] else (second, first)
    ordered = (high, low) if kind == "difference" else (low, high)
    text = BETWEEN[kind].join(family.names[place] for place in ordered)
    return f"{text} ({family.rate.title})" if len(families) > 1 else text
