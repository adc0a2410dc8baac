"""Saliency against what is known, and against captum."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from auditkit.attribution.explanation import explain

A = torch.tensor([[2.0, 1, 0], [1, 3, -1], [0, -1, 1]], dtype=torch.float64)


def found(f, *point, **settings):
    return explain(f, torch.tensor([point], dtype=torch.float64), method="saliency", **settings).values[0].tolist()


@pytest.mark.parametrize(
    ("f", "point", "known"),
    [
        (lambda x: x @ torch.tensor([2.0, -3, 0.5]).double() + 7, (1, 2, 3), (2, 3, 0.5)),
        (lambda x: ((x @ A) * x).sum(dim=1), (1, 2, 3), (8, 8, 2)),
        (lambda x: torch.relu(torch.relu(x[:, 0]) - 1 - torch.relu(x[:, 1])), (3, 1), (1, 1)),
        (lambda x: x.amax(dim=1), (3, 1), (1, 0)),
        (lambda x: x.prod(dim=1), (2, 3, 4), (12, 8, 6)),
        (lambda x: x.tanh().sum(dim=1), (50, 0), (0, 1)),
    ],
    ids=["linear", "quadratic form", "relu of relus", "maximum", "product", "saturated"],
)
def test_closed_forms(f, point, known):
    np.testing.assert_allclose(found(f, *point), known, atol=1e-12)


def test_there_is_no_baseline_in_it():
    f = lambda x: x.prod(dim=1)  # noqa: E731
    assert found(f, 2, 3, 4) == found(f, 2, 3, 4, baseline=1.0)


def test_slopes_of_an_ids_vector_are_added_up():
    table = nn.Embedding(5, 3).double()
    weight = torch.tensor([1.0, -2, 3], dtype=torch.float64)

    class Words(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.table = table

        def forward(self, ids: Tensor) -> Tensor:
            return (self.table(ids) @ weight) @ torch.tensor([1.0, 10.0]).double()

    assert explain(Words(), torch.tensor([[1, 4]]), method="saliency").by_part.tolist() == [[6, 60]]


def test_agrees_with_captum_on_pictures():
    from captum.attr import Saliency

    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(64, 5)).eval()
    x = torch.randn(6, 3, 6, 6)
    ours = explain(net, x, method="saliency", target=2)
    torch.testing.assert_close(ours.values, Saliency(net).attribute(x, target=2), atol=1e-7, rtol=1e-5)
    assert ours.completeness_gap.isnan().all()
    assert (ours.values >= 0).all()
