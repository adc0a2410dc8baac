"""Layers and neurons explained: closed forms, completeness, captum, shortcuts, and nothing left on the model."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from captum.attr import (
    InternalInfluence,
    LayerConductance,
    LayerIntegratedGradients,
    NeuronConductance,
    NeuronIntegratedGradients,
)
from torch import Tensor, nn

from auditkit.attribution import explain, explain_layer
from auditkit.attribution.layers import METHODS
from auditkit.errors import InputError

COMPLETE = ("conductance", "integrated_gradients")


def mlp(activation: type[nn.Module] = nn.Tanh, kind: torch.dtype = torch.float64) -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Linear(6, 12), activation(), nn.Dropout(0.5), nn.Linear(12, 9), activation(), nn.Linear(9, 3)
    ).to(kind)


def cnn() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 3, 3),
        nn.Softplus(),
        nn.AvgPool2d(2),
        nn.Conv2d(3, 4, 2),
        nn.Softplus(),
        nn.Flatten(),
        nn.Linear(4, 3),
    ).double()


class Reader(nn.Module):
    """A recurrent cell or a Transformer's layers, between two linear ones."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.step, self.tanh, self.head = nn.Linear(2, 8), nn.Tanh(), nn.Linear(8, 3)
        layer = nn.TransformerEncoderLayer(8, 2, 16, 0.1, "gelu", batch_first=True, norm_first=kind == "pre-norm")
        self.body: nn.Module = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        if kind == "lstm":
            self.body = nn.LSTM(8, 8, 2, batch_first=True, dropout=0.5)

    def forward(self, x: Tensor) -> Tensor:
        states = self.body(self.tanh(self.step(x)))
        states = states[0] if isinstance(states, tuple) else states
        return self.head(states.mean(dim=1))


NETWORKS = {
    "mlp": (mlp, (6,), ("1", "4")),
    "cnn": (cnn, (1, 7, 7), ("1", "3")),
    "lstm": (lambda: Reader("lstm").double(), (4, 2), ("tanh",)),
    "post-norm": (lambda: Reader("post-norm").double(), (4, 2), ("tanh", "body.layers.1")),
    "pre-norm": (lambda: Reader("pre-norm").double(), (4, 2), ("tanh", "body.layers.0")),
}
CASES = [(name, layer) for name, (_, _, layers) in NETWORKS.items() for layer in layers]


def made(name: str, n: int = 3) -> tuple[nn.Module, Tensor, Tensor]:
    """The network, rows, and a baseline that is not zero (where LayerNorm has no slope)."""
    build, shape, _ = NETWORKS[name]
    numbers = torch.randn(n + 1, *shape, generator=torch.Generator().manual_seed(1)).double()
    return build(), numbers[:n], numbers[n:]


def change(net: nn.Module, x: Tensor, b: Tensor, target: int) -> Tensor:
    with torch.no_grad():
        return (net.eval()(x) - net(b))[:, target]


@pytest.mark.parametrize("method", COMPLETE)
def test_a_linear_layer_behind_a_layer_gives_weight_times_change(method):
    """f = w · y with y = tanh(V x): what unit k passes on is w_k (y_k - y_k(b)), exactly, in any number of steps."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(3, 5), nn.Tanh(), nn.Linear(5, 2)).double()
    x, b = torch.randn(4, 3).double(), torch.randn(1, 3).double()
    found = explain_layer(net, x, "1", method=method, target=1, baseline=b, steps=3)
    expected = net[2].weight[1] * (net[:2](x) - net[:2](b))
    assert torch.allclose(found.values, expected.detach(), atol=1e-12)
    assert found.completeness_gap.abs().max() < 1e-12
    influence = explain_layer(net, x, "1", method="internal_influence", target=1, steps=3).values
    assert torch.allclose(influence, net[2].weight[1].detach().expand(4, -1), atol=1e-12)


def test_products_pass_through_units_in_known_shares():
    """f = y1 y2² with y = x on the way from 0: ∫ y2² dy1 = 1/3 of f, ∫ 2 y1 y2 dy2 = 2/3; influences 1/3 x2², x1 x2."""

    class Product(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Identity()

        def forward(self, x: Tensor) -> Tensor:
            y = self.layer(x)
            return (y[:, 0] * y[:, 1] ** 2)[:, None]

    x = torch.tensor([[2.0, 3.0]]).double()
    for method in COMPLETE:
        found = explain_layer(Product(), x, "layer", method=method, steps=1024)
        assert found.values[0].tolist() == pytest.approx([6, 12], rel=1e-5)
    influence = explain_layer(Product(), x, "layer", method="internal_influence", steps=2)
    assert influence.values[0].tolist() == pytest.approx([3, 4], abs=1e-12)
    through = explain_layer(Product(), x, "layer", neuron=1, steps=2)
    assert through.values[0].tolist() == pytest.approx([0, 12], abs=1e-12)


@pytest.mark.parametrize(("name", "layer"), CASES)
@pytest.mark.parametrize("method", COMPLETE)
def test_it_adds_up_to_the_change_in_score(name, layer, method):
    net, x, b = made(name)
    found = explain_layer(net, x, layer, method=method, target=1, baseline=b, tolerance=1e-3)
    assert found.converged.all()
    assert found.relative_gap.max() < 1e-3
    assert torch.allclose(found.values.flatten(1).sum(dim=1), change(net, x, b, 1), rtol=1e-2, atol=1e-3)
    assert torch.allclose(found.scores - found.baseline_scores, change(net, x, b, 1), atol=1e-9)
    assert torch.allclose(found.total, found.expected + found.completeness_gap)


def test_the_error_of_conductance_falls_with_the_square_of_the_steps():
    net, x, b = made("mlp")
    gaps = [
        explain_layer(net, x, "1", target=0, baseline=b, steps=steps).completeness_gap.abs() for steps in (16, 32, 64)
    ]
    for coarse, fine in pairwise(gaps):
        assert ((coarse / fine) > 3.8).all()
    delta = LayerConductance(net.eval(), net[1]).attribute(
        x, b.expand_as(x), target=0, n_steps=64, return_convergence_delta=True
    )[1]
    assert (gaps[2] < delta.abs() / 5).all()


@pytest.mark.parametrize(("name", "layer"), CASES)
def test_conductance_is_captums_in_the_limit(name, layer):
    """Captum sums at left ends, with an error of 1 / steps, which two numbers of steps together cancel."""
    net, x, b = made(name, 2)
    ours = explain_layer(net, x, layer, target=1, baseline=b, steps=1024).values
    oracle = LayerConductance(net.eval(), net.get_submodule(layer))
    coarse, fine = (oracle.attribute(x, b.expand_as(x), target=1, n_steps=steps).detach() for steps in (800, 1600))
    assert (ours - (2 * fine - coarse)).abs().max() <= 1e-5 * ours.abs().max()
    assert (ours - fine).abs().max() <= 1e-2 * ours.abs().max()


@pytest.mark.parametrize(("name", "layer"), CASES)
@pytest.mark.parametrize("kind", [torch.float64, torch.float32])
def test_the_other_integrals_are_captums(name, layer, kind):
    net, x, b = made(name)
    net, x, b = net.to(kind), x.to(kind), b.to(kind)
    own, starts = net.get_submodule(layer), b.expand_as(x)

    def ours(**told) -> Tensor:
        return explain_layer(net, x, layer, target=1, baseline=b, steps=20, **told).values

    layer_ig, influence = ours(method="integrated_gradients"), ours(method="internal_influence")
    neuron = tuple(size // 2 for size in layer_ig.shape[1:])
    through, moving = ours(neuron=neuron), ours(neuron=neuron, method="integrated_gradients")
    net.eval()
    theirs = (
        LayerIntegratedGradients(net, own).attribute(x, starts, target=1, n_steps=20),
        InternalInfluence(net, own).attribute(x, starts, target=1, n_steps=20),
        NeuronConductance(net, own).attribute(x, neuron, starts, target=1, n_steps=20, method="gausslegendre"),
        NeuronIntegratedGradients(net, own).attribute(x, neuron, starts, n_steps=20),
    )
    for mine, their in zip((layer_ig, influence, through, moving), theirs, strict=True):
        assert mine.dtype == kind
        assert mine.shape == their.shape
        assert (mine - their).abs().max() <= 1e-5 * their.abs().max()


def test_neurons_divide_up_what_passes_their_layer():
    net, x, b = made("mlp")
    whole = explain_layer(net, x, "4", target=2, baseline=b, tolerance=1e-4)
    parts = [explain_layer(net, x, "4", neuron=unit, target=2, baseline=b, tolerance=1e-4) for unit in range(9)]
    sums = torch.stack([part.values.sum(dim=1) for part in parts], dim=1)
    assert torch.allclose(sums, whole.values, atol=1e-4)
    assert all(part.relative_gap.max() < 1e-3 for part in parts)
    every = torch.stack([part.values for part in parts]).sum(dim=0)
    assert torch.allclose(every, explain(net, x, target=2, baseline=b, tolerance=1e-6).values, atol=1e-3)


def test_what_moves_a_neuron_is_what_explain_says_of_it():
    net, x, b = made("cnn")
    found = explain_layer(net, x, "3", neuron=(2, 0, 0), method="integrated_gradients", baseline=b, steps=64)
    unit = explain(lambda rows: net[:4](rows)[:, 2, 0, 0], x, baseline=b, tolerance=1e-9, maximum_steps=64)
    assert torch.allclose(found.values, unit.values, atol=1e-9)
    assert found.completeness_gap.abs().max() < 1e-2 * found.expected.abs().max()


class Shortcut(nn.Module):
    """Half of the answer leads around the layer."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layer, self.around = nn.Linear(4, 2).double(), nn.Linear(4, 2).double()

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x) + self.around(x)


@pytest.mark.parametrize("method", COMPLETE)
def test_the_gap_is_what_leads_around_the_layer(method):
    net, x = Shortcut(), torch.randn(5, 4).double()
    found = explain_layer(net, x, "layer", method=method, target=0)
    around = (net.around(x) - net.around(torch.zeros_like(x)))[:, 0].detach()
    assert torch.allclose(found.completeness_gap, -around, atol=1e-9)


def test_ids_are_explained_where_their_embeddings_are():
    class Words(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.words, self.hidden, self.head = nn.Embedding(9, 4, padding_idx=0), nn.Linear(4, 5), nn.Linear(5, 2)

        def forward(self, ids: Tensor) -> Tensor:
            return self.head(torch.tanh(self.hidden(self.words(ids))).sum(dim=1))

    net, ids = Words(), torch.randint(1, 9, (3, 4))
    found = explain_layer(net, ids, "hidden", target=1, tolerance=1e-3)
    assert found.values.shape == (3, 4, 5)
    assert found.relative_gap.max() < 1e-3
    through = explain_layer(net, ids, "hidden", neuron=(2, 1), target=1)
    assert through.values.shape == ids.shape
    assert (through.values[:, [0, 1, 3]] == 0).all()
    assert torch.allclose(through.values[:, 2], found.values[:, 2, 1], rtol=2e-2, atol=1e-4)
    with pytest.raises(
        InputError, match="layer 'words' is where ids enter the model; `explain` attributes to its output"
    ):
        explain_layer(net, ids, "words")


def test_a_layer_of_several_outputs_is_explained_at_its_first():
    net, x, b = made("lstm")
    found = explain_layer(net, x, "body", target=1, baseline=b)
    assert found.values.shape == (3, 4, 8)
    assert found.relative_gap.max() < 1e-3


def test_steps_are_doubled_for_the_rows_that_need_it():
    """Along x0 the layer is linear; kinks along x1 take many steps."""

    class Kinks(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Identity()

        def forward(self, x: Tensor) -> Tensor:
            y = self.layer(x)
            return y[:, :1] + torch.relu(y[:, 1:] - 0.713) * 5

    found = explain_layer(Kinks(), torch.tensor([[1.0, 0.0], [0.0, 1.0]]).double(), "layer")
    assert found.steps[0] == 32
    assert found.steps[1] > 64
    assert found.converged.all()
    assert found.evaluations.tolist() == [
        17 + 33 + 2,
        sum(2**k + 1 for k in range(4, int(np.log2(found.steps[1])) + 1)) + 2,
    ]
    rough = explain_layer(Kinks(), torch.tensor([[0.0, 1.0]]).double(), "layer", tolerance=1e-9)
    assert not rough.converged[0]
    assert rough.steps[0] == 1024


@pytest.mark.parametrize("told", [{"method": method} for method in METHODS] + [{"neuron": 2}])
def test_batches_rows_and_repetition_change_nothing(told):
    net, x, b = made("mlp", 5)
    whole = explain_layer(net, x, "1", baseline=b, **told)
    assert torch.equal(explain_layer(net, x, "1", baseline=b, **told).values, whole.values)
    for size in (1, 3, 50):
        part = explain_layer(net, x, "1", baseline=b, batch_size=size, **told)
        assert torch.allclose(part.values, whole.values, atol=1e-12)
    alone = explain_layer(net, x[2:3], "1", baseline=b, **told)
    assert torch.allclose(alone.values[0], whole.values[2], atol=1e-12)
    assert not whole.values.requires_grad
    assert whole.completeness_gap.isnan().all() == (told.get("method") == "internal_influence")


def bare(net: nn.Module) -> bool:
    return not any(part._forward_hooks or part._forward_pre_hooks or part._backward_hooks for part in net.modules())


class Breaks(nn.Module):
    """Gives up in the middle of a later pass."""

    left = 1_000_000

    def forward(self, x: Tensor) -> Tensor:
        self.left -= 1
        if self.left < 0:
            raise RuntimeError("gave up")
        return x


@pytest.mark.parametrize("told", [{"method": method} for method in METHODS] + [{"neuron": 2}])
def test_the_model_is_left_as_it_was_found_also_after_an_exception(told):
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(4, 5), nn.Tanh(), Breaks(), nn.Dropout(0.5), nn.Linear(5, 2))
    x, state = torch.randn(3, 4), torch.random.get_rng_state()
    explain_layer(net, x, "1", batch_size=4, **told)
    passes, broken = 1_000_000 - net[2].left, 0
    for left in range(0, passes, max(1, passes // 12)):
        net[2].left = left
        with pytest.raises(RuntimeError, match="gave up"):
            explain_layer(net, x, "1", batch_size=4, **told)
        broken += 1
        assert bare(net)
        assert net.training
        assert all(parameter.requires_grad and parameter.grad is None for parameter in net.parameters())
        assert torch.equal(torch.random.get_rng_state(), state)
    assert broken >= 10


def test_activations_in_place_change_nothing():
    x = torch.randn(3, 6).double()
    nets = [mlp(nn.ReLU), mlp(nn.ReLU)]
    nets[1][1].inplace = nets[1][4].inplace = True
    for told in ({}, {"method": "integrated_gradients"}, {"neuron": 3}):
        one, two = (explain_layer(net, x, "0", steps=32, target=0, **told).values for net in nets)
        assert torch.allclose(one, two, atol=1e-12)


def test_a_batch_that_does_not_fit_is_halved():
    class Small(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            if len(x) > 5:
                raise torch.OutOfMemoryError("no room")
            return x

    net, x = mlp(), torch.randn(4, 6).double()
    found = explain_layer(nn.Sequential(*net[:3], Small(), *net[3:]), x, "1", steps=20, batch_size=64)
    assert torch.allclose(found.values, explain_layer(net, x, "1", steps=20).values, atol=1e-12)


class Odd(nn.Module):
    """A layer that runs twice, one that does not, one whose first axis is no row, one that gives text."""

    def __init__(self) -> None:
        super().__init__()
        self.twice, self.never, self.turned, self.told = nn.Tanh(), nn.Tanh(), nn.Identity(), Tells()

    def forward(self, x: Tensor) -> Tensor:
        self.told(x)
        return self.twice(self.twice(self.turned(x.T).T))


class Tells(nn.Module):
    def forward(self, x: Tensor) -> str:
        return "nothing"


@pytest.mark.parametrize(
    ("layer", "told", "says"),
    [
        ("twice", {}, "the layer runs 2 times in one pass"),
        ("never", {}, "the layer does not run"),
        ("turned", {}, r"the layer gives a tensor of shape \[4, 3\] for 3 rows"),
        ("told", {}, "the layer gives str for 3 rows"),
        ("thrice", {}, "the model has no layer 'thrice'; did you mean 'twice'"),
        ("twice", {"method": "conductivity"}, "there is no 'conductivity'; did you mean 'conductance'"),
        ("twice", {"method": "internal_influence", "neuron": 1}, "internal influence is of a layer"),
        ("twice", {"steps": 0}, "takes at least 1, not 0"),
    ],
)
def test_what_cannot_be_explained_is_said(layer, told, says):
    net = Odd()
    with pytest.raises(InputError, match=says):
        explain_layer(net, torch.randn(3, 4), layer, **told)
    assert bare(net)


@pytest.mark.parametrize("neuron", [9, (1, 1), -10])
def test_a_neuron_that_is_not_there_is_said(neuron):
    with pytest.raises(InputError, match=r"one unit of the layer is named by its place in \[9\]"):
        explain_layer(mlp(), torch.randn(2, 6).double(), "4", neuron=neuron)


def test_a_callable_has_no_layers():
    with pytest.raises(InputError, match="a callable has no layers; give the module itself"):
        explain_layer(lambda x: x, torch.randn(2, 3), "0")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="there are no rows"):
        explain_layer(mlp(), torch.randn(0, 6).double(), "1")


def test_gradients_through_a_recurrent_cell_need_no_training_mode():
    net, x, b = made("lstm")
    one = explain_layer(net.train(), x, "tanh", target=0, baseline=b, steps=16)
    two = explain_layer(net.eval(), x, "tanh", target=0, baseline=b, steps=16)
    assert torch.equal(one.values, two.values)


@pytest.mark.parametrize("norm_first", [False, True])
def test_kinks_take_more_steps_and_add_up_nevertheless(norm_first):
    """ReLU and maximum pooling have no second derivative for a rule to use."""
    torch.manual_seed(0)
    layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True, norm_first=norm_first).double()
    net = nn.Sequential(nn.Linear(2, 8).double(), nn.ReLU(), layer, nn.Flatten(), nn.Linear(32, 2).double())
    x, b = torch.randn(2, 4, 2).double(), torch.randn(1, 4, 2).double()
    for method in COMPLETE:
        found = explain_layer(net, x, "1", method=method, target=0, baseline=b)
        assert found.converged.all()
        assert found.relative_gap.max() < 2.5e-2
    theirs = LayerConductance(net.eval(), net[1]).attribute(x, b.expand_as(x), target=0, n_steps=1000).detach()
    ours = explain_layer(net, x, "1", target=0, baseline=b, steps=512).values
    assert (ours - theirs).abs().max() <= 5e-3 * ours.abs().max()
