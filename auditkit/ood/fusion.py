"""Several detectors as one: Fisher's combination of their conformal p-values, calibrated once more.

Detectors have different units, but their p-values against normal rows do not. Fisher's statistic, -2 times the sum of
the log p-values, adds up their evidence; since detectors of one model depend on one another it does not follow the
textbook chi-square, so its own p-value is conformal too. One half of the validation rows calibrates the detectors, the
other half the statistic: rows that made a score never calibrate it, and the threshold's promise holds exactly. Halves
are drawn by a seeded hash of the row, whatever the order of the rows.
Sources: Fisher 1925, Statistical Methods for Research Workers, section 21.1; for conformal outlier tests Bates et al.
2023, Annals of Statistics 51(1), 149-178.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from auditkit.ood.bank import priorities
from auditkit.ood.scores import Floats, Scores
from auditkit.statistics.conformal import conformal_p_values

PRIMARY = (
    "own_logit",
    "gen",
    "joint_energy",
    "mahalanobis",
    "relative_mahalanobis",
    "input_mahalanobis",
    "input_max_z",
    "unknown_words",
)
"""one or two detectors for each thing a pass shows: logits, features, inputs"""


def fisher(p_values: Sequence[Floats]) -> Floats:
    """-2 times the sum of the logs of p-values in (0, 1], elementwise over arrays [n]; larger = stranger.

    >>> fisher([np.array([1.0, np.exp(-1.0)]), np.array([1.0, np.exp(-2.0)])]).tolist()
    [0.0, 6.0]
    """
    return 0.0 - 2 * np.sum([np.log(p) for p in p_values], axis=0)


@dataclass(frozen=True)
class Fusion:
    """Calibrated detectors. calibration: member → scores of the first half; fused: statistics of the second."""

    calibration: Mapping[str, Floats]
    fused: Floats

    @property
    def members(self) -> tuple[str, ...]:
        """The detectors that are fused."""
        return tuple(self.calibration)

    def statistic(self, scores: Scores) -> Floats:
        """Fisher's statistic of each row, NaN where a member has no score."""
        return fisher([conformal_p_values(known, scores.scores[name]) for name, known in self.calibration.items()])

    def p_values(self, statistic: Floats) -> Floats:
        """Conformal p-values of Fisher's statistic."""
        return conformal_p_values(self.fused, statistic)


def first_half(validation: Scores, seed: int) -> npt.NDArray[np.bool_]:
    """Which validation rows calibrate the detectors, rather than their combination: bool [n]."""
    return priorities(validation.rows, seed) % np.uint64(2) == 0


def members_of(available: Sequence[str]) -> tuple[str, ...]:
    """Which of the available detectors are fused: the primary ones, or all where fewer than two of these are there.

    >>> members_of(["msp", "gen", "knn", "mahalanobis"]), members_of(["msp", "knn"])
    (('gen', 'mahalanobis'), ('msp', 'knn'))
    """
    primary = tuple(name for name in available if name in PRIMARY)
    return primary if len(primary) > 1 else tuple(available)


def calibrate(validation: Scores, members: Sequence[str], seed: int, fewest: int = 1) -> Fusion | None:
    """Fit on the validation rows that every member has a score for; None where a half has fewer rows than `fewest`."""
    usable = ~np.any([np.isnan(validation.scores[name]) for name in members], axis=0)
    first = first_half(validation, seed)
    if min((usable & first).sum(), (usable & ~first).sum()) < fewest:
        return None
    known = {name: validation.scores[name][usable & first] for name in members}
    second = [conformal_p_values(known[name], validation.scores[name][usable & ~first]) for name in members]
    return Fusion(known, np.sort(fisher(second)))
