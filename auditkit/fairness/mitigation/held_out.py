"""What a policy brings on other rows than it was fitted on.

Given its thresholds a policy is a decision, so its rates, accuracy and gaps have the intervals of any decision:
Wilson's, and bounds that hold for all pairs of groups at once for gaps. Of a randomised policy the expected decisions
are judged; the intervals are those of decisions actually drawn, which is the wider of the two readings.

Where there is one set of rows only it is split in two by chance. A coin tossed for every row is a binomial draw for
every cell of the score counts, so that the split needs the counts alone and does not depend on the order of rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from auditkit.errors import InputError
from auditkit.evidence.metrics import MetricRow
from auditkit.fairness.counting.counts import Counts, Group, joined
from auditkit.fairness.groups.definitions import GAPS, RATES
from auditkit.fairness.groups.gaps import Comparison
from auditkit.fairness.groups.margin import Margin
from auditkit.fairness.groups.rates import rate_rows, reason_not_judged
from auditkit.fairness.mitigation.policy import Policy, decided, right
from auditkit.fairness.mitigation.targets import METRICS
from auditkit.fairness.release import PairedCounts
from auditkit.fairness.scores.bins import ScoreCounts
from auditkit.fairness.scores.thresholds import SHOWN
from auditkit.fairness.settings import Settings
from auditkit.statistics.intervals import wilson
from auditkit.statistics.resampling import multinomial_replicates

FEWER_REPLICATES = 2_000


def halves(counts: ScoreCounts, seed: int | Sequence[int] = 0) -> tuple[ScoreCounts, ScoreCounts]:
    """The rows split in two by chance, one half to fit a policy on and one to hold it against.

    The sums behind mean scores and losses, which no policy needs, are shared out in proportion to the rows.

    >>> counts = ScoreCounts((), ((),), np.array([[[7, 0], [2, 5]]]), np.zeros((4, 1, 2, 2)))
    >>> fit, held_out = halves(counts)
    >>> (fit.cells + held_out.cells).tolist() == counts.cells.tolist()
    True
    """
    first = np.random.default_rng(seed).binomial(counts.cells, 0.5).astype(np.int64)
    share = np.divide(first, counts.cells, out=np.zeros(counts.cells.shape), where=counts.cells > 0)
    return (
        replace(counts, cells=first, sums=counts.sums * share),
        replace(counts, cells=counts.cells - first, sums=counts.sums * (1 - share)),
    )


def accuracy_row(counts: Counts, settings: Settings, split: str = "") -> MetricRow:
    """The share of right decisions over all groups."""
    n, k = counts.rows, int(right(counts).sum())
    why = reason_not_judged(RATES["accuracy"], n, settings.minimum_group)
    lower, upper = (None, None) if why else (float(end) for end in wilson(k, n, settings.confidence))
    return MetricRow(
        "fairness",
        "accuracy",
        split=split,
        value=None if why else k / n,
        lower=lower,
        upper=upper,
        confidence=None if why else settings.confidence,
        n=n,
        unit="rate",
        better="higher",
        status="insufficient" if why else "ok",
        reason=why,
        method="" if why else "Wilson's interval",
    )


@dataclass(frozen=True)
class Outcome:
    """What decisions bring on held-out rows: their counts against today's, accuracy, and one gap per metric asked."""

    moved: PairedCounts
    accuracy: MetricRow
    gaps: dict[str, MetricRow]


def outcome(
    moved: PairedCounts, metrics: Sequence[str], settings: Settings, split: str = "", fitted: Sequence[Group] = ()
) -> Outcome:
    """Accuracy and gaps of decisions. fitted: the groups that the policy knows; others in it are named as unjudged."""
    counts = decided(moved)
    if counts.rows == 0:
        raise InputError("there are no held-out rows to judge a policy on; give some")
    comparison = _comparison(counts, settings, split)
    strangers = tuple(joined(group) for group in counts.groups if fitted and group not in fitted)
    gaps = {name: comparison.gap_row(GAPS[name]) for name in metrics}
    gaps = {
        name: replace(row, unjudged=tuple(dict.fromkeys([*row.unjudged, *strangers]))) for name, row in gaps.items()
    }
    return Outcome(moved, accuracy_row(counts, settings, split), gaps)


def _comparison(counts: Counts, settings: Settings, split: str) -> Comparison:
    resamples = multinomial_replicates(counts.cells, settings.replicates, np.random.default_rng(settings.seed))
    return Comparison(Margin(counts, resamples), settings, split)


def evaluate(policy: Policy, counts: ScoreCounts, settings: Settings, split: str = "") -> list[MetricRow]:
    """Accuracy, rates by group and gaps of a policy on rows that it was not fitted on, with intervals."""
    after = policy.decide(counts)
    if after.rows == 0:
        raise InputError("the score counts hold no rows to judge a policy on; count some first")
    comparison = _comparison(after, settings, split)
    rates = [row for name in SHOWN for row, _ in rate_rows(comparison.margin, RATES[name], settings, split)]
    return [accuracy_row(after, settings, split), *rates, *(comparison.gap_row(GAPS[name]) for name in METRICS)]
