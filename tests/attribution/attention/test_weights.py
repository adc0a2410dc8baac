"""Attention weights read on their way: the same as what each network gives where it gives them, and nothing changed."""

import math

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

from auditkit.attribution.attention.weights import Reading, attention_of
from auditkit.engine.plain import PlainModel
from auditkit.engine.rows import Rows, Scorer
from auditkit.engine.space import InputSpace
from auditkit.training.architectures.transformer import Transformer

N, LENGTH, WIDTH, HEADS = 3, 5, 8, 2


def vectors() -> Tensor:
    return torch.randn(N, LENGTH, WIDTH, generator=torch.Generator().manual_seed(1)).double()


def of_torch(batch_first: bool = True) -> nn.MultiheadAttention:
    torch.manual_seed(0)
    return nn.MultiheadAttention(WIDTH, HEADS, dropout=0.3, batch_first=batch_first).double().eval()


class ByHand(nn.Module):
    """The attention of an `nn.MultiheadAttention`, written out, with a factor for each weight."""

    def __init__(self, theirs: nn.MultiheadAttention) -> None:
        super().__init__()
        self.theirs = theirs
        self.factor = torch.ones(N, HEADS, LENGTH, LENGTH).double()

    def forward(self, x: Tensor) -> Tensor:
        made = nn.functional.linear(x, self.theirs.in_proj_weight, self.theirs.in_proj_bias)
        query, key, value = made.reshape(len(x), -1, 3, HEADS, WIDTH // HEADS).permute(2, 0, 3, 1, 4)
        weights = (
            torch.softmax(query @ key.transpose(-2, -1) / math.sqrt(WIDTH // HEADS), dim=-1) * self.factor[: len(x)]
        )
        return self.theirs.out_proj((weights @ value).transpose(1, 2).flatten(2))


MASKS = {
    "none": {},
    "padding": {"key_padding_mask": torch.arange(LENGTH)[None] >= torch.tensor([[5], [3], [2]])},
    "causal": {"attn_mask": torch.ones(LENGTH, LENGTH).triu(1).bool()},
    "causal, as a hint": {"attn_mask": torch.ones(LENGTH, LENGTH).triu(1).bool(), "is_causal": True},
    "numbers": {"attn_mask": torch.linspace(-2, 2, LENGTH * LENGTH).reshape(LENGTH, LENGTH).double()},
}


@pytest.mark.parametrize("mask", MASKS)
@pytest.mark.parametrize("batch_first", [True, False])
def test_multihead_attention_shows_the_weights_of_each_head_and_answers_as_before(mask, batch_first):
    attention, x = of_torch(batch_first), vectors() if batch_first else vectors().transpose(0, 1)
    output, weights = attention(x, x, x, average_attn_weights=False, **MASKS[mask])
    mean = weights.mean(dim=1)
    for wanted in ({"need_weights": False}, {}, {"average_attn_weights": False}):
        with Reading(N) as seen:
            ours, given = attention(x, x, x, **wanted, **MASKS[mask])
        assert torch.allclose(ours, output, atol=1e-12)
        (call,) = seen.calls
        assert torch.equal(call.weights.reshape(call.shape), weights)
        if "need_weights" in wanted:
            assert given is None
        else:
            assert torch.allclose(given, weights if wanted else mean, atol=1e-12)


def test_gradients_of_multihead_attention_are_those_of_the_same_written_out():
    """Of the same weights by hand, with a factor on each: ∂f/∂factor = A ∂f/∂A, and to A itself."""
    attention, x = of_torch(), vectors().requires_grad_()
    by_hand = ByHand(attention)
    by_hand.factor.requires_grad_()
    wave = torch.randn(N, LENGTH, WIDTH).double()
    (expected,) = torch.autograd.grad((by_hand(x) * wave).sum(), by_hand.factor)
    for run in (lambda: attention(x, x, x, need_weights=False)[0], lambda: by_hand(x)):
        with Reading(N) as seen:
            output = run()
        (call,) = seen.calls
        (slopes,) = torch.autograd.grad((output * wave).sum(), call.weights)
        assert torch.allclose((call.weights * slopes).reshape(call.shape), expected)


@pytest.mark.parametrize(
    "told",
    [
        {},
        {"is_causal": True},
        {"attn_mask": torch.ones(LENGTH, LENGTH).tril().bool()},
        {"attn_mask": torch.linspace(-3, 3, LENGTH * LENGTH).reshape(LENGTH, LENGTH).double()},
        {
            "attn_mask": torch.zeros(LENGTH, LENGTH)
            .double()
            .masked_fill(torch.ones(LENGTH, LENGTH).triu(1).bool(), -math.inf)
        },
        {"scale": 0.3},
        {"enable_gqa": True},
    ],
)
def test_fused_attention_is_written_out(told):
    torch.manual_seed(0)
    query = torch.randn(N, 4, LENGTH, 6).double().requires_grad_()
    few = 2 if "enable_gqa" in told else 4
    key, value = torch.randn(2, N, few, LENGTH, 6).double()
    fused = scaled_dot_product_attention(query, key, value, **told)
    with Reading(N) as seen:
        ours = scaled_dot_product_attention(query, key, value, **told)
    assert torch.allclose(ours, fused, atol=1e-12)
    weights = seen.calls[0].weights
    assert torch.allclose(weights.sum(dim=-1), torch.ones(N, 4, LENGTH).double())
    each = [torch.autograd.grad(made.square().sum(), query)[0] for made in (ours, fused)]
    assert torch.allclose(*each, atol=1e-10)


def test_a_place_that_may_look_at_none_looks_at_none():
    query, key, value = torch.randn(3, N, 1, LENGTH, 4).double()
    mask = torch.ones(LENGTH, LENGTH).bool()
    mask[2] = False
    with Reading(N) as seen:
        ours = scaled_dot_product_attention(query, key, value, attn_mask=mask)
    assert torch.allclose(ours, scaled_dot_product_attention(query, key, value, attn_mask=mask), atol=1e-12)
    assert seen.calls[0].weights[:, :, 2].abs().max() == 0


@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors")
def test_torchs_transformer_shows_every_layer_and_answers_as_on_its_fast_path():
    torch.manual_seed(0)
    layer = nn.TransformerEncoderLayer(WIDTH, HEADS, 16, batch_first=True)
    encoder, x = nn.TransformerEncoder(layer, 3).double().eval(), vectors()
    padding = torch.arange(LENGTH)[None] >= torch.tensor([[5], [3], [4]])
    with torch.no_grad():
        fast = encoder(x, src_key_padding_mask=padding)
        with Reading(N) as seen:
            read = encoder(x, src_key_padding_mask=padding)
    assert torch.allclose(fast[~padding], read[~padding], atol=1e-9)
    assert [call.shape for call in seen.calls] == [(N, HEADS, LENGTH, LENGTH)] * 3
    first = encoder.layers[0].self_attn(x, x, x, key_padding_mask=padding, average_attn_weights=False)[1]
    assert torch.allclose(seen.calls[0].weights.reshape(first.shape), first)


def test_our_own_transformer_shows_what_its_softmax_gives():
    torch.manual_seed(0)
    net, x = Transformer(3, width=8, heads=2, steps=LENGTH, channels=2).double().eval(), vectors()[:, :, :2]
    maps: list[Tensor] = []
    hooks = [
        block.attention.softmax.register_forward_hook(lambda _m, _i, out: maps.append(out)) for block in net.blocks
    ]
    with Reading(N) as seen:
        net(x)
    for hook in hooks:
        hook.remove()
    assert len(maps) == 2
    assert all(torch.equal(call.weights, map_) for call, map_ in zip(seen.calls, maps, strict=True))


@pytest.mark.filterwarnings("ignore")
def test_transformers_models_show_what_they_give_themselves():
    transformers = pytest.importorskip("transformers")
    ids = torch.randint(1, 20, (N, LENGTH))
    mask = (torch.arange(LENGTH)[None] < torch.tensor([[5], [3], [4]])).long()
    states = {}
    for kind in ("eager", "sdpa"):
        torch.manual_seed(0)
        config = transformers.DistilBertConfig(
            vocab_size=20, dim=8, n_layers=2, n_heads=2, hidden_dim=16, max_position_embeddings=8
        )
        config._attn_implementation = kind
        states[kind] = transformers.DistilBertModel(config).eval()
    with torch.no_grad():
        given = states["eager"](input_ids=ids, attention_mask=mask, output_attentions=True)
        for model in states.values():
            with Reading(N) as seen:
                hidden = model(input_ids=ids, attention_mask=mask).last_hidden_state
            assert torch.allclose(hidden[mask.bool()], given.last_hidden_state[mask.bool()], atol=1e-5)
            for call, theirs in zip(seen.calls, given.attentions, strict=True):
                assert torch.allclose(call.weights, theirs, atol=1e-5)


def test_a_softmax_that_multiplies_nothing_is_no_attention():
    x = torch.randn(N, HEADS, LENGTH, LENGTH)
    with Reading(N) as seen:
        torch.softmax(x, dim=-1).sum()
        torch.softmax(x, dim=1) @ x
        torch.softmax(torch.randn(N, 4), dim=-1) @ torch.randn(4, 2)
        torch.softmax(torch.randn(N, LENGTH, 4), dim=-1) @ torch.randn(4, 2)  # gates of a mixture
    assert (seen.calls, seen.other) == ([], [])
    with Reading(N) as seen:
        torch.einsum("nhqk,nhkd->nhqd", nn.functional.dropout(x.softmax(-1), 0.5, False).to(x.dtype), x)
        torch.bmm(torch.softmax(x[:, 0], dim=2), x[:, 0])
    assert [call.shape for call in seen.calls] == [(N, HEADS, LENGTH, LENGTH), (N, 1, LENGTH, LENGTH)]


def test_attention_to_something_else_is_told_apart():
    attention, x = of_torch(), vectors()
    with Reading(N) as seen:
        attention(x, x[:, :2], x[:, :2])
        attention(x.reshape(N * LENGTH, 1, WIDTH), *[x.reshape(N * LENGTH, 1, WIDTH)] * 2)
    assert seen.calls == []
    assert seen.other == [f"[{N}, {HEADS}, {LENGTH}, 2]", f"[{N * LENGTH}, {HEADS}, 1, 1]"]


def test_an_exception_ends_the_reading():
    with pytest.raises(RuntimeError), Reading(N):
        raise RuntimeError
    with Reading(N) as seen:
        pass
    of_torch()(vectors(), vectors(), vectors())
    assert seen.calls == []


class Pooled(nn.Module):
    """Torch's Transformer and an answer read from one place, or from the mean of some."""

    def __init__(self, read: slice) -> None:
        super().__init__()
        torch.manual_seed(0)
        layer = nn.TransformerEncoderLayer(WIDTH, HEADS, 16, batch_first=True)
        self.encoder, self.read, self.head = nn.TransformerEncoder(layer, 2), read, nn.Linear(WIDTH, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.encoder(x)[:, self.read].mean(dim=1))


@pytest.mark.parametrize(
    ("read", "shares"),
    [
        (slice(0, 1), [1, 0, 0, 0, 0]),
        (slice(4, 5), [0, 0, 0, 0, 1]),
        (slice(None), [0.2] * 5),
        (slice(1, 3), [0, 0.5, 0.5, 0, 0]),
    ],
)
def test_where_the_answer_is_read_is_found(read, shares):
    net, x = Pooled(read).double(), vectors()
    model = PlainModel.of(net, (x,))
    with model.evaluating():
        engine = Scorer(model, InputSpace.trace(model, (x,)), 8)
        found = attention_of(engine, Rows((x,), torch.ones(N, 3).double()))
    assert found.read.tolist() == [shares] * N
    assert len(found.weights) == len(found.slopes) == 2
    assert not any(part.requires_grad for part in (*found.weights, *found.slopes))
