"""Explain a layer: how much of the score passes through each of its units, or which inputs move one of them.

    from auditkit.attribution import explain_layer

    found = explain_layer(network, x, "body.3")             # conductance, shaped as the layer's output
    found.completeness_gap                                  # what of f(x) - f(baseline) it misses, row by row
    explain_layer(network, x, "body.3", neuron=5).values    # what of it comes from each input, through unit 5

Conductance and Integrated Gradients of a layer add up to the change in score where everything passes the layer. Where a
shortcut leads around it, the gap is what goes that way. See `layer_paths` for the integrals. How finely these are taken
is found: steps are doubled, for the rows that need it, until another doubling changes nothing that matters.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

import numpy as np
import torch
from torch import Tensor, nn

from auditkit.attribution import baselines
from auditkit.attribution.layer_paths import (
    Inside,
    chosen,
    conductance,
    integrated_gradients,
    internal_influence,
    of_neuron,
)
from auditkit.attribution.method import gradient_allows
from auditkit.attribution.rows_of_tensors import entered, parts_of, shaped, tensors
from auditkit.attribution.targets import Target, contrast_for
from auditkit.engine.batch_size import rows_at_once
from auditkit.engine.plain import PlainModel
from auditkit.engine.rows import Rows, Scorer
from auditkit.engine.space import InputSpace, Points, SpaceError
from auditkit.errors import InputError, nearest

LayerMethod: TypeAlias = Literal["conductance", "integrated_gradients", "internal_influence"]
METHODS: tuple[LayerMethod, ...] = get_args(LayerMethod)
FIRST_STEPS, MOST_STEPS = 16, 1024
TINY = 1e-12


@dataclass(frozen=True, slots=True)
class LayerAttribution:
    """What passes a layer, with its own proof.

    values: shaped as the layer's output, or of one neuron as the inputs (a tensor, or one for each). total, expected:
    float64 [n], what the values add up to, and what they should: the change in score, in the neuron's output, or the
    neuron's conductance. completeness_gap: total - expected; relative_gap: |gap| over |expected|, or over a tenth of
    all that was attributed where that is more; NaN of internal influence, which promises nothing. scores,
    baseline_scores: float64 [n], the target at the row and at the baseline. steps, converged: of each row's integral.
    evaluations: int64 [n], rows sent through the model for each.
    """

    values: Tensor | tuple[Tensor, ...]
    total: Tensor
    expected: Tensor
    completeness_gap: Tensor
    relative_gap: Tensor
    scores: Tensor
    baseline_scores: Tensor
    steps: np.ndarray
    converged: np.ndarray
    evaluations: np.ndarray
    layer: str
    neuron: tuple[int, ...] | None
    method: str
    target: str
    baseline: str
    baseline_digest: str

    def __len__(self) -> int:
        return len(self.scores)


def explain_layer(
    model: nn.Module,
    inputs: Tensor | Sequence[Tensor],
    layer: str,
    *,
    method: LayerMethod = "conductance",
    neuron: int | tuple[int, ...] | None = None,
    target: Target = "predicted",
    baseline: baselines.Given = None,
    reference: Tensor | Sequence[Tensor] | None = None,
    steps: int | None = None,
    tolerance: float = 0.01,
    batch_size: int | None = None,
) -> LayerAttribution:
    """Attribute a model's score to a layer's units, or one unit's part in it to the inputs.

    model, inputs, target, baseline, reference: as for `explain`. layer: the module's dotted name; its output (the first
    of several) is [n, ...]. neuron: one unit, by its place in the output past the batch axis; with "conductance" what
    of each input passes through it to the score, with "integrated_gradients" what of each input moves it. steps: of the
    integral; where None they are doubled from 16, at most to 1024, until the values of a row change by no more than
    `tolerance` relative to their size, all together, and so does what they add up to.

    Raises InputError for a layer that is none, gives no [n, ...] or runs more than once, and where no gradient leads
    from the score to the inputs.

    >>> network = nn.Sequential(nn.Linear(2, 2, bias=False), nn.Linear(2, 1, bias=False)).requires_grad_(False)
    >>> _ = network[0].weight.copy_(torch.eye(2)), network[1].weight.copy_(torch.tensor([[2.0, -1.0]]))
    >>> explain_layer(network, torch.tensor([[3.0, 1.0]]), "0").values.tolist()
    [[6.0, -1.0]]
    """
    _check(method, neuron, steps)
    unit = (neuron,) if isinstance(neuron, int) else neuron
    given = tensors(inputs, "inputs")
    if not len(given[0]):
        raise InputError("inputs: there are no rows to explain")
    known = PlainModel.of(model, given)
    if "layers" in known.lacks:
        raise InputError(f"layer: {known.lacks['layers']}; give the module itself")
    part = known.layer(layer)
    validity = gradient_allows(known, tuple(x[:1] for x in given))
    if validity.status == "refused":
        raise InputError(f"the layer cannot be explained: {validity.reason}")
    with known.evaluating():
        try:
            space = InputSpace.trace(known, given)
        except SpaceError as problem:
            raise InputError(f"the inputs cannot be attributed to: {problem}") from None
        if layer in {slot.module for slot in space.slots}:
            raise InputError(f"layer {layer!r} is where ids enter the model; `explain` attributes to its output")
        engine = Scorer(known, space, batch_size or rows_at_once(known, given))
        usual = None if reference is None else tensors(reference, "reference")
        start, told = baselines.points_of(known, space, baseline, given, usual, 0)
        points, outputs = entered(engine, given)
        contrast, text = contrast_for(target, outputs)
        engine.probe(Rows(points, contrast))
        inside = Inside(engine, part, Rows(points, contrast), start)
        ends = inside.outputs(1.0), inside.outputs(0.0)
        integral, rows_a_step = _integral(method, unit)
        if unit is not None:
            chosen(ends[0][0], unit)
        values, taken, converged, spent = _refined(inside, integral, rows_a_step, steps, tolerance)
        expected, more = _expected(inside, ends, method, unit, taken)
        shown: Tensor | tuple[Tensor, ...] = values[0].to(points[0].dtype)
        if unit is not None:
            partition = parts_of(space, given, None)
            shown = shaped(partition.sums(values), given, partition)
    total = torch.stack([value.flatten(1).sum(dim=1) for value in values]).sum(dim=0)
    size = torch.stack([value.flatten(1).abs().sum(dim=1) for value in values]).sum(dim=0)
    gap = total - expected
    return LayerAttribution(
        values=shown,
        total=total,
        expected=expected,
        completeness_gap=gap,
        relative_gap=gap.abs() / torch.maximum(expected.abs(), size / 10).clamp_min(TINY),
        scores=ends[0][1],
        baseline_scores=ends[1][1],
        steps=taken,
        converged=converged,
        evaluations=spent + more,
        layer=layer,
        neuron=unit,
        method=method,
        target=text,
        baseline=told,
        baseline_digest=baselines.digest(start),
    )


Integral: TypeAlias = Callable[[Inside, int], Points]
End: TypeAlias = tuple[Tensor, Tensor]
"""the layer's outputs and the scores at one end of the way"""


def _integral(method: LayerMethod, unit: tuple[int, ...] | None) -> tuple[Integral, Callable[[int], int]]:
    """What is integrated, and how many rows it takes for so many steps."""
    if unit is not None:
        passing = method == "conductance"
        return lambda some, steps: of_neuron(some, steps, unit, passing), lambda steps: steps
    if method == "conductance":
        return lambda some, steps: (conductance(some, steps),), lambda steps: steps + 1
    if method == "internal_influence":
        return lambda some, steps: (internal_influence(some, steps),), lambda steps: steps
    return lambda some, steps: (integrated_gradients(some, steps),), lambda steps: steps + 2


def _refined(
    inside: Inside, integral: Integral, rows_a_step: Callable[[int], int], steps: int | None, tolerance: float
) -> tuple[Points, np.ndarray, np.ndarray, np.ndarray]:
    """The integral's values, its steps, whether they were enough, and the rows spent, for each row."""
    n = len(inside.rows)
    now = FIRST_STEPS if steps is None else steps
    values = integral(inside, now)
    taken, spent = np.full(n, now), np.full(n, rows_a_step(now))
    if steps is not None:
        return values, taken, np.ones(n, dtype=bool), spent
    pending = torch.arange(n, device=inside.rows.contrast.device)
    while len(pending) and 2 * now <= MOST_STEPS:
        now *= 2
        found = integral(inside.take(pending), now)
        before, after = (
            torch.cat([part.flatten(1) for part in parts], dim=1) for parts in (_of(values, pending), found)
        )
        size, total = after.abs().sum(dim=1), after.sum(dim=1)
        moved = torch.maximum(
            (after - before).abs().sum(dim=1) / size.clamp_min(TINY),
            (total - before.sum(dim=1)).abs() / torch.maximum(total.abs(), size / 10).clamp_min(TINY),
        )
        for value, new in zip(values, found, strict=True):
            value[pending] = new
        host = pending.cpu().numpy()
        taken[host], spent[host] = now, spent[host] + rows_a_step(now)
        pending = pending[moved > tolerance]
    converged = np.ones(n, dtype=bool)
    converged[pending.cpu().numpy()] = False
    return values, taken, converged, spent


def _of(values: Points, rows: Tensor) -> Points:
    return tuple(value[rows] for value in values)


def _expected(
    inside: Inside, ends: tuple[End, End], method: LayerMethod, unit: tuple[int, ...] | None, taken: np.ndarray
) -> tuple[Tensor, np.ndarray]:
    """What values have to add up to, and the rows that it took to know."""
    (end, scores), (begin, at_baseline) = ends
    more = np.full(len(scores), 2)
    if method == "internal_influence":
        expected = torch.full_like(scores, torch.nan)
    elif unit is None:
        expected = scores - at_baseline
    elif method == "integrated_gradients":
        expected = (chosen(end, unit) - chosen(begin, unit)).double()
    else:
        expected = torch.zeros_like(scores)
        for steps in np.unique(taken):
            those = torch.from_numpy(np.flatnonzero(taken == steps)).to(scores.device)
            expected[those] = chosen(conductance(inside.take(those), int(steps)), unit)
        more = more + taken + 1
    return expected, more


def _check(method: str, neuron: int | tuple[int, ...] | None, steps: int | None) -> None:
    if method not in METHODS:
        raise InputError(f"method: there is no {method!r}; {nearest(method, METHODS)}")
    if neuron is not None and method == "internal_influence":
        raise InputError("method: internal influence is of a layer; of one neuron there are the other two")
    if steps is not None and steps < 1:
        raise InputError(f"steps: an integral takes at least 1, not {steps}")
