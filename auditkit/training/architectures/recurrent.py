"""A recurrent network for text and series: LSTM (Hochreiter and Schmidhuber 1997) or GRU (Cho et al. 2014).

Each layer reads forwards and, where `bidirectional`, backwards as well, with a `nn.LSTM` or `nn.GRU` of its own for
each direction, so that every one can be looked at by itself. What is read backwards begins at each row's last word, so
places that only fill up, at the end, influence nothing: the same numbers as torch's packed sequences give, but in fixed
shapes without a word from the host, which lets the network be exported. The mean of the last layer's states over the
places that are taken goes to the linear head.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any, Literal

import torch
from torch import Tensor, nn

from auditkit.training.architectures.tokens import Columns, average, tokens_of

CELLS: dict[str, type[nn.LSTM] | type[nn.GRU]] = {"lstm": nn.LSTM, "gru": nn.GRU}


class Layer(nn.Module):
    """One layer of cells, in one direction or both: [n, length, before] to [n, length, width or twice that]."""

    def __init__(self, cell: str, before: int, width: int, bidirectional: bool) -> None:
        super().__init__()
        self.forwards = CELLS[cell](before, width, batch_first=True)
        self.backwards = CELLS[cell](before, width, batch_first=True) if bidirectional else None

    def forward(self, vectors: Tensor, mask: Tensor | None) -> Tensor:
        """States of both directions side by side."""
        with _differentiable(self, vectors):
            states, _ = self.forwards(vectors)
            if self.backwards is None:
                return states
            turned, _ = self.backwards(turn(vectors, mask))
        return torch.cat([states, turn(turned, mask)], dim=2)


class Recurrent(nn.Module):
    """`*inputs -> logits [n, classes]`, for words and where they stand, or a series.

    embedding: the width of a word's or step's vector. width: of a direction's states. rows: what the preprocessing says
    of them (words, length; steps, channels), and for words `unread`, the share of them that training hides. Words stand
    at the beginning of a row, as the preprocessing puts them.

    >>> network = Recurrent(classes=2, cell="gru", width=8, words=9, length=5).eval()
    >>> network(torch.ones(3, 5, dtype=torch.int64), torch.ones(3, 5)).shape
    torch.Size([3, 2])
    """

    def __init__(
        self,
        classes: int,
        cell: Literal["lstm", "gru"] = "lstm",
        embedding: int = 64,
        width: int = 64,
        layers: int = 1,
        bidirectional: bool = True,
        dropout: float = 0.2,
        **rows: Any,
    ) -> None:
        super().__init__()
        if cell not in CELLS:
            raise ValueError(f"cell is one of {', '.join(CELLS)}, not {cell!r}")
        self.tokens = tokens_of(embedding, rows)
        if isinstance(self.tokens, Columns):
            raise ValueError("the columns of a table have no order to be read in; take the MLP or the Transformer")
        both = 2 * width if bidirectional else width
        befores = [embedding] + [both] * (layers - 1)
        self.dropouts = nn.ModuleList(nn.Dropout(dropout) for _ in range(layers))
        self.layers = nn.ModuleList(Layer(cell, before, width, bidirectional) for before in befores)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(both, classes)

    def forward(self, *inputs: Tensor) -> Tensor:
        """Logits [n, classes]."""
        vectors, mask = self.tokens(*inputs)
        for dropout, layer in zip(self.dropouts, self.layers, strict=True):
            vectors = layer(dropout(vectors), mask)
        return self.head(self.dropout(average(vectors, mask)))


def turn(vectors: Tensor, mask: Tensor | None) -> Tensor:
    """Vectors [n, length, width] from the last that stands to the first; those that fill up stay behind them.

    >>> turn(torch.tensor([[[1.0], [2.0], [0.0]]]), torch.tensor([[1.0, 1.0, 0.0]])).flatten().tolist()
    [2.0, 1.0, 0.0]
    """
    if mask is None:
        return vectors.flip(1)
    places = torch.arange(vectors.shape[1], device=vectors.device)
    back = mask.sum(dim=1, keepdim=True).long() - 1 - places
    order = torch.where(back >= 0, back, places)
    return vectors.gather(1, order[:, :, None].expand_as(vectors))


def _differentiable(layer: nn.Module, vectors: Tensor) -> AbstractContextManager[Any]:
    """cuDNN differentiates recurrent cells in training mode only; gradients in eval mode take torch's own kernels."""
    if vectors.is_cuda and not layer.training and torch.is_grad_enabled():
        return torch.backends.cudnn.flags(enabled=False)
    return nullcontext()
