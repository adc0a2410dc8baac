"""What identifies a black box: a digest of a fitted estimator, or of a callable's name and code.

An estimator is identified by everything it holds (`joblib.hash`, which is the same for equal content whatever the
memory layout). Where it holds something that cannot be written, such as a lambda, its class and settings have to do.
A callable is identified by its name and byte code; what it reaches beyond these (weights, a service) is not known.
In both cases its answers to some rows of the data are added, so that an audit of changed weights is not taken for done.
"""

from __future__ import annotations

import functools
import hashlib
import re
from collections.abc import Iterator
from types import CodeType
from typing import Any


def estimator_digest(estimator: Any) -> tuple[str, str]:
    """SHA-256 of a fitted estimator's content, and what it leaves out ("" where it covers everything)."""
    import joblib

    name = _name(type(estimator))
    try:
        content, left_out = joblib.hash(estimator, hash_name="sha1"), ""
    except Exception as problem:
        settings = sorted(estimator.get_params().items()) if hasattr(estimator, "get_params") else []
        content = re.sub(r" at 0x[0-9a-f]+", "", repr(settings))
        left_out = (
            f"the estimator cannot be written down ({type(problem).__name__}), so its digest holds its class, its "
            "settings and its answers to some rows, not what it learned; another fit may have the same digest"
        )
    return hashlib.sha256(f"{name}\n{content}".encode()).hexdigest(), left_out


def callable_digest(function: Any) -> tuple[str, str]:
    """SHA-256 of a callable's qualified name and code, and what it leaves out."""
    while isinstance(function, functools.partial):
        function = function.func
    target = function if hasattr(function, "__code__") or hasattr(function, "__func__") else type(function).__call__
    name = _name(function) if hasattr(function, "__qualname__") else _name(type(function))
    state = hashlib.sha256(name.encode())
    code = getattr(target, "__code__", None)
    for part in _code(code) if code is not None else ():
        state.update(part)
    how = "its name and code" if code is not None else "its name"
    left_out = (
        f"a callable is identified by {how}, and by its answers to some rows: weights it holds or calls cannot be "
        "identified, and a change of them that leaves these answers as they are does not change the model's digest"
    )
    return state.hexdigest(), left_out


def _name(thing: Any) -> str:
    return f"{getattr(thing, '__module__', '')}.{thing.__qualname__}"


def _code(code: CodeType) -> Iterator[bytes]:
    """Byte code, names and constants, those of nested functions too."""
    yield code.co_code
    yield repr(code.co_names).encode()
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _code(constant)
        else:
            shown = sorted(map(repr, constant)) if isinstance(constant, frozenset) else repr(constant)
            yield repr(shown).encode()
