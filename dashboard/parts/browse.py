"""Looking through rows of a table where they lie: DuckDB filters, orders and pages; only one page is ever loaded."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from zlib import crc32

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


def columns_of(evidence: Evidence, table: str) -> list[str]:
    """The names of a table's columns; none where the audit has no such table."""
    if table not in evidence.table_names():
        return []
    return list(evidence.query("select * from t limit 0", t=table).column_names)


def distinct(evidence: Evidence, table: str, column: str) -> list[Any]:
    """The values of a column, sorted."""
    name = identifier(column)
    found = evidence.query(f"select distinct {name} as value from t where {name} is not null order by 1", t=table)
    return found.column("value").to_pylist()


@dataclass(frozen=True, slots=True)
class Listing:
    """Which rows of a table to list: its columns with their headings, SQL conditions and order over the view `t`.

    What a user named comes into the SQL through `literal` and `identifier`. others: further tables that conditions may
    speak of, by the name they have there. made: columns that the table itself lacks, as SQL.
    """

    table: str
    columns: Mapping[str, Any]
    conditions: Sequence[str]
    order: str
    key: str
    others: Mapping[str, str] = field(default_factory=dict)
    made: Mapping[str, str] = field(default_factory=dict)

    def page(self, evidence: Evidence) -> pa.Table:
        """The page that the reader has turned to; the widget that turns pages is drawn by `turn`."""
        named = {column: identifier(column) for column in self.columns}
        listed = ", ".join(f"{self.made.get(column, name)} as {name}" for column, name in named.items())
        place = f"limit {PAGE} offset {PAGE * (int(st.session_state.get(self._state(evidence), 1)) - 1)}"
        return evidence.query(f"select {listed} from t {self._where()} order by {self.order} {place}", **self._tables())

    def turn(self, evidence: Evidence) -> None:
        """The widget that turns pages, where there is more than one."""
        counted = evidence.query(f"select count(*) as n from t {self._where()}", **self._tables())
        pages = -(-int(counted.column("n")[0].as_py()) // PAGE)
        if pages > 1:
            st.pagination(pages, key=self._state(evidence))

    def _state(self, evidence: Evidence) -> str:
        """Where the page's number is kept: other conditions or another audit begin at their first page."""
        about = f"{evidence.info['result_digest']} {self.conditions}"
        return f"{self.key}-page-{crc32(about.encode()):08x}"

    def _tables(self) -> dict[str, str]:
        return {"t": self.table, **self.others}

    def _where(self) -> str:
        return f"where {' and '.join(self.conditions)}" if self.conditions else ""


def show_rows(evidence: Evidence, listing: Listing) -> None:
    """Show the rows, a page at a time."""
    found = listing.page(evidence)
    if found.num_rows == 0:
        _say_none()
        return
    st.dataframe(found, hide_index=True, placeholder=NO_VALUE, column_config=listing.columns, key=f"{listing.key}-rows")
    listing.turn(evidence)


def choose_row(evidence: Evidence, listing: Listing) -> dict[str, Any] | None:
    """Show the rows, a page at a time, to choose one of; returns that row, or None where there are none."""
    found = listing.page(evidence)
    if found.num_rows == 0:
        _say_none()
        return None
    picked = st.dataframe(
        found,
        hide_index=True,
        placeholder=NO_VALUE,
        column_config=listing.columns,
        key=f"{listing.key}-rows",
        on_select="rerun",
        selection_mode="single-row-required",
        selection_default={"selection": {"rows": [0]}},
    )
    listing.turn(evidence)
    rows = [place for place in picked.selection.rows if place < found.num_rows]
    chosen: dict[str, Any] = found.slice(rows[0] if rows else 0, 1).to_pylist()[0]
    return chosen


def _say_none() -> None:
    st.info("No row is like that.", icon=":material/filter_alt_off:")
