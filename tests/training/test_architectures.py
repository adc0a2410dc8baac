"""The networks: shapes, one-kind inputs, and modules that methods can see each by itself."""

import pytest
import torch
from torch import nn

from auditkit.training.architectures.cnn import CNN
from auditkit.training.architectures.mlp import MLP

NUMBERS, CODES = torch.randn(5, 3), torch.randint(0, 4, (5, 2))


@pytest.mark.parametrize(
    ("numeric", "categories", "inputs"),
    [(3, [4, 4], (NUMBERS, CODES)), (3, [], (NUMBERS,)), (0, [4, 4], (CODES,))],
)
def test_an_mlp_takes_either_kind_of_column_or_both(numeric, categories, inputs):
    network = MLP(numeric, categories, classes=3, hidden=[8, 6]).eval()
    assert network(*inputs).shape == (5, 3)


@pytest.mark.parametrize("inputs", [(NUMBERS,), (NUMBERS[:, :2], CODES), (NUMBERS, CODES[:, :1]), (CODES, NUMBERS)])
def test_an_mlp_refuses_inputs_of_other_widths(inputs):
    with pytest.raises(ValueError, match="expected inputs of"):
        MLP(3, [4, 4], classes=2)(*inputs)


def test_embeddings_are_called_once_each_in_column_order():
    network = MLP(3, [4, 4], classes=2).eval()
    seen = []
    for place, embedding in enumerate(network.embeddings):
        embedding.register_forward_hook(lambda _m, inputs, _o, place=place: seen.append((place, inputs[0].tolist())))
    network(NUMBERS, CODES)
    assert seen == [(0, CODES[:, 0].tolist()), (1, CODES[:, 1].tolist())]


@pytest.mark.parametrize(("norm", "kind"), [("batch", nn.BatchNorm1d), ("layer", nn.LayerNorm), ("none", nn.Identity)])
def test_an_mlp_takes_each_kind_of_normalisation_in_the_same_place(norm, kind):
    network = MLP(3, [4, 4], classes=2, hidden=[8, 6], norm=norm).eval()
    assert [type(block[1]) for block in network.blocks] == [kind, kind]
    assert network(NUMBERS, CODES).shape == (5, 2)
    with pytest.raises(ValueError, match="norm must be one of batch, layer, none"):
        MLP(3, [4, 4], classes=2, norm="group")


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 32, 20), (2, 3, 5), (1, 1, 1)])
def test_a_cnn_takes_pictures_of_any_size(shape):
    network = CNN(shape, classes=4, widths=[4, 6, 8]).eval()
    assert network(torch.randn(2, *shape)).shape == (2, 4)


def test_the_last_convolution_is_spatial():
    network, seen = CNN((1, 8, 8), classes=10).eval(), []
    last = [module for module in network.modules() if isinstance(module, nn.Conv2d)]
    network.stages[-1].second.register_forward_hook(lambda _m, _i, output: seen.append(output.shape))
    network(torch.randn(2, 1, 8, 8))
    assert seen[0][2:] == (4, 4)
    assert network.stages[-1].second in last


@pytest.mark.parametrize(
    ("network", "inputs"),
    [(MLP(3, [4, 4], classes=2), (NUMBERS, CODES)), (CNN((1, 8, 8), classes=2), (torch.randn(2, 1, 8, 8),))],
)
def test_no_module_is_used_twice_and_rows_are_independent(network, inputs):
    network.eval()
    calls: dict[str, int] = {}
    hooks = [
        module.register_forward_hook(lambda *_, name=name: calls.update({name: calls.get(name, 0) + 1}))
        for name, module in network.named_modules()
        if not any(module.children())
    ]
    whole = network(*inputs)
    for hook in hooks:
        hook.remove()
    assert set(calls.values()) == {1}
    alone = torch.cat([network(*(part[row : row + 1] for part in inputs)) for row in range(len(inputs[0]))])
    torch.testing.assert_close(whole, alone)
