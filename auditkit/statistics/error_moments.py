"""Moments of predictions and errors by group: all that the means of numbers, their intervals and R² depend on.

Of every row six features are kept, with y the label, p the prediction and e = p - y:

    p,  e,  |e|,  e²,  y,  y²

and of these, for every group, the mean and two sums of products of deviations from it,

    within = Σ w·(z - z̄)(z - z̄)ᵀ        sampled = Σ w²·(z - z̄)(z - z̄)ᵀ

The first gives variances of the people described, the second the sampling variance of a mean, sampled / (Σw)² (the
linearisation of survey sampling); without weights they are the same. A weight is a sampling weight: a row of weight 2
stands for two people, but is one observation.

Moments of two halves of the rows, merged, are those of the whole: means by weight, deviations by Chan, Golub and
LeVeque's update (1983, The American Statistician 37(3), 242-247). Labels are taken from an origin near their mean, so
that y² loses no digits; moving the origin is linear in the features, and done when two are merged.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

Integers = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
FEATURES = ("predicted", "error", "absolute", "squared", "truth", "truth_squared")
PREDICTED, ERROR, ABSOLUTE, SQUARED, TRUTH, TRUTH_SQUARED = range(len(FEATURES))


@dataclass(frozen=True)
class Moments:
    """Moments of G groups. rows: int64 [G]; weight, squares: Σw, Σw² [G]; mean: [G, 6]; within, sampled: [G, 6, 6].

    drift: Σ w²·(z - z̄) [G, 6], which merging needs. origin: what labels are counted from.
    """

    rows: Integers
    weight: Floats
    squares: Floats
    mean: Floats
    within: Floats
    sampled: Floats
    drift: Floats
    origin: float

    @classmethod
    def tally(
        cls, codes: Integers, groups: int, truth: Floats, predicted: Floats, weights: Floats | None = None
    ) -> Moments:
        """The moments of rows. codes: int64 [n], each row's group; truth, predicted, weights: float64 [n], finite.

        >>> found = Moments.tally(np.array([0, 0, 1]), 2, np.array([1.0, 3.0, 5.0]), np.array([2.0, 3.0, 4.0]))
        >>> found.mean[:, ABSOLUTE].tolist()
        [0.5, 1.0]
        """
        w = np.ones(len(codes)) if weights is None else np.asarray(weights, dtype=np.float64)
        total = float(w.sum())
        origin = float((truth * w).sum() / total) if total > 0 else 0.0
        error, shifted = predicted - truth, truth - origin
        features = (predicted, error, np.abs(error), error**2, shifted, shifted**2)

        def summed(values: Floats) -> Floats:
            return np.bincount(codes, values, minlength=groups).astype(np.float64)

        weight, squares = summed(w), summed(w * w)
        divisor = np.where(weight > 0, weight, 1.0)
        mean = np.stack([summed(w * z) / divisor for z in features], axis=1)
        centred = [z - mean[codes, at] for at, z in enumerate(features)]
        within, sampled = np.zeros((2, groups, len(features), len(features)))
        for i, first in enumerate(centred):
            for j in range(i + 1):
                product = w * first * centred[j]
                within[:, i, j] = within[:, j, i] = summed(product)
                sampled[:, i, j] = sampled[:, j, i] = within[:, i, j] if weights is None else summed(w * product)
        drift = np.zeros_like(mean) if weights is None else np.stack([summed(w * w * z) for z in centred], axis=1)
        rows = np.bincount(codes, minlength=groups).astype(np.int64)
        return cls(rows, weight, squares, mean, within, sampled, drift, origin)

    def added(self, places: Integers, groups: int) -> Moments:
        """The moments of groups put together: those with the same place, of which there are `groups`."""

        def summed(values: npt.NDArray) -> npt.NDArray:
            found = np.zeros((groups, *values.shape[1:]), dtype=values.dtype)
            np.add.at(found, places, values)
            return found

        weight, squares = summed(self.weight), summed(self.squares)
        divisor = np.where(weight > 0, weight, 1.0)[:, None]
        mean = summed(self.weight[:, None] * self.mean) / divisor
        apart = self.mean - mean[places]
        outer = apart[:, :, None] * apart[:, None, :]
        crossed = self.drift[:, :, None] * apart[:, None, :]
        within = summed(self.within + self.weight[:, None, None] * outer)
        sampled = summed(self.sampled + crossed + crossed.swapaxes(1, 2) + self.squares[:, None, None] * outer)
        drift = summed(self.drift + self.squares[:, None] * apart)
        return Moments(summed(self.rows), weight, squares, mean, within, sampled, drift, self.origin)

    def merge(self, other: Moments) -> Moments:
        """The moments of both together. Both must speak of the same groups in the same order."""
        groups = len(self.rows)
        if len(other.rows) != groups:
            raise ValueError(f"moments of {groups} groups and of {len(other.rows)} cannot be merged")
        moved = other.moved(self.origin)
        names = ("rows", "weight", "squares", "mean", "within", "sampled", "drift")
        both: Any = {name: np.concatenate([getattr(self, name), getattr(moved, name)]) for name in names}
        return replace(self, **both).added(np.tile(np.arange(groups), 2), groups)

    def moved(self, origin: float) -> Moments:
        """The same moments with labels counted from another origin."""
        by = self.origin - origin
        turn = np.eye(len(FEATURES))
        turn[TRUTH_SQUARED, TRUTH] = 2 * by
        shift = np.zeros(len(FEATURES))
        shift[[TRUTH, TRUTH_SQUARED]] = by, by * by
        mean = np.where(self.weight[:, None] > 0, self.mean @ turn.T + shift, 0.0)
        return replace(
            self,
            mean=mean,
            within=turn @ self.within @ turn.T,
            sampled=turn @ self.sampled @ turn.T,
            drift=self.drift @ turn.T,
            origin=origin,
        )

    @property
    def effective(self) -> Floats:
        """As how many equally weighted rows each group counts, (Σw)² / Σw² (Kish 1965), [G]."""
        return np.divide(self.weight**2, self.squares, out=np.zeros_like(self.weight), where=self.squares > 0)

    def covariance(self) -> Floats:
        """The sampling covariance of each group's mean features, [G, 6, 6]; infinite for fewer than two rows."""
        more = np.divide(self.rows, self.rows - 1, out=np.full(len(self.rows), np.inf), where=self.rows > 1)
        with np.errstate(invalid="ignore"):
            scaled = self.sampled * (more / np.where(self.weight > 0, self.weight, 1.0) ** 2)[:, None, None]
        return np.nan_to_num(scaled, nan=np.inf, posinf=np.inf)

    def label_variance(self) -> Floats:
        """The variance of each group's labels, [G], divided by the weight and not by one less."""
        found: Floats = self.within[:, TRUTH, TRUTH] / np.where(self.weight > 0, self.weight, 1.0)
        return found
