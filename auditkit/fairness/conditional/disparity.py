"""Conditional demographic disparity: is a group's share of the refused larger than its share of the accepted?

    DD = (share of the group among those refused) - (share of it among those accepted)
    CDD = Σ n_k·DD_k / Σ n_k        over strata k of the legitimate factor

Above zero the group is refused more often than its share of acceptances, among people alike in the factor. A stratum
in which nobody is refused, or nobody accepted, has no DD and is left out. The interval takes refused and accepted as
two samples in each stratum, with one row of the group and one of others added to each (Agresti and Caffo 2000).

Source: Wachter, Mittelstadt and Russell (2021), "Why fairness cannot be automated", Computer Law & Security Review 41,
105567.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True, slots=True)
class Disparity:
    """CDD of one group with its bounds; rows that it rests on, and strata left out."""

    value: float
    lower: float
    upper: float
    rows: int
    left_out: int


def conditional_disparity(accepted: npt.ArrayLike, n: npt.ArrayLike, critical: float = 1.96) -> list[Disparity] | None:
    """CDD of every group. accepted, n: counts [groups, strata]. None where no stratum has a DD.

    >>> [round(found.value, 3) for found in conditional_disparity([[10], [30]], [[40], [40]])]
    [0.5, -0.5]
    """
    yes, rows = np.asarray(accepted, dtype=np.float64), np.asarray(n, dtype=np.float64)
    no = rows - yes
    usable = (yes.sum(axis=0) > 0) & (no.sum(axis=0) > 0)
    if not usable.any():
        return None
    yes, no, size = yes[:, usable], no[:, usable], rows[:, usable].sum(axis=0)
    weight = size / size.sum()
    value = ((no / no.sum(axis=0) - yes / yes.sum(axis=0)) * weight).sum(axis=1)
    error = np.sqrt(((_variance(no) + _variance(yes)) * weight**2).sum(axis=1))
    left_out = int((~usable & (rows.sum(axis=0) > 0)).sum())
    return [
        Disparity(v, max(-1.0, v - critical * e), min(1.0, v + critical * e), int(size.sum()), left_out)
        for v, e in zip(value.tolist(), error.tolist(), strict=True)
        if math.isfinite(v)
    ]


def _variance(part: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    total = part.sum(axis=0)
    share = (part + 1) / (total + 2)
    return share * (1 - share) / total
