"""Guided backpropagation and deconvolution: gradients of which only what is positive passes a ReLU.

At each ReLU, deconvolution keeps the positive part of the gradient that arrives, guided backpropagation also that where
the ReLU was open. Pictures come out sharp, but hardly depend on the weights: a network with random weights gives nearly
the same (Adebayo et al., "Sanity Checks for Saliency Maps", NeurIPS 2018, arXiv:1810.03292). They do not add up to the
score. Computed by captum, which hooks `nn.ReLU` modules: a model that calls `torch.nn.functional.relu`, or has no ReLU,
would get its plain gradient under another name, and is refused.

Sources: Springenberg et al., "Striving for Simplicity", 2014, arXiv:1412.6806; Zeiler and Fergus, "Visualizing and
Understanding Convolutional Networks", ECCV 2014, arXiv:1311.2901.
"""

from __future__ import annotations

from torch import Tensor

from auditkit.attribution.explicands import Explicands, PartAttribution
from auditkit.attribution.method import Inputs, Method, Validity
from auditkit.attribution.relevance.deep_lift import kept_apart
from auditkit.attribution.relevance.scored import Scored, allowed, carried_back
from auditkit.attribution.structure import LINEAR_LAYERS, Layer, Operation, Structure, named
from auditkit.engine.rows import Rows, Scorer
from auditkit.engine.space import Answering, Points

PASSED = frozenset({"ReLU", "MaxPool1d", "MaxPool2d", "MaxPool3d", "AdaptiveMaxPool2d"})
"""layers through which the methods were meant to go back"""


def guided_backprop(engine: Scorer, explicands: Explicands) -> PartAttribution:
    """Guided gradients of every row, summed over each part."""
    from captum.attr import GuidedBackprop

    def attribute(scored: Scored, _index: Tensor, rows: Rows) -> Points:
        with kept_apart(scored):
            return GuidedBackprop(scored).attribute(rows.points, additional_forward_args=(rows.contrast, *rows.held))

    return carried_back(engine, explicands, attribute)


def deconvolution(engine: Scorer, explicands: Explicands) -> PartAttribution:
    """Deconvolved gradients of every row, summed over each part."""
    from captum.attr import Deconvolution

    def attribute(scored: Scored, _index: Tensor, rows: Rows) -> Points:
        with kept_apart(scored):
            return Deconvolution(scored).attribute(rows.points, additional_forward_args=(rows.contrast, *rows.held))

    return carried_back(engine, explicands, attribute)


def rectifies(seen: Structure) -> Validity:
    """Whether there are ReLU modules, and nothing that passes for one."""
    if functions := [part for part in seen.nonlinear() if "relu" in part.name or part.decides]:
        return Validity("refused", f"its rule is for nn.ReLU modules and would be left out at {named(functions)}")
    if "ReLU" not in seen.kinds:
        return Validity("refused", "the model has no nn.ReLU, so its plain gradient would come out", expected=True)
    if reused := [layer for layer in seen.reused if layer.kind == "ReLU"]:
        return Validity("refused", f"{named(reused)} is called more than once; give each use a module of its own")
    others: list[Layer | Operation] = [*seen.layers_beside(LINEAR_LAYERS | PASSED), *seen.nonlinear()]
    if others:
        return Validity("degraded", f"the gradient passes {named(others)} as it is, for want of a rule")
    return Validity()


def guided_allows(model: Answering, inputs: Inputs) -> Validity:
    """Refused without nn.ReLU modules or with functional ones, degraded where there are other nonlinearities."""
    return allowed(model, inputs, rectifies, "the method")


METHOD = Method(
    name="guided_backprop",
    title="Guided backpropagation",
    complete=False,
    signed=True,
    direction="larger: raises the target along open, positive paths only",
    cost="1 forward and 1 backward row",
    run=lambda engine, rows, _told: guided_backprop(engine, rows),
    valid_for=guided_allows,
    in_audits=False,
)
DECONVOLUTION = Method(
    name="deconvolution",
    title="Deconvolution",
    complete=False,
    signed=True,
    direction="larger: raises the target along positive paths only",
    cost="1 forward and 1 backward row",
    run=lambda engine, rows, _told: deconvolution(engine, rows),
    valid_for=guided_allows,
    in_audits=False,
)
