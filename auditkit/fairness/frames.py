"""A check's results as data frames, shaped as fairlearn's `MetricFrame` shapes them.

`overall` is a Series by metric, `by_group` a frame with one row per group and one column per metric, indexed by the
sensitive attributes, `disparities` the gaps by attribute. What could not be judged is NaN there; `by_group_status` says
why. Moving over from fairlearn is changing an import: the numbers are the same wherever fairlearn's are defined.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from auditkit.evidence.metrics import MetricRow
from auditkit.fairness.counting.counts import Group, joined
from auditkit.fairness.groups.definitions import GAPS, RATES
from auditkit.fairness.groups.derived import DERIVED

if TYPE_CHECKING:
    import pandas as pd

METRICS = (*RATES, *DERIVED)


def overall(rows: Sequence[MetricRow]) -> pd.Series:
    """Each metric over everybody."""
    import pandas as pd

    values = {row.metric: row.value for row in rows if not row.attribute and row.metric in METRICS}
    return pd.Series(values, dtype=float, name="overall")


def by_group(rows: Sequence[MetricRow], attributes: Sequence[str], groups: Sequence[Group], field: str) -> pd.DataFrame:
    """One field (`value`, `lower`, `upper`, `n`, `status`, `reason`) of each group's metrics.

    groups: combinations of the attributes' values, in the order they are to stand.
    """
    import pandas as pd

    names = {joined(group): group for group in groups}
    cells: dict[str, dict[Group, object]] = {}
    for row in rows:
        if row.attribute == joined(attributes) and row.metric in METRICS:
            cells.setdefault(row.metric, {})[names[row.group]] = getattr(row, field)
    index = pd.MultiIndex.from_tuples(groups, names=list(attributes))
    found = {metric: [values.get(group) for group in groups] for metric, values in cells.items()}
    frame = pd.DataFrame(found, index=index, dtype=float if field in ("value", "lower", "upper") else None)
    return frame if len(attributes) > 1 else frame.set_axis(index.get_level_values(0))


def disparities(rows: Sequence[MetricRow]) -> pd.DataFrame:
    """The gaps: one row per attribute and gap, with value, interval, the groups it lies between and those left out."""
    import pandas as pd

    records = [
        {
            "attribute": row.attribute,
            "gap": row.metric,
            "value": row.value,
            "lower": row.lower,
            "upper": row.upper,
            "between": row.detail,
            "status": row.status,
            "unjudged": list(row.unjudged),
        }
        for row in rows
        if row.metric in GAPS
    ]
    return pd.DataFrame(records).set_index(["attribute", "gap"])
