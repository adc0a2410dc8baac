"""Maximum softmax probability: a row the model is unsure of is strange.

The score is log(1 - max p), which orders rows as 1 - max p does and still tells them apart where max p rounds to 1.
Source: Hendrycks and Gimpel, "A baseline for detecting misclassified and out-of-distribution examples", ICLR 2017.
"""

from __future__ import annotations

import torch
from torch import Tensor

from auditkit.ood.detector import Detector, Fitted
from auditkit.ood.reference import Reference


def msp_score(logits: Tensor) -> Tensor:
    """log(1 - max softmax) of each row. logits: [n, classes]. Returns float64 [n], at most 0.

    >>> (1 - msp_score(torch.tensor([[0.0, 0.0], [0.0, 100.0]])).exp()).tolist()
    [0.5, 1.0]
    """
    exact = logits.double()
    rest = exact.scatter(1, exact.argmax(dim=1, keepdim=True), -torch.inf)
    return torch.logsumexp(rest, dim=1) - torch.logsumexp(exact, dim=1)


def _fit(reference: Reference) -> Fitted:
    return Fitted(lambda observation: msp_score(observation.logits))


DETECTOR = Detector(
    name="msp",
    title="maximum softmax probability",
    sees="logits",
    valid_for="any classifier; can call gross errors normal",
    source="Hendrycks and Gimpel 2017",
    fit=_fit,
    classes="exclusive",
)
