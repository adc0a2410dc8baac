"""Layer-wise relevance propagation (ε rule): the score is handed down, layer by layer, in proportion to z = w x.

    R_i = Σ_j  x_i w_ij R_j / (z_j + ε sign z_j)

What a layer passes down is what it received, except for the share of its bias, which nobody inherits: relevance adds up
to the score only in networks without biases, and is then Gradient × Input from a zero baseline. No baseline is used.
Of a contrast of outputs, each output's score is handed down by itself.

Computed by captum, with its ε rule for every affine layer and relevance passed through ReLU, Tanh and dropout. There is
no rule for anything else: models with other parts, with sums or products outside modules, or with layers called twice
are refused.

Source: Bach et al., "On Pixel-Wise Explanations for Non-Linear Classifier Decisions by Layer-Wise Relevance
Propagation", PLOS ONE 2015.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from auditkit.attribution.explicands import Explicands, PartAttribution
from auditkit.attribution.method import Inputs, Method, Validity
from auditkit.attribution.relevance.scored import Scored, allowed, carried_back
from auditkit.attribution.structure import LINEAR_LAYERS, SHAPING, Structure, named
from auditkit.engine.rows import Rows, Scorer
from auditkit.engine.space import Answering, Points

PASSED = frozenset({"ReLU", "Tanh", "Dropout"})
"""layers whose relevance captum hands through as it is"""
POOLED = frozenset({"MaxPool1d", "MaxPool2d", "MaxPool3d"})
"""layers whose relevance goes to the largest input"""


def lrp(engine: Scorer, explicands: Explicands) -> PartAttribution:
    """Relevance of every row's inputs, summed over each part."""
    from captum.attr import LRP

    def attribute(scored: Scored, _index: Tensor, rows: Rows) -> Points:
        row, output = rows.contrast.nonzero(as_tuple=True)  # one output at a time
        apart = rows.take(row)
        one = torch.nn.functional.one_hot(output, rows.contrast.shape[1]).to(rows.contrast.dtype)
        points = tuple(part.clone() for part in apart.points)
        with _ruled(scored.network):
            found = LRP(scored).attribute(points, additional_forward_args=(one, *apart.held))
        weight = rows.contrast[row, output]
        total = tuple(torch.zeros_like(part) for part in rows.points)
        for whole, part in zip(total, found, strict=True):
            whole.index_add_(0, row, part.detach() * weight.reshape(-1, *[1] * (part.ndim - 1)))
        return total

    found = carried_back(engine, explicands, attribute, passes=2)
    return replace(found, base=torch.zeros_like(explicands.scores))


@contextmanager
def _ruled(network: nn.Module) -> Iterator[None]:
    """The ε rule on every layer that captum gives none; what it leaves behind is removed."""
    from captum.attr._utils.lrp_rules import EpsilonRule

    class Aside(EpsilonRule):
        """For what ids are looked up in: the attribution space begins behind it."""

        def forward_hook(self, module: nn.Module, inputs: Any, outputs: Any) -> None: ...
        def forward_hook_weights(self, module: nn.Module, inputs: Any, outputs: Any) -> None: ...
        def forward_pre_hook_activations(self, module: nn.Module, inputs: Any) -> None: ...

    layers = [part for part in network.modules() if not any(part.children())]
    before: list[dict[str, Any]] = [
        {name: vars(layer)[name] for name in ("rule", "activations") if name in vars(layer)} for layer in layers
    ]
    try:
        for layer in layers:
            if type(layer).__name__ not in PASSED:
                layer.rule = Aside() if isinstance(layer, nn.Embedding) else EpsilonRule()
        yield
    finally:
        for layer, had in zip(layers, before, strict=True):
            for name in ("rule", "activations"):
                vars(layer).pop(name, None)
            vars(layer).update(had)


def lrp_allows(model: Answering, inputs: Inputs) -> Validity:
    """Refused unless relevance has a rule everywhere, degraded where biases take a share."""
    found = allowed(model, inputs, hands_down, "LRP")
    if found.status == "valid" and any(_shifts(part) for part in model.module.modules()):
        return Validity("degraded", "layers have biases, whose share of the score is handed to no input")
    return found


def _shifts(part: nn.Module) -> bool:
    """Whether a layer adds something that does not come from its input."""
    return getattr(part, "bias", None) is not None or isinstance(part, nn.modules.batchnorm._NormBase)


def hands_down(seen: Structure) -> Validity:
    """Whether there is a rule for every part of a model of this structure."""
    if unknown := seen.layers_beside((LINEAR_LAYERS | PASSED | POOLED) - {"NonDynamicallyQuantizableLinear"}):
        return Validity("refused", f"LRP has no rule for {named(unknown)}")
    if functions := [part for part in seen.operations if part.name not in SHAPING | {"relu"}]:
        return Validity("refused", f"LRP sees modules only and would miscount at {named(functions)}")
    if seen.reused:
        return Validity("refused", f"{named(seen.reused)} is called more than once; give each use its own module")
    if seen.coupled:
        return Validity("refused", "the model's answer to a row depends on the rows beside it")
    return Validity()


METHOD = Method(
    name="lrp",
    title="Layer-wise relevance propagation",
    complete=True,
    signed=True,
    direction="positive speaks for the target, negative against it",
    cost="2 forward rows and 1 backward row for each output in the target",
    run=lambda engine, rows, _told: lrp(engine, rows),
    valid_for=lrp_allows,
    in_audits=False,
    against="nothing",
)
