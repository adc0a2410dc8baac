"""How many rows the row engine sends at once: as many as fit in memory, and on a processor no more than stay near it.

On a processor a batch whose activations leave its caches is slower per row, several times so for convolutions, as each
layer waits for memory. Only where the weights outweigh the activations do larger batches pay, since weights are read
once a batch. On an accelerator batches are as large as half of its free memory.

What fits follows from the model and one row alone, never from a clock, so that results repeat bit for bit.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from auditkit.engine.space import Answering

NEAR = 4 * 2**20
"""bytes of activations that stay near a processor"""
FAR = 256 * 2**20
"""bytes of activations that one batch may take on a processor, however large the weights are"""
PER_WEIGHT = 4
"""bytes of activations for each byte of weights that make reading the weights cheap"""
MOST = {"cpu": 2048, "cuda": 65536}


def rows_at_once(model: Answering, row: tuple[Tensor, ...]) -> int:
    """Rows of one batch. row: inputs of one row or more, of which the first is sent through the model.

    >>> from auditkit.engine.plain import PlainModel
    >>> narrow, wide = nn.Linear(2, 2), nn.Linear(2, 2**18)
    >>> x = torch.zeros(1, 2)
    >>> rows_at_once(PlainModel.of(narrow, (x,)), (x,)), rows_at_once(PlainModel.of(wide, (x,)), (x,))
    (2048, 11)
    """
    first = tuple(part[:1] for part in row)
    volume = max(1, sum(map(_bytes, first)) + _activations(model, first))
    if model.device.type == "cuda":
        budget = int(0.5 * torch.cuda.mem_get_info(model.device)[0])
    else:
        weights = sum(_bytes(part) for part in model.module.parameters())
        budget = min(FAR, max(NEAR, PER_WEIGHT * weights))
    return max(1, min(MOST.get(model.device.type, MOST["cpu"]), budget // volume))


def _activations(model: Answering, row: tuple[Tensor, ...]) -> int:
    """Bytes that the leaf modules put out for one row."""
    volume = 0

    def measure(_module: nn.Module, _inputs: Any, output: Any) -> None:
        nonlocal volume
        parts = output if isinstance(output, (tuple, list)) else (output,)
        volume += sum(_bytes(part) for part in parts if isinstance(part, Tensor))

    leaves = [part for part in model.module.modules() if not any(part.children())]
    hooks = [part.register_forward_hook(measure) for part in leaves]
    try:
        with torch.no_grad():
            model.logits(row)
    finally:
        for hook in hooks:
            hook.remove()
    return volume


def _bytes(part: Tensor) -> int:
    return part.numel() * part.element_size()
