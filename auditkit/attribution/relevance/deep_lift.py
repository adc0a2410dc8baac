"""DeepLIFT (rescale rule): each change of a nonlinearity's output is shared out as its input changed.

    m = Δout / Δin at every nonlinearity, the weights at every linear layer;  φ_i = (x_i - b_i) Π m

Row and baseline are sent together, and one backward pass in which each nonlinearity's slope is replaced by m gives all
attributions. They add up to f(x) - f(b) exactly, for networks of affine layers and nonlinearities of one input each.

Computed by captum, which knows ReLU, ELU, LeakyReLU, Sigmoid, Tanh, Softplus and max-pooling, as modules, and
differentiates all else without a word. The rule is the same for every layer that works number by number, so here it is
given to the others of torch too (GELU, SiLU, SELU, Hardswish, PReLU, ...). What is no such layer (LayerNorm, attention,
`x * y`, `torch.nn.functional.relu`) is refused, and softmax layers too, whose rule there mixes the rows of a batch. Two
nonlinearities in a row, which it gets wrong as well, are kept apart by a copy between them.

Source: Shrikumar, Greenside, Kundaje, "Learning Important Features Through Propagating Activation Differences", ICML
2017, arXiv:1704.02685.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn

from auditkit.attribution.explicands import Explicands, PartAttribution
from auditkit.attribution.method import Inputs, Method, Validity
from auditkit.attribution.relevance.scored import Scored, allowed, carried_back
from auditkit.attribution.structure import LINEAR_LAYERS, Structure, named
from auditkit.engine.rows import Rows, Scorer
from auditkit.engine.space import Answering, Points

ELEMENTWISE = frozenset(
    {"ReLU", "ReLU6", "LeakyReLU", "RReLU", "PReLU", "ELU", "CELU", "SELU", "GELU", "SiLU", "Mish", "Softplus"}
    | {"Sigmoid", "Tanh", "LogSigmoid", "Hardswish", "Hardsigmoid", "Hardtanh", "Softsign", "Tanhshrink"}
    | {"Softshrink", "Hardshrink", "Threshold"}
)
"""layers that answer to each number by itself (RReLU: in eval mode)"""
POOLED = frozenset({"MaxPool1d", "MaxPool2d", "MaxPool3d"})
RESCALED = ELEMENTWISE | POOLED


def deep_lift(engine: Scorer, explicands: Explicands) -> PartAttribution:
    """Attributions of every row against its own baseline, from one pass of row and baseline together."""

    def attribute(scored: Scored, index: Tensor, rows: Rows) -> Points:
        return rescaled(scored, rows, explicands.baseline.take(index))

    return carried_back(engine, explicands, attribute, passes=2)


def rescaled(scored: Scored, rows: Rows, baseline: Points) -> Points:
    """Attributions [n, ...] of rows against baselines, [1, ...] or [n, ...], in one pass."""
    from captum.attr import DeepLift
    from captum.attr._core.deep_lift import nonlinear

    class Rescaled(DeepLift):
        """With the rescale rule on every layer that works number by number."""

        def _is_non_linear(self, module: nn.Module) -> bool:
            return type(module).__name__ in RESCALED

        def _backward_hook(self, module: Any, grad_input: Tensor, grad_output: Tensor) -> Tensor:
            if type(module).__name__ in POOLED:
                return super()._backward_hook(module, grad_input, grad_output)
            found = nonlinear(module, module.input, module.output, grad_input, grad_output, eps=self.eps)
            del module.input, module.output
            return found

    starts = tuple(b.expand_as(x).clone() for b, x in zip(baseline, rows.points, strict=True))
    with kept_apart(scored):
        return Rescaled(scored).attribute(
            rows.points, baselines=starts, additional_forward_args=(rows.contrast, *rows.held)
        )


@contextmanager
def kept_apart(module: nn.Module) -> Iterator[None]:
    """A copy goes into each nonlinearity, and what captum notes on it is gone afterwards.

    captum hangs one hook on what comes out of a layer and another on what goes into the next; where both are the same
    tensor, the first hook sees the gradient before the second has changed it.
    """

    def copied(_module: nn.Module, given: tuple[Any, ...]) -> tuple[Any, ...]:
        return tuple(part.clone() if isinstance(part, Tensor) else part for part in given)

    parts = [part for part in module.modules() if type(part).__name__ in RESCALED]
    notes = [(part, note) for part in parts for note in ("input", "output") if not hasattr(part, note)]
    hooks = [part.register_forward_pre_hook(copied) for part in parts]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
        for part, note in notes:
            vars(part).pop(note, None)


def deep_lift_allows(model: Answering, inputs: Inputs) -> Validity:
    """Refused unless every part of the model is affine or has a rule."""
    return allowed(model, inputs, rescales, "DeepLIFT")


def rescales(seen: Structure) -> Validity:
    """Whether the rescale rule is complete on a model of this structure."""
    if softmax := seen.layers_beside(seen.kinds.keys() - {"Softmax"}):
        return Validity(
            "refused", f"its rule for {named(softmax)} mixes the rows of a batch; explain the logits instead"
        )
    if unknown := seen.layers_beside(LINEAR_LAYERS | RESCALED):
        return Validity("refused", f"DeepLIFT has no rule for {named(unknown)} and would use the plain gradient there")
    if functions := seen.nonlinear():
        return Validity(
            "refused",
            f"DeepLIFT sees modules only and would use the plain gradient at {named(functions)}; write it as a module",
        )
    if reused := [layer for layer in seen.reused if layer.kind in RESCALED]:
        return Validity("refused", f"{named(reused)} is called more than once; give each use a module of its own")
    if seen.coupled:
        return Validity("refused", "the model's answer to a row depends on the rows beside it, and DeepLIFT sends two")
    return Validity()


METHOD = Method(
    name="deep_lift",
    title="DeepLIFT",
    complete=True,
    signed=True,
    direction="positive speaks for the target, negative against it",
    cost="2 forward and 2 backward rows",
    run=lambda engine, rows, _told: deep_lift(engine, rows),
    valid_for=deep_lift_allows,
    in_audits=False,
)
