"""Rows as a person reads them: a table's own values as text, an image as a small picture, a text's beginning, a series
as a line with fewer points. Kept beside findings.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from auditkit.subject.data import Split
from auditkit.subject.preprocessing import AnyPreprocessing, ImagePreprocessing, SeriesPreprocessing

SIDE = 64
"""maps and pictures are kept at up to this many pixels a side"""
LETTERS = 300
"""a text is kept up to this many letters"""
POINTS = 256
"""a line is kept at up to this many points"""


def readable_inputs(preprocessing: AnyPreprocessing, split: Split, rows: npt.NDArray) -> pa.Table:
    """What the model was shown of some rows.

    Tables: one line per row and column (row, column, value as text, null where missing). Images: one line per row
    (row, channels, height, width, pixels in 0..1, channel by channel, from the top left), at most 64 pixels a side.
    Texts: as tables, cut at 300 letters. Series: one line per row and channel (row, channel, steps counted from one,
    values in their own unit, null where missing), of more than 256 steps the lowest and highest of each stretch.
    """
    rows = np.asarray(rows, dtype=np.int64)
    if isinstance(preprocessing, SeriesPreprocessing):
        return lines(preprocessing, split, rows)
    if isinstance(preprocessing, ImagePreprocessing):
        (encoded,) = preprocessing.encode(split, rows)
        return pictures(rows, preprocessing.restored(encoded.double().numpy()))
    parts = []
    for column in preprocessing.columns:
        texts = [as_text(value) for value in split.column(column).take(pa.array(rows)).to_pylist()]
        if preprocessing.modality == "text":
            texts = [beginning(text) for text in texts]
        names = pa.array([column] * len(rows), pa.string())
        parts.append(pa.table({"row": rows, "column": names, "value": pa.array(texts, pa.string())}))
    return pa.concat_tables(parts)


def beginning(text: str | None, longest: int = LETTERS) -> str | None:
    """A text, cut where it is long.

    >>> beginning("a long text", 7)
    'a long…'
    """
    return text if text is None or len(text) <= longest else text[: longest - 1] + "…"


def lines(preprocessing: SeriesPreprocessing, split: Split, rows: npt.NDArray) -> pa.Table:
    """Series as lines in their own unit, one per row and channel."""
    stored = split.arrays[preprocessing.array][rows]
    stored = (stored[:, :, None] if stored.ndim == 2 else stored).astype(np.float64).transpose(0, 2, 1)
    drawn = [thinned(line) for line in stored.reshape(-1, stored.shape[2])]
    names = list(preprocessing.channels)
    return pa.table(
        {
            "row": pa.array(np.repeat(rows, len(names)), pa.int64()),
            "channel": pa.array(names * len(rows), pa.string()),
            "steps": pa.array([steps.tolist() for steps, _ in drawn], pa.list_(pa.int64())),
            "values": pa.array(
                [[v if np.isfinite(v) else None for v in values.tolist()] for _, values in drawn],
                pa.list_(pa.float64()),
            ),
        }
    )


def thinned(line: npt.NDArray, most: int = POINTS) -> tuple[npt.NDArray, npt.NDArray]:
    """A line with fewer points: (steps counted from one, values), of each stretch the lowest and the highest.

    A peak of one step stays. A stretch without a finite value keeps its first step.

    >>> steps, values = thinned(np.array([0.0, 9.0, 1.0, 0.0, 0.0, -5.0]), most=4)
    >>> steps.tolist(), values.tolist()
    ([1, 2, 4, 6], [0.0, 9.0, 0.0, -5.0])
    """
    if len(line) <= most:
        return np.arange(1, len(line) + 1), line
    wide = -(-len(line) // (most // 2))
    kept: set[int] = set()
    for start in range(0, len(line), wide):
        part = line[start : start + wide]
        finite = np.flatnonzero(np.isfinite(part))
        kept |= {start + int(finite[f(part[finite])]) for f in (np.argmin, np.argmax)} if len(finite) else {start}
    places = np.array(sorted(kept))
    return places + 1, line[places]


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
