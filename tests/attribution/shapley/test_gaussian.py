"""Shapley values by a Gaussian process: exact where its belief is, nearer than least squares elsewhere, and honest."""

from itertools import combinations
from math import comb

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from auditkit.attribution import explain
from auditkit.attribution.shapley.gaussian import _covariances, krawtchouk

WIDTH = 12


def rows(n: int) -> Tensor:
    return torch.randn((n, WIDTH), generator=torch.Generator().manual_seed(1)).double()


def network() -> nn.Module:
    torch.manual_seed(0)
    layers = (nn.Linear(WIDTH, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 1))
    return nn.Sequential(*layers).double()


GAMES = {
    "network": network(),
    "maximum": lambda x: x.amax(dim=1),
    "product of five": lambda x: x[:, :5].prod(dim=1) + x.sum(dim=1),
}


@pytest.mark.parametrize("game", GAMES)
def test_it_is_nearer_than_least_squares_and_says_how_near(game):
    x = rows(8)
    exact = explain(GAMES[game], x, method="exact_shapley").values
    off = {}
    for method in ("kernel_shap", "gaussian_shapley"):
        found = [explain(GAMES[game], x, method=method, samples=700, tolerance=0, seed=seed) for seed in range(4)]
        off[method] = torch.stack([part.values - exact for part in found])
        torch.testing.assert_close(found[0].completeness_gap, torch.zeros(8).double(), atol=1e-6, rtol=0)
        assert (found[0].evaluations == 700).all()
    assert off["gaussian_shapley"].abs().mean() < 0.75 * off["kernel_shap"].abs().mean()
    scores = off["gaussian_shapley"] / torch.stack([part.standard_error for part in found])
    assert scores.std() < 1.4  # rows share their coalitions, so that these are no 384 errors of their own
    assert scores.abs().quantile(0.95) < 2.8


@pytest.mark.parametrize("kind", [torch.float64, torch.float32])
def test_games_of_pairs_are_solved_by_the_least_samples(kind):
    weights = torch.randn((40, 40), generator=torch.Generator().manual_seed(0)).to(kind)
    x = torch.randn((3, 40), generator=torch.Generator().manual_seed(1)).to(kind)
    found = explain(lambda z: ((z @ weights) * z).sum(dim=1), x, method="gaussian_shapley", samples=200, tolerance=0)
    expected = x * (x @ (weights + weights.T)) / 2
    assert (found.values - expected).abs().max() < 1e-3 * expected.abs().max()


def test_it_stops_early_and_all_coalitions_leave_no_error():
    model, x = network(), rows(4)
    fewer, more = (explain(model, x, method=name) for name in ("gaussian_shapley", "kernel_shap"))
    assert fewer.evaluations.sum() < more.evaluations.sum()
    whole = explain(model, x, method="gaussian_shapley", tolerance=0, samples=2**WIDTH)
    torch.testing.assert_close(whole.values, explain(model, x, method="exact_shapley").values, atol=1e-9, rtol=0)
    assert float(whole.standard_error.max()) == 0


@pytest.mark.parametrize("players", [3, 6, 9])
def test_covariances_are_those_of_the_sum_over_sets(players):
    """Against the sum over all sets of oddly many players, written out."""
    variances = np.array([10.0, 0.3, 0.09, 0.02, 0.01])[: (players + 1) // 2]
    signs = np.random.default_rng(0).choice([-1.0, 1.0], (6, players))
    covariance, with_value = np.zeros((6, 6)), np.zeros(6)
    for place, variance in enumerate(variances):
        size = 2 * place + 1
        for members in combinations(range(players), size):
            product = signs[:, members].prod(axis=1)
            covariance += variance / comb(players, size) * np.outer(product, product)
            with_value += (2 / size) * variance / comb(players, size) * product * (0 in members)
    between, of_value = (part.numpy() for part in _covariances(players, variances))
    apart = ((players - signs @ signs.T) / 2).round().astype(int)
    np.testing.assert_allclose(between[apart], covariance, atol=1e-12)
    lacking = (signs[:, 1:] < 0).sum(axis=1)
    np.testing.assert_allclose(signs[:, 0] * of_value[lacking], with_value, atol=1e-12)


def test_krawtchouk_of_all_players_is_their_product():
    np.testing.assert_allclose(krawtchouk(5, 6)[5], [1, -1, 1, -1, 1, -1])
