"""Could the difference between selection rates be chance? The tests that go with an impact ratio.

* Two-proportion z test with the pooled rate: p = erfc(|z| / sqrt 2), z² being Pearson's chi-squared of the 2 × 2 table.
* Fisher's exact test, two-sided: the sum of all tables with the same margins that are no likelier than the one seen
  (as R's `fisher.test` does). Probabilities are built outwards by the ratio of neighbouring hypergeometric terms, so
  no factorial of a large number is taken, and terms more than forty standard deviations out (below e^-700) are left
  out: a table of a hundred million people takes milliseconds.
* Pearson's chi-squared of k groups × selected or not, with k - 1 degrees of freedom. For whole degrees of freedom its
  tail Q(df/2, x/2) is a finite sum (Abramowitz and Stegun 26.4.4 and 26.4.5).

Source: Agresti (2013), Categorical Data Analysis, 3rd edition, sections 2.6, 3.2 and 3.5.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

_TIES = 1e-7
"""Tables whose probabilities differ by less than this share count as equally likely, as in R."""
_REACH = 40.0


def two_proportion_z(first: tuple[int, int], second: tuple[int, int]) -> tuple[float, float] | None:
    """z and two-sided p of the pooled test that two rates are equal; each group as (people, selected).

    None where it is not defined: a group of nobody, or everybody or nobody selected.

    >>> z, p = two_proportion_z((100, 30), (100, 45))
    >>> round(z, 4), round(p, 4)
    (-2.1909, 0.0285)
    """
    (n, k), (m, j) = first, second
    if n == 0 or m == 0 or not 0 < k + j < n + m:
        return None
    pooled = (k + j) / (n + m)
    z = (k / n - j / m) / math.sqrt(pooled * (1 - pooled) * (1 / n + 1 / m))
    return z, math.erfc(abs(z) / math.sqrt(2))


def smallest_expected(first: tuple[int, int], second: tuple[int, int]) -> float:
    """The smallest count that equal rates would lead one to expect in the 2 × 2 table; (people, selected) each.

    >>> smallest_expected((20, 3), (10, 1))
    1.3333333333333333
    """
    (n, k), (m, j) = first, second
    return min(n, m) * min(k + j, n + m - k - j) / (n + m) if n + m else 0.0


def fisher_exact(first: tuple[int, int], second: tuple[int, int]) -> float:
    """Two-sided p of Fisher's exact test; each group as (people, selected).

    >>> round(fisher_exact((20, 3), (10, 1)), 4), round(fisher_exact((8, 1), (8, 7)), 4)
    (1.0, 0.0101)
    """
    (n, k), (m, j) = first, second
    total, chosen = n + m, k + j
    low, high = max(0, chosen - m), min(n, chosen)
    if low == high:
        return 1.0
    spread = math.sqrt(n * m * chosen / total * (total - chosen) / total / max(1, total - 1))
    mode = min(high, max(low, (n + 1) * (chosen + 1) // (total + 2)))
    reach = int(_REACH * spread + _REACH) + abs(k - mode)
    first_x, last_x = max(low, mode - reach), min(high, mode + reach)
    x = np.arange(first_x, last_x, dtype=np.float64)
    steps = np.log(n - x) + np.log(chosen - x) - np.log(x + 1) - np.log(m - chosen + x + 1)
    logs = np.concatenate([[0.0], np.cumsum(steps)])
    logs -= logs.max()
    weights = np.exp(logs)
    seen = logs[k - first_x]
    return float(min(1.0, weights[logs <= seen + _TIES].sum() / weights.sum()))


def chi_squared(groups: Sequence[tuple[int, int]]) -> tuple[float, int, float] | None:
    """Pearson's chi-squared that all rates are equal, its degrees of freedom and p; groups as (people, selected).

    None where it is not defined: fewer than two groups with people, or everybody or nobody selected.

    >>> statistic, df, p = chi_squared([(1000, 250), (1000, 270), (1000, 240), (1000, 260)])
    >>> round(statistic, 4), df, round(p, 4)
    (2.6319, 3, 0.4519)
    """
    people = [group for group in groups if group[0] > 0]
    total, chosen = sum(n for n, _ in people), sum(k for _, k in people)
    if len(people) < 2 or not 0 < chosen < total:
        return None
    rate = chosen / total
    statistic = math.fsum((k - n * rate) ** 2 / (n * rate * (1 - rate)) for n, k in people)
    return statistic, len(people) - 1, chi_squared_tail(statistic, len(people) - 1)


def chi_squared_tail(statistic: float, df: int) -> float:
    """How likely chi-squared with `df` degrees of freedom is to be larger.

    >>> round(chi_squared_tail(3.841458820694124, 1), 6), round(chi_squared_tail(5.991464547107979, 2), 6)
    (0.05, 0.05)
    """
    if statistic < 0 or df < 1:
        raise ValueError(f"chi-squared needs a statistic >= 0 and df >= 1, got {statistic} and {df}")
    half = statistic / 2
    if half == 0:
        return 1.0
    odd = df % 2
    tail = math.erfc(math.sqrt(half)) if odd else 0.0
    orders = [i + 0.5 for i in range((df - 1) // 2)] if odd else [float(i) for i in range(df // 2)]
    tail += sum(math.exp(order * math.log(half) - half - math.lgamma(order + 1)) for order in orders)
    return min(1.0, tail)
