"""Integrated Gradients of Transformers with what is usual: the reported gap is small, and it is the true one.

A layer norm has a pole where its input is the same everywhere, as it is at a baseline of zeros; a fixed number of steps
near it may miss the change in score by more than the change itself.
"""

import pytest
import torch
from torch import Tensor, nn

from auditkit.attribution.explanation import explain


class Words(nn.Module):
    """A classifier of ids with learned positions and a vector for what fills up, or of vectors as they are."""

    def __init__(self, first: bool, filled: bool, width: int = 32) -> None:
        super().__init__()
        self.table = nn.Embedding(50, width, padding_idx=0 if filled else None)
        self.places = nn.Embedding(12, width)
        layer = nn.TransformerEncoderLayer(width, 4, 64, batch_first=True, norm_first=first)
        self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.head = nn.Linear(width, 3)

    def forward(self, ids: Tensor) -> Tensor:
        return self.head(self.encoder(self.table(ids) + self.places.weight[: ids.shape[1]]).mean(dim=1))


class Vectors(nn.Module):
    """As `Words`, on vectors without positions: at zeros every token stands in the pole of the norm."""

    def __init__(self, first: bool, width: int = 16) -> None:
        super().__init__()
        layer = nn.TransformerEncoderLayer(width, 4, 32, batch_first=True, norm_first=first)
        self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.head = nn.Linear(width, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.encoder(x).mean(dim=1))


FIRST = pytest.mark.parametrize("first", [True, False], ids=["pre-norm", "post-norm"])


def checked(net: nn.Module, x: Tensor, dtype: torch.dtype, **settings):
    """The attribution, once its gap is what the model's own answers say it is."""
    found = explain(net, x, **settings)
    with torch.no_grad():
        outputs = net.eval()(x)
    scores = outputs.max(dim=1).values.double()
    torch.testing.assert_close(found.scores, scores, atol=1e-5, rtol=1e-5)
    change = found.scores - found.baseline_scores
    torch.testing.assert_close(found.completeness_gap, found.by_part.sum(dim=1) - change)
    assert found.dtype == str(dtype).removeprefix("torch.")
    return found


@FIRST
@pytest.mark.parametrize("filled", [True, False], ids=["filled up", "mean"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_words_with_the_default_baseline(first, filled, dtype):
    torch.manual_seed(0)
    net, ids = Words(first, filled).to(dtype), torch.randint(1, 50, (8, 10))
    found = checked(net, ids, dtype)
    assert found.converged.all()
    assert found.relative_gap.max() <= 1e-2


@FIRST
@pytest.mark.parametrize("seed", [0, 1, 3])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_vectors_from_a_baseline_of_zeros(first, seed, dtype):
    torch.manual_seed(seed)
    net, x = Vectors(first).to(dtype), torch.randn(6, 5, 16, dtype=dtype)
    found = checked(net, x, dtype)
    assert found.converged.all()
    assert found.relative_gap.max() <= 1e-2
    assert found.steps.max() > 8  # a path that ends in the pole takes more than the first rule


@FIRST
def test_a_fixed_small_number_of_steps_would_have_missed_and_is_said_to(first):
    torch.manual_seed(0)
    net, x = Vectors(first).double(), torch.randn(2, 5, 16, dtype=torch.float64)
    found = checked(net, x, torch.float64, maximum_steps=8)
    assert found.relative_gap.max() > 1e-2
    assert not found.converged.all()
