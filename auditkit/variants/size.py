"""How large a model is: parameters, zeros among them, bytes of its weights on disk, plain and compressed.

Bytes are those of a safetensors file of all weights and buffers. Compressed means zlib at its usual level: what a
download or a container layer takes, and the only place where scattered zeros pay.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass

from safetensors.torch import save

from auditkit.subject.model import Model


@dataclass(frozen=True, slots=True)
class Size:
    """Counts of a model's weights. zeros: parameters that are exactly zero."""

    parameters: int
    zeros: int
    bytes: int
    compressed_bytes: int


def size_of(model: Model) -> Size:
    """The size of a model's weights, wherever they are."""
    state = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in model.module.state_dict().items()}
    parameters = list(model.module.parameters())
    written = save(state)
    return Size(
        sum(parameter.numel() for parameter in parameters),
        sum(int((parameter == 0).sum()) for parameter in parameters),
        len(written),
        len(zlib.compress(written)),
    )
