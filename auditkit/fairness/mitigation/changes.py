"""Who gains and who loses by a policy: the people of each group whose decision changes, and how many of those rightly.

A gain is a change from a negative to a positive decision and right where the label is positive; a loss is the opposite
and right where the label is negative. The change of accuracy is paired, on the same rows: its interval is Agresti and
Min's (2005, Biometrics 61, 296-301), which adds half a row to each cell of right and wrong before and after.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from auditkit.evidence.metrics import MetricRow
from auditkit.fairness.counting.counts import joined
from auditkit.fairness.release import PairedCounts
from auditkit.fairness.settings import Settings
from auditkit.statistics.intervals import normal_quantile, wilson

PER = 1000


def change_of_accuracy(moved: PairedCounts, confidence: float = 0.95) -> tuple[float, float, float]:
    """The new accuracy minus today's, with its interval (value, lower, upper); rows >= 1.

    >>> cells = np.array([[[[50, 10], [0, 0]], [[0, 30], [0, 10]]]])
    >>> [round(part, 3) for part in change_of_accuracy(PairedCounts((), ((),), cells))]
    [0.2, 0.079, 0.313]
    """
    up, down = moved.cells[:, :, 0, 1].sum(axis=0), moved.cells[:, :, 1, 0].sum(axis=0)
    better, worse = float(up[1] + down[0]), float(up[0] + down[1])
    n = float(moved.cells.sum())
    value = (better - worse) / n
    shift = (better - worse) / (n + 2)
    error = np.sqrt((better + worse + 1) / (n + 2) - shift**2) / np.sqrt(n + 2)
    reach = normal_quantile(confidence) * float(error)
    return value, max(-1.0, min(value, shift - reach)), min(1.0, max(value, shift + reach))


def accuracy_change_row(moved: PairedCounts, settings: Settings, metric: str, split: str, detail: str) -> MetricRow:
    """The change of accuracy over all groups as a metric row."""
    n = int(moved.cells.sum())
    short = n < max(1, settings.minimum_group)
    value, lower, upper = (None, None, None) if short else change_of_accuracy(moved, settings.confidence)
    return MetricRow(
        "fairness",
        metric,
        split=split,
        attribute=joined(moved.attributes),
        detail=detail,
        value=value,
        lower=lower,
        upper=upper,
        confidence=None if short else settings.confidence,
        n=n,
        unit="points",
        better="higher",
        status="insufficient" if short else "ok",
        reason=f"only {n} rows, fewer than the {settings.minimum_group} needed to judge" if short else "",
        method="" if short else "paired adjusted Wald interval (Agresti and Min)",
    )


def who_changes(moved: PairedCounts, confidence: float = 0.95) -> Iterator[dict[str, object]]:
    """A record per group: rows, gains and losses, how many of them are right, and both per 1,000 people (Wilson)."""
    for at, name in enumerate(joined(group) for group in moved.groups):
        cells = moved.cells[at]
        n = int(cells.sum())
        record: dict[str, object] = {"group": name, "n": n}
        for what, (before, after), label in (("gained", (0, 1), 1), ("lost", (1, 0), 0)):
            people = int(cells[:, before, after].sum())
            record[what] = people
            record[f"{what}_right"] = int(cells[label, before, after])
            lower, upper = wilson(people, n, confidence) if n else (None, None)
            record[f"{what}_per_1000"] = PER * people / n if n else None
            record[f"{what}_lower"] = None if lower is None else PER * float(lower)
            record[f"{what}_upper"] = None if upper is None else PER * float(upper)
        yield record
