"""Losses against closed forms, PyTorch and scikit-learn; weights against repeated rows."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import brier_score_loss, log_loss
from torch import nn
from torch.nn import functional

from auditkit.errors import InputError
from auditkit.training.losses import classification, elementwise, l1_penalty, weighted_mean

RANDOM = torch.Generator().manual_seed(0)
LOGITS = 3 * torch.randn(50, 4, generator=RANDOM, dtype=torch.float64)
LABELS = torch.randint(0, 4, (50,), generator=RANDOM)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_focal_with_gamma_0_is_cross_entropy(smoothing):
    focal = classification("focal", smoothing, gamma=0.0)(LOGITS, LABELS)
    truth = functional.cross_entropy(LOGITS, LABELS, reduction="none", label_smoothing=smoothing)
    torch.testing.assert_close(focal, truth)
    torch.testing.assert_close(classification("cross_entropy", smoothing)(LOGITS, LABELS), truth)


def test_focal_counts_a_row_less_by_a_power_of_what_it_misses():
    p = LOGITS.softmax(1)[torch.arange(50), LABELS]
    torch.testing.assert_close(classification("focal")(LOGITS, LABELS), -((1 - p) ** 2) * p.log())
    torch.testing.assert_close(classification("focal", gamma=0.5)(LOGITS, LABELS), -((1 - p) ** 0.5) * p.log())


def test_focal_has_a_slope_at_a_row_that_is_all_right():
    sure = torch.tensor([[80.0, -80.0]], requires_grad=True)
    classification("focal", gamma=0.5)(sure, torch.tensor([0])).sum().backward()
    assert torch.isfinite(sure.grad).all()


def test_bce_is_the_mean_log_loss_of_each_class_against_the_rest():
    chances = LOGITS.sigmoid().numpy()
    truth = np.mean([log_loss(LABELS.numpy() == k, chances[:, k], labels=[False, True]) for k in range(4)])
    assert float(classification("bce")(LOGITS, LABELS).mean()) == pytest.approx(truth, rel=1e-12)


def test_mse_of_two_classes_is_twice_sklearns_brier_score():
    logits, labels = LOGITS[:, :2], LABELS % 2
    truth = brier_score_loss(labels.numpy(), logits.softmax(1)[:, 1].numpy())
    assert float(classification("mse")(logits, labels).mean()) == pytest.approx(2 * truth, rel=1e-12)


def test_mae_is_twice_the_chance_of_the_wrong_classes():
    p = LOGITS.softmax(1)[torch.arange(50), LABELS]
    torch.testing.assert_close(classification("mae")(LOGITS, LABELS), 2 * (1 - p))


@pytest.mark.parametrize("name", ["cross_entropy", "bce", "mse"])
@given(chance=st.floats(0.05, 0.95))
def test_a_proper_loss_is_least_where_the_chances_are_true(name, chance):
    """Of two labels with this chance, the expected loss has slope zero at the logits that say so."""
    logit = math.log(chance / (1 - chance))
    right = [-logit, logit] if name == "bce" else [0.0, logit]
    logits = torch.tensor([right] * 2, dtype=torch.float64, requires_grad=True)
    loss = classification(name)(logits, torch.tensor([0, 1]))
    (loss * torch.tensor([1 - chance, chance], dtype=torch.float64)).sum().backward()
    assert logits.grad.sum(0).abs().max() < 1e-9


@pytest.mark.parametrize("name", ["mse", "mae", "huber", "bce"])
def test_losses_of_numbers_are_pytorchs_number_by_number(name):
    predicted, truth = torch.randn(6, 3, generator=RANDOM), torch.rand(6, 3, generator=RANDOM)
    oracle = {
        "mse": (predicted - truth) ** 2,
        "mae": (predicted - truth).abs(),
        "huber": functional.huber_loss(predicted, truth, reduction="none", delta=0.3),
        "bce": -(truth * predicted.sigmoid().log() + (1 - truth) * (1 - predicted.sigmoid()).log()),
    }[name]
    torch.testing.assert_close(elementwise(name, delta=0.3)(predicted, truth), oracle)


def test_half_the_brier_score_is_why_huber_is_refused():
    hot = functional.one_hot(LABELS, 4)
    halved = elementwise("huber")(LOGITS.softmax(1), hot.double()).sum(1)
    torch.testing.assert_close(halved, classification("mse")(LOGITS, LABELS) / 2)
    with pytest.raises(InputError, match=r"huber is for networks that predict numbers .* so use mse"):
        classification("huber")


def test_unknown_names():
    with pytest.raises(InputError, match="did you mean 'focal'"):
        classification("focall")
    with pytest.raises(InputError, match="loss 'cross_entropy' is none of numbers"):
        elementwise("cross_entropy")


@given(st.lists(st.integers(0, 5), min_size=8, max_size=8).filter(any))
def test_a_whole_weight_is_as_many_copies_of_the_row(counts):
    weights = torch.tensor(counts, dtype=torch.float64)
    rows = torch.arange(8).repeat_interleave(torch.tensor(counts))
    losses = classification("cross_entropy")(LOGITS[:8], LABELS[:8])
    assert float(weighted_mean(losses, weights)) == pytest.approx(float(losses[rows].mean()), rel=1e-12)


def test_a_batch_of_rows_that_count_nothing_teaches_nothing():
    assert float(weighted_mean(torch.ones(3), torch.zeros(3))) == 0.0


def test_l1_counts_weights_that_are_trained_and_no_biases():
    network = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3), nn.Linear(3, 2))
    network[2].weight.requires_grad = False
    assert float(l1_penalty(network).detach()) == pytest.approx(float(network[0].weight.detach().abs().sum()))
