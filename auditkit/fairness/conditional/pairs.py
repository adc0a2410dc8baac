"""One pair of groups, raw and given the factor: the two differences, the test of homogeneity and the paradox."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from auditkit.fairness.conditional.simpson import Paradox, paradox
from auditkit.fairness.conditional.stratified import Common, Homogeneity, homogeneity, mantel_haenszel
from auditkit.statistics.simultaneous import pairwise_differences

PAIRS = pa.schema(
    [(name, pa.string()) for name in ("split", "attribute", "control", "rate", "first", "second")]
    + [(name, pa.float64()) for name in ("raw", "raw_lower", "raw_upper", "common", "lower", "upper")]
    + [(name, pa.float64()) for name in ("ratio", "ratio_lower", "ratio_upper")]
    + [("strata", pa.int64()), ("left_out", pa.list_(pa.string())), ("rows_left_out", pa.int64())]
    + [("q", pa.float64()), ("degrees", pa.int64()), ("p_value", pa.float64()), ("paradox", pa.string())]
)


@dataclass(frozen=True, slots=True)
class PairGap:
    """First less second group. left_out: strata without both; rows_left_out: how many of the pair's rows those have."""

    first: str
    second: str
    raw: tuple[float, float, float]
    common: Common
    strata: int
    left_out: tuple[str, ...]
    rows_left_out: int
    test: Homogeneity | None
    paradox: Paradox

    def record(self) -> dict[str, object]:
        """The pair as a record of the table of schema `PAIRS`, without what its rate and attribute are."""
        finite = self.common.ratio is not None and math.isfinite(self.common.ratio)
        return {
            "first": self.first,
            "second": self.second,
            **dict(zip(("raw", "raw_lower", "raw_upper"), self.raw, strict=True)),
            "common": self.common.difference,
            "lower": self.common.lower,
            "upper": self.common.upper,
            "ratio": self.common.ratio if finite else None,
            "ratio_lower": self.common.ratio_lower if finite else None,
            "ratio_upper": self.common.ratio_upper if finite and math.isfinite(self.common.ratio_upper) else None,
            "strata": self.strata,
            "left_out": list(self.left_out),
            "rows_left_out": self.rows_left_out,
            "q": self.test.statistic if self.test else None,
            "degrees": self.test.degrees if self.test else None,
            "p_value": self.test.p_value if self.test else None,
            "paradox": self.paradox,
        }


def pair_gap(
    names: tuple[str, str],
    strata: Sequence[str],
    successes: npt.NDArray[np.int64],
    n: npt.NDArray[np.int64],
    critical: float,
) -> PairGap:
    """The pair's gaps with bounds at `critical` standard errors. successes, n: counts [2, strata].

    Raises ValueError where no stratum has rows of both.
    """
    common = mantel_haenszel(successes[0], n[0], successes[1], n[1], critical)
    whole = pairwise_differences(successes.sum(axis=1), n.sum(axis=1), critical)
    raw = float(whole.estimate[0]), float(whole.lower[0]), float(whole.upper[0])
    single = (n > 0).sum(axis=0) == 1
    return PairGap(
        names[0],
        names[1],
        raw,
        common,
        int((n > 0).all(axis=0).sum()),
        tuple(strata[k] for k in np.flatnonzero(single).tolist()),
        int(n[:, single].sum()),
        homogeneity(successes[0], n[0], successes[1], n[1]),
        paradox((raw[1], raw[2]), (common.lower, common.upper)),
    )


def fold_ratio(common: Common) -> tuple[float, float, float]:
    """The ratio and its bounds as the smaller rate over the larger.

    >>> fold_ratio(Common(0.1, 0.0, 0.2, 1.25, 0.8, 2.0))
    (0.8, 0.5, 1.0)
    """
    ratio = common.ratio
    if ratio is None:
        raise ValueError("two rates of zero have no ratio")
    low, high = common.ratio_lower, common.ratio_upper
    inverse_low, inverse_high = (1 / high if high > 0 else math.inf), (1 / low if low > 0 else math.inf)
    value = min(ratio, 1 / ratio if ratio > 0 else math.inf)
    nearest = high if high < 1 else inverse_high if low > 1 else 1.0
    return value, min(low, inverse_low), nearest
