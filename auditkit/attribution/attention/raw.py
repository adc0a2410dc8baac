"""Raw attention: how much the last layer looks at each place, from where the answer is read.

    φ_j = mean over heads h and read places q of A_hqj

The place the answer is read from is found, not told: it is where the score rests on the last layer's output ([CLS], the
last word, or all places that are averaged). The values are shares of one look, never negative; they say nothing of the
layers before, which have mixed the places already, nor whether what is looked at matters to the score, nor in which
direction. Attention is not an explanation by itself: hold it against a method that is one.

Source: Vaswani et al., "Attention Is All You Need", NeurIPS 2017, arXiv:1706.03762; Jain and Wallace, "Attention is not
Explanation", NAACL 2019, arXiv:1902.10186, on its limits.
"""

from __future__ import annotations

import torch
from torch import Tensor

from auditkit.attribution.attention.places import attended, attention_allows
from auditkit.attribution.attention.weights import Attention
from auditkit.attribution.explicands import Explicands, PartAttribution
from auditkit.attribution.method import Method
from auditkit.engine.rows import Scorer


def raw_attention(engine: Scorer, explicands: Explicands) -> PartAttribution:
    """The last layer's looks at the parts of every row. Raises InputError where attention is to no parts of it."""
    return attended(engine, explicands, last_look)


def last_look(attention: Attention) -> Tensor:
    """[n, places]: the mean look of the last layer from the places that are read.

    >>> both = torch.tensor([[[[1.0, 0.0], [0.5, 0.5]]]])
    >>> last_look(Attention((both,), (both,), torch.tensor([[0.5, 0.5]]))).tolist()
    [[0.75, 0.25]]
    """
    return torch.einsum("nq,nqk->nk", attention.read, attention.weights[-1].mean(dim=1))


METHOD = Method(
    name="raw_attention",
    title="Raw attention",
    complete=False,
    signed=False,
    direction="larger: the last layer looks here more, whether or not the target rests on it",
    cost="1 forward and 1 backward row",
    run=lambda engine, rows, _told: raw_attention(engine, rows),
    valid_for=attention_allows,
    in_audits=False,
)
