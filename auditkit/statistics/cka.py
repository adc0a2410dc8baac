"""Centred kernel alignment: how alike two representations of the same rows are, whatever their axes and scale.

With the linear kernels K = X Xᵀ and L = Y Yᵀ of two representations of n rows, CKA = HSIC(K, L) / sqrt(HSIC(K, K)
HSIC(L, L)): 1 for representations that are rotations and multiples of each other, about 0 for unrelated ones. The plain
estimate of HSIC is biased upwards for few rows and many features, up to calling unrelated ones alike; the unbiased one
is used here. Sources: Kornblith, Norouzi, Lee and Hinton (2019), arXiv:1905.00414; Song, Smola, Gretton, Bedo and
Borgwardt (2012), Journal of Machine Learning Research 13, 1393-1434, equation 5.
"""

import numpy as np
import numpy.typing as npt

from auditkit.statistics.intervals import Floats

FEWEST = 4


def linear_cka(first: npt.ArrayLike, second: npt.ArrayLike) -> float:
    """The unbiased linear CKA of two representations, [n, features] each, of the same rows in the same order.

    May lie slightly below 0 or above 1, as an unbiased estimate does. NaN where one of them does not vary. Raises
    ValueError for fewer than 4 rows or different numbers of rows.

    >>> rng = np.random.default_rng(0)
    >>> x = rng.normal(size=(200, 10))
    >>> rotation, _ = np.linalg.qr(rng.normal(size=(10, 10)))
    >>> round(linear_cka(x, 3 * x @ rotation), 9), abs(linear_cka(x, rng.normal(size=(200, 500)))) < 0.1
    (1.0, True)
    """
    x, y = (np.asarray(part, dtype=np.float64).reshape(len(np.asarray(part)), -1) for part in (first, second))
    if len(x) != len(y) or len(x) < FEWEST:
        raise ValueError(f"CKA needs the same {FEWEST} rows or more in both, got {len(x)} and {len(y)}")
    one, two = (_kernel(part) for part in (x, y))
    scale = _hsic(one, one) * _hsic(two, two)
    return _hsic(one, two) / float(np.sqrt(scale)) if scale > 0 else float("nan")


def _kernel(values: Floats) -> Floats:
    """The linear kernel of centred values, with nothing on its diagonal."""
    centred = values - values.mean(axis=0)
    size = np.sqrt((centred**2).sum(axis=1).mean())
    centred = centred / size if size > 0 else centred
    kernel = centred @ centred.T
    np.fill_diagonal(kernel, 0.0)
    return kernel


def _hsic(one: Floats, two: Floats) -> float:
    n = len(one)
    crossed = float((one.sum(axis=0) * two.sum(axis=0)).sum())
    total = float((one * two).sum()) + one.sum() * two.sum() / ((n - 1) * (n - 2)) - 2 * crossed / (n - 2)
    return float(total / (n * (n - 3)))
