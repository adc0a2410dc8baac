"""Attribution: how much each input of a row speaks for the model's answer, with a check on every explanation.

from auditkit.attribution import explain, methods, preflight
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from auditkit.attribution.explanation import Attribution, explain, methods, preflight

__all__ = ["Attribution", "explain", "methods", "preflight"]


def __getattr__(name: str) -> Any:
    """The public names, imported where they are asked for: views of evidence load no torch."""
    if name not in __all__:
        raise AttributeError(name)
    from importlib import import_module

    return getattr(import_module("auditkit.attribution.explanation"), name)
