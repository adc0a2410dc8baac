"""From a recipe to a trained model, with Lightning.

The recipe says which loss, optimiser and schedule; training stops early by the validation loss, and the best epoch's
weights are kept. After every epoch both splits are measured in eval mode (dropout off), so that the two curves can be
compared: where they part is where the model begins to learn the training rows by heart. The same recipe, data and seed
give the same weights, bit for bit, on the same machine's CPU, even where the training was killed and gone on with.
Nothing is written to disk but the checkpoint, where one is asked for; the test split is never looked at.

A network may bring its own way of learning: `learner(recipe, steps)` returns the Lightning module that trains it and
logs the same four figures, or names others of an `Epoch` as its `figures` (reconstruction, adversarial training,
reinforcement); `after_training(inputs)` is handed the validation inputs once the best weights are in (thresholds);
`one_class` says that it learns from one class alone. Numbers are learned as `regression.py` says, several labels as
`multilabel.py` does.
"""

from __future__ import annotations

import logging
import math
import signal
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import lightning
import torch
from torch import nn

from auditkit.engine.meter import Meter, NoMeter
from auditkit.engine.progress import Progress
from auditkit.errors import AuditError, InputError
from auditkit.subject.bundle import TrainingRecord, import_architecture, versions
from auditkit.subject.data import Schema, Split
from auditkit.subject.model import Model, pick_device
from auditkit.subject.preprocessing import AnyPreprocessing, fit_preprocessing
from auditkit.training.batches import Encoded, by_class, in_order, seed_of, shuffled
from auditkit.training.checkpoints import CheckpointFile, identity
from auditkit.training.hardware import hardware_for, steps_by_lightning
from auditkit.training.keeper import STARTS_OVER, Keeper, Watch
from auditkit.training.learner import Learner
from auditkit.training.mitigation import mitigation_of
from auditkit.training.mitigation.usual import Trained
from auditkit.training.multilabel import check_recipe as check_recipe_of_labels
from auditkit.training.multilabel import label_learner
from auditkit.training.recipe import Recipe, load_recipe
from auditkit.training.regression import check_network, check_recipe, in_its_unit, number_learner
from auditkit.training.spent import Spent
from auditkit.training.transfer import open_source

__all__ = ["DEFAULT", "Learner", "train"]

DEFAULT = {
    "table": "auditkit.training.architectures.mlp:MLP",
    "image": "auditkit.training.architectures.cnn:CNN",
    "text": "auditkit.training.architectures.recurrent:Recurrent",
    "series": "auditkit.training.architectures.recurrent:Recurrent",
}
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
    preprocessing: AnyPreprocessing | None = None,
    learner_of: Callable[..., Learner] | None = None,
    checkpoint: Path | None = None,
    watch: Watch | None = None,
) -> Model:
    """Train on `splits["train"]`, stop by `splits["validation"]`, and return the best epoch's model in eval mode.

    near: a folder in which the architecture's module is looked for too, as the recipe's own. preprocessing: one that
    is known already, in place of one fitted to the training rows. learner_of: (network, recipe, steps) → what trains
    the network, in place of its own or the usual learner; of numbers (network, recipe, steps, the training rows, the
    validation rows) → a `NumberLearner`. checkpoint: a file that is written after every epoch and
    gone on from where it is of this very training; whoever keeps the model removes it. watch: called after each epoch.
    Raises InputError for data that cannot be learned from, AuditError where the training diverges.
    """
    recipe = load_recipe(recipe) if isinstance(recipe, str) else recipe
    numbers, several = schema.task == "regression", schema.task == "multilabel"
    if numbers:
        check_recipe(recipe)
    if several:
        check_recipe_of_labels(recipe)
    progress = progress or Progress(quiet=True)
    meter = meter or NoMeter("the training was not metered")
    fitting, stopping = _rows(splits, "train"), _rows(splits, "validation")
    source = open_source(recipe.pretrained, fitting, schema, near) if recipe.pretrained else None
    if source and not recipe.preprocessing:
        preprocessing = preprocessing or source.preprocessing
    preprocessing = preprocessing or fit_preprocessing(fitting, schema, recipe.preprocessing, near)
    path = recipe.architecture or (source.path if source else _default(preprocessing.modality))
    taken = source.arguments if source else {}
    arguments = preprocessing.arguments() | taken | {"classes": len(schema.classes)} | recipe.arguments
    place = pick_device(device)
    hardware = hardware_for(recipe, place)
    began = time.perf_counter()
    with _seeded(recipe.seed, recipe.threads):
        network = _network(path, arguments, near)
        if source and recipe.pretrained:
            source.into(network, recipe.pretrained.freeze)
            source.remember(network)
        if schema.task == "classification" and not getattr(network, "one_class", False):
            _two_classes(fitting, stopping)
        mitigation = mitigation_of(recipe, fitting, network, path, own=learner_of is not None)
        data, held = mitigation.encode(fitting, preprocessing), Encoded(stopping, preprocessing)
        if recipe.class_weights is not None:
            data.weigh(by_class(fitting, recipe.class_weights))
        batches, make = shuffled(data, recipe.batch_size, recipe.seed), _own(network, "learner")
        steps = math.ceil(len(batches) / recipe.accumulate)
        learner: Learner
        if several and learner_of:
            raise InputError(f"{recipe.name}: this way of learning is for one label a row, not for several")
        if numbers and learner_of:
            check_network(network, tuple(part[:8] for part in held.inputs), data)
            learner = learner_of(network, recipe, steps, data, held)
        elif numbers:
            started = source is not None and any(name.startswith("head.") for name in source.copied)
            learner = number_learner(recipe, network, steps, data, held, started)
        elif several:
            learner = label_learner(recipe, network, steps, fitting, held)
        elif learner_of:
            learner = learner_of(network, recipe, steps)
        else:
            learner = make(recipe, steps) if make else mitigation.learner(network, recipe, steps)
        file, spent = None, Spent(meter)
        if checkpoint and getattr(learner, "resumable", True):
            file = CheckpointFile(checkpoint, identity(recipe, network, data, held))
        elif checkpoint:
            progress.say(STARTS_OVER.format(reason="its learner cannot go on from a checkpoint"))
        keeper = Keeper(recipe, progress, spent, file, watch)
        finished, found = _found(file, keeper, recipe, progress)
        with spent.metered(), _quiet_lightning():
            trainer = lightning.Trainer(
                max_epochs=finished or recipe.epochs,
                precision=recipe.precision,
                deterministic="warn",
                num_sanity_val_steps=0,
                callbacks=[keeper],
                plugins=[file] if file else None,
                logger=False,
                enable_progress_bar=False,
                enable_model_summary=False,
                use_distributed_sampler=False,
                **hardware,
                **steps_by_lightning(learner, recipe),
            )
            fit(trainer, learner, batches, [in_order(data), in_order(held)], found)
            if trainer.global_rank:
                raise SystemExit(0)  # the first of the processes that shared the training keeps the model
            if keeper.best is not None:
                torch.manual_seed(seed_of(recipe.seed, recipe.epochs, 2))
                network.load_state_dict(keeper.best)
                in_its_unit(learner, network)
                trained = Trained(network, {"path": path, "arguments": arguments}, data, held, place)
                network, architecture = mitigation.finish(trained, progress)
    if keeper.best is None:
        raise AuditError(
            f"training {recipe.name!r} diverged in its first epoch (the loss is not a number); "
            "lower learning_rate in the recipe"
        )
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
        energy=spent.total(len(keeper.resumed)).record(),
        device=str(place),
        versions=versions(),
        mitigation=mitigation.record(),
        transfer=source.record(network, held.inputs) if source else {},
        resumed=tuple(keeper.resumed),
    )
    return Model(
        network.to(place).eval(),
        schema.classes,
        preprocessing,
        device=place,
        architecture=architecture,
        record=record.model_dump(mode="json"),
        schema=Schema(
            preprocessing.columns,
            schema.classes,
            schema.label,
            schema.positive,
            schema.sensitive,
            schema.task,
            schema.labels,
        ),
        task=schema.task,
        origin=f"training of {recipe.name}",
        lacks=dict(getattr(network, "limits", {})),
        caveats=record.caveats,
    )


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


def _found(
    file: CheckpointFile | None, keeper: Keeper, recipe: Recipe, progress: Progress
) -> tuple[int | None, Path | None]:
    """The checkpoint to go on from, where there is one, and how many epochs there were where they are all done."""
    if file is None or not file.path.exists():
        return None, None
    try:
        content = file.load_checkpoint()
    except ValueError as problem:
        progress.say(f"{file.path} is not gone on from: {problem}; training begins anew")
        return None, None
    done, finished = content["epoch"] + 1, content["callbacks"][keeper.state_key]["finished"]
    way = "all epochs are done" if finished else f"going on after epoch {done} of {recipe.epochs}"
    progress.say(f"{recipe.name}: {way}, from {file.path}")
    return done if finished else None, file.path


def fit(trainer: lightning.Trainer, learner: lightning.LightningModule, *loaders: Any) -> None:
    """Fit, and let an interrupt be one: Lightning answers Ctrl-C with exit code 1, which here means a failed gate.

    loaders: the training batches, those of the validation, and the checkpoint to go on from.
    """
    handler = signal.getsignal(signal.SIGINT)
    batches, held, found = loaders
    try:
        trainer.fit(learner, batches, held, ckpt_path=found)
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
