"""KernelSHAP where it samples: its error is what it says, shrinks, and ends where it was told to."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from auditkit.attribution import explain
from auditkit.attribution.shapley.coalitions import allotted, sizes_of

WIDTH = 12


def network(seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    layers = (nn.Linear(WIDTH, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 1))
    return nn.Sequential(*layers).double()


def rows(n: int) -> Tensor:
    return torch.randn((n, WIDTH), generator=torch.Generator().manual_seed(1)).double()


@pytest.mark.parametrize("method", ["kernel_shap", "permutation_shapley"])
def test_standard_errors_are_the_scatter_over_seeds(method):
    model, x = network(), rows(6)
    truth = explain(model, x, method="exact_shapley").values
    samples = 300 if method == "kernel_shap" else 64
    found = [explain(model, x, method=method, samples=samples, tolerance=0, seed=seed) for seed in range(20)]
    values = torch.stack([part.values for part in found])
    stated = torch.stack([part.standard_error for part in found])
    ratio = values.std(dim=0).mean() / stated.mean()
    assert 0.8 < ratio < 1.2
    scores = (values - truth) / stated
    assert 0.8 < scores.std() < 1.3
    bias = (values.mean(dim=0) - truth) / (values.std(dim=0) / 20**0.5)
    assert bias.abs().mean() < 1.5


def test_it_stops_at_the_tolerance_row_by_row():
    model, x = network(), rows(8)
    truth = explain(model, x, method="exact_shapley").values
    evaluations, errors = [], []
    for tolerance in (0.1, 0.03, 0.01):
        found = explain(model, x, method="kernel_shap", tolerance=tolerance)
        assert found.converged.all()
        largest = found.values.abs().amax(dim=1)
        assert (found.standard_error.amax(dim=1) <= tolerance * largest).all()
        errors.append(float(((found.values - truth).abs().amax(dim=1) / largest).mean()))
        evaluations.append(found.evaluations)
        assert errors[-1] < 2 * tolerance  # the largest of twelve errors, of one standard error each
        torch.testing.assert_close(found.completeness_gap, torch.zeros(8).double(), atol=1e-9, rtol=0)
    assert errors[0] > errors[1] > errors[2]
    assert evaluations[0].mean() < evaluations[1].mean() < evaluations[2].mean() < 2**WIDTH - 2
    assert len(set(evaluations[1].tolist())) > 1
    spent = explain(model, x, method="kernel_shap", tolerance=1e-9, samples=500)
    assert not spent.converged.any()
    assert (spent.evaluations <= 500).all()


def test_all_coalitions_leave_no_error():
    model, x = network(), rows(3)
    found = explain(model, x, method="kernel_shap", tolerance=0, samples=2**WIDTH)
    exact = explain(model, x, method="exact_shapley")
    torch.testing.assert_close(found.values, exact.values, atol=1e-9, rtol=0)
    assert float(found.standard_error.abs().max()) == 0
    assert found.converged.all()
    assert found.evaluations.tolist() == exact.evaluations.tolist() == [2**WIDTH - 2] * 3


def test_pairwise_games_take_no_more_than_the_least_samples():
    """Where at most two parts interact, any pairs of coalitions that tell the parts apart give the values."""
    weights = torch.randn((40, 40), generator=torch.Generator().manual_seed(0)).double()
    x = torch.randn((3, 40), generator=torch.Generator().manual_seed(1)).double()
    found = explain(lambda z: ((z @ weights) * z).sum(dim=1), x, method="kernel_shap", samples=1)
    expected = x * (x @ (weights + weights.T)) / 2
    torch.testing.assert_close(found.values, expected, atol=1e-9, rtol=0)
    assert (found.evaluations == 2 * (40 + 20)).all()
    assert float(found.standard_error.max()) < 1e-9


def test_single_numbers_stay_single_and_the_seed_decides():
    model, x = network().float(), rows(2).float()
    first, again, other = (
        explain(model, x, method="kernel_shap", samples=200, tolerance=0, seed=seed) for seed in (0, 0, 1)
    )
    assert first.values.dtype == torch.float32
    assert torch.equal(first.by_part, again.by_part)
    assert not torch.equal(first.by_part, other.by_part)


@pytest.mark.parametrize("players", [2, 3, 4, 7, 12])
def test_every_coalition_is_drawn_once(players):
    found = []
    for size in sizes_of(players, 0):
        pairs = size.first(size.total)
        found += [tuple(pair) for pair in np.concatenate([pairs, ~pairs])]
        assert size.total == 1 or not np.array_equal(pairs, np.sort(pairs, axis=0))
    assert len(set(found)) == len(found) == 2**players - 2


def test_a_larger_draw_begins_with_the_smaller_one():
    for size in sizes_of(40, 3):
        few, many = size.first(20), size.first(35)
        assert np.array_equal(few, many[:20])
        assert len({tuple(pair) for pair in many}) == 35
        assert set(many.sum(axis=1)) == {size.size}
        assert not size.halves or many[:, 0].all()


def test_sizes_are_taken_from_the_outside_in():
    sizes = sizes_of(20, 0)
    for pairs in (30, 100, 400, 2000, 10**6):
        given = np.array(allotted(sizes, pairs))
        total = np.array([size.total for size in sizes])
        whole = given == total
        assert (given >= 1).all()
        assert (given <= total).all()
        assert whole.tolist() == sorted(whole.tolist(), reverse=True)
        assert given.sum() == min(pairs, total.sum())
        share = (given / [size.weight for size in sizes])[~whole & (given > 20)]
        assert not len(share) or np.ptp(share) <= 0.1 * share.max()
