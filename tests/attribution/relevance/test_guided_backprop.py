"""Guided backpropagation and deconvolution: as their authors define them, or refused."""

import pytest
import torch
from torch import Tensor, nn

from auditkit.attribution.explanation import explain, preflight
from auditkit.errors import InputError

BOTH = pytest.mark.parametrize("method", ["guided_backprop", "deconvolution"])


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def net(*between: nn.Module) -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 6), *between, nn.Linear(6, 3)).double()


class Functional(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, _, self.last = net(nn.ReLU())

    def forward(self, x: Tensor) -> Tensor:
        return self.last(nn.functional.relu(self.first(x)))


@BOTH
def test_it_is_the_rule_written_out(method):
    model, x = net(nn.ReLU()), noise(5, 4)
    first, last = model[0], model[2]
    arriving = last.weight[1].expand(5, 6).clamp(min=0)
    if method == "guided_backprop":
        arriving = arriving * (first(x) > 0)
    expected = (arriving @ first.weight).detach()
    torch.testing.assert_close(explain(model, x, method=method, target=1).values, expected)


@BOTH
def test_two_rectifiers_in_a_row_are_each_passed(method):
    model, x = net(nn.ReLU(), nn.ReLU()), noise(5, 4)
    torch.testing.assert_close(
        explain(model, x, method=method).values, explain(net(nn.ReLU()), x, method=method).values
    )


@BOTH
def test_functional_rectifiers_are_refused_since_the_twin_with_a_module_says_otherwise(method):
    from captum.attr import Deconvolution, GuidedBackprop

    captum = {"guided_backprop": GuidedBackprop, "deconvolution": Deconvolution}[method]
    model, x = Functional(), noise(5, 4)
    twin = explain(net(nn.ReLU()), x, method=method, target=0).values
    assert not torch.allclose(captum(model).attribute(x.clone(), target=0), twin)
    with pytest.raises(InputError, match="relu"):
        explain(model, x, method=method, target=0)


@BOTH
@pytest.mark.parametrize("layer", [nn.GELU(), nn.Tanh(), nn.Identity()], ids=lambda layer: type(layer).__name__)
def test_without_a_rectifier_it_is_refused(method, layer):
    assert "no nn.ReLU" in preflight(net(layer), noise(1, 4))[method].reason


@BOTH
def test_other_nonlinearities_degrade_it(method):
    found = preflight(net(nn.ReLU(), nn.GELU()), noise(1, 4))[method]
    assert found.status == "degraded"
    assert "GELU" in found.reason


@BOTH
def test_a_rectifier_used_twice_is_refused(method):
    relu = nn.ReLU()
    assert "more than once" in preflight(net(relu, nn.Linear(6, 6), relu), noise(1, 4))[method].reason


@BOTH
def test_pictures_agree_with_captum(method):
    from captum.attr import Deconvolution, GuidedBackprop

    captum = {"guided_backprop": GuidedBackprop, "deconvolution": Deconvolution}[method]
    torch.manual_seed(0)
    model = nn.Sequential(
        *(nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(3, 4, 2)),
        *(nn.ReLU(), nn.Flatten(), nn.Linear(16, 2)),
    ).double()
    x = noise(4, 1, 8, 8)
    theirs = captum(model.eval()).attribute(x.clone(), target=1).detach()
    torch.testing.assert_close(explain(model, x, method=method, target=1).values, theirs)


@BOTH
def test_nothing_is_left_on_the_model(method, recwarn):
    model = net(nn.ReLU())
    explain(model, noise(3, 4), method=method)
    hooks = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks")
    assert not any(getattr(part, name) for part in model.modules() for name in hooks)
    assert not [warning for warning in recwarn if "hooks" in str(warning.message)]
