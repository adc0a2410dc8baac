"""Sensitivity: nothing moves where slopes do not, captum on the same neighbours, and who may be a neighbour."""

from dataclasses import replace

import pytest
import torch
from captum.metrics import sensitivity_max
from torch import nn

from auditkit.attribution.evaluation.sensitivity import max_sensitivity, neighbours
from auditkit.engine.rows import Plan, Rows

X = torch.tensor([[3.0, 1.0], [2.0, 0.5]], dtype=torch.float64)


def slopes(engine, rows):
    return torch.cat([found[0] for _, _, found in engine.gradients(Plan(len(rows), rows.given.take))])


def folded(x):
    return torch.relu(torch.relu(x[:, 0]) - 1 - torch.relu(x[:, 1]))


@pytest.mark.parametrize("function", [lambda x: x @ torch.tensor([2.0, -1.0]).double(), folded])
def test_slopes_that_do_not_change_have_none(asked, function):
    engine, rows = asked(function, X[:1])
    near = neighbours(engine, rows, 10, seed=0)
    moved = slopes(engine, near.explicands)
    assert max_sensitivity(slopes(engine, rows), moved, near.owner).item() == 0
    assert not torch.equal(near.explicands.given.points[0][0], X[0])


def test_the_same_neighbours_give_what_captum_gives(asked):
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(2, 8), nn.Tanh(), nn.Linear(8, 1)).double().requires_grad_(False)
    engine, rows = asked(network, X)
    near = neighbours(engine, rows, 5, seed=0)
    ours = max_sensitivity(slopes(engine, rows), slopes(engine, near.explicands), near.owner)

    def explained(x):
        engine, rows = asked(network, (x if isinstance(x, torch.Tensor) else x[0]).detach())
        return (slopes(engine, rows),)

    theirs = sensitivity_max(explained, X, lambda x: near.explicands.given.points[0], n_perturb_samples=5)
    assert ours.numpy() == pytest.approx(theirs.numpy(), rel=1e-9)


def test_neighbours_with_another_prediction_are_not_asked(asked):
    class Divided(nn.Module):
        def forward(self, x):
            return torch.stack([x[:, 0], x[:, 1]], dim=1)

    x = torch.tensor([[1.0, 1.0001], [5.0, 1.0]], dtype=torch.float64)
    engine, rows = asked(Divided(), x)
    rows = replace(rows, given=Rows((x,), torch.eye(2).double()[[1, 0]]))
    near = neighbours(engine, rows, 40, seed=0)
    assert near.asked == 80
    assert 0 < int((near.owner == 0).sum()) < 40
    assert int((near.owner == 1).sum()) == 40
    points = near.explicands.given.points[0]
    assert (points[near.owner == 0][:, 1] > points[near.owner == 0][:, 0]).all()
    picked = points[torch.arange(len(points)), torch.tensor([1, 0])[near.owner]]
    assert torch.allclose(near.explicands.scores, picked)


def test_a_row_without_a_neighbour_or_an_attribution_says_nothing():
    values = torch.tensor([[1.0, 0.0], [0.0, 0.0], [2.0, 0.0]])
    found = max_sensitivity(values, torch.tensor([[1.0, 1.0], [1.0, 0.0]]), torch.tensor([0, 1]))
    assert found[0].item() == 1
    assert found[1:].isnan().all()
