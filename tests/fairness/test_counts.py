"""Counts: against pandas, mergeable, and sums to any margin."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditkit.errors import InputError
from auditkit.fairness.counting.counts import MISSING, Counts, encode_column, encode_groups

STRANGE = ["'quoted\"", "<script>alert(1)</script>", "naïve ☃ 🙂", "", None, " × ", "a"]
rows = st.lists(
    st.tuples(st.sampled_from(STRANGE), st.sampled_from(["x", "y", None]), st.booleans(), st.booleans()),
    min_size=2,
    max_size=80,
)


def tally(table: list[tuple[str | None, str | None, bool, bool]], part: slice = slice(None)) -> Counts:
    first, second, truth, decision = (list(column) for column in zip(*table, strict=True))
    columns = {"first": pa.array(first, pa.string()), "second": pa.array(second, pa.string())}
    groups = encode_groups(columns, "here")
    at = np.arange(len(table))[part]
    return Counts.tally(groups, np.array(truth)[part], np.array(decision)[part], at)


def varied(table: list[tuple[str | None, str | None, bool, bool]]) -> bool:
    return all(len({row[at] or None for row in table}) > 1 for at in (0, 1))


@given(rows.filter(varied))
def test_cells_are_the_rows_in_them(table: list[tuple[str | None, str | None, bool, bool]]) -> None:
    counts = tally(table)
    frame = pd.DataFrame(table, columns=["first", "second", "truth", "decision"])
    frame[["first", "second"]] = frame[["first", "second"]].replace({"": MISSING}).fillna(MISSING)
    expected = frame.value_counts()
    for group, cells in zip(counts.groups, counts.cells, strict=True):
        for truth in (0, 1):
            for decision in (0, 1):
                assert cells[truth, decision] == expected.get((*group, bool(truth), bool(decision)), 0)
    assert counts.rows == len(table)
    assert list(counts.groups) == sorted(counts.groups)


@given(rows.filter(varied), st.integers(0, 80))
def test_halves_merged_are_the_whole(table: list[tuple[str | None, str | None, bool, bool]], cut: int) -> None:
    whole = tally(table)
    merged = tally(table, slice(None, cut)).merge(tally(table, slice(cut, None)))
    assert merged.groups == whole.groups
    assert (merged.cells == whole.cells).all()


def test_merging_different_groups_keeps_all_of_them() -> None:
    one = Counts(("sex",), (("a",), ("c",)), np.arange(8).reshape(2, 2, 2))
    other = Counts(("sex",), (("b",), ("c",)), np.arange(8).reshape(2, 2, 2))
    merged = one.merge(other)
    assert merged.names == ["a", "b", "c"]
    assert merged.cells[2].tolist() == (2 * one.cells[1]).tolist()
    with pytest.raises(ValueError, match="cannot be added"):
        one.merge(Counts(("race",), (("a",),), np.zeros((1, 2, 2), dtype=np.int64)))


@given(rows.filter(varied))
def test_margins_are_the_counts_of_fewer_attributes(table: list[tuple[str | None, str | None, bool, bool]]) -> None:
    counts = tally(table)
    alone = encode_groups({"second": pa.array([row[1] for row in table], pa.string())}, "here")
    expected = Counts.tally(alone, np.array([row[2] for row in table]), np.array([row[3] for row in table]))
    margin = counts.margin(["second"])
    assert margin.groups == expected.groups
    assert (margin.cells == expected.cells).all()
    assert (counts.margin(()).cells == counts.cells.sum(axis=0)).all()


@pytest.mark.parametrize(
    ("column", "names"),
    [
        (pa.array([25.0, None, 30.5, 25.0]), ["(missing)", "25", "30.5"]),
        (pa.array([float("nan"), 1.0]), ["(missing)", "1"]),
        (pa.array([True, False]), ["False", "True"]),
        (pa.array(["b", "a", "b"]).dictionary_encode(), ["a", "b"]),
        (pa.chunked_array([["b"], ["a", None]]), ["(missing)", "a", "b"]),
        (pa.array(["z", "b", "a"]).slice(1), ["a", "b"]),
        (pa.DictionaryArray.from_arrays(pa.array([0, 0]), pa.array(["used", "unused"])), ["used"]),
    ],
)
def test_groups_are_called_by_their_values(column: pa.Array, names: list[str]) -> None:
    codes, found = encode_column(column)
    assert found == names
    texts = ["(missing)" if value is None or value != value else str(value) for value in column.to_pylist()]
    assert [found[code] for code in codes] == [text.removesuffix(".0") for text in texts]


def test_an_attribute_of_one_value_is_refused() -> None:
    with pytest.raises(InputError, match=r"people.csv: sensitive column 'sex' has the one value 'f'"):
        encode_groups({"sex": pa.array(["f", "f"])}, "people.csv")


def test_an_attribute_that_is_no_grouping_is_refused() -> None:
    with pytest.raises(InputError, match="put them into bands first"):
        encode_groups({"income": pa.array(np.arange(500) / 7)}, "people.csv")


def test_an_unknown_attribute_is_named_with_the_nearest() -> None:
    counts = tally([("a", "x", True, True), ("b", "y", True, True)])
    with pytest.raises(InputError, match="did you mean 'first'"):
        counts.margin(["frist"])
