"""All detectors, by name. A new one is one file with a `DETECTOR` and one line here."""

from collections.abc import Sequence

from auditkit.errors import InputError, nearest
from auditkit.ood import (
    energy,
    gen,
    input_mahalanobis,
    input_max_z,
    joint_energy,
    knn,
    mahalanobis,
    max_logit,
    msp,
    own_logit,
    relative_mahalanobis,
    unknown_words,
)
from auditkit.ood.detector import Detector

DETECTORS: dict[str, Detector] = {
    module.DETECTOR.name: module.DETECTOR
    for module in (
        own_logit,
        msp,
        max_logit,
        energy,
        joint_energy,
        gen,
        mahalanobis,
        relative_mahalanobis,
        knn,
        input_mahalanobis,
        input_max_z,
        unknown_words,
    )
}

FUSED = "fused"


def chosen(
    names: Sequence[str] | None, one_class: bool = False, modality: str = "", several: bool = False
) -> list[Detector]:
    """The detectors of these names, in the registry's order; all where None. Raises InputError for an unknown name.

    one_class: whether those that are meant for models of one class alone are among all. modality: the kind of rows, so
    that those that are meant for it alone are among all. several: whether the model gives several labels, so that those
    that read a yes or no for each are among all.
    """
    for name in names or ():
        if name not in DETECTORS:
            raise InputError(f"ood.detectors: there is no detector {name!r}; {nearest(name, DETECTORS)}")
    if names is None:
        every = [detector for detector in DETECTORS.values() if detector.modality in (None, modality)]
        every = [detector for detector in every if several or detector.classes != "several"]
        return [detector for detector in every if one_class or not detector.one_class]
    return [detector for name, detector in DETECTORS.items() if name in names]
