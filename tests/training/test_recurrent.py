"""Recurrent networks: the numbers of torch's packed sequences, whatever fills a row up, and rows by themselves."""

import numpy as np
import pyarrow as pa
import pytest
import torch
from torch import nn

from auditkit.subject.bundle import load_bundle, save_bundle
from auditkit.subject.data import Schema, Split
from auditkit.training.architectures.recurrent import CELLS, Layer, Recurrent, turn
from auditkit.training.architectures.tokens import average
from auditkit.training.recipe import Recipe
from auditkit.training.train import train

WORDS, LENGTH = 20, 9
LENGTHS = torch.tensor([9, 4, 1, 7, 6])


def sentences(length=LENGTH, seed=0):
    """Ids and mask of five rows, filled up with 0 to `length`."""
    ids = torch.randint(2, WORDS, (5, length), generator=torch.Generator().manual_seed(seed))
    mask = (torch.arange(length)[None, :] < LENGTHS[:, None]).float()
    return ids * mask.long(), mask


def network(cell="lstm", layers=1, bidirectional=True, **rows):
    torch.manual_seed(0)
    rows = rows or {"words": WORDS, "length": LENGTH}
    made = Recurrent(3, cell, embedding=6, width=5, layers=layers, bidirectional=bidirectional, dropout=0.5, **rows)
    return made.eval()


def copied(layers, cell, before, width, bidirectional):
    """torch's own cells of several layers and directions with the weights of ours."""
    theirs = CELLS[cell](before, width, num_layers=len(layers), bidirectional=bidirectional, batch_first=True)
    state = {}
    for place, layer in enumerate(layers):
        for direction, suffix in ((layer.forwards, ""), (layer.backwards, "_reverse")):
            for name, value in direction.state_dict().items() if direction is not None else ():
                state[name.replace("_l0", f"_l{place}{suffix}")] = value
    theirs.load_state_dict(state)
    return theirs.eval()


@pytest.mark.parametrize("cell", ["lstm", "gru"])
@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("bidirectional", [True, False])
def test_states_are_those_of_torchs_packed_sequences(cell, layers, bidirectional):
    ours = network(cell, layers, bidirectional)
    ids, mask = sentences()
    vectors, _ = ours.tokens(ids, mask)
    states = vectors
    for layer in ours.layers:
        states = layer(states, mask)
    theirs = copied(ours.layers, cell, 6, 5, bidirectional)
    packed = nn.utils.rnn.pack_padded_sequence(vectors, LENGTHS, batch_first=True, enforce_sorted=False)
    wanted, _ = nn.utils.rnn.pad_packed_sequence(theirs(packed)[0], batch_first=True, total_length=LENGTH)
    torch.testing.assert_close(states * mask[:, :, None], wanted, atol=1e-5, rtol=0)
    torch.testing.assert_close(ours(ids, mask), ours.head(wanted.sum(1) / LENGTHS[:, None]), atol=1e-5, rtol=0)


def test_a_series_is_read_as_torch_reads_it():
    ours = network("gru", 2, steps=8, channels=3)
    series = torch.randn(4, 8, 3)
    wanted, _ = copied(ours.layers, "gru", 6, 5, True)(ours.tokens.step(series))
    torch.testing.assert_close(ours(series), ours.head(wanted.mean(1)), atol=1e-5, rtol=0)


@pytest.mark.parametrize("cell", ["lstm", "gru"])
@pytest.mark.parametrize("bidirectional", [True, False])
def test_what_fills_up_changes_nothing(cell, bidirectional):
    ours = network(cell, 2, bidirectional, words=WORDS, length=30)
    ids, mask = sentences()
    logits = ours(ids, mask)
    longer, longer_mask = (torch.cat([part, torch.zeros(5, 21, dtype=part.dtype)], 1) for part in (ids, mask))
    torch.testing.assert_close(ours(longer, longer_mask), logits, atol=1e-6, rtol=0)
    other = torch.where(mask > 0, ids, torch.full_like(ids, 7))
    torch.testing.assert_close(ours(other, mask), logits, atol=1e-6, rtol=0)
    for row, length in enumerate(LENGTHS.tolist()):
        alone = ours(ids[row : row + 1, :length], mask[row : row + 1, :length])
        torch.testing.assert_close(alone[0], logits[row], atol=1e-6, rtol=0)


def test_turning_twice_gives_the_row_back():
    _, mask = sentences()
    vectors = torch.randn(5, LENGTH, 3)
    turned = turn(vectors, mask)
    assert torch.equal(turn(turned, mask), vectors)
    for row, length in enumerate(LENGTHS.tolist()):
        assert torch.equal(turned[row, :length], vectors[row, :length].flip(0))
        assert torch.equal(turned[row, length:], vectors[row, length:])
    assert torch.equal(turn(vectors, None), vectors.flip(1))


def test_a_row_without_a_word_has_the_logits_of_the_bias():
    ours = network()
    ids, mask = sentences()
    torch.testing.assert_close(ours(ids, torch.zeros_like(mask)), ours.head.bias.expand(5, -1))
    assert average(torch.randn(2, 3, 4), torch.zeros(2, 3)).abs().sum() == 0


def test_the_order_of_words_matters():
    ours = network()
    ids, mask = sentences()
    assert (ours(ids[:1].flip(1), mask[:1]) - ours(ids[:1], mask[:1])).abs().max() > 1e-4


def test_gradients_reach_every_parameter_and_no_place_that_fills_up():
    ours = network("lstm", 2)
    ids, mask = sentences()
    seen = []
    ours.tokens.embedding.register_forward_hook(lambda _m, _i, output: (output.retain_grad(), seen.append(output))[0])
    ours(ids, mask).square().sum().backward()
    assert all(parameter.grad is not None and parameter.grad.abs().sum() > 0 for parameter in ours.parameters())
    reached = seen[0].grad.abs().sum(2) > 0
    assert torch.equal(reached, mask > 0)


@pytest.mark.parametrize(("cell", "gates"), [("lstm", 4), ("gru", 3)])
def test_how_many_parameters(cell, gates):
    made = Recurrent(3, cell, embedding=6, width=5, layers=2, words=WORDS, length=LENGTH)
    first, second = (2 * gates * 5 * (before + 5 + 2) for before in (6, 10))
    assert sum(parameter.numel() for parameter in made.parameters()) == WORDS * 6 + first + second + 10 * 3 + 3


def test_the_features_are_the_mean_state():
    ours = network()
    ids, mask = sentences()
    seen = []
    ours.head.register_forward_pre_hook(lambda _m, inputs: seen.append(inputs[0]))
    ours(ids, mask)
    assert seen[0].shape == (5, 10)
    assert list(ours._modules)[-1] == "head"


@pytest.mark.parametrize(
    ("arguments", "error", "said"),
    [
        ({"cell": "rnn", "words": 5, "length": 3}, ValueError, "one of lstm, gru"),
        ({"numeric": 2, "categories": []}, ValueError, "no order to be read in"),
        ({"words": 5}, TypeError, "not by words"),
        ({}, TypeError, "not by nothing"),
    ],
)
def test_what_cannot_be_built(arguments, error, said):
    with pytest.raises(error, match=said):
        Recurrent(2, **arguments)


def test_a_longer_row_than_it_was_built_for_is_refused():
    with pytest.raises(ValueError, match="at most 4 places, got 9"):
        Recurrent(2, words=WORDS, length=4)(*sentences())


SCHEMA = Schema(("text",), ("calm", "alarm"), "state", "alarm")


def watchmen(role, count, seed):
    """Alarm where `fire` comes before `out`; both words are in every sentence, so only their order tells."""
    random = np.random.default_rng(seed)
    filler, texts, states = ["the", "watch", "saw", "it", "again"], [], []
    for _ in range(count):
        alarm = bool(random.integers(2))
        pair = ["fire", "out"] if alarm else ["out", "fire"]
        places = sorted(random.permutation(7)[:2])
        sentence = random.choice(filler, 7).tolist()
        sentence[places[0]], sentence[places[1]] = pair
        texts.append(" ".join(sentence[: places[1] + 1 + int(random.integers(0, 3))]))
        states.append(SCHEMA.classes[alarm])
    return Split(role, role, pa.table({"text": texts, "state": states}), SCHEMA)


def test_an_order_of_words_is_learned_and_comes_back_from_its_bundle(tmp_path):
    recipe = Recipe(
        architecture="auditkit.training.architectures.recurrent:Recurrent",
        arguments={"embedding": 8, "width": 8, "dropout": 0.0},
        epochs=6,
        batch_size=16,
        learning_rate=0.02,
        threads=1,
    )
    splits = {"train": watchmen("train", 400, 0), "validation": watchmen("validation", 150, 1)}
    model = train(recipe, splits, SCHEMA, device="cpu")
    test = watchmen("test", 200, 2)
    with model.evaluating(), torch.inference_mode():
        logits = model.logits(model.encode(test))
    assert (logits.argmax(1).numpy() == test.labels).mean() > 0.97
    again = load_bundle(save_bundle(model, tmp_path / "bundle"), "cpu")
    assert again.digest == model.digest
    with again.evaluating(), torch.inference_mode():
        assert torch.equal(again.logits(again.encode(test)), logits)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("how", ["traced", "exported"])
def test_as_a_program_it_gives_the_same_logits_for_other_numbers_of_rows(how):
    ours, (ids, mask) = network("gru", 2), sentences()
    if how == "traced":
        program = torch.jit.trace(ours, (ids, mask))
    else:
        batch = {0: torch.export.Dim("batch", min=1)}
        program = torch.export.export(ours, (ids, mask), dynamic_shapes=((batch, batch),)).module()
    torch.testing.assert_close(program(ids[:3], mask[:3]), ours(ids, mask)[:3], atol=1e-5, rtol=0)


@pytest.mark.gpu
@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_cuda_gives_the_same_logits_and_the_same_gradients_in_eval_mode(cell):
    ours = network(cell, 2)
    inputs = sentences()
    found = []
    for device in ("cpu", "cuda"):
        ours.to(device).zero_grad()
        logits = ours(*(part.to(device) for part in inputs))
        logits.square().sum().backward()
        found.append((logits.detach().cpu(), ours.tokens.embedding.weight.grad.cpu().clone()))
    torch.testing.assert_close(found[0], found[1], atol=1e-5, rtol=1e-4)


def test_a_layer_in_one_direction_reads_no_later_word():
    layer = Layer("lstm", 4, 3, bidirectional=False).eval()
    vectors = torch.randn(2, 6, 4)
    changed = vectors.clone()
    changed[:, 4:] += 1
    torch.testing.assert_close(layer(changed, None)[:, :4], layer(vectors, None)[:, :4])
