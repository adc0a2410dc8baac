"""Generalised entropy of the softmax, over its largest probabilities: sum of p^γ (1 - p)^γ with γ = 0.1.

The small power makes it sensitive to small deviations from a one-hot prediction. Computed from log-probabilities, so
that no probability has to be clamped.
Source: Liu, Lochman and Zach, "GEN: Pushing the limits of softmax-based out-of-distribution detection", CVPR 2023.
"""

from __future__ import annotations

import torch
from torch import Tensor

from auditkit.ood.detector import Detector, Fitted
from auditkit.ood.msp import msp_score
from auditkit.ood.reference import Reference

POWER = 0.1
LARGEST = 100


def gen_score(logits: Tensor, power: float = POWER, largest: int = LARGEST) -> Tensor:
    """Generalised entropy of each row. logits: [n, classes]. Returns float64 [n], at least 0.

    >>> gen_score(torch.zeros(1, 2), power=1.0).item()
    0.5
    """
    log_p = torch.log_softmax(logits.double(), dim=1)
    log_p = log_p.topk(min(largest, log_p.shape[1]), dim=1).values
    log_rest = torch.log(-torch.expm1(log_p[:, 1:]))
    log_rest = torch.cat([msp_score(logits)[:, None], log_rest], dim=1)
    return (power * (log_p + log_rest)).exp().sum(dim=1)


def _fit(reference: Reference) -> Fitted:
    return Fitted(lambda observation: gen_score(observation.logits))


DETECTOR = Detector(
    name="gen",
    title="generalised entropy",
    sees="logits",
    valid_for="any classifier with a softmax; can call gross errors normal",
    source="Liu, Lochman and Zach 2023",
    fit=_fit,
    classes="exclusive",
)
