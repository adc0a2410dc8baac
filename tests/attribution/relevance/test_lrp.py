"""LRP: conserved where there are no biases, equal to closed forms, and refused where captum would miscount or fail."""

import pytest
import torch
from torch import Tensor, nn

from auditkit.attribution.explanation import explain, preflight


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def lrp(net, x, **settings):
    return explain(net, x, method="lrp", **settings)


class Simple(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.drop, self.last = nn.Linear(3, 3, bias=False), nn.Dropout(0.01), nn.Linear(3, 1, bias=False)
        nn.init.constant_(self.first.weight, 2)
        nn.init.constant_(self.last.weight, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.drop(self.first(x)))


def test_a_model_left_in_train_mode_is_explained_as_in_eval_mode():
    net = Simple().train()
    found = lrp(net, torch.tensor([[1.0, 2.0, 3.0]]))
    torch.testing.assert_close(found.values, torch.tensor([[18.0, 36.0, 54.0]]))
    assert net.drop.training


NETS = {
    "table": (lambda: [nn.Linear(4, 8, bias=False), nn.ReLU(), nn.Linear(8, 3, bias=False)], (4,)),
    "picture": (
        lambda: [
            *(nn.Conv2d(2, 4, 3, bias=False), nn.ReLU(), nn.MaxPool2d(2), nn.Identity(), nn.AvgPool2d(2)),
            *(nn.Flatten(), nn.Linear(4, 3, bias=False)),
        ],
        (2, 6, 6),
    ),
    "series": (
        lambda: [
            *(nn.Conv1d(2, 4, 3, bias=False), nn.ReLU(), nn.AvgPool1d(2), nn.Dropout1d(0.2)),
            *(nn.Flatten(), nn.Linear(12, 3, bias=False)),
        ],
        (2, 8),
    ),
    "upwards": (
        lambda: [nn.ConvTranspose2d(1, 2, 2, bias=False), nn.ReLU(), nn.Flatten(), nn.Linear(32, 3, bias=False)],
        (1, 3, 3),
    ),
}


@pytest.mark.parametrize("name", NETS)
def test_without_biases_it_is_conserved_and_equals_gradient_x_input(name):
    layers, shape = NETS[name]
    torch.manual_seed(0)
    net, x = nn.Sequential(*layers()).double(), noise(5, *shape)
    found = lrp(net, x, target=1)
    assert found.validity.status == "valid"
    assert found.relative_gap.max() < 1e-6
    assert (found.baseline_scores == 0).all()
    torch.testing.assert_close(
        found.values, explain(net, x, target=1, method="gradient_x_input").values, atol=1e-6, rtol=1e-6
    )


def test_of_a_margin_each_outputs_score_is_handed_down_by_itself():
    torch.manual_seed(0)
    net, x = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 3)).double(), noise(5, 4)
    first, second = (lrp(net, x, target=place).values for place in (0, 2))
    torch.testing.assert_close(lrp(net, x, target=(0, 2)).values, first - second)
    weights = torch.tensor([0.5, 0.0, -3.0], dtype=torch.float64)
    torch.testing.assert_close(lrp(net, x, target=weights).values, 0.5 * first - 3 * second)


def test_biases_degrade_it_and_their_share_is_the_gap():
    net = nn.Sequential(nn.Linear(2, 1)).double()
    with torch.no_grad():
        net[0].weight.copy_(torch.tensor([[2.0, 1.0]]))
        net[0].bias.fill_(2.0)
    found = lrp(net, torch.tensor([[3.0, 2.0]], dtype=torch.float64))
    assert found.validity.status == "degraded"
    torch.testing.assert_close(found.values, torch.tensor([[6.0, 2.0]], dtype=torch.float64))
    assert found.completeness_gap.item() == pytest.approx(-2)


def test_it_agrees_with_captum_on_layers_it_knows():
    from captum.attr import LRP

    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Conv2d(3, 2, 2))

    class Flat(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = net

        def forward(self, x: Tensor) -> Tensor:
            return self.body(x).flatten(1)

    flat, x = Flat().double().eval(), noise(4, 1, 6, 6)
    theirs = LRP(flat).attribute(x.clone(), target=1).detach()
    torch.testing.assert_close(lrp(flat, x, target=1).values, theirs, atol=1e-9, rtol=1e-6)


@pytest.mark.parametrize(
    "layer",
    [nn.GELU(), nn.Sigmoid(), nn.LeakyReLU(), nn.LayerNorm(4), nn.Softmax(dim=1), nn.ELU()],
    ids=lambda layer: type(layer).__name__,
)
def test_layers_without_a_rule_are_refused_with_their_name(layer):
    net = nn.Sequential(nn.Linear(4, 4), layer, nn.Linear(4, 2)).double()
    found = preflight(net, noise(1, 4))["lrp"]
    assert found.status == "refused"
    assert type(layer).__name__ in found.reason


def test_sums_products_and_nonlinearities_outside_modules_are_refused():
    class Net(nn.Module):
        def __init__(self, f) -> None:
            super().__init__()
            self.first, self.last, self.f = nn.Linear(4, 4), nn.Linear(4, 2), f

        def forward(self, x: Tensor) -> Tensor:
            return self.last(self.f(x, self.first(x)))

    for f in (lambda x, h: h + x, lambda x, h: h * x, lambda x, h: h.tanh(), lambda x, h: 2 * h):
        assert preflight(Net(f).double(), noise(1, 4))["lrp"].status == "refused"
    assert (
        preflight(Net(lambda x, h: nn.functional.relu(h).flatten(1)).double(), noise(1, 4))["lrp"].status == "degraded"
    )


def test_a_functional_relu_gives_what_the_module_gives():
    """Relevance at a closed ReLU is zero, so that its derivative changes nothing."""

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.first, self.last = nn.Linear(4, 6), nn.Linear(6, 2)

        def forward(self, x: Tensor) -> Tensor:
            return self.last(nn.functional.relu(self.first(x)))

    net, x = Net().double(), noise(5, 4)
    twin = nn.Sequential(net.first, nn.ReLU(), net.last)
    torch.testing.assert_close(lrp(net, x).values, lrp(twin, x).values)


def test_ids_and_layers_used_twice():
    class Words(nn.Module):
        def __init__(self, again: bool) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.table, self.body, self.again = nn.Embedding(9, 3), nn.Linear(6, 6, bias=False), again
            self.relu, self.last = nn.ReLU(), nn.Linear(6, 2, bias=False)

        def forward(self, ids: Tensor) -> Tensor:
            h = self.relu(self.body(self.table(ids).flatten(1)))
            return self.last(self.body(h) if self.again else h)

    ids = torch.tensor([[1, 2], [3, 4]])
    assert lrp(Words(False).double(), ids).relative_gap.max() < 1e-6
    assert "called more than once" in preflight(Words(True).double(), ids)["lrp"].reason


def test_nothing_is_left_on_the_model():
    net = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 2)).double()
    net[0].rule = "mine"
    before = [{name: value for name, value in vars(part).items() if name[0] != "_"} for part in net.modules()]
    weights = {name: value.clone() for name, value in net.state_dict().items()}
    found = lrp(net, noise(3, 4))
    after = [{name: value for name, value in vars(part).items() if name[0] != "_"} for part in net.modules()]
    assert after == before
    assert all(torch.equal(value, weights[name]) for name, value in net.state_dict().items())
    hooks = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks")
    assert not any(getattr(part, name) for part in net.modules() for name in hooks)
    assert not found.by_part.requires_grad
