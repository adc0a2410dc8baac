"""Decisions among several classes as sections."""

from __future__ import annotations

from typing import Any

from auditkit.evidence.section import Section
from auditkit.fairness.outcomes.multiclass import MACRO
from auditkit.fairness.outcomes.one_by_one_view import outcome_sections

_HOW = (
    "Each class is held against all others. Bounds of a class hold for all pairs of groups; those of the worst class "
    "hold for all classes and pairs at once. A class that a group has too few rows of is not judged there."
)


def multiclass_sections(evidence: Any) -> list[Section]:
    """The sections there is evidence for: none where decisions are a yes or no."""
    return outcome_sections(evidence, "class", "classes", {"accuracy": "accuracy", **MACRO}, _HOW)
