"""Inequality of benefits, from counts: how unequally a decision treats individuals, within and between groups.

The benefit of a decision is b = decision - label + 1: 0 for a wrongly negative one, 1 for a right one, 2 for a wrongly
positive one. With mean benefit µ over n rows, the generalised entropy index of order α is

    GE(α) = 1 / (n α (α - 1)) · Σ ((b/µ)^α - 1)      Theil, α = 1:  1/n · Σ (b/µ) ln(b/µ)      variation: √(2·GE(2))

0 where all benefits are equal. (AIF360's coefficient of variation is 2·√GE(2), √2 times the usual one, which is meant
here.) It splits exactly into a part within groups and one between them, the index when all in a group get its mean:

    GE(α) = Σ_g n_g/n · (µ_g/µ)^α · GE_g(α)  +  GE(α) of the groups' means

Speicher et al. (2018), "A Unified Approach to Quantifying Algorithmic Unfairness", KDD; Shorrocks (1980), Econometrica
48(3), 613-625. Benefits are as good as the labels: a biased label makes a biased benefit.

Intervals: percentile bootstrap of the counts; with fewer than 20 errors of either kind the extremes over both kinds'
Wilson limits (at half the error each). The part between groups lies above 0 by noise alone, so that its percentile
interval would never reach 0; its interval holds those values that a test does not reject, with the groups' observed
deviations from the mean scaled up and down. Groups too small to be judged are left out of the split and named.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import replace
from functools import partial

import numpy as np
import numpy.typing as npt

from auditkit.evidence.metrics import Findings, MetricRow
from auditkit.fairness.counting.counts import Counts, joined
from auditkit.fairness.groups.draws import MAXIMUM_INTERSECTION
from auditkit.fairness.groups.inference import subsets
from auditkit.fairness.settings import Settings
from auditkit.statistics.intervals import wilson
from auditkit.statistics.resampling import multinomial_replicates, percentile_interval, quantiles

Floats = npt.NDArray[np.float64]
BENEFITS = np.array([0.0, 1.0, 2.0])
FEW = 20
DRAWS, STEPS, FARTHEST = 2000, 24, 64.0
INDICES = {
    "generalised_entropy_index": "generalised entropy index (α = 2)",
    "theil_index": "Theil index",
    "coefficient_of_variation": "coefficient of variation",
}
PARTS = {"between_group_entropy": "between groups", "within_group_entropy": "within groups"}


def generalised_entropy(values: npt.ArrayLike, weights: npt.ArrayLike, alpha: float = 2.0) -> Floats:
    """GE(alpha) of values held by rows. values: [k] or [k, ...], not negative; weights: rows of each, same shape.

    Works along the first axis. alpha > 0; 1 is Theil's index. NaN where the mean is 0 and nothing can be unequal to it.
    Raises ValueError for other alphas: of order 0 and below a benefit of 0 makes the index infinite.

    >>> round(generalised_entropy([1.0, 2.0, 0.0], [8, 1, 1]).item(), 12)
    0.1
    """
    if not alpha > 0:
        raise ValueError(f"alpha must be above 0, got {alpha}: benefits can be 0")
    x, w = np.asarray(values, dtype=np.float64), np.asarray(weights, dtype=np.float64)
    x = x.reshape(x.shape + (1,) * (w.ndim - x.ndim))
    with np.errstate(divide="ignore", invalid="ignore"):
        share = w / w.sum(axis=0)
        relative = x / (share * x).sum(axis=0)
        if alpha == 1:
            part = np.where(relative > 0, relative * np.log(np.where(relative > 0, relative, 1.0)), relative)
            return np.asarray((share * part).sum(axis=0))
        return np.asarray((share * (relative**alpha - 1)).sum(axis=0) / (alpha * (alpha - 1)))


def benefits(cells: npt.NDArray) -> npt.NDArray:
    """Rows with benefit 0, 1 and 2, [groups, 3, ...], of cells [groups, label, decision, ...].

    >>> benefits(np.array([[[5, 1], [2, 4]]])).tolist()
    [[2, 9, 1]]
    """
    return np.stack([cells[:, 1, 0], cells[:, 0, 0] + cells[:, 1, 1], cells[:, 0, 1]], axis=1)


def decomposition(held: npt.ArrayLike, alpha: float = 2.0) -> tuple[float, float]:
    """The parts of GE(alpha) within and between groups. held: rows with benefit 0, 1 and 2, [groups, 3].

    >>> [round(part, 12) for part in decomposition([[1, 8, 1], [1, 8, 1]])]
    [0.1, 0.0]
    """
    rows = np.asarray(held, dtype=np.float64)
    n = rows.sum(axis=1)
    means = rows @ BENEFITS / n
    overall = float(n @ means / n.sum())
    inside = np.nan_to_num(generalised_entropy(BENEFITS, rows.T, alpha))
    within = float((n / n.sum() * (means / overall) ** alpha * inside).sum())
    return within, float(generalised_entropy(means, n, alpha))


def index_intervals(held: npt.NDArray, settings: Settings, rng: np.random.Generator) -> dict[str, tuple[float, float]]:
    """The interval of every index, from one set of resamples. held: rows with benefit 0, 1 and 2, [3]."""
    if min(held[0], held[2]) >= FEW:
        drawn = multinomial_replicates(held, settings.replicates, rng)
        found = np.stack([_index(drawn, metric) for metric in INDICES])
        lower, upper = percentile_interval(found, settings.confidence)
    else:
        low, high = wilson(held[[0, 2]], np.full(2, held.sum()), 1 - (1 - settings.confidence) / 2)
        first, second = (part.ravel() for part in np.meshgrid(*np.linspace(low, high, 41).T))
        possible = first + second < 1
        shares = np.stack([first, 1 - first - second, second])[:, possible]
        found = np.stack([_index(shares, metric) for metric in INDICES])
        lower, upper = found.min(axis=1), found.max(axis=1)
    return {metric: (float(lower[at]), float(upper[at])) for at, metric in enumerate(INDICES)}


def _index(held: npt.NDArray, metric: str) -> Floats:
    if metric == "theil_index":
        return np.maximum(generalised_entropy(BENEFITS, held, 1.0), 0.0)
    found = np.maximum(generalised_entropy(BENEFITS, held), 0.0)
    return np.sqrt(2 * found) if metric == "coefficient_of_variation" else found


def between_interval(held: npt.NDArray, settings: Settings, rng: np.random.Generator) -> tuple[float, float]:
    """The interval of GE(2) between groups by inverting a test. held: [groups, 3], every group with rows."""
    n = held.sum(axis=1).astype(np.float64)
    means = held @ BENEFITS / n
    overall = float(n @ means / n.sum())
    spread = (held @ BENEFITS**2) / n - means**2
    pooled = float(n @ spread / n.sum())
    error = np.sqrt((n * spread + 2 * pooled) / (n + 2) / n)
    noise = rng.standard_normal((len(n), DRAWS)) * error[:, None]
    value, tail = float(generalised_entropy(means, n)), (1 - settings.confidence) / 2

    def shown(scale: float) -> Floats:
        moved = overall + scale * (means - overall)[:, None] + noise
        return generalised_entropy(np.maximum(moved, 0.0), np.broadcast_to(n[:, None], moved.shape))

    def true(scale: float) -> float:
        return float(generalised_entropy(np.maximum(overall + scale * (means - overall), 0.0), n))

    if value <= 0:
        return 0.0, float(quantiles(shown(0.0), [1 - tail])[0])
    lower = _last(lambda s: bool((shown(s) >= value).mean() <= tail), 0.0, 1.0)
    upper = _last(lambda s: bool((shown(s) <= value).mean() > tail), 0.0, FARTHEST)
    return min(true(lower), value), max(true(upper), value)


def _last(holds: object, low: float, high: float) -> float:
    """The largest scale for which something holds that holds below it and not above; `low` where it never does."""
    assert callable(holds)
    if not holds(low):
        return low
    for _ in range(STEPS):
        middle = (low + high) / 2
        low, high = (middle, high) if holds(middle) else (low, middle)
    return low


def inequality_findings(counts: Counts, settings: Settings, split: str = "") -> Findings:
    """Indices of everybody and of every group, and the parts within and between the groups of every attribute.

    >>> counts = Counts(("sex",), (("f",), ("m",)), np.array([[[50, 40], [10, 60]], [[80, 10], [30, 40]]]))
    >>> [(row.metric, round(row.value, 4)) for row in inequality_findings(counts, Settings()).metrics][:1]
    [('generalised_entropy_index', 0.1318)]
    """
    if counts.weights is not None:
        reason = "inequality of benefits is not measured where rows are weighted"
        return Findings(
            metrics=[
                MetricRow("fairness", name, split=split, status="not applicable", reason=reason)
                for name in (*INDICES, *PARTS)
            ]
        )
    rows: list[MetricRow] = []
    for attributes in [(), *subsets(counts.attributes, intersections=False)]:
        margin = counts.margin(attributes)
        if len(margin.groups) > MAXIMUM_INTERSECTION:
            continue
        held = benefits(margin.cells)
        for name, of in zip(margin.names, held, strict=True):
            rows += _index_rows(joined(attributes), name, of, settings, split)
        if attributes:
            rows += _part_rows(joined(attributes), margin.names, held, settings, split)
    return Findings(metrics=rows)


def _rng(settings: Settings, *names: str) -> np.random.Generator:
    return np.random.default_rng([*settings.seed, zlib.crc32("/".join(("inequality", *names)).encode())])


def _too_few(held: npt.NDArray, settings: Settings) -> str:
    n = int(held.sum())
    if n < max(1, settings.minimum_group):
        return f"only {n} rows, fewer than the {settings.minimum_group} needed to judge"
    return "" if held @ BENEFITS > 0 else "every decision is wrongly negative: the mean benefit is 0"


def _index_rows(attribute: str, group: str, held: npt.NDArray, settings: Settings, split: str) -> Iterator[MetricRow]:
    reason = _too_few(held, settings)
    intervals = {} if reason else index_intervals(held, settings, _rng(settings, attribute, group))
    few = min(held[0], held[2]) < FEW
    how = f"extremes over Wilson limits (fewer than {FEW} errors of a kind)" if few else "percentile bootstrap"
    for metric in INDICES:
        row = MetricRow(
            "fairness",
            metric,
            split=split,
            attribute=attribute,
            group=group,
            n=int(held.sum()),
            better="lower",
            status="insufficient",
            reason=reason or "not computed",
        )
        if not reason:
            value = float(_index(held, metric))
            lower, upper = intervals[metric]
            row = replace(row, value=value, lower=min(lower, value), upper=max(upper, value), status="ok", reason="",
                          confidence=settings.confidence, method=how)  # fmt: skip
        yield row


def _part_rows(
    attribute: str, names: list[str], held: npt.NDArray, settings: Settings, split: str
) -> Iterator[MetricRow]:
    able = np.array([at for at, of in enumerate(held) if not _too_few(of, settings)], dtype=np.int64)
    who = f"only {names[able[0]]!r} has" if len(able) else "no group has"
    row = MetricRow(
        "fairness",
        "",
        split=split,
        attribute=attribute,
        n=int(held[able].sum()),
        better="lower",
        status="insufficient",
        reason=f"a split needs two groups, and {who} at least {max(1, settings.minimum_group)} rows",
        unjudged=tuple(name for at, name in enumerate(names) if at not in able),
    )
    if len(able) < 2:
        yield from (replace(row, metric=metric) for metric in PARTS)
        return
    within, between = decomposition(held[able])
    ok = partial(replace, row, status="ok", reason="", confidence=settings.confidence)
    low, high = between_interval(held[able], settings, _rng(settings, attribute, "between"))
    yield ok(metric="between_group_entropy", value=max(between, 0.0), lower=min(low, max(between, 0.0)),
                  upper=high, method="values that a test does not reject, observed deviations scaled")  # fmt: skip
    drawn = [multinomial_replicates(of, settings.replicates, _rng(settings, attribute, names[at]))
             for at, of in zip(able, held[able], strict=True)]  # fmt: skip
    rows = np.stack(drawn).astype(np.float64)
    total = generalised_entropy(BENEFITS, rows.sum(axis=0))
    n, means = rows.sum(axis=1), np.einsum("k,gkr->gr", BENEFITS, rows) / rows.sum(axis=1)
    lower, upper = percentile_interval(total - generalised_entropy(means, n), settings.confidence)
    yield ok(metric="within_group_entropy", value=max(within, 0.0), lower=min(max(float(lower), 0.0), within),
                  upper=max(float(upper), within), method="percentile bootstrap within groups")  # fmt: skip
