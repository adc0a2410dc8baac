"""Moments: streaming statistics of a layer's units that can be merged, in float64.

Means and co-moments are combined by Chan's pairwise update, which loses no digits to cancellation:

    n = n_a + n_b,  δ = mean_b - mean_a
    mean = mean_a + δ n_b / n
    M2 = M2_a + M2_b + δ δᵀ n_a n_b / n

so that any order and any division of the rows into batches gives the same answer to rounding.

Source: Chan, Golub, LeVeque, "Algorithms for Computing the Sample Variance", The American Statistician 37(3), 1983.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

Floats = npt.NDArray[np.float64]


class UnitMoments:
    """Per unit over all rows and positions: mean, spread, extremes, shares of zeros and of saturated values."""

    def __init__(self, bounds: tuple[float, float] | None = None) -> None:
        self.bounds = bounds
        self.rows = self.values = self.strange = 0
        self.mean = self.m2 = self.low = self.high = self.zeros = self.saturated = np.zeros(0)

    def update(self, units: Tensor, stand: Tensor | None = None) -> None:
        """Take in [n, positions, units]. Rows with a value that is not finite are counted and left out.

        stand: bool [n, positions], which positions hold something (of a text: a word); all where None.
        """
        flat = units.reshape(-1, units.shape[2]) if stand is None else units[stand]
        if flat.numel() == 0:
            return
        exact = flat.double()
        mean = exact.mean(dim=0)
        if not torch.isfinite(mean).all():
            finite = torch.isfinite(units).all(dim=2)
            finite = (finite if stand is None else finite | ~stand).all(dim=1)
            self.strange += int((~finite).sum())
            self.update(units[finite], None if stand is None else stand[finite])
            return
        part = UnitMoments(self.bounds)
        part.rows, part.values = len(units), len(flat)
        part.mean, part.m2 = _host(mean), _host((exact - mean).square_().sum(dim=0))
        part.low, part.high = _host(flat.amin(dim=0)), _host(flat.amax(dim=0))
        part.zeros = _host((flat == 0).sum(dim=0))
        if self.bounds is not None:
            part.saturated = _host(((flat <= self.bounds[0]) | (flat >= self.bounds[1])).sum(dim=0))
        self.merge(part)

    def merge(self, other: UnitMoments) -> None:
        """Take in what another has seen."""
        self.strange += other.strange
        if other.values == 0:
            return
        if self.values == 0:
            names = ("mean", "m2", "low", "high", "zeros", "saturated")
            for name in names:
                setattr(self, name, getattr(other, name).copy())
            self.rows, self.values = other.rows, other.values
            return
        total = self.values + other.values
        step = other.mean - self.mean
        self.m2 = self.m2 + other.m2 + step**2 * (self.values * other.values / total)
        self.mean = self.mean + step * (other.values / total)
        self.low, self.high = np.minimum(self.low, other.low), np.maximum(self.high, other.high)
        self.zeros, self.saturated = self.zeros + other.zeros, self.saturated + other.saturated
        self.rows, self.values = self.rows + other.rows, total

    @property
    def spread(self) -> Floats:
        """Standard deviation of each unit (divided by n)."""
        return np.sqrt(self.m2 / max(self.values, 1))


class Covariance:
    """Mean and covariance of row vectors [n, units]."""

    def __init__(self) -> None:
        self.rows = 0
        self.mean = np.zeros(0)
        self.m2 = np.zeros((0, 0))

    def update(self, vectors: Tensor) -> None:
        """Take in [n, units]; rows with a value that is not finite are left out."""
        exact = vectors.double()
        if len(exact) == 0:
            return
        mean = exact.mean(dim=0)
        if not torch.isfinite(mean).all():
            self.update(exact[torch.isfinite(exact).all(dim=1)])
            return
        part = Covariance()
        centred = exact - mean
        part.rows, part.mean, part.m2 = len(exact), _host(mean), _host(centred.T @ centred)
        self.merge(part)

    def merge(self, other: Covariance) -> None:
        """Take in what another has seen."""
        if other.rows == 0:
            return
        if self.rows == 0:
            self.rows, self.mean, self.m2 = other.rows, other.mean.copy(), other.m2.copy()
            return
        total = self.rows + other.rows
        step = other.mean - self.mean
        self.m2 = self.m2 + other.m2 + np.outer(step, step) * (self.rows * other.rows / total)
        self.mean = self.mean + step * (other.rows / total)
        self.rows = total

    @property
    def matrix(self) -> Floats:
        """The covariance [units, units], divided by n."""
        return self.m2 / max(self.rows, 1)


def effective_rank(covariance: Floats) -> float | None:
    """How many directions a covariance really uses: the exponential of the entropy of its normalised eigenvalues.

    It is k where k eigenvalues are equal and the rest are zero, and counts weaker directions for less. None where
    nothing varies. Source: Roy and Vetterli, "The effective rank", EUSIPCO 2007.

    >>> round(effective_rank(np.diag([1.0, 1.0, 0.0])), 12)
    2.0
    """
    values = np.clip(np.linalg.eigvalsh(covariance), 0.0, None)
    total = values.sum()
    if total <= 0:
        return None
    share = values[values > total * 1e-15] / total
    return float(np.exp(-(share * np.log(share)).sum()))


def _host(values: Tensor) -> Floats:
    return values.double().cpu().numpy()
