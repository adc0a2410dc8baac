"""Assessment: all that is measured of one method's attributions of some rows, beside its nulls, and the verdict.

What does not depend on the method (perturbations, neighbours, the curves of the nulls) is made once for all methods of
the same rows. Copies of the model with weights drawn anew are made one after the other, until the check of
randomisation is decided.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property

import torch
from torch import Tensor

from auditkit.attribution.evaluation.again import Again
from auditkit.attribution.evaluation.curves import STEPS, Curves, area, curves, direction_of, ranks
from auditkit.attribution.evaluation.estimate import Estimate, Floats, estimate
from auditkit.attribution.evaluation.infidelity import Perturbed, infidelity, towards
from auditkit.attribution.evaluation.nulls import MAGNITUDE, MODEL, OWN, RANDOM, input_magnitude, random_attribution
from auditkit.attribution.evaluation.quorum import ALIKE, Check, Measurement, Verdict, quorum, reasons
from auditkit.attribution.evaluation.randomisation import NoWeightsError, Twin, likeness
from auditkit.attribution.evaluation.sensitivity import Neighbours, max_sensitivity, neighbours
from auditkit.attribution.evaluation.stability import stability
from auditkit.attribution.explicands import Explicands, completeness_gap
from auditkit.engine.rows import Scorer

FEWEST_COPIES = 4
"""models with random weights before the check of randomisation may be passed; twice as many before it is failed"""
_UNMOVED = "no row's score differs from its baseline's"


@dataclass(frozen=True, slots=True)
class Effort:
    """How much is spent. steps: of a curve. orders: random orders a row. samples: perturbations a row. neighbours: of a
    row. copies: models with random weights, at most. seeds: further runs of a method that draws."""

    steps: int = STEPS
    orders: int = 4
    samples: int = 32
    neighbours: int = 4
    copies: int = 16
    seeds: int = 2
    confidence: float = 0.95
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Promise:
    """What is known of the method. draws: whether it samples."""

    name: str
    title: str
    complete: bool
    signed: bool
    draws: bool


@dataclass(frozen=True, slots=True)
class CurvePoint:
    """Mean of a curve ("deletion", "insertion") at a share of parts, of the attribution or of a null."""

    curve: str
    of: str
    share: float
    estimate: Estimate


@dataclass(frozen=True, slots=True)
class Assessment:
    """One method's measurements, curves, checks and verdict. reasons: sentences, the verdict first."""

    promise: Promise
    measured: tuple[Measurement, ...]
    curves: tuple[CurvePoint, ...]
    checks: tuple[Check, ...]
    verdict: Verdict
    reasons: tuple[str, ...]
    rows: int


@dataclass
class Ground:
    """Some rows of a model, with what every method's assessment needs of them."""

    engine: Scorer
    explicands: Explicands
    effort: Effort = field(default_factory=Effort)

    @cached_property
    def perturbed(self) -> Perturbed:
        return towards(self.engine, self.explicands, self.effort.samples, self.effort.seed + 1)

    @cached_property
    def neighbours(self) -> Neighbours:
        return neighbours(self.engine, self.explicands, self.effort.neighbours, self.effort.seed + 2)

    @cached_property
    def random(self) -> Tensor:
        return random_attribution(self.explicands, self.effort.orders, self.effort.seed + 3)

    @cached_property
    def magnitude(self) -> Tensor:
        return input_magnitude(self.explicands)

    @cached_property
    def null_curves(self) -> dict[str, Curves]:
        """The curves of a random order and of the input's magnitude."""
        return {RANDOM: self.curves(self.random, False), MAGNITUDE: self.curves(self.magnitude[None], False)}

    def curves(self, values: Tensor, signed: bool) -> Curves:
        """The curves of attributions [k, n, parts]."""
        direction = direction_of(self.explicands, signed)
        order = ranks(values, direction, self.explicands.present, self.effort.seed + 4)
        return curves(self.engine, self.explicands, order, self.effort.steps)

    def mean(self, values: Tensor | Floats, weights: Tensor | None = None) -> Estimate | None:
        """The mean over rows [n], or rows and models [n, m]."""
        table = values.cpu().numpy() if isinstance(values, Tensor) else values
        heavy = None if weights is None else weights.cpu().numpy()
        return estimate(table, heavy, self.effort.confidence, self.effort.seed)


def assess(
    ground: Ground, values: Tensor, promise: Promise, again: Again | None, base: Tensor | None = None
) -> Assessment:
    """Assess a method's attributions, float64 [n, parts], of the ground's rows.

    again: None where it cannot be asked again, so that only what needs one run is measured. base: float64 [n], the
    score from which values add up to the row's, where that is not the baseline's.
    """
    twins = _Twins(ground, again)
    found: list[Measurement] = []
    faithful, points = _faithfulness(ground, values, promise, twins)
    found += faithful
    found += _infidelity(ground, values, twins)
    if promise.complete:
        found += _completeness(ground, values, twins, base)
    found += _randomisation(ground, values, twins)
    found += _sensitivity(ground, values, again, twins)
    if promise.draws and again is not None:
        found.append(_stability(ground, values, again))
    verdict, checks = quorum(found)
    said = reasons(promise.title, verdict, checks)
    return Assessment(promise, tuple(found), tuple(points), checks, verdict, said, len(ground.explicands))


class _Twins:
    """The method on copies of the model with random weights, one copy at a time; the first one's values are kept."""

    def __init__(self, ground: Ground, again: Again | None) -> None:
        self.ground, self.again, self.lacking = ground, again, ""
        self.kept: list[Tensor] = []
        if again is None:
            self.lacking = "the method cannot be asked again"

    def values(self) -> Iterator[Tensor]:
        """float64 [n, parts] of one copy after another."""
        for place in range(self.ground.effort.copies if not self.lacking else 0):
            if place == len(self.kept):
                made = self._made(place)
                if made is None:
                    return
                self.kept.append(made)
            yield self.kept[place]

    @cached_property
    def first(self) -> Tensor | None:
        return next(self.values(), None)

    def explained(self, explicands: Explicands) -> Tensor:
        """The first copy's values for other rows."""
        assert self.again is not None
        twin = Twin(self.ground.engine, self._seed(0))
        return self.again(twin, twin.explicands(explicands), 0)

    def _made(self, place: int) -> Tensor | None:
        assert self.again is not None
        try:
            twin = Twin(self.ground.engine, self._seed(place))
        except NoWeightsError as problem:
            self.lacking = str(problem)
            return None
        return self.again(twin, twin.explicands(self.ground.explicands), 0)

    def _seed(self, place: int) -> int:
        return self.ground.effort.seed + 100 + place


def _faithfulness(
    ground: Ground, values: Tensor, promise: Promise, twins: _Twins
) -> tuple[list[Measurement], list[CurvePoint]]:
    """Areas under the curves, their difference, and the gain in it over each null; the curves themselves."""
    weights = ground.explicands.change.abs()
    found = {OWN: ground.curves(values[None], promise.signed), **ground.null_curves}
    if twins.first is not None:
        found[MODEL] = ground.curves(twins.first[None], promise.signed)
    measured, points = [], []
    own = found[OWN].faithfulness.mean(dim=0)
    for of, part in found.items():
        for metric, curve in (("deletion", part.deletion), ("insertion", part.insertion)):
            each = curve.mean(dim=0)
            measured.append(_measured(metric, of, ground.mean(area(each), weights), _UNMOVED))
            points += _points(ground, metric, of, each, weights)
        score = part.faithfulness.mean(dim=0)
        measured.append(_measured("faithfulness", of, ground.mean(score, weights), _UNMOVED))
        if of != OWN:
            measured.append(_measured("gain", of, ground.mean(own - score, weights), _UNMOVED))
    return measured, points


def _points(ground: Ground, metric: str, of: str, each: Tensor, weights: Tensor) -> list[CurvePoint]:
    made, steps = [], each.shape[1] - 1
    for place in range(steps + 1):
        mean = ground.mean(each[:, place], weights)
        if mean is not None:
            made.append(CurvePoint(metric, of, place / steps, mean))
    return made


def _infidelity(ground: Ground, values: Tensor, twins: _Twins) -> list[Measurement]:
    """The share of squared changes that is not foretold, with the optimal scaling, under perturbations made once."""
    given = {OWN: [values], RANDOM: list(ground.random), MAGNITUDE: [ground.magnitude]}
    if twins.first is not None:
        given[MODEL] = [twins.first]
    measured = []
    for of, parts in given.items():
        missed = torch.stack([infidelity(part, ground.perturbed, scaled=True).values for part in parts]).mean(dim=0)
        squares = (ground.perturbed.drops**2).mean(dim=0)
        share = missed / torch.where(squares == 0, torch.nan, squares)
        measured.append(_measured("infidelity", of, ground.mean(share, squares), "no perturbation moved any score"))
    return measured


def _completeness(ground: Ground, values: Tensor, twins: _Twins, base: Tensor | None) -> list[Measurement]:
    """The relative completeness gap; of nulls, once they are as large as the attribution."""
    change = ground.explicands.scores - (ground.explicands.baseline_scores if base is None else base)
    norm = values.norm(dim=1, keepdim=True)
    given = {OWN: values, RANDOM: _sized(ground.random[0], norm), MAGNITUDE: _sized(ground.magnitude, norm)}
    if twins.first is not None:
        given[MODEL] = _sized(twins.first, norm)
    gaps = {of: completeness_gap(part, change)[1] for of, part in given.items()}
    return [_measured("completeness", of, ground.mean(gap), "there are no rows") for of, gap in gaps.items()]


def _sized(values: Tensor, norm: Tensor) -> Tensor:
    size = values.norm(dim=1, keepdim=True)
    return values * norm / torch.where(size == 0, 1.0, size)


def _randomisation(ground: Ground, values: Tensor, twins: _Twins) -> list[Measurement]:
    """Likeness to the attributions of random models, as many as it takes to tell on which side of the limit it is."""
    present = ground.explicands.present
    columns: list[Tensor] = []
    found: Estimate | None = None
    for place, other in enumerate(twins.values(), start=1):
        columns.append(likeness(values, other, present))
        if place >= FEWEST_COPIES:
            found = ground.mean(torch.stack(columns, dim=1))
            if found is None or found.upper <= ALIKE or (found.lower > ALIKE and place >= 2 * FEWEST_COPIES):
                break
    if columns and found is None:
        found = ground.mean(torch.stack(columns, dim=1))
    why = twins.lacking or "no row has a ranking (fewer than three parts, or attributions all alike)"
    measured = [_measured("randomisation", OWN, found, why)]
    if not columns:
        return measured
    pairs = {RANDOM: (ground.random[0], ground.random[-1]), MAGNITUDE: (ground.magnitude, ground.magnitude)}
    others = twins.kept
    if len(others) > 1:
        pairs[MODEL] = others[0], others[1]
    for of, (first, second) in pairs.items():
        measured.append(_measured("randomisation", of, ground.mean(likeness(first, second, present)), why))
    return measured


def _sensitivity(ground: Ground, values: Tensor, again: Again | None, twins: _Twins) -> list[Measurement]:
    """The largest relative change among neighbours with the same prediction."""
    if again is None:
        return [Measurement("sensitivity", OWN, None, "the method cannot be asked again")]
    near = ground.neighbours
    if not len(near.owner):
        return [Measurement("sensitivity", OWN, None, "no neighbour has the same prediction")]
    drawn = random_attribution(near.explicands, 1, ground.effort.seed + 5)[0]
    pairs = {
        OWN: (values, again(ground.engine, near.explicands, 0)),
        RANDOM: (ground.random[0], drawn),
        MAGNITUDE: (ground.magnitude, input_magnitude(near.explicands)),
    }
    if twins.first is not None:
        pairs[MODEL] = twins.first, twins.explained(near.explicands)
    why = "every attribution is zero"
    return [
        _measured("sensitivity", of, ground.mean(max_sensitivity(before, after, near.owner)), why)
        for of, (before, after) in pairs.items()
    ]


def _stability(ground: Ground, values: Tensor, again: Again) -> Measurement:
    """Rank correlation with runs of other seeds."""
    runs = [again(ground.engine, ground.explicands, 1 + place) for place in range(ground.effort.seeds)]
    present = None if ground.explicands.present is None else ground.explicands.present.cpu().numpy()
    each = stability(values.cpu().numpy(), [run.cpu().numpy() for run in runs], present)
    return _measured("stability", OWN, ground.mean(each), "no row has a ranking")


def _measured(metric: str, of: str, found: Estimate | None, otherwise: str) -> Measurement:
    return Measurement(metric, of, found, "" if found is not None else otherwise)
