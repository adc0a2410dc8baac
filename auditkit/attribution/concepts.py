"""TCAV: whether a model's answer depends on a concept that people have shown it examples of.

The activations a at a layer of rows that show a concept (stripes) are told from those of random rows by logistic
regression; the unit normal v of the boundary is the concept's direction there. With h the target as a function of a,

    sensitivity = mean over rows of ∇h(a)·v          score = share of rows with ∇h(a)·v > 0  (zeros count half)

A positive sensitivity: more of the concept, more of the target.

**Significance.** Any set of rows has a direction, and most directions move the answer a little. The same is therefore
done with random concepts, as many random rows as the concept has against the others, and

    p = (1 + number of random concepts with |sensitivity| as large or larger) / (1 + number of random concepts)

two-sided, adjusted over all concepts by Benjamini and Hochberg. The test is on the sensitivity, because the score says
nothing of size: where h is linear, every direction, random ones too, scores 0 or 1. Student's t over repeated fits, as
is often done, takes fits that share the concept's rows for independent, and so finds anything significant with enough
repeats.

**Is the concept there at all?** `accuracy` is how well held-out rows are told from random ones (half of each; 0.5 is a
guess). Near 0.5 the direction means nothing at this layer, whatever its sensitivity.

Rows that show the concept and random rows should differ in nothing else: what differs is what is measured.

Source: Kim, Wattenberg, Gilmer, Cai, Wexler, Viegas, Sayres, "Interpretability Beyond Feature Attribution: Quantitative
Testing with Concept Activation Vectors", ICML 2018, arXiv:1711.11279.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from auditkit.attribution.asking import Asker, Inputs, asked, rows_of
from auditkit.attribution.logistic import balanced, boundaries
from auditkit.attribution.targets import Target, contrast_for
from auditkit.errors import InputError
from auditkit.statistics.multiplicity import benjamini_hochberg

FEWEST = 5
"""rows that a concept must have"""
FOLDS = 5
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class ConceptSensitivity:
    """What was found of each concept, in the order of `concepts`.

    sensitivity: float64 [concepts], the change of the target for a step of length one along the concept. score: the
    share of rows with a positive one. p_value, adjusted: two-sided against random concepts, and over all concepts by
    Benjamini-Hochberg. accuracy: of telling held-out rows from random ones. random, random_scores: float64 [concepts,
    random concepts], these ones' sensitivities and scores. rows: that were explained.
    """

    concepts: tuple[str, ...]
    sensitivity: Floats
    score: Floats
    p_value: Floats
    adjusted: Floats
    accuracy: Floats
    random: Floats
    random_scores: Floats
    layer: str
    target: str
    rows: int


def concept_sensitivity(
    model: nn.Module,
    inputs: Tensor | Sequence[Tensor],
    concepts: Mapping[str, Tensor | Sequence[Tensor]],
    random: Tensor | Sequence[Tensor],
    *,
    layer: str,
    target: Target = "predicted",
    counterparts: int | None = None,
    strength: float = 1.0,
    batch_size: int | None = None,
    seed: int = 0,
) -> ConceptSensitivity:
    """How a model's target depends on concepts, each with its significance against random concepts.

    inputs: the rows whose answers are looked at, [n, ...]. concepts: names and rows that show them. random: rows
    without a concept in common, at least twice as many as the largest concept has. layer: a dotted name; its output is
    used. target: see `targets.Target`. counterparts: random concepts, 199 or 40 for each concept where None, whichever
    is more. strength: logistic regression's C, with activations scaled to a mean squared distance of 1 from their mean.

    Raises InputError for a callable without layers, concepts with fewer than 5 rows, too few random rows.

    Source: Kim et al., ICML 2018, arXiv:1711.11279.

    >>> model = nn.Sequential(nn.Identity(), nn.Linear(2, 1))
    >>> _ = model[1].weight.data.copy_(torch.tensor([[3.0, 0.0]]))
    >>> rows = torch.randn(80, 2, generator=torch.Generator().manual_seed(0))
    >>> shown = {"rising": rows[:20] + torch.tensor([9.0, 0.0])}
    >>> found = concept_sensitivity(model, rows, shown, rows[20:], layer="0", target=0, counterparts=19)
    >>> found.score.tolist(), found.accuracy.tolist(), round(found.sensitivity[0].item(), 1)
    ([1.0], [1.0], 3.0)
    """
    given, others = rows_of(inputs, "inputs"), rows_of(random, "random")
    shown = {name: rows_of(rows, f"concept {name!r}") for name, rows in concepts.items()}
    _check(shown, others)
    wanted = max(199, 40 * len(shown) - 1) if counterparts is None else counterparts
    if wanted < 1:
        raise InputError(f"counterparts: give one random concept or more, got {wanted}")
    with asked(model, given, batch_size) as asker:
        if "layers" in asker.model.lacks:
            raise InputError(f"model: {asker.model.lacks['layers']}; give the module")
        parts = [_activations(asker, layer, rows) for rows in (others, *shown.values())]
        mean = parts[0].mean(dim=0)
        basis = torch.linalg.qr((torch.cat(parts) - mean).T).Q
        spread = (parts[0] - mean).square().sum(dim=1).mean().sqrt()
        if not spread > 0:
            raise InputError(f"layer {layer!r} gives the same for all random rows, so no direction can be found in it")
        slopes, text = _slopes(asker, layer, given, target, basis)
    pool, *own = (((part - mean) @ basis / spread).cpu().numpy() for part in parts)
    rng = np.random.default_rng(seed)
    found = [_concept(rows, pool, slopes, strength, rng) for rows in own]
    chance = {size: _chance(size, pool, slopes, strength, wanted, seed) for size in {len(rows) for rows in own}}
    sensitivity, score, accuracy = (np.array(part) for part in zip(*found, strict=True))
    nulls, null_scores = (np.stack([chance[len(rows)][place] for rows in own]) for place in (0, 1))
    extreme = np.abs(nulls) >= np.abs(sensitivity)[:, None] * (1 - 1e-9)
    p_value = (1 + extreme.sum(axis=1)) / (1 + wanted)
    adjusted = benjamini_hochberg(p_value)
    told = (sensitivity, score, p_value, adjusted, accuracy, nulls, null_scores)
    return ConceptSensitivity(tuple(shown), *told, layer, text, len(given[0]))


def _check(shown: Mapping[str, Inputs], others: Inputs) -> None:
    if not shown:
        raise InputError("concepts: name one or more")
    for name, rows in shown.items():
        if len(rows[0]) < FEWEST:
            raise InputError(f"concept {name!r}: {len(rows[0])} rows; a direction needs {FEWEST} or more")
        if 2 * len(rows[0]) > len(others[0]):
            raise InputError(
                f"random: {len(others[0])} rows for concept {name!r} with {len(rows[0])}; give at least twice as many"
            )


def _activations(asker: Asker, layer: str, rows: Inputs) -> Tensor:
    """float64 [n, width]: what the layer gives."""

    def work(index: Tensor) -> Tensor:
        return asker.at(layer, tuple(part[index] for part in rows)).leaving.flatten(1).double()

    return torch.cat([found for _, found in asker.batches(len(rows[0]), work)])


def _slopes(asker: Asker, layer: str, rows: Inputs, target: Target, basis: Tensor) -> tuple[Floats, str]:
    """The gradients of rows' targets by the layer's output, in coordinates of the basis [n, k]; the target in words."""
    contrast, text = contrast_for(target, asker.outputs(rows))

    def work(index: Tensor) -> Tensor:
        seen = asker.at(layer, tuple(part[index] for part in rows), gradients=True)
        return asker.slope((seen.outputs * contrast[index]).sum(), seen).flatten(1).double() @ basis

    return torch.cat([found for _, found in asker.batches(len(rows[0]), work)]).cpu().numpy(), text


def _concept(
    own: Floats, pool: Floats, slopes: Floats, strength: float, rng: np.random.Generator
) -> tuple[float, float, float]:
    """A concept's sensitivity, score and accuracy, against as many random rows as a random concept is held against."""
    against = pool[np.sort(rng.permutation(len(pool))[len(own) :])]
    rows, labels = np.concatenate([own, against]), np.repeat([1.0, -1.0], [len(own), len(against)])
    fold = np.concatenate([rng.permutation(np.arange(len(part)) % FOLDS) for part in (own, against)])
    kept = np.stack([np.ones(len(rows), dtype=bool), *(fold != out for out in range(FOLDS))])
    every = np.tile(labels, (len(kept), 1))
    normals, constants = boundaries(rows, every, balanced(every, kept), strength)
    sides = np.sign(rows @ normals[1:].T + constants[1:])[np.arange(len(rows)), fold]
    right = np.where(sides == 0, 0.5, sides == labels)
    accuracy = (right[labels > 0].mean() + right[labels < 0].mean()) / 2
    sensitivity, score = _effects(slopes, normals[:1])
    return float(sensitivity[0]), float(score[0]), float(accuracy)


def _chance(size: int, pool: Floats, slopes: Floats, strength: float, count: int, seed: int) -> tuple[Floats, Floats]:
    """Sensitivities and scores of random concepts of so many rows, float64 [count] each."""
    rng = np.random.default_rng([seed, size])
    labels = np.full((count, len(pool)), -1.0)
    for line in labels:
        line[rng.permutation(len(pool))[:size]] = 1.0
    return _effects(slopes, boundaries(pool, labels, balanced(labels), strength)[0])


def _effects(slopes: Floats, normals: Floats) -> tuple[Floats, Floats]:
    """Means of directional derivatives along unit normals, and shares above zero, zeros counting half: [normals]."""
    lengths = np.linalg.norm(normals, axis=1, keepdims=True)
    along = slopes @ (normals / np.where(lengths > 0, lengths, 1.0)).T
    return along.mean(axis=0), (along > 0).mean(axis=0) + (along == 0).mean(axis=0) / 2
