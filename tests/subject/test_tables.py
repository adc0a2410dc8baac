"""Tables: the same rows whatever the file format; damaged files are refused."""

import gzip

import hypothesis.strategies as st
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.csv
import pyarrow.feather
import pyarrow.parquet
import pytest
from hypothesis import given, settings

from auditkit.errors import InputError
from auditkit.subject.tables import from_memory, is_table, read_table

TABLE = pa.table(
    {
        "age": pa.array([31, None, 54, 9]),
        "pay": pa.array([1.5, -2.25e-7, None, 1e300]),
        "city 🏙 'x'": pa.array(["Köln", 'a "b", c', None, "line\nbreak"]),
        "member": pa.array([True, False, None, True]),
    }
)


def write(table: pa.Table, path):
    if path.name.endswith(".csv.gz"):
        with gzip.open(path, "wb") as file:
            pa.csv.write_csv(table, file)
    elif path.suffix == ".csv":
        pa.csv.write_csv(table, path)
    elif path.suffix == ".tsv":
        pa.csv.write_csv(table, path, pa.csv.WriteOptions(delimiter="\t"))
    elif path.suffix in (".arrow", ".feather"):
        pa.feather.write_feather(table, path)
    else:
        pa.parquet.write_table(table, path)
    return path


FORMATS = ["t.parquet", "t.csv", "t.tsv", "t.csv.gz", "t.arrow", "t.feather"]


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_gives_the_same_rows(tmp_path, name):
    assert is_table(tmp_path / name)
    assert read_table(write(TABLE, tmp_path / name)).equals(TABLE)


@pytest.mark.parametrize("name", FORMATS)
def test_chosen_columns_come_alone_and_in_the_order_asked_for(tmp_path, name):
    path = write(TABLE, tmp_path / name)
    assert read_table(path, ["pay", "age"]).equals(TABLE.select(["pay", "age"]))
    with pytest.raises(InputError, match="no column 'agee'; did you mean 'age'"):
        read_table(path, ["agee"])


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.none() | st.integers(-(2**40), 2**40),
            st.none() | st.floats(allow_nan=False, width=64),
            st.none() | st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=8),
        ),
        min_size=1,
        max_size=20,
    )
)
def test_csv_and_parquet_agree_on_any_rows(tmp_path_factory, rows):
    folder = tmp_path_factory.mktemp("rows")
    kinds = (pa.int64(), pa.float64(), pa.string())
    # the first row shows each column's type, as no type is written in a text file
    columns = [
        pa.array([seed, *values], kind)
        for seed, values, kind in zip((1, 0.5, "text"), zip(*rows, strict=True), kinds, strict=True)
    ]
    table = pa.table(dict(zip("abc", columns, strict=True)))
    assert read_table(write(table, folder / "t.csv")).equals(read_table(write(table, folder / "t.parquet")))


@pytest.mark.parametrize("name", ["t.csv", "t.csv.gz"])
@pytest.mark.parametrize("last", ["1.5", "n/a at all"])
def test_a_columns_type_may_show_late(tmp_path, name, last):
    text = "a,b\n" + "12345678,\n" * 200_000 + f"{last},x\n"
    with gzip.open(tmp_path / name, "wt") if name.endswith("gz") else (tmp_path / name).open("w") as file:
        file.write(text)
    read = read_table(tmp_path / name)
    assert str(read.column("a")[-1]) == last
    assert float(str(read.column("a")[0])) == 12345678
    assert read.column("b")[-1].as_py() == "x"
    assert read.column("b").null_count == 200_000


def test_the_usual_spellings_of_missing_are_missing_unless_quoted(tmp_path):
    (tmp_path / "t.csv").write_text('a,b\nNaN,x\nNULL,NA\n2,"NA"\n,\n')
    read = read_table(tmp_path / "t.csv")
    assert read.column("a").to_pylist() == [None, None, 2, None]
    assert read.column("b").to_pylist() == ["x", None, "NA", None]


class OtherFrame:
    """A data frame of a library that only speaks the Arrow interface."""

    def __arrow_c_stream__(self, requested_schema=None):
        fields = [f.with_type(pa.large_string()) if f.type == pa.string() else f for f in TABLE.schema]
        wide = TABLE.cast(pa.schema(fields))
        return wide.__arrow_c_stream__(requested_schema)


def test_any_frame_that_speaks_arrow_becomes_the_same_table():
    assert from_memory(OtherFrame()).equals(TABLE)


def test_pandas_frames_become_the_same_table():
    frame = pd.DataFrame({"age": [31.0, np.nan], "city": ["Köln", None], "group": pd.Categorical(["a", "b"])})
    expected = pa.table({"age": [31.0, None], "city": ["Köln", None], "group": ["a", "b"]})
    assert from_memory(frame.set_index(pd.Index([5, 6]))).equals(expected)


@pytest.mark.parametrize("name", ["t.parquet", "t.arrow", "t.csv.gz"])
@pytest.mark.parametrize("share", [0.0, 0.3, 0.9])
def test_a_truncated_file_is_refused(tmp_path, name, share):
    big = pa.table({"x": np.random.default_rng(0).normal(size=5000)})
    path = write(big, tmp_path / name)
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(InputError, match=r"t\.\S+: cannot be read as .*truncated") as caught:
        read_table(path)
    assert "\n" not in str(caught.value)


def test_a_column_that_is_there_twice(tmp_path):
    (tmp_path / "t.csv").write_text("a,b,a\n1,2,3\n")
    with pytest.raises(InputError, match="column 'a' is there more than once"):
        read_table(tmp_path / "t.csv")
    with pytest.raises(InputError, match="column 'a' is there more than once"):
        from_memory(pd.DataFrame([[1, 2]], columns=["a", "a"]))


def test_rows_of_unequal_length_and_text_of_another_encoding(tmp_path):
    (tmp_path / "t.csv").write_text("a,b\n1,2\n3\n")
    with pytest.raises(InputError, match="cannot be read as CSV"):
        read_table(tmp_path / "t.csv")
    (tmp_path / "latin.csv").write_bytes("name\nJosé\n".encode("latin-1"))
    with pytest.raises(InputError, match="column 'name' is not UTF-8 text"):
        read_table(tmp_path / "latin.csv")
    (tmp_path / "empty.csv").write_text("")
    with pytest.raises(InputError, match="cannot be read as CSV"):
        read_table(tmp_path / "empty.csv")
