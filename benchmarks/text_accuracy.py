"""SST-2 (Socher et al. 2013; the two-class phrases of GLUE): networks trained from scratch on real film reviews.

The training file holds phrases cut out of sentences, so rows drawn at random for validation would be pieces of training
sentences. Instead 1,000 whole sentences are held out, seeded, and every training phrase that is found inside one of
them, word for word, is left out; so is every phrase inside a test sentence, down to two words. Single words stay: a
vocabulary is no leak. Settings and the epoch were chosen by the held-out sentences; the test sentences are looked at
once for each seed, after the training.

Run with `python -m benchmarks text_accuracy`; the data's folder is AUDITKIT_DATA, `../shared/data` where that is unset.
"""

from __future__ import annotations

import csv
import gzip
import math
import os
import statistics
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch

from auditkit.subject.data import Role, Schema, Split
from auditkit.subject.model import Model
from auditkit.subject.preprocessing.text import words
from auditkit.training.recipe import Recipe
from auditkit.training.train import train

TITLE = "Accuracy on text: SST-2, trained from scratch"
FOLDER = Path(os.environ.get("AUDITKIT_DATA", Path(__file__).parents[2] / "shared" / "data"))
SCHEMA = Schema(("sentence",), ("negative", "positive"), "sentiment", "positive")
HELD_OUT, SEED, SEEDS = 1_000, 2013, (0, 1, 2)
ARCHITECTURES = "auditkit.training.architectures"
LSTM = Recipe(
    name="sst2 lstm",
    architecture=f"{ARCHITECTURES}.recurrent:Recurrent",
    arguments={"embedding": 64, "width": 64, "dropout": 0.4, "unread": 0.15},
    preprocessing={"kind": "text", "length": 40},
    epochs=3,
    batch_size=128,
    learning_rate=3e-3,
    weight_decay=0.05,
    warmup=0.5,
    patience=2,
    threads=1,
)
TRANSFORMER = Recipe(
    name="sst2 transformer",
    architecture=f"{ARCHITECTURES}.transformer:Transformer",
    arguments={"width": 64, "heads": 4, "layers": 1, "dropout": 0.3, "unread": 0.15},
    preprocessing={"kind": "text", "length": 40},
    epochs=4,
    batch_size=128,
    learning_rate=2e-3,
    weight_decay=0.05,
    warmup=1,
    patience=2,
    threads=1,
)
RECIPES = (LSTM, TRANSFORMER)
Row = dict[str, str]


def sentences(folder: Path = FOLDER) -> tuple[dict[str, Split], dict[str, int]]:
    """Train, validation and test, and how many training phrases were left out because of which of the two others."""
    with gzip.open(folder / "sst2_train.tsv.gz", "rt", encoding="utf-8") as file:
        phrases = _read(file)
    with open(folder / "sst2_test.tsv", encoding="utf-8") as file:
        test = _read(file)
    texts = [" ".join(words(text)) for text, _ in phrases]
    within_test = _inside(texts, [text for text, _ in test])
    long = [row for row, text in enumerate(texts) if text.endswith(" .") and len(text.split()) >= 10]
    long = [row for row in long if not within_test[row]]
    held = np.random.default_rng(SEED).permutation(long)[:HELD_OUT]
    within_held = _inside(texts, [texts[row] for row in held])
    kept = np.flatnonzero(~within_test & ~within_held)
    splits = {
        "train": _split("train", [phrases[row] for row in kept]),
        "validation": _split("validation", [phrases[row] for row in held]),
        "test": _split("test", test),
    }
    return splits, {"test": int(within_test.sum()), "validation": int((within_held & ~within_test).sum())}


def accuracy(model: Model, split: Split) -> float:
    """The share of rows whose class is the most likely one."""
    with model.evaluating(), torch.inference_mode():
        right = [
            (model.logits(batch.inputs).argmax(1).cpu().numpy() == batch.labels) for batch in model.batches(split, 512)
        ]
    return float(np.concatenate(right).mean())


def rows(recipes: tuple[Recipe, ...] = RECIPES, seeds: tuple[int, ...] = SEEDS) -> list[Row]:
    """A line for each network and seed, then one for the spread over seeds."""
    splits, left_out = sentences()
    told = ", ".join(f"{name} {len(split):,}" for name, split in splits.items())
    gone = f"left out of train: {left_out['test']:,} phrases inside test sentences, {left_out['validation']:,} inside"
    made = [_line(f"rows: {told}; {gone} held-out ones")]
    for recipe in recipes:
        found = [measured(recipe, seed, splits) for seed in seeds]
        tested = [test for _, test in found]
        mean = statistics.mean(tested)
        error = math.sqrt(mean * (1 - mean) / len(splits["test"]))
        spread = f"{mean:.3f} ({min(tested):.3f} to {max(tested):.3f}; of the {len(splits['test'])} rows ±{error:.3f})"
        made += [line for line, _ in found] + [_line(f"{recipe.name}, {len(seeds)} seeds", test=spread)]
    return made


def measured(recipe: Recipe, seed: int, splits: dict[str, Split]) -> tuple[Row, float]:
    """The line of one training, and its accuracy on the test sentences."""
    began = time.process_time()
    model = train(recipe.model_copy(update={"seed": seed}), splits, SCHEMA, device="cpu")
    seconds = time.process_time() - began
    validation, test = (accuracy(model, splits[name]) for name in ("validation", "test"))
    epoch = f"{model.record['best_epoch']} of {model.record['epochs']}"
    what = f"{recipe.name}, {model.parameters:,} parameters, seed {seed}"
    return _line(what, f"{validation:.3f}", f"{test:.3f}", epoch, f"{seconds:.0f}"), test


def _line(what: str, validation: str = "", test: str = "", epoch: str = "", seconds: str = "") -> Row:
    return {"what": what, "validation": validation, "test": test, "best epoch": epoch, "CPU seconds": seconds}


def _read(file: Any) -> list[tuple[str, int]]:
    lines = csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)
    return [(line["sentence"].strip(), int(line["label"])) for line in lines]


def _inside(texts: list[str], sentences: list[str]) -> np.ndarray:
    """Which texts are, word for word, a run of two words or more of one of the sentences; bool [texts]."""
    runs = set()
    for sentence in sentences:
        found = words(sentence)
        runs |= {
            " ".join(found[first:last]) for first in range(len(found)) for last in range(first + 2, len(found) + 1)
        }
    return np.array([text in runs for text in texts])


def _split(role: Role, lines: list[tuple[str, int]]) -> Split:
    table = pa.table(
        {"sentence": [text for text, _ in lines], "sentiment": [SCHEMA.classes[label] for _, label in lines]}
    )
    return Split(role, role, table, SCHEMA, origin="SST-2")
