"""Fast batches: a split encoded once into tensors, then indexed a batch at a time.

`torch.utils.data.TensorDataset` hands out rows one by one and puts them together again in Python, which for small
networks costs more than the training. Here the sampler yields the indices of a whole batch and the tensors are
indexed once.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.utils.data import BatchSampler, DataLoader, Dataset, RandomSampler, SequentialSampler

from auditkit.subject.data import Split
from auditkit.subject.preprocessing import AnyPreprocessing

EVALUATION_ROWS = 4096


class Encoded(Dataset):
    """A split as tensors; `encoded[[3, 1, 2]]` is a batch `(inputs, labels)`."""

    def __init__(self, split: Split, preprocessing: AnyPreprocessing) -> None:
        self.inputs = preprocessing.encode(split)
        self.labels = torch.from_numpy(split.labels)

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, rows: list[int]) -> tuple[tuple[Tensor, ...], Tensor]:
        chosen = torch.as_tensor(rows)
        return tuple(part[chosen] for part in self.inputs), self.labels[chosen]


def shuffled(data: Encoded, size: int, seed: int) -> DataLoader:
    """Batches in a new seeded order every epoch. The last, incomplete one is left out where there is another.

    Batch normalisation cannot learn from a batch of one row.
    """
    order = RandomSampler(data, generator=torch.Generator().manual_seed(seed))
    return DataLoader(data, sampler=BatchSampler(order, size, drop_last=len(data) >= size), batch_size=None)


def in_order(data: Encoded) -> DataLoader:
    """Large batches for evaluation."""
    return DataLoader(data, sampler=BatchSampler(SequentialSampler(data), EVALUATION_ROWS, False), batch_size=None)
