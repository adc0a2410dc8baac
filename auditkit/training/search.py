"""A search for hyper-parameters: many trainings of one recipe, each with other settings; the best model is kept.

A recipe's `search` says what may be tried:

    search:
      learning_rate: {low: 0.0001, high: 0.01, log: true}
      arguments.hidden: {choices: [[64], [128, 64]]}
    trials: 20
    objective: balanced_accuracy        # of the validation rows; validation_loss when left out

Without it the learning rate and the weight decay are tried. The first trial is the recipe as it stands; the next few
are drawn at random, and then from a tree-structured Parzen estimator (Bergstra et al. 2011), by Optuna (Akiba et al.
2019, arXiv:1907.10902). A trial that does worse after an epoch than half of those before it is given up. All is
seeded, and the test split is never looked at: settings are chosen by the validation rows, so that what a search finds
is surer of them than of new rows, the more so the more it tried. The training record says how many it tried.

A killed search goes on after its last whole trial, from a folder beside the bundle-to-be. The record has the energy of
all whole trials; what a killed one had spent is not known.
"""

from __future__ import annotations

import json
import math
import os
import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import lightning
import torch
from torch import Tensor, nn

from auditkit.engine.meter import Meter, NoMeter
from auditkit.engine.progress import Progress
from auditkit.errors import AuditError, InputError
from auditkit.subject.bundle import Epoch, load_bundle, save_bundle
from auditkit.subject.data import Schema, Split
from auditkit.subject.model import Model
from auditkit.subject.preprocessing import fit_preprocessing
from auditkit.training.batches import Encoded, seed_of
from auditkit.training.checkpoints import identity
from auditkit.training.recipe import Recipe
from auditkit.training.space import as_it_stands, distributions, settings_of, usual_space, with_settings
from auditkit.training.train import train

RANDOM_TRIALS = 8
"""Trials before the estimator has enough to go by, the first included."""

TRIALS_BEFORE_PRUNING = 5


def search(
    recipe: Recipe,
    splits: Mapping[str, Split],
    schema: Schema,
    *,
    device: str = "auto",
    progress: Progress | None = None,
    meter: Meter | None = None,
    near: Path | None = None,
    folder: Path | None = None,
) -> Model:
    """The best model of `recipe.trials` trainings; its record's `search` says what was tried and what came of it.

    folder: where trials are kept as they end, and gone on from; whoever keeps the model removes it. The rest is as for
    `train`. Raises InputError where no trial can be trained, or Optuna is not there; AuditError where all diverge.
    """
    return _Search(recipe, splits, schema, device, progress, meter, near, folder).run()


class _Search:
    def __init__(
        self,
        recipe: Recipe,
        splits: Mapping[str, Split],
        schema: Schema,
        device: str,
        progress: Progress | None,
        meter: Meter | None,
        near: Path | None,
        folder: Path | None,
    ) -> None:
        if recipe.devices != 1:
            raise InputError("search: several devices cannot share a search; set devices: 1")
        self.optuna = _optuna()
        self.recipe, self.splits, self.schema, self.near, self.device = recipe, splits, schema, near, device
        self.progress, self.meter = progress or Progress(quiet=True), meter or NoMeter("the training was not metered")
        self.space = usual_space(recipe) if recipe.search is None else recipe.search
        self.distributions = distributions(self.space)
        self.sign = 1 if recipe.objective == "validation_loss" else -1
        self.folder, self.identity = folder, ""
        self.trials: list[dict[str, Any]] = []
        self.resumed: list[int] = []
        self.model: Model | None = None
        self.study = self.optuna.create_study(
            direction="minimize" if self.sign == 1 else "maximize",
            pruner=self.optuna.pruners.MedianPruner(TRIALS_BEFORE_PRUNING, n_warmup_steps=max(1, recipe.epochs // 10)),
        )

    def run(self) -> Model:
        """Try, and return the best."""
        self._go_on()
        for number in range(len(self.trials), self.recipe.trials):
            self._try(number)
        return self._best()

    def _try(self, number: int) -> None:
        """Train with other settings, and keep what came of it."""
        seed = seed_of(self.recipe.seed, number, 3) % 2**32
        self.study.sampler = self.optuna.samplers.TPESampler(n_startup_trials=RANDOM_TRIALS, seed=seed)
        if number == 0:
            self.study.enqueue_trial(as_it_stands(self.recipe, self.space))
        trial = self.study.ask(self.distributions)
        drawn = dict(trial.params)
        settings = settings_of(self.space, drawn, self.recipe)
        values: dict[int, float] = {}

        def watch(point: Epoch, trainer: lightning.Trainer) -> None:
            values[point.epoch] = self._objective(point, trainer)
            trial.report(values[point.epoch], point.epoch)
            if trial.should_prune():
                raise self.optuna.TrialPruned

        began, windows = time.perf_counter(), len(self.meter.costs)
        line: dict[str, Any] = {"number": number, "drawn": drawn, "settings": settings, "value": None, "reason": ""}
        earlier = next((old for old in self.trials if old["settings"] == settings), None)
        model = None
        try:
            if earlier is not None:
                line |= {"state": "repeated", "value": earlier["value"], "reason": f"as trial {earlier['number'] + 1}"}
            else:
                model = train(
                    with_settings(self.recipe, settings), self.splits, self.schema,
                    device=self.device, progress=self.progress, meter=self.meter, near=self.near, watch=watch,
                )  # fmt: skip
                line |= {"state": "complete", "value": values[int(model.record["best_epoch"])]}
        except self.optuna.TrialPruned:
            line |= {"state": "pruned", "reason": f"worse than half of the trials after epoch {len(values)}"}
        except InputError as problem:
            line |= {"state": "refused", "reason": str(problem)}
        except AuditError as problem:
            line |= {"state": "diverged", "reason": str(problem)}
        joules = [cost.joules for cost in self.meter.costs[windows:]]
        line |= {
            "epochs": len(values),
            "values": list(values.items()),
            "seconds": time.perf_counter() - began,
            "joules": None if None in joules else math.fsum(joule for joule in joules if joule is not None),
        }
        self._told(trial, line)
        self._keep(line, model)

    def _told(self, trial: Any, line: Mapping[str, Any]) -> None:
        states = self.optuna.trial.TrialState
        if line["value"] is not None:
            self.study.tell(trial, line["value"])
        else:
            self.study.tell(trial, state=states.PRUNED if line["state"] == "pruned" else states.FAIL)

    def _objective(self, point: Epoch, trainer: lightning.Trainer) -> float:
        if self.sign == 1:
            return point.validation_loss
        network, loaders = trainer.lightning_module.network, cast(Any, trainer.val_dataloaders)
        assert isinstance(network, nn.Module)
        return balanced_accuracy(network, loaders[1], trainer.strategy.root_device)

    def _keep(self, line: dict[str, Any], model: Model | None) -> None:
        """Add a trial to the list, its model where it is the best so far, and say how it went."""
        before = self._leader()
        self.trials.append(line)
        leader = self._leader()
        better = leader is line and model is not None
        if better:
            self.model = model
        if self.folder is not None:
            if better and model is not None:
                save_bundle(model, self.folder / f"model-{line['number']}")
            self._write()
            if better and before is not None:
                shutil.rmtree(self.folder / f"model-{before['number']}", ignore_errors=True)
        said = f"{line['value']:.5g}" if line["value"] is not None else line["state"]
        best = f", best {leader['value']:.5g} in trial {leader['number'] + 1}" if leader else ""
        tried = ", ".join(f"{name} {_shown(value)}" for name, value in line["settings"].items())
        named = self.recipe.objective.replace("_", " ")
        self.progress.say(f"trial {line['number'] + 1} of {self.recipe.trials}: {named} {said}{best} ({tried})")

    def _leader(self) -> dict[str, Any] | None:
        done = [line for line in self.trials if line["state"] == "complete"]
        return min(done, key=lambda line: (self.sign * line["value"], line["number"]), default=None)

    def _best(self) -> Model:
        leader = self._leader()
        if leader is None:
            first = next((line for line in self.trials if line["state"] == "refused"), self.trials[0])
            kind = InputError if first["state"] == "refused" else AuditError
            raise kind(f"search: none of {len(self.trials)} trials could be trained; {first['reason']}")
        model = self.model
        if model is None:
            assert self.folder is not None
            kept = self.folder / f"model-{leader['number']}"
            named = json.loads((kept / "model.json").read_text(encoding="utf-8"))["architecture"]["path"]
            model = load_bundle(kept, self.device, named, self.near)
        counts = {state: sum(line["state"] == state for line in self.trials) for state in STATES}
        joules = [line["joules"] for line in self.trials]
        model.record["search"] = {
            "objective": self.recipe.objective,
            "space": {name: tried.model_dump(mode="json", exclude_defaults=True) for name, tried in self.space.items()},
            "tried": len(self.trials),
            **counts,
            "best": leader["number"],
            "resumed": self.resumed,
            "seconds": math.fsum(line["seconds"] for line in self.trials),
            "joules": None if None in joules else math.fsum(joules),
            "trials": [{key: line[key] for key in RECORDED} for line in self.trials],
        }
        return model

    def _go_on(self) -> None:
        """Take back the trials of a killed search, where they are of this very one."""
        if self.folder is None:
            return
        self.identity = self._identity()
        path = self.folder / "trials.json"
        if not path.exists():
            return
        try:
            kept = json.loads(path.read_text(encoding="utf-8"))
            if kept["identity"] != self.identity:
                raise ValueError("they are of another recipe, other data or other versions")
            lines = list(kept["trials"])[: self.recipe.trials]
            for line in lines:
                self._replay(line)
        except (ValueError, KeyError, TypeError) as problem:
            self.progress.say(f"the trials in {self.folder} are not gone on from: {problem}")
            shutil.rmtree(self.folder, ignore_errors=True)
            return
        self.trials, self.resumed = lines, [*kept["resumed"], len(lines)]
        leader = self._leader()
        if leader and not (self.folder / f"model-{leader['number']}").is_dir():
            raise InputError(f"{self.folder}: lacks the model of its best trial; remove the folder to search anew")
        self.progress.say(f"{self.recipe.name}: going on after trial {len(lines)} of {self.recipe.trials}")

    def _replay(self, line: Mapping[str, Any]) -> None:
        states = self.optuna.trial.TrialState
        state = states.COMPLETE if line["value"] is not None else states.FAIL
        state = states.PRUNED if line["state"] == "pruned" else state
        made = self.optuna.trial.create_trial(
            state=state,
            value=line["value"],
            params=line["drawn"],
            distributions=self.distributions,
            intermediate_values={int(epoch): value for epoch, value in line["values"]},
        )
        self.study.add_trial(made)

    def _write(self) -> None:
        assert self.folder is not None
        self.folder.mkdir(parents=True, exist_ok=True)
        beside = self.folder / "trials.json.part"
        kept = {"identity": self.identity, "resumed": self.resumed, "trials": self.trials}
        beside.write_text(json.dumps(kept), encoding="utf-8")
        os.replace(beside, self.folder / "trials.json")

    def _identity(self) -> str:
        fitting, stopping = self.splits["train"], self.splits["validation"]
        preprocessing = fit_preprocessing(fitting, self.schema, self.recipe.preprocessing)
        rows = Encoded(fitting, preprocessing), Encoded(stopping, preprocessing)
        return identity(self.recipe.model_copy(update={"trials": 1}), nn.Identity(), *rows)


STATES = ("complete", "pruned", "repeated", "refused", "diverged")
RECORDED = ("number", "settings", "state", "value", "epochs", "seconds", "joules", "reason")


@torch.no_grad()
def balanced_accuracy(network: nn.Module, batches: Any, place: torch.device) -> float:
    """The mean over the classes that are there of the share of their rows that is found (network in eval mode)."""
    found: list[Tensor] = []
    labels: list[Tensor] = []
    for inputs, truth, _weights in batches:
        found.append(network(*(part.to(place) for part in inputs)).argmax(1).cpu())
        labels.append(truth)
    right, truth = torch.cat(found) == torch.cat(labels), torch.cat(labels)
    return float(torch.stack([right[truth == label].double().mean() for label in truth.unique()]).mean())


def _optuna() -> Any:
    try:
        import optuna
    except ImportError:
        raise InputError('a search for hyper-parameters needs Optuna: pip install "auditkit[tuning]"') from None
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna


def _shown(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)
