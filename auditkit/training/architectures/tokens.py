"""How rows of each kind become a sequence of vectors, for the networks that read sequences.

Words through one `nn.Embedding`, each step of a series through one linear layer, and each column of a table through a
vector of its own: numbers as `x weight + bias`, categories through one `nn.Embedding` each in column order (the feature
tokenizer of the FT-Transformer; Gorishniy et al. 2021, arXiv:2106.11959). All answer `[n, length, width]` and a mask
[n, length], 1 where something stands, or None where every place is taken. Integers are used as ids of embeddings and
for nothing else, so that a sequence can be blended, scaled and differentiated from there on.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from auditkit.subject.preprocessing.text import PAD, SPECIAL, UNKNOWN

Sequences = tuple[Tensor, Tensor | None]
"""Vectors [n, length, width], and where they stand: [n, length] of 1 and 0, or None for everywhere."""


class Words(nn.Module):
    """`(ids [n, length], mask [n, length])` to the vectors of the words. words: how many ids there are; 0 fills up.

    unread: the share of words that are taken for unknown ones while training, each time others (Iyyer et al. 2015,
    doi:10.3115/v1/P15-1162), so that no single word carries the answer and the vector of the unknown word is learned.
    Vectors begin small: a rare word, hardly ever moved, says little rather than anything.
    """

    def __init__(self, width: int, words: int, length: int, unread: float = 0.0) -> None:
        super().__init__()
        self.places, self.unread = length, unread
        self.embedding = nn.Embedding(words, width, padding_idx=PAD)
        nn.init.normal_(self.embedding.weight[SPECIAL:], std=0.1)
        nn.init.zeros_(self.embedding.weight[:SPECIAL])

    def forward(self, ids: Tensor, mask: Tensor) -> Sequences:
        """Vectors [n, length, width] and the mask; no longer than the network was built for."""
        _no_longer(ids, self.places)
        if self.training and self.unread:
            lost = torch.rand(ids.shape, device=ids.device) < self.unread
            ids = ids.masked_fill(lost & (ids != PAD), UNKNOWN)
        return self.embedding(ids), mask


class Steps(nn.Module):
    """A series [n, steps, channels] to one vector a step."""

    def __init__(self, width: int, steps: int, channels: int) -> None:
        super().__init__()
        self.places = steps
        self.step = nn.Linear(channels, width)

    def forward(self, series: Tensor) -> Sequences:
        """Vectors [n, steps, width]; every step is taken."""
        _no_longer(series, self.places)
        return self.step(series), None


class Columns(nn.Module):
    """`(numeric [n, F], categorical [n, C])` to one vector a column; with one kind of column only, one input."""

    def __init__(self, width: int, numeric: int, categories: Sequence[int]) -> None:
        super().__init__()
        self.places, self.numeric = numeric + len(categories), numeric
        self.weight, self.bias = _spread(numeric, width), _spread(numeric, width)
        self.embeddings = nn.ModuleList(nn.Embedding(codes, width) for codes in categories)
        for codes, embedding in zip(categories, self.embeddings, strict=True):
            embedding.weight = _spread(codes, width)
        self.bias_of_categories = _spread(len(categories), width)

    def forward(self, *inputs: Tensor) -> Sequences:
        """Vectors [n, F + C, width], numbers first; raises ValueError for inputs of other widths than these."""
        widths = [width for width in (self.numeric, len(self.embeddings)) if width]
        if [part.shape[1] for part in inputs] != widths:
            raise ValueError(f"expected inputs of {widths} columns, got {[tuple(part.shape) for part in inputs]}")
        parts = [inputs[0][:, :, None] * self.weight + self.bias] if self.numeric else []
        if len(self.embeddings):
            codes = inputs[-1]
            found = [embedding(codes[:, place]) for place, embedding in enumerate(self.embeddings)]
            parts.append(torch.stack(found, dim=1) + self.bias_of_categories)
        return torch.cat(parts, dim=1), None


KINDS: dict[frozenset[str], type[nn.Module]] = {
    frozenset({"words", "length"}): Words,
    frozenset({"steps", "channels"}): Steps,
    frozenset({"numeric", "categories"}): Columns,
}
"""What the preprocessing of each kind of rows says of them → how they are read."""


def tokens_of(width: int, rows: dict[str, Any]) -> nn.Module:
    """The module that reads these rows, from what their preprocessing says of them. Raises TypeError for others.

    Beyond that `rows` may hold `unread`, where rows are words.

    >>> tokens_of(8, {"steps": 5, "channels": 2})(torch.zeros(3, 5, 2))[0].shape
    torch.Size([3, 5, 8])
    """
    kind = KINDS.get(frozenset(rows)) or KINDS.get(frozenset(rows) - {"unread"})
    if kind is None or (kind is not Words and "unread" in rows):
        known = "; ".join(", ".join(sorted(names)) for names in KINDS)
        raise TypeError(f"rows are described by {known}; not by {', '.join(sorted(rows)) or 'nothing'}")
    return kind(width, **rows)


def average(vectors: Tensor, mask: Tensor | None) -> Tensor:
    """The mean [n, width] of the vectors [n, length, width] that stand; zero for a row without any.

    >>> average(torch.tensor([[[1.0], [3.0], [50.0]]]), torch.tensor([[1.0, 1.0, 0.0]]))
    tensor([[2.]])
    """
    if mask is None:
        return vectors.mean(dim=1)
    shares = mask / mask.sum(dim=1, keepdim=True).clamp_min(1.0)
    return (vectors * shares[:, :, None]).sum(dim=1)


def _no_longer(rows: Tensor, places: int) -> None:
    if rows.shape[1] > places:
        raise ValueError(f"expected sequences of at most {places} places, got {rows.shape[1]}")


def _spread(rows: int, width: int) -> nn.Parameter:
    return nn.Parameter(torch.empty(rows, width).uniform_(-1 / math.sqrt(width), 1 / math.sqrt(width)))
