"""From a recipe to a trained model, with Lightning.

AdamW, a cosine schedule with a short warm-up, early stopping on the validation loss, the best epoch's weights kept.
After every epoch both splits are measured in eval mode (dropout off), so that the two curves can be compared: where
they part is where the model begins to learn the training rows by heart. The same recipe, data and seed give the same
weights, bit for bit, on the same machine's CPU. Nothing is written to disk; the test split is never looked at.

A network may bring its own way of learning: `learner(recipe, steps)` returns the Lightning module that trains it and
logs the same four figures (reconstruction, adversarial training, reinforcement); `after_training(inputs)` is handed
the validation inputs once the best weights are in (thresholds); `one_class` says that it learns from one class alone.
"""

from __future__ import annotations

import logging
import math
import signal
import threading
import time
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import lightning
import torch
from lightning.pytorch.callbacks import Callback, EarlyStopping
from torch import Tensor, nn

from auditkit.engine.meter import Meter, NoMeter
from auditkit.engine.progress import Progress
from auditkit.errors import AuditError, InputError
from auditkit.subject.bundle import Epoch, TrainingRecord, import_architecture, versions
from auditkit.subject.data import Schema, Split
from auditkit.subject.model import Model, pick_device
from auditkit.subject.preprocessing import fit_preprocessing
from auditkit.training.batches import Encoded, in_order, shuffled
from auditkit.training.recipe import Recipe, load_recipe

DEFAULT = {"table": "auditkit.training.architectures.mlp:MLP", "image": "auditkit.training.architectures.cnn:CNN"}
"""What is trained on each kind of rows where the recipe names no architecture."""


def train(
    recipe: Recipe | str,
    splits: Mapping[str, Split],
    schema: Schema,
    *,
    device: str = "auto",
    progress: Progress | None = None,
    meter: Meter | None = None,
    near: Path | None = None,
) -> Model:
    """Train on `splits["train"]`, stop by `splits["validation"]`, and return the best epoch's model in eval mode.

    near: a folder in which the architecture's module is looked for too, as the recipe's own.
    Raises InputError for data that cannot be learned from, AuditError where the training diverges.
    """
    recipe = load_recipe(recipe) if isinstance(recipe, str) else recipe
    progress = progress or Progress(quiet=True)
    meter = meter or NoMeter("the training was not metered")
    fitting, stopping = _rows(splits, "train"), _rows(splits, "validation")
    preprocessing = fit_preprocessing(fitting, schema, recipe.preprocessing)
    path = recipe.architecture or _default(preprocessing.modality)
    arguments = preprocessing.arguments() | {"classes": len(schema.classes)} | recipe.arguments
    place = pick_device(device)
    began = time.perf_counter()
    with _seeded(recipe.seed, recipe.threads):
        network = _network(path, arguments, near)
        if not getattr(network, "one_class", False):
            _two_classes(fitting, stopping)
        data, held = Encoded(fitting, preprocessing), Encoded(stopping, preprocessing)
        steps, make = max(1, len(data) // recipe.batch_size), _own(network, "learner")
        learner = make(recipe, steps) if make else Learner(network, recipe, steps)
        keeper = Keeper(recipe, progress)
        with meter.phase("training") as cost, _quiet_lightning():
            trainer = lightning.Trainer(
                max_epochs=recipe.epochs,
                accelerator="gpu" if place.type == "cuda" else place.type,
                devices=[place.index or 0] if place.type == "cuda" else 1,
                precision=recipe.precision,
                deterministic="warn",
                num_sanity_val_steps=0,
                callbacks=[keeper, EarlyStopping("validation_loss", patience=recipe.patience, check_finite=True)],
                logger=False,
                enable_checkpointing=False,
                enable_progress_bar=False,
                enable_model_summary=False,
            )
            loaders = [in_order(data), in_order(held)]
            _fit(trainer, learner, shuffled(data, recipe.batch_size, recipe.seed), loaders)
    if keeper.best is None:
        raise AuditError(
            f"training {recipe.name!r} diverged in its first epoch (the loss is not a number); "
            "lower learning_rate in the recipe"
        )
    network.load_state_dict(keeper.best)
    if finish := _own(network, "after_training"):
        network.cpu().eval()
        with torch.no_grad():
            finish(held.inputs)
    record = TrainingRecord(
        recipe=recipe.model_dump(mode="json"),
        seed=recipe.seed,
        epochs=len(keeper.curves),
        best_epoch=keeper.best_epoch,
        seconds=time.perf_counter() - began,
        rows={"train": len(fitting), "validation": len(stopping)},
        curves=tuple(keeper.curves),
        energy=cost.record(),
        device=str(place),
        versions=versions(),
    )
    return Model(
        network.to(place).eval(),
        schema.classes,
        preprocessing,
        device=place,
        architecture={"path": path, "arguments": arguments},
        record=record.model_dump(mode="json"),
        schema=Schema(preprocessing.columns, schema.classes, schema.label, schema.positive, schema.sensitive),
        origin=f"training of {recipe.name}",
    )


class Learner(lightning.LightningModule):
    """Cross-entropy on a classifier. Validation loaders: 0 the training rows, 1 the validation rows."""

    def __init__(self, network: nn.Module, recipe: Recipe, steps: int) -> None:
        super().__init__()
        self.network, self.recipe, self.steps = network, recipe, steps
        self.loss = nn.CrossEntropyLoss(label_smoothing=recipe.label_smoothing)

    def training_step(self, batch: tuple[tuple[Tensor, ...], Tensor], _: int) -> Tensor:
        """The smoothed loss of a batch."""
        inputs, labels = batch
        return self.loss(self.network(*inputs), labels)

    def validation_step(self, batch: tuple[tuple[Tensor, ...], Tensor], _: int, dataloader_idx: int = 0) -> None:
        """Loss and accuracy, averaged over the rows of a split."""
        inputs, labels = batch
        logits = self.network(*inputs).float()
        split = ("train", "validation")[dataloader_idx]
        figures = {
            f"{split}_loss": nn.functional.cross_entropy(logits, labels),
            f"{split}_accuracy": (logits.argmax(1) == labels).float().mean(),
        }
        self.log_dict(figures, batch_size=len(labels), add_dataloader_idx=False)

    def configure_optimizers(self) -> Any:
        """AdamW; a linear warm-up, then half a cosine down to zero. No decay on biases and normalisation."""
        decayed = [parameter for parameter in self.network.parameters() if parameter.ndim > 1]
        others = [parameter for parameter in self.network.parameters() if parameter.ndim <= 1]
        groups: list[dict[str, Any]] = [{"params": decayed}, {"params": others, "weight_decay": 0.0}]
        optimizer = torch.optim.AdamW(groups, lr=self.recipe.learning_rate, weight_decay=self.recipe.weight_decay)
        total, rise = self.steps * self.recipe.epochs, self.steps * min(self.recipe.warmup, self.recipe.epochs / 2)

        def share(step: int) -> float:
            if step < rise:
                return (step + 1) / (rise + 1)
            return 0.5 * (1 + math.cos(math.pi * min(1.0, (step - rise) / max(1.0, total - rise))))

        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, share)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


class Keeper(Callback):
    """Keeps the curves and the best epoch's weights, in memory, and shows how far the training has come."""

    def __init__(self, recipe: Recipe, progress: Progress) -> None:
        self.curves: list[Epoch] = []
        self.best: dict[str, Tensor] | None = None
        self.best_epoch = 0
        self._lowest = math.inf
        self._shown: Iterator[int] = progress.track(
            range(recipe.epochs), recipe.epochs, f"training {recipe.name}", "epochs"
        )

    def on_fit_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        next(self._shown, None)

    def on_validation_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        figures = {name: float(value) for name, value in trainer.callback_metrics.items()}
        if not all(map(math.isfinite, figures.values())):
            return
        epoch = trainer.current_epoch + 1
        rate = trainer.optimizers[0].param_groups[0]["lr"]
        self.curves.append(Epoch(epoch=epoch, learning_rate=rate, **figures))
        if figures["validation_loss"] < self._lowest:
            self._lowest, self.best_epoch = figures["validation_loss"], epoch
            network = pl_module.network
            assert isinstance(network, nn.Module)
            self.best = {name: tensor.detach().cpu().clone() for name, tensor in network.state_dict().items()}
        next(self._shown, None)

    def teardown(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, stage: str) -> None:
        close = getattr(self._shown, "close", None)
        if close:
            close()


def _rows(splits: Mapping[str, Split], name: str) -> Split:
    if name not in splits:
        raise InputError(f"training needs a {name!r} split; name its file under data in the recipe")
    return splits[name]


def _two_classes(*splits: Split) -> None:
    """Refuse rows that a classifier cannot learn from."""
    for split in splits:
        present = {split.schema.classes[label] for label in set(split.labels.tolist())}
        if len(present) < 2:
            raise InputError(
                f"split {split.name!r} ({split.origin or 'in memory'}): label {split.schema.label!r} has one class "
                f"only ({', '.join(present)}); a classifier needs rows of at least two"
            )


def _default(modality: str) -> str:
    if modality not in DEFAULT:
        raise InputError(f"recipe: rows are {modality}, for which no architecture is the usual one; name architecture")
    return DEFAULT[modality]


def _own(network: nn.Module, name: str) -> Any:
    """A method that a network may bring; None where it does not."""
    return getattr(network, name, None)


def _network(path: str, arguments: dict[str, Any], near: Path | None) -> nn.Module:
    kind = import_architecture(path, near)
    try:
        return kind(**arguments)
    except Exception as problem:
        given = ", ".join(arguments)
        raise InputError(f"architecture {path!r} cannot be built from {given}: {problem}") from None


def _fit(trainer: lightning.Trainer, learner: Learner, *loaders: Any) -> None:
    """Fit, and let an interrupt be one: Lightning answers Ctrl-C with exit code 1, which here means a failed gate."""
    handler = signal.getsignal(signal.SIGINT)
    try:
        trainer.fit(learner, *loaders)
    except SystemExit:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGINT, handler)
        raise KeyboardInterrupt from None


@contextmanager
def _seeded(seed: int, threads: int | None) -> Iterator[None]:
    """torch's random state and threads set inside and restored after, as is its choice of deterministic algorithms."""
    before = torch.get_num_threads()
    deterministic = torch.are_deterministic_algorithms_enabled()
    warn_only = torch.is_deterministic_algorithms_warn_only_enabled()
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        torch.set_num_threads(threads or before)
        try:
            yield
        finally:
            torch.use_deterministic_algorithms(deterministic, warn_only=warn_only)
            torch.set_num_threads(before)


@contextmanager
def _quiet_lightning() -> Iterator[None]:
    """Lightning without its tips, hardware lines and advice on workers; errors are still raised."""
    loggers = [logging.getLogger(name) for name in ("lightning.pytorch", "lightning.fabric")]
    levels = [logger.level for logger in loggers]
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="lightning")
        warnings.filterwarnings("ignore", category=FutureWarning)
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        try:
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)
