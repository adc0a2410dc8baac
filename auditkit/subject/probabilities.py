"""Networks that end in a softmax or sigmoid: their outputs are probabilities, and are read as such.

Calibration, log loss and scores for out-of-distribution rows take the softmax of logits; of probabilities taken for
logits they would be wrong without a sign. So a network is asked about made-up rows, mild and wild ones. Rows of
outputs that all lie between 0 and 1 and sum to 1 are probabilities p, read as log p, whose softmax is p again; the
size of the logits is lost, and what needs it is left out (`Model.lacks["scale"]`). The same holds for log p itself.
A single output that never leaves 0 to 1 is the probability of the second class, whose logit log p - log(1 - p) is
whole; so are those of several labels, each a yes or no of its own. Where a network was misread, the caller says what it
gives: `outputs="logits"`.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor

from auditkit.errors import InputError
from auditkit.evidence.metrics import Caveat

if TYPE_CHECKING:
    from auditkit.subject.model import Model

Gives = Literal["logits", "probabilities", "log-probabilities"]
ROWS, FEW = 32, 4
LARGE = 10_000
"""of rows with more numbers than this, a few have to do"""
SCALES = (0.3, 3.0, 300.0)
TOLERANCE = 1e-3
NO_SCALE = "the model gives probabilities, which fix logits only up to a constant, so their size says nothing"
SUMS = (
    "The model gives probabilities, not logits: its outputs lie between 0 and 1 and sum to 1 in each row. They are "
    "read as log p, so that the probabilities shown are its own; scores that use the size of logits are left out."
)
SINGLE = (
    "The model's one output lies between 0 and 1 whatever it is shown, so it is read as the probability of {positive}, "
    "and its logit is log p - log(1 - p); where it is a logit after all, say outputs: logits."
)
EACH = (
    "The model's outputs lie between 0 and 1 whatever it is shown, so each is read as the probability of its label, "
    "whose logit is log p - log(1 - p); where they are logits after all, say outputs: logits."
)
EXCLUSIVE = (
    "The model's outputs add up to 1 in each row, as those of classes do of which one is right; read as several "
    "labels, hardly more than one of them is ever found: should it be audited as a classification?"
)
LOGARITHMS = (
    "The model gives logarithms of probabilities: its outputs sum to 1 in each row once exponentiated. Scores that use "
    "the size of logits are left out."
)


def as_logits(outputs: Tensor, each: bool = False) -> Tensor:
    """Probabilities [n, C] as log p, or [n, 1] of the second class as its logit; differentiable.

    each: whether every column is a probability of its own, [n, L] of labels, and so a logit of its own.

    >>> as_logits(torch.tensor([[0.5]])).tolist(), as_logits(torch.tensor([[0.5, 0.5]])).softmax(dim=1).tolist()
    ([[0.0]], [[0.5, 0.5]])
    """
    small = torch.finfo(outputs.dtype).tiny
    if outputs.shape[1] > 1 and not each:
        return outputs.clamp_min(small).log()
    return outputs.clamp_min(small).log() - (1 - outputs).clamp_min(torch.finfo(outputs.dtype).eps / 2).log()


def understood(model: Model, outputs: str | None = None) -> Model:
    """The model, reading its outputs as what they are. outputs: the caller's word, `logits` or `probabilities`.

    Raises InputError where they were said to be probabilities and are none.
    """
    if outputs not in (None, "logits", "probabilities"):
        raise InputError(f"{model.origin}: a network gives logits or probabilities, not {outputs}")
    if outputs == "logits" or model.task == "regression":
        return model
    if model.multilabel:
        return _of_labels(model, outputs)
    found = what_is_given(model)
    if outputs == "probabilities" and found != "probabilities":
        raise InputError(
            f"{model.origin}: was to give probabilities, but they are not between 0 and 1 or do not add up to 1 in "
            "each row; where they are logits, say so: outputs='logits'"
        )
    if found == "logits":
        return model
    if len(model.classes) == 2 and model.raw(_probe(model)[0]).shape[1] == 1:
        text = SINGLE.format(positive=repr(model.classes[1]))
        return replace(model, gives=found, caveats=(*model.caveats, Caveat("model", text, "model")))
    told = Caveat("model", SUMS if found == "probabilities" else LOGARITHMS, "model", "note")
    return replace(model, gives=found, lacks={**model.lacks, "scale": NO_SCALE}, caveats=(*model.caveats, told))


def _of_labels(model: Model, outputs: str | None) -> Model:
    """A model of several labels, whose outputs are probabilities where they never leave 0 to 1, else logits."""
    answers = []
    with model.evaluating(), torch.inference_mode():
        for inputs in _probe(model):
            found = model.raw(inputs).double()
            answers.append(found[torch.isfinite(found).all(dim=1)])
    every = torch.cat(answers)
    inside = bool(len(every) and ((every >= 0) & (every <= 1 + TOLERANCE)).all())
    if outputs == "probabilities" and not inside:
        raise InputError(
            f"{model.origin}: was to give the probability of each label, but its outputs are not between 0 and 1; "
            "where they are logits, say so: outputs='logits'"
        )
    if not inside or (outputs is None and float(every.max() - every.min()) <= 0.1):
        return model
    alone = bool(((every.sum(dim=1) - 1).abs() < TOLERANCE).all())
    told = Caveat("model", EXCLUSIVE if alone else EACH, "model", "warning" if alone else "note")
    return replace(model, gives="probabilities", caveats=(*model.caveats, told))


def what_is_given(model: Model) -> Gives:
    """What a network's outputs are, from its answers to made-up rows."""
    answers: list[Tensor] = []
    found: Gives = "logits"
    with model.evaluating(), torch.inference_mode():
        for inputs in _probe(model):
            answers.append(model.raw(inputs))
            found = _kind(torch.cat(answers), len(model.classes))
            if found == "logits" and answers[0].shape[1] > 1:
                break
    return found


def _kind(answers: Tensor, classes: int) -> Gives:
    """What outputs [n, C] can be, as far as these rows go."""
    answers = answers[torch.isfinite(answers).all(dim=1)].double()
    if not len(answers) or (classes > 2 and answers.shape[1] == 1):
        return "logits"
    inside = bool(((answers >= 0) & (answers <= 1 + TOLERANCE)).all())
    if answers.shape[1] == 1:
        return "probabilities" if inside and float(answers.max() - answers.min()) > 0.1 else "logits"
    if inside and bool(((answers.sum(dim=1) - 1).abs() < TOLERANCE).all()):
        return "probabilities"
    if bool((answers <= TOLERANCE).all()) and bool(((answers.exp().sum(dim=1) - 1).abs() < TOLERANCE).all()):
        return "log-probabilities"
    return "logits"


def _probe(model: Model) -> list[tuple[Tensor, ...]]:
    """Made-up rows: floats drawn mild and wild, ids among those of the example; held inputs as in the example."""
    generator = torch.Generator().manual_seed(0)
    one = sum(part.numel() for part in model.preprocessing.example(1))
    example = model.preprocessing.example(ROWS if one < LARGE else FEW)
    batches = []
    for scale in SCALES:
        parts = []
        for place, part in enumerate(example):
            if place in model.preprocessing.held:
                drawn = part
            elif part.is_floating_point():
                drawn = torch.randn(part.shape, generator=generator) * scale
            else:
                drawn = (torch.rand(part.shape, generator=generator) * (part.max(dim=0).values + 1)).to(part.dtype)
            parts.append(drawn.to(model.device))
        batches.append(tuple(parts))
    return batches
