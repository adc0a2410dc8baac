"""Raw attention, rollout and attention × gradient: closed forms, planted looks, and the contract of methods."""

import numpy as np
import pyarrow as pa
import pytest
import torch
from torch import Tensor, nn

from auditkit.attribution import explain
from auditkit.attribution.attention.attention_x_gradient import followed
from auditkit.attribution.attention.rollout import rolled_out
from auditkit.attribution.explicands import explicands_of
from auditkit.attribution.method import example_inputs
from auditkit.attribution.registry import METHODS
from auditkit.attribution.settings import Settings
from auditkit.engine.ledger import Ledger
from auditkit.engine.rows import RowEngine
from auditkit.errors import InputError
from auditkit.subject.data import Schema, Split
from auditkit.subject.model import Model
from auditkit.subject.preprocessing import fit_text
from auditkit.training.architectures.transformer import Transformer

RAW, ROLLOUT, GRADIENT = NAMES = ("raw_attention", "attention_rollout", "attention_x_gradient")


def test_rollout_of_uniform_attention():
    """G11: 2^-L I + (1 - 2^-L) / n everywhere."""
    uniform = torch.full((1, 4, 4), 0.25).double()
    found = rolled_out([uniform] * 3)[0]
    expected = torch.full((4, 4), 0.21875).double().fill_diagonal_(0.34375)
    assert torch.allclose(found, expected, atol=1e-12)


@pytest.mark.parametrize(("places", "layers"), [(2, 1), (5, 4), (9, 2)])
def test_rollout_of_uniform_attention_at_any_size(places, layers):
    found = rolled_out([torch.full((2, places, places), 1 / places).double()] * layers)
    expected = 2.0**-layers * torch.eye(places) + (1 - 2.0**-layers) / places
    assert torch.allclose(found, expected.double().expand(2, -1, -1), atol=1e-12)


def test_rollout_rows_add_up_to_one_and_the_last_layer_is_multiplied_from_the_left():
    torch.manual_seed(0)
    layers = torch.randn(3, 2, 6, 6).double().softmax(dim=-1)
    found = rolled_out(list(layers))
    assert torch.allclose(found.sum(dim=-1), torch.ones(2, 6).double())
    half = [(part + torch.eye(6)) / 2 for part in layers]
    assert torch.allclose(found, half[2] @ half[1] @ half[0])
    dead = rolled_out([torch.zeros(1, 2, 2).double()])
    assert torch.equal(dead[0], torch.eye(2).double())


def test_relevance_follows_every_path_through_the_layers():
    torch.manual_seed(0)
    one, two, three = torch.rand(3, 2, 4, 4).double()
    expected = one + two + three + two @ one + three @ one + three @ two + three @ two @ one
    assert torch.allclose(followed([one, two, three]), expected, atol=1e-12)


class Looks(nn.Module):
    """Layers of attention with known scores, over steps that stand for themselves; read at some places."""

    def __init__(self, scores: Tensor, heads: Tensor, read: Tensor) -> None:
        super().__init__()
        self.scores, self.heads, self.read = scores, heads, read

    def forward(self, x: Tensor) -> Tensor:
        states = x
        for layer in self.scores:
            weights = torch.softmax(layer[None] + 0 * (states @ states.transpose(1, 2))[:, None], dim=-1)
            mixed = torch.einsum("nhqk,nkc->nhqc", weights, states)
            states = states + torch.einsum("nhqc,hcd->nqd", mixed, self.heads)
        return torch.einsum("nqc,q->nc", states, self.read)


def looking(layers: int = 1, heads: int = 2, places: int = 4, channels: int = 3) -> Looks:
    torch.manual_seed(0)
    scores = torch.randn(layers, heads, places, places).double()
    return Looks(scores, torch.randn(heads, channels, channels).double(), torch.ones(places).double() / places)


def test_a_score_that_does_not_bear_on_its_place_has_no_places():
    """The scores above are constants: what stands where cannot be told from them, and is not guessed."""
    with pytest.raises(InputError, match="no input belongs to a place of its attention"):
        explain(looking(), torch.randn(2, 4, 3).double(), method=RAW)


class Known(Looks):
    """As above, with scores that hardly bear on the places."""

    def forward(self, x: Tensor) -> Tensor:
        states = x
        for layer in self.scores:
            own = 1e-9 * (states @ states.transpose(1, 2))[:, None]
            mixed = torch.einsum("nhqk,nkc->nhqc", torch.softmax(layer[None] + own, dim=-1), states)
            states = states + torch.einsum("nhqc,hcd->nqd", mixed, self.heads)
        return torch.einsum("nqc,q->nc", states, self.read)


def known(read: list[float], layers: int = 2) -> Known:
    made = looking(layers)
    return Known(made.scores, made.heads, torch.tensor(read).double())


@pytest.mark.parametrize("read", [[0.25] * 4, [1.0, 0, 0, 0], [0, 0, 0, 1.0], [0, 0.5, 0.5, 0]])
def test_raw_attention_and_rollout_are_what_their_formulas_say(read):
    net, x = known(read), torch.randn(2, 4, 3).double()
    weights = net.scores.softmax(dim=-1)
    shares = torch.tensor(read).double()
    for method, expected in (
        (RAW, shares @ weights[-1].mean(dim=0)),
        (ROLLOUT, shares @ rolled_out([part.mean(dim=0)[None] for part in weights])[0]),
    ):
        for target in (0, 2):
            found = explain(net, x, method=method, target=target)
            assert torch.allclose(found.values.sum(dim=2), expected.expand(2, -1), atol=1e-7)
            assert torch.allclose(found.values[:, :, 0], found.values[:, :, 1])


def test_attention_x_gradient_is_what_its_formula_says():
    """One layer: ∂f/∂A_hqk = read_q (x_k · W_h,target)."""
    net, x = known([0.1, 0.2, 0.3, 0.4], layers=1), torch.randn(2, 4, 3).double()
    weights = net.scores[0].softmax(dim=-1)
    for target in (0, 1, 2):
        slopes = torch.einsum("q,nkc,hc->nhqk", net.read, x, net.heads[:, :, target])
        expected = (weights * slopes).relu().mean(dim=1).mean(dim=1)
        found = explain(net, x, method=GRADIENT, target=target).values.sum(dim=2)
        assert torch.allclose(found, expected, atol=1e-7)


def uniform(pooling: str, steps: int) -> Transformer:
    """A Transformer that looks everywhere alike."""
    torch.manual_seed(0)
    net = Transformer(3, width=8, heads=2, layers=3, steps=steps, channels=2, pooling=pooling).double()
    with torch.no_grad():
        for block in net.blocks:
            block.attention.project.weight[:16] *= 1e-9
            block.attention.project.bias[:16] = 0
    return net


def test_rollout_of_a_transformer_that_looks_everywhere_alike():
    """G11 again, read at [CLS], the first of four places: what goes to itself is attributed to nothing."""
    x = torch.randn(2, 3, 2).double()
    found = explain(uniform("cls", 3), x, method=ROLLOUT)
    assert torch.allclose(found.values.sum(dim=2), torch.full((2, 3), 0.21875).double(), atol=1e-6)
    every = explain(uniform("mean", 4), torch.randn(2, 4, 2).double(), method=ROLLOUT)
    assert torch.allclose(every.values.sum(dim=2), torch.full((2, 4), 0.25).double(), atol=1e-6)


class Finder(nn.Module):
    """Words, of which one kind is looked at hard by one head and decides for its class; another head looks away."""

    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding(10, 3)
        with torch.no_grad():
            self.words.weight.copy_(torch.zeros(10, 3))
            self.words.weight[7], self.words.weight[8] = torch.tensor([1.0, 0, 0]), torch.tensor([0, 1.0, 0])
            self.words.weight[:, 2] = 1.0

    def forward(self, ids: Tensor) -> Tensor:
        x = self.words(ids)
        keys = torch.stack([9 * x[..., 0], 9 * x[..., 1]], dim=1)[:, :, :, None]
        found = nn.functional.scaled_dot_product_attention(x[:, None, :, 2:].expand(-1, 2, -1, -1), keys, x[:, None])
        return torch.stack([found[:, 0, 0, 0], found[:, 1, 0, 1]], dim=1)


def test_the_planted_word_is_found_and_only_the_gradient_tells_targets_apart():
    ids = torch.tensor([[1, 2, 7, 3, 8], [8, 1, 7, 2, 2]])
    net = Finder().double()
    for target, word in ((0, 7), (1, 8)):
        relevant = explain(net, ids, method=GRADIENT, target=target).values
        assert (ids.gather(1, relevant.argmax(dim=1, keepdim=True)).flatten() == word).all()
        assert (relevant.amax(dim=1) > 0.99 * relevant.sum(dim=1)).all()
    one, two = (explain(net, ids, method=RAW, target=target).values for target in (0, 1))
    assert torch.allclose(one, two)
    assert torch.allclose(one[0, 2], one[0, 4])


def transformer(**rows) -> Transformer:
    torch.manual_seed(0)
    return Transformer(3, width=8, heads=2, **rows)


CASES = {
    "series": (lambda: transformer(steps=6, channels=2), lambda: torch.randn(5, 6, 2)),
    "table": (lambda: transformer(numeric=4, categories=[], pooling="cls"), lambda: torch.randn(5, 4)),
    "words": (Finder, lambda: torch.randint(0, 10, (5, 6))),
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("name", NAMES)
def test_the_contract_of_methods(name, case):
    torch.manual_seed(4)
    make, rows = CASES[case]
    net, x = make().double().train(), rows()
    x = x.double() if x.is_floating_point() else x
    state = torch.random.get_rng_state()
    whole = explain(net, x, method=name)
    assert torch.equal(torch.random.get_rng_state(), state)
    assert net.training
    assert all(parameter.requires_grad and parameter.grad is None for parameter in net.parameters())
    assert not any(part._forward_hooks or part._forward_pre_hooks for part in net.modules())
    assert torch.equal(explain(net, x, method=name).values, whole.values)
    for size in (1, 2):
        assert torch.allclose(explain(net, x, method=name, batch_size=size).values, whole.values, atol=1e-12)
    assert torch.allclose(explain(net, x[3:4], method=name).values[0], whole.values[3], atol=1e-12)
    assert (whole.values >= 0).all()
    assert whole.values.shape == x.shape
    assert not whole.values.requires_grad
    assert whole.completeness_gap.isnan().all()
    assert whole.evaluations.tolist() == [1] * 5


def test_a_network_without_places_is_refused():
    with pytest.raises(InputError, match="Attention rollout is refused for this model: it has no attention"):
        explain(nn.Linear(3, 2), torch.randn(2, 3), method=ROLLOUT)


def text_subject() -> tuple[Model, Split]:
    texts = [
        "the film",
        "awful",
        "great",
        "awful plot",
        "the film was great",
        "story",
        "a great plot and a great story of the film",
        "the story was a bore",
    ]
    schema = Schema(("text",), ("no", "yes"), label="y", positive="yes")
    split = Split("test", "test", pa.table({"text": texts, "y": ["yes", "no"] * 4}), schema)
    preprocessing = fit_text(split, "text", least=1)
    torch.manual_seed(0)
    net = Transformer(2, width=8, heads=2, **preprocessing.arguments())
    return Model(net, ("no", "yes"), preprocessing, device=torch.device("cpu")), split


@pytest.mark.parametrize("name", NAMES)
def test_texts_of_an_audit(name):
    model, split = text_subject()
    assert METHODS[name].valid_for(model, example_inputs(model)).status == "valid"
    with model.evaluating():
        engine = RowEngine(model, split, Ledger(), "attribution", 2)
        explicands = explicands_of(engine, split, np.arange(len(split)), None, 0)
        found = METHODS[name].run(engine, explicands, Settings())
        one = METHODS[name].run(engine, explicands.take(torch.arange(8) == 6), Settings())
    assert found.values.shape == explicands.present.shape
    assert (found.values[~explicands.present] == 0).all()
    if name != GRADIENT:  # which is 0 where no look speaks for the target
        assert (found.values[explicands.present] > 0).all()
        assert torch.allclose(found.values.sum(dim=1), torch.ones(len(split)).double(), atol=1e-6)
    assert torch.allclose(one.values[0], found.values[6], atol=1e-7)
