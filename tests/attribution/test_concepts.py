"""TCAV: closed forms, a concept that is planted is found, random rows are not, and p-values are what they say."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from torch import Tensor, nn

from auditkit.attribution import concept_sensitivity
from auditkit.errors import InputError
from auditkit.statistics.multiplicity import benjamini_hochberg


def rows(count: int, seed: int, width: int = 6) -> Tensor:
    return torch.randn(count, width, generator=torch.Generator().manual_seed(seed)).double()


def shifted(count: int, seed: int, column: int, by: float = 4.0, width: int = 6) -> Tensor:
    found = rows(count, seed, width)
    found[:, column] += by
    return found


def linear(*weights: float) -> nn.Sequential:
    head = nn.Linear(len(weights), 1).double().requires_grad_(False)
    head.weight.copy_(torch.tensor([weights]))
    return nn.Sequential(nn.Identity(), head)


def test_where_the_target_is_linear_the_score_is_one_or_nought():
    shown = {"up": shifted(30, 1, 0), "down": shifted(30, 2, 0, -4.0)}
    found = concept_sensitivity(linear(2, 0, 0, 0, 0, 0.5), rows(40, 0), shown, rows(90, 3), layer="0")
    assert found.score.tolist() == [1.0, 0.0]
    assert set(found.random_scores.ravel()) <= {0.0, 1.0}
    assert found.sensitivity[0] > 1.5
    assert found.sensitivity[1] < -1.5
    assert (found.p_value < 0.05).all()
    assert found.random.shape == (2, 199)


def test_the_direction_is_that_of_logistic_regression_on_the_activations():
    own, pool = shifted(30, 1, 0), rows(60, 3)
    w = torch.tensor([2.0, -1.0, 0, 0, 0, 0.5]).double()
    found = concept_sensitivity(linear(*w.tolist()), rows(40, 0), {"c": own}, pool, layer="0", counterparts=1)
    centred = pool - pool.mean(dim=0)
    spread = centred.square().sum(dim=1).mean().sqrt()
    kept = np.sort(np.random.default_rng(0).permutation(60)[30:])
    x = ((torch.cat([own, pool[kept]]) - pool.mean(dim=0)) / spread).numpy()
    oracle = LogisticRegression(tol=1e-8, max_iter=5000).fit(x, [1] * 30 + [0] * 30).coef_[0]
    assert found.sensitivity[0] == pytest.approx(w.numpy() @ oracle / np.linalg.norm(oracle), abs=1e-3)


def planted() -> tuple[nn.Sequential, Tensor]:
    """A network trained to answer by the sign of column 0 alone, and rows."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Dropout(0.1), nn.Linear(16, 2)).double()
    x = rows(400, 5)
    for _ in range(100):
        loss = nn.functional.cross_entropy(net(x), (x[:, 0] > 0).long())
        with torch.no_grad():
            for parameter, slope in zip(
                net.parameters(), torch.autograd.grad(loss, list(net.parameters())), strict=True
            ):
                parameter -= 0.5 * slope
    return net, x


def test_a_planted_concept_is_found_and_random_ones_are_not():
    net, x = planted()
    shown = {"column 0": shifted(40, 11, 0), "column 3": shifted(40, 12, 3), "nothing": rows(40, 13)}
    found = concept_sensitivity(net, x[:100], shown, rows(160, 14), layer="0", target=(1, 0))
    assert found.target == "output 1 less output 0"
    assert found.adjusted[0] < 0.05
    assert found.score[0] > 0.95
    assert (found.adjusted[1:] > 0.05).all()
    assert found.accuracy[:2].min() > 0.9
    assert 0.3 < found.accuracy[2] < 0.7
    assert found.adjusted == pytest.approx(benjamini_hochberg(found.p_value))
    other = concept_sensitivity(net, x[:100], shown, rows(160, 14), layer="0", target=(0, 1))
    assert other.sensitivity == pytest.approx(-found.sensitivity)
    assert other.score == pytest.approx(1 - found.score)


def test_p_values_of_random_rows_are_even():
    model = linear(2, 0, 0, 0, 0, 0.5)
    found = [
        concept_sensitivity(
            model, rows(10, 0), {"c": rows(15, 2 * seed + 1)}, rows(60, 2 * seed), layer="0", counterparts=19, seed=seed
        ).p_value[0]
        for seed in range(60)
    ]
    assert 0.35 < np.mean(found) < 0.65
    assert np.mean(np.array(found) <= 0.1) < 0.2


def test_pictures_batches_and_seeds():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(inplace=True), nn.Flatten(), nn.Linear(64, 3)).train()
    pictures, striped, pool = torch.randn(30, 1, 6, 6), torch.randn(10, 1, 6, 6), torch.randn(40, 1, 6, 6)
    striped[:, :, ::2] += 3
    first, second, third = (
        concept_sensitivity(net, pictures, {"s": striped}, pool, layer="0", counterparts=9, batch_size=size, seed=seed)
        for size, seed in ((None, 0), (7, 0), (None, 1))
    )
    assert first.sensitivity == pytest.approx(second.sensitivity, rel=1e-4)
    assert (first.random != third.random).any()
    assert first.accuracy[0] > 0.8
    assert net.training
    assert not any(part._forward_hooks or part._forward_pre_hooks for part in net.modules())
    assert all(parameter.requires_grad and parameter.grad is None for parameter in net.parameters())


def test_what_cannot_be_told_is_refused():
    model, x = linear(1, 0, 0), rows(20, 0, 3)
    for problem, settings in {
        "at least twice as many": {"random": rows(19, 1, 3)},
        "5 or more": {"concepts": {"c": x[:4]}},
        "name one or more": {"concepts": {}},
        "no layer 'body'": {"layer": "body"},
        "counterparts": {"counterparts": 0},
        "the same for all random rows": {"random": torch.ones(30, 3).double()},
        "a callable has no layers": {"model": lambda given: given.sum(dim=1)},
    }.items():
        told = {"model": model, "concepts": {"c": x[:10]}, "random": rows(30, 1, 3), "layer": "0", **settings}
        with pytest.raises(InputError, match=problem):
            concept_sensitivity(told.pop("model"), x, told.pop("concepts"), told.pop("random"), **told)

    class Beside(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.aside = nn.Identity()

        def forward(self, given: Tensor) -> Tensor:
            self.aside(given)
            return given.sum(dim=1)

    with pytest.raises(InputError, match="does not depend"):
        concept_sensitivity(Beside(), x, {"c": x[:10]}, rows(30, 1, 3), layer="aside", counterparts=1)


def test_recurrent_networks_are_told_by_the_layer_after_them():
    class Reader(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.cell, self.aside, self.head = nn.LSTM(3, 8, batch_first=True), nn.Identity(), nn.Linear(8, 2)

        def forward(self, given: Tensor) -> Tensor:
            return self.head(self.aside(self.cell(given)[0][:, -1]))

    torch.manual_seed(0)
    series, pool = torch.randn(20, 5, 3), torch.randn(40, 5, 3)
    found = concept_sensitivity(Reader(), series, {"high": pool[:10] + 2}, pool, layer="aside", counterparts=9)
    assert found.accuracy[0] > 0.9
    with pytest.raises(InputError, match="does not give one tensor"):
        concept_sensitivity(Reader(), series, {"high": pool[:10]}, pool, layer="cell", counterparts=9)
