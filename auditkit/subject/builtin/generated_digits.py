"""`generated_digits`: handwritten digits as real rows, for a generator to learn and a discriminator to guard.

Made of `digits`. Train and validation are real rows alone. The generated half of test is made by another, simple
generator, a normal distribution of pixels for each digit, so that the discriminator meets forgeries it was not trained
against. `photographs` are no digits at all. `shows` says which digit a row shows, so that it can be asked which of
them a generator makes.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from auditkit.subject.builtin.digits import digits
from auditkit.subject.data import Schema, Split

CLASSES = ("generated", "real")
SEED = 2014
ORIGIN = "built-in generated_digits"


def generated_digits() -> tuple[dict[str, Split], Schema]:
    """Images float32 [n, 1, 8, 8] of 0 to 16, label `kind`."""
    dealt, _ = digits()
    schema = Schema(("images",), CLASSES, "kind", CLASSES[1])
    splits = {}
    for name in ("train", "validation", "test"):
        images, shown = dealt[name].arrays["images"], dealt[name].labels
        kinds = ["real"] * len(images)
        if name == "test":
            train = dealt["train"]
            made = _drawn(train.arrays["images"], train.labels, shown)
            images, shown = np.concatenate([images, made]), np.concatenate([shown, shown])
            kinds += ["generated"] * len(made)
        table = pa.table({"kind": kinds, "shows": [str(digit) for digit in shown]})
        splits[name] = Split(name, name, table, schema, {"images": images}, ORIGIN)
    photographs = dealt["photographs"]
    table = pa.table({"kind": ["generated"] * len(photographs), "shows": ["photograph"] * len(photographs)})
    splits["photographs"] = Split("photographs", "ood", table, schema, photographs.arrays, ORIGIN)
    return splits, schema


def _drawn(images: np.ndarray, labels: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """For each wanted digit a picture drawn from the normal distribution of its training pixels."""
    random = np.random.default_rng(SEED)
    made = np.empty((len(wanted), *images.shape[1:]), dtype=np.float32)
    for digit in np.unique(wanted):
        rows = images[labels == digit].reshape((labels == digit).sum(), -1).astype(np.float64)
        scatter = np.cov(rows.T)
        axes, spread, _ = np.linalg.svd(scatter, hermitian=True)
        normal = random.standard_normal((int((wanted == digit).sum()), rows.shape[1]))
        drawn = rows.mean(axis=0) + (normal * np.sqrt(spread)) @ axes.T
        made[wanted == digit] = np.clip(np.round(drawn), 0, 16).reshape(-1, *images.shape[1:])
    return made
