"""Which numbers of a row stand at which place of its attention: traced in networks where it is known."""

import re

import pytest
import torch
from torch import Tensor, nn

from auditkit.attribution import preflight
from auditkit.attribution.attention.places import NoPlacesError, attention_allows, divided, places_of
from auditkit.engine.plain import PlainModel
from auditkit.engine.rows import Rows
from auditkit.engine.space import InputSpace, Points
from auditkit.training.architectures.transformer import Transformer

N, STEPS = 3, 6
METHODS = ("raw_attention", "attention_rollout", "attention_x_gradient")


def traced(net: nn.Module, *inputs: Tensor) -> Points:
    model = PlainModel.of(net, inputs)
    with model.evaluating():
        space = InputSpace.trace(model, inputs)
        points, outputs = space.enter(inputs)
        return places_of(space, Rows(points, torch.ones_like(outputs)))


def series(n: int = N, steps: int = STEPS) -> Tensor:
    return torch.randn(n, steps, 2, generator=torch.Generator().manual_seed(1))


class Attending(nn.Module):
    """What `stem` makes of a row, through one layer of attention."""

    def __init__(self, stem: nn.Module, width: int = 8) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.stem, self.head = stem, nn.Linear(width, 3)
        self.layer = nn.TransformerEncoderLayer(width, 2, 16, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.layer(self.stem(x)).mean(dim=1))


class Stem(nn.Module):
    """Any function of rows, then a linear layer over the last axis."""

    def __init__(self, made, width: int = 2) -> None:
        super().__init__()
        self.made, self.linear = made, nn.Linear(width, 8)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(self.made(x))


@pytest.mark.parametrize(("pooling", "first"), [("mean", 0), ("cls", 1)])
def test_steps_stand_at_their_own_place_behind_a_cls(pooling, first):
    torch.manual_seed(0)
    (found,) = traced(Transformer(3, width=8, heads=2, steps=STEPS, channels=2, pooling=pooling), series())
    assert found.tolist() == [[first + step] * 2 for step in range(STEPS)]


@pytest.mark.parametrize("steps", [1, 2, 33])
def test_any_number_of_places(steps):
    (found,) = traced(Attending(Stem(lambda x: x)), series(2, steps))
    assert found[:, 0].tolist() == list(range(steps))


def test_columns_of_a_table_and_words():
    torch.manual_seed(0)
    table = Transformer(3, width=8, heads=2, numeric=3, categories=[4, 5], pooling="cls")
    numbers, *codes = traced(table, torch.randn(N, 3), torch.randint(0, 4, (N, 2)))
    assert numbers.tolist() == [1, 2, 3]
    assert [part.unique().tolist() for part in codes] == [[4], [5]]
    (words,) = traced(Attending(nn.Embedding(20, 8)), torch.randint(0, 20, (N, 4)))
    assert words.tolist() == [[place] * 8 for place in range(4)]


def test_an_order_of_its_own_is_followed():
    (found,) = traced(Attending(Stem(lambda x: x.flip(1))), series())
    assert found[:, 0].tolist() == list(range(STEPS))[::-1]
    (channels,) = traced(Attending(Stem(lambda x: x.transpose(1, 2), STEPS)), series())
    assert channels.tolist() == [[0, 1]] * STEPS


def test_patches_of_a_picture():
    class Patches(nn.Module):
        def __init__(self, side: int, stride: int) -> None:
            super().__init__()
            self.convolution = nn.Conv2d(1, 8, side, stride)

        def forward(self, x: Tensor) -> Tensor:
            return self.convolution(x).flatten(2).transpose(1, 2)

    pictures = torch.randn(N, 1, 6, 6)
    (found,) = traced(Attending(Patches(3, 3)), pictures)
    assert found[0].tolist() == [[0, 0, 0, 1, 1, 1]] * 3 + [[2, 2, 2, 3, 3, 3]] * 3
    with pytest.raises(NoPlacesError, match="inputs are mixed before the first attention"):
        traced(Attending(Patches(3, 1)), pictures)
    (cropped,) = traced(Attending(Patches(4, 4)), pictures)
    assert (cropped[0, 4:] == -1).all()
    assert (cropped[0, :4, :4] == 0).all()


class Recurrent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.cell = nn.LSTM(2, 8, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        return self.cell(x)[0]


class Windows(nn.Module):
    """Attention within windows of three steps."""

    def __init__(self) -> None:
        super().__init__()
        self.linear, self.attention, self.head = (
            nn.Linear(2, 8),
            nn.MultiheadAttention(8, 2, batch_first=True),
            nn.Linear(8, 2),
        )

    def forward(self, x: Tensor) -> Tensor:
        parts = self.linear(x).reshape(-1, 3, 8)
        return self.head(self.attention(parts, parts, parts)[0].reshape(len(x), -1, 8).mean(dim=1))


class Two(nn.Module):
    """Two layers, with half of the places after the first; or to a sequence of its own."""

    def __init__(self, own: bool) -> None:
        super().__init__()
        self.linear, self.head, self.own = nn.Linear(2, 8), nn.Linear(8, 2), own
        self.first, self.second = (nn.MultiheadAttention(8, 2, batch_first=True) for _ in range(2))
        self.memory = nn.Parameter(torch.randn(1, 4, 8))

    def forward(self, x: Tensor) -> Tensor:
        states = self.linear(x)
        if self.own:
            memory = self.memory.expand(len(x), -1, -1)
            return self.head(self.first(states, memory, memory)[0].mean(dim=1))
        states = self.first(states, states, states)[0][:, ::2]
        return self.head(self.second(states, states, states)[0].mean(dim=1))


class KernelAttention(nn.Module):
    """Attention in a kernel that is called past torch's functions."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.jit.script(fused)(x)


def fused(x: Tensor) -> Tensor:
    return nn.functional.scaled_dot_product_attention(x, x, x).mean(dim=1)


class Answer(nn.Module):
    """Values, or looks, that no gradient goes through."""

    def __init__(self, values: bool) -> None:
        super().__init__()
        self.values = values

    def forward(self, x: Tensor) -> Tensor:
        looks = x.detach()
        return nn.functional.scaled_dot_product_attention(looks, looks, looks if self.values else x).mean(dim=1)


REFUSED = {
    "no attention": (nn.Sequential(nn.Flatten(), nn.Linear(12, 2)), "no attention whose weights can be read", True),
    "a recurrent layer first": (Attending(Recurrent()), "inputs are mixed before the first attention", False),
    "a normalisation first": (Attending(Stem(lambda x: x - x.mean(dim=1, keepdim=True))), "inputs are mixed", False),
    "windows": (Windows(), r"attention of shape \[2, 2, 3, 3\] that is not from each place", False),
    "another sequence": (Two(True), r"attention of shape \[1, 2, 6, 4\]", False),
    "fewer places": (Two(False), r"its places change between layers \(3, 6 of them\)", False),
    "a kernel": (
        KernelAttention(),
        r"its attention \(KernelAttention\) shows no weights: it runs in a fused kernel",
        False,
    ),
    "no gradient": (Answer(True), "no gradient leads from the model's output back to its inputs", False),
    "detached looks": (Answer(False), "no gradient leads from its attention back to its inputs", False),
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("case", REFUSED)
def test_what_has_no_places_is_refused_with_a_reason(case):
    net, says, expected = REFUSED[case]
    model = PlainModel.of(net, (series(1),))
    found = attention_allows(model, (series(1),))
    assert (found.status, found.expected) == ("refused", expected)
    assert re.search(says, found.reason)


def test_every_method_is_asked_before_and_a_callable_may_be_read():
    net = Attending(Stem(lambda x: x)).eval()
    for asked in (net, lambda x: net(x)):
        found = preflight(asked, series())
        assert [found[name].status for name in METHODS] == ["valid"] * 3


def test_numbers_that_go_past_the_attention_are_counted():
    class Beside(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.attending, self.beside = Attending(Stem(lambda x: x)), nn.Linear(4, 3)

        def forward(self, x: Tensor, extra: Tensor) -> Tensor:
            return self.attending(x) + self.beside(extra)

    inputs = series(), torch.randn(N, 4)
    found = attention_allows(PlainModel.of(Beside(), inputs), tuple(part[:1] for part in inputs))
    assert found.status == "degraded"
    assert found.reason == "4 of 16 numbers of a row reach the answer past its attention and get 0"


def test_what_only_fills_up_in_one_row_is_placed_by_another():
    torch.manual_seed(0)
    net = Transformer(3, width=8, heads=2, words=20, length=5)
    ids, mask = torch.randint(2, 20, (2, 5)), torch.tensor([[1.0, 1, 1, 0, 0], [1, 1, 1, 1, 1]])
    _, found = traced(net, ids, mask)  # the mask is a number of the row too: it bears on no place of the attention
    assert found[:, 0].tolist() == list(range(5))
    _, alone = traced(net, ids[:1], mask[:1])
    assert alone[:, 0].tolist() == [0, 1, 2, -1, -1]


def test_values_of_places_are_divided_among_their_numbers():
    values = torch.tensor([[3.0, 6.0, 5.0]])
    found = divided(values, (torch.tensor([[0, 0], [1, -1]]), torch.tensor([0, 1])))
    assert [part.tolist() for part in found] == [[[[1.0, 1.0], [3.0, 0.0]]], [[1.0, 3.0]]]


def test_nothing_is_left_on_the_model():
    net = Attending(Stem(lambda x: x)).train()
    traced(net, series())
    assert net.training
    assert all(parameter.requires_grad for parameter in net.parameters())
    assert not any(part._forward_hooks or part._forward_pre_hooks for part in net.modules())


@pytest.mark.filterwarnings("ignore")
def test_a_scripted_program_is_refused():
    traced_program = torch.jit.trace(Attending(Stem(lambda x: x)).eval(), series(), check_trace=False)
    found = attention_allows(PlainModel.of(traced_program, (series(1),)), (series(1),))
    assert found.status == "refused"
    assert "(MultiheadAttention) shows no weights: it runs in a fused kernel or a scripted program" in found.reason
