"""Randomisation: does an attribution notice that the model was replaced by one that knows nothing?

The model is copied, every weight of the copy is drawn anew, and the copy is explained for the same rows and outputs.
An attribution that hardly changes shows the input, or the shape of the network, and not what the model learned.

Likeness is Spearman's correlation of the SIGNED values, row by row. Magnitudes must not be used: every method that
multiplies by the input shares |x - b| between the two models, and would fail for it (on digits, Integrated Gradients
has 0.91 on magnitudes and 0.01 on signed values).

Vectors of embeddings are where an attribution begins: they are kept as the trained model has them, all else is drawn.
The model itself is not touched. Several copies are drawn, as one says little where parts are few.

Source: Adebayo et al., "Sanity Checks for Saliency Maps", NeurIPS 2018, arXiv:1810.03292.
"""

from __future__ import annotations

import copy
from collections.abc import Collection
from dataclasses import replace

import torch
from torch import Tensor, nn

from auditkit.attribution.explicands import Explicands, baseline_scores
from auditkit.engine.rows import Plan, Scorer


class NoWeightsError(ValueError):
    """The model has nothing that could be drawn anew; the message says why."""


def reinitialised(module: nn.Module, seed: int, kept: Collection[str] = ()) -> nn.Module:
    """A copy of a module with all weights drawn anew as their layers draw them; the module itself is left as it is.

    Weights of layers that cannot do so themselves are drawn from N(m, s²), with the mean and spread they had. kept:
    names of modules whose weights do not count, as their outputs are given. Raises NoWeightsError where no others are
    there, or the module cannot be copied.

    >>> layer = nn.Linear(2, 2)
    >>> bool((reinitialised(layer, 0).weight != layer.weight).all())
    True
    """
    if all(name.rpartition(".")[0] in kept for name, _ in module.named_parameters()):
        raise NoWeightsError("the model shows no weights that could be drawn anew")
    try:
        twin = copy.deepcopy(module)
    except Exception as problem:  # whatever a foreign module's own copying raises
        raise NoWeightsError(f"the model cannot be copied ({type(problem).__name__}: {problem})") from None
    devices = sorted({part.device.index or 0 for part in twin.parameters() if part.device.type == "cuda"})
    with torch.random.fork_rng(devices=devices), torch.no_grad():
        torch.manual_seed(seed)
        drawn = {id(part) for own in twin.modules() for part in _drawn_by(own)}
        for parameter in twin.parameters():
            if id(parameter) not in drawn and parameter.is_floating_point():
                spread = parameter.std() if parameter.numel() > 1 else parameter.abs().max()
                parameter.copy_(parameter.mean() + spread * torch.randn_like(parameter))
    return twin


def _drawn_by(module: nn.Module) -> list[nn.Parameter]:
    """Let a layer draw its weights anew; those it has drawn."""
    draw = getattr(module, "reset_parameters", None) or getattr(module, "_reset_parameters", None)
    if not callable(draw):
        return []
    draw()
    return list(module.parameters(recurse=False))


class Twin(Scorer):
    """The engine of a model with other weights; what it costs is counted by the engine it was made from."""

    def __init__(self, original: Scorer, seed: int) -> None:
        kept = {slot.module for slot in original.space.slots}
        module = reinitialised(original.model.module, seed, kept)
        model = replace(original.model, module=module)  # type: ignore[type-var]
        super().__init__(model, replace(original.space, model=model), original.size)
        self.original, self.independent = original, original.independent

    def count(self, rows: int, backward: bool = False) -> None:
        """Enter rows sent forward (and backward) into the cost of the original."""
        super().count(rows, backward)
        self.original.count(rows, backward)

    def explicands(self, explicands: Explicands) -> Explicands:
        """The same rows, outputs and baseline, with the scores this model gives them."""
        scores = self.scores(Plan(len(explicands), explicands.given.take))
        at_baseline = baseline_scores(self, explicands.baseline, explicands.given)
        return replace(explicands, scores=scores, baseline_scores=at_baseline)


def likeness(values: Tensor, others: Tensor, present: Tensor | None = None) -> Tensor:
    """float64 [n]: Spearman's correlation of signed attributions [n, parts]; NaN where either has no ranking."""
    from auditkit.attribution.evaluation.agreement import spearman

    own = None if present is None else present.cpu().numpy()
    return torch.from_numpy(spearman(values.cpu().numpy(), others.cpu().numpy(), own))
