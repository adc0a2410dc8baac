"""Optimisers against their steps by hand, and the learning rate against PyTorch's own schedules."""

import math

import pytest
import torch
from torch import nn, optim

from auditkit.training.optimizers import make_optimizer, optimization
from auditkit.training.recipe import Recipe
from auditkit.training.schedules import Rate

GRADIENTS = torch.tensor([[[1.0, -2.0]], [[0.5, 0.5]], [[-1.0, 3.0]]], dtype=torch.float64)


def walk(recipe, gradients=GRADIENTS):
    """Where a weight that starts at (1, 1) is after each of these gradients."""
    network = nn.Linear(2, 1, bias=False).double()
    nn.init.ones_(network.weight)
    optimizer, way = make_optimizer(network, recipe), []
    for gradient in gradients:
        network.weight.grad = gradient.clone()
        optimizer.step()
        way.append(network.weight.detach().clone())
    return torch.stack(way)


@pytest.mark.parametrize("nesterov", [False, True])
def test_sgd_with_momentum_and_l2_by_hand(nesterov):
    recipe = Recipe(optimizer="sgd", learning_rate=0.1, momentum=0.8, nesterov=nesterov, weight_decay=0.05)
    weight, velocity, way = torch.ones(1, 2, dtype=torch.float64), 0.0, []
    for gradient in GRADIENTS:
        slope = gradient + 0.05 * weight
        velocity = 0.8 * velocity + slope
        weight = weight - 0.1 * (slope + 0.8 * velocity if nesterov else velocity)
        way.append(weight)
    torch.testing.assert_close(walk(recipe), torch.stack(way))


@pytest.mark.parametrize("name", ["adam", "adamw"])
def test_adam_and_its_two_ways_of_decay_by_hand(name):
    recipe = Recipe(optimizer=name, learning_rate=0.1, weight_decay=0.05)
    weight, mean, square, way = torch.ones(1, 2, dtype=torch.float64), 0.0, 0.0, []
    for step, gradient in enumerate(GRADIENTS, start=1):
        slope = gradient + 0.05 * weight if name == "adam" else gradient
        weight = weight if name == "adam" else weight * (1 - 0.1 * 0.05)
        mean, square = 0.9 * mean + 0.1 * slope, 0.999 * square + 0.001 * slope**2
        weight = weight - 0.1 * (mean / (1 - 0.9**step)) / ((square / (1 - 0.999**step)) ** 0.5 + 1e-8)
        way.append(weight)
    torch.testing.assert_close(walk(recipe), torch.stack(way))


def test_biases_and_normalisation_are_not_decayed_and_frozen_weights_not_touched():
    network = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 2))
    network[0].requires_grad_(False)
    groups = make_optimizer(network, Recipe(weight_decay=0.3)).param_groups
    assert [parameter.shape for parameter in groups[0]["params"]] == [(2, 4)]
    assert (groups[0]["weight_decay"], groups[1]["weight_decay"]) == (0.3, 0.0)
    assert {id(parameter) for group in groups for parameter in group["params"]} == {
        id(parameter) for parameter in network.parameters() if parameter.requires_grad
    }


def rates(recipe, steps, losses=()):
    """The learning rate at each step; an epoch's loss is shown at its end."""
    found = optimization(nn.Linear(1, 1), recipe, steps)
    optimizer, schedule, way = found["optimizer"], found["lr_scheduler"]["scheduler"], []
    for step in range(steps * recipe.epochs):
        way.append(optimizer.param_groups[0]["lr"])
        if losses and step % steps == steps - 1:
            schedule.lr_lambdas[0].observe(losses[step // steps])
        optimizer.step()
        schedule.step()
    return way


@pytest.mark.parametrize(
    ("schedule", "oracle"),
    [
        ("cosine", lambda o: optim.lr_scheduler.CosineAnnealingLR(o, 40)),
        ("linear", lambda o: optim.lr_scheduler.LinearLR(o, 1.0, 0.0, 40)),
        ("step", lambda o: optim.lr_scheduler.StepLR(o, 3 * 4, 0.5)),
        ("constant", lambda o: optim.lr_scheduler.ConstantLR(o, 1.0)),
    ],
)
def test_schedules_are_pytorchs(schedule, oracle):
    more = {"step_epochs": 3, "decay_factor": 0.5} if schedule == "step" else {}
    optimizer = optim.SGD(nn.Linear(1, 1).parameters(), lr=0.2)
    own, truth = oracle(optimizer), []
    for _ in range(40):
        truth.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        own.step()
    recipe = Recipe(schedule=schedule, epochs=10, warmup=0, learning_rate=0.2, **more)
    assert rates(recipe, 4) == pytest.approx(truth, abs=1e-9)


def test_a_plateau_falls_where_pytorchs_does():
    losses = [1.0, 0.9, 0.91, 0.92, 0.93, 0.8, 0.81, 0.82, 0.83, 0.84, 0.85, 0.86]
    optimizer = optim.SGD(nn.Linear(1, 1).parameters(), lr=0.2)
    own, truth = optim.lr_scheduler.ReduceLROnPlateau(optimizer, factor=0.3, patience=2, threshold=0.0), []
    for loss in losses:
        truth.append(optimizer.param_groups[0]["lr"])
        own.step(loss)
    recipe = Recipe(schedule="plateau", step_epochs=2, decay_factor=0.3, epochs=12, warmup=0, learning_rate=0.2)
    assert rates(recipe, 1, losses) == pytest.approx(truth)
    assert len(set(truth)) == 3


@pytest.mark.parametrize("schedule", ["cosine", "linear", "step", "constant", "plateau"])
def test_the_warm_up_is_a_line_and_at_most_half_of_the_epochs(schedule):
    way = rates(Recipe(schedule=schedule, epochs=4, warmup=99, learning_rate=1.0), 5)
    assert way[:10] == pytest.approx([(step + 1) / 11 for step in range(10)])
    assert max(way) <= 1.0


def test_all_of_a_rate_is_in_the_schedulers_state():
    recipe = Recipe(schedule="plateau", step_epochs=1, epochs=6)
    schedule = optimization(nn.Linear(1, 1), recipe, 2)["lr_scheduler"]["scheduler"]
    for loss in (1.0, 1.0, 1.0):
        schedule.lr_lambdas[0].observe(loss)
    again = optimization(nn.Linear(1, 1), recipe, 2)["lr_scheduler"]["scheduler"]
    again.load_state_dict(schedule.state_dict())
    assert again.lr_lambdas[0] == schedule.lr_lambdas[0] != Rate.of(recipe, 2)
    assert math.isclose(again.lr_lambdas[0].level, 0.1)
