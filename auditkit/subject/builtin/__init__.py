"""The built-in subjects' data: real where a dependency carries it, made otherwise, so that none needs a network."""

from __future__ import annotations

from importlib import import_module

from auditkit.errors import InputError, nearest
from auditkit.subject.data import Schema, Split

BUILTIN = (
    "adult",
    "digits",
    "unusual_digits",
    "unusual_census",
    "generated_digits",
    "cartpole",
    "reviews",
    "vibration",
)
"""Each is made by the function of its name in the module of its name."""


def builtin(name: str) -> tuple[dict[str, Split], Schema]:
    """The splits of a built-in subject, in the order train, validation, test, ood, and their schema.

    The same rows in the same splits every time. Raises InputError for a name that is none.

    >>> splits, schema = builtin("digits")
    >>> splits["train"].arrays["images"].shape[1:], len(schema.classes)
    ((1, 8, 8), 10)
    """
    if name not in BUILTIN:
        raise InputError(f"there is no built-in subject {name!r}; {nearest(name, BUILTIN)}")
    made: tuple[dict[str, Split], Schema] = getattr(import_module(f"{__name__}.{name}"), name)()
    return made
