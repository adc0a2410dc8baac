"""Several yes-or-no questions asked of the same people: each class against the rest, or each label by itself.

Each is judged as decisions are (rates by group, gaps between groups), under the metric's usual name with the class or
label as detail. The worst over all of them is a maximum over questions as well as over pairs of groups: its bounds use
one critical value c for all questions and pairs at once, the quantile of the largest studentised deviation, never below
that of as many independent studentised ranges. Resamples are drawn by question: absolute deviations of jointly normal
numbers stay below c together at least as often as they would if they were independent (Šidák 1967, JASA 62(318),
626-633), whatever ties the questions.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from auditkit.evidence.metrics import MetricRow
from auditkit.fairness.groups.definitions import GAPS, RATES, Gap
from auditkit.fairness.groups.gaps import Comparison, worst
from auditkit.fairness.groups.margin import Margin
from auditkit.fairness.groups.rates import rate_rows
from auditkit.fairness.settings import Settings
from auditkit.statistics.simultaneous import critical_value

SHOWN = ("selection_rate", "true_positive_rate", "false_positive_rate", "precision", "base_rate")
COMPARED = tuple(name for name, gap in GAPS.items() if gap.rates[0] in SHOWN and name != "four_fifths")
WORST = ("demographic_parity_difference", "equal_opportunity_difference")


@dataclass(frozen=True)
class Questions:
    """The questions of one grouping of people. noun: `class` or `label`; margins: counts and resamples of each."""

    noun: str
    names: Sequence[str]
    margins: Sequence[Margin]

    def rate_rows(self, settings: Settings) -> Iterator[MetricRow]:
        """Every question's rates by group."""
        for name, margin in zip(self.names, self.margins, strict=True):
            for rate in SHOWN:
                for row, _ in rate_rows(margin, RATES[rate], settings):
                    yield replace(row, detail=name)

    def gap_rows(self, settings: Settings) -> Iterator[MetricRow]:
        """Every question's gaps, and the worst over all questions."""
        comparisons = [Comparison(margin, settings) for margin in self.margins]
        for name, comparison in zip(self.names, comparisons, strict=True):
            for gap in COMPARED:
                yield _of_question(comparison.gap_row(GAPS[gap]), name)
        for gap in WORST:
            yield self.worst_row(GAPS[gap], comparisons, settings)

    def worst_row(self, gap: Gap, comparisons: Sequence[Comparison], settings: Settings) -> MetricRow:
        """The largest gap of any question, with bounds that hold for all questions and pairs of groups at once."""
        single = [comparison.gap_row(gap) for comparison in comparisons]
        able = [place for place, row in enumerate(single) if row.status == "ok"]
        lacking = tuple(
            f"{group} ({self.noun} {self.names[place]})" for place, row in enumerate(single) for group in row.unjudged
        )
        common = MetricRow(
            "fairness",
            f"worst_{self.noun}_{gap.name}",
            attribute=single[0].attribute,
            n=max((single[place].n or 0 for place in able), default=0),
            unit=gap.unit,
            better=gap.better,
            status="insufficient",
            reason="not compared" if able else f"no {self.noun} could be judged: {single[0].reason}",
            compares=gap.rates,
            unjudged=lacking,
        )
        if not able:
            return common
        families = [comparisons[place].family(gap.rates[0]) for place in able]
        largest = np.max([family.largest for family in families], axis=0)
        critical = critical_value(largest, [len(family.names) for family in families], settings.confidence)
        many = sum(len(family.names) for family in families) > 2
        compared = [family.compare(gap.kind, critical, many) for family in families]
        value, lower, upper = worst(gap.kind, compared)
        count = sum(len(pairs.estimate) for pairs in compared)
        widest = max(able, key=lambda place: single[place].value or 0.0)
        return replace(
            common,
            detail=f"{self.names[widest]}: {single[widest].detail}",
            value=value,
            lower=lower,
            upper=upper,
            confidence=settings.confidence,
            status="ok",
            reason="",
            method=f"simultaneous over {count} {'pair' if count == 1 else 'pairs'} of {len(able)} "
            f"{_plural(self.noun, len(able))} at {critical:.2f} standard errors",
        )


def _of_question(row: MetricRow, name: str) -> MetricRow:
    """The gap under the question's name; which pair it lies between moves to the method."""
    return replace(row, detail=name, method=f"widest for {row.detail}; {row.method}" if row.detail else row.method)


def _plural(noun: str, count: int) -> str:
    return noun if count == 1 else f"{noun}es" if noun.endswith("s") else f"{noun}s"
