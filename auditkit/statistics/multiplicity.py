"""P-values adjusted for how many tests were made.

Of twenty tests of nothing at level 0.05, one rejects on average. An adjusted p-value is the smallest level at which
that test is still rejected by the whole procedure, so that it can be held against the usual level by itself:

* Holm: the chance of any false rejection among all tests is at most the level, whatever their dependence. For gates.
* Benjamini-Hochberg: of what is rejected, the expected share of false rejections is at most the level, for independent
  or positively dependent tests. For exploration.

With p_(1) <= … <= p_(m) the adjusted values are

    Holm:  max over j <= i of  min(1, (m - j + 1)·p_(j))        BH:  min over j >= i of  min(1, m·p_(j) / j)

Ranks are those of the sorted values; the places that `argsort` returns are not ranks, and taken for them turn the
procedure into noise. Sources: Holm (1979), Scandinavian Journal of Statistics 6(2), 65-70; Benjamini and Hochberg
(1995), Journal of the Royal Statistical Society B 57(1), 289-300; Wright (1992), Biometrics 48(4), 1005-1013.
"""

import numpy as np
import numpy.typing as npt

from auditkit.statistics.intervals import Floats


def holm(p_values: npt.ArrayLike) -> Floats:
    """Holm's adjusted p-values, in the order given.

    p_values: [tests], each within [0, 1]. Raises ValueError otherwise.

    >>> holm([0.01, 0.04, 0.03, 0.005]).round(3).tolist()
    [0.03, 0.06, 0.06, 0.02]
    """
    p = _checked(p_values)
    order = np.argsort(p, kind="stable")
    adjusted = np.maximum.accumulate(np.arange(len(p), 0, -1) * p[order])
    return _put_back(adjusted, order)


def benjamini_hochberg(p_values: npt.ArrayLike) -> Floats:
    """Benjamini and Hochberg's adjusted p-values (also called q-values), in the order given. Argument as in `holm`.

    >>> benjamini_hochberg([0.01, 0.04, 0.03, 0.005]).round(3).tolist()
    [0.02, 0.04, 0.04, 0.02]
    """
    p = _checked(p_values)
    order = np.argsort(p, kind="stable")
    scaled = len(p) * p[order] / np.arange(1, len(p) + 1)
    # a rank m of m gives p itself, up to rounding
    adjusted = np.maximum(np.minimum.accumulate(scaled[::-1])[::-1], p[order])
    return _put_back(adjusted, order)


def _checked(p_values: npt.ArrayLike) -> Floats:
    p = np.asarray(p_values, dtype=np.float64)
    if p.ndim != 1 or not ((p >= 0) & (p <= 1)).all():
        raise ValueError("p-values to adjust are a list of numbers from 0 to 1")
    return p


def _put_back(ordered: Floats, order: npt.NDArray[np.intp]) -> Floats:
    adjusted = np.empty_like(ordered)
    adjusted[order] = np.minimum(ordered, 1.0)
    return adjusted
