"""What is kept of a training as it goes: the curves, the best epoch's weights, and a checkpoint to go on from.

Training stops after `patience` epochs without a lower validation loss, or at once where a loss is not a number.
Each epoch's random numbers (dropout, and the order of the rows) follow from seed and epoch alone, so that a training
that goes on from a checkpoint ends with the very weights of one that was never disturbed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any

import lightning
import numpy as np
import torch
from lightning.pytorch.callbacks import Checkpoint
from torch import Tensor, nn

from auditkit.engine.progress import Progress
from auditkit.errors import InputError
from auditkit.subject.bundle import Epoch
from auditkit.training.batches import seed_of
from auditkit.training.checkpoints import CheckpointFile
from auditkit.training.recipe import Recipe
from auditkit.training.schedules import Rate
from auditkit.training.spent import Spent, windows_from

FIGURES = ("train_loss", "train_accuracy", "validation_loss", "validation_accuracy")
"""What a learner logs after each epoch, where it does not name others of an `Epoch` as its `figures`."""

STARTS_OVER = "a killed training of this network starts over: {reason}"

Watch = Callable[[Epoch, lightning.Trainer], None]
"""Called after each epoch; it may raise to end the training."""


class Keeper(Checkpoint):
    """Keeps the curves and the best epoch's weights, writes the checkpoint, and shows how far the training has come.

    A learner that sets `keeps_last` runs through all epochs, and its last weights are kept in place of the best.
    resumed: after how many epochs it was gone on from a checkpoint, each time it was.
    """

    def __init__(
        self,
        recipe: Recipe,
        progress: Progress,
        spent: Spent,
        file: CheckpointFile | None = None,
        watch: Watch | None = None,
    ) -> None:
        self.recipe, self.progress, self.spent, self.file, self.watch = recipe, progress, spent, file, watch
        self.curves: list[Epoch] = []
        self.best: dict[str, Tensor] | None = None
        self.best_epoch = 0
        self.finished = False
        self.resumed: list[int] = []
        self._generators: dict[str, Any] = {}
        self._shown: Iterator[int] = iter(())
        self._lowest = math.inf

    @property
    def state_key(self) -> str:
        return "auditkit"

    def state_dict(self) -> dict[str, Any]:
        """Everything but what Lightning keeps itself, as tensors and plain values."""
        return {
            "curves": [point.model_dump() for point in self.curves],
            "best": self.best,
            "best_epoch": self.best_epoch,
            "finished": self.finished,
            "resumed": self.resumed,
            "windows": [cost.record() for cost in self.spent.windows],
            "generators": self._generators,
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take back what `state_dict` gave."""
        self.curves = [Epoch(**point) for point in state_dict["curves"]]
        self.best, self.best_epoch = state_dict["best"], state_dict["best_epoch"]
        self._lowest = next(point.validation_loss for point in self.curves if point.epoch == self.best_epoch)
        self.finished = state_dict["finished"]
        self.resumed = [*state_dict["resumed"], len(self.curves)]
        self.spent.windows[:0] = windows_from(state_dict["windows"])
        self._generators = state_dict["generators"]

    def on_train_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        for name, generator in _generators(pl_module):
            if name in self._generators:
                _restore(generator, self._generators[name])
        total = self.recipe.epochs
        self._shown = self.progress.track(range(total), total, f"training {self.recipe.name}", "epochs")
        for _ in islice(self._shown, len(self.curves) + 1):
            continue

    def on_train_epoch_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        torch.manual_seed(seed_of(self.recipe.seed, trainer.current_epoch, 1, trainer.global_rank))

    def on_validation_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Measure with the first process's running statistics everywhere: its weights are those that are kept."""
        if trainer.world_size > 1:
            for buffer in pl_module.buffers():
                torch.distributed.broadcast(buffer, 0)

    def on_validation_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        figures = _figures(trainer, getattr(pl_module, "figures", FIGURES))
        epoch = trainer.current_epoch + 1
        finite = all(map(math.isfinite, figures.values()))
        if finite:
            rate = trainer.optimizers[0].param_groups[0]["lr"]
            point = Epoch(epoch=epoch, learning_rate=rate, **figures)
            last = getattr(pl_module, "keeps_last", False)
            if last or self.best is None or point.validation_loss < self._lowest:
                self.best_epoch, self.best = epoch, _weights(pl_module)
                self._lowest = point.validation_loss
            self.curves.append(point)
            for config in trainer.lr_scheduler_configs:
                for share in {id(share): share for share in getattr(config.scheduler, "lr_lambdas", ())}.values():
                    if isinstance(share, Rate):
                        share.observe(point.validation_loss)
        waited = epoch - self.best_epoch >= self.recipe.patience
        if trainer.strategy.reduce_boolean_decision(waited or not finite, all=False):
            trainer.should_stop = True
        self.finished = trainer.should_stop or epoch >= self.recipe.epochs
        next(self._shown, None)
        if finite and self.watch:
            self.watch(point, trainer)

    def on_train_epoch_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Write the checkpoint, after what the learner itself does at the end of an epoch."""
        if self.file is None or self.best is None:
            return
        self._generators = {name: _state(generator) for name, generator in _generators(pl_module)}
        self.spent.checkpoint()
        trainer.save_checkpoint(self.file.path)
        if self.file.refused:
            self.progress.say(STARTS_OVER.format(reason=self.file.refused))
            self.file = None

    def teardown(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, stage: str) -> None:
        close = getattr(self._shown, "close", None)
        if close:
            close()


def _figures(trainer: lightning.Trainer, names: tuple[str, ...]) -> dict[str, float]:
    """The four figures of an epoch, which any learner must log."""
    logged = trainer.callback_metrics
    for name in names:
        if name not in logged:
            raise InputError(f"the network's learner logs no {name!r}; each epoch it must log {', '.join(names)}")
    return {name: float(logged[name]) for name in names}


def _weights(learner: lightning.LightningModule) -> dict[str, Tensor]:
    """The network's weights and buffers, copied to the CPU."""
    network = learner.network
    assert isinstance(network, nn.Module)
    return {name: tensor.detach().cpu().clone() for name, tensor in network.state_dict().items()}


def _generators(learner: nn.Module) -> Iterator[tuple[str, Any]]:
    """The random generators that a learner, its network and their parts hold as attributes, by name."""
    for where, module in learner.named_modules():
        for name, value in vars(module).items():
            if isinstance(value, torch.Generator | np.random.Generator):
                yield f"{where}.{name}", value


def _state(generator: torch.Generator | np.random.Generator) -> Any:
    return generator.get_state() if isinstance(generator, torch.Generator) else generator.bit_generator.state


def _restore(generator: torch.Generator | np.random.Generator, state: Any) -> None:
    if isinstance(generator, torch.Generator):
        generator.set_state(state)
    else:
        generator.bit_generator.state = state
