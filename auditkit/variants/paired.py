"""Intervals of paired differences: two models' answers to the same rows, variant minus original.

Rows that both models answer alike say nothing of a difference, so that its interval is far narrower than what two
intervals side by side suggest. Which one fits depends on the figure:

* a share of rows (accuracy, a true positive rate): Tango's score interval, from the rows that one model got right and
  the other wrong, with the exact McNemar test (Tango 1998, Statistics in Medicine 17(8), 891-908). It keeps a width
  where no row differs;
* a mean over rows (log loss): the normal interval of the rows' differences;
* an area under the ROC curve: DeLong's variance of two correlated areas (1988, Biometrics 44(3), 837-845);
* anything else (calibration error, balanced accuracy): both models' figures on the same resampled rows, by the
  bias-corrected percentile method (Efron 1987, JASA 82, 171-185), as absolute values shift in every resample;
* a worst group or a gap, the lowest or highest of many: the same for every pair of candidates that may be the extreme
  ones, and around them all (`of_extremes`).

In simulations of 500 to 2,000 rows in two to eight groups, with small and large differences, the last two covered in
91 to 100 % of draws, where 95 % were promised.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.special import ndtr, ndtri

from auditkit.fairness.release import mcnemar
from auditkit.statistics.intervals import normal_quantile
from auditkit.statistics.roc import structural_components

Floats = npt.NDArray[np.float64]
OFTEN = 0.025
"""A pair of candidates that is extreme in fewer resamples than this is not taken to be the true one."""


class Difference(NamedTuple):
    """A paired difference with its interval, the p-value of there being none, and how that was found."""

    value: float
    lower: float
    upper: float
    p_value: float
    method: str


def of_shares(gained: int, lost: int, n: int, confidence: float = 0.95) -> Difference:
    """The change of a share of n rows of which `gained` came to it and `lost` left it. n is at least 1.

    >>> [round(part, 3) for part in of_shares(5, 15, 100)[:4]]
    [-0.1, -0.192, -0.013, 0.041]
    >>> [round(part, 3) for part in of_shares(0, 0, 100)[:4]]
    [0.0, -0.037, 0.037, 1.0]
    """
    z = normal_quantile(confidence)
    value = (gained - lost) / n
    lower, upper = _tango(gained, lost, n, -z), _tango(gained, lost, n, z)
    return Difference(value, lower, upper, mcnemar(lost, gained), "Tango's score interval; exact McNemar test")


def _tango(gained: int, lost: int, n: int, z: float) -> float:
    """The difference at which the score statistic is z, by bisection: it falls from the one end to the other."""
    value = (gained - lost) / n
    near, far = value, (-1.0 if z < 0 else 1.0)
    for _ in range(60):
        middle = (near + far) / 2
        near, far = (middle, far) if abs(_score(gained, lost, n, middle)) < abs(z) else (near, middle)
    return far


def _score(gained: int, lost: int, n: int, difference: float) -> float:
    a, b = 2 * n, -gained - lost + (2 * n - gained + lost) * difference
    c = -lost * difference * (1 - difference)
    share = max(0.0, (np.sqrt(max(0.0, b * b - 4 * a * c)) - b) / (2 * a))
    variance = n * (2 * share + difference * (1 - difference))
    distance = gained - lost - n * difference
    return float(distance / np.sqrt(variance)) if variance > 1e-15 else float(np.sign(distance)) * np.inf


def of_means(differences: npt.ArrayLike, confidence: float = 0.95) -> Difference:
    """The mean of the rows' differences [n], two at least.

    >>> of_means([0.0, 0.0, 0.0]).value
    0.0
    """
    values = np.asarray(differences, dtype=np.float64)
    return _normal(float(values.mean()), float(values.std(ddof=1)) / np.sqrt(len(values)), confidence, "rows")


def of_areas(
    original: tuple[npt.ArrayLike, npt.ArrayLike],
    variant: tuple[npt.ArrayLike, npt.ArrayLike],
    confidence: float = 0.95,
) -> Difference:
    """The change of an area under the ROC curve. Each side: (negatives [n], positives [m]) in the same order of rows.

    >>> of_areas(([1, 2, 3], [2, 4, 5]), ([1, 2, 3], [2, 4, 5])).value
    0.0
    """
    (below, above), (new_below, new_above) = structural_components(*original), structural_components(*variant)
    negatives, positives = new_below - below, new_above - above
    variance = negatives.var(ddof=1) / len(negatives) + positives.var(ddof=1) / len(positives)
    return _normal(float(positives.mean()), float(np.sqrt(variance)), confidence, "DeLong's variance of two areas")


def _normal(value: float, error: float, confidence: float, of: str) -> Difference:
    reach = normal_quantile(confidence) * error
    p = 1.0 if value == 0 else float(2 * ndtr(-abs(value) / error)) if error > 0 else 0.0
    how = f"normal, from {of}" if of.startswith("DeLong") else "normal, from the spread of the rows' differences"
    return Difference(value, value - reach, value + reach, p, how)


def of_resamples(value: float, drawn: npt.ArrayLike, confidence: float = 0.95) -> Difference:
    """The difference of two figures from their differences on the same resampled rows [replicates].

    The p-value is twice the share of resamples on the other side of zero, moved by the same correction as the ends.

    >>> of_resamples(0.0, np.zeros(1000))[:4]
    (0.0, 0.0, 0.0, 1.0)
    """
    draws = np.asarray(drawn, dtype=np.float64)
    ends = _corrected(value, draws, confidence)
    method = f"bias-corrected percentiles of {len(draws):,} paired resamples"
    return Difference(value, ends.lower, ends.upper, min(1.0, 2 * min(ends.not_above, ends.not_below)), method)


class _Ends(NamedTuple):
    """An interval, and the one-sided p-values of a difference not being above, and not being below, zero."""

    lower: float
    upper: float
    not_above: float
    not_below: float


def _corrected(value: float, drawn: Floats, confidence: float) -> _Ends:
    draws = np.sort(drawn[np.isfinite(drawn)])
    z = normal_quantile(confidence)
    shift = float(ndtri(_share_below(draws, value)))
    lower, upper = np.quantile(draws, ndtr(2 * shift + np.array([-z, z])))
    past = float(ndtri(_share_below(draws, 0.0))) - 2 * shift
    return _Ends(min(float(lower), value), max(float(upper), value), float(ndtr(past)), float(ndtr(-past)))


def of_extremes(
    original: Floats, variant: Floats, drawn: tuple[Floats, Floats], lowest: bool, confidence: float = 0.95
) -> Difference:
    """The difference of two figures that are each the lowest (or highest) of candidates, such as the worst group.

    original, variant: candidates [candidates]; drawn: both on the same resamples, [candidates, replicates]. Which
    candidate is the extreme one changes from resample to resample, which a plain bootstrap of the extreme does not
    survive: of two gaps near zero its intervals covered in 73 % of draws. But were it known that a is the highest for
    the original and b for the variant, the difference v_b - o_a would be an ordinary one; and it would lie between the
    changes of a and of b alone, since v_b >= v_a and o_a >= o_b:

        v_a - o_a  <=  v_b - o_a  <=  v_b - o_b

    These are changes of one candidate on the same rows, and so precise even where a and b are not. The interval here
    reaches around those of every pair (a, b) that is extreme together in 2.5 % of the resamples or more.

    >>> rates = np.array([0.8, 0.9])
    >>> same = np.repeat(rates[:, None], 100, axis=1)
    >>> of_extremes(rates, rates, (same, same), lowest=True)[:4]
    (0.0, 0.0, 0.0, 1.0)
    """
    if lowest:
        turned = of_extremes(-original, -variant, (-drawn[0], -drawn[1]), False, confidence)
        return turned._replace(value=0.0 - turned.value, lower=0.0 - turned.upper, upper=0.0 - turned.lower)
    first, second = (np.argmax(np.where(np.isnan(side), -np.inf, side), axis=0) for side in drawn)
    together, counts = np.unique(first * len(variant) + second, return_counts=True)
    pairs = {divmod(int(code), len(variant)) for code in together[counts >= OFTEN * first.size]}
    here = (int(np.nanargmax(original)), int(np.nanargmax(variant)))

    def change(before: int, after: int) -> _Ends:
        value = float(variant[after] - original[before])
        return _corrected(value, drawn[1][after] - drawn[0][before], confidence)

    found = []
    for a, b in {*pairs, here}:
        low, both, high = change(a, a), change(a, b), change(b, b)
        found.append(
            _Ends(
                max(low.lower, both.lower),
                min(high.upper, both.upper),
                min(low.not_above, both.not_above),
                min(high.not_below, both.not_below),
            )
        )
    value = float(variant[here[1]] - original[here[0]])
    p = 2 * min(max(one.not_above for one in found), max(one.not_below for one in found))
    return Difference(
        value,
        min(value, *(one.lower for one in found)),
        max(value, *(one.upper for one in found)),
        min(1.0, p),
        f"bias-corrected percentiles of {first.size:,} paired resamples, around the {len(found)} pairs of "
        "candidates that may be the extreme ones",
    )


def _share_below(draws: Floats, value: float) -> float:
    """The share of draws below a value, ties counting one half, kept off 0 and 1 by half a draw."""
    low, high = np.searchsorted(draws, [value - 1e-12, value + 1e-12])
    return float(np.clip((low + high) / 2 / len(draws), 0.5 / len(draws), 1 - 0.5 / len(draws)))
