"""Against the last release: the same people, the old model's decisions and the new one's. Did any group get worse?

Everything is counted as group × label × old decision × new decision, so that the two models are compared on identical
rows. For each group: churn (the share of decisions that changed), the change of accuracy with the exact McNemar test
(only rows that one model gets right and the other wrong speak; under no change they fall either way like a fair coin:
McNemar 1947, Psychometrika 12(2), 153-157), and the changes of selection, true positive and false positive rate.
p-values of all groups are adjusted together (Holm). Intervals of changes are paired: percentile intervals of
resampled counts, or, where fewer than twenty rows differ, Wilson's interval of which way they fell.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from scipy.special import bdtr

from auditkit.evidence.metrics import MetricRow, to_table
from auditkit.fairness.counting.columns import as_column, as_columns
from auditkit.fairness.counting.counts import Group, GroupCodes, encode_groups, joined
from auditkit.fairness.counting.decisions import decide
from auditkit.fairness.settings import Settings
from auditkit.statistics.intervals import wilson
from auditkit.statistics.multiplicity import holm
from auditkit.statistics.resampling import multinomial_replicates, percentile_interval

Integers = npt.NDArray[np.integer]
Booleans = npt.NDArray[np.bool_]
FEW = 20
LABEL, OLD, NEW = 1, 2, 3
"""axes of the cells, behind the group"""


@dataclass(frozen=True)
class PairedCounts:
    """Rows by group, label, old and new decision. cells: int64 [groups, label, old, new], 1 = positive."""

    attributes: tuple[str, ...]
    groups: tuple[Group, ...]
    cells: Integers

    @classmethod
    def tally(cls, groups: GroupCodes, truth: Booleans, old: Booleans, new: Booleans) -> PairedCounts:
        """Count rows. truth, old, new: bool [n]."""
        flat = ((groups.codes * 2 + truth) * 2 + old) * 2 + new
        cells = np.bincount(flat, minlength=8 * len(groups.groups)).reshape(-1, 2, 2, 2)
        return cls(groups.attributes, groups.groups, cells)

    def margin(self, attribute: str) -> PairedCounts:
        """The counts over one attribute alone."""
        at = self.attributes.index(attribute)
        names = sorted({group[at] for group in self.groups})
        cells = np.zeros((len(names), 2, 2, 2), dtype=np.int64)
        for group, part in zip(self.groups, self.cells, strict=True):
            cells[names.index(group[at])] += part
        return PairedCounts((attribute,), tuple((name,) for name in names), cells)


@dataclass(frozen=True)
class ReleaseCheck:
    """What changed. `metrics` holds a row per group and figure; `worse` names the groups that got worse for sure."""

    metrics: list[MetricRow]
    worse: tuple[str, ...]
    better: tuple[str, ...]
    unjudged: tuple[str, ...]

    @property
    def sentence(self) -> str:
        """The finding in one sentence."""
        judged = "among the groups that can be judged, " if self.unjudged else ""
        if self.worse:
            return f"The new release is less accurate for {', '.join(self.worse)}, beyond chance."
        if self.better:
            return f"{judged}no group got worse beyond chance; {', '.join(self.better)} got better.".capitalize()
        return f"{judged}no group's accuracy changed beyond chance.".capitalize()

    def table(self) -> pa.Table:
        """The rows as an Arrow table."""
        return to_table(self.metrics)


def compare_releases(
    y_true: Any,
    y_old: Any,
    y_new: Any,
    *,
    sensitive_features: Any,
    positive: Any = None,
    minimum_group: int = 30,
    replicates: int = 10_000,
    confidence: float = 0.95,
    seed: int = 0,
) -> ReleaseCheck:
    """Compare two models' decisions on the same rows, group by group and over everybody.

    y_true, y_old, y_new, sensitive_features, positive: as for `check_fairness`. Raises InputError likewise.

    >>> truth, old = [0, 1] * 200, [0, 1] * 150 + [1, 0] * 50
    >>> check = compare_releases(truth, old, truth, sensitive_features={"sex": ["f", "f", "m", "m"] * 100})
    >>> check.worse, check.better
    ((), ('everybody', 'f (sex)', 'm (sex)'))
    """
    where = "predictions"
    truth = as_column(y_true, "y_true")
    named = None if positive is None else str(positive)
    old = decide(truth, as_column(y_old, "y_old"), named, where=where, prediction_name="y_old")
    new = decide(truth, as_column(y_new, "y_new"), named, where=where, prediction_name="y_new")
    groups = encode_groups(as_columns(sensitive_features), where)
    counts = PairedCounts.tally(groups, old.truth, old.decision, new.decision)
    return compare(counts, Settings(minimum_group, replicates, confidence, seed=(seed,)))


def compare(counts: PairedCounts, settings: Settings) -> ReleaseCheck:
    """`compare_releases` from counts."""
    everybody = PairedCounts((), ((),), counts.cells.sum(axis=0, keepdims=True))
    tables = [everybody, *(counts.margin(attribute) for attribute in counts.attributes)]
    rng = np.random.default_rng(settings.seed)
    rows: list[MetricRow] = []
    for table in tables:
        drawn = multinomial_replicates(table.cells, settings.replicates, rng)
        for at, group in enumerate(table.groups):
            rows += _group_rows(table.attributes, group, table.cells[at], drawn[at], settings)
    tested = [row for row in rows if row.metric == "accuracy_change_p_value" and row.value is not None]
    adjusted = holm([row.value for row in tested if row.value is not None])
    how = f"exact McNemar test, Holm over {len(tested)} groups"
    changes = {(row.attribute, row.group): row.value for row in rows if row.metric == "accuracy_change"}
    worse: list[str] = []
    better: list[str] = []
    for row, p in zip(tested, adjusted, strict=True):
        mine = (row.attribute, row.group)
        rows.append(
            MetricRow(
                "fairness",
                "accuracy_change_p_value_adjusted",
                "",
                *mine,
                value=float(p),
                confidence=settings.confidence,
                n=row.n,
                method=how,
            )
        )
        if p <= 1 - settings.confidence:
            name = f"{row.group} ({row.attribute})" if row.attribute else "everybody"
            (worse if (changes[mine] or 0) < 0 else better).append(name)
    unjudged = [f"{row.group} ({row.attribute})" for row in rows if row.metric == "churn" and row.status != "ok"]
    return ReleaseCheck(rows, tuple(worse), tuple(better), tuple(unjudged))


def mcnemar(worse: int, better: int) -> float:
    """The exact two-sided p-value of `worse` against `better` discordant rows; 1 where there are none.

    >>> round(mcnemar(2, 10), 4), mcnemar(0, 0)
    (0.0386, 1.0)
    """
    n = worse + better
    return 1.0 if n == 0 else min(1.0, 2 * float(bdtr(min(worse, better), n, 0.5)))


def _group_rows(
    attributes: tuple[str, ...], group: Group, cells: Integers, drawn: Integers, settings: Settings
) -> Iterator[MetricRow]:
    """One group's rows. cells: [label, old, new]; drawn: the same, resampled, [..., replicates]."""
    row = partial(MetricRow, "fairness", attribute=joined(attributes), group=joined(group))
    for name, title, up, down, of in _changes(cells):
        n = int(of.sum())
        if n < max(1, settings.minimum_group):
            reason = f"only {n} rows {title}, fewer than the {settings.minimum_group} needed to judge"
            yield row(name, status="insufficient", reason=reason, n=n)
            continue
        gained, lost = int(up), int(down)
        estimate = (gained - lost) / n
        lower, upper, how = _interval(name, gained, lost, n, drawn, settings)
        unit, better = ("rate", "none") if name == "churn" else ("points", "none")
        value = (gained + lost) / n if name == "churn" else estimate
        yield row(
            name,
            value=value,
            lower=lower,
            upper=upper,
            confidence=settings.confidence,
            n=n,
            unit=unit,
            better="higher" if name == "accuracy_change" else better,  # type: ignore[arg-type]
            method=how,
        )
        if name == "accuracy_change":
            p = mcnemar(lost, gained)
            yield row("accuracy_change_p_value", value=p, n=gained + lost, method="exact McNemar test")


def _changes(cells: npt.NDArray) -> Iterator[tuple[str, str, npt.NDArray, npt.NDArray, npt.NDArray]]:
    """(metric, of which rows, rows that rose, rows that fell, all rows) from cells [label, old, new, ...]."""
    up, down = cells[:, 0, 1], cells[:, 1, 0]
    every = cells.sum(axis=(1, 2))
    yield "churn", "in it", up.sum(axis=0), down.sum(axis=0), every
    yield "accuracy_change", "in it", up[1] + down[0], down[1] + up[0], every
    yield "selection_rate_change", "in it", up.sum(axis=0), down.sum(axis=0), every
    yield "true_positive_rate_change", "with a positive label", up[1], down[1], every[1:]
    yield "false_positive_rate_change", "with a negative label", up[0], down[0], every[:1]


def _interval(
    name: str, gained: int, lost: int, n: int, drawn: Integers, settings: Settings
) -> tuple[float, float, str]:
    differing = gained + lost
    if name == "churn":
        lower, upper = wilson(differing, n, settings.confidence)
        return float(lower), float(upper), "Wilson's interval"
    if differing == 0:
        most = float(wilson(0, n, settings.confidence)[1])
        return -most, most, "Wilson's interval of the share that differs, none being seen"
    if differing < FEW:
        low, high = wilson(gained, differing, settings.confidence)
        share = differing / n
        return (2 * float(low) - 1) * share, (2 * float(high) - 1) * share, "Wilson's interval of which way rows fell"
    found: Mapping[str, tuple[Any, Any, Any]] = {key: (up, down, of) for key, _, up, down, of in _changes(drawn)}
    up, down, of = found[name]
    lower, upper = percentile_interval((up.astype(np.float64) - down) / np.maximum(of.sum(axis=0), 1))
    return float(lower), float(upper), f"paired percentile bootstrap, {settings.replicates:,} resamples"
