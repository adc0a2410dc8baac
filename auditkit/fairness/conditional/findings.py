"""Gaps between groups among people alike in one legitimate factor, as metric rows and tables of evidence.

For the selection rate, the true and the false positive rate, of every sensitive attribute given the factor:

* `conditional_demographic_parity_difference` and `_ratio` (`conditional_equal_opportunity_…`,
  `conditional_predictive_equality_…`): the largest common difference and the smallest common ratio over all pairs of
  groups (`auditkit.fairness.conditional.stratified`), with bounds that hold for all pairs together.
* `…_worst_stratum_difference`: the largest difference within one stratum; common gaps average strata that disagree.
* `conditional_demographic_disparity`, of each group (`auditkit.fairness.conditional.disparity`).

These stand beside the unconditional gaps and never in their place. Which factor may be conditioned on is a question of
law and of ethics: a factor that is itself a product of unfair treatment hides it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from auditkit.errors import InputError, nearest
from auditkit.evidence.metrics import Better, Caveat, Findings, MetricRow
from auditkit.fairness.conditional.disparity import conditional_disparity
from auditkit.fairness.conditional.pairs import PAIRS, PairGap, fold_ratio, pair_gap
from auditkit.fairness.conditional.stratified import simultaneous_critical
from auditkit.fairness.counting.counts import Counts, joined
from auditkit.fairness.groups.definitions import RATES, Rate
from auditkit.fairness.groups.inference import subsets
from auditkit.fairness.groups.margin import fraction_of
from auditkit.fairness.settings import Settings
from auditkit.statistics.intervals import wilson
from auditkit.statistics.simultaneous import pairwise_differences

FAMILIES = {
    "conditional_demographic_parity": "selection_rate",
    "conditional_equal_opportunity": "true_positive_rate",
    "conditional_predictive_equality": "false_positive_rate",
}
DISPARITY = "conditional_demographic_disparity"
MOST_CELLS = 5_000
STRATA = pa.schema(
    [(name, pa.string()) for name in ("split", "attribute", "control", "rate", "stratum", "group")]
    + [("n", pa.int64()), ("successes", pa.int64())]
    + [(name, pa.float64()) for name in ("value", "lower", "upper")]
)


@dataclass(frozen=True)
class _Strata:
    """Rows of every group in every stratum for one rate. successes, n: int64 [groups, strata]."""

    names: list[str]
    strata: list[str]
    successes: npt.NDArray[np.int64]
    n: npt.NDArray[np.int64]


def conditional_findings(counts: Counts, control: str, settings: Settings, split: str = "") -> Findings:
    """All gaps given the factor `control`, one of the attributes that were counted over.

    Raises InputError where it is not one of them, is the only one, or makes more strata than can be shown.

    >>> cells = np.array([[[50, 40], [10, 60]], [[80, 10], [30, 40]]])
    >>> counts = Counts(("sex", "job"), (("f", "x"), ("m", "x")), cells)
    >>> rows = conditional_findings(counts, "job", Settings()).metrics
    >>> rows[0].metric, round(rows[0].value, 3)
    ('conditional_demographic_parity_difference', 0.312)
    """
    if control not in counts.attributes:
        raise InputError(f"{control!r} was not counted; {nearest(control, counts.attributes)}")
    sensitive = [name for name in counts.attributes if name != control]
    if not sensitive:
        raise InputError(f"{control!r} is the only attribute: gaps given it need a sensitive attribute beside it")
    found = Findings()
    strata, pairs = [], []
    for attributes in subsets(sensitive, settings.intersections):
        margin = counts.margin([*attributes, control])
        for family, name in FAMILIES.items():
            rate, part = RATES[name], _strata(margin, RATES[name], control)
            common = MetricRow(
                "fairness", f"{family}_difference", split=split, attribute=joined(attributes),
                detail=f"given {control}", unit="points", better="lower", n=int(part.n.sum()),
                compares=(name,), status="absent", reason="not compared",
            )  # fmt: skip
            refusal = _refusal(counts, part)
            if refusal:
                kinds = [("difference", "points"), ("ratio", "ratio"), ("worst_stratum_difference", "points")]
                found.metrics += [
                    replace(common, metric=f"{family}_{kind}", unit=unit, better=_better(kind), reason=refusal,
                            status="not applicable")
                    for kind, unit in kinds
                ]  # fmt: skip
                continue
            gaps, left_out = _pairs(part, settings)
            unjudged = tuple(dict.fromkeys([*_small(part, settings), *left_out]))
            rows = _gap_rows(family, replace(common, unjudged=unjudged), part, rate, gaps, settings)
            found.metrics += rows
            same = {"split": split, "attribute": common.attribute, "control": control, "rate": name}
            strata += list(_stratum_records(part, same, settings))
            pairs += [same | gap.record() for gap in gaps]
            found.caveats += _caveats(rows[0], part, rate, control, gaps, settings)
            if family == "conditional_demographic_parity":
                found.metrics += _disparity_rows(common, part, settings)
    found.tables["conditional"] = pa.Table.from_pylist(strata, schema=STRATA)
    found.tables["conditional_pairs"] = pa.Table.from_pylist(pairs, schema=PAIRS)
    return found


def _better(kind: str) -> Better:
    return "higher" if kind == "ratio" else "lower"


def _strata(margin: Counts, rate: Rate, control: str) -> _Strata:
    names = sorted({joined(group[:-1]) for group in margin.groups})
    strata = sorted({group[-1] for group in margin.groups})
    successes, n = (np.zeros((len(names), len(strata)), dtype=np.int64) for _ in range(2))
    some, every = fraction_of(margin.cells, rate)
    for at, group in enumerate(margin.groups):
        place = names.index(joined(group[:-1])), strata.index(group[-1])
        successes[place], n[place] = some[at], every[at]
    return _Strata(names, strata, successes, n)


def _refusal(counts: Counts, part: _Strata) -> str:
    if counts.weights is not None:
        return "rows are weighted; common gaps over strata are made of rows that all count the same"
    if part.n.size > MOST_CELLS:
        return f"{len(part.names)} groups in {len(part.strata)} strata are too many; put the factor into bands"
    return ""


def _small(part: _Strata, settings: Settings) -> list[str]:
    enough = part.n.sum(axis=1) >= max(1, settings.minimum_group)
    return [name for name, is_enough in zip(part.names, enough, strict=True) if not is_enough]


def _pairs(part: _Strata, settings: Settings) -> tuple[list[PairGap], list[str]]:
    """Every pair of judged groups that meet in rows enough, and what had to be left out."""
    least = max(1, settings.minimum_group)
    judged = np.flatnonzero(part.n.sum(axis=1) >= least).tolist()
    every = [(i, j) for at, i in enumerate(judged) for j in judged[at + 1 :]]
    critical = simultaneous_critical(len(every), settings.confidence)
    gaps, left_out = [], []
    for i, j in every:
        both = (part.n[i] > 0) & (part.n[j] > 0)
        if min(part.n[i][both].sum(), part.n[j][both].sum()) < least:
            left_out.append(f"{part.names[i]} and {part.names[j]} (fewer than {least} rows in strata with both)")
            continue
        names, strata = (part.names[i], part.names[j]), part.strata
        gaps.append(pair_gap(names, strata, part.successes[[i, j]], part.n[[i, j]], critical))
    return gaps, left_out


def _gap_rows(
    family: str, common: MetricRow, part: _Strata, rate: Rate, gaps: list[PairGap], settings: Settings
) -> list[MetricRow]:
    ratio = replace(common, metric=f"{family}_ratio", unit="ratio", better="higher")
    worst = replace(common, metric=f"{family}_worst_stratum_difference")
    if not gaps:
        reason = (
            f"a comparison needs two groups with at least {max(1, settings.minimum_group)} {rate.among} in strata "
            "that have both"
        )
        return [replace(row, status="insufficient", reason=reason) for row in (common, ratio, worst)]
    widest = max(gaps, key=lambda gap: abs(gap.common.difference))
    how = f"Mantel-Haenszel over strata, {{}} variance, bounds for {_counted(len(gaps), 'pair')} together; {{}}"
    of = f"{widest.first} – {widest.second}"
    done: dict[str, Any] = {"status": "ok", "reason": "", "confidence": settings.confidence}
    difference = replace(
        common, **done, value=abs(widest.common.difference),
        lower=max(max(0.0, gap.common.lower, -gap.common.upper) for gap in gaps),
        upper=max(max(abs(gap.common.lower), abs(gap.common.upper)) for gap in gaps),
        method=how.format("Sato", of),
    )  # fmt: skip
    folded = [(*fold_ratio(gap.common), gap) for gap in gaps if gap.common.ratio is not None]
    if len(folded) == len(gaps):
        value, _, _, smallest = min(folded, key=lambda found: found[0])
        pair = f"{smallest.first} – {smallest.second}"
        ratio = replace(
            ratio, **done, value=value, lower=min(found[1] for found in folded),
            upper=min(found[2] for found in folded), method=how.format("Greenland-Robins", pair),
        )  # fmt: skip
    else:
        reason = f"groups whose {rate.title} is 0 in all strata have no ratio"
        ratio = replace(ratio, status="insufficient", reason=reason)
    return [difference, ratio, _worst_row(worst, part, gaps, settings, done)]


def _worst_row(
    row: MetricRow, part: _Strata, gaps: list[PairGap], settings: Settings, done: dict[str, Any]
) -> MetricRow:
    """The largest difference within a stratum, over the pairs and strata with rows enough."""
    least = max(1, settings.minimum_group)
    cells = [
        (part.names.index(gap.first), part.names.index(gap.second), at)
        for gap in gaps
        for at in range(len(part.strata))
    ]
    cells = [(i, j, k) for i, j, k in cells if min(part.n[i, k], part.n[j, k]) >= least]
    if not cells:
        return replace(row, status="insufficient", reason=f"no stratum has {least} rows of each of two groups")
    critical = simultaneous_critical(len(cells), settings.confidence)
    found = []
    for i, j, k in cells:
        pair = pairwise_differences(part.successes[[i, j], k], part.n[[i, j], k], critical, corrected=len(cells) > 1)
        found.append((float(pair.estimate[0]), float(pair.lower[0]), float(pair.upper[0])))
    at = int(np.argmax([abs(value) for value, _, _ in found]))
    i, j, k = cells[at]
    small = [
        f"{name} in {stratum}"
        for a, name in enumerate(part.names)
        for b, stratum in enumerate(part.strata)
        if part.n[a, b] and not any(k == b and a in (i, j) for i, j, k in cells)
    ]
    return replace(
        row, **done, value=abs(found[at][0]),
        lower=max(max(0.0, low, -high) for _, low, high in found),
        upper=max(max(abs(low), abs(high)) for _, low, high in found),
        unjudged=tuple(dict.fromkeys([*row.unjudged, *small])),
        method=f"Newcombe bounds for {_counted(len(cells), 'comparison')} together; {part.names[i]} – {part.names[j]} "
        f"in {part.strata[k]}",
    )  # fmt: skip


def _disparity_rows(common: MetricRow, part: _Strata, settings: Settings) -> Iterator[MetricRow]:
    critical = simultaneous_critical(len(part.names), settings.confidence)
    found = conditional_disparity(part.successes, part.n, critical)
    small = _small(part, settings)
    for at, name in enumerate(part.names):
        row = replace(common, metric=DISPARITY, group=name, n=int(part.n[at].sum()), status="insufficient")
        if name in small:
            yield replace(row, reason=f"only {row.n} rows, fewer than the {settings.minimum_group} needed to judge")
        elif found is None:
            yield replace(row, reason="in no stratum are people both accepted and refused")
        else:
            this = found[at]
            left = f", {_counted(this.left_out, 'stratum', 'strata')} without both left out" if this.left_out else ""
            yield replace(
                row, value=this.value, lower=this.lower, upper=this.upper, confidence=settings.confidence, reason="",
                status="ok", method=f"share of the refused less share of the accepted, strata by their rows{left}",
            )  # fmt: skip


def _stratum_records(part: _Strata, same: dict[str, str], settings: Settings) -> Iterator[dict[str, object]]:
    lower, upper = wilson(np.where(part.n > 0, part.successes, 0), np.maximum(part.n, 1), settings.confidence)
    for at, k in np.argwhere(part.n > 0).tolist():
        s, n = int(part.successes[at, k]), int(part.n[at, k])
        yield {**same, "stratum": part.strata[k], "group": part.names[at], "n": n, "successes": s, "value": s / n,
               "lower": float(lower[at, k]), "upper": float(upper[at, k])}  # fmt: skip


def _caveats(
    row: MetricRow, part: _Strata, rate: Rate, control: str, gaps: list[PairGap], settings: Settings
) -> Iterator[Caveat]:
    """What a reader of the common gap has to know: strata left out, strata that disagree."""
    about = f"fairness/{row.metric}"
    single = (part.n > 0).sum(axis=0) == 1
    if single.any():
        names = [part.strata[k] for k in np.flatnonzero(single).tolist()]
        listed = ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
        yield Caveat(
            "fairness",
            f"{rate.title} by {row.attribute} given {control}: strata with one group only are left out of the common "
            f"gap, {int(part.n[:, single].sum()):,} of {int(part.n.sum()):,} rows: {listed}",
            about,
        )
    tested = [gap for gap in gaps if gap.test is not None]
    level = (1 - settings.confidence) / max(1, len(tested))
    for gap in tested:
        if gap.test is not None and gap.test.p_value < level:
            yield Caveat(
                "fairness",
                f"{rate.title} given {control}: the difference between {gap.first} and {gap.second} is not the same in "
                f"all strata (Cochran's Q {gap.test.statistic:.1f} on {gap.test.degrees} degrees, p "
                f"{gap.test.p_value:.2g}); the common gap averages strata that disagree: read them one by one",
                about,
            )


def _counted(count: int, one: str, many: str = "") -> str:
    return f"{count} {one if count == 1 else many or one + 's'}"
