"""Mahalanobis distance of the features to the nearest class mean, under one covariance pooled within the classes.

The covariance is divided by n and shrunk (see `gaussian`), so that a threshold outlives a refit.
Source: Lee, Lee, Lee and Shin, "A simple unified framework for detecting out-of-distribution samples and adversarial
attacks", NeurIPS 2018.
"""

from __future__ import annotations

from torch import Tensor

from auditkit.engine.analysis import Observation
from auditkit.ood.detector import Detector, Fitted, NotApplicableError
from auditkit.ood.gaussian import Gaussian, fit_gaussian
from auditkit.ood.moments import ClassMoments
from auditkit.ood.reference import Reference


def class_gaussian(moments: ClassMoments, reference: Reference) -> Gaussian:
    """The pooled Gaussian of the classes that have rows."""
    return fit_gaussian(moments.within, moments.rows, moments.means[moments.counts > 0], reference.device)


def features_of(observation: Observation) -> Tensor:
    """The penultimate features; present wherever the training split had them."""
    assert observation.features is not None
    return observation.features


def feature_moments(reference: Reference) -> ClassMoments:
    """The moments of the features, or NotApplicableError where the model shows none."""
    if reference.features is None:
        raise NotApplicableError("the model has no penultimate linear layer to take features from")
    return reference.features


def _fit(reference: Reference) -> Fitted:
    gaussian = class_gaussian(feature_moments(reference), reference)
    return Fitted(lambda observation: gaussian.distances(features_of(observation)).amin(dim=1), gaussian.facts)


DETECTOR = Detector(
    name="mahalanobis",
    title="Mahalanobis distance to the nearest class",
    sees="features",
    valid_for="any model with a linear head; strong on gross and low-level changes, weak on near ones",
    source="Lee et al. 2018",
    fit=_fit,
)
