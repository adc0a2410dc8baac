"""Maximum logit: a row that no class answers to strongly is strange.

Source: Hendrycks et al., "Scaling out-of-distribution detection for real-world settings", ICML 2022.
"""

from __future__ import annotations

from torch import Tensor

from auditkit.ood.detector import Detector, Fitted
from auditkit.ood.reference import Reference


def max_logit_score(logits: Tensor) -> Tensor:
    """Minus the largest logit of each row. logits: [n, classes]. Returns float64 [n].

    >>> import torch
    >>> max_logit_score(torch.tensor([[1.0, 3.0]])).tolist()
    [-3.0]
    """
    return -logits.double().amax(dim=1)


def _fit(reference: Reference) -> Fitted:
    return Fitted(lambda observation: max_logit_score(observation.logits))


DETECTOR = Detector(
    name="max_logit",
    title="maximum logit",
    sees="logits",
    valid_for="any classifier; can call gross errors normal",
    source="Hendrycks et al. 2022",
    fit=_fit,
    scale=True,
)
