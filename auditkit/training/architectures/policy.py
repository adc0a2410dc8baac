"""A policy: a small network from what a controller observes to the action it takes, trained by playing.

Observations are the four scaled numbers of a row, actions the classes; `forward` gives the actions' logits, of which
the policy takes the largest once it is trained. `task` names the control task whose episodes it is trained on and
judged by: the rows of the training split only fix how observations are scaled.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from torch import Tensor, nn

from auditkit.subject.control import ACTIONS, OBSERVED, TASK

if TYPE_CHECKING:
    from auditkit.training.recipe import Recipe
    from auditkit.training.reinforcement import ReinforcementLearner


class Policy(nn.Module):
    """`observations [n, 4] -> logits of the actions [n, 2]`. episodes: how many are played for one step of learning.

    >>> import torch
    >>> Policy(numeric=4, categories=[], classes=2, hidden=[8])(torch.zeros(5, 4)).shape
    torch.Size([5, 2])
    """

    task = TASK

    def __init__(
        self,
        numeric: int,
        categories: Sequence[int],
        classes: int,
        hidden: Sequence[int] = (32,),
        episodes: int = 16,
    ) -> None:
        super().__init__()
        if numeric != len(OBSERVED) or categories or classes != len(ACTIONS):
            raise ValueError(
                f"{TASK} is observed in {len(OBSERVED)} numbers ({', '.join(OBSERVED)}) and has {len(ACTIONS)} actions "
                f"({', '.join(ACTIONS)}); got {numeric} numbers, {len(categories)} categories and {classes} actions"
            )
        self.episodes = episodes
        blocks, width = [], numeric
        for size in hidden:
            blocks.append(nn.Sequential(nn.Linear(width, size), nn.Tanh()))
            width = size
        self.blocks = nn.Sequential(*blocks)
        self.head = nn.Linear(width, classes)

    def forward(self, observations: Tensor) -> Tensor:
        """Logits [n, actions]."""
        found: Tensor = self.head(self.blocks(observations))
        return found

    def learner(self, recipe: Recipe, steps: int) -> ReinforcementLearner:
        """How it is trained."""
        from auditkit.training.reinforcement import ReinforcementLearner

        return ReinforcementLearner(self, recipe, steps)
