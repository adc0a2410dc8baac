"""DeepLIFT SHAP: DeepLIFT averaged over background rows, an estimate of interventional Shapley values.

    φ = mean over background rows b of DeepLIFT(x, b)

Values add up to the row's score less the average score of the background rows (`reference=`); without any it is
DeepLIFT against the row's own baseline. They are Shapley values where the model is additive, and near them where
nonlinearities act on few columns at once. Refused where DeepLIFT is.

Source: Lundberg and Lee, "A Unified Approach to Interpreting Model Predictions", NeurIPS 2017, arXiv:1705.07874.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from auditkit.attribution.explicands import Explicands, PartAttribution, attribution
from auditkit.attribution.method import Method
from auditkit.attribution.relevance.deep_lift import deep_lift, deep_lift_allows, rescaled
from auditkit.attribution.relevance.scored import Scored, fresh, quiet
from auditkit.attribution.shapley.game import background_scores
from auditkit.engine.rows import Scorer
from auditkit.engine.space import Points


def deep_lift_shap(engine: Scorer, explicands: Explicands) -> PartAttribution:
    """Attributions of every row against every background row, averaged."""
    pool, given = explicands.background, explicands.given
    if pool is None:
        return deep_lift(engine, explicands)
    n, many = len(explicands), len(pool[0])

    def work(index: Tensor) -> Points:
        starts = tuple(part[index % many] for part in pool)
        with quiet():
            return rescaled(Scored(engine), fresh(given.take(index // many)), starts)

    total = tuple(torch.zeros(part.shape, dtype=torch.float64, device=part.device) for part in given.points)
    for index, found in engine.batches(n * many, work):
        engine.count(2 * len(index), backward=True)
        for whole, part in zip(total, found, strict=True):
            whole.index_add_(0, index // many, part.detach().double() / many)
    averaged = attribution(explicands, total, np.full(n, 2 * many, dtype=np.int64))
    return replace(averaged, base=background_scores(engine, explicands, pool))


METHOD = Method(
    name="deep_lift_shap",
    title="DeepLIFT SHAP",
    complete=True,
    signed=True,
    direction="positive speaks for the target, negative against it, compared with the average background row",
    cost="2 forward and 2 backward rows for each background row",
    run=lambda engine, rows, _told: deep_lift_shap(engine, rows),
    valid_for=deep_lift_allows,
    in_audits=False,
    against="reference rows",
)
