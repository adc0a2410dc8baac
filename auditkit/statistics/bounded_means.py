"""Intervals of means of numbers from 0 to 1, such as the share of a row's labels that are wrong.

A mean with variance v has as much certainty as a proportion of v⁻¹·mean·(1 - mean) rows, and is given Wilson's interval
for as many. Unlike mean ± z·error it stays between 0 and 1 and has a width where all numbers are 0 or all are 1: the
rows then count as one trial each.
"""

import numpy as np
import numpy.typing as npt

from auditkit.statistics.intervals import Floats, normal_quantile, score_interval
from auditkit.statistics.roc import Estimate


def bounded_mean(values: npt.ArrayLike, confidence: float = 0.95) -> Estimate:
    """The mean of independent numbers from 0 to 1, [n], with its interval. Of zeros and ones it is Wilson's.

    >>> [round(number, 4) for number in bounded_mean([1.0] * 5 + [0.0] * 5)]
    [0.5, 0.2366, 0.7634]
    """
    numbers: Floats = np.asarray(values, dtype=np.float64)
    mean = float(numbers.mean())
    return bounded_interval(mean, float(numbers.var()) / len(numbers), len(numbers), confidence)


def bounded_interval(value: float, variance: float, trials: float, confidence: float = 0.95) -> Estimate:
    """An estimate from 0 to 1 with its interval. variance: its own; trials: how many it rests on where that is 0.

    >>> bounded_interval(0.0, 0.0, 10).upper == bounded_mean([0.0] * 10).upper
    True
    """
    edge = value * (1 - value)
    rows = max(edge / variance, 1.0) if variance > 0 and edge > 0 else max(float(trials), 1.0)
    lower, upper = score_interval(value * rows, rows, normal_quantile(confidence))
    return Estimate(value, min(float(lower), value), max(float(upper), value))
