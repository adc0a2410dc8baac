"""Expected Gradients and GradientSHAP: closed forms, their own stated error, and Integrated Gradients as the oracle."""

import numpy as np
import pytest
import torch
from torch import nn

from auditkit.attribution.explanation import explain

relu = torch.relu
W = torch.tensor([2.0, -3, 0.5], dtype=torch.float64)
A = torch.tensor([[2.0, 1, 0], [1, 3, -1], [0, -1, 1]], dtype=torch.float64)
CASES = {
    "linear": (lambda x: x @ W + 7, (1, 2, 3), (2, -6, 1.5)),
    "relu of relus": (lambda x: relu(relu(x[:, 0]) - 1 - relu(x[:, 1])), (3, 1), (1.5, -0.5)),
    "written otherwise": (lambda x: relu(relu(x[:, 0] - 1) - relu(x[:, 1])), (3, 1), (1.5, -0.5)),
    "maximum": (lambda x: x.amax(dim=1), (3, 1), (3, 0)),
    "product": (lambda x: x.prod(dim=1), (2, 3, 4), (8, 8, 8)),
    "quadratic form": (lambda x: ((x @ A) * x).sum(dim=1), (1, 2, 3), (4, 8, 3)),
}


def expected(f, x, **settings):
    return explain(f, x, method="expected_gradients", **settings)


@pytest.fixture(scope="module")
def net() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 16), nn.Tanh(), nn.Linear(16, 2)).double()


@pytest.fixture(scope="module")
def rows() -> torch.Tensor:
    return torch.randn(5, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


@pytest.fixture(scope="module")
def reference() -> torch.Tensor:
    return torch.randn(60, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(2)) + 1


@pytest.mark.parametrize("case", CASES)
def test_closed_forms_within_the_stated_error(case):
    f, point, known = CASES[case]
    found = expected(f, torch.tensor([point], dtype=torch.float64), tolerance=0.003)
    off = (found.values[0] - torch.tensor(known)).abs()
    assert (off <= 4 * found.standard_error[0] + 1e-9).all()
    assert found.converged.all()
    assert found.relative_gap.max() < 0.02


@pytest.mark.parametrize("method", ["expected_gradients", "gradient_shap"])
def test_of_a_linear_score_each_column_gets_its_term_exactly(method, reference):
    x, weight = torch.ones(2, 4, dtype=torch.float64), torch.tensor([1.0, -2, 3, 0], dtype=torch.float64)
    found = explain(lambda x: x @ weight + 5, x, method=method, reference=reference)
    np.testing.assert_allclose(found.values, (x - reference.mean(dim=0)) * weight, atol=1e-9)
    if method == "expected_gradients":
        assert found.relative_gap.max() < 1e-9


def test_it_is_integrated_gradients_averaged_over_the_reference(net, rows, reference):
    found = expected(net, rows, target=0, reference=reference)
    each = [explain(net, rows, target=0, baseline=row[None], tolerance=1e-9).values for row in reference]
    oracle = torch.stack(each).mean(dim=0)
    assert ((found.values - oracle).abs() <= 4 * found.standard_error + 1e-9).all()
    change = net(rows)[:, 0] - net(reference)[:, 0].mean()
    torch.testing.assert_close(found.scores - found.baseline_scores, change.detach())
    assert found.relative_gap.max() < 0.05


def test_the_stated_error_is_the_spread_over_seeds(net, rows, reference):
    found = [expected(net, rows, target=0, reference=reference, samples=240, seed=seed) for seed in range(50)]
    # the reference rows themselves are the same for every seed, as there are fewer than a hundred
    values = torch.stack([part.values for part in found])
    stated = torch.stack([part.standard_error for part in found]).square().mean(dim=0).sqrt()
    ratio = values.std(dim=0) / stated
    assert ((ratio > 0.6) & (ratio < 1.5)).all()


def test_only_rows_out_of_tolerance_are_sent_on():
    def f(x):
        return x[:, 0] + torch.sin(40 * x[:, 1]) * x[:, 0]

    x = torch.tensor([[1.0, 0.0], [1.0, 1.0]], dtype=torch.float64)
    found = expected(f, x, tolerance=1e-3)
    assert found.evaluations[0] == 128
    assert found.evaluations[1] > 128
    assert found.steps.tolist() == found.evaluations.tolist()
    told = expected(f, x, samples=100)
    assert told.converged is None
    assert told.evaluations.tolist() == [96, 96]


def test_neither_batch_size_nor_company_matters_but_the_seed_does(net, rows, reference):
    whole = expected(net, rows, target=1, reference=reference, samples=100)
    for size in (1, 13):
        part = expected(net, rows, target=1, reference=reference, samples=100, batch_size=size)
        torch.testing.assert_close(part.values, whole.values)
        torch.testing.assert_close(part.standard_error, whole.standard_error)
    alone = expected(net, rows[3:4], target=1, reference=reference, samples=100)
    torch.testing.assert_close(alone.values[0], whole.values[3])
    other = expected(net, rows, target=1, reference=reference, samples=100, seed=1)
    assert not torch.equal(other.values, whole.values)


def test_gradient_shap_agrees_with_captum(net, rows, reference):
    from captum.attr import GradientShap

    row = rows[:1]
    width = 0.1 * float(row.max() - row.min())
    torch.manual_seed(0)
    draws = [GradientShap(net).attribute(row, reference, n_samples=500, stdevs=width, target=0) for _ in range(20)]
    theirs = torch.stack(draws)
    ours = explain(net, row, target=0, method="gradient_shap", reference=reference, noise=0.1)
    error = (theirs.std(dim=0) ** 2 / 20 + ours.standard_error**2).sqrt()
    assert ((ours.values - theirs.mean(dim=0)).abs() <= 4 * error).all()
    assert ours.relative_gap.isnan().all()


def test_noise_of_gradient_shap_smooths_a_kink():
    """At a kink a noisy row sees half of either side: E max(ε, 0) = σ / sqrt(2π)."""
    x = torch.tensor([[0.0, 1.0]], dtype=torch.float64)
    found = explain(lambda x: relu(x[:, 0]), x, method="gradient_shap", noise=0.5, samples=4000)
    assert found.values[0, 1] == 0
    assert abs(found.values[0, 0] - 0.5 / np.sqrt(2 * np.pi)) <= 4 * found.standard_error[0, 0]
