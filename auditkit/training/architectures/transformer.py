"""A Transformer encoder for text, series and tables (Vaswani et al. 2017, arXiv:1706.03762).

Rows become vectors (`tokens.py`), get their positions added, and pass blocks of self-attention and of a two-layer
perceptron, each normalised before and added to what went in (pre-norm: Xiong et al. 2020, arXiv:2002.04745). For tables
it is the FT-Transformer (Gorishniy et al. 2021, arXiv:2106.11959): a vector per column, no positions, and the answer
read from a vector of its own (`pooling: cls`).

Attention is written out with its softmax as a module, where torch's own takes a fused path that no hook sees:
`blocks.<n>.attention.softmax` gives block n's maps [n, heads, length, length], row by row what each position looks at.
Places that only fill up are looked at by none and counted in no mean; every nonlinearity is a module, used once.
"""

from __future__ import annotations

import math
from typing import Any, Literal

import torch
from torch import Tensor, nn

from auditkit.training.architectures.tokens import Columns, average, tokens_of


class Attention(nn.Module):
    """Self-attention of several heads: softmax(q k' / sqrt(width of a head)) v, then a linear layer."""

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        if width % heads:
            raise ValueError(f"width {width} is not a multiple of {heads} heads")
        self.heads = heads
        self.project = nn.Linear(width, 3 * width)
        self.softmax = nn.Softmax(dim=-1)
        self.dropout = nn.Dropout(dropout)
        self.out = nn.Linear(width, width)

    def forward(self, vectors: Tensor, mask: Tensor | None) -> Tensor:
        """[n, length, width] to the same shape; places where the mask is 0 are looked at by none."""
        rows, length, width = vectors.shape
        shape = (rows, length, 3, self.heads, width // self.heads)
        query, key, value = self.project(vectors).reshape(shape).permute(2, 0, 3, 1, 4).unbind(0)
        scores = query @ key.transpose(-2, -1) / math.sqrt(width // self.heads)
        if mask is not None:
            scores = scores.masked_fill(mask[:, None, None, :] == 0, torch.finfo(scores.dtype).min)
        mixed = self.dropout(self.softmax(scores)) @ value
        return self.out(mixed.transpose(1, 2).reshape(rows, length, width))


class Block(nn.Module):
    """Attention, then a perceptron, each behind its normalisation and beside a shortcut."""

    def __init__(self, width: int, heads: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width)
        self.attention = Attention(width, heads, dropout)
        self.dropout1 = nn.Dropout(dropout)
        self.norm2 = nn.LayerNorm(width)
        self.first = nn.Linear(width, hidden)
        self.gelu = nn.GELU()
        self.second = nn.Linear(hidden, width)
        self.dropout2 = nn.Dropout(dropout)

    def forward(self, vectors: Tensor, mask: Tensor | None) -> Tensor:
        """[n, length, width] to the same shape."""
        vectors = vectors + self.dropout1(self.attention(self.norm1(vectors), mask))
        return vectors + self.dropout2(self.second(self.gelu(self.first(self.norm2(vectors)))))


class Positions(nn.Module):
    """Adds to each place a vector that says where it is: learned, or sines and cosines of falling frequency."""

    def __init__(self, places: int, width: int, learned: bool) -> None:
        super().__init__()
        if learned:
            self.table = nn.Parameter(0.02 * torch.randn(places, width))
        else:
            self.register_buffer("table", sinusoids(places, width))

    def forward(self, vectors: Tensor) -> Tensor:
        """[n, length, width] to the same shape."""
        return vectors + self.table[: vectors.shape[1]]


class Transformer(nn.Module):
    """`*inputs -> logits [n, classes]`, for words and where they stand, a series, or a table's two kinds of columns.

    width: of the vectors, a multiple of `heads`. hidden: the perceptrons' width, twice `width` when left out.
    positions: learned when left out, none for tables. pooling: the mean over the places that are taken, or a vector of
    its own (`cls`). rows: what the preprocessing says of them (words, length; steps, channels; numeric, categories),
    and for words `unread`, the share of them that training hides.

    >>> network = Transformer(classes=2, width=8, heads=2, words=9, length=5).eval()
    >>> network(torch.ones(3, 5, dtype=torch.int64), torch.ones(3, 5)).shape
    torch.Size([3, 2])
    """

    def __init__(
        self,
        classes: int,
        width: int = 64,
        heads: int = 4,
        layers: int = 2,
        hidden: int | None = None,
        dropout: float = 0.1,
        positions: Literal["learned", "sinusoidal", "none"] | None = None,
        pooling: Literal["mean", "cls"] = "mean",
        **rows: Any,
    ) -> None:
        super().__init__()
        if positions not in (None, "learned", "sinusoidal", "none") or pooling not in ("mean", "cls"):
            raise ValueError("positions are learned, sinusoidal or none, and pooling is mean or cls")
        self.tokens = tokens_of(width, rows)
        positions = positions or ("none" if isinstance(self.tokens, Columns) else "learned")
        places: int = self.tokens.places  # type: ignore[assignment]
        self.positions = Positions(places, width, positions == "learned") if positions != "none" else None
        self.cls = nn.Parameter(torch.randn(width) / math.sqrt(width)) if pooling == "cls" else None
        self.dropout = nn.Dropout(dropout)
        self.blocks = nn.ModuleList(Block(width, heads, hidden or 2 * width, dropout) for _ in range(layers))
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, classes)

    def forward(self, *inputs: Tensor) -> Tensor:
        """Logits [n, classes]."""
        vectors, mask = self.tokens(*inputs)
        if self.positions is not None:
            vectors = self.positions(vectors)
        if self.cls is not None:
            vectors = torch.cat([self.cls.expand(vectors.shape[0], 1, -1), vectors], dim=1)
            mask = mask if mask is None else torch.cat([torch.ones_like(mask[:, :1]), mask], dim=1)
        vectors = self.dropout(vectors)
        for block in self.blocks:
            vectors = block(vectors, mask)
        vectors = self.norm(vectors)
        return self.head(average(vectors, mask) if self.cls is None else vectors[:, 0])


def sinusoids(places: int, width: int) -> Tensor:
    """[places, width]: sin(p / 10000^(i / width)) at even i, the cosine of the same angle at the odd one after it.

    >>> sinusoids(2, 2)
    tensor([[0.0000, 1.0000],
            [0.8415, 0.5403]])
    """
    rates = torch.exp(torch.arange(0, width, 2) * (-math.log(10_000.0) / width))
    angles = torch.arange(places)[:, None] * rates
    return torch.stack([angles.sin(), angles.cos()], dim=2).reshape(places, -1)[:, :width]
