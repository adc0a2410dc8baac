"""SmoothGrad: the saliency of the score averaged over noise, so that slopes of the finest wrinkles cancel.

    φ_i = |E_ε ∂f/∂x_i (x + ε)|,   ε ~ N(0, σ²)

σ is a share of the range of each row's numbers (a row whose numbers are all alike gets none). Noise comes in mirrored
pairs, which makes the mean exact where the score is quadratic; pairs are independent, so that their spread gives the
standard error. Of parts with several numbers (the vector of a word) it is at most what is stated. As an average of
slopes it says where the model is sensitive, not how much of the score rests there.

Source: Smilkov, Thorat, Kim, Viégas, Wattenberg, "SmoothGrad: removing noise by adding noise", 2017, arXiv:1706.03825.
"""

from __future__ import annotations

import numpy as np
from torch import Tensor

from auditkit.attribution.explicands import Explicands, PartAttribution
from auditkit.attribution.method import Method, gradient_allows
from auditkit.attribution.rounds import Noise, Rounds, gradient_rounds, spread
from auditkit.engine.rows import Rows, Scorer
from auditkit.engine.space import Points

SAMPLES = 64


def smoothgrad(
    engine: Scorer, explicands: Explicands, samples: int = SAMPLES, noise: float = 0.15, seed: int = 0
) -> PartAttribution:
    """Attributions of every row from `samples` noisy copies (an even number, one more where odd), with errors."""
    given, pairs = explicands.given, max(1, -(-samples // 2))
    unit, width = Noise(given.points, seed), spread(given.points, noise)
    found = tuple(Rounds() for _ in given.points)

    def build(example: Tensor, draw: Tensor) -> Rows:
        rows = given.take(example)
        moved = (x + s[example] * e for x, s, e in zip(rows.points, width, unit(draw), strict=True))
        return Rows(tuple(moved), rows.contrast, rows.held)

    def add(means: Points) -> None:
        for rounds, part in zip(found, means, strict=True):
            rounds.add(part)

    gradient_rounds(engine, len(explicands), range(2 * pairs), 2, build, lambda _e, _d, slopes: slopes, add)
    values = tuple(rounds.mean.abs() for rounds in found)
    errors = explicands.partition.sums(tuple(rounds.error for rounds in found)) if pairs > 1 else None
    return PartAttribution(
        explicands.partition.sums(values),
        np.full(len(explicands), 2 * pairs, dtype=np.int64),
        explicands.maps(values),
        errors=errors,
    )


METHOD = Method(
    name="smoothgrad",
    title="SmoothGrad",
    complete=False,
    signed=False,
    direction="larger: the target, averaged over noise, is more sensitive here, up or down",
    cost=f"{SAMPLES} forward and backward rows, or as many as samples says",
    run=lambda engine, rows, told: smoothgrad(engine, rows, told.samples or SAMPLES, told.noise, told.seed),
    valid_for=gradient_allows,
    in_audits=False,
)
