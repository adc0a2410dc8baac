"""The learning rate step by step, as a share of the recipe's.

It rises in a line over the warm-up (at most half the epochs), then

cosine      falls along half a cosine to zero (Loshchilov and Hutter 2017, arXiv:1608.03983)
linear      falls in a line to zero
step        is multiplied by `decay_factor` after every `step_epochs` epochs
plateau     is multiplied by `decay_factor` once the validation loss has not improved for more than `step_epochs` epochs
constant    stays
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from auditkit.training.recipe import Recipe

DECAY_FACTOR = 0.1


@dataclass
class Rate:
    """The share of the learning rate at each optimiser step; a plateau's also follows the losses it is shown.

    Plain numbers only, so that a scheduler's `state_dict` holds all of it.

    >>> rate = Rate("linear", steps=10, total=100, rise=0, every=1, factor=0.1)
    >>> rate(0), rate(50), rate(100)
    (1.0, 0.5, 0.0)
    """

    kind: str
    steps: int
    total: int
    rise: float
    every: int
    factor: float
    level: float = 1.0
    lowest: float | None = None
    waited: int = 0

    @classmethod
    def of(cls, recipe: Recipe, steps: int) -> Rate:
        """A recipe's; `steps` is how many optimiser steps an epoch has."""
        usual = recipe.patience // 2 if recipe.schedule == "plateau" else recipe.epochs // 3
        return cls(
            recipe.schedule,
            steps,
            steps * recipe.epochs,
            steps * min(recipe.warmup, recipe.epochs / 2),
            recipe.step_epochs or max(1, usual),
            DECAY_FACTOR if recipe.decay_factor is None else recipe.decay_factor,
        )

    def __call__(self, step: int) -> float:
        """The share at an optimiser step, counted from 0."""
        if step < self.rise:
            return (step + 1) / (self.rise + 1)
        way = min(1.0, (step - self.rise) / max(1.0, self.total - self.rise))
        match self.kind:
            case "cosine":
                return 0.5 * (1 + math.cos(math.pi * way))
            case "linear":
                return 1 - way
            case "step":
                return float(self.factor ** (step // (self.steps * self.every)))
            case _:
                return self.level

    def observe(self, loss: float) -> None:
        """Take in an epoch's validation loss. Only a plateau's rate answers to it."""
        if self.kind != "plateau":
            return
        if self.lowest is None or loss < self.lowest:
            self.lowest, self.waited = loss, 0
            return
        self.waited += 1
        if self.waited > self.every:
            self.level, self.waited = self.level * self.factor, 0
