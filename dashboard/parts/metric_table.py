"""The whole metric table, narrowed to one discipline at a time: every number with its interval, n and status."""

import pyarrow as pa
import streamlit as st

from auditkit.evidence.metrics import MetricRow
from auditkit.evidence.store import Evidence
from auditkit.theme import interval, number
from dashboard.parts.table import show_grid
from dashboard.parts.text import muted


def show_metric_table(evidence: Evidence) -> None:
    """A grid of the metric rows of one discipline, and a word filter."""
    titles = {name: title for name, title in evidence.titles.items() if any(r.analysis == name for r in evidence.rows)}
    if not titles:
        st.markdown(muted("The audit left no numbers."))
        return
    left, right = st.columns([1, 2])
    discipline = left.selectbox("Discipline", list(titles), format_func=titles.__getitem__, filter_mode=None)
    words = right.text_input("Filter", placeholder="a metric, a split, a group …").lower().split()
    rows = [row for row in evidence.rows if row.analysis == discipline]
    kept = [row for row in rows if all(word in _searched(row) for word in words)]
    show_grid(_table(kept), key="metric-table")
    st.markdown(
        muted(f"{len(kept):,} of {len(rows):,} numbers. A dash is a number that does not exist; its status says why.")
    )


def _searched(row: MetricRow) -> str:
    return " ".join((row.metric, row.split, row.attribute, row.group, row.detail, row.status)).lower()


def _table(rows: list[MetricRow]) -> pa.Table:
    return pa.table(
        {
            "Metric": [row.metric for row in rows],
            "Split": [row.split for row in rows],
            "Of": [" · ".join(part for part in (row.attribute, row.group, row.detail) if part) for row in rows],
            "Value": [number(row.value, row.unit, row.lower, row.upper) for row in rows],
            "Interval": [interval(row.lower, row.upper, row.unit) for row in rows],
            "n": [number(row.n, "rows") for row in rows],
            "Status": [row.status + (f": {row.reason}" if row.reason else "") for row in rows],
        }
    )
