"""The worst group, and how far the farthest group is from everybody or from a reference group.

Gaps between any two groups are one way to compare; fairlearn's others are here under its names: the lowest and highest
rate of any group (`accuracy_group_min`), and the largest difference or the farthest ratio of a group to the rate of all
rows (`demographic_parity_difference_to_overall`) or of a group that is named (`…_to_reference`). A gap to the best
group is the gap between groups.

All rows include the group itself, so p_g - p = (1 - s)(p_g - p_rest), where s is the group's share of the rows that the
rate is over; bounds are those of the group against all others, drawn in by 1 - s. Of G comparisons each has bounds at
the level 1 - (1 - confidence) / G (Bonferroni), so that those of the worst hold.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
import numpy.typing as npt

from auditkit.errors import InputError, nearest
from auditkit.evidence.metrics import MetricRow
from auditkit.fairness.counting.counts import Counts, Floats, Weights, joined
from auditkit.fairness.groups.definitions import DISTANCES, EXTREMES, RATES, Distance, Rate
from auditkit.fairness.groups.gaps import nobody
from auditkit.fairness.groups.margin import Fraction, Margin, fraction_of
from auditkit.fairness.settings import Settings
from auditkit.statistics.intervals import normal_quantile, score_interval
from auditkit.statistics.simultaneous import Against, against


def against_rows(margin: Margin, settings: Settings, split: str = "") -> Iterator[MetricRow]:
    """The extremes of every rate, and the distances to everybody and, where one is named, to the reference group.

    Raises InputError for a reference group that does not occur.
    """
    fractions = {rate.name: margin.fraction(rate) for rate in RATES.values()}
    rest = _others(margin)
    others = {rate.name: rest.fraction(rate) for rate in RATES.values()}
    for name, (rate, end) in EXTREMES.items():
        yield _extreme(name, rate, end, margin.counts, fractions[rate.name], settings, split)
    parts = {name: _Part(RATES[name], margin.counts, fractions[name], others[name]) for name in RATES}
    reference = _reference(margin.counts, settings)

    @cache  # a difference and a ratio of one rate are of one comparison
    def compared(rate: str, other: str | None) -> tuple[list[str], Against]:
        return parts[rate].compare(other, settings)

    for distance in DISTANCES.values():
        if distance.other == "reference" and reference is None:
            continue
        other = reference if distance.other == "reference" else None
        rates = distance.gap.rates
        yield _distance(
            distance, [parts[rate] for rate in rates], [compared(rate, other) for rate in rates], other, settings, split
        )


def _others(margin: Margin) -> Margin:
    """For every group, all rows but its own."""
    counts = margin.counts
    weights = counts.weights
    if weights is not None:
        weights = Weights(_without(weights.total), _without(weights.squares))
    rest = Counts(counts.attributes, counts.groups, _without(counts.cells), weights)
    return Margin(rest, _without(margin.resamples) if margin.by_design else margin.resamples, margin.by_design)


def _without(cells: npt.NDArray) -> npt.NDArray:
    total: npt.NDArray = cells.sum(axis=0, keepdims=True) - cells
    return np.maximum(total, 0)


def _reference(counts: Counts, settings: Settings) -> str | None:
    """The name of the reference group, where one is named for every attribute."""
    named = dict(settings.reference)
    if not all(attribute in named for attribute in counts.attributes):
        return None
    group = tuple(named[attribute] for attribute in counts.attributes)
    if group not in counts.groups:
        name = joined(group)
        raise InputError(
            f"{joined(counts.attributes)}: there is no reference group {name!r}; {nearest(name, counts.names)}"
        )
    return joined(group)


def _row(metric: str, counts: Counts, judged: Sequence[str], n: int, split: str) -> MetricRow:
    return MetricRow(
        "fairness",
        metric,
        split=split,
        attribute=joined(counts.attributes),
        n=n,
        status="insufficient",
        reason="no group has rows enough to be judged",
        unjudged=(*(name for name in counts.names if name not in judged), *nobody(counts)),
    )


def _extreme(
    metric: str, rate: Rate, end: str, counts: Counts, found: Fraction, settings: Settings, split: str
) -> MetricRow:
    places = np.flatnonzero(found.judged(settings.minimum_group))
    names = [counts.names[place] for place in places]
    row = replace(_row(metric, counts, names, int(found.rows[places].sum()), split), unit="rate", better=rate.better)
    if not names:
        return row
    rates = found.successes[places] / found.n[places]
    z = normal_quantile(1 - (1 - settings.confidence) / len(names))
    lower, upper = score_interval(found.successes[places], found.n[places], z)
    pick, choose = (np.min, np.argmin) if end == "min" else (np.max, np.argmax)
    return replace(
        row,
        detail=names[int(choose(rates))],
        value=float(pick(rates)),
        lower=float(pick(lower)),
        upper=float(pick(upper)),
        confidence=settings.confidence,
        status="ok",
        reason="",
        method=f"Wilson's intervals of {len(names)} groups at {z:.2f} standard errors",
    )


@dataclass(frozen=True)
class _Part:
    """One rate of the groups, and of the rows that are not theirs."""

    rate: Rate
    counts: Counts
    own: Fraction
    rest: Fraction

    def compare(self, reference: str | None, settings: Settings) -> tuple[list[str], Against]:
        """The groups that can be judged, each against everybody or the reference group. Empty where none can."""
        judged = self.own.judged(settings.minimum_group)
        names = np.array(self.counts.names, dtype=object)
        if reference is None:
            places = np.flatnonzero(judged & (self.rest.n >= 1))
            own, other = self._at(self.own, places), self._at(self.rest, places)
        else:
            base = self.counts.names.index(reference)
            places = np.flatnonzero(judged & (np.arange(len(judged)) != base)) if judged[base] else np.zeros(0, int)
            own, other = self._at(self.own, places), self._at(self.own, np.full(len(places), base))
        z = normal_quantile(1 - (1 - settings.confidence) / max(1, len(places)))
        found = against(*own, *other, z)
        if reference is None:
            found = self._drawn_in(found, places)
        return list(names[places]), found

    @staticmethod
    def _at(part: Fraction, places: npt.NDArray[np.int64]) -> tuple[npt.NDArray, npt.NDArray]:
        return part.successes[places], np.maximum(part.n[places], 1)

    def _drawn_in(self, found: Against, places: npt.NDArray[np.int64]) -> Against:
        """From a group against all others to a group against everybody."""
        total = fraction_of(self.counts.totals, self.rate)[1]
        share = np.asarray(total / max(float(total.sum()), 1e-300), dtype=np.float64)[places]

        def of_all(ratio: Floats) -> Floats:
            with np.errstate(invalid="ignore"):
                inside = ratio / (share * ratio + 1 - share)
            return np.where(np.isposinf(ratio), 1 / np.maximum(share, 1e-300), inside)

        return Against(
            found.difference * (1 - share),
            found.difference_lower * (1 - share),
            found.difference_upper * (1 - share),
            np.where(
                np.isnan(found.ratio) & (found.difference > 0), 1 / np.maximum(share, 1e-300), of_all(found.ratio)
            ),
            of_all(found.ratio_lower),
            of_all(found.ratio_upper),
        )


def _distance(
    distance: Distance,
    parts: Sequence[_Part],
    compared: Sequence[tuple[list[str], Against]],
    reference: str | None,
    settings: Settings,
    split: str,
) -> MetricRow:
    counts, difference = parts[0].counts, distance.gap.kind == "difference"
    judged = [name for name in counts.names if name == reference or all(name in names for names, _ in compared)]
    n = sum(int(part.own.rows[[counts.names.index(name) for name in names]].sum())
            for part, (names, _) in zip(parts, compared, strict=True))  # fmt: skip
    row = replace(_row(distance.name, counts, judged, n, split), unit=distance.gap.unit, better=distance.gap.better)
    if any(not names for names, _ in compared):
        return row if reference is None else replace(row, reason=f"{reference!r} or every other group has too few rows")
    names = [name if len(parts) == 1 else f"{name} ({part.rate.title})"
             for part, (own, _) in zip(parts, compared, strict=True) for name in own]  # fmt: skip
    value, lower, upper = (_sizes if difference else _ratios)([found for _, found in compared])
    if not difference and np.isnan(value).all():
        return replace(row, reason=f"the {parts[0].rate.title} of every judged group is 0, so there is no ratio")
    worst = int(np.argmax(value) if difference else np.nanargmin(value))
    ends = (value.max(), lower.max(), upper.max()) if difference else (np.nanmin(value), lower.min(), upper.min())
    return replace(
        row,
        detail=names[worst],
        value=float(ends[0]),
        lower=float(ends[1]),
        upper=float(ends[2]),
        confidence=settings.confidence,
        status="ok",
        reason="",
        method=f"simultaneous over {len(value)} comparisons (Bonferroni)",
    )


def _sizes(parts: Sequence[Against]) -> tuple[Floats, Floats, Floats]:
    """Magnitudes of the differences with bounds."""
    value = np.concatenate([part.difference for part in parts])
    lower = np.concatenate([part.difference_lower for part in parts])
    upper = np.concatenate([part.difference_upper for part in parts])
    return np.abs(value), np.maximum(0.0, np.maximum(lower, -upper)), np.maximum(np.abs(lower), np.abs(upper))


def _ratios(parts: Sequence[Against]) -> tuple[Floats, Floats, Floats]:
    """The smaller over the larger of the two rates, with bounds in [0, 1]."""
    value, lower, upper = (
        np.concatenate([getattr(part, name) for part in parts]) for name in ("ratio", "ratio_lower", "ratio_upper")
    )
    with np.errstate(divide="ignore", invalid="ignore"):
        folded = np.where(value > 1, 1 / value, value)
        least = np.minimum(lower, np.where(upper > 0, 1 / upper, 0.0))
        most = np.where(upper < 1, upper, np.where(lower > 1, 1 / lower, 1.0))
    return folded, np.clip(least, 0, 1), np.clip(most, 0, 1)
