"""Expected Gradients: Integrated Gradients averaged over many baselines, each point of each path drawn at random.

    φ_i = E_{b, t} (x_i - b_i) ∂f/∂x_i (b + t (x - b)),   b a background row, t uniform on [0, 1]

Values add up, in expectation, to the row's score less the average score of the background rows (`reference=`); without
any, every b is the row's own baseline. A round draws background rows without putting them back and one t from each of
as many stretches of the path. Rounds are independent, and are doubled for the rows whose largest standard error is
still above the tolerance, as a share of their largest value. The same draws serve all rows.

Source: Erion, Janizek, Sturmfels, Lundberg, Lee, "Improving performance of deep learning models with axiomatic
attribution priors and expected gradients", Nature Machine Intelligence 2021, arXiv:1906.10670.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from auditkit.attribution.explicands import Explicands, PartAttribution
from auditkit.attribution.method import Method, gradient_allows
from auditkit.attribution.rounds import Noise, Rounds, gradient_rounds, spread
from auditkit.attribution.shapley.game import background_scores
from auditkit.engine.rows import Rows, Scorer
from auditkit.engine.space import Points

FIRST_ROUNDS = 8
LEAST, MOST = 16, 128
"""draws to a round"""
SAMPLES = 2048


def expected_gradients(
    engine: Scorer,
    explicands: Explicands,
    samples: int | None = None,
    tolerance: float = 0.01,
    seed: int = 0,
    noise: float = 0.0,
) -> PartAttribution:
    """Attributions of every row, with standard errors.

    samples: draws for each row; where None, as many as the tolerance takes, SAMPLES at most. noise: standard deviation
    of noise on the row itself, as a share of the range of its numbers (see `gradient_shap`).
    """
    size = _round_size(0 if explicands.background is None else len(explicands.background[0]), samples)
    rounds = FIRST_ROUNDS if samples is None else max(2, samples // size)
    most = SAMPLES // size if samples is None else rounds
    n, device = len(explicands), explicands.scores.device
    cells = explicands.cells
    values, errors = (
        torch.zeros((n, len(explicands.partition.parts)), dtype=torch.float64, device=device) for _ in range(2)
    )
    maps = None if cells is None else torch.zeros((n, *cells.shape), dtype=torch.float64, device=device)
    taken, converged = np.zeros(n, dtype=np.int64), np.zeros(n, dtype=bool)
    pending, done = torch.arange(n, device=device), 0
    found: tuple[Rounds, ...] = (Rounds(), Rounds())
    while len(pending):
        _walk(engine, explicands, pending, range(done, rounds), size, seed, noise, found)
        mean, error = found[0].mean, found[0].error
        values[pending], errors[pending], taken[pending.cpu()] = mean, error, rounds * size
        if maps is not None:
            maps[pending] = found[1].mean
        close = error.amax(dim=1) <= tolerance * mean.abs().amax(dim=1).clamp_min(1e-12)
        converged[pending[close].cpu()] = True
        if 2 * rounds > most:
            break
        pending, done, rounds = pending[~close], rounds, 2 * rounds
        found = tuple(part.take(~close) for part in found)
    return PartAttribution(
        values,
        taken,
        maps,
        steps=taken,
        converged=converged if samples is None else None,
        errors=errors,
        base=None if explicands.background is None else background_scores(engine, explicands, explicands.background),
    )


def _round_size(pool: int, samples: int | None) -> int:
    """How many draws make a round: the whole pool once or several times, where that is not too many."""
    whole = pool * -(-LEAST // pool) if pool else LEAST
    return min(whole, MOST) if samples is None else max(1, min(whole, MOST, samples // FIRST_ROUNDS))


def _walk(
    engine: Scorer,
    explicands: Explicands,
    chosen: Tensor,
    rounds: range,
    size: int,
    seed: int,
    noise: float,
    found: tuple[Rounds, ...],
) -> None:
    """Further rounds for the chosen rows, added to what was found: values by part, and maps where rows have them."""
    given, partition, first = explicands.given, explicands.partition, rounds.start * size
    pool = explicands.background
    picks, along = (part.to(chosen.device) for part in _paths(rounds, size, len(pool[0]) if pool else 1, seed))
    unit, width = Noise(given.points, seed + 1, mirrored=size % 2 == 0), spread(given.points, noise)

    def ends(example: Tensor, draw: Tensor) -> tuple[Points, Points]:
        """Where the paths end (the row, with noise) and where they begin."""
        own = tuple(part[chosen[example]] for part in given.points)
        starts = explicands.baseline.take(chosen[example]) if pool is None else _picked(pool, picks[draw - first])
        if noise:
            pairs = zip(own, width, unit(draw), strict=True)
            own = tuple(x + s[chosen[example]] * e for x, s, e in pairs)
        return own, starts

    def build(example: Tensor, draw: Tensor) -> Rows:
        rows, at = given.take(chosen[example]), along[draw - first]
        pairs = zip(*ends(example, draw), strict=True)
        points = tuple(b + at.reshape(-1, *[1] * (x.ndim - 1)).to(x.dtype) * (x - b) for x, b in pairs)
        return Rows(points, rows.contrast, rows.held)

    def value(example: Tensor, draw: Tensor, slopes: Points) -> Points:
        own, starts = ends(example, draw)
        shares = tuple((x - b).double() * g for x, b, g in zip(own, starts, slopes, strict=True))
        whole = explicands.maps(shares)
        return (partition.sums(shares),) if whole is None else (partition.sums(shares), whole)

    def add(means: Points) -> None:
        for part, mean in zip(found, means, strict=False):
            part.add(mean)

    gradient_rounds(engine, len(chosen), range(first, rounds.stop * size), size, build, value, add)


def _picked(pool: Points, picks: Tensor) -> Points:
    return tuple(part[picks] for part in pool)


def _paths(rounds: range, size: int, pool: int, seed: int) -> tuple[Tensor, Tensor]:
    """Of every draw the background row, int64, and how far along the path, float64: [rounds * size] each.

    A round's rows are as different as the pool allows, and its places lie in `size` equal stretches, one in each.
    """
    picks, along = [], []
    for number in rounds:
        generator = np.random.default_rng([seed, number])
        shuffled = [generator.permutation(pool) for _ in range(-(-size // pool))]
        picks.append(np.concatenate(shuffled)[:size])
        along.append((generator.permutation(size) + generator.random(size)) / size)
    return torch.from_numpy(np.concatenate(picks)), torch.from_numpy(np.concatenate(along))


METHOD = Method(
    name="expected_gradients",
    title="Expected Gradients",
    complete=True,
    signed=True,
    direction="positive speaks for the target, negative against it, compared with the average background row",
    cost=f"{FIRST_ROUNDS * LEAST} to {SAMPLES} forward and backward rows, until the standard error is in tolerance",
    run=lambda engine, rows, told: expected_gradients(engine, rows, told.samples, told.tolerance, told.seed),
    valid_for=gradient_allows,
    in_audits=False,
    against="reference rows",
)
