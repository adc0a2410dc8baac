"""Projection: a 2-D map of penultimate features by principal components of the reference.

The axes are the two directions in which training features vary most, from their streamed float64 covariance; other
splits are placed on the same axes. Each axis is turned so that its largest loading is positive, which makes the map
repeatable. Distances on the map are those of the features where most variance is explained, and too small elsewhere.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Projection:
    """mean [width], axes [width, k] orthonormal, explained [width] all eigenvalues' shares of variance, descending."""

    mean: Floats
    axes: Floats
    explained: Floats

    def place(self, vectors: npt.NDArray) -> Floats:
        """Coordinates [n, k] of feature vectors [n, width]."""
        return (vectors.astype(np.float64) - self.mean) @ self.axes


def principal_axes(mean: Floats, covariance: Floats, k: int = 2) -> Projection | None:
    """The k leading principal axes of a covariance [width, width]; None where nothing varies.

    >>> principal_axes(np.zeros(2), np.diag([1.0, 4.0])).axes[:, 0].tolist()
    [0.0, 1.0]
    """
    values, vectors = np.linalg.eigh(covariance)
    values, vectors = np.clip(values[::-1], 0.0, None), vectors[:, ::-1]
    total = values.sum()
    if total <= 0:
        return None
    axes = vectors[:, :k]
    largest = np.abs(axes).argmax(axis=0)
    signs = np.sign(axes[largest, np.arange(axes.shape[1])])
    return Projection(mean, axes * signs, values / total)
