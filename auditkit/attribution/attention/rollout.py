"""Attention rollout: what the last layer looks at, followed through all layers back to the input.

    R_0 = I,   R_l = ½ (mean over heads of A_l + I) R_{l-1},   φ = R_L read at the places the answer is read from

Each layer passes on half of what stood at a place (its shortcut) and half of what it looked at; rows are normalised, so
that what belongs to every place adds up to 1. With the same look everywhere, A = 1/n, it is R = 2^-L I + (1 - 2^-L)/n
whatever is asked: rollout knows neither the target nor the values that are looked at, and is the same for every class.

Source: Abnar and Zuidema, "Quantifying Attention Flow in Transformers", ACL 2020, arXiv:2005.00928.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from auditkit.attribution.attention.places import attended, attention_allows
from auditkit.attribution.attention.weights import Attention
from auditkit.attribution.explicands import Explicands, PartAttribution
from auditkit.attribution.method import Method
from auditkit.engine.rows import Scorer


def attention_rollout(engine: Scorer, explicands: Explicands) -> PartAttribution:
    """What is looked at in every row through all layers. Raises InputError where attention is to no parts of it."""

    def reduce(attention: Attention) -> Tensor:
        return torch.einsum("nq,nqk->nk", attention.read, rolled_out([part.mean(dim=1) for part in attention.weights]))

    return attended(engine, explicands, reduce)


def rolled_out(weights: Sequence[Tensor]) -> Tensor:
    """[n, places, places]: row q what place q of the last layer rests on. weights: of each layer, first to last.

    >>> rolled_out([torch.tensor([[[0.0, 1.0], [1.0, 0.0]]])]).tolist()
    [[[0.5, 0.5], [0.5, 0.5]]]
    """
    own = torch.eye(weights[0].shape[-1], dtype=weights[0].dtype, device=weights[0].device)
    rolled = own.expand_as(weights[0])
    for layer in weights:
        mixed = (layer + own) / 2
        rolled = (mixed / mixed.sum(dim=-1, keepdim=True)) @ rolled
    return rolled


METHOD = Method(
    name="attention_rollout",
    title="Attention rollout",
    complete=False,
    signed=False,
    direction="larger: the layers look here more, all together, whatever the target",
    cost="1 forward and 1 backward row",
    run=lambda engine, rows, _told: attention_rollout(engine, rows),
    valid_for=attention_allows,
    in_audits=False,
)
