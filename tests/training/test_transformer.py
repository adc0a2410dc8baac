"""The Transformer: the numbers of torch's own attention, positions, masks, a table's columns, maps that hooks see."""

import math

import pyarrow as pa
import pytest
import torch
from torch import nn

from auditkit.engine.space import InputSpace
from auditkit.subject.bundle import load_bundle, save_bundle
from auditkit.subject.data import Schema, Split
from auditkit.subject.model import Model
from auditkit.subject.preprocessing import TextPreprocessing
from auditkit.training.architectures.tokens import Columns, tokens_of
from auditkit.training.architectures.transformer import Attention, Block, Transformer, sinusoids
from auditkit.training.recipe import Recipe
from auditkit.training.train import train

WORDS, LENGTH = 20, 9
LENGTHS = torch.tensor([9, 4, 1, 7, 6])
NUMBERS, CODES = torch.randn(5, 3), torch.randint(0, 4, (5, 2))


def sentences(length=LENGTH, seed=0):
    """Ids and mask of five rows, filled up with 0 to `length`."""
    ids = torch.randint(2, WORDS, (5, length), generator=torch.Generator().manual_seed(seed))
    mask = (torch.arange(length)[None, :] < LENGTHS[:, None]).float()
    return ids * mask.long(), mask


def network(positions=None, pooling="mean", layers=2, dropout=0.5, **rows):
    torch.manual_seed(0)
    rows = rows or {"words": WORDS, "length": LENGTH}
    made = Transformer(
        3, width=8, heads=2, layers=layers, dropout=dropout, positions=positions, pooling=pooling, **rows
    )
    return made.eval()


@pytest.mark.parametrize("masked", [True, False])
def test_attention_is_torchs_own(masked):
    ours = Attention(8, 2, 0.0).eval()
    theirs = nn.MultiheadAttention(8, 2, batch_first=True).eval()
    theirs.load_state_dict(
        {
            "in_proj_weight": ours.project.weight,
            "in_proj_bias": ours.project.bias,
            "out_proj.weight": ours.out.weight,
            "out_proj.bias": ours.out.bias,
        }
    )
    vectors, mask = torch.randn(5, LENGTH, 8), sentences()[1]
    maps = []
    ours.softmax.register_forward_hook(lambda _m, _i, output: maps.append(output))
    found = ours(vectors, mask if masked else None)
    wanted, weights = theirs(
        vectors, vectors, vectors, key_padding_mask=mask == 0 if masked else None, average_attn_weights=False
    )
    torch.testing.assert_close(found, wanted, atol=1e-5, rtol=0)
    torch.testing.assert_close(maps[0], weights, atol=1e-5, rtol=0)


def test_a_block_is_torchs_own_encoder_layer():
    ours = Block(8, 2, 12, 0.0).eval()
    theirs = nn.TransformerEncoderLayer(8, 2, 12, 0.0, "gelu", batch_first=True, norm_first=True).train()
    names = {
        "attention.project.weight": "self_attn.in_proj_weight",
        "attention.project.bias": "self_attn.in_proj_bias",
        "attention.out": "self_attn.out_proj",
        "first": "linear1",
        "second": "linear2",
        "norm1": "norm1",
        "norm2": "norm2",
    }
    state = ours.state_dict()
    theirs.load_state_dict(
        {
            their + name.removeprefix(our): value
            for name, value in state.items()
            for our, their in names.items()
            if name.startswith(our)
        }
    )
    vectors, mask = torch.randn(5, LENGTH, 8), sentences()[1]
    wanted = theirs(vectors, src_key_padding_mask=mask == 0)
    torch.testing.assert_close(ours(vectors, mask), wanted, atol=1e-5, rtol=0)


@pytest.mark.parametrize("positions", ["learned", "sinusoidal", "none"])
@pytest.mark.parametrize("pooling", ["mean", "cls"])
def test_what_fills_up_changes_nothing(positions, pooling):
    ours = network(positions, pooling, words=WORDS, length=30)
    ids, mask = sentences()
    logits = ours(ids, mask)
    longer, longer_mask = (torch.cat([part, torch.zeros(5, 21, dtype=part.dtype)], 1) for part in (ids, mask))
    torch.testing.assert_close(ours(longer, longer_mask), logits, atol=1e-6, rtol=0)
    other = torch.where(mask > 0, ids, torch.full_like(ids, 7))
    torch.testing.assert_close(ours(other, mask), logits, atol=1e-6, rtol=0)
    for row, length in enumerate(LENGTHS.tolist()):
        alone = ours(ids[row : row + 1, :length], mask[row : row + 1, :length])
        torch.testing.assert_close(alone[0], logits[row], atol=1e-6, rtol=0)


@pytest.mark.parametrize("pooling", ["mean", "cls"])
def test_the_order_of_words_matters_through_positions_alone(pooling):
    ids, mask = sentences()
    order = torch.arange(LENGTH).repeat(5, 1)
    for row, length in enumerate(LENGTHS.tolist()):
        order[row, :length] = order[row, :length].roll(2).flip(0)
    permuted = ids.gather(1, order)
    without = network("none", pooling)
    torch.testing.assert_close(without(permuted, mask), without(ids, mask), atol=1e-5, rtol=0)
    for positions in ("learned", "sinusoidal"):
        having = network(positions, pooling)
        assert (having(permuted, mask) - having(ids, mask))[0].abs().max() > 1e-4


def test_a_series_without_positions_is_a_set_of_steps():
    series, order = torch.randn(4, 7, 3), torch.randperm(7, generator=torch.Generator().manual_seed(1))
    without, having = network("none", steps=7, channels=3), network(steps=7, channels=3)
    torch.testing.assert_close(without(series[:, order]), without(series), atol=1e-5, rtol=0)
    assert (having(series[:, order]) - having(series)).abs().max() > 1e-4


def test_a_column_becomes_its_value_times_a_vector_plus_another():
    columns = Columns(6, 3, [4, 4])
    vectors, mask = columns(NUMBERS, CODES)
    assert mask is None
    assert vectors.shape == (5, 5, 6)
    for place in range(3):
        wanted = NUMBERS[:, place : place + 1] * columns.weight[place] + columns.bias[place]
        torch.testing.assert_close(vectors[:, place], wanted)
    for place in range(2):
        wanted = columns.embeddings[place].weight[CODES[:, place]] + columns.bias_of_categories[place]
        torch.testing.assert_close(vectors[:, 3 + place], wanted)


@pytest.mark.parametrize(
    ("numeric", "categories", "inputs"),
    [(3, [4, 4], (NUMBERS, CODES)), (3, [], (NUMBERS,)), (0, [4, 4], (CODES,))],
)
@pytest.mark.parametrize("pooling", ["mean", "cls"])
def test_a_table_of_either_kind_of_column_or_both(numeric, categories, inputs, pooling):
    ours = network(pooling=pooling, numeric=numeric, categories=categories)
    assert ours.positions is None
    assert ours(*inputs).shape == (5, 3)
    with pytest.raises(ValueError, match="expected inputs of"):
        ours(*(part[:, 1:] for part in inputs))


@pytest.mark.parametrize(
    ("rows", "inputs"),
    [
        ({"words": WORDS, "length": LENGTH}, sentences()),
        ({"steps": 7, "channels": 3}, (torch.randn(5, 7, 3),)),
        ({"numeric": 3, "categories": [4, 4]}, (NUMBERS, CODES)),
    ],
)
@pytest.mark.parametrize("pooling", ["mean", "cls"])
def test_every_module_is_used_once_rows_are_independent_and_gradients_reach_all(rows, inputs, pooling):
    ours = network("learned" if "numeric" not in rows else None, pooling, dropout=0.0, **rows)
    calls: dict[str, int] = {}
    hooks = [
        module.register_forward_hook(lambda *_, name=name: calls.update({name: calls.get(name, 0) + 1}))
        for name, module in ours.named_modules()
        if not any(module.children()) and name
    ]
    whole = ours(*inputs)
    for hook in hooks:
        hook.remove()
    assert calls == dict.fromkeys(calls, 1)
    assert set(calls) == {name for name, module in ours.named_modules() if not any(module.children())}
    alone = torch.cat([ours(*(part[row : row + 1] for part in inputs)) for row in range(5)])
    torch.testing.assert_close(whole, alone, atol=1e-5, rtol=1e-5)
    whole.square().sum().backward()
    assert all(parameter.grad is not None and parameter.grad.abs().sum() > 0 for parameter in ours.parameters())


def test_no_gradient_reaches_a_place_that_fills_up():
    ours, (ids, mask), seen = network(), sentences(), []
    ours.tokens.embedding.register_forward_hook(lambda _m, _i, output: (output.retain_grad(), seen.append(output))[0])
    ours(ids, mask).square().sum().backward()
    assert torch.equal(seen[0].grad.abs().sum(2) > 0, mask > 0)


def test_the_maps_of_each_block_look_at_words_alone():
    ours, (ids, mask), maps = network(layers=3), sentences(), {}
    for place, block in enumerate(ours.blocks):
        block.attention.softmax.register_forward_hook(lambda _m, _i, output, place=place: maps.update({place: output}))
    ours(ids, mask)
    assert sorted(maps) == [0, 1, 2]
    for found in maps.values():
        assert found.shape == (5, 2, LENGTH, LENGTH)
        torch.testing.assert_close(found.sum(-1), torch.ones(5, 2, LENGTH))
        assert (found * (1 - mask)[:, None, None, :]).max() == 0


def test_a_row_without_a_word_has_numbers():
    ours, (ids, mask) = network(), sentences()
    assert torch.isfinite(ours(ids, torch.zeros_like(mask))).all()


def test_sinusoids_follow_their_formula():
    found = sinusoids(50, 6)
    for place, index in ((0, 0), (3, 2), (49, 4)):
        angle = place / 10_000 ** (index / 6)
        assert found[place, index].item() == pytest.approx(math.sin(angle), abs=1e-5)
        assert found[place, index + 1].item() == pytest.approx(math.cos(angle), abs=1e-5)
    assert sinusoids(4, 5).shape == (4, 5)


@pytest.mark.parametrize(
    ("rows", "of_tokens"),
    [
        ({"words": WORDS, "length": LENGTH}, WORDS * 8),
        ({"steps": 7, "channels": 3}, 3 * 8 + 8),
        ({"numeric": 3, "categories": [4, 5]}, (3 + 3 + 9 + 2) * 8),
    ],
)
def test_how_many_parameters(rows, of_tokens):
    made = Transformer(3, width=8, heads=2, layers=2, hidden=10, positions="none", pooling="cls", **rows)
    attention, perceptron, norm = 4 * 8 * 8 + 4 * 8, 2 * 8 * 10 + 8 + 10, 16
    wanted = of_tokens + 2 * (attention + perceptron + 2 * norm) + 8 + norm + 3 * 8 + 3
    assert sum(parameter.numel() for parameter in made.parameters()) == wanted


@pytest.mark.parametrize(
    ("arguments", "error", "said"),
    [
        ({"words": 5, "length": 3, "heads": 3}, ValueError, "not a multiple of 3 heads"),
        ({"words": 5, "length": 3, "pooling": "max"}, ValueError, "pooling is mean or cls"),
        ({"words": 5, "length": 3, "positions": "rotary"}, ValueError, "learned, sinusoidal or none"),
        ({"words": 5, "steps": 3}, TypeError, "not by steps, words"),
    ],
)
def test_what_cannot_be_built(arguments, error, said):
    with pytest.raises(error, match=said):
        Transformer(2, **arguments)


def test_the_kinds_of_rows_are_those_that_preprocessing_describes():
    text = TextPreprocessing(column="text", vocabulary=("a", "b"), length=5)
    vectors, mask = tokens_of(4, text.arguments())(*text.example(3))
    assert vectors.shape == (3, 5, 4)
    assert mask.sum() == 3


def test_words_have_a_space_in_which_they_can_be_explained():
    text = TextPreprocessing(column="text", vocabulary=tuple("abcdefgh"), length=4)
    model = Model(network(words=10, length=4), ("x", "y", "z"), text, device=torch.device("cpu"))
    inputs = text.encode_texts(["a b c d"])
    with model.evaluating():
        space = InputSpace.trace(model, inputs)
    assert [slot.module for slot in space.slots] == ["tokens.embedding"]
    assert space.slots[0].owners == ((0, 0), (0, 1), (0, 2), (0, 3))


SCHEMA = Schema(("x", "colour", "shape"), ("no", "yes"), "y", "yes")


@pytest.mark.parametrize("pooling", ["mean", "cls"])
def test_unread_words_are_hidden_in_training_alone(pooling):
    ours, (ids, mask) = network(pooling=pooling, dropout=0.0, words=WORDS, length=LENGTH, unread=0.3), sentences()
    assert torch.equal(ours(ids, mask), ours(ids, mask))
    seen = []
    ours.tokens.embedding.register_forward_hook(lambda _m, inputs, _o: seen.append(inputs[0]))
    ours.train()
    for _ in range(300):
        ours(ids, mask)
    hidden = torch.stack(seen) == 1
    assert abs(hidden[:, mask > 0].float().mean() - 0.3) < 0.03
    assert not hidden[:, mask == 0].any()


def table(role, count, seed):
    """Yes where x is positive, turned round for red squares: no single column tells."""
    random = torch.Generator().manual_seed(seed)
    x = torch.randn(count, generator=random)
    red, square = torch.randint(0, 2, (2, count), generator=random).bool()
    yes = (x > 0) ^ (red & square)
    named = {
        "x": x.numpy() * 5 + 2,
        "colour": [("blue", "red")[int(one)] for one in red],
        "shape": [("disc", "square")[int(one)] for one in square],
        "y": [("no", "yes")[int(one)] for one in yes],
    }
    return Split(role, role, pa.table(named), SCHEMA)


def test_how_columns_work_together_is_learned_and_comes_back_from_its_bundle(tmp_path):
    recipe = Recipe(
        architecture="auditkit.training.architectures.transformer:Transformer",
        arguments={"width": 16, "heads": 2, "layers": 2, "dropout": 0.0, "pooling": "cls"},
        epochs=6,
        batch_size=32,
        learning_rate=0.01,
        threads=1,
    )
    splits = {"train": table("train", 600, 0), "validation": table("validation", 200, 1)}
    model, test = train(recipe, splits, SCHEMA, device="cpu"), table("test", 300, 2)
    with model.evaluating(), torch.inference_mode():
        logits = model.logits(model.encode(test))
    assert (logits.argmax(1).numpy() == test.labels).mean() > 0.95
    again = load_bundle(save_bundle(model, tmp_path / "bundle"), "cpu")
    assert again.digest == model.digest
    assert again.penultimate == "head"
    with again.evaluating(), torch.inference_mode():
        assert torch.equal(again.logits(again.encode(test)), logits)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("how", ["traced", "exported"])
def test_as_a_program_it_gives_the_same_logits_for_other_numbers_of_rows(how):
    ours, (ids, mask) = network(pooling="cls", words=WORDS, length=LENGTH), sentences()
    if how == "traced":
        program = torch.jit.trace(ours, (ids, mask))
    else:
        batch = {0: torch.export.Dim("batch", min=1)}
        program = torch.export.export(ours, (ids, mask), dynamic_shapes=((batch, batch),)).module()
    torch.testing.assert_close(program(ids[:3], mask[:3]), ours(ids, mask)[:3], atol=1e-5, rtol=0)


@pytest.mark.gpu
def test_cuda_gives_the_same_logits():
    ours, inputs = network(), sentences()
    wanted = ours(*inputs)
    torch.testing.assert_close(ours.cuda()(*(part.cuda() for part in inputs)).cpu(), wanted, atol=1e-5, rtol=1e-4)
