"""`unusual_digits`: handwritten digits 0 to 8 as usual pictures; what is no such digit is to be noticed.

Made of `digits`. Nines are in neither train, validation nor test: they are the set `nines` (near). The unusual
half of test are patches of photographs (far), and `noisy` are its digits under heavy noise.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from auditkit.subject.builtin.digits import digits
from auditkit.subject.data import Role, Schema, Split

CLASSES = ("usual", "unusual")
LEFT_OUT = 9
ORIGIN = "built-in unusual_digits"


def unusual_digits() -> tuple[dict[str, Split], Schema]:
    """Images float32 [n, 1, 8, 8] of 0 to 16, label `kind`; train and validation are usual rows alone."""
    dealt, _ = digits()
    schema = Schema(("images",), CLASSES, "kind", CLASSES[1])
    usual = {name: dealt[name].labels != LEFT_OUT for name in ("train", "validation", "test", "noisy")}
    images = {name: dealt[name].arrays["images"][kept] for name, kept in usual.items()}
    shown = {name: [str(digit) for digit in dealt[name].labels[kept]] for name, kept in usual.items()}
    kinds = {name: ["usual"] * len(rows) for name, rows in images.items()}
    photographs = dealt["photographs"].arrays["images"][: len(images["test"])]
    images["test"] = np.concatenate([images["test"], photographs])
    shown["test"] += ["photograph"] * len(photographs)
    kinds["test"] += ["unusual"] * len(photographs)
    nines = [dealt[name].arrays["images"][dealt[name].labels == LEFT_OUT] for name in ("train", "validation", "test")]
    images["nines"] = np.concatenate(nines)
    shown["nines"] = [str(LEFT_OUT)] * len(images["nines"])
    kinds["nines"] = ["unusual"] * len(images["nines"])
    kinds["noisy"] = ["unusual"] * len(images["noisy"])
    roles: dict[str, Role] = {"train": "train", "validation": "validation", "test": "test"}
    splits = {
        name: Split(
            name,
            roles.get(name, "ood"),
            pa.table({"kind": kinds[name], "shows": shown[name]}),
            schema,
            {"images": images[name]},
            ORIGIN,
        )
        for name in ("train", "validation", "test", "nines", "noisy")
    }
    return splits, schema
