import duckdb
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dashboard.parts.browse import identifier, literal

TEXT = st.text(alphabet=st.characters(codec="utf-8", exclude_characters="\x00"))


def rows(sql: str) -> list[tuple]:
    with duckdb.connect() as connection:
        return connection.execute(sql).fetchall()


@given(TEXT)
def test_a_literal_is_that_text_whatever_it_holds(text: str) -> None:
    assert rows(f"select {literal(text)} as value") == [(text,)]


@given(TEXT.filter(bool))
def test_an_identifier_is_that_column_whatever_it_holds(name: str) -> None:
    assert rows(f"select {identifier(name)} from (select 7 as {identifier(name)})") == [(7,)]


@pytest.mark.parametrize("attempt", ["x'; drop table t; --", "' or '1'='1", "'; copy t to '/tmp/x'; --"])
def test_sql_in_a_name_stays_a_name(attempt: str) -> None:
    assert rows(f"select count(*) from (select 'a' as label) where label = {literal(attempt)}") == [(0,)]
