"""The attribution space of texts: which word an embedding's output belongs to, what is held, what is refused."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence

from auditkit.engine.space import InputSpace, SpaceError
from auditkit.subject.model import Model
from auditkit.subject.preprocessing import Categorical, TablePreprocessing, TextPreprocessing

CPU = torch.device("cpu")
WORDS, WIDTH = 40, 6


class Reader(nn.Module):
    """Reads a text in one of several ways."""

    def __init__(self, way: str, length: int) -> None:
        super().__init__()
        self.way, self.rows, self.seen = way, [], None
        self.words = nn.Embedding(WORDS, WIDTH, padding_idx=0)
        self.places, self.kinds = nn.Embedding(length + 2, WIDTH), nn.Embedding(2, WIDTH)
        self.lstm = nn.LSTM(WIDTH, 5, batch_first=True, bidirectional=True)
        self.head, self.end = nn.Linear(WIDTH, 3), nn.Linear(10, 3)

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        self.rows.append(len(ids))
        self.seen = mask
        vectors, weights = self.words(ids), mask.float()[:, :, None]
        if self.way == "segments and positions":
            vectors = vectors + self.places(torch.arange(ids.shape[1])) + self.kinds(torch.zeros_like(ids))
        elif self.way == "positions counted from the words":
            vectors = vectors + self.places((ids != 0).cumsum(dim=1))
        elif self.way == "a mask made of the ids":
            weights = (ids != 0).float()[:, :, None]
        elif self.way == "packed":
            packed = pack_padded_sequence(vectors, mask.sum(dim=1).long(), batch_first=True, enforce_sorted=False)
            _, (last, _) = self.lstm(packed)
            return self.end(last.transpose(0, 1).flatten(1))
        elif self.way == "by name":
            vectors = self.words(input=ids)
        elif self.way == "the ids themselves":
            vectors = vectors + 0.01 * ids[:, :, None]
        elif self.way == "neighbours":
            vectors = vectors + self.words((ids + ids.roll(1, dims=1)) % WORDS)
        return self.head((vectors * weights).sum(dim=1))


WAYS = ["plain", "segments and positions", "positions counted from the words", "a mask made of the ids", "packed"]


def model_of(way: str, length: int) -> Model:
    torch.manual_seed(0)
    vocabulary = tuple(f"w{place}" for place in range(WORDS - 2))
    preprocessing = TextPreprocessing(column="text", vocabulary=vocabulary, length=length)
    return Model(Reader(way, length), ("a", "b", "c"), preprocessing, device=CPU)


def inputs_of(n: int, length: int, kind: torch.dtype = torch.float32) -> tuple[Tensor, Tensor]:
    lengths = torch.arange(n) % length + 1
    mask = torch.arange(length)[None, :] < lengths[:, None]
    return torch.randint(2, WORDS, (n, length)) * mask, mask.to(kind)


@pytest.mark.parametrize("kind", [torch.float32, torch.int64])
@pytest.mark.parametrize("way", [*WAYS, "by name"])
def test_each_word_owns_its_vector_and_points_give_the_models_own_logits(way, kind):
    model, inputs = model_of(way, 7), inputs_of(20, 7, kind)
    with model.evaluating():
        space = InputSpace.trace(model, inputs)
        points, logits = space.enter(inputs)
        at_points = space.logits(points, space.keep(inputs))
    assert all(space.owner(place) == tuple((0, index) for index in range(7)) for place in range(len(points)))
    assert len(points) == (2 if way == "by name" else 1)
    torch.testing.assert_close(at_points, logits)
    torch.testing.assert_close(logits, model.logits(inputs).detach())


@pytest.mark.parametrize("kind", [torch.float32, torch.int64, torch.bool])
def test_what_is_held_reaches_the_model_as_it_was(kind):
    model, inputs = model_of("plain", 7), inputs_of(5, 7, kind)
    with model.evaluating():
        space = InputSpace.trace(model, inputs)
        points, _ = space.enter(inputs)
        space.logits(tuple(0.5 * part for part in points), space.keep(inputs))
        assert model.module.seen.dtype == kind
        assert torch.equal(model.module.seen, inputs[1])
        with pytest.raises(ValueError, match="zip"):
            space.logits(points)


def test_only_the_words_of_a_text_move_its_logits_where_they_are_masked():
    model, inputs = model_of("packed", 7), inputs_of(6, 7)
    with model.evaluating():
        space = InputSpace.trace(model, inputs)
        points, logits = space.enter(inputs)
        elsewhere = torch.where(inputs[1][:, :, None] > 0, points[0], 9.0)
        torch.testing.assert_close(space.logits((elsewhere,), space.keep(inputs)), logits)


def test_a_long_text_is_traced_with_a_few_rows():
    model, inputs = model_of("segments and positions", 512), inputs_of(3, 512)
    with model.evaluating():
        model.module.rows.clear()
        space = InputSpace.trace(model, inputs)
    assert space.slots[0].owners == tuple((0, index) for index in range(512))
    assert len(space.slots) == 1
    assert sum(model.module.rows) < 32


@pytest.mark.parametrize(
    ("way", "why"), [("the ids themselves", "position .* other than"), ("neighbours", "several integer inputs")]
)
def test_a_text_that_enters_another_way_is_refused(way, why):
    model = model_of(way, 9)
    with model.evaluating(), pytest.raises(SpaceError, match=why):
        InputSpace.trace(model, inputs_of(9, 9))


def test_the_position_that_leaks_is_named():
    class Leaky(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.table = nn.Embedding(5, 2)

        def forward(self, codes: Tensor) -> Tensor:
            return self.table(codes).sum(dim=1) + codes[:, 70:71].float()

    columns = tuple(Categorical(name=f"c{place}", vocabulary=("a", "b")) for place in range(100))
    model = Model(Leaky(), ("a", "b"), TablePreprocessing(categorical=columns), device=CPU)
    with model.evaluating(), pytest.raises(SpaceError, match="position 70 of integer input 0"):
        InputSpace.trace(model, (torch.zeros((1, 100), dtype=torch.int64),))


def test_a_model_that_takes_only_certain_ids_is_refused_with_its_own_words():
    class Strict(Reader):
        def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
            if not (ids == 3).any(dim=1).all():
                raise ValueError("each text must have an end")
            return super().forward(ids, mask)

    model = model_of("plain", 5)
    model.module.__class__ = Strict
    with model.evaluating(), pytest.raises(SpaceError, match="must have an end"):
        InputSpace.trace(model, inputs_of(3, 5))


def test_ids_of_the_networks_own_beside_a_rows_are_refused():
    class Prefixed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.table = nn.Embedding(5, 2)

        def forward(self, codes: Tensor) -> Tensor:
            return self.table(torch.cat([torch.ones_like(codes[:, :1]), codes], dim=1)).sum(dim=1)

    columns = tuple(Categorical(name=f"c{place}", vocabulary=("a", "b")) for place in range(3))
    model = Model(Prefixed(), ("a", "b"), TablePreprocessing(categorical=columns), device=CPU)
    with model.evaluating(), pytest.raises(SpaceError, match="ids of its own"):
        InputSpace.trace(model, (torch.zeros((1, 3), dtype=torch.int64),))


def test_as_many_positions_as_probe_rows_are_not_taken_for_rows():
    for length in range(2, 40):
        model = model_of("segments and positions", length)
        with model.evaluating():
            assert len(InputSpace.trace(model, inputs_of(length, length)).slots) == 1
