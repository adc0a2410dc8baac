"""Real sentences (SST-2): no piece of a held-out or test sentence is trained on, and a small network learns of few."""

import gzip

import numpy as np
import pyarrow as pa
import pytest

from auditkit.subject.data import Split
from auditkit.subject.preprocessing.text import words
from auditkit.training.train import train

text_accuracy = pytest.importorskip("benchmarks.text_accuracy", reason="benchmarks are beside the package only")


@pytest.fixture(scope="module")
def sst2(real_data):
    for name in ("sst2_train.tsv.gz", "sst2_test.tsv"):
        if not (real_data / name).is_file():
            pytest.skip(f"{name} not found in {real_data}")
    return text_accuracy.sentences(real_data)


def test_no_training_phrase_is_a_piece_of_a_held_out_or_test_sentence(sst2):
    splits, left_out = sst2
    phrases = {" ".join(words(text)) for text in splits["train"].column("sentence").to_pylist()}
    for name in ("validation", "test"):
        for text in splits[name].column("sentence").to_pylist():
            found = words(text)
            runs = {" ".join(found[i:j]) for i in range(len(found)) for j in range(i + 2, len(found) + 1)}
            assert not runs & phrases
    held = {" ".join(words(text)) for text in splits["validation"].column("sentence").to_pylist()}
    assert not held & {" ".join(words(text)) for text in splits["test"].column("sentence").to_pylist()}
    assert (len(splits["validation"]), len(splits["test"])) == (1_000, 872)
    assert left_out["test"] > 0


def test_every_other_phrase_is_kept(sst2, real_data):
    splits, left_out = sst2
    with gzip.open(real_data / "sst2_train.tsv.gz", "rt", encoding="utf-8") as file:
        lines = sum(1 for _ in file) - 1
    assert len(splits["train"]) == lines - sum(left_out.values())


def test_a_small_network_learns_from_a_tenth(sst2):
    splits, _ = sst2
    texts = splits["train"].column("sentence").to_pylist()
    long = np.flatnonzero([len(text.split()) >= 6 for text in texts])
    rows = np.sort(np.random.default_rng(0).permutation(long)[:4_000])
    few = Split("train", "train", splits["train"].table.take(pa.array(rows)), splits["train"].schema)
    recipe = text_accuracy.LSTM.model_copy(
        update={
            "arguments": {"embedding": 32, "width": 32, "dropout": 0.3},
            "preprocessing": {"kind": "text", "length": 30},
            "epochs": 2,
            "batch_size": 64,
            "learning_rate": 0.005,
        }
    )
    model = train(recipe, {**splits, "train": few}, text_accuracy.SCHEMA, device="cpu")
    assert text_accuracy.accuracy(model, splits["test"]) > 0.68
