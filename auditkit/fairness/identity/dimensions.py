"""Dimensions of identity: groups of people, terms that name them, and sentences that the terms may stand in.

Those that come with auditkit lie in `dimensions.yaml`; an audit may name its own in their place.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from auditkit.errors import InputError

SLOT = "{}"
FEWEST_TERMS, FEWEST_TEMPLATES = 3, 3


@dataclass(frozen=True, slots=True)
class Dimension:
    """groups: group → its terms. aligned: terms at one place are counterparts. templates: sentences with one `{}`."""

    name: str
    title: str
    groups: Mapping[str, tuple[str, ...]]
    templates: tuple[str, ...]
    aligned: bool = False
    source: str = ""

    def __post_init__(self) -> None:
        where = f"identity dimension {self.name!r}"
        if len(self.groups) < 2:
            raise InputError(f"{where} needs two groups to compare, got {len(self.groups)}")
        for group, terms in self.groups.items():
            if len(set(terms)) < FEWEST_TERMS or len(set(terms)) != len(terms):
                raise InputError(f"{where}: group {group!r} needs at least {FEWEST_TERMS} different terms")
        if self.aligned and len({len(terms) for terms in self.groups.values()}) > 1:
            raise InputError(f"{where} is aligned, so that its groups need as many terms each")
        if len(set(self.templates)) < FEWEST_TEMPLATES:
            raise InputError(f"{where} needs at least {FEWEST_TEMPLATES} different templates")
        for template in self.templates:
            if template.count(SLOT) != 1:
                raise InputError(f"{where}: a template has {SLOT} once, where the term goes; found {template!r}")

    def sentences(self) -> list[str]:
        """Every term of every group in every template: groups, then terms, then templates."""
        return [
            template.replace(SLOT, term)
            for terms in self.groups.values()
            for term in terms
            for template in self.templates
        ]


def dimension_of(name: str, content: Mapping[str, Any]) -> Dimension:
    """A dimension as `dimensions.yaml` or an `audit.yaml` writes it. Raises InputError that says what is wrong.

    >>> made = dimension_of("pets", {"groups": {"a": ["cat", "kitten", "tom"], "b": ["dog", "puppy", "hound"]},
    ...                              "templates": ["the {} sleeps", "a {} barks", "my {} is old"]})
    >>> len(made.sentences()), made.title
    (18, 'pets')
    """
    groups = content.get("groups")
    if not isinstance(groups, Mapping) or not all(isinstance(terms, Sequence) for terms in groups.values()):
        raise InputError(f"identity dimension {name!r}: groups must map each group to the list of its terms")
    return Dimension(
        name,
        str(content.get("title", name)),
        {str(group): tuple(map(str, terms)) for group, terms in groups.items()},
        tuple(map(str, content.get("templates", ()))),
        bool(content.get("aligned", False)),
        str(content.get("source", "")),
    )


@cache
def shipped() -> tuple[Dimension, ...]:
    """The dimensions that come with auditkit."""
    import yaml

    content = yaml.safe_load(files(__package__).joinpath("dimensions.yaml").read_text(encoding="utf-8"))
    return tuple(dimension_of(name, entry) for name, entry in content.items())
