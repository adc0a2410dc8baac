"""Fast batches: a split encoded once into tensors, then indexed a batch at a time.

`torch.utils.data.TensorDataset` hands out rows one by one and puts them together again in Python, which for small
networks costs more than the training. Here the sampler yields the indices of a whole batch and the tensors are
indexed once.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.utils.data import BatchSampler, DataLoader, Dataset, Sampler, SequentialSampler

from auditkit.errors import InputError, nearest
from auditkit.subject.data import Split
from auditkit.subject.preprocessing import AnyPreprocessing

EVALUATION_ROWS = 4096

Batch = tuple[tuple[Tensor, ...], Tensor, Tensor]
"""Encoded inputs, labels int64 [n], and how much each row counts float32 [n]. Of a regression the labels are numbers,
float64 [n], of several labels 0 and 1, float32 [n, L]."""


class Encoded(Dataset):
    """A split as tensors; `encoded[[3, 1, 2]]` is a batch `(inputs, labels, weights)`.

    weights: how much each row counts, [n], not negative; brought to a mean of 1, and 1 everywhere where left out.
    Raises InputError for weights that are no such thing.
    """

    def __init__(
        self, split: Split, preprocessing: AnyPreprocessing, weights: npt.NDArray[np.floating] | None = None
    ) -> None:
        self.preprocessing, self.inputs = preprocessing, preprocessing.encode(split)
        truth = split.labels if split.targets is None else split.targets
        self.labels = torch.from_numpy(truth if split.marks is None else split.marks.astype(np.float32))
        self.weights = torch.ones(len(split))
        if weights is not None:
            self.weigh(weights)

    def weigh(self, factors: npt.NDArray[np.floating]) -> None:
        """Multiply the rows' weights by factors [n], and bring them to a mean of 1 again."""
        factors = np.asarray(factors, dtype=np.float64)
        if factors.shape != self.weights.shape:
            raise InputError(f"{len(self)} training rows need as many weights, not {list(factors.shape)}")
        weights = self.weights.double().numpy() * factors
        if not (np.isfinite(weights).all() and (weights >= 0).all() and weights.any()):
            raise InputError("weights of training rows must be finite and not negative, and not all zero")
        self.weights = torch.from_numpy(weights / weights.mean()).float()

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, rows: list[int]) -> Batch:
        chosen = torch.as_tensor(rows)
        return tuple(part[chosen] for part in self.inputs), self.labels[chosen], self.weights[chosen]


class Shuffled(Sampler[list[int]]):
    """Batches of row numbers in an order that follows from seed and epoch alone, so that any epoch can be begun anew.

    The last, incomplete batch is left out where there is another: batch normalisation cannot learn from a batch of one
    row. Where several processes share the training, each takes its part of every batch.
    """

    def __init__(self, rows: int, size: int, seed: int) -> None:
        self.rows, self.size, self.seed, self.epoch = rows, size, seed, 0

    def set_epoch(self, epoch: int) -> None:
        """Called by Lightning before each epoch, counted from 0."""
        self.epoch = epoch

    def __len__(self) -> int:
        return max(1, self.rows // self.size)

    def __iter__(self) -> Iterator[list[int]]:
        generator = torch.Generator().manual_seed(seed_of(self.seed, self.epoch))
        order = torch.randperm(self.rows, generator=generator).tolist()
        rank, processes = _place()
        for start in range(0, len(self) * self.size, self.size):
            yield order[start : start + self.size][rank::processes]


def seed_of(*numbers: int) -> int:
    """One seed from several numbers; nearby ones give unrelated seeds.

    >>> seed_of(0, 1) == seed_of(0, 1), seed_of(0, 1) == seed_of(1, 0)
    (True, False)
    """
    return int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0] >> np.uint64(1))


def shuffled(data: Encoded, size: int, seed: int) -> DataLoader:
    """Batches for training: a new seeded order every epoch."""
    return _loader(data, Shuffled(len(data), size, seed))


def in_order(data: Encoded) -> DataLoader:
    """Large batches for evaluation."""
    return _loader(data, BatchSampler(SequentialSampler(data), EVALUATION_ROWS, False))


def _loader(data: Encoded, sampler: Sampler[list[int]]) -> DataLoader:
    """A loader that leaves the global random state alone."""
    return DataLoader(data, sampler=sampler, batch_size=None, generator=torch.Generator())


def _place() -> tuple[int, int]:
    """Which of how many processes this is."""
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        return torch.distributed.get_rank(), torch.distributed.get_world_size()
    return 0, 1


def by_class(split: Split, weights: Mapping[str, float] | str) -> npt.NDArray[np.float64]:
    """How much each row counts by its class, [n]: a mapping from class to weight, 1 where it names none, or "balanced".

    Balanced is n / (classes there x rows of the class), so that each class weighs the same in all (King and Zeng 2001;
    `sklearn.utils.class_weight`). Raises InputError for a class that is none.
    """
    classes = split.schema.classes
    if isinstance(weights, str):
        counts = np.bincount(split.labels, minlength=len(classes))
        factors = len(split) / (np.count_nonzero(counts) * np.maximum(counts, 1))
    else:
        for name in weights:
            if name not in classes:
                raise InputError(f"class_weights: {name!r} is no class; {nearest(name, classes)}")
        factors = np.array([weights.get(name, 1.0) for name in classes])
    return np.asarray(factors[split.labels], dtype=np.float64)
