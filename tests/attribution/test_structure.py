"""What one pass finds in a model."""

import pytest
import torch
from torch import Tensor, nn

from auditkit.attribution.structure import Layer, Operation, inspect, named
from auditkit.engine.plain import PlainModel


def seen(model, *inputs: Tensor):
    return inspect(PlainModel.of(model, inputs), inputs)


class Of(nn.Module):
    """A function of the output of one linear layer, and the layers it uses."""

    def __init__(self, f, **layers) -> None:
        super().__init__()
        self.first, self.f = nn.Linear(4, 4), f
        for name, layer in layers.items():
            setattr(self, name, layer)

    def forward(self, x: Tensor) -> Tensor:
        return self.f(self, self.first(x))


ROW = torch.linspace(-1, 1, 4)[None]
LINEAR = {
    "shape": lambda m, h: h.reshape(-1, 2, 2).transpose(1, 2).flatten(1)[:, :3],
    "sums": lambda m, h: (h + 1 - h.mean(dim=1, keepdim=True) - torch.ones(4)).sum(dim=1),
    "scaled": lambda m, h: 2 * h / torch.tensor([1.0, 2, 3, 4]),
    "weights": lambda m, h: h @ torch.ones(4, 2) + nn.functional.linear(h, torch.ones(2, 4)),
    "joined": lambda m, h: torch.cat([h, h[:, :1] * 0.5], dim=1),
    "in place": lambda m, h: h.clone().add_(1).mul_(2),
    "pooled": lambda m, h: nn.functional.avg_pool1d(h[:, None], 2).squeeze(1),
    "einsum": lambda m, h: torch.einsum("ni,ij->nj", h, torch.ones(4, 2)),
    "batch norm": lambda m, h: nn.functional.batch_norm(h, torch.zeros(4), torch.ones(4)),
    "a mask of its own": lambda m, h: h.masked_fill(torch.tensor([True, False, False, True]), 0),
    "constants made like it": lambda m, h: h + torch.zeros_like(h) + h.new_ones(4),
}
NOT_LINEAR = {
    "relu": (lambda m, h: nn.functional.relu(h), "relu"),
    "torch.relu": (lambda m, h: torch.relu(h), "relu"),
    "method": (lambda m, h: h.relu(), "relu"),
    "in place": (lambda m, h: h.clone().relu_(), "relu"),
    "tanh": (lambda m, h: h.tanh(), "tanh"),
    "gelu": (lambda m, h: nn.functional.gelu(h), "gelu"),
    "softmax": (lambda m, h: h.softmax(dim=1), "softmax"),
    "power": (lambda m, h: h**2, "pow"),
    "product of two": (lambda m, h: h * h.flip(1), "mul"),
    "matrix product of two": (lambda m, h: (h[:, None] @ h[:, :, None]).flatten(1), "matmul"),
    "division by it": (lambda m, h: torch.ones(4) / h, "div"),
    "number over it": (lambda m, h: 1 / h, "reciprocal"),
    "largest": (lambda m, h: h.amax(dim=1), "amax"),
    "comparison": (lambda m, h: h * (h > 0), "gt"),
    "a choice": (lambda m, h: torch.where(h > 0, h, 0), "gt"),
    "cut": (lambda m, h: h * h.detach(), "detach"),
    "data": (lambda m, h: h * h.data, "data"),
    "clamp": (lambda m, h: h.clamp(min=0), "clamp"),
    "norm": (lambda m, h: nn.functional.layer_norm(h, (4,)), "layer_norm"),
    "attention": (lambda m, h: nn.functional.scaled_dot_product_attention(h[None], h[None], h[None])[0], None),
}


@pytest.mark.parametrize("name", LINEAR)
def test_what_is_linear_is_not_named(name):
    assert seen(Of(LINEAR[name]), ROW).nonlinear() == ()


@pytest.mark.parametrize("name", NOT_LINEAR)
def test_what_is_not_linear_is_named(name):
    f, operation = NOT_LINEAR[name]
    found = [part.name for part in seen(Of(f), ROW).nonlinear()]
    assert found
    if operation:
        assert operation in found


def test_the_same_net_with_modules_has_no_operation_that_is_not_linear():
    modules = nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.LayerNorm(3), nn.GELU(), nn.Softmax(dim=1))
    found = seen(modules, ROW)
    assert found.nonlinear() == ()
    assert [layer.kind for layer in found.layers] == ["Linear", "ReLU", "LayerNorm", "GELU", "Softmax"]
    assert found.kinds["ReLU"] == ["1"]


def test_layers_used_more_than_once_are_counted():
    found = seen(Of(lambda m, h: m.relu(m.second(m.relu(h))), relu=nn.ReLU(), second=nn.Linear(4, 2)), ROW)
    assert found.reused == (Layer("relu", "ReLU", 2),)


def test_layers_that_nothing_of_the_row_goes_through_are_left_out():
    class Positions(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.table, self.aside, self.body = nn.Embedding(4, 1), nn.GELU(), nn.Linear(4, 2)

        def forward(self, x: Tensor) -> Tensor:
            return self.body(x + self.aside(self.table(torch.arange(4))).T)

    assert [layer.name for layer in seen(Positions(), ROW).layers] == ["body"]


def test_a_subclass_of_a_layer_is_looked_into():
    class Mine(nn.ReLU):
        def forward(self, x: Tensor) -> Tensor:
            return nn.functional.relu(x) + 1

    found = seen(nn.Sequential(nn.Linear(4, 2), Mine()), ROW)
    assert [layer.kind for layer in found.layers] == ["Linear"]
    assert found.nonlinear() == (Operation("relu", "1", 1),)


def test_transformer_layers_show_their_attention_and_functional_relu():
    layer = nn.TransformerEncoderLayer(4, 2, 8, batch_first=True)
    found = seen(Of(lambda m, h: m.layer(h[:, None]).flatten(1), layer=layer), ROW)
    assert {part.name for part in found.nonlinear()} == {"multi_head_attention_forward", "relu"}
    assert found.kinds["LayerNorm"] == ["layer.norm1", "layer.norm2"]


def test_recurrent_layers_are_named():
    class Series(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.cells, self.head = nn.LSTM(2, 3, batch_first=True), nn.Linear(3, 1)

        def forward(self, x: Tensor) -> Tensor:
            return self.head(self.cells(x)[0][:, -1])

    assert seen(Series(), torch.randn(1, 4, 2)).recurrent == ("cells",)


def test_ids_are_followed_from_their_embeddings_on():
    class Words(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.table, self.head = nn.Embedding(9, 3), nn.Linear(3, 2)

        def forward(self, ids: Tensor) -> Tensor:
            return self.head(nn.functional.relu(self.table(ids)).mean(dim=1))

    found = seen(Words(), torch.tensor([[1, 2, 3]]))
    assert [layer.name for layer in found.layers] == ["head"]
    assert named(found.nonlinear()) == "relu"


def test_train_mode_coupling_chance_and_dtype_are_noticed():
    net = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4), nn.Dropout(0.5), nn.Linear(4, 2)).double().train()
    found = seen(net, ROW.double())
    assert found.training == ("1", "2")
    assert (found.coupled, found.random, found.dtype) == (False, False, "float64")
    assert seen(net.eval(), ROW.double()).training == ()
    assert seen(Of(lambda m, h: h - h.mean(dim=0)), ROW).coupled
    assert seen(Of(lambda m, h: h + torch.rand(4)), ROW).random


def test_norms_of_the_batch_are_a_kind_of_their_own():
    class Images(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = nn.Sequential(nn.Conv2d(1, 2, 1), nn.BatchNorm2d(2, track_running_stats=False))

        def forward(self, x: Tensor) -> Tensor:
            return self.body(x).flatten(1)

    found = seen(Images(), torch.randn(1, 1, 3, 3))
    assert "BatchNorm2d without running statistics" in found.kinds
    assert found.coupled


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_scripted_modules_are_said_to_be_closed():
    net = nn.Sequential(nn.Linear(4, 4), torch.jit.script(nn.ReLU()))
    assert seen(net, ROW).opaque == ("1",)


def test_the_model_is_left_as_it_was():
    net = nn.Sequential(nn.Linear(4, 4), nn.Dropout(0.5), nn.ReLU(), nn.Linear(4, 2)).train()
    seen(net, ROW)
    assert all(part.training for part in net.modules())
    assert all(parameter.requires_grad and parameter.grad is None for parameter in net.parameters())
    assert not any(part._forward_hooks or part._forward_pre_hooks for part in net.modules())

    class Broken(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            raise ValueError("no")

    broken = nn.Sequential(nn.Linear(4, 4), Broken())
    with pytest.raises(ValueError, match="no"):
        seen(broken, ROW)
    assert not any(part._forward_hooks or part._forward_pre_hooks for part in broken.modules())


def test_names_in_words():
    layers = [Layer(f"body.{place}", "GELU", 1) for place in range(5)]
    assert named(layers) == "GELU ('body.0'), GELU ('body.1'), GELU ('body.2') and 2 more"
    assert named([Operation("relu", "", 1), Operation("relu", "", 1)]) == "relu"
