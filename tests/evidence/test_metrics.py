"""The tidy table: a value that is not ok is null and says why."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditkit.evidence.metrics import MetricRow, from_table, select, to_table

finite = st.floats(allow_nan=False, allow_infinity=False)
text = st.text(max_size=20)


@given(
    st.lists(
        st.builds(
            MetricRow,
            analysis=text,
            metric=text,
            group=text,
            value=finite,
            lower=st.none() | finite,
            n=st.none() | st.integers(0, 2**40),
            unjudged=st.lists(text, max_size=3).map(tuple),
        )
    )
)
def test_rows_survive_the_table(rows):
    assert from_table(to_table(rows)) == rows


@pytest.mark.parametrize("value", [None, math.nan, math.inf])
def test_an_ok_row_needs_a_finite_value(value):
    with pytest.raises(ValueError, match="finite"):
        MetricRow("a", "m", value=value)


def test_a_row_that_is_not_ok_carries_no_number_and_says_why():
    with pytest.raises(ValueError, match="must not carry a number"):
        MetricRow("a", "m", value=0.0, status="absent", reason="no sensor")
    with pytest.raises(ValueError, match="must say why"):
        MetricRow("a", "m", status="absent")
    assert to_table([MetricRow("a", "m", status="absent", reason="no sensor")])["value"].null_count == 1


def test_select_takes_values_and_lists():
    rows = [MetricRow("a", m, split=s, value=1.0) for m in "xy" for s in ("train", "test")]
    assert [(r.metric, r.split) for r in select(rows, metric="x", split=["test", "other"])] == [("x", "test")]
