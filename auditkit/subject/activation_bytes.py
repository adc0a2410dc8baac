"""Activation bytes: how much memory a forward pass takes, counted at the leaf modules of one that is run."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn


def activation_bytes(module: nn.Module, run: Callable[[], object]) -> int:
    """Bytes that the leaf modules put out while `run` is called.

    >>> layer = nn.Linear(2, 3)
    >>> activation_bytes(layer, lambda: layer(torch.zeros(1, 2)))
    12
    """
    volume = 0

    def measure(_module: nn.Module, _inputs: Any, output: Any) -> None:
        nonlocal volume
        volume += sum(part.numel() * part.element_size() for part in tensors_in(output))

    leaves = [part for part in module.modules() if not any(part.children())]
    hooks = [part.register_forward_hook(measure) for part in leaves]
    try:
        with torch.no_grad():
            run()
    finally:
        for hook in hooks:
            hook.remove()
    return volume


def tensors_in(output: Any) -> Iterator[Tensor]:
    """All tensors that a module gives, however they are nested."""
    if isinstance(output, Tensor):
        yield output
    elif isinstance(output, (tuple, list)):
        for part in output:
            yield from tensors_in(part)
    elif isinstance(output, Mapping):
        yield from tensors_in(list(output.values()))
