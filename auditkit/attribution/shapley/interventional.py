"""Interventional Shapley values: absent parts take the values of background rows, and worths are averaged over these.

    v(S) = 1/b Σ_j f(x_S, b_j elsewhere)

This is the game that is meant where Shapley values are explained "relative to a data set" (the default of most tools
for tables): values add up to the row's score less the average score of the background. It is solved as KernelSHAP is
(`kernel`), and exactly where all coalitions fit in the samples; each coalition takes as many forward rows as there are
background rows. Values are those of these background rows; how they would differ for others is no part of the standard
error.

Source: Lundberg and Lee, NeurIPS 2017, arXiv:1705.07874; Janzing, Minorics, Blöbaum, "Feature relevance quantification
in explainable AI: A causal problem", AISTATS 2020, arXiv:1910.13413.
"""

from __future__ import annotations

from auditkit.attribution.explicands import Explicands, PartAttribution
from auditkit.attribution.method import Method, space_allows
from auditkit.attribution.settings import Settings
from auditkit.attribution.shapley.kernel import kernel_shap
from auditkit.engine.rows import Scorer
from auditkit.errors import InputError


def interventional_shapley(engine: Scorer, explicands: Explicands, settings: Settings) -> PartAttribution:
    """Shapley values of every row against `explicands.background`, with standard errors.

    settings: tolerance, samples (coalitions at most, 2 F + 2048 where None), seed. Raises InputError where there are
    no background rows.
    """
    if explicands.background is None:
        raise InputError(
            "interventional_shapley compares rows with many: give reference rows to explain (reference=), or use "
            "kernel_shap, which compares them with one baseline"
        )
    told = (settings.tolerance, settings.samples, settings.seed)
    return kernel_shap(engine, explicands, *told, against=explicands.background)


METHOD = Method(
    name="interventional_shapley",
    title="Shapley values (interventional game, KernelSHAP)",
    complete=True,
    signed=True,
    direction="positive speaks for the target, negative against it, compared with the average background row",
    cost="(3 F to 2 F + 2048) x background rows for F parts, until the standard error is in tolerance",
    run=interventional_shapley,
    valid_for=space_allows,
    slopes=False,
    in_audits=False,
    against="reference rows",
)
