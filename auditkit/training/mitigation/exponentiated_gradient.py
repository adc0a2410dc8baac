"""Exponentiated gradient (Agarwal et al. 2018, arXiv:1803.02453) around a torch network.

fairlearn's reduction asks again and again for a classifier of other labels and weights, and finds the mixture of the
answers that errs least among those that meet the constraint on the training rows. Here every answer is the network as
trained without the constraint, trained on for a few epochs by the usual learner. After `trainings` answers no further
network is trained: the best of those there are is the answer, so that the search ends with the best mixture of them.

A member decides by its probability, so what is bounded are the mean probabilities of the groups. The mixture is thus a
randomised classifier. What is kept is an average (`architectures.mixture`), which draws nothing and decides at one
half, and the gap of its decisions is not the one that was bounded. So the weights are chosen anew for it: among the
mixtures of two of the networks or of one and the reduction's mixture, in steps of 5 %, that with the fewest errors on
the training rows whose decisions keep the limit there, or the smallest gap where none does. The record has the gaps of
both, and the model says that it is an average.

fairlearn holds every group against everybody, so half the limit there keeps the gap between two groups within it.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import lightning
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from auditkit.engine.progress import Progress
from auditkit.errors import AuditError, InputError
from auditkit.subject.bundle import OWN_ARCHITECTURES
from auditkit.training.architectures.mixture import Mixture
from auditkit.training.batches import in_order, shuffled
from auditkit.training.learner import Learner
from auditkit.training.mitigation.groups import Groups, one_device
from auditkit.training.mitigation.options import Constraint, ExponentiatedGradient
from auditkit.training.mitigation.usual import Trained, Usual
from auditkit.training.recipe import Recipe

Floats = npt.NDArray[np.float64]
MOMENTS = {"demographic_parity": "DemographicParity", "equalized_odds": "EqualizedOdds"}
ROUNDS = 50
"""of the reduction, at most; each asks for one answer and a few more to see how far it is from the best mixture"""
LEAST_WEIGHT = 1e-6
STEPS = 20
"""in which two mixtures are mixed"""
MIXTURE = "auditkit.training.architectures.mixture:Mixture"


class Reduced(Usual):
    """The usual training, then a mixture of networks trained on from it."""

    def __init__(self, options: ExponentiatedGradient, groups: Groups, recipe: Recipe, path: str) -> None:
        if len(groups.classes) != 2:
            raise InputError(
                f"recipe: mitigation: exponentiated_gradient decides between two classes, not {len(groups.classes)}; "
                "choose the method reweighing or adversarial"
            )
        if not path.startswith(OWN_ARCHITECTURES):
            raise InputError(
                f"recipe: mitigation: exponentiated_gradient mixes networks of {OWN_ARCHITECTURES}*, which {path!r} is "
                "not; choose the method reweighing or adversarial"
            )
        if recipe.class_weights is not None:
            raise InputError(
                "recipe: mitigation: exponentiated_gradient sets the weights of rows itself; leave class_weights out"
            )
        one_device(recipe)
        if options.constraint == "equalized_odds":
            groups.need_every_label("equalized odds cannot be held")
        self.options, self.groups, self.recipe = options, groups, recipe
        self._found: dict[str, Any] = {}

    def finish(self, trained: Trained, progress: Progress) -> tuple[nn.Module, dict[str, Any]]:
        """The mixture, its heaviest member last."""
        pool = Pool(trained, self.recipe, self.options, progress)
        try:
            drawn, distance = reduction(pool, self.groups, self.options)
        finally:
            pool.close()
        kept = averaged([*pool.alone(), drawn], pool.chances, self.groups, self.options)
        weights = kept.weights
        members = sorted(weights, key=lambda place: weights[place])
        arguments: dict[str, Any] = {"member": trained.architecture, "members": len(members), "classes": 2}
        mixture = Mixture(**arguments)
        for member, place in zip(mixture.members, members, strict=True):
            member.load_state_dict(pool.states[place])
        mixture.weights.copy_(torch.tensor([weights[place] for place in members]))
        mixture.always.fill_(kept.always)
        constraint = self.options.constraint
        decisions = kept.chances(pool.chances) > 0.5
        self._found = {
            "members": [weights[place] for place in members],
            "always": kept.always,
            "trained": len(pool.states) - 1,
            "distance_from_best": distance,
            "gap_before": gap(pool.chances[0] > 0.5, self.groups, constraint),
            "gap_as_drawn": gap(drawn.chances(pool.chances), self.groups, constraint),
            "gap": gap(decisions, self.groups, constraint),
        }
        return mixture.to(trained.place).eval(), {"path": MIXTURE, "arguments": arguments}

    def record(self) -> dict[str, Any]:
        """Members and their weights, and the gaps on the training rows: as bounded, and as the model decides."""
        made = {**self.options.model_dump(mode="json"), "groups": list(self.groups.names), **self._found}
        return {**made, "caveat": self._caveat()} if self._found else made

    def _caveat(self) -> str:
        found, name = self._found, self.options.constraint.replace("_", " ")
        return (
            f"the model is the average of {len(found['members'])} networks: exponentiated gradient finds a randomised "
            f"classifier, which would draw a network for every decision, and this average draws nothing, with weights "
            f"chosen for its own decisions (on the training rows, {name} difference by "
            f"{' × '.join(self.groups.columns)}: {self.options.limit:g} allowed, {found['gap_as_drawn']:.3f} as drawn, "
            f"{found['gap']:.3f} as decided)"
        )


@dataclass(frozen=True)
class Weights:
    """A mixture: the weights of the pool's networks by place, and the share of always yes."""

    weights: dict[int, float]
    always: float = 0.0

    def chances(self, of: Sequence[Floats]) -> Floats:
        """The mixture's chances of a yes, from those of all networks, float64 [n]."""
        made: Floats = np.sum([weight * of[place] for place, weight in self.weights.items()], axis=0)
        return made + self.always

    def with_share(self, share: float, other: Weights) -> Weights:
        """This much of this mixture, and the rest of another."""
        parts = ((share, self), (1 - share, other))
        weights = {
            place: sum(part * mixture.weights.get(place, 0.0) for part, mixture in parts)
            for place in self.weights | other.weights
        }
        kept = {place: weight for place, weight in weights.items() if weight > LEAST_WEIGHT}
        return Weights(kept, share * self.always + (1 - share) * other.always)


class Pool:
    """The networks trained so far, their weights on the CPU, and their chances of a yes for every training row.

    The first is the network as trained without a constraint, from which all others start.
    """

    def __init__(self, trained: Trained, recipe: Recipe, options: ExponentiatedGradient, progress: Progress) -> None:
        self.start, self.data, self.place = trained.network, copy.copy(trained.data), trained.place
        self.truth = trained.data.labels.numpy()
        self.most = options.trainings
        self.recipe = recipe.model_copy(update={"epochs": options.epochs})
        self.states: list[dict[str, Tensor]] = []
        self.chances: list[Floats] = []
        self._shown: Iterator[int] = progress.track(
            range(self.most + 1), self.most + 1, f"mitigating {recipe.name}", "trainings"
        )
        self._keep(self.start)

    def answer(self, labels: npt.NDArray[np.int64], weights: Floats) -> int:
        """The place of a network trained for these labels and weights, or of the best for them where it is too late."""
        if np.ptp(weights) < 1e-9 * weights.max() and (labels == self.truth).all():
            return 0
        if len(self.states) > self.most:
            errors = [float((weights * np.abs(labels - chances)).sum()) for chances in self.chances]
            return int(np.argmin(errors))
        network = copy.deepcopy(self.start)
        network.load_state_dict(self.states[0])
        self.data.labels = torch.from_numpy(labels)
        self.data.weights = torch.from_numpy(weights / weights.mean()).float()
        self._train(network)
        return self._keep(network)

    def alone(self) -> list[Weights]:
        """Every network by itself."""
        return [Weights({place: 1.0}) for place in range(len(self.states))]

    def close(self) -> None:
        """End what is shown of the progress."""
        if close := getattr(self._shown, "close", None):
            close()

    def _train(self, network: nn.Module) -> None:
        from auditkit.training.train import fit

        batches = shuffled(self.data, self.recipe.batch_size, self.recipe.seed)
        trainer = lightning.Trainer(
            max_epochs=self.recipe.epochs,
            accelerator="gpu" if self.place.type == "cuda" else self.place.type,
            devices=[self.place.index or 0] if self.place.type == "cuda" else 1,
            precision=self.recipe.precision,
            deterministic="warn",
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            gradient_clip_val=self.recipe.gradient_clip,
            accumulate_grad_batches=self.recipe.accumulate,
        )
        steps = -(-len(batches) // self.recipe.accumulate)
        fit(trainer, Learner(network.train(), self.recipe, steps), batches, None, None)

    def _keep(self, network: nn.Module) -> int:
        network = network.to(self.place).eval()
        found = []
        with torch.inference_mode():
            for inputs, *_ in in_order(self.data):
                logits = network(*(part.to(self.place) for part in inputs)).float()
                found.append(logits.softmax(1)[:, 1].cpu())
        chances = torch.cat(found).double().numpy()
        if not np.isfinite(chances).all():
            raise AuditError(
                "exponentiated gradient: a network diverged (its output is not a number); lower learning_rate in the "
                "recipe"
            )
        self.states.append({name: part.detach().cpu().clone() for name, part in network.state_dict().items()})
        self.chances.append(chances)
        next(self._shown, None)
        return len(self.states) - 1


class Member:
    """A network of the pool as fairlearn's reduction wants it: `fit` with weights, `predict` the training rows."""

    def __init__(self, pool: Pool) -> None:
        self.pool, self.place = pool, 0

    def __sklearn_clone__(self) -> Member:
        return Member(self.pool)

    def fit(self, rows: Any, labels: Any, sample_weight: Any) -> Member:
        """Train for these labels and weights. rows: their numbers, which the pool knows anyway."""
        self.place = self.pool.answer(np.array(labels, dtype=np.int64), np.array(sample_weight, dtype=np.float64))
        return self

    def predict(self, rows: Any) -> Floats:
        """The chances of a yes, float64 [n]."""
        return self.pool.chances[self.place]


def reduction(pool: Pool, groups: Groups, options: ExponentiatedGradient) -> tuple[Weights, float]:
    """The mixture that fairlearn finds, and how far at most it is from the best.

    The latter is the duality gap: error and constraint violation beyond that of the best mixture of such networks.
    """
    from fairlearn import reductions

    moment = getattr(reductions, MOMENTS[options.constraint])(difference_bound=options.limit / 2)
    search = reductions.ExponentiatedGradient(Member(pool), moment, max_iter=ROUNDS)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        search.fit(np.arange(len(groups.codes))[:, None], groups.labels, sensitive_features=groups.codes)
    weights: dict[int, float] = {}
    always = never = 0.0
    for at, weight in search.weights_.items():
        chosen = search.predictors_[at]
        if weight < LEAST_WEIGHT:
            continue
        if isinstance(chosen, Member):
            weights[chosen.place] = weights.get(chosen.place, 0.0) + float(weight)
        elif chosen.predict([[0]])[0]:
            always += float(weight)
        else:
            never += float(weight)
    total = sum(weights.values()) + always + never
    if not weights:
        raise AuditError(
            "exponentiated gradient: the constraint is met only by giving everybody the same decision; raise limit or "
            "trainings"
        )
    mixture = Weights({place: weight / total for place, weight in weights.items()}, always / total)
    return mixture, float(search.best_gap_)


def averaged(
    mixtures: Sequence[Weights], chances: Sequence[Floats], groups: Groups, options: ExponentiatedGradient
) -> Weights:
    """The mixture of two mixtures whose decisions at one half err least among those that keep the limit.

    chances: of the networks, for the training rows. Where none keeps it, the one with the smallest gap.
    """
    cells = groups.codes * len(groups.classes) + groups.labels
    member = np.zeros((len(cells), groups.cells.size), dtype=np.float32)
    member[np.arange(len(cells)), cells] = 1
    made = [mixture.chances(chances).astype(np.float32) for mixture in mixtures]
    shares = np.arange(STEPS + 1, dtype=np.float32)[:, None] / STEPS
    best, kept = (True, np.inf, np.inf), mixtures[-1]
    for one, other in combinations(range(len(mixtures)), 2):
        decisions = (made[other] + shares * (made[one] - made[other]) > 0.5).astype(np.float32)
        for step, yes in enumerate(np.rint(decisions @ member).reshape(-1, *groups.cells.shape)):
            errors = float(yes[:, 0].sum() + (groups.cells - yes)[:, 1].sum())
            wide = gap_of_counts(yes, groups.cells, options.constraint)
            found = (wide > options.limit, errors if wide <= options.limit else wide, wide)
            if found < best:
                best, kept = found, mixtures[one].with_share(step / STEPS, mixtures[other])
    return kept


def gap(chances: npt.NDArray[Any], groups: Groups, constraint: Constraint) -> float:
    """The largest difference between two groups' mean chance of a yes; for equalized odds the worse label's.

    >>> groups = Groups(("g",), ("a", "b"), np.array([0, 0, 1, 1]), np.array([0, 1, 0, 1]), ("no", "yes"))
    >>> gap(np.array([0.0, 1.0, 0.5, 1.0]), groups, "demographic_parity")
    0.25
    """
    cells = groups.codes * len(groups.classes) + groups.labels
    yes = np.bincount(cells, chances.astype(np.float64), minlength=groups.cells.size)
    return gap_of_counts(yes.reshape(groups.cells.shape), groups.cells, constraint)


def gap_of_counts(yes: npt.NDArray[Any], rows: npt.NDArray[np.int64], constraint: Constraint) -> float:
    """The same from counts by group and label, [groups, labels]: how many of the rows are a yes."""
    if constraint == "demographic_parity":
        yes, rows = yes.sum(axis=1, keepdims=True), rows.sum(axis=1, keepdims=True)
    rates = yes / rows
    return float((rates.max(axis=0) - rates.min(axis=0)).max())
