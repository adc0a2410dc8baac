"""All detectors, by name. A new one is one file with a `DETECTOR` and one line here."""

from collections.abc import Sequence

from auditkit.errors import InputError, nearest
from auditkit.ood import (
    energy,
    gen,
    input_mahalanobis,
    input_max_z,
    knn,
    mahalanobis,
    max_logit,
    msp,
    relative_mahalanobis,
)
from auditkit.ood.detector import Detector

DETECTORS: dict[str, Detector] = {
    module.DETECTOR.name: module.DETECTOR
    for module in (
        msp,
        max_logit,
        energy,
        gen,
        mahalanobis,
        relative_mahalanobis,
        knn,
        input_mahalanobis,
        input_max_z,
    )
}

FUSED = "fused"


def chosen(names: Sequence[str] | None) -> list[Detector]:
    """The detectors of these names, in the registry's order; all where None. Raises InputError for an unknown name."""
    for name in names or ():
        if name not in DETECTORS:
            raise InputError(f"ood.detectors: there is no detector {name!r}; {nearest(name, DETECTORS)}")
    return [detector for name, detector in DETECTORS.items() if names is None or name in names]
