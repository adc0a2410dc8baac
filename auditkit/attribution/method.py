"""A method of attribution: what it promises, what it costs, and whether a model allows it.

What is valid is asked before anything is explained: it takes a row of inputs and, at most, one pass forward and back.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch

from auditkit.attribution.explicands import Explicands, PartAttribution
from auditkit.attribution.settings import Settings
from auditkit.engine.rows import Scorer
from auditkit.engine.space import Answering, InputSpace, SpaceError
from auditkit.subject.model import evaluating

Inputs = tuple[torch.Tensor, ...]


@dataclass(frozen=True, slots=True)
class Validity:
    """Whether a method may be used on a model, and why not (or not fully).

    expected: the method was never meant for such models, so its refusal is no news.
    """

    status: Literal["valid", "degraded", "refused"] = "valid"
    reason: str = ""
    expected: bool = False


@dataclass(frozen=True, slots=True)
class Method:
    """What is known of a method before it runs.

    complete: its attributions promise to add up to the change in score. signed: negative values mean "against".
    direction: what a larger value means. cost: forward and backward rows per explained row. valid_for: told the model
    and one row of its inputs. in_audits: whether an audit uses it without being asked. slopes:
    whether it differentiates the model. against: what a row is compared with; where there are no reference rows, those
    methods that use them take the baseline.
    """

    name: str
    title: str
    complete: bool
    signed: bool
    direction: str
    cost: str
    run: Callable[[Scorer, Explicands, Settings], PartAttribution]
    valid_for: Callable[[Answering, Inputs], Validity]
    in_audits: bool = True
    slopes: bool = True
    against: Literal["baseline", "reference rows", "nothing"] = "baseline"


def space_allows(model: Answering, inputs: Inputs) -> Validity:
    """Refused where the model's inputs have no attribution space."""
    try:
        with evaluating(model.module):
            InputSpace.trace(model, inputs)
    except SpaceError as problem:
        return Validity("refused", str(problem))
    return Validity()


def gradient_allows(model: Answering, inputs: Inputs) -> Validity:
    """Refused where no gradient leads from the output to the inputs, degraded where some inputs get none."""
    if "gradients" in model.lacks:
        return Validity("refused", model.lacks["gradients"], expected=True)
    try:
        with evaluating(model.module):
            space = InputSpace.trace(model, inputs)
            points, _ = space.enter(inputs)
            leaves = [part.detach().clone().requires_grad_(True) for part in points]
            with torch.enable_grad(), torch.backends.cudnn.flags(enabled=False):
                output = space.logits(tuple(leaf * 1.0 for leaf in leaves), space.keep(inputs)).sum()
                if not output.requires_grad:
                    return Validity("refused", "no gradient leads from the model's output back to its inputs")
                found = torch.autograd.grad(output, leaves, allow_unused=True)
    except SpaceError as problem:
        return Validity("refused", str(problem))
    cut = sum(part is None for part in found)
    if cut:
        return Validity("degraded", f"no gradient reaches {cut} of {len(leaves)} inputs, which therefore get 0")
    return Validity()


def example_inputs(model: Answering) -> tuple[torch.Tensor, ...]:
    """One made-up row of inputs in the shapes and dtypes of the model's preprocessing."""
    return tuple(part.to(model.device) for part in model.preprocessing.example(1))
