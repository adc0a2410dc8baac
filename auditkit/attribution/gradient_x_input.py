"""Gradient × Input: the first-order estimate of what moving each input to its baseline would change.

    φ_i = (x_i - b_i) ∂f/∂x_i (x)

One backward pass. It is Integrated Gradients with a single step at the row itself: exact for linear models (and for
bias-free ReLU networks from a zero baseline), local everywhere else. Completeness is not promised.

Source: Shrikumar, Greenside, Shcherbina, Kundaje, "Not Just a Black Box", 2016, arXiv:1605.01713.
"""

from __future__ import annotations

import numpy as np
import torch

from auditkit.attribution.explicands import Explicands, PartAttribution, attribution
from auditkit.attribution.method import Method, gradient_allows
from auditkit.engine.rows import Plan, Scorer


def gradient_x_input(engine: Scorer, explicands: Explicands) -> PartAttribution:
    """Attributions of every row from its gradient at the row."""
    found = [gradients for _, _, gradients in engine.gradients(Plan(len(explicands), explicands.given.take))]
    slopes = [torch.cat(parts) for parts in zip(*found, strict=True)]
    pairs = zip(explicands.given.points, explicands.baseline.points, strict=True)
    values = tuple((x - b) * slope for (x, b), slope in zip(pairs, slopes, strict=True))
    return attribution(explicands, values, np.ones(len(explicands), dtype=np.int64))


METHOD = Method(
    name="gradient_x_input",
    title="Gradient × Input",
    complete=False,
    signed=True,
    direction="positive speaks for the target, negative against it",
    cost="1 forward and 1 backward row",
    run=lambda engine, rows, _told: gradient_x_input(engine, rows),
    valid_for=gradient_allows,
)
