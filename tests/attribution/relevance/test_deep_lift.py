"""DeepLIFT: complete where it is allowed, and refused where captum would be wrong without a word."""

import pytest
import torch
from torch import Tensor, nn

from auditkit.attribution.explanation import explain, preflight
from auditkit.errors import InputError


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def mlp(*between: nn.Module, width: int = 6) -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, width), *between, nn.Linear(width, 3)).double()


def deep_lift(net, x, **settings):
    return explain(net, x, method="deep_lift", **settings)


KNOWN = [nn.ReLU(), nn.ELU(), nn.LeakyReLU(0.1), nn.Sigmoid(), nn.Tanh(), nn.Softplus()]
PASSED_OVER = [nn.GELU(), nn.SiLU(), nn.Mish(), nn.Hardswish(), nn.ReLU6(), nn.PReLU(), nn.CELU(), nn.SELU()]
"""layers that work number by number and that captum differentiates as they are"""
OTHERS = [nn.Hardtanh(), nn.LogSigmoid(), nn.Hardsigmoid(), nn.Softsign(), nn.Tanhshrink(), nn.RReLU(), nn.Hardshrink()]
UNKNOWN = [nn.LayerNorm(6), nn.Softmax(dim=1), nn.GroupNorm(2, 6), nn.LogSoftmax(dim=1), nn.Softmin(dim=1)]


def name_of(layer) -> str:
    return type(layer).__name__


@pytest.mark.parametrize("layer", [*KNOWN, *PASSED_OVER, *OTHERS], ids=name_of)
def test_it_is_complete_through_every_layer_that_has_a_rule(layer):
    found = deep_lift(mlp(layer), noise(7, 4), baseline=noise(7, 4, seed=1))
    assert found.validity.status == "valid"
    assert found.relative_gap.max() < 1e-9


@pytest.mark.parametrize("layer", UNKNOWN, ids=name_of)
def test_it_is_refused_at_every_layer_that_has_none(layer):
    net = mlp(layer).eval()
    with pytest.raises(InputError, match=name_of(layer)):
        deep_lift(net, noise(3, 4))


@pytest.mark.parametrize("layer", [*PASSED_OVER, nn.LayerNorm(6)], ids=name_of)
def test_captum_would_have_answered_wrongly_there(layer):
    from captum.attr import DeepLift

    x, b = 2 * noise(40, 4), 2 * noise(40, 4, seed=1)
    net = mlp(layer).eval()
    found = DeepLift(net).attribute(x, b, target=0).detach()
    change = (net(x) - net(b))[:, 0].detach()
    assert (found.sum(dim=1) - change).abs().max() > 1e-3 * change.abs().mean()


class Functional(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.last = nn.Linear(4, 6).double(), nn.Linear(6, 3).double()

    def forward(self, x: Tensor) -> Tensor:
        return self.last(nn.functional.relu(self.first(x)))


def test_a_functional_relu_is_refused_and_the_same_net_with_a_module_is_not():
    with pytest.raises(InputError, match="relu; write it as a module"):
        deep_lift(Functional(), noise(3, 4))
    assert deep_lift(mlp(nn.ReLU()), noise(3, 4)).relative_gap.max() < 1e-9


def test_products_and_gates_are_refused():
    class Gated(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.one, self.two, self.gate = nn.Linear(4, 2), nn.Linear(4, 2), nn.Sigmoid()

        def forward(self, x: Tensor) -> Tensor:
            return self.one(x) * self.gate(self.two(x))

    assert "mul" in preflight(Gated().double(), noise(1, 4))["deep_lift"].reason


def test_a_module_used_twice_is_refused_and_its_twin_is_not():
    relu = nn.ReLU()
    torch.manual_seed(0)
    layers = [nn.Linear(4, 6), nn.Linear(6, 6), nn.Linear(6, 3)]
    twice = nn.Sequential(layers[0], relu, layers[1], relu, layers[2]).double()
    with pytest.raises(InputError, match="called more than once"):
        deep_lift(twice, noise(3, 4))
    once = nn.Sequential(layers[0], nn.ReLU(), layers[1], nn.ReLU(), layers[2]).double()
    assert deep_lift(once, noise(3, 4)).relative_gap.max() < 1e-9


@pytest.mark.parametrize("inplace", [False, True])
@pytest.mark.parametrize("order", ["relu first", "pool first"])
def test_neighbouring_nonlinearities_are_complete_in_either_order(order, inplace):
    pair = [nn.ReLU(inplace), nn.MaxPool2d(2)]
    torch.manual_seed(0)
    body = pair if order == "relu first" else pair[::-1]
    net = nn.Sequential(nn.Conv2d(2, 4, 3), *body, nn.Dropout(), nn.Flatten(), nn.Linear(36, 3)).double()
    found = deep_lift(net, noise(5, 2, 8, 8), baseline=noise(5, 2, 8, 8, seed=1))
    assert found.relative_gap.max() < 1e-9
    three = deep_lift(mlp(nn.Tanh(), nn.Sigmoid(), nn.ELU()), noise(5, 4), baseline=noise(5, 4, seed=1))
    assert three.relative_gap.max() < 1e-9


def test_a_residual_net_with_norms_is_complete():
    class Residual(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.norm, self.relu = nn.Linear(4, 4), nn.BatchNorm1d(4), nn.ReLU()
            self.last = nn.Linear(4, 2)
            self.norm.running_mean += 0.3

        def forward(self, x: Tensor) -> Tensor:
            return self.last(x + self.relu(self.norm(self.first(x)))) * 2

    found = deep_lift(Residual().double(), noise(5, 4), baseline=noise(1, 4, seed=1))
    assert found.relative_gap.max() < 1e-9


def test_it_agrees_with_captum_where_captum_is_right():
    from captum.attr import DeepLift

    net, x, b = mlp(nn.Tanh()), noise(6, 4), noise(6, 4, seed=1)
    theirs = DeepLift(net).attribute(x, b, target=1).detach()
    torch.testing.assert_close(deep_lift(net, x, baseline=b, target=1).values, theirs, atol=1e-10, rtol=1e-7)
    margin = deep_lift(net, x, baseline=b, target=(1, 2)).values
    torch.testing.assert_close(margin, theirs - DeepLift(net).attribute(x, b, target=2).detach())


def test_a_row_gets_the_same_alone_and_in_company():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(1, 3, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(12, 2)).double()
    x = noise(6, 1, 6, 6)
    whole = deep_lift(net, x, baseline="mean")
    for size in (1, 4):
        torch.testing.assert_close(deep_lift(net, x, baseline="mean", batch_size=size).values, whole.values)


def test_rows_coupled_by_the_batch_are_refused():
    class Centred(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.relu = nn.Linear(4, 3), nn.ReLU()

        def forward(self, x: Tensor) -> Tensor:
            return self.relu(self.first(x - x.mean(dim=0)))

    assert "rows beside it" in preflight(Centred().double(), noise(1, 4))["deep_lift"].reason


def test_ids_are_explained_through_their_embeddings():
    class Words(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.table, self.body = nn.Embedding(9, 3), nn.Sequential(nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 2))

        def forward(self, ids: Tensor) -> Tensor:
            return self.body(self.table(ids).flatten(1))

    torch.manual_seed(0)
    found = deep_lift(Words().double(), torch.tensor([[1, 2], [3, 4]]))
    assert found.relative_gap.max() < 1e-9
    assert found.values.shape == (2, 2)


def test_nothing_is_left_on_the_model():
    aside = nn.ReLU()
    net = mlp(nn.ReLU())
    net.add_module("aside", nn.Sequential(aside, nn.Linear(3, 2).double()))
    before = [set(vars(part)) for part in net.modules()]
    found = deep_lift(net, noise(3, 4))
    assert [set(vars(part)) for part in net.modules()] == before
    hooks = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
    assert not any(getattr(part, name) for part in net.modules() for name in hooks)
    assert not found.by_part.requires_grad


def test_callables_have_no_layers_to_go_through():
    assert preflight(lambda x: x.sum(dim=1), noise(1, 4))["deep_lift"].status == "refused"


def test_deep_lift_shap_is_deep_lift_averaged_over_the_reference():
    net, x, reference = mlp(nn.Tanh()), noise(4, 4), noise(12, 4, seed=2)
    found = explain(net, x, method="deep_lift_shap", reference=reference, target=0)
    each = [deep_lift(net, x, baseline=row[None], target=0).values for row in reference]
    torch.testing.assert_close(found.values, torch.stack(each).mean(dim=0))
    assert found.relative_gap.max() < 1e-9
    assert found.evaluations.tolist() == [24] * 4
    small = explain(net, x, method="deep_lift_shap", reference=reference, target=0, batch_size=5)
    torch.testing.assert_close(small.values, found.values)


def test_deep_lift_shap_agrees_with_captum():
    from captum.attr import DeepLiftShap

    net, x, reference = mlp(nn.ReLU()), noise(4, 4), noise(12, 4, seed=2)
    found = explain(net, x, method="deep_lift_shap", reference=reference, target=0)
    theirs = DeepLiftShap(net).attribute(x, reference, target=0).detach()
    torch.testing.assert_close(found.values, theirs, atol=1e-10, rtol=1e-7)
