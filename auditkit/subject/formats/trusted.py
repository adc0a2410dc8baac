"""Pickles that the caller trusts: whole torch modules and scikit-learn estimators.

Opening a pickle can run any code, so it is done on the caller's word only: `--trust` on the command line, or
`load_model(..., trust=True)`; a file such as audit.yaml, which may come from elsewhere, cannot say it. What was opened
so is told in the evidence as a caveat, with the SHA-256 of the very bytes that were opened.
"""

from __future__ import annotations

import hashlib
import io
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from auditkit.errors import InputError
from auditkit.evidence.metrics import Caveat
from auditkit.subject.bundle import importable
from auditkit.subject.formats.checkpoint import KEYS

PICKLES = (".pkl", ".pickle", ".joblib")
TRUSTED = (
    "The model was unpickled from {path} (SHA-256 {digest}) because whoever ran this audit said to trust it (--trust): "
    "opening such a file can run any code, which could change the model's answers and this evidence."
)
REFUSED = (
    "{path}: a pickle can run any code when it is opened, so it was not; give the network as safetensors, "
    "torch.export or ONNX, or, where you trust the file, say so: --trust, load_model(..., trust=True)"
)


def unpickle(path: str | Path, near: Path | None = None) -> tuple[Any, Caveat]:
    """What a pickle holds, and what to tell of it. RUNS THE FILE'S CODE.

    near: a folder from which its classes are imported, too. Raises InputError where the file cannot be read or needs a
    module that is not there.
    """
    path = Path(path).expanduser()
    try:
        content = path.read_bytes()
    except OSError:
        raise InputError(f"{path}: there is no such file") from None
    try:
        with importable(near), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = _unpickled(content, path.suffix.lower())
    except (ImportError, AttributeError) as problem:
        raise InputError(
            f"{path}: names code that cannot be imported here ({problem}); install or copy what it was saved with"
        ) from None
    except Exception as problem:
        said = (str(problem).splitlines() or [""])[0][:200]
        raise InputError(f"{path}: cannot be unpickled ({type(problem).__name__}: {said}); copy it again") from None
    told = TRUSTED.format(path=path.name, digest=hashlib.sha256(content).hexdigest())
    return found, Caveat("model", told, "model")


def model_in(found: Any, path: Path) -> Any:
    """The network (in eval mode), classifier or callable in what a pickle held: itself, or under a usual key.

    Raises InputError where it held none, as where it held weights alone.
    """
    places = [found]
    if isinstance(found, Mapping):
        places += [found[key] for key in (*KEYS, "classifier", "estimator", "pipeline") if key in found]
    for place in places:
        if isinstance(place, nn.Module):
            return place.cpu().eval()
        if not isinstance(place, (type, Mapping)) and (hasattr(place, "predict") or callable(place)):
            return place
    known = f"its keys are {', '.join(map(repr, list(found)[:5]))}" if isinstance(found, Mapping) else _kind(found)
    raise InputError(
        f"{path}: holds no network and no classifier ({known}); for weights alone, name the network's class as "
        "architecture"
    )


def _kind(found: Any) -> str:
    return f"a {type(found).__name__}"


def _unpickled(content: bytes, suffix: str) -> Any:
    if suffix not in PICKLES:
        return torch.load(io.BytesIO(content), map_location="cpu", weights_only=False)
    try:
        import joblib

        return joblib.load(io.BytesIO(content))
    except (ImportError, AttributeError):
        raise
    except Exception:
        return torch.load(io.BytesIO(content), map_location="cpu", weights_only=False)
