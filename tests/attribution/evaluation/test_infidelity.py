"""Infidelity against closed forms and captum."""

from dataclasses import replace

import pytest
import torch
from captum.metrics import infidelity as captum_infidelity
from torch import nn

from auditkit.attribution import explain
from auditkit.attribution.evaluation.infidelity import infidelity, masked, noise, towards
from auditkit.attribution.partition import Partition

W = torch.tensor([0.3, -0.2, 0.5, 0.1], dtype=torch.float64)
X = torch.tensor([[1.0, 2.0, -1.0, 0.5], [0.0, 1.0, 1.0, -2.0]], dtype=torch.float64)


def linear(x):
    return x @ W


def bent(x):
    return torch.relu(x[:, 0] + x[:, 1] - 1.3) + torch.relu(-x[:, 3] - 0.7) + x[:, 2] ** 2


def test_the_slopes_of_a_linear_model_foretell_everything(asked):
    engine, rows = asked(linear, X)
    seen = noise(engine, rows, 0.1, 2000, seed=0)
    assert infidelity(W.expand(2, 4), seen).values.max() < 1e-12
    nothing = infidelity(torch.zeros(2, 4).double(), seen)
    expected = 0.1**2 * float(W @ W)
    assert nothing.values.numpy() == pytest.approx(expected, rel=0.1)
    assert torch.equal(nothing.values, nothing.squares)


def test_contributions_to_a_linear_model_foretell_what_goes(asked):
    engine, rows = asked(linear, X)
    assert infidelity(X * W, towards(engine, rows, 64, seed=0)).values.max() < 1e-12


def test_of_everything_gone_at_once_it_is_the_square_of_the_completeness_gap(asked):
    found = explain(bent, X, maximum_steps=8, tolerance=1e-12)
    assert found.completeness_gap.abs().min() > 1e-4
    engine, rows = asked(bent, X)
    seen = masked(engine, rows, torch.ones(1, 2, 4, dtype=torch.bool))
    assert infidelity(found.by_part, seen).values == pytest.approx(found.completeness_gap.numpy() ** 2, abs=1e-12)


@pytest.mark.parametrize("scaled", [False, True])
def test_the_same_perturbations_give_what_captum_gives(asked, scaled):
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 1)).double().requires_grad_(False)
    values = torch.randn(2, 4).double()
    engine, rows = asked(network, X)
    seen = noise(engine, rows, 0.3, 10, seed=1)
    shifts = seen.shifts.transpose(0, 1).reshape(-1, 4)
    theirs = captum_infidelity(
        lambda x: network(x)[:, 0],
        lambda x: (shifts, x - shifts),
        X,
        values,
        n_perturb_samples=10,
        normalize=scaled,
    )
    ours = infidelity(values, seen, scaled)
    assert ours.values.numpy() == pytest.approx(theirs.numpy(), rel=1e-9)
    assert ours.scaled is scaled


def test_scaling_forgives_what_only_stretches(asked):
    engine, rows = asked(linear, X)
    seen = towards(engine, rows, 64, seed=0)
    assert infidelity(3 * X * W, seen).values.min() > 0
    stretched = infidelity(3 * X * W, seen, scaled=True)
    assert stretched.values.max() < 1e-12
    assert stretched.scaling.numpy() == pytest.approx(1 / 3)
    assert infidelity(torch.zeros(2, 4).double(), seen, scaled=True).scaling.tolist() == [1, 1]


def test_noise_is_refused_where_numbers_share_a_part(asked):
    engine, rows = asked(linear, X)
    rows = replace(rows, partition=Partition(("a", "b"), (torch.tensor([0, 0, 1, 1]),)))
    with pytest.raises(ValueError, match="every number is a part"):
        noise(engine, rows, 0.1, 4, seed=0)
