"""Rows as a person reads them: a table's own values as text, an image as a small picture. Kept beside findings."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from auditkit.subject.data import Split
from auditkit.subject.preprocessing import AnyPreprocessing, ImagePreprocessing

SIDE = 64
"""maps and pictures are kept at up to this many pixels a side"""


def readable_inputs(preprocessing: AnyPreprocessing, split: Split, rows: npt.NDArray) -> pa.Table:
    """What the model was shown of some rows.

    Tables: one line per row and column (row, column, value as text, null where missing). Images: one line per row
    (row, channels, height, width, pixels in 0..1, channel by channel, from the top left), at most 64 pixels a side.
    """
    rows = np.asarray(rows, dtype=np.int64)
    if isinstance(preprocessing, ImagePreprocessing):
        (encoded,) = preprocessing.encode(split, rows)
        return pictures(rows, encoded.double().numpy() * preprocessing.scale + preprocessing.mean)
    parts = []
    for column in preprocessing.columns:
        texts = [as_text(value) for value in split.column(column).take(pa.array(rows)).to_pylist()]
        names = pa.array([column] * len(rows), pa.string())
        parts.append(pa.table({"row": rows, "column": names, "value": pa.array(texts, pa.string())}))
    return pa.concat_tables(parts)


def pictures(rows: npt.NDArray, images: npt.NDArray) -> pa.Table:
    """Images [n, C, H, W] as a table of small pictures, brought to 0..1 by the brightest and darkest among them."""
    small = pooled(images, mean=True)
    low, high = (small.min(), small.max()) if small.size else (0.0, 0.0)
    small = (small - low) / (high - low) if high > low else np.zeros_like(small)
    n, (channels, height, width) = len(small), small.shape[1:]
    return pa.table(
        {
            "row": pa.array(rows, pa.int64()),
            "channels": pa.array([channels] * n, pa.int64()),
            "height": pa.array([height] * n, pa.int64()),
            "width": pa.array([width] * n, pa.int64()),
            "pixels": pa.array(
                list(small.reshape(n, channels * height * width).astype(np.float32)), pa.list_(pa.float32())
            ),
        }
    )


def pooled(maps: npt.NDArray, mean: bool = False) -> npt.NDArray:
    """Maps [..., H, W] brought to at most 64 pixels a side by adding up (or averaging) blocks.

    >>> pooled(np.ones((1, 128, 128))).shape, float(pooled(np.ones((1, 128, 128))).sum())
    ((1, 64, 64), 16384.0)
    """
    height, width = maps.shape[-2:]
    block = -(-max(height, width) // SIDE)
    if block == 1:
        return maps
    down, across = np.arange(0, height, block), np.arange(0, width, block)
    total = np.add.reduceat(np.add.reduceat(maps, down, axis=-2), across, axis=-1)
    if not mean:
        return total
    return total / np.add.reduceat(np.add.reduceat(np.ones((height, width)), down, axis=-2), across, axis=-1)


def as_text(value: object) -> str | None:
    """A value as text; None where it is missing.

    >>> as_text(40.0), as_text("Private"), as_text(None)
    ('40', 'Private', None)
    """
    if value is None or value != value:
        return None
    return f"{value:.6g}" if isinstance(value, float) else str(value)
