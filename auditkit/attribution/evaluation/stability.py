"""Stability: whether a method that draws at random says the same with another seed.

A method that draws has a sampling error in each of its values; where these errors are as large as the differences
between parts, the order of the parts is chance. The figure is Spearman's correlation of the signed values between the
attribution and runs with other seeds, row by row, averaged over the runs. A method that draws nothing has 1.

Source: Visani et al., "Statistical Stability Indices for LIME", 2020, arXiv:2001.11757, for the question; the rank
correlation is the usual measure.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from auditkit.attribution.evaluation.agreement import Floats, spearman


def stability(values: Floats, again: Sequence[Floats], present: npt.NDArray[np.bool_] | None = None) -> Floats:
    """[n]: mean rank correlation of attributions [n, parts] with those of other seeds; NaN where none is defined.

    >>> first = np.array([[1.0, 2.0, 3.0]])
    >>> stability(first, [first, first[:, ::-1]]).tolist()
    [0.0]
    """
    return np.mean([spearman(values, other, present) for other in again], axis=0)
