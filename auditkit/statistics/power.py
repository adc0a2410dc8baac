"""What a sample could have shown, and how many rows would decide: planning for rates of groups.

"No gap was found" means little where no gap could have been. For two groups of n1 and n2 rows with the common rate p,
the two-sided z test at c standard errors finds a true gap d with the asked power once

    d >= c·sqrt(p·q·(1/n1 + 1/n2)) + z·sqrt(p1·q1/n1 + p2·q2/n2),      q = 1 - p,  z = normal quantile of the power

where p1 = p ± d·n2/(n1 + n2) and p2 = p ∓ d·n1/(n1 + n2) keep the common rate. That is a quadratic in d. Of the two
signs the larger gap is told, so that it is found whichever group is ahead. Rows are planned by inverting Wilson's
interval and the normal interval of a difference. Sources: Fleiss, Levin and Paik (2003), Statistical Methods for Rates
and Proportions, 3rd ed., ch. 4; Newcombe (1998), Statistics in Medicine 17, 857-872.
"""

import math
from collections.abc import Sequence
from itertools import combinations
from statistics import NormalDist

from auditkit.statistics.intervals import normal_quantile
from auditkit.statistics.simultaneous import range_critical

POWER = 0.8
HOPELESS = 1000
"""more than this many times the rows is no plan"""


def smallest_detectable_gap(
    n1: int, n2: int, rate: float, confidence: float = 0.95, power: float = POWER, critical: float | None = None
) -> float | None:
    """The smallest true gap between two groups' rates that a test would have found with the given power.

    n1, n2: rows, at least 1. rate: of both groups together, strictly between 0 and 1. critical: standard errors at
    which the test rejects, where it is not one two-sided test at `confidence` (several pairs at once).
    Returns None where even the largest gap that the common rate allows would be missed too often, and where the smaller
    group expects less than one success or one failure: the normal approximation has nothing to stand on there.
    Raises ValueError for arguments that are not so.

    >>> round(smallest_detectable_gap(200, 200, 0.3), 3), smallest_detectable_gap(5, 5, 0.1)
    (0.128, None)
    """
    _between(rate, "the rate")
    if min(n1, n2) < 1:
        raise ValueError("a gap needs at least one row in each group")
    if min(n1, n2) * min(rate, 1 - rate) < 1:
        return None
    c, z = normal_quantile(confidence) if critical is None else critical, _power_quantile(power)
    signs = [_detectable(n1, n2, rate, c, z, sign) for sign in (1, -1)]
    return None if None in signs else max(gap for gap in signs if gap is not None)


def _detectable(n1: int, n2: int, p: float, c: float, z: float, sign: int) -> float | None:
    """The larger root of (d - c·s)² = z²·(p1·q1/n1 + p2·q2/n2), where the first group is ahead (1) or behind (-1)."""
    up, down = sign * n2 / (n1 + n2), -sign * n1 / (n1 + n2)
    variance = p * (1 - p) * (1 / n1 + 1 / n2)
    slope = (1 - 2 * p) * (up / n1 + down / n2)
    square = up * up / n1 + down * down / n2
    a = 1 + z * z * square
    b = -2 * c * math.sqrt(variance) - z * z * slope
    gap = (-b + math.sqrt(max(b * b - 4 * a * (c * c - z * z) * variance, 0.0))) / (2 * a)
    rates = (p + up * gap, p + down * gap)
    return gap if min(rates) >= 0 and max(rates) <= 1 else None


def rows_to_decide(rate: float, half_width: float, confidence: float = 0.95, power: float = 0.5) -> int:
    """The fewest rows with which Wilson's interval of a rate reaches no farther than `half_width` from its middle.

    rate: within [0, 1], as it is expected. half_width: strictly between 0 and 1, for instance the rate's distance from
    the limit that is to be decided. power: the chance that a sample of that many rows decides it; at one half the
    interval just reaches the limit should the sample's rate be the expected one, for more it has to be narrower by
    c / (c + z), where c and z are the normal quantiles of confidence and power.

    >>> rows_to_decide(0.5, 0.05), rows_to_decide(0.5, 0.025), rows_to_decide(0.5, 0.05, power=0.8)
    (381, 1533, 782)
    """
    if not 0 <= rate <= 1:
        raise ValueError(f"the rate must lie within 0 and 1, got {rate}")
    _between(half_width, "the half-width")
    c = normal_quantile(confidence)
    z2, h2 = c * c, (half_width * c / (c + _power_quantile(power))) ** 2
    # h²·(n + c²)² = c²·(p·q·n + c²/4)
    b = 2 * h2 * z2 - z2 * rate * (1 - rate)
    root = b * b - 4 * h2 * z2 * z2 * (h2 - 0.25)
    largest = (-b + math.sqrt(root)) / (2 * h2) if root >= 0 else 0.0
    return max(1, math.ceil(largest - 1e-9))


def rows_to_decide_gap(
    rate: float, other_rate: float, other_n: int, limit: float, confidence: float = 0.95, power: float = 0.5
) -> int | None:
    """The rows that a group needs for the interval of its gap to another group to lie on one side of a limit.

    rate, other_rate: as they are expected; other_n: the other group's rows, at least 1. limit: of the absolute gap,
    from 0 to 1. power: as in `rows_to_decide`. The interval is the normal one of a difference.
    Returns None where no number will do: the gap is at the limit, or the other group is too small by itself.

    >>> rows_to_decide_gap(0.30, 0.34, 2000, limit=0.10), rows_to_decide_gap(0.30, 0.34, 100, limit=0.10)
    (255, None)
    """
    if not (0 <= rate <= 1 and 0 <= other_rate <= 1 and 0 <= limit <= 1 and other_n >= 1):
        raise ValueError("a plan for a gap needs rates and a limit from 0 to 1, and a row in the other group")
    standard_errors = normal_quantile(confidence) + _power_quantile(power)
    reach = (abs(abs(rate - other_rate) - limit) / standard_errors) ** 2
    left = reach - other_rate * (1 - other_rate) / other_n
    if left <= 0:
        return None
    return max(1, math.ceil(rate * (1 - rate) / left - 1e-9))


def rows_by_group(
    rates: Sequence[float],
    n: Sequence[int],
    limit: float,
    ratio: bool = False,
    confidence: float = 0.95,
    power: float = POWER,
) -> dict[int, int] | None:
    """Which groups lack how many rows for the largest gap between them to be decided, should their rates stay.

    rates, n: of each group, at least two. limit: of the largest difference, or with `ratio` of the smallest ratio.
    Where the gap lies within the limit, every pair of groups must be shown to; where it lies beyond, one pair that does
    is enough, and the one that needs the fewest rows is planned. A pair is decided once its distance from the limit is
    as many standard errors as simultaneous bounds over all pairs and the power ask; the group that adds more variance
    gets the rows, or both where that would not do. Ratios are judged on the logarithmic scale.

    Returns place → more rows, empty where nothing is undecided, or None where hardly any number of rows would do.

    >>> rows_by_group([0.30, 0.34, 0.36], [20_000, 20_000, 300], limit=0.10)
    {2: 1268}
    """
    if len(rates) != len(n) or len(rates) < 2 or min(n) < 1:
        raise ValueError("a plan needs the rates and rows of at least two groups")
    critical = range_critical([len(rates)], confidence)
    asked = critical + _power_quantile(power)
    smooth = [(rate * size + 1) / (size + 2) for rate, size in zip(rates, n, strict=True)]
    unit = [(1 - p) / p if ratio else p * (1 - p) for p in smooth]
    plans: list[tuple[bool, dict[int, int] | None]] = []
    for i, j in combinations(range(len(rates)), 2):
        if ratio:
            gap = -abs(math.log(smooth[i] / smooth[j]))
            distance = gap - math.log(limit) if limit > 0 else math.inf
        else:
            distance = limit - abs(rates[i] - rates[j])
        variance = unit[i] / n[i] + unit[j] / n[j]
        if abs(distance) < critical * math.sqrt(variance):
            plans.append((distance < 0, _pair_plan(unit, n, (i, j), (distance / asked) ** 2)))
    beyond = [plan for far, plan in plans if far]
    if beyond:
        known = [plan for plan in beyond if plan is not None]
        return min(known, key=lambda plan: sum(plan.values())) if known else None
    most: dict[int, int] = {}
    for _, plan in plans:
        if plan is None:
            return None
        for place, more in plan.items():
            most[place] = max(most.get(place, 0), more)
    return most


def _pair_plan(unit: Sequence[float], n: Sequence[int], pair: tuple[int, int], target: float) -> dict[int, int] | None:
    """More rows for a pair's variance to fall to the target: of the group that adds more, or of both."""
    larger, other = sorted(pair, key=lambda place: -unit[place] / n[place])
    if target <= (unit[larger] / n[larger] + unit[other] / n[other]) / HOPELESS:
        return None
    left = target - unit[other] / n[other]
    if left > target / 4:
        return {larger: max(1, math.ceil(unit[larger] / left) - n[larger])}
    both = {place: math.ceil(2 * unit[place] / target) - n[place] for place in pair}
    return {place: more for place, more in both.items() if more > 0}


def _power_quantile(power: float) -> float:
    if not 0.5 <= power < 1:
        raise ValueError(f"the power must be at least 0.5 and below 1, got {power}")
    return NormalDist().inv_cdf(power)


def _between(value: float, name: str) -> None:
    if not 0 < value < 1:
        raise ValueError(f"{name} must lie strictly between 0 and 1, got {value}")
