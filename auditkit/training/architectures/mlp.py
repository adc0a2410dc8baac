"""A multi-layer perceptron for tables, with an embedding for each categorical column.

Numbers enter as they are, categories through one `nn.Embedding` each, called in column order; both are joined and pass
blocks of Linear, a normalisation, ReLU and Dropout, then a linear head (entity embeddings: Guo and Berkhahn 2016,
arXiv:1604.06737). The normalisation is over the batch (Ioffe and Szegedy 2015, arXiv:1502.03167), over the layer (Ba
et al. 2016, arXiv:1607.06450), or none. Every nonlinearity is a module of its own, so that layer and
relevance methods can see each.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

NORMS: dict[str, Callable[[int], nn.Module]] = {"batch": nn.BatchNorm1d, "layer": nn.LayerNorm, "none": nn.Identity}


def embedding_width(categories: int) -> int:
    """The usual rule of thumb for an embedding's width: 1.6 n^0.56, at most 16."""
    return min(16, max(2, round(1.6 * categories**0.56)))


class MLP(nn.Module):
    """`(numeric [n, F], categorical [n, C]) -> logits [n, classes]`; with one kind of column only, one input.

    numeric: how many number columns, F. categories: codes per categorical column (vocabulary plus one for unseen).
    norm: batch, layer or none.

    >>> network = MLP(numeric=2, categories=[4], classes=2, hidden=[8]).eval()
    >>> network(torch.zeros(5, 2), torch.zeros(5, 1, dtype=torch.int64)).shape
    torch.Size([5, 2])
    """

    def __init__(
        self,
        numeric: int,
        categories: Sequence[int],
        classes: int,
        hidden: Sequence[int] = (128, 64),
        dropout: float = 0.1,
        norm: str = "batch",
    ) -> None:
        super().__init__()
        if norm not in NORMS:
            raise ValueError(f"norm must be one of {', '.join(NORMS)}, not {norm!r}")
        self.numeric = numeric
        self.embeddings = nn.ModuleList(nn.Embedding(codes, embedding_width(codes)) for codes in categories)
        width = numeric + sum(embedding_width(codes) for codes in categories)
        blocks = []
        for size in hidden:
            blocks.append(nn.Sequential(nn.Linear(width, size), NORMS[norm](size), nn.ReLU(), nn.Dropout(dropout)))
            width = size
        self.blocks = nn.ModuleList(blocks)
        self.head = nn.Linear(width, classes)

    def forward(self, *inputs: Tensor) -> Tensor:
        """Logits [n, classes]. Raises ValueError for inputs of other widths than the network was built for."""
        widths = [width for width in (self.numeric, len(self.embeddings)) if width]
        if [part.shape[1] for part in inputs] != widths:
            raise ValueError(f"expected inputs of {widths} columns, got {[tuple(part.shape) for part in inputs]}")
        parts = [inputs[0]] if self.numeric else []
        if len(self.embeddings):
            codes = inputs[-1]
            parts += [embedding(codes[:, place]) for place, embedding in enumerate(self.embeddings)]
        hidden = torch.cat(parts, dim=1)
        for block in self.blocks:
            hidden = block(hidden)
        return self.head(hidden)
