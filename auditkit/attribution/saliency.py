"""Saliency: how strongly the score answers to a small change of each input, whichever way it goes.

    φ_i = |∂f/∂x_i (x)|

One backward pass, no baseline. It says where the model is sensitive, not how much of the score rests there: a saturated
input that decided everything has a slope of zero, and a slope is large where the input is measured in large units. The
slopes of an id's vector, or of the pixels of a cell, are added up.

Source: Simonyan, Vedaldi, Zisserman, "Deep Inside Convolutional Networks", ICLR workshop 2014, arXiv:1312.6034.
"""

from __future__ import annotations

import numpy as np
import torch

from auditkit.attribution.explicands import Explicands, PartAttribution, attribution
from auditkit.attribution.method import Method, gradient_allows
from auditkit.engine.rows import Plan, Scorer


def saliency(engine: Scorer, explicands: Explicands) -> PartAttribution:
    """Attributions of every row, none of them negative, from its gradient at the row."""
    found = [gradients for _, _, gradients in engine.gradients(Plan(len(explicands), explicands.given.take))]
    values = tuple(torch.cat(parts).abs() for parts in zip(*found, strict=True))
    return attribution(explicands, values, np.ones(len(explicands), dtype=np.int64))


METHOD = Method(
    name="saliency",
    title="Saliency",
    complete=False,
    signed=False,
    direction="larger: the target is more sensitive to small changes here, up or down",
    cost="1 forward and 1 backward row",
    run=lambda engine, rows, _told: saliency(engine, rows),
    valid_for=gradient_allows,
    in_audits=False,
)
