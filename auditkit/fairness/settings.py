"""How fairness is judged: the smallest group, the resamples, the confidence; and what a caller may ask for."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypedDict

from auditkit.errors import InputError
from auditkit.subject.data import label_text


@dataclass(frozen=True, slots=True)
class Settings:
    """minimum_group: a rate over fewer rows is not judged. seed: what `numpy.random.default_rng` takes.

    reference: (attribute, group) pairs; all groups of the attribute are also held against that one.
    """

    minimum_group: int = 30
    replicates: int = 10_000
    confidence: float = 0.95
    intersections: bool = True
    seed: tuple[int, ...] = (0,)
    reference: tuple[tuple[str, str], ...] = ()


class Options(TypedDict, total=False):
    """What a check may be asked, as `auditkit.check_fairness` explains it. policy_name: for error sentences."""

    reference: Mapping[str, Any] | None
    population: Mapping[str, Mapping[str, float]] | None
    ll144: tuple[str, str] | None
    policy: Mapping[str, Any] | None
    policy_name: str
    minimum_group: int
    replicates: int
    confidence: float
    seed: int


def settings_of(options: Options) -> Settings:
    """The settings among options. Raises InputError for those that cannot be.

    >>> settings_of({"confidence": 2})
    Traceback (most recent call last):
    ...
    auditkit.errors.InputError: confidence must lie between 0.5 and 1, got 2; 0.95 is usual
    """
    minimum_group, replicates = options.get("minimum_group", 30), options.get("replicates", 10_000)
    confidence, seed = options.get("confidence", 0.95), options.get("seed", 0)
    if minimum_group < 1:
        raise InputError(f"minimum_group must be at least 1, got {minimum_group}")
    if replicates < 200:
        raise InputError(f"replicates must be at least 200, got {replicates}; intervals need that many resamples")
    if not 0.5 < confidence < 1:
        raise InputError(f"confidence must lie between 0.5 and 1, got {confidence:g}; 0.95 is usual")
    if seed < 0:
        raise InputError(f"seed must not be negative, got {seed}")
    named = tuple(
        (str(attribute), class_name(group, "a reference group"))
        for attribute, group in (options.get("reference") or {}).items()
    )
    return Settings(minimum_group, replicates, confidence, seed=(seed, zlib.crc32(b"fairness")), reference=named)


def class_name(value: Any, what: str = "positive") -> str:
    """A class or group as its columns name it: 1, 1.0, True and "1" alike. Raises InputError for NaN."""
    text = label_text(value.item() if hasattr(value, "item") else value)
    if text is None:
        raise InputError(f"{what} must be a class, got NaN; name one")
    return text
