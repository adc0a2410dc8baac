"""The chosen detectors, fitted on the training split together, and why some of them could not be."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from auditkit.evidence.metrics import Status
from auditkit.ood.detector import Detector, Fitted, NotApplicableError
from auditkit.ood.reference import Reference

ONE_IS_RIGHT = "it reads scores of classes of which one is right, and here each label is a yes or no of its own"
EACH_ITS_OWN = "it reads labels that are a yes or no each, and here one class is right"


@dataclass(frozen=True, slots=True)
class Unmeasured:
    """Why something could not be measured."""

    status: Status
    reason: str


@dataclass(frozen=True)
class Panel:
    """detectors: those asked for. fitted: name → ready to score. refused: name → why not."""

    detectors: Sequence[Detector]
    fitted: Mapping[str, Fitted] = field(default_factory=dict)
    refused: Mapping[str, Unmeasured] = field(default_factory=dict)

    def sees(self, name: str) -> str:
        """What a detector reads: logits, features or inputs."""
        return next(detector.sees for detector in self.detectors if detector.name == name)


def fit_panel(
    detectors: Sequence[Detector],
    reference: Reference | None,
    lacks: Mapping[str, str] | None = None,
    outlier: int | None = None,
    unknown: int | None = None,
    several: bool = False,
) -> Panel:
    """Fit all detectors; without a training split only those that read nothing but logits.

    lacks: what the model cannot show, and why (`Model.lacks`). outlier: `Model.outlier`. unknown: see `Reference`.
    several: whether the model gives several labels.
    """
    fitted: dict[str, Fitted] = {}
    refused: dict[str, Unmeasured] = {}
    for detector in detectors:
        if reason := _withheld(detector, lacks or {}, several):
            refused[detector.name] = Unmeasured("not applicable", reason)
            continue
        if reference is None and detector.sees != "logits":
            refused[detector.name] = Unmeasured("not applicable", "there is no training split to fit it on")
            continue
        try:
            known = replace(reference or Reference(rows=0), outlier=outlier, unknown=unknown)
            fitted[detector.name] = detector.fit(known)
        except NotApplicableError as problem:
            refused[detector.name] = Unmeasured("not applicable", str(problem))
    return Panel(detectors, fitted, refused)


def _withheld(detector: Detector, lacks: Mapping[str, str], several: bool) -> str | None:
    """Why the model does not show what a detector reads, or None where it does."""
    if detector.classes == ("exclusive" if several else "several"):
        return ONE_IS_RIGHT if several else EACH_ITS_OWN
    if detector.sees == "features":
        return lacks.get("layers")
    if detector.sees == "logits" and not detector.one_class:
        return lacks.get("scores") or (lacks.get("scale") if detector.scale else None)
    return None
