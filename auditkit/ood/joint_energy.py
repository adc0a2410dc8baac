"""Joint energy of several labels: a row that has little evidence for any of them, taken together, is strange.

Each label's free energy against its absence is -log(1 + exp(logit)); their sum over the labels, which the labels of a
row that is known make low together, tells more than the largest one alone.
Source: Wang, Liu, Bocchieri and Li, "Can multi-label classification networks know what they don't know?", NeurIPS 2021.
"""

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import softplus

from auditkit.ood.detector import Detector, Fitted
from auditkit.ood.reference import Reference


def joint_energy_score(logits: Tensor) -> Tensor:
    """- sum over labels of log(1 + exp(logit)) of each row. logits: [n, labels]. Returns float64 [n].

    >>> import torch
    >>> joint_energy_score(torch.tensor([[0.0, 0.0]])).exp().round(decimals=6).tolist()
    [0.25]
    """
    return -softplus(logits.double()).sum(dim=1)


def _fit(reference: Reference) -> Fitted:
    return Fitted(lambda observation: joint_energy_score(observation.logits))


DETECTOR = Detector(
    name="joint_energy",
    title="joint energy of the labels",
    sees="logits",
    valid_for="any model of several labels; can call gross errors normal",
    source="Wang et al. 2021",
    fit=_fit,
    scale=True,
    classes="several",
)
