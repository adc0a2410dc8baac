"""Sets of labels as sections."""

from __future__ import annotations

from typing import Any

from auditkit.evidence.section import Section
from auditkit.fairness.outcomes.multilabel import AVERAGES
from auditkit.fairness.outcomes.one_by_one_view import outcome_sections

_HOW = (
    "Each label is a decision of its own. Bounds of a label hold for all pairs of groups; those of the worst label "
    "hold for all labels and pairs at once."
)


def multilabel_sections(evidence: Any) -> list[Section]:
    """The sections there is evidence for: none where rows have one label each."""
    return outcome_sections(evidence, "label", "labels", {"subset_accuracy": "subset accuracy", **AVERAGES}, _HOW)
