"""Rows as a person reads them: texts are cut, lines thinned without losing their peaks."""

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from auditkit.engine.readable import LETTERS, POINTS, readable_inputs, thinned
from auditkit.subject.data import Schema, Split
from auditkit.subject.preprocessing import SeriesPreprocessing, TextPreprocessing

FINITE = st.floats(-1e6, 1e6)


@given(arrays(np.float64, st.integers(1, 1000), elements=FINITE))
def test_a_thinned_line_keeps_its_extremes_and_its_order(line):
    steps, values = thinned(line)
    assert len(steps) <= POINTS
    assert (np.diff(steps) > 0).all()
    assert (values == line[steps - 1]).all()
    assert (values.min(), values.max()) == (line.min(), line.max())


def test_a_gap_stays_a_gap():
    line = np.arange(2000.0)
    line[500:1500] = np.nan
    steps, values = thinned(line)
    assert np.isnan(values[(steps > 510) & (steps < 1490)]).all()
    assert (values[0], np.nanmax(values)) == (0.0, 1999.0)


def test_texts_are_cut():
    split = Split("test", "test", pa.table({"text": ["short", "x" * 1000, None]}), Schema(("text",), ("a", "b")))
    preprocessing = TextPreprocessing(column="text", vocabulary=("short",), length=5)
    found = readable_inputs(preprocessing, split, np.array([2, 1, 0])).to_pylist()
    assert [line["value"] for line in found] == [None, "x" * (LETTERS - 1) + "…", "short"]
    assert {line["column"] for line in found} == {"text"}


def test_series_are_lines_by_channel_in_their_own_units():
    series = np.arange(24.0).reshape(2, 4, 3)
    series[1, 2, 0] = np.nan
    split = Split("test", "test", pa.table({"y": [0, 1]}), Schema(("series",), ("a", "b")), {"series": series})
    preprocessing = SeriesPreprocessing(mean=(0.0,) * 3, scale=(2.0,) * 3, steps=4, names=("u", "v", "w"))
    found = readable_inputs(preprocessing, split, np.array([1])).to_pylist()
    assert [(line["row"], line["channel"]) for line in found] == [(1, "u"), (1, "v"), (1, "w")]
    assert found[0]["values"] == [12.0, 15.0, None, 21.0]
    assert found[0]["steps"] == [1, 2, 3, 4]
    flat = Split("test", "test", pa.table({"y": [0, 1]}), Schema(("series",), ("a", "b")), {"series": series[:, :, 1]})
    one = SeriesPreprocessing(mean=(0.0,), scale=(2.0,), steps=4)
    assert readable_inputs(one, flat, np.array([0])).to_pylist()[0]["values"] == [1.0, 4.0, 7.0, 10.0]
