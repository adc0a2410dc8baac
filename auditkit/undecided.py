"""What would decide a gate that is inconclusive: how many more rows, and of whom.

A gap between groups is undecided because of the groups that have few rows. Where the groups' own rates stand in the
metric table, the pairs of groups whose bounds straddle the limit are found again, and for each the rows are planned
that the smaller group lacks (`auditkit.statistics.power.rows_by_group`). Any other number is planned as a whole: an
interval shrinks with the root of its rows.

Rows that just bring an edge to the limit would decide only half of the time, since the next sample's value falls on
either side of this one's; so the way is planned for a power of 80 %.
"""

import math
from collections import defaultdict
from collections.abc import Sequence
from statistics import NormalDist

from auditkit.evidence.metrics import MetricRow
from auditkit.statistics.power import POWER, rows_by_group

FARTHEST = 30
"""an interval this many times wider than the way to the limit would need a thousand times the rows"""
NAMED = 3
_HARDLY = "it lies so near the limit that hardly any number of rows would decide it"


def what_would_decide(row: MetricRow, limit: float, rows: Sequence[MetricRow]) -> str:
    """The rest of a sentence that says what would decide it, should the value stay. rows: the metric table."""
    if row.value is None or row.lower is None or row.upper is None or not row.n:
        return "more rows would decide it"
    if row.compares:
        needed = _by_group(row, limit, rows)
        if needed is not None:
            return _listed(needed) if needed else _HARDLY
    distance = abs(row.value - limit)
    reach = row.value - row.lower if limit < row.value else row.upper - row.value
    normal = NormalDist()
    planned = reach * (1 + normal.inv_cdf(POWER) / normal.inv_cdf(0.5 + (row.confidence or 0.95) / 2))
    if distance == 0 or reach / distance > FARTHEST:
        return _HARDLY
    more = max(1.0, row.n * ((planned / distance) ** 2 - 1))
    return f"about {_rounded(more)} more rows like these would decide it, four times in five"


def _by_group(row: MetricRow, limit: float, rows: Sequence[MetricRow]) -> dict[str, int] | None:
    """Group → more rows, empty where no number will do, None where the groups' rates are not known."""
    same = [r for r in rows if (r.analysis, r.split, r.attribute) == (row.analysis, row.split, row.attribute)]
    plans: list[tuple[bool, dict[str, int]]] = []
    for metric in row.compares:
        rates = [r for r in same if r.metric == metric and r.group and r.value is not None and r.n]
        if len(rates) < 2:
            return None
        values, sizes = [r.value or 0.0 for r in rates], [r.n or 1 for r in rates]
        ratio = row.unit == "ratio"
        plan = rows_by_group(values, sizes, limit, ratio=ratio, confidence=row.confidence or 0.95)
        if plan is None:
            return {}
        low, high = min(values), max(values)
        beyond = low < limit * high if ratio else high - low > limit
        plans.append((beyond, {rates[place].group: more for place, more in plan.items()}))
    far = [plan for beyond, plan in plans if beyond and plan]
    if any(beyond for beyond, _ in plans):  # one rate that lies beyond decides
        return min(far, key=lambda plan: sum(plan.values())) if far else None
    most: dict[str, int] = defaultdict(int)
    for _, named in plans:
        for group, more in named.items():
            most[group] = max(most[group], more)
    return dict(most) if most else None


def _listed(needed: dict[str, int]) -> str:
    ordered = sorted(needed.items(), key=lambda item: -item[1])
    parts = [f"{_rounded(more)} more rows of {group!r}" for group, more in ordered[:NAMED]]
    if len(ordered) > NAMED:
        parts.append(f"fewer of {len(ordered) - NAMED} more {'group' if len(ordered) == NAMED + 1 else 'groups'}")
    text = parts[0] if len(parts) == 1 else ", ".join(parts[:-1]) + " and " + parts[-1]
    return f"about {text} would decide it, four times in five"


def _rounded(more: float) -> str:
    step = 10.0 ** max(0, math.floor(math.log10(max(more, 1))) - 1)
    return f"{math.ceil(more / step - 1e-6) * step:,.0f}"
