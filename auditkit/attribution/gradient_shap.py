"""GradientSHAP: Expected Gradients with noise on the row, which smooths what is explained.

    φ_i = E_{b, t, ε} (x_i + ε_i - b_i) ∂f/∂x_i (b + t (x + ε - b)),   ε ~ N(0, σ²)

Values add up, in expectation, to the noisy row's average score less that of the background rows, and so only near the
row's own score; completeness is not promised. It approximates Shapley values where the model is nearly linear between
rows and the columns are independent. σ is a share of the range of each row's numbers.

Source: Lundberg and Lee, "A Unified Approach to Interpreting Model Predictions", NeurIPS 2017, arXiv:1705.07874; as in
shap's GradientExplainer and captum's GradientShap.
"""

from __future__ import annotations

from auditkit.attribution.expected_gradients import FIRST_ROUNDS, LEAST, SAMPLES, expected_gradients
from auditkit.attribution.explicands import Explicands, PartAttribution
from auditkit.attribution.method import Method, gradient_allows
from auditkit.engine.rows import Scorer


def gradient_shap(
    engine: Scorer,
    explicands: Explicands,
    samples: int | None = None,
    tolerance: float = 0.01,
    seed: int = 0,
    noise: float = 0.15,
) -> PartAttribution:
    """Attributions of every row, with standard errors. samples, tolerance: as for `expected_gradients`."""
    return expected_gradients(engine, explicands, samples, tolerance, seed, noise)


METHOD = Method(
    name="gradient_shap",
    title="GradientSHAP",
    complete=False,
    signed=True,
    direction="positive speaks for the target, negative against it, compared with the average background row",
    cost=f"{FIRST_ROUNDS * LEAST} to {SAMPLES} forward and backward rows, until the standard error is in tolerance",
    run=lambda engine, rows, told: gradient_shap(engine, rows, told.samples, told.tolerance, told.seed, told.noise),
    valid_for=gradient_allows,
    in_audits=False,
)
