"""Tables of formatted text: short ones laid out in full, long ones in a grid that scrolls."""

from collections.abc import Mapping, Sequence

import pyarrow as pa
import streamlit as st

from auditkit.theme import NO_VALUE
from dashboard.parts.text import escape, muted

_ROWS_IN_FULL, _COLUMNS_IN_FULL = 14, 8
_ROWS_OF_SENTENCES, _SENTENCE = 40, 40
"""a table with a cell of so many letters, which a grid would cut, is laid out in full up to so many rows"""


def show_table(table: pa.Table, key: str) -> None:
    """Show a table of plain text, as evidence and views give it."""
    most = _ROWS_OF_SENTENCES if _has_sentences(table) else _ROWS_IN_FULL
    if table.num_rows <= most and table.num_columns <= _COLUMNS_IN_FULL:
        columns = zip(table.column_names, table.columns, strict=True)
        show_markdown_table(
            {
                name: [escape(NO_VALUE if cell is None else cell) for cell in column.to_pylist()]
                for name, column in columns
            }
        )
    else:
        show_grid(table, key)


def _has_sentences(table: pa.Table) -> bool:
    return any(len(str(cell)) >= _SENTENCE for column in table.columns for cell in column.to_pylist())


def show_markdown_table(columns: Mapping[str, Sequence[str]]) -> None:
    """Show columns whose cells are Markdown: escaped already, perhaps with colour."""
    st.table({escape(name): list(cells) for name, cells in columns.items()}, border="horizontal", hide_index=True)


def show_facts(facts: Mapping[str, str]) -> None:
    """Show names and their values, one pair to a line; a name without a value is left out."""
    with st.container(gap="xxsmall"):
        for name, value in facts.items():
            if value in ("", NO_VALUE):
                continue
            left, right = st.columns([1, 4], gap="small")
            left.markdown(muted(name))
            right.markdown(escape(value))


def show_grid(table: pa.Table, key: str) -> None:
    """Show a table in a grid that scrolls and whose cells can be copied whole."""
    st.dataframe(table, hide_index=True, key=key, placeholder=NO_VALUE)
