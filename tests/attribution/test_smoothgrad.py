"""SmoothGrad: exact where it must be, and elsewhere within the error it states."""

import numpy as np
import torch
from torch import nn

from auditkit.attribution.explanation import explain

X = torch.tensor([[1.0, 2.0, 3.0], [-1.0, 0.5, 4.0]], dtype=torch.float64)
A = torch.tensor([[2.0, 1, 0], [1, 3, -1], [0, -1, 1]], dtype=torch.float64)


def smooth(f, x=X, **settings):
    return explain(f, x, method="smoothgrad", **settings)


def wavy(x):
    return (torch.sin(3 * x) + 0.2 * x.prod(dim=1, keepdim=True)).sum(dim=1)


def test_of_a_linear_score_it_is_the_size_of_the_weights_without_error():
    found = smooth(lambda x: x @ torch.tensor([2.0, -3, 0.5]).double() + 7)
    np.testing.assert_allclose(found.values, [[2, 3, 0.5]] * 2, atol=1e-12)
    assert found.standard_error.max() < 1e-12


def test_of_a_quadratic_score_mirrored_noise_leaves_no_error():
    found = smooth(lambda x: ((x @ A) * x).sum(dim=1), samples=4)
    np.testing.assert_allclose(found.values, (2 * X @ A).abs(), atol=1e-9)
    assert found.standard_error.max() < 1e-9


def test_a_smoothed_sine_is_the_sine_damped():
    """E cos(w (x + ε)) = cos(w x) exp(-w² σ² / 2)."""
    x = torch.tensor([[0.0, 1.0]], dtype=torch.float64)
    found = smooth(lambda x: torch.sin(3 * x).sum(dim=1), x, samples=4000, noise=0.3)
    expected = (3 * torch.cos(3 * x) * np.exp(-0.5 * (3 * 0.3) ** 2)).abs()
    assert ((found.values - expected).abs() <= 4 * found.standard_error).all()
    assert found.standard_error.max() < 0.05


def test_without_noise_it_is_saliency():
    torch.testing.assert_close(smooth(wavy, noise=0.0).values, explain(wavy, X, method="saliency").values)


def test_the_stated_error_is_the_spread_over_seeds():
    found = [smooth(wavy, samples=32, seed=seed) for seed in range(60)]
    values = torch.stack([part.values for part in found])
    stated = torch.stack([part.standard_error for part in found]).square().mean(dim=0).sqrt()
    ratio = values.std(dim=0) / stated
    assert ((ratio > 0.6) & (ratio < 1.5)).all()


def test_neither_batch_size_nor_company_matters_but_the_seed_does():
    whole = smooth(wavy, samples=11)
    assert whole.evaluations.tolist() == [12, 12]
    for size in (1, 5):
        torch.testing.assert_close(smooth(wavy, samples=11, batch_size=size).values, whole.values)
    torch.testing.assert_close(smooth(wavy, X[1:], samples=11).values[0], whole.values[1])
    assert not torch.equal(smooth(wavy, samples=11, seed=1).values, whole.values)


def test_agrees_with_captums_noise_tunnel_over_signed_slopes():
    from captum.attr import NoiseTunnel, Saliency

    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(3, 16), nn.Tanh(), nn.Linear(16, 1)).double().eval()
    row = X[:1]
    width = 0.2 * (row.max() - row.min())
    theirs = NoiseTunnel(Saliency(net)).attribute(row, nt_samples=20_000, stdevs=float(width), abs=False).abs()
    ours = smooth(net, row, samples=2000, noise=0.2)
    assert ((ours.values - theirs).abs() <= 4 * ours.standard_error + 4e-3).all()


def test_pictures_with_cells_add_up_their_pixels():
    net = nn.Sequential(nn.Flatten(), nn.Linear(16, 1)).double()
    x = torch.randn(2, 1, 4, 4, dtype=torch.float64)
    groups = torch.arange(16).reshape(1, 4, 4) // 4
    found = smooth(net, x, groups=groups)
    np.testing.assert_allclose(found.by_part[0], net[1].weight.detach().abs().reshape(4, 4).sum(dim=1), atol=1e-9)
