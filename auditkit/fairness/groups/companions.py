"""What stands beside the gaps: is there any gap at all, how small a one could have been seen, and steadier rates.

* `any_gap_p_value`, for selection rate, true and false positive rate of every attribute and intersection: an
  exact-margin permutation test that all judged groups share one rate (`auditkit.statistics.permutation`). Each rate is
  tested on the rows that it is a share of: false positive rates on the rows with a negative label, and on no others.
  Equalized odds is one test of both error rates, in which decisions are permuted within each label.
* `any_gap_p_value_adjusted`: the same, adjusted by Holm for all tests made here, so that one false alarm among all of
  them is as rare as the level says.
* `smallest_detectable_gap`: the true gap in selection rate that would have been found between any two judged groups
  with a power of 0.8, looking at all pairs at once (`auditkit.statistics.power`).
* the table of shrunken rates: every group's rate beside the one drawn towards the rate of all
  (`auditkit.statistics.shrinkage`), also for groups too small to be judged.

A large p-value is no proof of fairness: a sample too small to show a gap gives one too. That a gap is within a limit is
told by the gap's own interval; these numbers are read beside it.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from auditkit.evidence.metrics import MetricRow
from auditkit.fairness.counting.counts import Counts, joined
from auditkit.fairness.groups.definitions import RATES, Rate
from auditkit.fairness.groups.draws import MAXIMUM_INTERSECTION
from auditkit.fairness.groups.inference import subsets
from auditkit.fairness.groups.margin import Fraction, fraction
from auditkit.fairness.settings import Settings
from auditkit.statistics.multiplicity import holm
from auditkit.statistics.permutation import MAXIMUM_ROWS, Permuted, any_difference_of, permuted
from auditkit.statistics.power import POWER, smallest_detectable_gap
from auditkit.statistics.simultaneous import range_critical

TESTED = ("selection_rate", "true_positive_rate", "false_positive_rate")
ODDS = ("true_positive_rate", "false_positive_rate")
EQUALIZED_ODDS = "equalized_odds"
NOT_YET = "not computed"
Effective = Mapping[tuple[str, ...], Mapping[str, Fraction]]
DETECTED = "selection_rate"
SHRUNKEN = pa.schema(
    [(name, pa.string()) for name in ("split", "attribute", "group", "rate")]
    + [("n", pa.int64())]
    + [(name, pa.float64()) for name in ("raw", "shrunken", "lower", "upper")]
)


def companions(counts: Counts, settings: Settings, split: str = "") -> tuple[list[MetricRow], pa.Table]:
    """`companion_rows` and `shrunken_rates` of the same counts."""
    return companion_rows(counts, settings, split), shrunken_rates(counts, settings, split)


def companion_rows(
    counts: Counts, settings: Settings, split: str = "", effective: Effective | None = None
) -> list[MetricRow]:
    """The p-values, raw and adjusted, and the smallest gaps that could have been found. What has no number says why.

    A p-value depends on its attribute's counts and the seed alone, not on which other attributes are there; adjusted
    ones do, since they answer for all tests of these counts. effective: attributes → rate → effective counts, where
    rows are weighted or drawn from strata or clusters; permuting such rows would not keep how they were drawn.

    >>> counts = Counts(("sex",), (("f",), ("m",)), np.array([[[50, 40], [10, 60]], [[80, 10], [30, 40]]]))
    >>> [(row.detail, row.value) for row in companion_rows(counts, Settings(replicates=999))][:2]
    [('selection_rate', 0.001), ('true_positive_rate', 0.001)]
    """
    margins = _margins(counts, settings, effective)
    tests = [test for margin in margins for test in _tests(margin, settings, split)]
    detectable = [_detectable_row(margin, RATES[DETECTED], settings, split) for margin in margins]
    return [*tests, *_adjusted(tests), *detectable]


@dataclass(frozen=True)
class _Margin:
    counts: Counts
    effective: Mapping[str, Fraction] | None

    def fraction(self, rate: Rate) -> Fraction:
        return fraction(self.counts, rate) if self.effective is None else self.effective[rate.name]


def shrunken_rates(counts: Counts, settings: Settings, split: str = "", effective: Effective | None = None) -> pa.Table:
    """Every group's rates, raw and shrunken, with the interval of the shrunken one: a table of schema `SHRUNKEN`.

    A rate over no rows is null. Attributes crossed into too many groups to compare are not in it.
    """
    records = [
        record
        for margin in _margins(counts, settings, effective)
        if len(margin.counts.groups) <= MAXIMUM_INTERSECTION
        for rate in RATES.values()
        for record in _shrunken_records(margin, rate, settings, split)
    ]
    return pa.Table.from_pylist(records, schema=SHRUNKEN)


def _margins(counts: Counts, settings: Settings, effective: Effective | None) -> list[_Margin]:
    return [
        _Margin(counts.margin(attributes), effective.get(attributes) if effective else None)
        for attributes in subsets(counts.attributes, settings.intersections)
    ]


def _judged(margin: _Margin, rate: Rate, settings: Settings) -> tuple[list[str], npt.NDArray, npt.NDArray]:
    """The names, successes and rows of the groups with rows enough."""
    found = margin.fraction(rate)
    places = np.flatnonzero(found.judged(settings.minimum_group))
    return [margin.counts.names[place] for place in places], found.successes[places], found.n[places]


def _row(metric: str, margin: _Margin, rate: Rate, settings: Settings, split: str) -> MetricRow:
    """A row that says why there is no number, or `NOT_YET`."""
    counts = margin.counts
    names, _, n = _judged(margin, rate, settings)
    reason = NOT_YET
    if len(names) < 2:
        able = f"only {names[0]!r} has" if names else "no group has"
        rows = f"{max(1, settings.minimum_group)} {rate.among}"
        reason = f"a comparison needs two groups, and {able} at least {rows}"
    if len(counts.groups) > MAXIMUM_INTERSECTION:
        reason = f"{len(counts.groups)} groups are more than the {MAXIMUM_INTERSECTION} that can be compared"
    return MetricRow(
        "fairness",
        metric,
        split=split,
        attribute=joined(counts.attributes),
        detail=rate.name,
        n=int(n.sum()),
        status="insufficient",
        reason=reason,
        unjudged=tuple(name for name in counts.names if name not in names),
    )


def _tests(margin: _Margin, settings: Settings, split: str) -> Iterator[MetricRow]:
    """A test for each rate, and for equalized odds one of both error rates together: decisions are permuted among rows
    of the same label."""
    rows = {name: _permutable(margin, _row("any_gap_p_value", margin, RATES[name], settings, split)) for name in TESTED}
    judged = {name: _judged(margin, RATES[name], settings) for name, row in rows.items() if row.reason == NOT_YET}
    drawn = {
        name: permuted(successes, n, _stream(rows[name], settings), settings.replicates)
        for name, (_, successes, n) in judged.items()
    }
    for name, row in rows.items():
        names = judged[name][0] if name in judged else []
        parts = [drawn[name]] if name in drawn else []
        yield _tested(row, parts, names, f"{len(names)} groups", settings)
    odds = [rows[name] for name in ODDS]
    without = next((row for row in odds if row.reason != NOT_YET), odds[0])
    unjudged = tuple(dict.fromkeys(name for row in odds for name in row.unjudged))
    both = replace(without, detail=EQUALIZED_ODDS, n=sum(row.n or 0 for row in odds), unjudged=unjudged)
    names = [f"{name}, {RATES[rate].title}" for rate in ODDS if rate in judged for name in judged[rate][0]]
    parts = [drawn[name] for name in ODDS] if both.reason == NOT_YET else []
    yield _tested(both, parts, names, f"{len(names) // 2} groups within labels", settings)


def _permutable(margin: _Margin, row: MetricRow) -> MetricRow:
    """The row, or why permuting its rows is no test."""
    if row.reason != NOT_YET:
        return row
    if margin.effective is not None:
        reason = "permuting rows that are weighted or drawn from strata or clusters would not keep how they were drawn"
        return replace(row, status="not applicable", reason=reason)
    if (row.n or 0) >= MAXIMUM_ROWS:
        reason = f"the permutation test takes fewer than {MAXIMUM_ROWS:,} rows"
        return replace(row, status="not applicable", reason=reason)
    return row


def _stream(row: MetricRow, settings: Settings) -> np.random.Generator:
    return np.random.default_rng([*settings.seed, zlib.crc32(f"{row.attribute}/{row.detail}".encode())])


def _tested(row: MetricRow, parts: list[Permuted], names: list[str], of: str, settings: Settings) -> MetricRow:
    """The row with its p-value; as it is where there is nothing to test."""
    if not parts:
        return row
    test = any_difference_of(parts)
    method = (
        f"exact-margin permutation of {of}, largest |z| {test.statistic:.2f} ({names[test.largest]}), "
        f"{test.tables:,} tables"
    )
    if test.at_floor:
        method += ", none as extreme: the smallest p-value that many tables can give"
    return replace(row, value=test.p_value, status="ok", reason="", confidence=settings.confidence, method=method)


def _adjusted(tests: list[MetricRow]) -> Iterator[MetricRow]:
    """The tests' rows with p-values adjusted over all that gave one."""
    adjusted = iter(holm([row.value for row in tests if row.value is not None]).tolist())
    made = sum(row.value is not None for row in tests)
    for row in tests:
        renamed = replace(row, metric="any_gap_p_value_adjusted")
        if row.value is None:
            yield renamed
        else:
            yield replace(renamed, value=next(adjusted), method=f"Holm over {made} {'test' if made == 1 else 'tests'}")


def _detectable_row(margin: _Margin, rate: Rate, settings: Settings, split: str) -> MetricRow:
    row = replace(_row("smallest_detectable_gap", margin, rate, settings, split), unit="points", better="lower")
    if row.reason != NOT_YET:
        return row
    names, successes, n = _judged(margin, rate, settings)
    share = float(successes.sum() / n.sum())
    if share in (0.0, 1.0):
        same = "no judged row is" if share == 0 else "every judged row is"
        return replace(row, reason=f"{same} among those that the {rate.title} counts, so its spread is unknown")
    first, second = np.argsort(n, kind="stable")[:2]
    critical = range_critical([len(names)], settings.confidence)
    gap = smallest_detectable_gap(int(n[first]), int(n[second]), share, power=POWER, critical=critical)
    pair = f"{names[first]} ({n[first]:,}) and {names[second]} ({n[second]:,})"
    if gap is None:
        return replace(row, reason=f"{pair} are too small to show any gap at a {rate.title} of {share:.3g}")
    pairs = len(names) * (len(names) - 1) // 2
    method = (
        f"z test with power {POWER:g} at {critical:.2f} standard errors ({pairs} {'pair' if pairs == 1 else 'pairs'}), "
        f"for the two smallest judged groups, {pair}"
    )
    return replace(row, value=gap, status="ok", reason="", confidence=settings.confidence, method=method)


def _shrunken_records(margin: _Margin, rate: Rate, settings: Settings, split: str) -> Iterator[dict[str, object]]:
    """A record per group; all values are null for a group without rows."""
    from auditkit.statistics.shrinkage import shrink  # brings scipy.special, which a verdict needs not wait for

    fractions = margin.fraction(rate)
    successes, n = fractions.successes, fractions.n
    found = shrink(successes, n, settings.confidence) if n.any() else None
    same = {"split": split, "attribute": joined(margin.counts.attributes), "rate": rate.name}
    for place, group in enumerate(margin.counts.names):
        record: dict[str, object] = {**same, "group": group, "n": int(fractions.rows[place])}
        if found is not None and n[place]:
            record["raw"] = float(successes[place] / n[place])
            record["shrunken"] = float(found.rate[place])
            record["lower"], record["upper"] = float(found.lower[place]), float(found.upper[place])
        yield record
