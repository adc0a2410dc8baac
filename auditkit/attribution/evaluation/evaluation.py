"""Evaluate an attribution: is it believable, and why?

    from auditkit.attribution import evaluate, explain

    found = explain(network, x, method="integrated_gradients")
    judged = evaluate(found, network, x)
    judged.verdict      # "believable", "not believable" or "undecided"
    judged.reasons      # why, in sentences
    judged.to_pandas()  # every figure with its interval, beside the three nulls

The method is asked again, with the settings it had, for models with random weights, for neighbours of the rows and for
other seeds; a sample of the rows is enough for that. The model is left as it was found.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from auditkit.attribution.evaluation.again import Again, Foreign, by_method, from_elsewhere
from auditkit.attribution.evaluation.agreement import sign_agreement, spearman, top_agreement
from auditkit.attribution.evaluation.assessment import Assessment, CurvePoint, Effort, Ground, Promise, assess
from auditkit.attribution.evaluation.quorum import Check, Measurement, Verdict
from auditkit.attribution.explanation import Attribution, Recipe
from auditkit.attribution.explicands import Baseline, Explicands, baseline_scores
from auditkit.attribution.registry import METHODS
from auditkit.attribution.rows_of_tensors import entered
from auditkit.engine.batch_size import rows_at_once
from auditkit.engine.plain import PlainModel
from auditkit.engine.rows import Rows, Scorer
from auditkit.engine.space import InputSpace, Points, SpaceError
from auditkit.errors import InputError, nearest

if TYPE_CHECKING:
    import pandas as pd
    import plotly.graph_objects as go

ROWS = 32


@dataclass(frozen=True, slots=True)
class Evaluation:
    """The verdict on an attribution and what it rests on.

    reasons: sentences, the verdict first. checks: of the quorum. measured: every figure, of the attribution and of its
    nulls. curves: mean deletion and insertion curves. rows: how many were evaluated. forwards, backwards: rows sent
    through models for it.
    """

    method: str
    title: str
    verdict: Verdict
    reasons: tuple[str, ...]
    checks: tuple[Check, ...]
    measured: tuple[Measurement, ...]
    curves: tuple[CurvePoint, ...]
    rows: int
    forwards: int
    backwards: int

    def to_pandas(self) -> pd.DataFrame:
        """One line per metric and per attribution or null: metric, of, value, lower, upper, n, reason."""
        import pandas as pd

        from auditkit.attribution.evaluation.tables import measured_records

        return pd.DataFrame(measured_records(self.measured))

    def figure(self) -> go.Figure:
        """Deletion and insertion beside the nulls'."""
        import pyarrow as pa

        from auditkit.attribution.evaluation.figures import faithfulness
        from auditkit.attribution.evaluation.tables import curve_records

        lines = curve_records(self.method, self.curves)
        return faithfulness(pa.Table.from_pylist(lines), {self.method: self.title}, self.method)


def evaluate(
    attribution: Attribution,
    model: nn.Module | Callable[..., Tensor],
    inputs: Tensor | Sequence[Tensor],
    *,
    rows: int = ROWS,
    others: Sequence[Attribution] = (),
    again: Foreign | None = None,
    batch_size: int | None = None,
    **effort: Any,
) -> Evaluation:
    """Hold an attribution against what it claims, beside three nulls, and give a verdict with reasons.

    attribution: of `explain`, for this model and these inputs [n, ...]. rows: how many of them are evaluated, drawn
    with the seed; eight are the fewest that can be judged. others: attributions of the same rows by other methods, to
    be compared with. again: for values that were put into an attribution from elsewhere, how they are made, see
    `again.Foreign`. effort: steps, orders, samples, neighbours, copies, seeds, confidence, seed, see
    `assessment.Effort`.

    Raises InputError where the model and the inputs are not those that were explained.

    Source: the checks name theirs; for judging by several at once, Tomsett et al., "Sanity Checks for Saliency
    Metrics", AAAI 2020, arXiv:1912.01451, find that single metrics do not agree.

    >>> from auditkit.attribution import explain
    >>> _ = torch.manual_seed(0)
    >>> network, x = nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 2)), torch.randn(16, 6)
    >>> judged = evaluate(explain(network, x), network, x)
    >>> [check.status for check in judged.checks if check.name == "completeness"], judged.rows
    (['pass'], 16)
    """
    spent = _effort(effort)
    if attribution.recipe is None:
        raise InputError("evaluate: the attribution does not say how it was made; give one that explain() returned")
    given = (inputs,) if isinstance(inputs, Tensor) else tuple(inputs)
    if len(given[0]) != len(attribution):
        raise InputError(f"evaluate: {len(given[0])} rows of inputs, but {len(attribution)} were explained")
    known = PlainModel.of(model, given)
    with known.evaluating():
        try:
            space = InputSpace.trace(known, given)
        except SpaceError as problem:
            raise InputError(f"the inputs cannot be attributed to: {problem}") from None
        engine = Scorer(known, space, batch_size or rows_at_once(known, given))
        chosen = _drawn(len(attribution), rows, spent.seed).to(given[0].device)
        explicands = _explicands(engine, attribution, attribution.recipe, given, chosen)
        ground, promise = Ground(engine, explicands, spent), _promise(attribution, again)
        values, base = attribution.by_part[chosen], attribution.baseline_scores[chosen]
        found = assess(ground, values, promise, _asked(attribution, attribution.recipe, again), base)
    compared = [part for other in others for part in _compared(ground, values, other, chosen)]
    return _evaluation(found, compared, engine)


def _evaluation(found: Assessment, compared: list[Measurement], engine: Scorer) -> Evaluation:
    return Evaluation(
        method=found.promise.name,
        title=found.promise.title,
        verdict=found.verdict,
        reasons=found.reasons,
        checks=found.checks,
        measured=(*found.measured, *compared),
        curves=found.curves,
        rows=found.rows,
        forwards=engine.forwards,
        backwards=engine.backwards,
    )


def _drawn(available: int, wanted: int, seed: int) -> Tensor:
    """Which rows are evaluated: a seeded draw, in order."""
    order = torch.randperm(available, generator=torch.Generator().manual_seed(seed))
    return order[:wanted].sort().values


def _explicands(
    engine: Scorer, attribution: Attribution, recipe: Recipe, given: tuple[Tensor, ...], chosen: Tensor
) -> Explicands:
    """The chosen rows as they were explained. Raises InputError where the model does not score them as it did."""
    points, outputs = entered(engine, tuple(part[chosen] for part in given))
    contrast = recipe.contrast[chosen]
    if outputs.shape != contrast.shape:
        raise InputError(f"evaluate: the model gives {outputs.shape[1]} outputs, the explained one {contrast.shape[1]}")
    rows = Rows(points, contrast)
    scores = (outputs * contrast).sum(dim=1).double()
    if not torch.allclose(scores, attribution.scores[chosen], rtol=1e-3, atol=1e-4):
        raise InputError("evaluate: the model scores these rows otherwise than when they were explained")
    if "gradients" not in engine.model.lacks:
        engine.probe(rows)
    baseline = Baseline(_removed_to(recipe), attribution.baseline, 0)
    baseline = replace(baseline, points=baseline.take(chosen))
    explicands = Explicands(
        rows=chosen.cpu().numpy(),
        given=rows,
        predictions=outputs.argmax(dim=1).cpu().numpy(),
        scores=scores,
        baseline=baseline,
        baseline_scores=torch.zeros_like(scores),
        partition=recipe.partition,
        background=recipe.background,
    )
    return replace(explicands, baseline_scores=baseline_scores(engine, baseline, rows))


def _removed_to(recipe: Recipe) -> Points:
    """The baseline that parts go to: of methods that compared each row with many, the average of these."""
    if recipe.interventional and recipe.background is not None:
        return tuple(part.mean(dim=0, keepdim=True) for part in recipe.background)
    return recipe.baseline


def _promise(attribution: Attribution, again: Foreign | None) -> Promise:
    name, draws = attribution.method, attribution.standard_error is not None
    method = METHODS.get(name) if again is None else None
    if method is None:
        return Promise(name, name, False, bool((attribution.by_part < 0).any()), draws)
    return Promise(name, method.title, method.complete, method.signed, draws)


def _asked(attribution: Attribution, recipe: Recipe, again: Foreign | None) -> Again | None:
    """How the attribution's method is asked again; None where nobody knows."""
    if again is not None:
        return from_elsewhere(again)
    method = METHODS.get(attribution.method)
    return None if method is None else by_method(method, recipe.settings)


def _compared(ground: Ground, values: Tensor, other: Attribution, chosen: Tensor) -> list[Measurement]:
    """Agreement with another attribution: of ranks, of the weightiest parts, and of these with their signs."""
    if other.by_part.shape != (len(other), values.shape[1]) or len(other) <= int(chosen.max()):
        raise InputError(f"others: the attribution by {other.method!r} is not of the same rows and parts")
    first, second = values.cpu().numpy(), other.by_part[chosen].cpu().numpy()
    figures = {
        "rank_agreement": spearman(np.abs(first), np.abs(second)),
        "top_agreement": top_agreement(first, second),
        "sign_agreement": sign_agreement(first, second),
    }
    return [Measurement(name, other.method, ground.mean(each), "") for name, each in figures.items()]


def _effort(given: dict[str, Any]) -> Effort:
    known = Effort.__dataclass_fields__
    for name in given:
        if name not in known:
            raise InputError(f"evaluate: there is no setting {name!r}; {nearest(name, known)}")
    return Effort(**given)
