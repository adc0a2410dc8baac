"""Free energy of the logits: a row with little evidence for all classes together is strange.

Source: Liu, Wang, Owens and Li, "Energy-based out-of-distribution detection", NeurIPS 2020 (temperature 1).
"""

from __future__ import annotations

import torch
from torch import Tensor

from auditkit.ood.detector import Detector, Fitted
from auditkit.ood.reference import Reference


def energy_score(logits: Tensor) -> Tensor:
    """-log sum exp of the logits of each row. logits: [n, classes]. Returns float64 [n].

    >>> energy_score(torch.tensor([[1.0, 1.0]])).tolist() == [-1 - torch.tensor(2.0).double().log().item()]
    True
    """
    return -torch.logsumexp(logits.double(), dim=1)


def _fit(reference: Reference) -> Fitted:
    return Fitted(lambda observation: energy_score(observation.logits))


DETECTOR = Detector(
    name="energy",
    title="free energy",
    sees="logits",
    valid_for="any classifier with a softmax; can call gross errors normal",
    source="Liu et al. 2020",
    fit=_fit,
    classes="exclusive",
    scale=True,
)
