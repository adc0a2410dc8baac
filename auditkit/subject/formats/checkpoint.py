"""Weights from a checkpoint, into a network whose class the caller names.

safetensors hold numbers and cannot run code. A `torch.save` file is a pickle, which can; it is opened by torch's
weights-only unpickler, which knows tensors and plain containers and refuses the rest without running it.
Weights may lie at the top or under a key (`state_dict` as Lightning writes, `model`, ...), and their names may carry
the prefix of a wrapper (`module.` of DistributedDataParallel, `_orig_mod.` of torch.compile, `model.` of a
LightningModule), which is taken off only where the names then fit the network better.
"""

from __future__ import annotations

import pickle
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from auditkit.errors import InputError
from auditkit.subject.bundle import import_architecture

KEYS = ("state_dict", "model_state_dict", "model_state", "model", "net", "network", "weights", "ema", "params")
PREFIXES = ("module.", "_orig_mod.", "model.", "net.", "network.")
SHOWN = 3
PICKLED = (
    "{path}: a pickled checkpoint that holds more than weights ({what}); it could run any code when it is opened, and "
    "torch.load(..., weights_only=True) refuses it, so it was not opened; save network.state_dict(), as safetensors, "
    "or, where you trust the file, say so: --trust, load_model(..., trust=True)"
)


def load_checkpoint(
    path: str | Path,
    architecture: str,
    arguments: Mapping[str, Any],
    near: Path | None = None,
    content: Any = None,
) -> nn.Module:
    """The network `architecture(**arguments)` with a checkpoint's weights, on the CPU and in eval mode.

    architecture: `package.module:Class`, imported because the caller named it. near: a folder to import from, too.
    content: what the file holds, where the caller has opened it.
    Raises InputError for a pickle of anything but weights (which is not run), a damaged file, and weights that are
    missing, unexpected or of another shape.

    >>> path = "auditkit.training.architectures.mlp:MLP"
    >>> load_checkpoint("net.safetensors", path, {"numeric": 2, "categories": [], "classes": 2})  # doctest: +SKIP
    """
    path = Path(path).expanduser()
    state = read_weights(path) if content is None else _state(content, path)
    kind = import_architecture(architecture, near)
    try:
        with torch.random.fork_rng():
            network = kind(**arguments)
    except Exception as problem:
        raise InputError(
            f"{path}: architecture {architecture!r} cannot be built from its arguments ({problem})"
        ) from None
    return fit(network, state, path, architecture).eval()


def read_weights(path: Path) -> dict[str, Tensor]:
    """Weights by name, on the CPU. Raises InputError where the file is no checkpoint or more than weights."""
    if not path.is_file():
        raise InputError(f"{path}: there is no such file")
    if path.suffix.lower() == ".safetensors":
        try:
            return load_file(path)
        except (SafetensorError, OSError, ValueError, KeyError, RuntimeError, OverflowError):
            raise InputError(
                f"{path}: not a whole safetensors file, its header and its length contradict each other; copy it again"
            ) from None
    return _state(_unpickled(path), path)


def fit(network: nn.Module, state: Mapping[str, Tensor], path: Path, architecture: str) -> nn.Module:
    """Load weights after checking them name by name and shape by shape. Raises InputError with the first that differ.

    Buffers that torch makes itself (`num_batches_tracked`) may be missing, as in checkpoints of other frameworks.
    """
    expected = network.state_dict()
    state = _stripped(state, expected)
    made = {name for name in expected.keys() - state.keys() if name.endswith("num_batches_tracked")}
    problems = []
    if missing := sorted(expected.keys() - state.keys() - made):
        problems.append(f"lacks {_first(missing)}")
    if unexpected := sorted(state.keys() - expected.keys()):
        problems.append(f"holds {_first(unexpected)}, which the network does not have")
    shapes = [
        f"{name!r} is {tuple(state[name].shape)}, not {tuple(expected[name].shape)}"
        for name in sorted(expected.keys() & state.keys())
        if state[name].shape != expected[name].shape
    ]
    if shapes:
        problems.append(f"has weights of another shape: {', '.join(shapes[:SHOWN])}" + _more(len(shapes)))
    if problems:
        raise InputError(f"{path}: does not fit {architecture}: it {'; it '.join(problems)}")
    network.load_state_dict({**{name: expected[name] for name in made}, **state})
    return network


def _unpickled(path: Path) -> Any:
    """What a `torch.save` file holds, through the weights-only unpickler; memory-mapped where it is an archive."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path) or None)
    except pickle.UnpicklingError as problem:
        text = str(problem)
        named = text.partition("GLOBAL ")[2].split(" ")[0] or text.partition("global ")[2].split(" ")[0]
        what = f"{named!r}" if named else "objects that are no tensors"
        raise InputError(PICKLED.format(path=path, what=what)) from None
    except Exception as problem:
        if "weights_only" in str(problem):
            raise InputError(PICKLED.format(path=path, what="an archive of another kind")) from None
        raise InputError(f"{path}: not a checkpoint that torch can read, or a truncated one; copy it again") from None


def _state(content: Any, path: Path) -> dict[str, Tensor]:
    """The weights in what a checkpoint holds: itself, or what lies under one of the usual keys."""
    places = [content]
    if isinstance(content, Mapping):
        places += [content[key] for key in KEYS if isinstance(content.get(key), Mapping)]
    for place in places:
        if isinstance(place, Mapping) and place:
            tensors = {str(name): value for name, value in place.items() if isinstance(value, Tensor)}
            if len(tensors) == len(place):
                return tensors
    known = f"its keys are {_first(map(str, content))}" if isinstance(content, Mapping) else type(content).__name__
    raise InputError(
        f"{path}: no weights found in it ({known}); they are looked for at the top and under {', '.join(KEYS[:4])}"
    )


def _stripped(state: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The weights with wrappers' prefixes taken off, as long as that makes more names fit.

    Lightning keeps a loss's or a metric's buffers beside `model.`; where a prefix is taken off, the rest stays as it
    is and is told as unexpected.
    """
    best = dict(state)
    for _ in PREFIXES:
        tried = [{name.removeprefix(prefix): value for name, value in best.items()} for prefix in PREFIXES]
        fitting = [len(one.keys() & expected.keys()) if len(one) == len(best) else -1 for one in tried]
        pick = max(range(len(tried)), key=lambda place: (fitting[place], _prefixed(best, PREFIXES[place])))
        if not _prefixed(best, PREFIXES[pick]) or fitting[pick] < len(best.keys() & expected.keys()):
            break
        best = tried[pick]
    return best if len(best.keys() & expected.keys()) > len(state.keys() & expected.keys()) else dict(state)


def _prefixed(state: Mapping[str, Tensor], prefix: str) -> int:
    return sum(name.startswith(prefix) for name in state)


def _first(names: Any) -> str:
    names = list(names)
    return ", ".join(map(repr, names[:SHOWN])) + _more(len(names))


def _more(count: int) -> str:
    return f" and {count - SHOWN} more" if count > SHOWN else ""
