"""Noise tunnel: Integrated Gradients averaged over noisy copies of the row.

    φ_i = E_ε [ IG_i(x + ε) ],   ε ~ N(0, σ²)

σ is a share of the range of each row's numbers, and noise comes in mirrored pairs, as in SmoothGrad. Every copy is
compared with the row's own baseline along a straight path of a fixed number of nodes. What one copy's gradient picks up
by accident cancels, and signs are kept. Values add up to the score of the noisy copies, on average, less the
baseline's: near the row's own where noise changes little, and not promised. Pairs are independent, so that their spread
gives the standard error.

Source: Smilkov, Thorat, Kim, Viégas, Wattenberg, "SmoothGrad: removing noise by adding noise", 2017, arXiv:1706.03825,
which smooths other gradient methods in the same way; the name is captum's.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from auditkit.attribution.explicands import Explicands, PartAttribution
from auditkit.attribution.integrated_gradients import rule, wide
from auditkit.attribution.method import Method, gradient_allows
from auditkit.attribution.rounds import Noise, Rounds, gradient_rounds, spread
from auditkit.engine.rows import Rows, Scorer
from auditkit.engine.space import Points

COPIES, NODES = 16, 16
"""noisy copies of a row, and nodes on the path of each"""


def noise_tunnel(
    engine: Scorer, explicands: Explicands, copies: int = COPIES, noise: float = 0.15, seed: int = 0
) -> PartAttribution:
    """Attributions of every row from so many noisy copies (an even number, one more where odd), with errors."""
    given, pairs = explicands.given, max(1, -(-copies // 2))
    unit, width = Noise(given.points, seed), spread(given.points, noise)
    nodes, weights = (torch.from_numpy(part).to(explicands.scores.device) for part in rule(NODES))
    found = tuple(Rounds() for _ in given.points)

    def ends(example: Tensor, draw: Tensor) -> list[tuple[Tensor, Tensor]]:
        """Where the path of a copy begins and ends, by point tensor."""
        starts, moves = explicands.baseline.take(example), unit(draw // NODES)
        rows = zip(given.points, width, starts, moves, strict=True)
        return [(b, x[example] + s[example] * e) for x, s, b, e in rows]

    def build(example: Tensor, draw: Tensor) -> Rows:
        along = nodes[draw % NODES]
        points = (torch.lerp(b, copy, wide(along, copy).to(copy.dtype)) for b, copy in ends(example, draw))
        rows = given.take(example)
        return Rows(tuple(points), rows.contrast, rows.held)

    def value(example: Tensor, draw: Tensor, slopes: Points) -> Points:
        share = NODES * weights[draw % NODES]
        paths = zip(ends(example, draw), slopes, strict=True)
        return tuple((copy - b) * slope * wide(share, slope).to(slope.dtype) for (b, copy), slope in paths)

    def add(means: Points) -> None:
        for rounds, part in zip(found, means, strict=True):
            rounds.add(part)

    size = 2 * NODES
    gradient_rounds(engine, len(explicands), range(pairs * size), size, build, value, add)
    values = tuple(rounds.mean for rounds in found)
    errors = explicands.partition.sums(tuple(rounds.error for rounds in found)) if pairs > 1 else None
    return PartAttribution(
        explicands.partition.sums(values),
        np.full(len(explicands), pairs * size, dtype=np.int64),
        explicands.maps(values),
        errors=errors,
    )


METHOD = Method(
    name="noise_tunnel",
    title="Integrated Gradients, smoothed (noise tunnel)",
    complete=False,
    signed=True,
    direction="positive speaks for the target, negative against it, averaged over noise",
    cost=f"{NODES} forward and backward rows for each of {COPIES} noisy copies, or as many as samples says",
    run=lambda engine, rows, told: noise_tunnel(engine, rows, told.samples or COPIES, told.noise, told.seed),
    valid_for=gradient_allows,
    in_audits=False,
)
