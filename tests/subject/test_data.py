"""Splits: labels are class indices or a refusal; the digest is of the rows, however they are stored."""

import hypothesis.strategies as st
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given

from auditkit.errors import InputError
from auditkit.subject.data import Schema, Split, label_text

SCHEMA = Schema(("x",), ("no", "yes"), "y", "yes")


def split(labels, role="test", **arrays):
    return Split("s", role, pa.table({"y": labels}), SCHEMA, arrays)


def test_labels_are_places_among_the_classes():
    assert split(["yes", "no", "yes"]).labels.tolist() == [1, 0, 1]
    assert split(["yes", None, "perhaps"], "ood").labels.tolist() == [1, -1, -1]
    assert Split("s", "ood", pa.table({"x": [1]}), SCHEMA).labels.tolist() == [-1]


@pytest.mark.parametrize("values", [[0, 1], [0.0, 1.0], [False, True], ["0", "1"]])
def test_one_class_may_be_spelled_as_any_kind_of_number(values):
    schema = Schema(("x",), ("0", "1"), "y")
    assert Split("s", "test", pa.table({"y": values}), schema).labels.tolist() == [0, 1]


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        (["yes", None], r"1 of 2 labels in 'y' are missing \(NaN or null\)"),
        ([float("nan"), 1.0], "1 of 2 labels in 'y' are missing"),
        (["yes", "maybe"], "holds 'maybe', for which the model has no output; its classes are 'no', 'yes'"),
    ],
)
@pytest.mark.parametrize("role", ["train", "validation", "test"])
def test_labels_that_are_none(labels, said, role):
    with pytest.raises(InputError, match=said):
        _ = split(labels, role).labels


def test_splits_that_cannot_be():
    with pytest.raises(InputError, match="is empty"):
        split(pa.array([], pa.string()))
    with pytest.raises(InputError, match="'images' has 3 rows, the table 2"):
        split(["yes", "no"], images=np.zeros((3, 2, 2)))
    with pytest.raises(InputError, match="no column 'agee'; did you mean 'age'"):
        Split("s", "test", pa.table({"age": [1]}), SCHEMA).column("agee")
    with pytest.raises(InputError, match="positive class 'Yes' is not a class; did you mean 'yes'"):
        Schema(("x",), ("no", "yes"), "y", "Yes")


@given(st.data())
def test_the_digest_does_not_know_how_rows_are_stored(data):
    size = data.draw(st.integers(1, 12))
    columns = {
        "n": data.draw(st.lists(st.none() | st.integers(-9, 9), min_size=size, max_size=size)),
        "t": data.draw(st.lists(st.none() | st.sampled_from(["", "a", "bc"]), min_size=size, max_size=size)),
        "b": data.draw(st.lists(st.none() | st.booleans(), min_size=size, max_size=size)),
    }
    kinds = {"n": pa.int64(), "t": pa.string(), "b": pa.bool_()}
    table = pa.table({name: pa.array(values, kinds[name]) for name, values in columns.items()})
    cut = data.draw(st.integers(0, size))
    missing = table.column("n").is_null().to_numpy()
    beneath = np.where(missing, 77, table.column("n").fill_null(0).to_numpy())
    other = table.set_column(0, "n", pa.array(beneath, pa.int64(), mask=missing))
    other = other.set_column(1, "t", other.column("t").dictionary_encode())
    stored = [
        pa.concat_tables([table.slice(0, cut), table.slice(cut)]),
        pa.concat_tables([table, table]).slice(size),
        table.replace_schema_metadata({"written": "today"}),
        other,
    ]
    digest = Split("a", "ood", table, SCHEMA).digest
    assert {Split("b", "test", rows, SCHEMA).digest for rows in stored} == {digest}


def test_the_digest_knows_every_value_name_and_type():
    images = np.arange(8.0).reshape(2, 2, 2)
    base = pa.table({"x": [1, None], "y": ["a", "b"]})
    variants = [
        (base, {"images": images}),
        (base, {}),
        (base, {"images": images + 1}),
        (base, {"pictures": images}),
        (base, {"images": images.astype(np.float32)}),
        (base, {"images": images.reshape(2, 1, 2, 2)}),
        (pa.table({"x": [1, 0], "y": ["a", "b"]}), {}),
        (pa.table({"x": [1, 1], "y": ["a", "b"]}), {}),
        (pa.table({"x": [None, 1], "y": ["a", "b"]}), {}),
        (pa.table({"x": [1.0, None], "y": ["a", "b"]}), {}),
        (pa.table({"z": [1, None], "y": ["a", "b"]}), {}),
        (pa.table({"x": [1, None], "y": ["a", "c"]}), {}),
        (base.take([1, 0]), {}),
    ]
    digests = [Split("s", "ood", table, SCHEMA, arrays).digest for table, arrays in variants]
    assert len(set(digests)) == len(digests)


@pytest.mark.parametrize(
    ("value", "text"),
    [(1, "1"), (1.0, "1"), (True, "1"), ("1", "1"), (1.5, "1.5"), (None, None), (float("nan"), None), ("a b", "a b")],
)
def test_label_text(value, text):
    assert label_text(value) == text
