"""Metric rows of rankings: one for each group, one for the gap between groups."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from auditkit.evidence.metrics import MetricRow
from auditkit.fairness.groups.definitions import Kind
from auditkit.fairness.groups.gaps import worst
from auditkit.fairness.outcomes.comparisons import Floats, Grouping, widest
from auditkit.fairness.outcomes.resampled import Resampled
from auditkit.fairness.settings import Settings


def too_few(count: int, settings: Settings) -> str:
    """Why a group of so many candidates is not judged, or nothing."""
    needed = max(2, settings.minimum_group)
    return "" if count >= needed else f"only {count} candidates, fewer than the {needed} needed to judge"


def group_and_gap_rows(
    grouping: Grouping,
    name: str,
    gap: str,
    kind: Kind,
    value: Floats,
    n: Sequence[int],
    why: list[str],
    resampled: Resampled | None,
    made: str,
    settings: Settings,
) -> Iterator[MetricRow]:
    """A row for each group and one for the gap. why: per group, why it is not judged, or nothing."""
    why = list(why)
    if resampled is not None:
        for at, error in enumerate(resampled.errors()):
            if not why[at] and not error > 0:
                why[at] = "it does not vary between resamples, so how sure it is is unknown"
    able = np.array([at for at, text in enumerate(why) if not text], dtype=np.int64)
    common = MetricRow(
        "fairness", name, attribute=grouping.attribute, unit="ratio" if kind == "ratio" else "rate",
        better="none" if kind == "ratio" else "higher", status="insufficient", reason="not computed",
    )  # fmt: skip
    lower, upper = np.zeros((2, len(n)))
    if resampled is not None:
        lower, upper = resampled.intervals(settings.confidence)
    for at, text in enumerate(why):
        row = replace(common, group=grouping.names[at], n=int(n[at]), reason=text or common.reason)
        yield row if text else replace(
            row, value=float(value[at]), lower=float(lower[at]), upper=float(upper[at]), status="ok", reason="",
            confidence=settings.confidence, method=made,
        )  # fmt: skip
    if not grouping.attribute:
        return
    names = [grouping.names[at] for at in able]
    row = replace(
        common, metric=gap, n=int(sum(n[at] for at in able)), unit="ratio" if kind == "ratio" else "points",
        better="higher" if kind == "ratio" else "lower",
        unjudged=tuple(name for name in grouping.names if name not in names),
    )  # fmt: skip
    if resampled is None or len(able) < 2:
        shared = {text for text in why if text}
        who = f"only {names[0]!r} can be judged" if names else "no group can be judged"
        same = f": {next(iter(shared))}" if len(shared) == 1 else ""
        yield replace(row, reason=f"a comparison needs two groups, and {who}{same}")
        return
    judged = resampled.chosen(able)
    if kind == "ratio" and not judged.value.any():
        yield replace(row, reason="no judged group got anything, so there is no ratio")
        return
    pairs, critical = judged.pairs(settings.confidence)
    worst_value, low, high = worst(kind, [pairs])
    count = len(pairs.estimate)
    yield replace(
        row, value=worst_value, lower=low, upper=high, status="ok", reason="", confidence=settings.confidence,
        detail=widest(kind, pairs, judged.value, names),
        method=f"simultaneous over {count} {'pair' if count == 1 else 'pairs'} at {critical:.2f} standard "
        f"errors, {made}",
    )  # fmt: skip
