"""A mixture of classifiers as one network: the average of what its members would say.

    p(x) = a + sum_k w_k sigmoid(z_k(x))

with z_k the logit of member k. The members' weights w and the share a of those that always decide yes sum to 1 at most;
what is missing goes to those that always decide no. This is the chance of a yes from a classifier that draws one of
its members for every row and has it decide by its probability; the network gives that chance, and draws nothing.
"""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor, nn

LEAST = 1e-7
"""probabilities are kept so far from 0 and 1, that logits are finite"""
NO_SCALE = "a mixture's outputs are the logarithms of probabilities, so that the scale of logits is not known"


class Mixture(nn.Module):
    """`inputs of a member -> logits [n, 2]`, the logarithms of the two classes' chances.

    member: `path` and `arguments` of every member's class, one of auditkit's own (a bundle may come from anyone), which
    gives logits [n, 2]. members: how many there are.
    `weights` and `always` are buffers; the last member is the heaviest, so that its last layer's inputs are what
    stands for the mixture's features.

    >>> member = {"path": "auditkit.training.architectures.mlp:MLP"}
    >>> member["arguments"] = {"numeric": 2, "categories": [], "classes": 2}
    >>> Mixture(member, members=3, classes=2).eval()(torch.zeros(5, 2)).exp().sum(1).allclose(torch.ones(5))
    True
    """

    limits: ClassVar = {"scale": NO_SCALE}

    def __init__(self, member: dict[str, Any], members: int, classes: int = 2) -> None:
        from auditkit.subject.bundle import OWN_ARCHITECTURES, import_architecture

        super().__init__()
        if classes != 2:
            raise ValueError(f"a mixture decides between two classes, not {classes}")
        if not member["path"].startswith(OWN_ARCHITECTURES):
            raise ValueError(f"its members must be of {OWN_ARCHITECTURES}*, which {member['path']!r} is not")
        kind = import_architecture(member["path"])
        self.members = nn.ModuleList(kind(**member["arguments"]) for _ in range(members))
        self.chances = nn.ModuleList(nn.Softmax(dim=1) for _ in range(members))
        self.weights: Tensor
        self.always: Tensor
        self.register_buffer("weights", torch.full((members,), 1 / members))
        self.register_buffer("always", torch.zeros(()))

    def forward(self, *inputs: Tensor) -> Tensor:
        """Logits [n, 2]."""
        yes = self.always.expand(inputs[0].shape[0])
        for weight, member, chance in zip(self.weights, self.members, self.chances, strict=True):
            yes = yes + weight * chance(member(*inputs))[:, 1]
        yes = yes.clamp(LEAST, 1 - LEAST)
        return torch.stack([1 - yes, yes], dim=1).log()
