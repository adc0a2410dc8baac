"""Relative Mahalanobis distance: to the nearest class, less the distance to all training rows taken together.

What is unusual for every class alike, and tells nothing, cancels out. Source: Ren, Fort, Liu, Guha Roy, Padhy and
Lakshminarayanan, "A simple fix to Mahalanobis distance for improving near-OOD detection", 2021, arXiv 2106.09022.
"""

from __future__ import annotations

from torch import Tensor

from auditkit.engine.analysis import Observation
from auditkit.ood.detector import Detector, Fitted, NotApplicableError
from auditkit.ood.gaussian import fit_gaussian
from auditkit.ood.mahalanobis import class_gaussian, feature_moments, features_of
from auditkit.ood.reference import Reference


def _fit(reference: Reference) -> Fitted:
    moments = feature_moments(reference)
    if (moments.counts > 0).sum() < 2:
        raise NotApplicableError("the training rows have one class only, so there is nothing to be relative to")
    classes = class_gaussian(moments, reference)
    everything = fit_gaussian(moments.total, moments.rows, moments.mean[None], reference.device)

    def score(observation: Observation) -> Tensor:
        features = features_of(observation)
        return classes.distances(features).amin(dim=1) - everything.distances(features)[:, 0]

    return Fitted(score, classes.facts)


DETECTOR = Detector(
    name="relative_mahalanobis",
    title="relative Mahalanobis distance",
    sees="features",
    valid_for="any model with a linear head; for sets near the training data",
    source="Ren et al. 2021",
    fit=_fit,
)
