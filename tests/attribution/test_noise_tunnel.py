"""Smoothed Integrated Gradients: exact where they must be, and elsewhere within the error they state."""

import numpy as np
import torch
from torch import nn

from auditkit.attribution.explanation import explain

X = torch.tensor([[1.0, 2.0, 3.0], [-1.0, 0.5, 4.0]], dtype=torch.float64)
A = torch.tensor([[2.0, 1, 0], [1, 3, -1], [0, -1, 1]], dtype=torch.float64)


def smooth(f, x=X, **settings):
    return explain(f, x, method="noise_tunnel", **settings)


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 16), nn.Tanh(), nn.Linear(16, 1)).double().eval()


def test_of_a_linear_score_it_is_the_exact_share_without_error():
    weights = torch.tensor([2.0, -3, 0.5]).double()
    found = smooth(lambda x: x @ weights + 7, baseline=1.0)
    np.testing.assert_allclose(found.values, (X - 1) * weights, atol=1e-12)
    assert found.standard_error.max() < 1e-12


def test_of_a_quadratic_score_noise_adds_its_variance_on_the_diagonal():
    found = smooth(lambda x: ((x @ A) * x).sum(dim=1), samples=4000, noise=0.2)
    deviation = 0.2 * (X.amax(dim=1, keepdim=True) - X.amin(dim=1, keepdim=True))
    expected = X * (X @ A) + deviation**2 * A.diagonal()
    assert ((found.values - expected).abs() <= 4 * found.standard_error + 1e-9).all()
    assert found.standard_error.max() < 0.15


def test_without_noise_it_is_integrated_gradients():
    net = network()
    plain = explain(net, X, tolerance=1e-9)
    np.testing.assert_allclose(smooth(net, noise=0.0).values, plain.values, atol=1e-7)


def test_agrees_with_captums_noise_tunnel():
    from captum.attr import IntegratedGradients, NoiseTunnel

    net, row = network(), X[:1]
    width = 0.2 * (row.max() - row.min())
    theirs = NoiseTunnel(IntegratedGradients(net)).attribute(
        row, nt_samples=8000, nt_samples_batch_size=500, stdevs=float(width), n_steps=16
    )
    ours = smooth(net, row, samples=1000, noise=0.2)
    assert ((ours.values - theirs).abs() <= 4 * ours.standard_error + 1e-2).all()


def test_neither_batch_size_nor_company_matters_but_the_seed_does():
    net = network()
    whole = smooth(net)
    np.testing.assert_allclose(smooth(net, batch_size=7).values, whole.values, atol=1e-12)
    np.testing.assert_allclose(smooth(net, X[1:]).values, whole.values[1:], atol=1e-12)
    assert not torch.allclose(smooth(net, seed=1).values, whole.values, atol=1e-9)
    assert whole.evaluations.tolist() == [16 * 16] * 2
