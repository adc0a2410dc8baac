"""The baseline band: what stays when the baseline changes, against arithmetic."""

import pytest
import torch
from torch import nn

from auditkit.attribution import explain
from auditkit.attribution.evaluation.baseline_band import baseline_band
from auditkit.errors import InputError


@pytest.fixture
def summed() -> tuple[nn.Module, torch.Tensor]:
    network = nn.Linear(4, 1, bias=False).double().requires_grad_(False)
    network.weight.fill_(1.0)
    return network, torch.tensor([[4.0, 3.0, 2.0, 1.0]], dtype=torch.float64)


def test_the_share_of_the_weightiest_parts_that_stay(summed):
    network, x = summed
    found = explain(network, x)
    one = baseline_band(found, network, x, ["zero", torch.tensor([[4.0, 3.0, 0.0, 0.0]]).double()], k=2)
    assert one.stable.value == 0
    half = baseline_band(found, network, x, ["zero", torch.tensor([[0.0, 3.0, 0.0, 0.0]]).double()], k=2)
    assert half.stable.value == 0.5
    assert half.pairs["zero everywhere", "the baseline that was given"].value == 0.5


def test_the_method_its_settings_targets_and_groups_are_kept():
    torch.manual_seed(0)
    network, x = nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 3)), torch.randn(5, 4)
    found = explain(network, x, method="occlusion", target=2, groups=torch.tensor([0, 0, 1, 2]))
    same = baseline_band(found, network, x, ["zero", 0.0], k=1)
    assert same.stable.value == 1
    assert set(baseline_band(found, network, x, reference=torch.randn(9, 4)).baselines) == {
        "zero everywhere",
        "the average of 9 reference rows",
        "the median of 9 reference rows",
    }


def test_one_baseline_is_no_band(summed):
    network, x = summed
    with pytest.raises(InputError, match="two baselines"):
        baseline_band(explain(network, x), network, x, ["zero"])
