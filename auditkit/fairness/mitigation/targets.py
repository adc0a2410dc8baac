"""Which gaps a policy can be fitted to: those of rates that fall as a threshold rises.

Selection rate, true and false positive rate are such rates; precision is not. The constraints of fairlearn's
ThresholdOptimizer are known by its names too; a parity of false negative rates is one of true positive rates.
"""

from __future__ import annotations

from auditkit.errors import InputError, nearest
from auditkit.fairness.groups.definitions import GAPS, Gap

_FALLING = {"selection_rate", "true_positive_rate", "false_positive_rate"}
METRICS: tuple[str, ...] = tuple(name for name, gap in GAPS.items() if set(gap.rates) <= _FALLING)
SHOWN = ("demographic_parity_difference", "equal_opportunity_difference", "equalized_odds_difference")
"""The gaps that a frontier is shown for."""

CONSTRAINTS = {
    "demographic_parity": "demographic_parity_difference",
    "selection_rate_parity": "demographic_parity_difference",
    "true_positive_rate_parity": "equal_opportunity_difference",
    "false_negative_rate_parity": "equal_opportunity_difference",
    "false_positive_rate_parity": "predictive_equality_difference",
    "true_negative_rate_parity": "predictive_equality_difference",
    "equalized_odds": "equalized_odds_difference",
}
"""fairlearn's name of a constraint → the gap that it sets to zero."""
OBJECTIVES = ("accuracy_score", "balanced_accuracy_score")


def target(name: str) -> Gap:
    """The gap of a metric's or a constraint's name. Raises InputError for one that thresholds cannot be chosen for.

    >>> target("equalized_odds").rates
    ('true_positive_rate', 'false_positive_rate')
    """
    metric = CONSTRAINTS.get(name, name)
    if metric not in METRICS:
        known = (*METRICS, *CONSTRAINTS)
        raise InputError(f"{name!r} is not a gap that thresholds can be chosen for; {nearest(name, known)}")
    return GAPS[metric]


def allowed(gap: Gap, limit: float) -> float:
    """A limit that makes sense for a gap: a difference in [0, 1], or a ratio in (0, 1]. Raises InputError for others.

    >>> allowed(target("four_fifths"), 0.8)
    0.8
    """
    if gap.kind == "difference" and not 0 <= limit <= 1:
        raise InputError(f"an allowed gap cannot be negative or above 1, got {limit:g}")
    if gap.kind == "ratio" and not 0 < limit <= 1:
        raise InputError(f"an allowed ratio must lie above 0 and not above 1, got {limit:g}")
    return float(limit)
