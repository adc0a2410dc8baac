"""Explain any module or callable on tensors; each attribution carries what is needed to believe it, or not to.

    from auditkit.attribution import explain

    found = explain(network, x, method="integrated_gradients", target="predicted")
    found.values            # shaped as x
    found.completeness_gap  # how far the values are from adding up to f(x) - f(baseline), row by row

Numbers are explained where they are, ids (of words, of categories) where their embeddings are, summed over each
vector. The model is left as it was found. Rows are taken in chunks, so that what is needed beyond inputs and outputs
does not grow with their number.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from auditkit.attribution import baselines
from auditkit.attribution.collected import Collected
from auditkit.attribution.explicands import Baseline, completeness_gap
from auditkit.attribution.method import Validity
from auditkit.attribution.pacing import Chosen, pace_for
from auditkit.attribution.partition import Partition
from auditkit.attribution.registry import METHODS
from auditkit.attribution.rows_of_tensors import Chunk, background_of, in_chunks, parts_of, shaped, tensors
from auditkit.attribution.settings import Settings
from auditkit.attribution.targets import Target
from auditkit.engine.batch_size import rows_at_once
from auditkit.engine.plain import PlainModel
from auditkit.engine.rows import Scorer
from auditkit.engine.space import InputSpace, Points, SpaceError
from auditkit.errors import InputError, nearest

if TYPE_CHECKING:
    import plotly.graph_objects as go


@dataclass(frozen=True, slots=True)
class Recipe:
    """What an attribution was made with, so that it can be made again.

    contrast: [n, outputs], the weights of outputs that make the target. baseline: its points, [1, ...] or [n, ...].
    background: points of reference rows; interventional: whether the method compared each row with them, in place of
    the baseline. partition: which number belongs to which part.
    """

    contrast: Tensor
    baseline: Points
    background: Points | None
    partition: Partition
    settings: Settings
    interventional: bool = False


@dataclass(frozen=True, slots=True)
class Attribution:
    """What a method found, with its own proof.

    values: shaped as the inputs, a tensor or one for each input; with groups, each number has its group's value.
    by_part: float64 [n, parts], one value for each number of a row, or each group. standard_error: as by_part, of
    methods that sample. scores, baseline_scores: float64 [n], the target at the row and at the baseline.
    completeness_gap, relative_gap: float64 [n], what is missing to `scores - baseline_scores`; NaN for methods that
    promise no completeness. evaluations: int64 [n], rows sent through the model for each. batch_error: the largest
    relative difference between a row's answer in company and alone. steps, converged: of methods that iterate. pace:
    how the model was run, see `auditkit.engine.pace`. recipe: what it was made with, for `evaluate`.
    """

    values: Tensor | tuple[Tensor, ...]
    by_part: Tensor
    standard_error: Tensor | None
    scores: Tensor
    baseline_scores: Tensor
    completeness_gap: Tensor
    relative_gap: Tensor
    evaluations: np.ndarray
    method: str
    target: str
    baseline: str
    baseline_digest: str
    dtype: str
    forwards: int
    backwards: int
    batch_error: float
    steps: np.ndarray | None = None
    converged: np.ndarray | None = None
    validity: Validity = Validity()  # noqa: RUF009
    pace: str = "as given"
    recipe: Recipe | None = None

    def __len__(self) -> int:
        return len(self.scores)

    def figure(self, row: int = 0, names: Sequence[str] | None = None, inputs: Tensor | None = None) -> go.Figure:
        """The attribution of one row. names: of its parts. inputs: the rows, to be shown beside pictures."""
        from auditkit.attribution.plain_figures import explained

        return explained(self, row, names, inputs)


def explain(
    model: nn.Module | Callable[..., Tensor],
    inputs: Tensor | Sequence[Tensor],
    *,
    target: Target = "predicted",
    method: str = "integrated_gradients",
    baseline: baselines.Given = None,
    reference: Tensor | Sequence[Tensor] | None = None,
    groups: Tensor | Sequence[Tensor] | None = None,
    batch_size: int | None = None,
    pace: Chosen = "measured",
    **settings: Any,
) -> Attribution:
    """Attribute a model's score to its inputs.

    model: a module, or a callable from tensors to outputs [n] or [n, outputs] (methods without gradients only, unless
    its answer has a graph). inputs: one tensor [n, ...] or several; integers must be looked up in `nn.Embedding`
    modules. target: see `targets.Target`. method: one of `methods()`. baseline, reference: see `baselines`. groups:
    integer tensors, shaped as one row of the inputs, that say which numbers are attributed to together. settings:
    tolerance, maximum_steps, samples, noise, layer, window, seed (see `settings.Settings`). pace: "measured" runs long
    work in the fastest of a few ways that change no number by more than a tenth of the tolerance, "as given" never.

    Raises InputError where the method is refused for this model, saying why.

    >>> linear = nn.Linear(2, 1).requires_grad_(False)
    >>> _ = linear.weight.copy_(torch.tensor([[2.0, -1.0]]))
    >>> explain(linear, torch.tensor([[3.0, 1.0]])).values.tolist()
    [[6.0, -1.0]]
    """
    if method not in METHODS:
        raise InputError(f"method: there is no {method!r}; {nearest(method, METHODS)}")
    given = tensors(inputs, "inputs")
    if not len(given[0]):
        raise InputError("inputs: there are no rows to explain")
    chosen = _settings(settings)
    known = PlainModel.of(model, given)
    validity = METHODS[method].valid_for(known, tuple(part[:1] for part in given))
    if validity.status == "refused":
        raise InputError(f"{METHODS[method].title} is refused for this model: {validity.reason}")
    with known.evaluating(), ExitStack() as stack:
        try:
            space = InputSpace.trace(known, given)
        except SpaceError as problem:
            raise InputError(f"the inputs cannot be attributed to: {problem}") from None
        engine = Scorer(known, space, batch_size or rows_at_once(known, given))
        usual = None if reference is None else tensors(reference, "reference")
        points, told = baselines.points_of(known, space, baseline, given, usual, chosen.seed)
        partition = parts_of(space, given, groups)
        background = None if usual is None else background_of(space, given, usual, chosen.seed)
        made_with = points
        slopes = METHODS[method].slopes and "gradients" not in known.lacks
        paced = pace_for(pace, known, engine, given, slopes, chosen.tolerance)
        compared = Baseline(points, told, 0)
        chunks = in_chunks(engine, given, target, compared, partition, METHODS[method], chosen, background)
        known.pace = paced.pace
        stack.enter_context(paced.pace.of(known.module))
        found, target_text = _collected(chunks, given, partition)
    interventional = background is not None and METHODS[method].against == "reference rows"
    if background is not None and interventional:
        points, told = background, f"the average score of {len(background[0]):,} reference rows"
    elif METHODS[method].against == "nothing":
        told = "nothing: the score itself is divided"
    gap, relative = completeness_gap(found["by_part"], found["scores"] - found["base"])
    if not METHODS[method].complete:
        gap, relative = torch.full_like(gap, torch.nan), torch.full_like(gap, torch.nan)
    values = tuple(found[f"value {place}"] for place in range(len(given)))
    return Attribution(
        values=values[0] if len(values) == 1 else values,
        by_part=found["by_part"],
        standard_error=found["errors"],
        scores=found["scores"],
        baseline_scores=found["base"],
        completeness_gap=gap,
        relative_gap=relative,
        evaluations=found["evaluations"],
        method=method,
        target=target_text,
        baseline=told,
        baseline_digest=baselines.digest(points),
        dtype=str(points[0].dtype).removeprefix("torch."),
        forwards=engine.forwards,
        backwards=engine.backwards,
        batch_error=engine.batch_error,
        steps=found["steps"],
        converged=found["converged"],
        validity=validity,
        pace=str(paced),
        recipe=Recipe(found["contrast"], made_with, background, partition, chosen, interventional),
    )


def methods() -> list[str]:
    """The names of all methods; `METHODS` says what each promises."""
    return list(METHODS)


def preflight(model: nn.Module | Callable[..., Tensor], inputs: Tensor | Sequence[Tensor]) -> dict[str, Validity]:
    """For every method, whether it may be used on this model, and why not (or not fully), before anything is made.

    inputs: a row or more of what the model takes.
    """
    given = tensors(inputs, "inputs")
    known = PlainModel.of(model, given)
    row = tuple(part[:1] for part in given)
    return {name: method.valid_for(known, row) for name, method in METHODS.items()}


def _settings(given: dict[str, Any]) -> Settings:
    known = Settings.__dataclass_fields__
    for name in given:
        if name not in known:
            raise InputError(f"explain: there is no setting {name!r}; {nearest(name, known)}")
    return Settings(**given)


def _collected(chunks: Iterator[Chunk], given: tuple[Tensor, ...], partition: Partition) -> tuple[Collected, str]:
    """What was found of all rows, and the target in words."""
    found = Collected(len(given[0]))
    for chunk in chunks:
        part, rows = chunk.found, chunk.explicands
        shown = shaped(part.values, tuple(own[chunk.some] for own in given), partition)
        values = (shown,) if isinstance(shown, Tensor) else shown
        found.put(
            chunk.some,
            by_part=part.values,
            errors=part.errors,
            scores=rows.scores,
            base=rows.baseline_scores if part.base is None else part.base,
            contrast=rows.given.contrast,
            evaluations=part.evaluations,
            steps=part.steps,
            converged=part.converged,
            **{f"value {place}": value for place, value in enumerate(values)},
        )
    return found, chunk.target
