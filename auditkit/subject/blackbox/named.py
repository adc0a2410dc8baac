"""A model by its import path, `package.module:name`: a fitted estimator, a callable or a live network.

Importing runs the module's code, so this is for paths that the author of `audit.yaml` wrote there, as it is for the
architecture of a network; a path inside a file that came from elsewhere is never followed.
"""

from __future__ import annotations

import importlib
import re
from pathlib import Path
from typing import Any

from auditkit.errors import InputError, nearest
from auditkit.subject.bundle import importable

ADDRESSES = ("hf:", "models:", "runs:")
_PATH = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*(\.[A-Za-z_]\w*)*")


def is_import_path(text: str) -> bool:
    r"""Whether a model is named as `package.module:name`, and not as a file, a folder or an address.

    >>> [is_import_path(text) for text in ("rules:approve", "models/adult", "models:/credit/3", "C:\\nets\\a.pt")]
    [True, False, False, False]
    """
    return _PATH.fullmatch(text) is not None and not text.startswith(ADDRESSES)


def import_model(path: str, near: Path | None = None) -> Any:
    """What an import path names. near: a folder in which its module is looked for too.

    Raises InputError for a module that cannot be imported, a name that it does not have, and a class.
    """
    module_name, _, name = path.partition(":")
    try:
        with importable(near):
            found: Any = importlib.import_module(module_name)
    except Exception as problem:
        said = str(problem).splitlines()[0] if str(problem) else type(problem).__name__
        raise InputError(f"model {path!r}: cannot import {module_name!r} ({said})") from None
    for part in name.split("."):
        if not hasattr(found, part):
            known = [key for key in vars(found) if not key.startswith("_")] if hasattr(found, "__dict__") else []
            raise InputError(f"model {path!r}: {module_name!r} has no {name!r}; {nearest(part, known)}")
        found = getattr(found, part)
    if isinstance(found, type) or not (callable(found) or hasattr(found, "predict")):
        what = "a class" if isinstance(found, type) else type(found).__name__
        raise InputError(
            f"model {path!r}: names {what}; name a function, a fitted estimator or a network that is already built"
        )
    return found
