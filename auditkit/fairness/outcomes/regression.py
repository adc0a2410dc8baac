"""Fairness of predicted numbers: how high, how wrong and how good predictions are, by group.

mean_prediction            Σ w·p / Σ w                  what a group is given
mean_error                 mean of p - y                the bias: above 0, a group is predicted too high
mean_absolute_error        mean of |p - y|
root_mean_squared_error    √ mean of (p - y)²
r2                         1 - Σ w·(p - y)² / Σ w·(y - ȳ)², ȳ the group's own mean: what is explained within it

Intervals: Student's t for means; for errors, which are positive and lean to the right, on the logarithmic scale; for
RMSE and R² the delta method on the logarithm of the mean squared error and of 1 - R² (whose variance takes fourth
moments of the rows, no normal errors are assumed). All from moments that add up (`auditkit.statistics.error_moments`).
Where the largest 1 % of a group's errors carry more than half of its squared error, that variance is itself hardly
known, and a caveat says so.

Gaps are the largest difference, or the smallest ratio, between any two groups, with bounds for all pairs at once
(`auditkit.statistics.estimates`); the distributions of predictions are compared as a whole by
`auditkit.fairness.outcomes.distances`. Sources: Agarwal, Dudík and Wu (2019), ICML; Särndal, Swensson and Wretman
(1992), Model Assisted Survey Sampling, 5.6, for weights.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from auditkit.errors import InputError
from auditkit.evidence.metrics import Caveat, Findings, MetricRow
from auditkit.fairness.counting.counts import GroupCodes
from auditkit.fairness.groups.draws import MAXIMUM_INTERSECTION
from auditkit.fairness.groups.gaps import worst
from auditkit.fairness.outcomes.comparisons import Grouping, groupings, widest
from auditkit.fairness.outcomes.distances import Farthest, Histogram, farthest
from auditkit.fairness.outcomes.measures import MEASURES, Measure, dominated, estimates, group_rows, reasons
from auditkit.fairness.outcomes.numbers import finite_numbers
from auditkit.fairness.settings import Settings
from auditkit.statistics.error_moments import Floats, Integers, Moments

SHARES = (0.05, 0.25, 0.5, 0.75, 0.95)


DISTANCES = {
    "prediction_wasserstein_distance": "Wasserstein distance between predictions",
    "prediction_ks_distance": "KS distance between predictions",
}
_PAIRS = pa.schema(
    [(name, pa.string()) for name in ("attribute", "metric", "first", "second")]
    + [(name, pa.float64()) for name in ("difference", "lower", "upper")]
)
_DISTANCES = pa.schema(
    [(name, pa.string()) for name in ("attribute", "metric", "first", "second")]
    + [(name, pa.float64()) for name in ("distance", "lower", "upper", "by_chance", "p_value")]
    + [("draws", pa.int64())]
)
_QUANTILES = pa.schema(
    [("attribute", pa.string()), ("group", pa.string()), ("n", pa.int64())]
    + [(f"q{share * 100:g}", pa.float64()) for share in SHARES]
)


def regression_findings(
    groups: GroupCodes,
    truth: npt.ArrayLike,
    predicted: npt.ArrayLike,
    settings: Settings,
    weights: npt.ArrayLike | None = None,
) -> Findings:
    """All numbers by group and over everybody, and all gaps, as metric rows.

    truth, predicted: numbers [n], as many as `groups.codes`. weights: sampling weights [n], none negative; distances
    between distributions are not measured with them. Tables: `regression_pairs` (signed differences of every two
    groups), `regression_distances`, `regression_quantiles` (of predictions, by group).
    Raises InputError for numbers that are missing, infinite, or of another length.

    >>> codes = GroupCodes(("sex",), (("f",), ("m",)), np.repeat([0, 1], 40), {})
    >>> label = np.tile(np.arange(40.0), 2)
    >>> found = regression_findings(codes, label, label + np.repeat([1.0, 3.0], 40) + label % 2, Settings())
    >>> [row.value for row in found.metrics if row.metric == "mean_error_difference"]
    [2.0]
    """
    y = finite_numbers(truth, "labels", len(groups.codes))
    p = finite_numbers(predicted, "predictions", len(groups.codes))
    w = None if weights is None else _weights(weights, len(groups.codes))
    codes = groups.codes
    if w is not None and not w.all():
        codes, y, p, w = codes[w > 0], y[w > 0], p[w > 0], w[w > 0]
    finest = len(groups.groups)
    with np.errstate(over="ignore", invalid="ignore"):
        moments = Moments.tally(codes, finest, y, p, w)
    if not np.isfinite(moments.sampled).all():
        raise InputError("labels and predictions are too large to be squared twice; give them in a larger unit")
    histogram = None if w is not None else Histogram.tally(codes, finest, p)
    chosen, left_out = groupings(groups, settings)
    found = Findings()
    pairs: list[dict[str, object]] = []
    apart: list[dict[str, object]] = []
    quantiles: list[dict[str, object]] = []
    for grouping in chosen:
        part = moments.added(grouping.places, len(grouping.names))
        for measure in MEASURES.values():
            found.metrics += group_rows(grouping, part, measure, settings)
        found.caveats += dominated(grouping, codes, (p - y) ** 2 if w is None else w * (p - y) ** 2, part, settings)
        if not grouping.attribute:
            continue
        for measure in MEASURES.values():
            for row, records in _gap_rows(grouping, part, measure, settings):
                found.metrics.append(row)
                pairs += records
        spread = None if histogram is None else histogram.added(grouping.places, len(grouping.names))
        rows, records = _distance_rows(grouping, part, spread, settings)
        found.metrics += rows
        apart += records
        quantiles += [] if spread is None else _quantile_records(grouping, spread, settings)
    found.caveats += [
        Caveat("fairness", f"{name} has more than {MAXIMUM_INTERSECTION} groups, too many to compare", name)
        for name in left_out
    ]
    found.tables = {
        "regression_pairs": pa.Table.from_pylist(pairs, schema=_PAIRS),
        "regression_distances": pa.Table.from_pylist(apart, schema=_DISTANCES),
        "regression_quantiles": pa.Table.from_pylist(quantiles, schema=_QUANTILES),
    }
    return found


def _weights(values: npt.ArrayLike, rows: int) -> Floats:
    found = finite_numbers(values, "weights", rows)
    if (found < 0).any() or not found.any():
        raise InputError("weights must not be negative, nor all zero; a weight says how many people a row stands for")
    return found


def _rng(settings: Settings, *names: str) -> np.random.Generator:
    return np.random.default_rng([*settings.seed, zlib.crc32("/".join(("regression", *names)).encode())])


def _compared(grouping: Grouping, moments: Moments, able: Integers, settings: Settings) -> str:
    """Why groups cannot be compared, or nothing."""
    if len(able) >= 2:
        return ""
    who = f"only {grouping.names[able[0]]!r} can be judged" if len(able) else "no group can be judged"
    return f"a comparison needs two groups, and {who} (at least {settings.minimum_group} rows that differ)"


def _gap_rows(
    grouping: Grouping, moments: Moments, measure: Measure, settings: Settings
) -> Iterator[tuple[MetricRow, list[dict[str, object]]]]:
    found = estimates(moments, measure)
    why = reasons(moments, found, measure, settings)
    able = np.array([at for at, text in enumerate(why) if not text], dtype=np.int64)
    reason = _compared(grouping, moments, able, settings)
    names, judged = [grouping.names[at] for at in able], found.chosen(able)
    critical = 0.0
    if not reason:
        critical = judged.critical(
            settings.confidence, _rng(settings, grouping.attribute, measure.name), settings.replicates
        )
    for kind in measure.gaps:
        row = MetricRow(
            "fairness",
            f"{measure.name}_{kind}",
            attribute=grouping.attribute,
            n=int(moments.rows[able].sum()),
            unit="ratio" if kind == "ratio" else "",
            better="lower" if kind == "difference" else "higher",
            status="insufficient",
            reason=reason or "not compared",
            unjudged=tuple(name for name in grouping.names if name not in names),
        )
        if reason:
            yield row, []
            continue
        pairs = judged.pairs(kind, critical)
        value, lower, upper = worst(kind, [pairs])
        count = len(pairs.estimate)
        yield (
            replace(
                row,
                value=value,
                lower=lower,
                upper=upper,
                confidence=settings.confidence,
                status="ok",
                reason="",
                detail=widest(kind, pairs, judged.value, names),
                method=f"simultaneous over {count} {'pair' if count == 1 else 'pairs'} at {critical:.2f} standard "
                "errors, each group's degrees of freedom",
            ),
            [
                {
                    "attribute": grouping.attribute,
                    "metric": measure.name,
                    "first": names[pairs.first[at]],
                    "second": names[pairs.second[at]],
                    "difference": float(pairs.estimate[at]),
                    "lower": float(pairs.lower[at]),
                    "upper": float(pairs.upper[at]),
                }
                for at in range(count if kind == "difference" else 0)
            ],
        )


def _distance_rows(
    grouping: Grouping, moments: Moments, histogram: Histogram | None, settings: Settings
) -> tuple[list[MetricRow], list[dict[str, object]]]:
    able = np.flatnonzero(moments.rows >= max(2, settings.minimum_group))
    reason = _compared(grouping, moments, able, settings)
    names = [grouping.names[at] for at in able]
    common = MetricRow(
        "fairness",
        "",
        attribute=grouping.attribute,
        n=int(moments.rows[able].sum()),
        better="lower",
        status="insufficient" if histogram is not None else "not applicable",
        reason=reason or "distances between distributions are not measured with weights: no rows can be dealt out anew",
        unjudged=tuple(name for name in grouping.names if name not in names),
    )
    found: tuple[Farthest, ...] = ()
    if histogram is not None and not reason:
        chosen = replace(histogram, counts=histogram.counts[able])
        chosen = replace(chosen, sums=_kept(histogram, chosen))
        rng = _rng(settings, grouping.attribute, "distances")
        found = farthest(chosen, settings.confidence, rng, settings.replicates)
    rows, records = [], []
    for at, name in enumerate(DISTANCES):
        row = replace(common, metric=name, unit="points" if "ks" in name else "")
        test = replace(row, metric=f"{name}_p_value", unit="", better="none", unjudged=())
        if found:
            far = found[at]
            pair = [names[place] for place in far.pair]
            row = replace(row, value=far.value, lower=far.lower, upper=far.upper, status="ok", reason="",
                          confidence=settings.confidence, detail=" – ".join(pair),
                          method=f"triangle bound for all pairs of groups, {far.draws:,} resamples; by chance alone "
                          f"{far.chance:.3g}")  # fmt: skip
            test = replace(test, value=far.p_value, status="ok", reason="",
                           method=f"permutation of groups, {far.draws:,} deals")  # fmt: skip
            records.append(
                {"attribute": grouping.attribute, "metric": name, "first": pair[0], "second": pair[1],
                 "distance": far.value, "lower": far.lower, "upper": far.upper, "by_chance": far.chance,
                 "p_value": far.p_value, "draws": far.draws}
            )  # fmt: skip
        rows += [row, test]
    return rows, records


def _kept(every: Histogram, chosen: Histogram) -> Floats:
    """Sums of the bins' values over the rows of the chosen groups: bins keep the value they stand for."""
    rows = every.counts.sum(axis=0)
    return np.asarray(every.sums / np.maximum(rows, 1) * chosen.counts.sum(axis=0))


def _quantile_records(grouping: Grouping, histogram: Histogram, settings: Settings) -> Iterator[dict[str, object]]:
    found = histogram.quantiles(np.array(SHARES))
    for name, n, values in zip(grouping.names, histogram.counts.sum(axis=1).tolist(), found.tolist(), strict=True):
        if n >= max(2, settings.minimum_group):
            yield {
                "attribute": grouping.attribute,
                "group": name,
                "n": n,
                **{f"q{share * 100:g}": value for share, value in zip(SHARES, values, strict=True)},
            }
