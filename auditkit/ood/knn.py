"""Distance to the k-th nearest training row, of features normalised to unit length.

On the unit sphere the squared distance is 2 - 2 cos, so that all distances to the bank are one matrix product.
Source: Sun, Ming, Zhu and Li, "Out-of-distribution detection with deep nearest neighbors", ICML 2022. The bank is a
seeded sample of the training rows; k is that of the whole bank and shrinks to its size where the bank is smaller.
"""

from __future__ import annotations

import torch
from torch import Tensor

from auditkit.engine.analysis import Observation
from auditkit.ood.detector import Detector, Fitted
from auditkit.ood.mahalanobis import feature_moments, features_of
from auditkit.ood.reference import Reference

CHUNK = 2**24
"""cells of one block of the distance matrix"""


def unit_length(vectors: Tensor) -> Tensor:
    """Rows [n, width] scaled to length 1 in float32; a row of zeros stays one."""
    exact = vectors.double()
    return (exact / exact.norm(dim=1, keepdim=True).clamp(min=1e-30)).float()


def knn_distance(vectors: Tensor, bank: Tensor, k: int) -> Tensor:
    """Distance of each row to its k-th nearest row of the bank, both of unit length: float64 [n].

    vectors: float32 [n, width]; bank: float32 [rows, width]; 1 <= k <= rows.

    >>> knn_distance(torch.tensor([[1.0, 0.0]]), torch.tensor([[1.0, 0.0], [0.0, 1.0]]), 2).round(decimals=4).tolist()
    [1.4142]
    """
    size = max(1, CHUNK // len(bank))
    nearest = [(part @ bank.T).topk(k, dim=1, sorted=True).values[:, -1] for part in vectors.split(size)]
    return (2 - 2 * torch.cat(nearest).double()).clamp(min=0).sqrt()


def _fit(reference: Reference) -> Fitted:
    feature_moments(reference)
    assert reference.bank is not None
    bank = unit_length(torch.from_numpy(reference.bank).to(reference.device))
    k = min(reference.neighbours, len(bank))

    def score(observation: Observation) -> Tensor:
        return knn_distance(unit_length(features_of(observation)), bank, k)

    return Fitted(score, {"neighbours": float(k), "bank_rows": float(len(bank))})


DETECTOR = Detector(
    name="knn",
    title="distance to the k-th nearest training row",
    sees="features",
    valid_for="any model with a linear head",
    source="Sun et al. 2022",
    fit=_fit,
)
