"""Whatever a user holds as columns becomes the same columns."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import torch

from auditkit.errors import InputError
from auditkit.fairness.counting.columns import as_column, as_columns, as_numbers, encode_labels


@pytest.mark.parametrize(
    "values",
    [
        [1, 0, 1],
        (1, 0, 1),
        np.array([1, 0, 1]),
        np.array([[1], [0], [1]]),
        np.array([True, False, True]),
        np.array([1.0, 0.0, 1.0], dtype=np.float32),
        pd.Series([1, 0, 1], index=[7, 8, 9]),
        pd.Series(["1", "0", "1"], dtype="category"),
        pd.DataFrame({"y": [1, 0, 1]}),
        pa.array([1, 0, 1]),
        pa.chunked_array([[1], [0, 1]]),
        pa.array(["1", "0", "1"]).dictionary_encode(),
        torch.tensor([1, 0, 1]),
        torch.tensor([1.0, 0.0, 1.0], requires_grad=True),
        ["1", 0, True],
    ],
    ids=lambda values: type(values).__name__,
)
def test_the_same_labels_in_any_form(values: object) -> None:
    codes, classes = encode_labels(as_column(values, "y"), "y", "here")
    assert classes == ["0", "1"]
    assert codes.tolist() == [1, 0, 1]


@pytest.mark.parametrize(
    ("values", "names"),
    [
        ({"sex": ["f", "m"], "race": ["a", "b"]}, ["sex", "race"]),
        (pd.DataFrame({"sex": ["f", "m"], "race": ["a", "b"]}), ["sex", "race"]),
        (pa.table({"sex": ["f", "m"], "race": ["a", "b"]}), ["sex", "race"]),
        (pd.Series(["f", "m"], name="sex"), ["sex"]),
        (["f", "m"], ["sensitive_feature_0"]),
        ([["f", "a"], ["m", "b"]], ["sensitive_feature_0", "sensitive_feature_1"]),
        (np.array([["f", "a"], ["m", "b"]]), ["sensitive_feature_0", "sensitive_feature_1"]),
    ],
)
def test_sensitive_features_in_any_form(values: object, names: list[str]) -> None:
    columns = as_columns(values)
    assert list(columns) == names
    assert columns[names[0]].to_pylist() == ["f", "m"]
    if len(names) > 1:
        assert columns[names[1]].to_pylist() == ["a", "b"]


def test_missing_numbers_are_counted_with_the_first_row() -> None:
    for values in ([0.5, None, float("nan")], np.array([0.5, np.nan, np.nan]), pa.array([0.5, None, float("nan")])):
        with pytest.raises(InputError, match=r"scores is missing .* in 2 of 3 rows, first in row 2; remove"):
            as_numbers(as_column(values, "scores"), "scores", "here")


def test_infinite_numbers_and_text_are_refused() -> None:
    with pytest.raises(InputError, match=r"scores is infinite in 1 of 3 rows, first in row 3"):
        as_numbers(as_column([0.1, 0.2, np.inf], "scores"), "scores", "here")
    with pytest.raises(InputError, match="holds string and not numbers"):
        as_numbers(as_column(["high", "low"], "scores"), "scores", "here")


@pytest.mark.parametrize("values", ["abc", 3, np.zeros((3, 2)), pd.DataFrame({"a": [1], "b": [2]})])
def test_what_is_no_column_is_refused(values: object) -> None:
    with pytest.raises(InputError, match="y_true"):
        as_column(values, "y_true")


def test_slices_and_nulls_keep_their_places() -> None:
    codes, classes = encode_labels(pa.array(["z", "b", "a", "b"]).slice(1), "y", "here")
    assert ([classes[code] for code in codes], classes) == (["b", "a", "b"], ["a", "b"])
