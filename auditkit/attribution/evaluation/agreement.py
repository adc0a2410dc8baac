"""Agreement: whether two attributions of the same rows say the same.

rank     Spearman's correlation of the values (or of their magnitudes): the order of all parts
top-k    the share of the k weightiest parts that both have
sign     the share of the k weightiest parts that both have, and with the same sign

None of them says which of two is right.

Source: Krishna et al., "The Disagreement Problem in Explainable Machine Learning", 2022, arXiv:2202.01602.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.stats import rankdata

Floats = npt.NDArray[np.float64]
Present = npt.NDArray[np.bool_] | None
TOP = 5
FEWEST = 3
"""parts below which a ranking says nothing"""


def spearman(first: Floats, second: Floats, present: Present = None) -> Floats:
    """[n]: Spearman's rank correlation row by row; NaN with fewer than three parts or where a row is all alike.

    first, second: [n, parts]. present: [n, parts], which parts a row has.

    >>> spearman(np.array([[1.0, -2.0, 3.0]]), np.array([[20.0, 10.0, 30.0]])).tolist()
    [1.0]
    """
    if present is not None:
        pairs = zip(first, second, present, strict=True)
        return np.concatenate([np.zeros(0), *(spearman(a[None, own], b[None, own]) for a, b, own in pairs)])
    if first.shape[1] < FEWEST:
        return np.full(len(first), np.nan)
    a, b = (rankdata(part, axis=1) for part in (first, second))
    a, b = a - a.mean(axis=1, keepdims=True), b - b.mean(axis=1, keepdims=True)
    scale = np.sqrt((a**2).sum(axis=1) * (b**2).sum(axis=1))
    return np.where(scale > 0, (a * b).sum(axis=1) / np.where(scale > 0, scale, 1.0), np.nan)


def top_parts(values: Floats, k: int = TOP) -> npt.NDArray[np.bool_]:
    """bool [n, parts]: each row's k weightiest parts, by magnitude; of equal ones those that come first.

    Parts with nothing attributed to them are never among them.

    >>> top_parts(np.array([[0.1, -3.0, 2.0, 0.0]]), 2).tolist()
    [[False, True, True, False]]
    """
    magnitude = np.abs(values)
    chosen = np.argsort(-magnitude, axis=1, kind="stable")[:, :k]
    found = np.zeros(values.shape, dtype=bool)
    np.put_along_axis(found, chosen, True, axis=1)
    return found & (magnitude > 0)


def top_agreement(first: Floats, second: Floats, k: int = TOP) -> Floats:
    """[n]: the share of the k weightiest parts that both have; NaN where neither attributes anything.

    With fewer parts to name than k, the share is of as many as the longer of the two names.

    >>> top_agreement(np.array([[3.0, 2.0, 1.0]]), np.array([[3.0, 1.0, 2.0]]), 2).tolist()
    [0.5]
    """
    return _shared(first, second, k, signs=False)


def sign_agreement(first: Floats, second: Floats, k: int = TOP) -> Floats:
    """[n]: the share of the k weightiest parts that both have, and on which both have the same sign.

    >>> sign_agreement(np.array([[3.0, 2.0, 1.0]]), np.array([[3.0, -2.0, 1.0]]), 2).tolist()
    [0.5]
    """
    return _shared(first, second, k, signs=True)


def _shared(first: Floats, second: Floats, k: int, signs: bool) -> Floats:
    a, b = top_parts(first, k), top_parts(second, k)
    both = a & b
    if signs:
        both &= np.sign(first) == np.sign(second)
    named = np.maximum(a.sum(axis=1), b.sum(axis=1))
    return np.where(named > 0, both.sum(axis=1) / np.maximum(named, 1), np.nan)
