"""Rules as data: where each standard stands written, as of when, what it asks in our words, and its thresholds.

The YAML files beside this one hold them, so that a number in a table can be led back to the sentence that asks for it,
and so that a change in a rule is a change in data. Nothing in them is legal advice.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from auditkit.errors import InputError, nearest

STANDARDS = ("four_fifths", "ll144")


@dataclass(frozen=True)
class Standard:
    """One standard. rules: (place, our short paraphrase); thresholds: name → number; wording: what it is not.

    unknown_names: values that say that somebody's group is not known, lower case. categories: those it names, if any.
    """

    id: str
    title: str
    citation: str
    source: str
    as_of: str
    thresholds: Mapping[str, float]
    unknown_names: frozenset[str]
    rules: tuple[tuple[str, str], ...]
    wording: str
    categories: Mapping[str, tuple[str, ...]]

    def unknown(self, value: str) -> bool:
        """Whether a group's name says that the group is not known.

        >>> load_standard("ll144").unknown(" Unknown"), load_standard("ll144").unknown("Other")
        (True, False)
        """
        return value.strip().casefold() in self.unknown_names

    def described(self) -> str:
        """Where it stands and as of when, in one sentence."""
        return f"{self.title}: {self.citation}, as of {self.as_of} ({self.source})."


@cache
def load_standard(name: str) -> Standard:
    """A standard by the name of its file. Raises InputError for one that is not there.

    >>> load_standard("four_fifths").thresholds["ratio"]
    0.8
    """
    import yaml

    if name not in STANDARDS:
        raise InputError(f"{name!r} is not a standard that is kept here; {nearest(name, STANDARDS)}")
    text = files("auditkit.fairness.standards").joinpath(f"{name}.yaml").read_text(encoding="utf-8")
    content: dict[str, Any] = yaml.safe_load(text)
    return Standard(
        id=content["id"],
        title=content["title"],
        citation=content["citation"],
        source=content["source"],
        as_of=str(content["as_of"]),
        thresholds={key: float(value) for key, value in content["thresholds"].items()},
        unknown_names=frozenset(str(value).strip().casefold() for value in content["unknown_names"]),
        rules=tuple((rule["at"], rule["says"]) for rule in content["rules"]),
        wording=content["wording"],
        categories={key: tuple(values) for key, values in content.get("categories", {}).items()},
    )
