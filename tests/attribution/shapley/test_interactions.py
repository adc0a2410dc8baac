"""Interactions of pairs against closed forms, shapiq's exact computer, and a planted truth."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from auditkit.attribution import explain
from auditkit.attribution.shapley.interactions import interactions
from auditkit.errors import InputError


def rows(n: int, width: int, seed: int = 1) -> Tensor:
    return torch.randn((n, width), generator=torch.Generator().manual_seed(seed)).double()


def network(width: int) -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(width, 24), nn.Tanh(), nn.Linear(24, 24), nn.ReLU(), nn.Linear(24, 3)).double()


def test_a_product_of_two_is_their_interaction_and_of_three_a_half_each():
    found = interactions(lambda x: x[:, 0] * x[:, 1] + 3 * x[:, 2], torch.tensor([[2.0, 5.0, 1.0]]).double())
    np.testing.assert_allclose(found.values[0], [[0, 5, 0], [5, 0, 0], [0, 0, 3]], atol=1e-12)
    three = interactions(lambda x: x.prod(dim=1), torch.ones(1, 3).double())
    pair = 1 / 2  # v(T ∪ ij) … is 1 of the two coalitions the third part makes
    own = 1 / 3 - 2 * pair / 2
    np.testing.assert_allclose(three.values[0], np.full((3, 3), pair / 2) + np.eye(3) * (own - pair / 2), atol=1e-12)
    quadratic = torch.tensor([[2.0, 1.0, 0.0], [1.0, 3.0, -1.0], [0.0, -1.0, 1.0]]).double()
    x = torch.tensor([[1.0, 2.0, 3.0]]).double()
    form = interactions(lambda z: ((z @ quadratic) * z).sum(dim=1), x)
    torch.testing.assert_close(form.values[0], x[0, :, None] * quadratic * x[0])
    assert form.pairs(1)[0][:2] == (1, 2)


def test_shapiq_agrees_where_all_coalitions_are_scored():
    from shapiq import ExactComputer

    model, x, baseline = network(6), rows(3, 6), rows(1, 6, 2)
    found = interactions(model, x, target=1, baseline=baseline)
    for place in range(3):

        def worth(coalitions: np.ndarray, row: Tensor = x[place]) -> np.ndarray:
            kept = torch.from_numpy(np.asarray(coalitions, dtype=bool))
            return model(torch.where(kept, row, baseline))[:, 1].detach().numpy()

        theirs = ExactComputer(n_players=6, game=worth)("k-SII", order=2)
        pairs = found.values[place] - torch.diag(found.values[place].diagonal())
        np.testing.assert_allclose(2 * pairs, theirs.get_n_order_values(2), atol=1e-9)
        np.testing.assert_allclose(found.values[place].diagonal(), theirs.get_n_order_values(1), atol=1e-9)
    assert found.exact.all()
    assert found.evaluations.tolist() == [2**6 - 2] * 3


def test_lines_are_shapley_values_and_all_is_the_change():
    model, x = network(6), rows(4, 6)
    x[0, :2] = 0  # two parts that are no players
    found = interactions(model, x, target=(0, 2))
    exact = explain(model, x, method="exact_shapley", target=(0, 2))
    torch.testing.assert_close(found.shapley, exact.values, atol=1e-9, rtol=0)
    torch.testing.assert_close(found.gap, torch.zeros(4).double(), atol=1e-9, rtol=0)
    torch.testing.assert_close(found.values, found.values.transpose(1, 2))
    assert (found.values[0, :2] == 0).all()
    assert found.evaluations.tolist() == [2**4 - 2] + [2**6 - 2] * 3


def test_samples_come_close_to_all_coalitions():
    model, x = network(13), rows(2, 13)
    found = interactions(model, x, target=0, samples=4000)
    assert not found.exact.any()
    exact = explain(model, x, method="exact_shapley", target=0)
    scale = exact.values.abs().amax()
    assert (found.shapley - exact.values).abs().max() < 0.05 * scale
    assert found.gap.abs().max() < 1e-5 * scale
    with pytest.raises(InputError, match="91 effects of 13 parts"):
        interactions(model, x, samples=50)


def test_the_planted_pair_is_on_top():
    """y = sign(2 x0 - 1.5 x1 + 1.5 x2 x3) among 20 columns, learned by a small network."""
    torch.manual_seed(0)
    x = torch.randn(4000, 20)
    y = (2 * x[:, 0] - 1.5 * x[:, 1] + 1.5 * x[:, 2] * x[:, 3] > 0).float()
    model = nn.Sequential(nn.Linear(20, 64), nn.GELU(), nn.Linear(64, 32), nn.GELU(), nn.Linear(32, 1))
    optimiser = torch.optim.AdamW(model.parameters(), lr=5e-3, weight_decay=0.05)
    for _step in range(300):
        index = torch.randint(4000, (256,))
        loss = nn.functional.binary_cross_entropy_with_logits(model(x[index])[:, 0], y[index])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    test = torch.randn(1000, 20)
    truth = 2 * test[:, 0] - 1.5 * test[:, 1] + 1.5 * test[:, 2] * test[:, 3] > 0
    assert ((model(test)[:, 0] > 0) == truth).float().mean() > 0.9
    values = explain(model, test[:100], method="kernel_shap", tolerance=0.1).values.abs().mean(dim=0)
    assert set(values.argsort(descending=True)[:4].tolist()) == {0, 1, 2, 3}
    found = interactions(model, test[:8], samples=500)
    first, second = found.pairs(2)
    assert first[:2] == (2, 3)
    assert first.strength - 2 * first.standard_error > second.strength
