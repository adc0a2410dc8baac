"""What a method may change in a training: the batches, the learner, the network at the end, and the record."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from auditkit.engine.progress import Progress
from auditkit.subject.data import Split
from auditkit.subject.preprocessing import AnyPreprocessing
from auditkit.training.batches import Encoded
from auditkit.training.learner import Learner
from auditkit.training.recipe import Recipe


@dataclass(frozen=True)
class Trained:
    """What training has come to: the network with its best weights, how to build it, and its rows, encoded."""

    network: nn.Module
    architecture: dict[str, Any]
    data: Encoded
    held: Encoded
    place: torch.device


class Usual:
    """Nothing is mitigated."""

    def encode(self, split: Split, preprocessing: AnyPreprocessing) -> Encoded:
        """The training rows as batches."""
        return Encoded(split, preprocessing)

    def learner(self, network: nn.Module, recipe: Recipe, steps: int) -> Learner:
        """What trains the network."""
        return Learner(network, recipe, steps)

    def finish(self, trained: Trained, progress: Progress) -> tuple[nn.Module, dict[str, Any]]:
        """The network to be kept and how to build it."""
        return trained.network, trained.architecture

    def record(self) -> dict[str, Any]:
        """What was done, for the training record. `caveat`, where there is one, is said wherever the model is used."""
        return {}
