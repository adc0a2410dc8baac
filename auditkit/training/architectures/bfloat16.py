"""Bfloat16: a network with weights and computation in bfloat16, the upper half of a float32.

It keeps the eight bits of the exponent and 8 of the 24 significant ones, so numbers keep their range and about two to
three decimal digits (Kalamkar et al. 2019, arXiv:1905.12322). Inputs are rounded on their way in; the logits leave as
bfloat16 and are read as float32. Half the bytes; faster only where the hardware multiplies bfloat16.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from auditkit.errors import InputError
from auditkit.subject.bundle import OWN_ARCHITECTURES, import_architecture


def to_bfloat16(network: nn.Module) -> nn.Module:
    """Convert weights and buffers in place, and round floating inputs on their way in.

    >>> to_bfloat16(nn.Linear(2, 2))(torch.zeros(3, 2)).dtype
    torch.bfloat16
    """
    network.bfloat16()
    network.register_forward_pre_hook(_round_inputs, with_kwargs=True)
    return network


def _round_inputs(
    _module: nn.Module, inputs: tuple[Any, ...], named: dict[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    return tuple(map(_rounded, inputs)), {name: _rounded(value) for name, value in named.items()}


def _rounded(value: Any) -> Any:
    return value.to(torch.bfloat16) if isinstance(value, Tensor) and value.is_floating_point() else value


def own_network(of: str, arguments: dict[str, Any]) -> nn.Module:
    """A network of auditkit's own architectures. Raises InputError for any other: no bundle may run code through us."""
    if not of.startswith(OWN_ARCHITECTURES):
        raise InputError(f"{of!r} is code outside auditkit; a bundle of its int8 or bfloat16 variant cannot build it")
    return import_architecture(of)(**arguments)


class Bfloat16(nn.Module):
    """The network of another architecture in bfloat16: how a bundle builds it before its weights are loaded.

    of: the architecture's import path, auditkit's own only. arguments: what it is built with. What comes out is that
    network itself, so that its layers keep their names.

    >>> network = Bfloat16("auditkit.training.architectures.mlp:MLP", {"numeric": 2, "categories": [], "classes": 2})
    >>> type(network).__name__, network.head.weight.dtype
    ('MLP', torch.bfloat16)
    """

    def __new__(cls, of: str, arguments: dict[str, Any]) -> nn.Module:  # type: ignore[misc]
        """Build and convert."""
        return to_bfloat16(own_network(of, arguments))
