"""Dealing one file out: every row once, class by class, and the same every time."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from auditkit.errors import InputError
from auditkit.spec import DataSpec, SharesSpec, parse
from auditkit.subject.data import Schema, Split
from auditkit.subject.shares import deal_out


def rows(labels):
    classes = tuple(sorted(set(labels)))
    table = pa.table({"y": pa.array(labels, pa.string()), "row": np.arange(len(labels))})
    return Split("train", "train", table, Schema((), classes, "y"), {"images": np.arange(len(labels))[:, None]})


@given(
    st.lists(st.integers(1, 60), min_size=2, max_size=4),
    st.floats(0.0, 0.4),
    st.floats(0.1, 0.4),
    st.integers(0, 5),
)
@settings(max_examples=60, deadline=None)
def test_every_row_goes_to_one_part_and_every_class_keeps_its_share(sizes, validation, test, seed):
    labels = [name for name, size in zip("abcd", sizes, strict=False) for _ in range(size)]
    shares = SharesSpec(validation=validation, test=test, seed=seed)
    try:
        parts = deal_out(rows(labels), shares)
    except InputError:
        assert min(round(validation * max(sizes)) or not validation, round(test * max(sizes))) == 0 or max(sizes) < 3
        return
    dealt = np.concatenate([part.table["row"].to_numpy() for part in parts.values()])
    assert sorted(dealt) == list(range(len(labels)))
    for role, share in (("validation", validation), ("test", test)):
        for name, size in zip("abcd", sizes, strict=False):
            found = parts[role].table["y"].to_pylist().count(name) if role in parts else 0
            assert abs(found - share * size) <= 1
    for name in set(labels):
        assert name in parts["train"].table["y"].to_pylist()


def test_the_same_seed_deals_the_same_and_another_does_not():
    whole = rows(["a", "b"] * 100)
    one, two, other = (deal_out(whole, SharesSpec(seed=seed)) for seed in (3, 3, 4))
    assert {role: part.digest for role, part in one.items()} == {role: part.digest for role, part in two.items()}
    assert one["test"].digest != other["test"].digest
    assert "dealt by seed 3" in one["test"].origin


def test_pictures_stay_with_their_rows():
    for part in deal_out(rows(["a", "b"] * 20), SharesSpec()).values():
        assert part.arrays["images"][:, 0].tolist() == part.table["row"].to_pylist()


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ({"rows": "a.csv", "test": "b.csv"}, "not both"),
        ({"split": {"test": 0.5}}, "name that file as rows"),
        ({"rows": "a.csv", "split": {"validation": 0.5, "test": 0.5}}, "leave a share for train"),
    ],
)
def test_what_makes_no_sense_is_refused(content, says):
    with pytest.raises(InputError, match=says):
        parse(content, DataSpec, "audit.yaml")


def test_too_few_rows_are_refused():
    with pytest.raises(InputError, match="too few to be dealt out"):
        deal_out(rows(["a", "b"]), SharesSpec())
