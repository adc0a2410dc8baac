"""Permutation importance against its closed form, scikit-learn, brute force; its intervals keep their promise."""

import numpy as np
import pytest
import torch
from sklearn.base import BaseEstimator
from sklearn.inspection import permutation_importance as oracle
from torch import Tensor, nn

from auditkit.attribution import permutation_importance
from auditkit.errors import InputError

W = torch.tensor([2.0, -1.0, 0.0]).double()


def linear(x: Tensor) -> Tensor:
    return x @ W


def rows(count: int, seed: int, columns: int = 3) -> Tensor:
    return torch.randn(count, columns, generator=torch.Generator().manual_seed(seed)).double()


def test_a_linear_model_loses_twice_the_variance_of_what_it_used():
    x = rows(4000, 0)
    noise = 0.5 * rows(4000, 1)[:, 0]
    found = permutation_importance(linear, x, linear(x) + noise, repeats=4)
    assert found.metric == "squared_error"
    assert found.unpermuted == pytest.approx(0.25, abs=0.02)
    truth = (2 * W**2).numpy()
    assert (found.lower <= truth).all()
    assert (truth <= found.upper).all()
    assert found.values == pytest.approx(truth, rel=0.07)
    assert found.values[2] == found.lower[2] == found.upper[2] == 0
    assert found.evaluations >= 4000 * (1 + 3 * 4)


def test_intervals_cover_the_truth_as_often_as_they_say():
    truth, hits = (2 * W**2).numpy()[:2], []
    for seed in range(150):
        x = rows(80, 2 * seed)
        found = permutation_importance(
            linear, x, linear(x) + rows(80, 2 * seed + 1)[:, 0], repeats=4, confidence=0.9, seed=seed
        )
        hits.append((found.lower[:2] <= truth) & (truth <= found.upper[:2]))
    covered = np.mean(hits)
    assert 0.86 < covered < 0.97


def test_two_rows_have_one_permutation():
    x, y = torch.tensor([[1.0, 5.0], [4.0, 2.0]]).double(), torch.tensor([3.0, 7.0]).double()
    found = permutation_importance(lambda x: x[:, 0] * x[:, 1], x, y, metric="absolute_error")
    before = (abs(5 - 3) + abs(8 - 7)) / 2
    assert found.unpermuted == before
    assert found.values.tolist() == [(abs(20 - 3) + abs(2 - 7)) / 2 - before, (abs(2 - 3) + abs(20 - 7)) / 2 - before]


class Fitted(BaseEstimator):
    """A fixed network for scikit-learn."""

    def __init__(self, module: nn.Module) -> None:
        self.module = module

    def fit(self, x, y):
        return self

    def __sklearn_is_fitted__(self) -> bool:
        return True

    def predict(self, x):
        with torch.no_grad():
            return self.module(torch.from_numpy(x)).argmax(dim=1).numpy()


def test_scikit_learn_agrees():
    """Its permutations leave a row in its place once in n times; ours never do, and are n / (n - 1) as large."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(3, 16), nn.Tanh(), nn.Linear(16, 4)).double()
    x = 2 * rows(60, 5)
    labels = net(x).argmax(dim=1)
    labels[:9] = torch.arange(9) % 4
    theirs = oracle(Fitted(net), x.numpy(), labels.numpy(), scoring="accuracy", n_repeats=150, random_state=0)
    ours = permutation_importance(net, x, labels, metric="error_rate", repeats=150)
    error = np.hypot(theirs.importances.std(axis=1), ours.by_repeat.std(axis=0)) / np.sqrt(150)
    assert (np.abs(ours.values * 59 / 60 - theirs.importances_mean) < 4 * error).all()
    assert ours.unpermuted == pytest.approx((net(x).argmax(dim=1) != labels).double().mean().item())


def test_what_two_columns_both_say_is_missed_apart_and_found_together():
    x = rows(500, 0)
    x[:, 1] = x[:, 0]
    y = 2 * x[:, 0]

    def either(given: Tensor) -> Tensor:
        return 2 * torch.where(given[:, 0].abs() > given[:, 1].abs(), given[:, 0], given[:, 1])

    apart = permutation_importance(either, x, y, repeats=3)
    together = permutation_importance(either, x, y, repeats=3, groups=torch.tensor([7, 7, 9]), names=["both", "noise"])
    assert together.ranked() == ["both", "noise"]
    assert together.values[0] == pytest.approx(8, rel=0.15)
    assert apart.values[:2].sum() < together.values[0]
    assert apart.companion[:2] == ("1", "0")
    assert apart.correlation[:2].tolist() == pytest.approx([1, 1])
    assert abs(apart.correlation[2]) < 0.2
    assert together.companion is None


def test_ids_pictures_and_several_inputs_are_permuted_as_they_are():
    torch.manual_seed(0)

    class Mixed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.table = nn.Embedding(5, 3)

        def forward(self, numbers: Tensor, codes: Tensor) -> Tensor:
            return numbers[:, 0] + self.table(codes[:, 1]).sum(dim=1)

    model, numbers, codes = Mixed(), torch.randn(200, 2), torch.randint(0, 5, (200, 3))
    y = model(numbers, codes).detach()
    found = permutation_importance(model, (numbers, codes), y, names=["a", "b", "c", "d", "e"])
    assert set(found.ranked()[:2]) == {"a", "d"}
    assert found.values[[1, 2, 4]].tolist() == [0, 0, 0]
    pictures = torch.randn(50, 1, 4, 4)
    corner = torch.zeros(1, 4, 4, dtype=torch.long)
    corner[0, :2, :2] = 1
    shown = permutation_importance(lambda p: p[:, 0, 0, 0], pictures, pictures[:, 0, 0, 0], groups=corner)
    assert shown.parts == ("0", "1")
    assert shown.values[0] == 0 < shown.lower[1]


def test_plain_columns_and_pictures_with_channels_last():
    x = rows(60, 0)
    apart = permutation_importance(lambda *columns: linear(torch.stack(columns, 1)), tuple(x.T), linear(x))
    assert apart.values == pytest.approx(permutation_importance(linear, x, linear(x)).values, abs=1e-12)
    pictures = torch.randn(40, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    first, second = (
        permutation_importance(lambda p: (p[:, 0] * p[:, 2]).sum((1, 2)), given, torch.zeros(40)).values
        for given in (pictures, pictures.to(memory_format=torch.channels_last))
    )
    assert first == pytest.approx(second, abs=1e-6)
    assert (first[:16] != 0).all()


def test_batches_and_seeds_are_what_they_should_be():
    x = rows(50, 0)
    whole = permutation_importance(linear, x, linear(x))
    parts = permutation_importance(linear, x, linear(x), batch_size=7)
    assert parts.values == pytest.approx(whole.values, abs=1e-12)
    assert parts.standard_error == pytest.approx(whole.standard_error, abs=1e-12)
    assert (permutation_importance(linear, x, linear(x)).by_repeat == whole.by_repeat).all()
    assert (permutation_importance(linear, x, linear(x), seed=1).by_repeat != whole.by_repeat)[:, :2].all()
    coupled = permutation_importance(lambda rows: linear(rows) * (1 + (len(rows) > 1)), x, linear(x))
    assert coupled.values == pytest.approx(whole.values, abs=1e-9)


def test_the_loss_may_be_given():
    x = rows(30, 0)

    def pinball(outputs: Tensor, labels: Tensor) -> Tensor:
        missing = labels - outputs[:, 0]
        return torch.maximum(0.9 * missing, -0.1 * missing)

    found = permutation_importance(linear, x, linear(x), metric=pinball)
    assert found.metric == "pinball"
    assert found.values[0] > found.values[1] > found.values[2] == 0


def test_what_does_not_fit_is_refused():
    x = rows(10, 0)
    for problem, settings in {
        "two rows": {"inputs": x[:1], "labels": [1.0]},
        "labels for 10 rows": {"labels": [1.0, 2.0]},
        "groups": {"groups": torch.zeros(4)},
        "names": {"names": ["a"]},
        "did you mean 'squared_error'": {"metric": "squared_eror"},
        "whole numbers from 0 to 1": {"labels": torch.full((10,), 2)},
        "missing or infinite": {"labels": torch.full((10,), torch.nan)},
        "one number for each row": {"metric": lambda outputs, _labels: outputs.mean()},
        "confidence": {"confidence": 95},
    }.items():
        with pytest.raises(InputError, match=problem):
            permutation_importance(linear, **{"inputs": x, "labels": linear(x), **settings})
