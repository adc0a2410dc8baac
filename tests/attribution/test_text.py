"""Texts explained: closed forms, completeness, nothing for fillings, planted words, and what is shown."""

import json
from html import unescape
from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from auditkit.attribution.analysis import AttributionAnalysis
from auditkit.attribution.explicands import completeness_gap, explicands_of
from auditkit.attribution.figures import explanation
from auditkit.attribution.importance import agreement
from auditkit.attribution.registry import METHODS
from auditkit.attribution.settings import Settings
from auditkit.attribution.view import sections
from auditkit.attribution.word_figures import ordered, width
from auditkit.engine.analysis import Context
from auditkit.engine.ledger import Ledger
from auditkit.engine.progress import Progress
from auditkit.engine.rows import RowEngine
from auditkit.spec import AuditSpec
from auditkit.subject.data import Schema, Split
from auditkit.subject.model import Model
from auditkit.subject.preprocessing import TextPreprocessing, fit_text
from auditkit.subject.subject import Subject

CPU = torch.device("cpu")
HOSTILE = "<script>alert(1)</script>"
GRADIENTS = ("integrated_gradients", "gradient_x_input")
VOCABULARY = ("the", "film", "was", "a", "and", "plot", "great", "awful", "story", "of")


class Bag(nn.Module):
    """The sum of the words' vectors through a linear layer: each word is worth the same wherever it stands."""

    def __init__(self, words: int, classes: int = 2, width: int = 4) -> None:
        super().__init__()
        self.embedding = nn.Embedding(words, width, padding_idx=0)
        self.head = nn.Linear(width, classes)

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        return self.head((self.embedding(ids) * mask[:, :, None]).sum(dim=1))


class Recurrent(nn.Module):
    """Packed sequences through an LSTM or GRU, in both directions; the mean of its states."""

    def __init__(self, words: int, cell: type[nn.RNNBase], classes: int = 2) -> None:
        super().__init__()
        self.embedding = nn.Embedding(words, 6)
        self.cell = cell(6, 5, batch_first=True, bidirectional=True)
        self.head = nn.Linear(10, classes)

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        lengths = mask.sum(dim=1).long()
        packed = pack_padded_sequence(self.embedding(ids), lengths, batch_first=True, enforce_sorted=False)
        states, _ = pad_packed_sequence(self.cell(packed)[0], batch_first=True, total_length=ids.shape[1])
        return self.head(states.sum(dim=1) / mask.sum(dim=1, keepdim=True))


class Attending(nn.Module):
    """A Transformer of torch's own with learned positions; padding is not attended to."""

    def __init__(self, words: int, length: int, classes: int = 2) -> None:
        super().__init__()
        self.embedding, self.positions = nn.Embedding(words, 8), nn.Embedding(length, 8)
        layer = nn.TransformerEncoderLayer(8, 2, 16, 0.1, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.head = nn.Linear(8, classes)

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        vectors = self.embedding(ids) + self.positions(torch.arange(ids.shape[1]))
        states = self.encoder(vectors, src_key_padding_mask=mask == 0) * mask[:, :, None]
        return self.head(states.sum(dim=1) / mask.sum(dim=1, keepdim=True))


class Convolving(nn.Module):
    """1-D convolutions over the words; the largest answer of each."""

    def __init__(self, words: int, classes: int = 2) -> None:
        super().__init__()
        self.embedding = nn.Embedding(words, 6)
        self.convolution, self.relu = nn.Conv1d(6, 8, 3, padding=1), nn.ReLU()
        self.head = nn.Linear(8, classes)

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        vectors = (self.embedding(ids) * mask[:, :, None]).transpose(1, 2)
        return self.head((self.relu(self.convolution(vectors)) * mask[:, None]).amax(dim=2))


def preprocessing_of(length: int = 9) -> TextPreprocessing:
    return TextPreprocessing(column="text", vocabulary=VOCABULARY, length=length)


def split_of(texts: list[str], classes=("no", "yes"), labels=None, role="test") -> Split:
    schema = Schema(features=("text",), classes=classes, label="y", positive=classes[1] if len(classes) == 2 else None)
    labels = labels if labels is not None else [classes[place % len(classes)] for place in range(len(texts))]
    return Split(role, role, pa.table({"text": texts, "y": labels}), schema)


def sentences_of(n: int, seed: int = 0) -> list[str]:
    rng = np.random.default_rng(seed)
    return [" ".join(rng.choice(VOCABULARY, rng.integers(1, 12))) for _ in range(n)]


def model_of(module: nn.Module, classes=("no", "yes"), length: int = 9) -> Model:
    return Model(module, classes, preprocessing_of(length), device=CPU)


def run(name: str, model: Model, split: Split, **settings):
    with model.evaluating():
        engine = RowEngine(model, split, Ledger(), "attribution")
        explicands = explicands_of(engine, split, np.arange(len(split)), None, 0)
        return METHODS[name].run(engine, explicands, Settings(**settings)), explicands


NETWORKS = {
    "lstm": lambda: Recurrent(12, nn.LSTM),
    "gru": lambda: Recurrent(12, nn.GRU),
    "transformer": lambda: Attending(12, 9),
    "convolution": lambda: Convolving(12),
}


@pytest.mark.parametrize("name", [*GRADIENTS, "occlusion"])
def test_in_a_bag_of_words_each_word_is_worth_its_vector(name):
    torch.manual_seed(0)
    bag, split = Bag(12), split_of(sentences_of(20))
    found, explicands = run(name, model_of(bag), split)
    ids, _ = preprocessing_of().encode(split)
    weights = bag.head.weight[1] - bag.head.weight[0]
    torch.testing.assert_close(found.values, (bag.embedding(ids) @ weights).detach().double(), atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(found.values.sum(dim=1), explicands.change, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("network", NETWORKS)
def test_integrated_gradients_add_up_for_every_kind_of_network(network):
    torch.manual_seed(0)
    found, explicands = run("integrated_gradients", model_of(NETWORKS[network]()), split_of(sentences_of(20)))
    _, relative = completeness_gap(found.values, explicands.change)
    assert found.converged.all()
    assert float(relative.max()) <= 0.01


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("name", [*GRADIENTS, "occlusion"])
def test_fillings_get_exactly_nothing(network, name):
    torch.manual_seed(0)
    split = split_of(sentences_of(12))
    found, explicands = run(name, model_of(NETWORKS[network]()), split)
    assert explicands.present.sum(dim=1).tolist() == [
        min(9, len(text.split())) for text in split.column("text").to_pylist()
    ]
    assert (found.values[~explicands.present] == 0).all()
    assert (found.values[explicands.present] != 0).any()


@pytest.mark.parametrize("network", NETWORKS)
def test_a_text_is_explained_the_same_alone_and_among_longer_ones(network):
    torch.manual_seed(0)
    model, texts = model_of(NETWORKS[network]()), sentences_of(6)
    together, _ = run("occlusion", model, split_of(texts))
    alone = [run("occlusion", model, split_of([text], labels=["no"]))[0].values[0] for text in texts]
    torch.testing.assert_close(together.values, torch.stack(alone), atol=1e-5, rtol=1e-4)


def test_occlusion_hides_one_word_at_a_time_and_spends_a_row_for_each():
    torch.manual_seed(0)
    model, split = model_of(NETWORKS["lstm"]()), split_of(["the plot was great", "awful"])
    found, explicands = run("occlusion", model, split)
    ids, mask = model.encode(split)
    hidden = ids[:1].repeat(4, 1)
    hidden[range(4), range(4)] = 0
    with model.evaluating():
        logits = model.logits((hidden, mask[:1].repeat(4, 1))).double()
    expected = explicands.scores[0] - (logits[:, 1] - logits[:, 0])
    torch.testing.assert_close(found.values[0, :4], expected, atol=1e-6, rtol=1e-5)
    assert found.evaluations.tolist() == [4, 1]


def test_the_baseline_is_the_same_text_without_words():
    torch.manual_seed(0)
    model, split = model_of(NETWORKS["transformer"]()), split_of(["the plot was great", "awful"])
    _, explicands = run("gradient_x_input", model, split)
    _, mask = model.encode(split)
    with model.evaluating():
        logits = model.logits((torch.zeros((2, 9), dtype=torch.int64), mask)).double()
    torch.testing.assert_close(explicands.baseline_scores, logits[:, 1] - logits[:, 0], atol=1e-6, rtol=1e-5)


class Tokenized(TextPreprocessing):
    """As a tokenizer has it: a beginning and an end around the words, and ids that are special."""

    @property
    def special(self) -> frozenset[int]:
        return frozenset({0, 1, 2, 3})

    def tokens(self, split: Split, rows: np.ndarray | None = None) -> list[list[str]]:
        return [["[CLS]", *found[: self.length - 2], "[SEP]"] for found in super().tokens(split, rows)]

    def encode_texts(self, texts: list[str]) -> tuple[Tensor, ...]:
        ids, mask = super().encode_texts(texts)
        places, lengths = torch.arange(self.length), mask.sum(dim=1, keepdim=True).clamp_max(self.length - 2)
        inside = (places >= 1) & (places <= lengths)
        ids = torch.where(inside, ids.roll(1, dims=1), 0)
        ids[:, 0] = 2
        ids[places == lengths + 1] = 3
        return ids, (places <= lengths + 1).to(torch.int64)


def test_special_pieces_stay_and_get_nothing_but_an_unknown_word_is_a_word():
    torch.manual_seed(0)
    preprocessing = Tokenized(column="text", vocabulary=("[CLS]", "[SEP]", *VOCABULARY), length=9)
    model = Model(Recurrent(14, nn.LSTM), ("no", "yes"), preprocessing, device=CPU)
    split = split_of(["the plot was unheard-of", "great"])
    for name in (*GRADIENTS, "occlusion"):
        found, explicands = run(name, model, split)
        assert explicands.present[1].tolist() == [False, True, *[False] * 7]
        assert explicands.present[0].tolist() == [False, *[True] * 6, False, False]
        assert (found.values[~explicands.present] == 0).all()
    ids, mask = preprocessing.encode(split)
    with model.evaluating():
        silent = torch.where(explicands.present, 0, ids)
        logits = model.logits((silent, mask)).double()
    torch.testing.assert_close(explicands.baseline_scores, logits[:, 1] - logits[:, 0], atol=1e-6, rtol=1e-5)


def test_agreement_compares_the_words_that_a_row_has():
    first, second = np.array([[1.0, 2.0, 3.0, 0.0, 0.0]]), np.array([[3.0, 2.0, 1.0, 0.0, 0.0]])
    present = np.array([[True, True, True, False, False]])
    assert agreement(first, second, present).tolist() == pytest.approx([-1.0])
    assert len(agreement(first, second, present & (np.arange(5) < 2))) == 0


def evidence_of(subject: Subject, **settings) -> SimpleNamespace:
    spec = AuditSpec(attribution={"rows": 60, **settings})
    findings = AttributionAnalysis().conclude(Context(subject, spec, Ledger(), Progress(quiet=True)), {})
    info = {"spec": spec.model_dump(), "schema": {"classes": list(subject.schema.classes)}}
    return SimpleNamespace(rows=findings.metrics, table=findings.tables.get, caveats=findings.caveats, info=info)


def planted(classes=("no", "yes"), column="text") -> Subject:
    """A bag of words in which "great" speaks for a class, "awful" against it, and nothing else says anything."""
    torch.manual_seed(0)
    texts = [f"{text} < > ." for text in sentences_of(80)]
    splits = [split_of(texts, classes, role=role) for role in ("train", "test")]
    preprocessing = fit_text(splits[0], column)
    bag = Bag(len(preprocessing.vocabulary) + 2, len(classes), 3)
    with torch.no_grad():
        bag.embedding.weight.zero_()
        bag.head.weight.copy_(torch.eye(3)[: len(classes)])
        for place, word in ((1, "great"), (0, "awful"), (2, "film")):
            bag.embedding.weight[preprocessing.vocabulary.index(word) + 2, place] = 2.0 + place
    model = Model(bag, classes, preprocessing, device=CPU)
    return Subject("s", model, tuple(splits), splits[0].schema)


@pytest.fixture(scope="module")
def evidence() -> SimpleNamespace:
    return evidence_of(planted())


@pytest.fixture(scope="module")
def three_classes() -> SimpleNamespace:
    return evidence_of(planted(("no", "yes", HOSTILE)))


def test_planted_words_lead_with_their_own_worth(evidence):
    for method in (*GRADIENTS, "occlusion"):
        lines = [line for line in evidence.table("attribution/words").to_pylist() if line["method"] == method]
        first = {line["word"]: line for line in lines if line["class"] == ""}
        texts = [text.split() for text in sentences_of(80)]
        rows = set(evidence.table("attribution/inputs").column("row").to_pylist())
        seen = [min(len(text), 99) and text.count("great") for row, text in enumerate(texts) if row in rows]
        assert first["great"]["rows"] == sum(count > 0 for count in seen)
        assert first["great"]["mean"] == pytest.approx(3.0 * np.mean([count for count in seen if count]), rel=1e-4)
        assert first["great"]["lower"] > 0 > first["awful"]["upper"]
        assert first["the"]["mean"] == pytest.approx(0, abs=1e-6)
    shown = ordered([line for line in lines if line["class"] == ""], 3)
    assert (shown[0]["word"], shown[-1]["word"]) == ("great", "awful")
    finding = sections(evidence)[0].finding
    assert "raised most clearly by 'great'" in finding
    assert "lowered most clearly by 'awful'" in finding


def test_intervals_of_words_are_students_over_the_rows_that_have_them(evidence):
    explained = evidence.table("attribution/explanations").to_pylist()
    sums: dict[int, float] = {}
    for line in explained:
        if line["method"] == "occlusion" and line["word"] == "great":
            sums[line["row"]] = sums.get(line["row"], 0.0) + line["value"]
    values = np.array(list(sums.values()))
    (known,) = (
        line
        for line in evidence.table("attribution/words").to_pylist()
        if (line["method"], line["class"], line["word"]) == ("occlusion", "", "great")
    )
    from scipy.stats import t

    lower, upper = t.interval(0.95, len(values) - 1, values.mean(), values.std(ddof=1) / len(values) ** 0.5)
    assert (known["lower"], known["upper"], known["rows"]) == pytest.approx((lower, upper, len(values)))


def test_words_in_few_rows_have_no_interval_or_are_not_listed(evidence):
    table = evidence.table("attribution/words").to_pylist()
    assert all((line["lower"] is None) == (line["rows"] < 5) == bool(line["reason"]) for line in table)
    assert min(line["rows"] for line in table) >= 3


def test_with_more_classes_words_are_told_by_predicted_class(three_classes):
    table = three_classes.table("attribution/words").to_pylist()
    assert {line["class"] for line in table} <= {"no", "yes", HOSTILE}
    section = sections(three_classes)[0]
    assert "'great' for yes" in section.finding
    assert section.table.column_names[0] == "predicted"


def test_sections_show_highlighted_words(evidence, three_classes):
    for known in (evidence, three_classes):
        found = sections(known)
        assert [section.key for section in found][:2] == ["importance", "examples"]
        assert all(section.reading and section.finding.endswith(".") for section in found)
        assert [section.key for section in found if section.figure is None] == ["preflight"]
    figure = sections(evidence)[1].figure
    backs = {note.text: note.bgcolor for note in figure.layout.annotations if note.hovertext}
    assert backs["great"].startswith("rgba(0, 114, 178")
    assert backs["the"].endswith("0.000)")
    assert "strongest words" in sections(evidence)[1].table.column_names


def test_hostile_words_and_classes_never_reach_plotly_as_markup(three_classes):
    for section in sections(three_classes):
        drawn = "" if section.figure is None else json.dumps(json.loads(section.figure.to_json()))
        assert "<script>" not in drawn.replace("\\u003c", "<")
    notes = [note for note in sections(three_classes)[1].figure.layout.annotations if note.hovertext]
    assert {"&lt;", "&gt;"} <= {note.text for note in notes}


def test_one_text_can_be_shown_by_every_method(evidence):
    row = evidence.table("attribution/rows").column("row")[0].as_py()
    for method in (*GRADIENTS, "occlusion"):
        figure = explanation(evidence, method, row)
        said = [note.text for note in figure.layout.annotations if note.hovertext]
        kept = [
            line["word"]
            for line in evidence.table("attribution/explanations").to_pylist()
            if (line["method"], line["row"]) == (method, row)
        ]
        assert [word.replace("<", "&lt;").replace(">", "&gt;") for word in kept] == said
    assert explanation(evidence, "grad_cam", row) is None


def test_words_are_laid_out_in_lines_that_never_overlap(evidence):
    figure = sections(evidence)[1].figure
    places = [
        (-note.yshift, note.xshift, width(unescape(note.text))) for note in figure.layout.annotations if note.hovertext
    ]
    for (down, across, wide), (below, after, _) in pairwise(places):
        assert (below, after) > (down, across)
        if below == down:
            assert after >= across + wide * 8.4


def test_grad_cam_says_why_it_does_not_explain_texts(evidence):
    line = next(line for line in evidence.table("attribution/methods").to_pylist() if line["method"] == "grad_cam")
    assert (line["status"], line["reason"], line["parts"]) == ("refused", "Grad-CAM is for images", "words")


def test_a_text_read_another_way_is_not_explained_and_says_why():
    class Counting(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.head = nn.Linear(1, 2)

        def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
            return self.head((ids.float() * mask).sum(dim=1, keepdim=True))

    split = split_of(sentences_of(10))
    subject = Subject("s", model_of(Counting()), (split,), split.schema)
    known = evidence_of(subject)
    assert "other than through an nn.Embedding" in sections(known)[0].finding
