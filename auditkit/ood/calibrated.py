"""All scores of an audit, with thresholds and the fused score calibrated on the validation split."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from auditkit.ood.fusion import Fusion, calibrate, first_half, members_of
from auditkit.ood.panel import Panel, Unmeasured
from auditkit.ood.registry import FUSED
from auditkit.ood.scores import Floats, Scores
from auditkit.spec import AuditSpec
from auditkit.statistics.conformal import Threshold, conformal_threshold, fewest_rows


@dataclass(frozen=True)
class Calibrated:
    """scores: split → scores, the fused one among them where there is a fusion. test, sets: names of splits.

    thresholds: for every detector that could be fitted, and for the fused one, its threshold or why there is none.
    named: whether the spec asked for detectors by name.
    """

    panel: Panel
    scores: Mapping[str, Scores]
    fused_p: Mapping[str, Floats]
    fusion: Fusion | None
    thresholds: Mapping[str, Threshold | Unmeasured]
    test: str | None
    sets: tuple[str, ...]
    named: bool

    @property
    def detectors(self) -> tuple[str, ...]:
        """The detectors to report on, the fused one last: those asked for by name, or all that could be fitted."""
        listed = [detector.name for detector in self.panel.detectors]
        return (*(name for name in listed if self.named or name in self.panel.fitted), FUSED)

    @property
    def members(self) -> tuple[str, ...]:
        """The detectors that are fused."""
        return self.fusion.members if self.fusion else ()

    def refusal(self, detector: str) -> Unmeasured | None:
        """Why a detector has no scores at all, or None where it has."""
        if detector != FUSED:
            return self.panel.refused.get(detector)
        why = self.thresholds[FUSED]
        return why if self.fusion is None and isinstance(why, Unmeasured) else None


def calibrated(panel: Panel, scores: Mapping[str, Scores], roles: Mapping[str, str], spec: AuditSpec) -> Calibrated:
    """Set every threshold on the first validation split and add the fused score to all splits."""
    names = {role: [split for split in scores if roles[split] == role] for role in ("validation", "test", "ood")}
    validation = names["validation"][0] if names["validation"] else None
    thresholds: dict[str, Threshold | Unmeasured] = {}
    for detector in panel.fitted:
        known = scores[validation].finite(detector) if validation else None
        thresholds[detector] = _threshold(known, spec, "")
    members, fewest = members_of(list(panel.fitted)), fewest_rows(spec.ood.level, spec.ood.confidence)
    fusion = None
    if validation and len(members) > 1:
        fusion = calibrate(scores[validation], members, spec.seed, fewest)
    if len(members) < 2:
        thresholds[FUSED] = Unmeasured("not applicable", "fewer than two detectors could be fitted")
    elif fusion is None and validation:
        half = len(scores[validation].rows) // 2
        thresholds[FUSED] = Unmeasured(
            "insufficient", f"each half of the validation split needs {fewest} scored rows, it has about {half}"
        )
    else:
        thresholds[FUSED] = _threshold(fusion.fused if fusion else None, spec, "the second half of ")
    fused_p: dict[str, Floats] = {}
    if fusion is not None:
        for split, found in scores.items():
            statistic = fusion.statistic(found)
            if split == validation:  # rows that made the p-values have no p-value of their own
                statistic = np.where(first_half(found, spec.seed), np.nan, statistic)
            fused_p[split] = fusion.p_values(statistic)
            scores = {**scores, split: replace(found, scores={**found.scores, FUSED: statistic})}
    test = names["test"][0] if names["test"] else None
    return Calibrated(
        panel, scores, fused_p, fusion, thresholds, test, tuple(names["ood"]), spec.ood.detectors is not None
    )


def _threshold(known: Floats | None, spec: AuditSpec, part: str) -> Threshold | Unmeasured:
    level, confidence = spec.ood.level, spec.ood.confidence
    if known is None:
        return Unmeasured("not applicable", "there is no validation split to set a threshold on")
    found = conformal_threshold(known, level, confidence)
    if found is not None:
        return found
    return Unmeasured(
        "insufficient",
        f"{part}the validation split has {len(known)} scored rows; a threshold that flags at most {level:.3g} of "
        f"normal rows with {confidence:.3g} confidence needs {fewest_rows(level, confidence)}",
    )
