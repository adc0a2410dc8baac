"""Attention × gradient: attention that the score rises with, followed through all layers back to the input.

    Ā_l = mean over heads of max(0, A_l ∂f/∂A_l),   R_0 = I,   R_l = R_{l-1} + Ā_l R_{l-1},   φ = R_L - I at the answer

A head that is looked at but does not speak for the target counts for nothing, so that unlike rollout it tells targets
apart. What speaks against the target is cut off. The identity, which stands for what was at a place before anyone
looked, is taken away again. The values do not add up to the score.

Source: Chefer, Gur, Wolf, "Generic Attention-model Explainability for Interpreting Bi-Modal and Encoder-Decoder
Transformers", ICCV 2021, arXiv:2103.15679.
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


def attention_x_gradient(engine: Scorer, explicands: Explicands) -> PartAttribution:
    """Relevance of the parts of every row. Raises InputError where attention is to no parts of the input."""

    def reduce(attention: Attention) -> Tensor:
        pairs = zip(attention.weights, attention.slopes, strict=True)
        relevant = followed([(weights * slopes).relu().mean(dim=1) for weights, slopes in pairs])
        return torch.einsum("nq,nqk->nk", attention.read, relevant)

    return attended(engine, explicands, reduce)


def followed(relevant: Sequence[Tensor]) -> Tensor:
    """[n, places, places]: (I + Ā_L) … (I + Ā_1) - I of the layers' relevant attention, given first to last.

    >>> followed([torch.tensor([[[0.0, 1.0], [0.0, 0.0]]]), torch.tensor([[[0.0, 0.0], [2.0, 0.0]]])]).tolist()
    [[[0.0, 1.0], [2.0, 2.0]]]
    """
    own = torch.eye(relevant[0].shape[-1], dtype=relevant[0].dtype, device=relevant[0].device)
    total = own.expand_as(relevant[0])
    for layer in relevant:
        total = total + layer @ total
    return total - own


METHOD = Method(
    name="attention_x_gradient",
    title="Attention × gradient",
    complete=False,
    signed=False,
    direction="larger: attention to this speaks for the target; evidence against it is not shown",
    cost="1 forward and 1 backward row",
    run=lambda engine, rows, _told: attention_x_gradient(engine, rows),
    valid_for=attention_allows,
    in_audits=False,
)
