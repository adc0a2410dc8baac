"""Randomisation: copies are new, the model is not touched, and only signed likeness is asked for."""

import copy

import pytest
import torch
from torch import nn

from auditkit.attribution import explain
from auditkit.attribution.evaluation.agreement import spearman
from auditkit.attribution.evaluation.randomisation import NoWeightsError, Twin, likeness, reinitialised


class Own(nn.Module):
    """A layer that cannot draw its own weights."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.linspace(4.0, 6.0, 200))
        self.one = nn.Parameter(torch.tensor(3.0))
        self.layer = nn.Linear(200, 2)


def test_all_weights_are_drawn_anew_and_the_model_is_left():
    module = nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(16, 2), nn.MultiheadAttention(4, 2)
    )
    module[1].running_mean += 5
    before, state = copy.deepcopy(module.state_dict()), torch.random.get_rng_state()
    twin = reinitialised(module, 0)
    assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())
    assert torch.equal(state, torch.random.get_rng_state())
    for name in ("0.weight", "0.bias", "3.weight", "3.bias", "4.in_proj_weight"):
        assert (twin.state_dict()[name] != before[name]).any(), name
    assert (twin[1].running_mean == 0).all()
    again, other = reinitialised(module, 0), reinitialised(module, 1)
    assert torch.equal(twin[3].weight, again[3].weight)
    assert not torch.equal(twin[3].weight, other[3].weight)


def test_weights_of_foreign_layers_keep_their_mean_and_spread():
    twin = reinitialised(Own(), 0)
    assert twin.scale.mean().item() == pytest.approx(5, abs=0.2)
    assert twin.scale.std().item() == pytest.approx(Own().scale.std().item(), rel=0.2)
    assert twin.one.item() != 3.0


def test_where_nothing_can_be_drawn_it_is_said(asked):
    with pytest.raises(NoWeightsError, match="no weights"):
        reinitialised(nn.ReLU(), 0)
    with pytest.raises(NoWeightsError, match="no weights"):
        reinitialised(nn.Sequential(nn.Embedding(3, 2)), 0, kept={"0"})
    engine, _ = asked(lambda x: x.sum(dim=1), torch.ones(2, 3))
    with pytest.raises(NoWeightsError):
        Twin(engine, 0)


def test_what_a_copy_costs_is_counted_by_the_original(asked):
    engine, rows = asked(nn.Linear(3, 1), torch.ones(2, 3))
    twin = Twin(engine, 0)
    other = twin.explicands(rows)
    assert engine.forwards == twin.forwards > 0
    assert not torch.allclose(other.scores, rows.scores)


def test_magnitudes_would_fail_what_signs_pass(digits):
    network, x = digits
    twin = reinitialised(network, 0)
    target = network(x).argmax(dim=1)
    first, second = (explain(net, x, method="gradient_x_input", target=target).by_part for net in (network, twin))
    assert likeness(first, second).mean().abs() < 0.15
    assert spearman(first.abs().numpy(), second.abs().numpy()).mean() > 0.8
