"""How much of a text the model cannot read: the share of its words that training never showed often enough.

All such words look the same to a network with a vocabulary of its own, so that a text full of them (another language,
spelling, or field) may get any answer, a confident one too. It needs no model. A text without a word is one such word.
"""

from __future__ import annotations

from torch import Tensor

from auditkit.engine.analysis import Observation
from auditkit.ood.detector import Detector, Fitted, NotApplicableError
from auditkit.ood.reference import Reference


def _fit(reference: Reference) -> Fitted:
    number = reference.unknown
    if number is None:
        raise NotApplicableError("its inputs are no words of a vocabulary of the model's own")

    def score(observation: Observation) -> Tensor:
        ids, mask = observation.inputs
        stand = mask != 0
        return ((ids == number) & stand).sum(dim=1).double() / stand.sum(dim=1).clamp_min(1)

    return Fitted(score)


DETECTOR = Detector(
    name="unknown_words",
    title="share of unknown words",
    sees="inputs",
    valid_for="texts read word by word with a vocabulary made of training; needs no model",
    source="the out-of-vocabulary rate, a plain count",
    fit=_fit,
    modality="text",
)
