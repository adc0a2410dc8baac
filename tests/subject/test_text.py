"""Text and series as inputs: what the words are, what is cut, filled up, unknown or missing."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditkit.errors import InputError
from auditkit.subject.data import Schema, Split
from auditkit.subject.preprocessing import (
    SeriesPreprocessing,
    TextPreprocessing,
    fit_preprocessing,
    fit_series,
    fit_text,
    parse_preprocessing,
)
from auditkit.subject.preprocessing.text import words

SCHEMA = Schema(("sentence",), ("bad", "good"), "label")


def sentences(*texts, column="sentence"):
    table = pa.table({column: pa.array(texts, pa.string()), "label": ["good"] * len(texts)})
    return Split("train", "train", table, SCHEMA)


def series(values):
    return Split("train", "train", pa.table({"label": ["good"] * len(values)}), SCHEMA, {"series": np.asarray(values)})


def test_words_are_numbered_by_how_often_they_occur_and_rare_ones_are_unknown():
    found = fit_text(sentences("a good film", "a bad film", "a film, truly"), "sentence")
    assert found.vocabulary == ("a", "film")
    ids, mask = found.encode(sentences("A FILM of note", "!"))
    assert ids.tolist() == [[2, 3, 1, 1], [1, 0, 0, 0]]
    assert mask.tolist() == [[1, 1, 1, 1], [1, 0, 0, 0]]
    assert found.arguments() == {"words": 4, "length": 4}


def test_the_words_stand_at_the_positions_of_the_inputs():
    split = sentences("it's long and longer", "short", None)
    found = TextPreprocessing(column="sentence", vocabulary=("short",), length=3)
    assert found.tokens(split) == [["it's", "long", "and"], ["short"], [""]]
    ids, _ = found.encode(split)
    assert ids.tolist() == [[1, 1, 1], [2, 0, 0], [1, 0, 0]]
    assert found.irregularities(split) == [
        ("sentence", 1, "missing, read as one unknown word"),
        ("sentence", 1, "longer than 3 words, cut there"),
        ("sentence", 1, "without any word known from training"),
    ]


def test_length_is_enough_for_nearly_all_of_training():
    split = sentences(*["one two"] * 300, *["one " * 100] * 2)
    assert fit_text(split, "sentence").length == 2
    assert fit_text(split, "sentence", length=7).length == 7


@given(st.text())
def test_any_text_has_words_that_are_in_it(text):
    found = words(text)
    assert all(word in text.lower() for word in found)
    assert words(" ".join(found)) == found


def test_a_number_column_is_no_text():
    split = Split("test", "test", pa.table({"sentence": [1, 2], "label": ["good", "bad"]}), SCHEMA)
    with pytest.raises(InputError, match="must hold text, found int64"):
        TextPreprocessing(column="sentence", vocabulary=("a",), length=2).encode(split)


def test_sentences_are_recognised_and_single_words_are_categories():
    split = sentences("a good film", "a bad film")
    assert fit_preprocessing(split, SCHEMA).modality == "text"
    assert fit_preprocessing(sentences("Bonn", "Celle"), SCHEMA).modality == "table"


def test_series_are_scaled_channel_by_channel():
    rng = np.random.default_rng(0)
    values = rng.normal([10.0, -3.0], [2.0, 5.0], size=(500, 20, 2))
    found = fit_series(series(values), names=("heat", "speed"))
    (encoded,) = found.encode(series(values))
    assert encoded.shape == (500, 20, 2)
    assert encoded.mean(dim=(0, 1)).numpy() == pytest.approx([0, 0], abs=1e-5)
    assert encoded.std(dim=(0, 1)).numpy() == pytest.approx([1, 1], abs=1e-3)
    assert found.channels == ("heat", "speed")
    assert found.arguments() == {"steps": 20, "channels": 2}


def test_what_is_not_finite_becomes_the_mean_and_is_counted():
    values = np.ones((3, 4, 1)) * [[[1.0]], [[2.0]], [[3.0]]]
    found = fit_series(series(values))
    broken = values.copy()
    broken[1, 2] = np.nan
    (encoded,) = found.encode(series(broken))
    assert encoded[1, 2].item() == 0
    assert found.irregularities(series(broken)) == [
        ("series", 1, "with values that are not finite, replaced by the mean")
    ]
    with pytest.raises(InputError, match=r"series are 3 x 1 \(steps x channels\), the model takes 4 x 1"):
        found.encode(series(values[:, :3]))


@pytest.mark.parametrize("made", [fit_text(sentences("a b", "a b"), "sentence"), fit_series(series(np.eye(4)))])
def test_they_survive_being_written_down(made):
    content = made.model_dump(mode="json")
    assert parse_preprocessing(content, "model.json") == made
    assert isinstance(made, TextPreprocessing | SeriesPreprocessing)
    assert all(len(part) == 2 for part in made.example())
