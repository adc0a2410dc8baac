"""Baseline band: how much of an explanation is the baseline's.

A row is explained against several baselines, and the share of its k weightiest parts that stay among the k weightiest
against every other is reported: of pairs of baselines on average, and of all of them at once. What changes is not
wrong, each baseline answers its own "compared with what?"; but what changes cannot be told without naming the baseline.

Source: Sturmfels, Lundberg and Lee, "Visualizing the Impact of Feature Attribution Baselines", Distill 2020.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations

import numpy as np
from torch import Tensor, nn

from auditkit.attribution import baselines
from auditkit.attribution.evaluation.agreement import TOP, Floats, top_agreement, top_parts
from auditkit.attribution.evaluation.estimate import Estimate, estimate
from auditkit.attribution.explanation import Attribution, explain
from auditkit.attribution.partition import Partition
from auditkit.errors import InputError


@dataclass(frozen=True, slots=True)
class BaselineBand:
    """pairs: by (baseline, baseline), the share of the weightiest parts both name. stable: the share of the weightiest
    parts that are so against every baseline. rows: float64 [n], that share row by row."""

    baselines: tuple[str, ...]
    pairs: dict[tuple[str, str], Estimate]
    stable: Estimate
    rows: Floats


def stable_share(found: Sequence[Floats], k: int = TOP) -> Floats:
    """[n]: the share of the k weightiest parts that attributions [n, parts] against all baselines have in common.

    >>> stable_share([np.array([[3.0, 2.0, 1.0]]), np.array([[3.0, 1.0, 2.0]])], 2).tolist()
    [0.5]
    """
    tops = np.stack([top_parts(values, k) for values in found])
    named = tops.sum(axis=2).max(axis=0)
    return np.where(named > 0, tops.all(axis=0).sum(axis=1) / np.maximum(named, 1), np.nan)


def baseline_band(
    attribution: Attribution,
    model: nn.Module | Callable[..., Tensor],
    inputs: Tensor | Sequence[Tensor],
    kinds: Sequence[baselines.Given] = ("zero", "mean", "median"),
    reference: Tensor | Sequence[Tensor] | None = None,
    k: int = TOP,
    confidence: float = 0.95,
) -> BaselineBand:
    """Make an attribution again against other baselines, by the same method with the same settings and targets.

    attribution: of `explain`, for these inputs [n, ...]. kinds: two baselines or more, see `baselines.Given`. k: how
    many parts count as the weightiest.

    Raises InputError for fewer than two baselines, or an attribution that does not say how it was made.

    >>> from auditkit.attribution import explain
    >>> import torch
    >>> sums, x = nn.Linear(3, 1), torch.rand(4, 3) + 1
    >>> baseline_band(explain(sums, x), sums, x, [0.0, 0.0], k=1).stable.value
    1.0
    """
    if len(kinds) < 2:
        raise InputError("baseline band: name two baselines or more")
    if attribution.recipe is None:
        raise InputError("baseline band: the attribution does not say how it was made; give one of explain()")
    recipe, given = attribution.recipe, (inputs,) if isinstance(inputs, Tensor) else tuple(inputs)
    runs = [
        explain(
            model,
            given,
            target=recipe.contrast,
            method=attribution.method,
            baseline=kind,
            reference=reference,
            groups=_groups(recipe.partition, given),
            **asdict(recipe.settings),
        )
        for kind in kinds
    ]
    found = [run.by_part.cpu().numpy() for run in runs]
    names = tuple(run.baseline for run in runs)
    pairs = {}
    for first, second in combinations(range(len(found)), 2):
        mean = estimate(top_agreement(found[first], found[second], k), confidence=confidence)
        if mean is not None:
            pairs[names[first], names[second]] = mean
    each = stable_share(found, k)
    stable = estimate(each, confidence=confidence)
    if stable is None:
        raise InputError("baseline band: nothing was attributed to any part")
    return BaselineBand(names, pairs, stable, each)


def _groups(partition: Partition, given: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """The parts as masks shaped as one row of each input."""
    assert partition.own is not None
    sizes = [part[0].numel() for part in given]
    cut = partition.own.split(sizes)
    return tuple(own.reshape(part.shape[1:]) for own, part in zip(cut, given, strict=True))
