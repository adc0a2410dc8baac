"""Walks along orders: what they cost, and that an order and its reverse cancel what pairs of parts do."""

import torch

from auditkit.attribution import explain


def test_an_order_takes_a_row_for_each_part_but_one():
    weights = torch.randn((9, 9), generator=torch.Generator().manual_seed(0)).double()
    x = torch.randn((4, 9), generator=torch.Generator().manual_seed(1)).double()
    found = explain(lambda z: ((z @ weights) * z).sum(dim=1), x, method="permutation_shapley")
    torch.testing.assert_close(found.values, x * (x @ (weights + weights.T)) / 2, atol=1e-9, rtol=0)
    assert found.evaluations.tolist() == [2 * 4 * 8] * 4
    assert found.converged.all()


def test_orders_are_doubled_for_rows_that_need_them_until_they_are_spent():
    x = torch.tensor([[1.0, 1, 1, 0, 0], [1, 1, 1, 1, 1]]).double()

    def f(z):
        return z[:, 0] + z[:, 1] + z[:, 2] + 3 * z[:, 2:].prod(dim=1)

    found = explain(f, x, method="permutation_shapley", samples=64, tolerance=1e-3)
    assert found.converged.tolist() == [True, False]
    assert found.evaluations.tolist() == [8 * 2, 64 * 4]  # the first row has three parts that differ from 0
    expected = torch.tensor([[1.0, 1, 1, 0, 0], [1, 1, 2, 1, 1]]).double()
    assert ((found.values - expected).abs() <= 4 * found.standard_error + 1e-12).all()
    assert float(found.standard_error.max()) < 0.3
    torch.testing.assert_close(found.completeness_gap, torch.zeros(2).double(), atol=1e-9, rtol=0)
