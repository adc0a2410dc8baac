"""Leading words: what many explained texts say together about each word.

A word's attribution in a row is the sum over the places where it stands; its mean over the rows that have it says which
way the word speaks and how strongly. Where there are two classes, the target is the same for every row and a word has
one mean over all rows beside those by predicted class; with more classes the target is the predicted class, and means
are by class alone, as they are by label where there are several labels. The interval is Student's, over rows, from five
rows on: it covers the choice of rows for a word named beforehand. Of the words at the top of a long list some stand
there by chance, which their intervals do not know.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from scipy.stats import t as student

from auditkit.attribution.explicands import Explicands, PartAttribution
from auditkit.subject.data import Split

FEWEST, SUPPORT = 3, 5
"""rows that a word must be in to be listed, and to have an interval"""
WORDS = pa.schema(
    [
        ("method", pa.string()),
        ("class", pa.string()),
        ("word", pa.string()),
        ("rows", pa.int64()),
        ("mean", pa.float64()),
        ("lower", pa.float64()),
        ("upper", pa.float64()),
        ("reason", pa.string()),
    ]
)
"""one line per method, predicted class ("" for all rows) and word; lower and upper are null where a reason says why"""
Floats = npt.NDArray[np.float64]


def word_table(
    explicands: Explicands, found: Mapping[str, PartAttribution], split: Split, confidence: float = 0.95
) -> pa.Table:
    """The words of the explained rows that at least three rows have, as in `WORDS`."""
    row, place = explicands.places.cpu().numpy().T
    assert explicands.words is not None
    said = np.array([explicands.words[r][p] for r, p in zip(row, place, strict=True)], dtype=object)
    words, code = np.unique(said.astype(str), return_inverse=True)
    pairs, pair = np.unique(row * len(words) + code, return_inverse=True)
    row_of, code_of = pairs // max(len(words), 1), pairs % max(len(words), 1)
    parts = []
    for method, attribution in found.items():
        values = np.bincount(pair, attribution.values.cpu().numpy()[row, place], minlength=len(pairs))
        for name, chosen in _selections(explicands, split):
            kept = chosen[row_of]
            parts.append(_lines(method, name, words, code_of[kept], values[kept], confidence))
    return pa.concat_tables(parts)


def _selections(explicands: Explicands, split: Split) -> Iterator[tuple[str, npt.NDArray[np.bool_]]]:
    """Class name → which explained rows count."""
    classes = () if split.schema.task == "regression" else split.schema.classes
    if len(classes) <= 2 and split.schema.task != "multilabel":
        yield "", np.ones(len(explicands), dtype=bool)
    for index, name in enumerate(classes):
        if (chosen := explicands.predictions == index).any():
            yield name, chosen


def _lines(
    method: str, name: str, words: npt.NDArray[np.str_], code: npt.NDArray[np.int64], values: Floats, confidence: float
) -> pa.Table:
    n = np.bincount(code, minlength=len(words))
    listed = np.flatnonzero(n >= FEWEST)
    n, mean = n[listed], np.bincount(code, values, minlength=len(words))[listed] / n[listed]
    centre = np.zeros(len(words))
    centre[listed] = mean
    around = np.bincount(code, (values - centre[code]) ** 2, minlength=len(words))[listed]
    half = student.ppf(0.5 + confidence / 2, n - 1) * np.sqrt(around / (n - 1) / n)
    few = n < SUPPORT
    columns = {
        "method": pa.array([method] * len(listed), pa.string()),
        "class": pa.array([name] * len(listed), pa.string()),
        "word": pa.array(words[listed].tolist(), pa.string()),
        "rows": pa.array(n, pa.int64()),
        "mean": pa.array(mean, pa.float64()),
        "lower": pa.array(mean - half, pa.float64(), mask=few),
        "upper": pa.array(mean + half, pa.float64(), mask=few),
        "reason": pa.array([f"fewer than {SUPPORT} rows" if low else "" for low in few], pa.string()),
    }
    return pa.table(columns, schema=WORDS)
