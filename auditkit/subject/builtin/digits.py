"""`digits`: scikit-learn's 1,797 handwritten digits, 8 x 8 pixels of 0 to 16 (Alpaydin and Kaynak 1998).

`photographs` are patches of scikit-learn's two sample photographs, reduced to 8 x 8 (far from any digit), `noisy` the
test digits under heavy noise (near).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa

from auditkit.subject.builtin.dealing import deal
from auditkit.subject.data import Schema, Split

SEED = 1998


def digits() -> tuple[dict[str, Split], Schema]:
    """Handwritten digits, images float32 [n, 1, 8, 8] of 0 to 16. No sensitive attributes."""
    from sklearn.datasets import load_digits

    data = load_digits()
    images, labels = data.images[:, None].astype(np.float32), data.target
    schema = Schema(("images",), tuple(str(digit) for digit in range(10)), "digit")
    splits: dict[str, Split] = {
        role: Split(role, role, pa.table({"digit": labels[rows]}), schema, {"images": images[rows]}, "built-in digits")
        for role, rows in deal(labels.tolist(), SEED).items()
    }
    test = splits["test"]
    noise = np.random.default_rng([SEED, 1]).normal(scale=6.0, size=test.arrays["images"].shape)
    noisy = np.clip(np.round(test.arrays["images"] + noise), 0, 16).astype(np.float32)
    patches, photographs = _patches(len(test))
    splits["photographs"] = Split(
        "photographs",
        "ood",
        pa.table({"photograph": photographs}),
        schema,
        {"images": patches},
        "patches of scikit-learn's sample photographs",
    )
    splits["noisy"] = Split("noisy", "ood", test.table, schema, {"images": noisy}, "built-in digits, test with noise")
    return splits, schema


def _patches(count: int) -> tuple[np.ndarray, list[str]]:
    """Grey patches of the sample photographs, 32 x 32 averaged to 8 x 8, and the photograph each is of.

    Whole numbers of 0 to 16, as the digits' pixels are, so that no rounding gives them away.
    """
    from sklearn.datasets import load_sample_images

    random = np.random.default_rng([SEED, 2])
    sample = load_sample_images()
    names = [Path(name).stem for name in sample.filenames]
    grey = [image @ np.array([0.299, 0.587, 0.114]) for image in sample.images]
    which = random.integers(len(grey), size=count)
    patches = np.empty((count, 1, 8, 8), dtype=np.float32)
    for row, photograph in enumerate(which):
        height, width = grey[photograph].shape
        top, left = random.integers(height - 31), random.integers(width - 31)
        window = grey[photograph][top : top + 32, left : left + 32].reshape(8, 4, 8, 4).mean(axis=(1, 3))
        patches[row, 0] = np.round(window * 16 / 255)
    return patches, [names[photograph] for photograph in which]
