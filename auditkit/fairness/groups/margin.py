"""A margin: the counts over some of the attributes and their resamples; what rates and gaps are inferred from.

Rows that were drawn one by one and weigh the same are counts as they stand. Weights, strata and clusters change how
much a row tells. Then a rate is taken with its effective sample size, the number of plain rows that would give it the
same variance (Kish 1965, Survey Sampling, 8.2 and 11.7):

    n_eff = p (1 - p) / Var(p)

so that every method for counts serves for them too. With weights alone Var(p) is the linearised variance of a ratio,
Σ w² (y - p)² / (Σ w)² (Särndal, Swensson and Wretman 1992, Model Assisted Survey Sampling, 5.6); with strata or
clusters it is that of the resamples, in which strata keep their size and clusters stay whole. Weighted rows never tell
more than (Σ w)² / Σ w² plain ones, which also is the effective size of a rate of 0 or 1, since that has no variance to
go by; in clusters it is the number of its clusters.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from auditkit.fairness.counting.counts import Counts, Floats, Integers
from auditkit.fairness.groups.definitions import Cell, Rate

FEWEST_CLUSTERS = 20


def total_of(cells: npt.NDArray, chosen: Sequence[Cell]) -> npt.NDArray:
    """The sum of the chosen cells. cells: [groups, label, decision, ...]; returns [groups, ...]."""
    (label, decision), *rest = chosen
    total: npt.NDArray = cells[:, label, decision].copy()
    for label, decision in rest:
        total += cells[:, label, decision]
    return total


def fraction_of(cells: npt.NDArray, rate: Rate) -> tuple[npt.NDArray, npt.NDArray]:
    """A rate's numerator and denominator. cells: [groups, label, decision, ...]; both returned as [groups, ...].

    >>> from auditkit.fairness.groups.definitions import RATES
    >>> [part.tolist() for part in fraction_of(np.array([[[5, 1], [2, 4]]]), RATES["true_positive_rate"])]
    [[4], [6]]
    """
    return total_of(cells, rate.numerator), total_of(cells, rate.denominator)


@dataclass(frozen=True)
class Clusters:
    """Which clusters hold rows of which cell: int64 [entries] each; cell: (group * 2 + label) * 2 + decision."""

    cluster: Integers
    cell: Integers

    def of(self, rate: Rate, groups: int) -> Integers:
        """How many clusters hold rows that the rate of every group is a share of."""
        inside = np.isin(self.cell % 4, [2 * label + decision for label, decision in rate.denominator])
        held = np.unique(np.stack([self.cell[inside] // 4, self.cluster[inside]]), axis=1)
        return np.bincount(held[0], minlength=groups)


@dataclass(frozen=True)
class Fraction:
    """A rate of every group. rows: int64 [groups] that it is a share of; successes, n: [groups], its effective counts,
    whole numbers where rows are plain; clusters: int64 [groups] that the rows lie in, or None."""

    rows: Integers
    successes: npt.NDArray
    n: npt.NDArray
    clusters: Integers | None = None

    def judged(self, minimum: int) -> npt.NDArray[np.bool_]:
        """Which groups have enough rows, by number, by what they tell and by their clusters: bool [groups]."""
        enough: npt.NDArray[np.bool_] = (self.rows >= max(1, minimum)) & (self.n >= minimum * (1 - 1e-9))
        return enough if self.clusters is None else enough & (self.clusters >= FEWEST_CLUSTERS)


@dataclass(frozen=True)
class Margin:
    """Counts with their resamples: [groups, label, decision, replicates], of rows, or of weights where rows have them.

    by_design: whether strata or clusters were kept in resampling, so that resamples tell the variance. clusters: where
    rows come in clusters.
    """

    counts: Counts
    resamples: npt.NDArray
    by_design: bool = False
    clusters: Clusters | None = None

    @property
    def plain(self) -> bool:
        """Whether every row is drawn by itself and weighs the same."""
        return not self.by_design and self.counts.weights is None

    def completed(self, most: int) -> Margin:
        """The same with the combinations of values that nobody belongs to, as groups without rows."""
        counts = self.counts.completed(most)
        if len(counts.groups) == len(self.counts.groups):
            return self
        places = np.array([counts.groups.index(group) for group in self.counts.groups], dtype=np.int64)
        resamples = np.zeros((len(counts.groups), *self.resamples.shape[1:]), dtype=self.resamples.dtype)
        resamples[places] = self.resamples
        held = self.clusters
        if held is not None:
            held = Clusters(held.cluster, places[held.cell // 4] * 4 + held.cell % 4)
        return Margin(counts, resamples, self.by_design, held)

    def fraction(self, rate: Rate) -> Fraction:
        """The rate's fractions, as counts that tell as much as the rows do."""
        if self.by_design:
            return self._of_resamples(rate)
        return fraction(self.counts, rate)

    def _of_resamples(self, rate: Rate) -> Fraction:
        plain = fraction(self.counts, rate)
        clusters = None if self.clusters is None else self.clusters.of(rate, len(self.counts.groups))
        value = np.divide(plain.successes, plain.n, out=np.zeros(len(plain.rows)), where=plain.n > 0)
        drawn, drawn_n = fraction_of(self.resamples, rate)
        variance = np.divide(drawn, drawn_n, out=np.zeros(drawn.shape), where=drawn_n > 0).var(axis=1)
        n = np.divide(value * (1 - value), variance, out=plain.n.astype(np.float64), where=variance > 0)
        if clusters is not None:
            n = np.where(variance > 0, n * _few_clusters(clusters), np.minimum(n, clusters))
        n = np.where(plain.rows > 0, np.maximum(n, 1.0), 0.0)
        return Fraction(plain.rows, value * n, n, clusters)

    def drawn(self, rate: Rate, places: Integers, fractions: Fraction) -> tuple[npt.NDArray, npt.NDArray]:
        """Successes and rows of the resamples of the groups at `places`, as effective counts: [places, replicates]."""
        successes, n = fraction_of(self.resamples[places], rate)
        if self.plain:
            return successes, n
        share = np.divide(successes, n, out=np.zeros(n.shape), where=n > 0)
        size = np.broadcast_to(fractions.n[places][:, None], share.shape).astype(np.float32)
        return (share * size).astype(np.float32), size


def fraction(counts: Counts, rate: Rate) -> Fraction:
    """A rate of rows drawn one by one, with its effective counts where they are weighted.

    >>> from auditkit.fairness.counting.counts import Weights
    >>> from auditkit.fairness.groups.definitions import RATES
    >>> rows, once = np.array([[[4, 2], [1, 3]]]), np.ones((1, 2, 2))
    >>> alike = Counts((), ((),), rows, Weights(2.0 * rows, 4.0 * rows))
    >>> float(fraction(alike, RATES["selection_rate"]).n.round(9)[0])
    10.0
    """
    successes, rows = fraction_of(counts.cells, rate)
    if counts.weights is None:
        return Fraction(rows, successes, rows)
    of, total = fraction_of(counts.weights.total, rate)
    of_squares, squares = fraction_of(counts.weights.squares, rate)
    value = np.divide(of, total, out=np.zeros(len(rows)), where=total > 0)
    spread = (1 - value) ** 2 * of_squares + value**2 * np.maximum(squares - of_squares, 0)
    kish = np.divide(total**2, squares, out=np.zeros(len(rows)), where=squares > 0)
    varies = (spread > 0) & (value > 0) & (value < 1)
    n = np.divide(value * (1 - value) * total**2, spread, out=kish.copy(), where=varies)
    n = np.clip(n, np.minimum(rows, 1), np.maximum(kish, np.minimum(rows, 1)))
    return Fraction(rows, value * n, n)


def _few_clusters(clusters: Integers) -> Floats:
    """What is left of an effective size once the variance itself is known from few clusters only: (z / t)²."""
    from scipy.special import stdtrit

    degrees = np.maximum(clusters - 1, 1)
    return np.asarray((1.959964 / stdtrit(degrees, 0.975)) ** 2 * (degrees / (degrees + 1)), dtype=np.float64)
