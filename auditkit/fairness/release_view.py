"""What changed since the last release, as a section: one figure, one table."""

from __future__ import annotations

from collections.abc import Sequence

import plotly.graph_objects as go
import pyarrow as pa

from auditkit import theme
from auditkit.evidence.metrics import MetricRow, select
from auditkit.evidence.section import Section
from auditkit.fairness.sentences import NOT_JUDGED, shown
from auditkit.theme import probability


def release_section(rows: Sequence[MetricRow]) -> Section | None:
    """The section, where the rows hold a comparison with the last release."""
    changes = select(rows, metric="accuracy_change")
    if not changes:
        return None
    judged = [row for row in changes if row.status == "ok"]
    return Section(
        key="release",
        title="Against the last release",
        finding=_finding(rows),
        figure=_figure(judged) if judged else None,
        reading="Each dot is a group's accuracy under the new release minus that under the last, on the same rows; the "
        "line is its interval. Left of the dotted line the new one is worse.",
        table=_table(rows, changes),
        how="Rows are counted by group, label, old and new decision. p-values are exact McNemar tests of the rows that "
        "one release gets right and the other wrong, adjusted over all groups together (Holm). Intervals are paired.",
    )


def name_of(row: MetricRow) -> str:
    """Whom a row is about."""
    return f"{row.group} ({row.attribute})" if row.attribute else "everybody"


def is_sure(row: MetricRow) -> bool:
    """Whether an adjusted p-value is below what the check's confidence asks for."""
    return row.value is not None and row.confidence is not None and row.value <= 1 - row.confidence


def _adjusted(rows: Sequence[MetricRow]) -> dict[str, MetricRow]:
    return {name_of(row): row for row in select(rows, metric="accuracy_change_p_value_adjusted")}


def _finding(rows: Sequence[MetricRow]) -> str:
    sure = {name for name, row in _adjusted(rows).items() if is_sure(row)}
    changes = {name_of(row): row.value or 0.0 for row in select(rows, metric="accuracy_change")}
    worse = [name for name in changes if name in sure and changes[name] < 0]
    better = [name for name in changes if name in sure and changes[name] > 0]
    if worse:
        return f"The new release is less accurate for {', '.join(worse)}, beyond chance."
    if better:
        return f"No judged group got worse beyond chance; {', '.join(better)} got better."
    return "No judged group's accuracy changed beyond chance."


def _figure(rows: Sequence[MetricRow]) -> go.Figure:
    figure = go.Figure(
        go.Scatter(
            x=[row.value for row in rows],
            y=[theme.escape(theme.short(name_of(row), 32)) for row in rows],
            error_x={
                "type": "data",
                "symmetric": False,
                "array": [(row.upper or 0) - (row.value or 0) for row in rows],
                "arrayminus": [(row.value or 0) - (row.lower or 0) for row in rows],
                "thickness": 2,
                "width": 0,
            },
            mode="markers",
            marker={"size": 10, "color": theme.CATEGORIES[0]},
            hovertemplate="%{y}: %{x:.1%}<extra></extra>",
        )
    )
    figure.add_vline(x=0, line={"dash": "dot", "color": theme.MUTED})
    figure.update_layout(template=theme.template(), title="Change of accuracy", height=150 + 34 * len(rows))
    figure.update_xaxes(title="new minus old accuracy", tickformat="+.1%", zeroline=False)
    figure.update_yaxes(autorange="reversed", type="category")
    return figure


def _table(rows: Sequence[MetricRow], changes: Sequence[MetricRow]) -> pa.Table:
    adjusted = _adjusted(rows)
    records = []
    for change in changes:
        mine = select(rows, attribute=change.attribute, group=change.group)
        by_metric = {row.metric: row for row in mine}
        p = adjusted.get(name_of(change))
        records.append(
            {
                "group": name_of(change),
                "rows": theme.number(change.n, "rows"),
                "decisions changed": shown(by_metric["churn"]),
                "accuracy": shown(change),
                "selection rate": shown(by_metric["selection_rate_change"]),
                "true positive rate": shown(by_metric["true_positive_rate_change"]),
                "false positive rate": shown(by_metric["false_positive_rate_change"]),
                "p (Holm)": NOT_JUDGED if p is None or p.value is None else probability(p.value),
            }
        )
    return pa.Table.from_pylist(records)
