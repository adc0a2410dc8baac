"""Looking through rows of a table where they lie: DuckDB filters, orders and pages; only one page is ever loaded."""

from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import streamlit as st

from auditkit.evidence.store import Evidence
from auditkit.theme import NO_VALUE

PAGE = 10


def literal(value: object) -> str:
    """A value as an SQL literal; a quote in a text is doubled.

    >>> literal("it's"), literal(3), literal(None)
    ("'it''s'", '3', 'NULL')
    """
    if value is None:
        return "NULL"
    if isinstance(value, bool | int | float):
        return str(value)
    return "'" + str(value).replace("'", "''") + "'"


def identifier(name: str) -> str:
    """A column's name as SQL, whatever it holds.

    >>> identifier('a"b')
    '"a""b"'
    """
    return '"' + name.replace('"', '""') + '"'


def distinct(evidence: Evidence, table: str, column: str) -> list[Any]:
    """The values of a column, sorted."""
    name = identifier(column)
    found = evidence.query(f"select distinct {name} as value from t where {name} is not null order by 1", t=table)
    return found.column("value").to_pylist()


def show_page(
    evidence: Evidence,
    table: str,
    columns: Sequence[str],
    conditions: Sequence[str],
    order: str,
    key: str,
    column_config: dict[str, Any] | None = None,
    choose: bool = True,
) -> dict[str, Any] | None:
    """Show one page of the rows that meet every condition; returns the row chosen there (`choose`), or None.

    `conditions` and `order` are SQL over the view `t`; what a user named comes in through `literal` and `identifier`.
    """
    where = f"where {' and '.join(conditions)}" if conditions else ""
    total = evidence.query(f"select count(*) as n from t {where}", t=table).column("n")[0].as_py()
    if total == 0:
        st.info("No row is like that.", icon=":material/filter_alt_off:")
        return None
    pages, state = -(-total // PAGE), f"{key}-page"
    page = min(int(st.session_state.get(state, 1)), pages)
    if state in st.session_state:
        st.session_state[state] = page
    listed = ", ".join(identifier(column) for column in columns)
    sql = f"select {listed} from t {where} order by {order} limit {PAGE} offset {PAGE * (page - 1)}"
    found: pa.Table = evidence.query(sql, t=table)
    shown = {"hide_index": True, "placeholder": NO_VALUE, "column_config": column_config, "key": f"{key}-rows-{page}"}
    if choose:
        first = {"selection": {"rows": [0]}}
        picked = st.dataframe(
            found, on_select="rerun", selection_mode="single-row", selection_default=first, **shown
        ).selection.rows
    else:
        st.dataframe(found, **shown)
        picked = []
    if pages > 1:
        st.pagination(pages, key=state)
    if not choose:
        return None
    place = picked[0] if picked and picked[0] < found.num_rows else 0
    record: dict[str, Any] = found.slice(place, 1).to_pylist()[0]
    return record
