"""A checkpoint: one file from which a killed training goes on, holding tensors and plain JSON, never a pickle.

The state that Lightning would pickle (weights, optimisers, schedules, loops, what the callbacks keep) is taken apart
into tensors and JSON: the tensors are a safetensors file, the JSON stands in its header. Reading one runs no code. The
file appears whole or not at all, and carries a SHA-256 of its content and the identity of the training: a checkpoint of
another recipe, other data or another version is not gone on from.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.plugins.io import CheckpointIO
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from auditkit.subject.bundle import versions
from auditkit.training.batches import Encoded
from auditkit.training.recipe import Recipe

FORMAT = "auditkit checkpoint 1"


class CheckpointFile(CheckpointIO):
    """The checkpoint of one training, written and read by Lightning through this class.

    path: the file. identity: what the training depends on, from `identity`. `refused` says why a state could not be
    kept, as where a learner's holds something that is neither a tensor nor a plain value.
    """

    def __init__(self, path: Path, identity: str) -> None:
        self.path, self.identity = path, identity
        self.refused = ""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any = None, storage_options: Any = None) -> None:
        """Replace the file, or say in `refused` why this state cannot be kept."""
        tensors: dict[str, Tensor] = {}
        try:
            state = json.dumps(take_apart(checkpoint, tensors), allow_nan=False)
        except TypeError as problem:
            self.refused = f"in the state of its learner, {problem}"
            self.remove_checkpoint()
            return
        header = {"format": FORMAT, "identity": self.identity, "state": state, "sha256": _digest(state, tensors)}
        self.path.parent.mkdir(parents=True, exist_ok=True)
        save_file(tensors, self._beside, metadata=header)
        os.replace(self._beside, self.path)

    def load_checkpoint(self, path: Any = None, map_location: Any = None, weights_only: Any = None) -> dict[str, Any]:
        """The state that was saved. Raises ValueError, with the reason, for a file that is not to be gone on from."""
        try:
            with safe_open(self.path, framework="pt") as file:
                header = file.metadata() or {}
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        except (SafetensorError, OSError, ValueError):
            raise ValueError("it is truncated or damaged") from None
        if header.get("format") != FORMAT:
            raise ValueError("it is not a checkpoint of this version")
        if header.get("identity") != self.identity:
            raise ValueError("it is of another recipe, other data or other versions")
        if header.get("sha256") != _digest(header.get("state", ""), tensors):
            raise ValueError("it is damaged")
        state: dict[str, Any] = put_together(json.loads(header["state"]), tensors)
        return state

    def remove_checkpoint(self, path: Any = None) -> None:
        """Remove the file, and what a kill while writing left of it."""
        for file in (self.path, self._beside):
            file.unlink(missing_ok=True)

    @property
    def _beside(self) -> Path:
        return self.path.with_name(self.path.name + ".part")


def checkpoint_path(folder: Path) -> Path:
    """Where the checkpoint of a bundle-to-be lies: beside its folder.

    >>> checkpoint_path(Path("models/adult")).as_posix()
    'models/.adult.checkpoint'
    """
    folder = folder.resolve() if folder.name in ("", "..") else folder
    return folder.with_name(f".{folder.name}.checkpoint")


def remove_checkpoint(path: Path) -> None:
    """Remove a checkpoint that is no longer needed, and what a kill while writing left of it."""
    CheckpointFile(path, "").remove_checkpoint()


def identity(recipe: Recipe, network: nn.Module, *splits: Encoded) -> str:
    """SHA-256 over what decides a training: recipe, encoded rows, first weights, and the versions of the libraries."""
    known = versions()
    said = {"recipe": recipe.model_dump(mode="json"), "versions": [known.get(name) for name in ("torch", "lightning")]}
    tensors = {f"network {name}": tensor for name, tensor in network.state_dict().items()}
    for place, split in enumerate(splits):
        for name, held in vars(split).items():
            parts = held if isinstance(held, tuple) else (held,)
            tensors |= {f"split {place} {name} {n}": part for n, part in enumerate(parts) if isinstance(part, Tensor)}
    return _digest(json.dumps(said, sort_keys=True, default=str), tensors)


def take_apart(value: Any, tensors: dict[str, Tensor]) -> Any:
    """A nested state as JSON; its tensors are put in `tensors`, on the CPU, and named in their place.

    Raises TypeError for anything but tensors, None, bool, int, float, str, and dicts, lists and tuples of these.

    >>> take_apart({"step": torch.tensor(3.0), 1: (2, None)}, {})
    {'dict': [['step', {'tensor': '0'}], [1, {'tuple': [2, None]}]]}
    """
    if isinstance(value, Tensor):
        name = str(len(tensors))
        tensors[name] = value.detach().cpu().contiguous().clone()
        return {"tensor": name}
    if value is None or type(value) in (bool, int, str):
        return value
    if type(value) is float:
        return value if math.isfinite(value) else {"float": str(value)}
    if isinstance(value, dict):
        return {"dict": [[take_apart(key, tensors), take_apart(item, tensors)] for key, item in value.items()]}
    if type(value) in (list, tuple):
        items = [take_apart(item, tensors) for item in value]
        return items if type(value) is list else {"tuple": items}
    raise TypeError(f"a {type(value).__name__} is neither a tensor nor a plain value")


def put_together(value: Any, tensors: Mapping[str, Tensor]) -> Any:
    """The inverse of `take_apart`."""
    if isinstance(value, list):
        return [put_together(item, tensors) for item in value]
    if not isinstance(value, dict):
        return value
    ((kind, content),) = value.items()
    match kind:
        case "tensor":
            return tensors[content]
        case "float":
            return float(content)
        case "tuple":
            return tuple(put_together(item, tensors) for item in content)
    return {put_together(key, tensors): put_together(item, tensors) for key, item in content}


def _digest(text: str, tensors: Mapping[str, Tensor]) -> str:
    state = hashlib.sha256(text.encode())
    for name, tensor in sorted(tensors.items()):
        held = tensor.detach().cpu().contiguous()
        state.update(f"{name} {held.dtype} {tuple(held.shape)}".encode())
        if held.numel():
            state.update(held.reshape(-1).view(torch.uint8).numpy().data)
    return state.hexdigest()
