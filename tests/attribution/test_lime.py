"""LIME: exact where the function is linear, the weighted fit where it is not, honest about what sampling adds."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import LinearRegression
from torch import Tensor, nn

from auditkit.attribution import explain
from auditkit.attribution import lime as method
from auditkit.attribution.lime import all_masks, drawn_masks, fitted, kernel


@pytest.mark.parametrize("parts", [3, 40])
def test_a_linear_model_is_explained_exactly(parts):
    torch.manual_seed(0)
    w, x, b = (torch.randn(size).double() for size in (parts, (6, parts), (1, parts)))
    found = explain(lambda rows: rows @ w + 7, x, method="lime", baseline=b)
    assert torch.allclose(found.values, w * (x - b), atol=1e-9)
    assert found.standard_error.max() < 1e-9
    assert found.converged.all()


def worth_of(function, x: Tensor, masks: np.ndarray) -> np.ndarray:
    return function(torch.from_numpy(masks).double() * x).numpy()


def curved(rows: Tensor) -> Tensor:
    return rows[:, 0] * rows[:, 1] + rows.pow(2).sum(dim=1) + (rows.sum(dim=1)).sin()


def test_where_all_masks_are_scored_it_is_the_weighted_regression():
    x = torch.tensor([[1.0, -2.0, 0.5, 3.0, 1.5]]).double()
    masks = all_masks(5)
    share = masks.mean(axis=1)
    weights = np.exp(-((1 - np.sqrt(share)) ** 2) / (2 * 0.25**2))
    oracle = LinearRegression().fit(masks, worth_of(curved, x, masks), sample_weight=weights)
    found = explain(curved, x, method="lime")
    assert found.values[0].numpy() == pytest.approx(oracle.coef_, abs=1e-9)
    assert found.evaluations.tolist() == [32]
    assert (found.standard_error == 0).all()


def test_an_endless_kernel_gives_banzhaf_values(monkeypatch):
    monkeypatch.setattr(method, "WIDTH", 1e9)
    product = explain(lambda x: x.prod(dim=1), torch.tensor([[2.0, 3.0, 4.0]]).double(), method="lime")
    assert product.values[0].tolist() == pytest.approx([6, 6, 6])  # a swing in 1 of 4 coalitions of the others


def test_drawn_masks_aim_at_the_whole_fit_and_miss_it_by_their_standard_errors():
    torch.manual_seed(0)
    parts = 13
    x = torch.randn(1, parts).double()
    masks = all_masks(parts)
    truth = fitted(torch.from_numpy(masks), torch.from_numpy(worth_of(curved, x, masks))[None], kernel(masks))[0][0]
    runs = [explain(curved, x, method="lime", samples=300, tolerance=0, seed=seed) for seed in range(60)]
    values, errors = (torch.stack([getattr(run, name)[0] for run in runs]) for name in ("by_part", "standard_error"))
    assert ((values.mean(dim=0) - truth).abs() < 4 * values.std(dim=0) / 60**0.5).all()
    assert (errors.pow(2).mean(dim=0).sqrt() / values.std(dim=0)).mean().item() == pytest.approx(1, abs=0.15)
    covered = ((values - truth).abs() < 1.96 * errors).double().mean().item()
    assert 0.92 < covered < 0.98


def test_standard_errors_are_what_leaving_each_mask_out_changes():
    masks = drawn_masks(6, 40, np.random.default_rng(0))
    worth = np.random.default_rng(1).normal(size=40)
    slopes, errors = fitted(torch.from_numpy(masks), torch.from_numpy(worth)[None])
    left = [np.arange(40) != out for out in range(40)]
    refits = np.array([LinearRegression().fit(masks[kept], worth[kept]).coef_ for kept in left])
    assert errors[0].numpy() == pytest.approx(np.sqrt(((refits - slopes[0].numpy()) ** 2).sum(axis=0)), rel=1e-6)


def test_masks_are_drawn_as_the_kernel_weighs_them():
    masks = drawn_masks(4, 200_000, np.random.default_rng(0))
    every = all_masks(4)
    share = kernel(every) / kernel(every).sum()
    numbers = masks @ (1 << np.arange(4))
    assert np.bincount(numbers, minlength=16) / 200_000 == pytest.approx(share, abs=0.005)


def test_only_rows_that_need_them_get_more_masks():
    x = torch.ones(2, 20).double()
    x[0, 0] = 0.25  # below the kink the function is linear

    def kinked(rows: Tensor) -> Tensor:
        return rows.sum(dim=1) + 5 * torch.relu(rows[:, 0] - 0.5) * rows[:, 1:].prod(dim=1).add(rows[:, 3] * 2).sin()

    found = explain(kinked, x, method="lime", tolerance=0.05)
    assert found.evaluations[0] == 88
    assert found.evaluations[1] > 88
    tight = explain(kinked, x, method="lime", tolerance=1e-9, samples=200)
    assert tight.evaluations.tolist() == [88, 200]
    assert tight.converged.tolist() == [True, False]


def test_ids_and_groups_are_parts_too():
    torch.manual_seed(0)
    table = nn.Embedding(9, 4).double()
    head = nn.Linear(4, 2).double()

    class Bag(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.table, self.head = table, head

        def forward(self, ids: Tensor) -> Tensor:
            return self.head(self.table(ids).sum(dim=1))

    ids = torch.tensor([[1, 2, 3], [4, 4, 0]])
    found = explain(Bag(), ids, method="lime", baseline=0, target=1)
    expected = ((table(ids) - table.weight[0]) @ head.weight[1]).detach()
    assert torch.allclose(found.values.double(), expected, atol=1e-6)
    assert found.by_part[1, 2] == 0
    together = explain(Bag(), ids, method="lime", baseline=0, target=1, groups=torch.tensor([0, 0, 1]))
    assert torch.allclose(together.by_part[:, 0], expected[:, :2].sum(dim=1), atol=1e-6)


def test_company_and_batches_change_nothing():
    torch.manual_seed(0)
    net, x = nn.Sequential(nn.Linear(15, 8), nn.Tanh(), nn.Linear(8, 3)).double(), torch.randn(5, 15).double()
    whole = explain(net, x, method="lime", samples=128)
    assert torch.allclose(explain(net, x, method="lime", samples=128, batch_size=7).values, whole.values, atol=1e-12)
    alone = torch.cat([explain(net, x[row : row + 1], method="lime", samples=128).values for row in range(5)])
    assert torch.allclose(alone, whole.values, atol=1e-12)
