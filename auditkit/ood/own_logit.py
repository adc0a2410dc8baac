"""The model's own logit: for a model trained on one class alone, to tell what is unlike it.

An autoencoder's scaled reconstruction error or a discriminator's logit is a detector already, and is held against the
others here. The score is the logit of the class that stands for "unlike" minus that of the other.
Source: Ruff et al., "A unifying review of deep and shallow anomaly detection", Proceedings of the IEEE 109(5), 2021.
"""

from __future__ import annotations

from auditkit.ood.detector import Detector, Fitted, NotApplicableError
from auditkit.ood.reference import Reference


def _fit(reference: Reference) -> Fitted:
    place = reference.outlier
    if place is None:
        raise NotApplicableError("the model was not trained on one class alone, to tell what is unlike it")
    return Fitted(lambda observation: (observation.logits[:, place] - observation.logits[:, 1 - place]).double())


DETECTOR = Detector(
    name="own_logit",
    title="the model's own logit",
    sees="logits",
    valid_for="models trained on one class alone, such as autoencoders and discriminators",
    source="Ruff et al. 2021",
    fit=_fit,
    one_class=True,
)
