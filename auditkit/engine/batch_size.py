"""How many rows the row engine sends at once: as many as fit in memory, and on a processor no more than stay near it.

On a processor a batch whose activations leave its caches is slower per row, several times so for convolutions, as each
layer waits for memory. Only where the weights outweigh the activations do larger batches pay, since weights are read
once a batch. On an accelerator batches are as large as half of its free memory.

What fits follows from the model and one row alone, never from a clock, so that results repeat bit for bit.
"""

from __future__ import annotations

import torch
from torch import Tensor

from auditkit.engine.space import Answering
from auditkit.subject.activation_bytes import activation_bytes

NEAR = 4 * 2**20
"""bytes of activations that stay near a processor"""
FAR = 256 * 2**20
"""bytes of activations that one batch may take on a processor, however large the weights are"""
PER_WEIGHT = 4
"""bytes of activations for each byte of weights that make reading the weights cheap"""
MOST = {"cpu": 2048, "cuda": 65536}


def rows_at_once(model: Answering, row: tuple[Tensor, ...]) -> int:
    """Rows of one batch. row: inputs of one row or more, of which the first is sent through the model.

    >>> from torch import nn
    >>> from auditkit.engine.plain import PlainModel
    >>> narrow, wide = nn.Linear(2, 2), nn.Linear(2, 2**18)
    >>> x = torch.zeros(1, 2)
    >>> rows_at_once(PlainModel.of(narrow, (x,)), (x,)), rows_at_once(PlainModel.of(wide, (x,)), (x,))
    (2048, 11)
    """
    first = tuple(part[:1] for part in row)
    volume = max(1, sum(map(_bytes, first)) + activation_bytes(model.module, lambda: model.logits(first)))
    if model.device.type == "cuda":
        budget = int(0.5 * torch.cuda.mem_get_info(model.device)[0])
    else:
        weights = sum(_bytes(part) for part in model.module.parameters())
        budget = min(FAR, max(NEAR, PER_WEIGHT * weights))
    return max(1, min(MOST.get(model.device.type, MOST["cpu"]), budget // volume))


def _bytes(part: Tensor) -> int:
    return part.numel() * part.element_size()
