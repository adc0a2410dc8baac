"""REINFORCE with a baseline: a policy plays episodes and makes the actions likelier that were followed by more reward.

Per step of learning, `episodes` are played with actions drawn from the policy; the loss is

    - mean over steps of (G_t - b_t) / spread * log p(a_t | o_t),   G_t the (discounted) reward from t on,

where the baseline b_t is the mean of G_t over the episodes still going on at t, which takes noise away and adds no bias
worth the name (Williams 1992, Machine Learning 8, 229-256; Greensmith et al. 2004, JMLR 5, 1471-1530).

The curves show, as loss, the share of steps that the policy does not live to see when it takes its likeliest action:
on validation in 32 episodes of its own, on train in as many others. The epoch with the smallest one is kept. Accuracy
is how often its likeliest action is the label's.
"""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from auditkit.errors import InputError
from auditkit.subject.control import HORIZON, OBSERVED, Actions, Floats, play
from auditkit.subject.preprocessing import AnyPreprocessing, TablePreprocessing
from auditkit.training.architectures.policy import Policy
from auditkit.training.learner import Learner
from auditkit.training.recipe import Recipe

DISCOUNT = 0.99
JUDGED = 32
"""episodes on which an epoch is judged"""


class ReinforcementLearner(Learner):
    """Trains a `Policy`. Validation loaders: 0 the training rows, 1 the validation rows."""

    network: Policy

    def __init__(self, network: Policy, recipe: Recipe, steps: int) -> None:
        super().__init__(network, recipe, steps)
        self.scaling: TablePreprocessing | None = None

    def on_train_start(self) -> None:
        """Find out how observations are scaled. Raises InputError for rows that are no observations of the task."""
        data: Any = cast(Any, self.trainer.train_dataloader).dataset
        self.scaling = scaling_of(data.preprocessing)

    def training_step(self, batch: Any, place: int) -> Tensor:
        """Play, and the loss of the actions taken."""
        seed = np.random.SeedSequence([self.recipe.seed, self.global_step, place]).generate_state(1)[0]
        played = play(self._acting(np.random.default_rng(seed)), self.network.episodes, int(seed))
        gains = advantages(played.alive)
        seen, taken = played.observations[played.alive], played.actions[played.alive]
        chosen = functional.log_softmax(self.network(self._scaled(seen)), dim=1)
        taken_at = torch.from_numpy(taken).to(chosen.device)[:, None]
        weights = torch.from_numpy(gains[played.alive]).float().to(chosen.device)
        return -(weights * chosen.gather(1, taken_at)[:, 0]).mean()

    def validation_step(self, batch: Any, _: int, dataloader_idx: int = 0) -> None:
        """The share of steps not lived to see, and agreement with the labels."""
        inputs, labels = batch[:2]
        split = ("train", "validation")[dataloader_idx]
        returns = play(self._acting(None), JUDGED, seed_of_split(self.recipe.seed, split)).returns
        figures = {
            f"{split}_loss": torch.tensor(1 - float(returns.mean()) / HORIZON),
            f"{split}_accuracy": (self.network(*inputs).argmax(1) == labels).float().mean(),
        }
        self.log_dict(figures, batch_size=len(labels), add_dataloader_idx=False)

    def _scaled(self, seen: Floats) -> Tensor:
        assert self.scaling is not None
        return scaled(self.scaling, seen).to(self.device)

    def _acting(self, random: np.random.Generator | None) -> Any:
        """The network as a policy: actions drawn with `random`, or the likeliest where it is None."""

        def act(seen: Floats) -> Actions:
            with torch.no_grad():
                logits = self.network(self._scaled(seen)).double().cpu().numpy()
            if random is not None:
                logits = logits + random.gumbel(size=logits.shape)
            found: Actions = logits.argmax(axis=1)
            return found

        return act


def scaling_of(preprocessing: AnyPreprocessing) -> TablePreprocessing:
    """The preprocessing of observations. Raises InputError where its columns are others."""
    if not isinstance(preprocessing, TablePreprocessing) or preprocessing.columns != OBSERVED:
        raise InputError(f"a policy observes {', '.join(OBSERVED)}, but the columns are {preprocessing.columns}")
    return preprocessing


def scaled(scaling: TablePreprocessing, seen: Floats) -> Tensor:
    """Observations [n, 4] as the network's input, float32 on the CPU."""
    means, scales = (np.array([getattr(column, part) for column in scaling.numeric]) for part in ("mean", "scale"))
    return torch.from_numpy(((seen - means) / scales).astype(np.float32))


def seed_of_split(seed: int, split: str) -> int:
    """The seed of the episodes that a split's figures are measured on.

    >>> seed_of_split(0, "train") == seed_of_split(0, "validation")
    False
    """
    place = ("train", "validation", "test").index(split)
    return int(np.random.SeedSequence([seed, 83, place]).generate_state(1)[0])


def advantages(alive: np.ndarray) -> Floats:
    """How much better than usual each step [steps, episodes] went on, in units of its spread. Every step counts one.

    >>> advantages(np.array([[True, True], [True, False]])).round(2).tolist()
    [[1.22, -1.22], [0.0, 0.0]]
    """
    rewards, gains = alive.astype(np.float64), np.zeros(alive.shape)
    ahead = np.zeros(alive.shape[1])
    for step in reversed(range(len(alive))):
        ahead = rewards[step] + DISCOUNT * ahead
        gains[step] = ahead
    going_on = alive.sum(axis=1, keepdims=True)
    baseline = (gains * alive).sum(axis=1, keepdims=True) / np.maximum(going_on, 1)
    found = np.where(alive, gains - baseline, 0.0)
    spread = found[alive].std() if alive.any() else 0.0
    return found / spread if spread > 0 else found
