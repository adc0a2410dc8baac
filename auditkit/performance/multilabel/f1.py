"""F1 of several labels: of one alone, and averaged over all, with intervals.

F1 = 2·TP / (positives + given). Of one label it is J·2/(1 + J) with J = TP / (TP + FP + FN), Jaccard's index: given how
many rows have the label or are given it, TP of them is a binomial count, so Wilson's interval of J becomes F1's own.

    micro F1   F1 of all labels' counts added up        macro F1   mean of the labels' F1

A row's labels hang together, so these two are bootstrapped by rows. Rows of the same labels, true and given, count
alike, so resampling them is one multinomial draw over the kinds of rows there are. Where nothing is wrong no resample
differs; the lower limit is then Wilson's for rows that count as one trial each.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from auditkit.performance.multilabel.observer import Flags, Floats
from auditkit.statistics.intervals import wilson
from auditkit.statistics.resampling import multinomial_replicates, percentile_interval
from auditkit.statistics.roc import Estimate

WORK, AT_ONCE, FEWEST = 60_000_000, 4_000_000, 400
"""kinds of rows times resamples that are drawn in all and at a time, and how many resamples there are at least"""


@dataclass(frozen=True)
class Counts:
    """Of each label, int64 [L]: right positives, rows that have it, rows that are given it; rows: of all, n."""

    right: npt.NDArray[np.int64]
    positives: npt.NDArray[np.int64]
    given: npt.NDArray[np.int64]
    rows: int

    @classmethod
    def tally(cls, truth: Flags, given: Flags) -> Counts:
        """Count rows. truth, given: bool [n, L]."""
        return cls((truth & given).sum(axis=0), truth.sum(axis=0), given.sum(axis=0), len(truth))

    @property
    def touched(self) -> npt.NDArray[np.int64]:
        """Rows that have the label or are given it."""
        return self.positives + self.given - self.right

    @property
    def f1(self) -> Floats:
        """Of each label, NaN where no row has it or is given it."""
        size = (self.positives + self.given).astype(np.float64)
        return np.divide(2.0 * self.right, size, out=np.full(len(size), np.nan), where=size > 0)


def label_f1(right: int, touched: int, confidence: float) -> Estimate:
    """One label's F1. right: rows that rightly are given it; touched: rows that have it or are given it, one at least.

    >>> [round(number, 3) for number in label_f1(1, 2, 0.95)]
    [0.667, 0.173, 0.95]
    """
    lower, upper = wilson(right, touched, confidence)
    value, low, high = (2 * j / (1 + j) for j in (right / touched, float(lower), float(upper)))
    return Estimate(value, low, high)


def averages(
    truth: Flags, given: Flags, replicates: int, confidence: float, rng: np.random.Generator
) -> tuple[Estimate, Estimate, int]:
    """Micro and macro F1 of rows bool [n, L] with a label each somewhere, and how many resamples there were.

    The macro average is over the labels that some row has or is given.
    """
    counts = Counts.tally(truth, given)
    judged = counts.touched > 0
    micro = float(2 * counts.right.sum() / (counts.positives + counts.given).sum())
    macro = float(counts.f1[judged].mean())
    micros, macros = _resampled(truth[:, judged], given[:, judged], replicates, rng)
    found = []
    for value, drawn in ((micro, micros), (macro, macros)):
        lower, upper = (float(edge) for edge in percentile_interval(drawn, confidence))
        found.append(Estimate(value, min(lower, value), max(upper, value)))
    if (counts.right == counts.touched).all():
        rows = int((truth | given).any(axis=1).sum())
        labels = [label_f1(int(n), int(n), confidence).lower for n in counts.touched[judged]]
        found = [Estimate(1.0, label_f1(rows, rows, confidence).lower, 1.0), Estimate(1.0, float(np.mean(labels)), 1.0)]
    return found[0], found[1], len(micros)


def _resampled(truth: Flags, given: Flags, replicates: int, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """Micro and macro F1 of every resample, each [replicates]."""
    packed = np.packbits(np.concatenate([truth, given], axis=1), axis=1)
    _, first, counts = np.unique(packed, axis=0, return_index=True, return_counts=True)
    mine, theirs = truth[first], given[first]
    twice, size = 2.0 * (mine & theirs).T, mine.T.astype(np.float64) + theirs.T
    replicates = min(replicates, max(FEWEST, WORK // len(counts)))
    step = max(1, AT_ONCE // len(counts))
    micros, macros = [], []
    for start in range(0, replicates, step):
        drawn = multinomial_replicates(counts, min(step, replicates - start), rng).astype(np.float64)
        tops, sizes = twice @ drawn, size @ drawn
        total = sizes.sum(axis=0)
        micros.append(np.divide(tops.sum(axis=0), total, out=np.ones(len(total)), where=total > 0))
        there = sizes > 0
        each = np.divide(tops, sizes, out=np.zeros(sizes.shape), where=there)
        macros.append(each.sum(axis=0) / np.maximum(there.sum(axis=0), 1))
    return np.concatenate(micros), np.concatenate(macros)
