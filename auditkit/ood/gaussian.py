"""A shrunken, whitened covariance shared by several centres, and squared Mahalanobis distances to them.

The covariance is the pooled scatter divided by n, in float64. Each direction is first put on its own standard
deviation, and the correlation matrix that is left is shrunk towards the identity, R' = (1 - ρ) R + ρ I, with the ρ of
oracle approximating shrinkage (Chen, Wiesel, Eldar and Hero 2010, IEEE Transactions on Signal Processing 58(10),
5016-5029), which keeps it invertible for few rows, collinear or dead directions. A direction that never varies is given
the median standard deviation of those that do: if it wakes up, it counts like any other, not a millionfold.

Whitening the rows once, x → W (x - origin), turns all distances into one matrix product: width² + classes · width
multiplications a row, instead of classes · width².
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from auditkit.ood.detector import NotApplicableError

Floats = npt.NDArray[np.float64]
DEAD = 1e-12
"""a variance below this share of the largest one counts as none"""


def oas_shrinkage(covariance: Floats, n: int) -> float:
    """Oracle approximating shrinkage of a covariance [width, width] over n rows, towards a multiple of the identity.

    >>> round(oas_shrinkage(np.diag([2.0, 1.0]), 10), 4)
    1.0
    """
    width = len(covariance)
    mean_square = float((covariance**2).mean())
    scale = float(np.trace(covariance) / width) ** 2
    spread = (n + 1) * (mean_square - scale / width)
    return 1.0 if spread <= 0 else min(1.0, (mean_square + scale) / spread)


@dataclass(frozen=True, slots=True)
class Gaussian:
    """Whitened centres. `whiten` [width, width], `origin` [width], `centres` [classes, width], all float64 tensors."""

    whiten: Tensor
    origin: Tensor
    centres: Tensor
    shrinkage: float
    condition: float
    dead: int

    def distances(self, vectors: Tensor) -> Tensor:
        """Squared Mahalanobis distances of rows [n, width] to each centre, float64 [n, classes]."""
        white = (vectors.double() - self.origin) @ self.whiten.T
        squared = white.square().sum(dim=1, keepdim=True) - 2 * white @ self.centres.T
        return (squared + self.centres.square().sum(dim=1)).clamp(min=0)

    @property
    def facts(self) -> dict[str, float]:
        """What is worth knowing of the fit."""
        return {"shrinkage": self.shrinkage, "condition_number": self.condition, "dead_units": float(self.dead)}


def fit_gaussian(scatter: Floats, n: int, centres: Floats, device: torch.device) -> Gaussian:
    """From a scatter matrix [width, width] over n rows, and the centres [classes, width].

    Raises NotApplicableError where nothing varies.
    """
    covariance = scatter / n
    variance = np.diag(covariance)
    alive = variance > DEAD * variance.max(initial=0.0)
    if not alive.any():
        raise NotApplicableError("no direction varies within the classes of the training rows")
    spread = np.sqrt(np.where(alive, variance, np.median(variance[alive])))
    correlation = covariance / np.outer(spread, spread)
    correlation[~alive] = correlation[:, ~alive] = 0.0
    np.fill_diagonal(correlation, 1.0)
    shrinkage = oas_shrinkage(correlation, n)
    values, vectors = np.linalg.eigh(correlation)
    shrunken = (1 - shrinkage) * np.clip(values, 0.0, None) + shrinkage
    whiten = (vectors / np.sqrt(shrunken)).T / spread
    origin = centres.mean(axis=0)
    return Gaussian(
        whiten=torch.from_numpy(whiten).to(device),
        origin=torch.from_numpy(origin).to(device),
        centres=torch.from_numpy((centres - origin) @ whiten.T).to(device),
        shrinkage=shrinkage,
        condition=float(shrunken.max() / shrunken.min()),
        dead=int((~alive).sum()),
    )
