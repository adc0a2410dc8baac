"""Preprocessing: rows become the tensors the training saw; repairs are counted, never silent."""

import numpy as np
import pyarrow as pa
import pytest
import torch

from auditkit.errors import InputError
from auditkit.subject.data import Schema, Split
from auditkit.subject.preprocessing import ImagePreprocessing, TablePreprocessing, fit_images, fit_table

FEATURES = ("age", "job", "member", "pay")
SCHEMA = Schema(FEATURES, ("no", "yes"))
TRAIN = {
    "age": [20, 40, 60, None],
    "job": ["cook", "nurse", None, "cook"],
    "member": [True, False, True, True],
    "pay": [5.0] * 4,
}


def split(columns=TRAIN, **arrays):
    table = pa.table(columns) if columns else pa.table({"row": range(len(next(iter(arrays.values()))))})
    return Split("s", "ood", table, SCHEMA, arrays)


@pytest.fixture(scope="module")
def fitted():
    return fit_table(split(), FEATURES)


def test_numbers_are_standardised_and_categories_coded(fitted):
    numbers, codes = fitted.encode(split())
    assert fitted.columns == ("age", "member", "pay", "job")
    spread = np.std([20, 40, 60])
    expected = np.array([-20 / spread, 0, 20 / spread, 0])
    assert np.allclose(numbers[:, 0], expected)
    assert np.allclose(numbers[:3].mean(0)[0], 0, atol=1e-7)
    assert numbers[:, 2].tolist() == [0.0] * 4, "a constant number is zero, not a division by zero"
    assert fitted.categorical[0].vocabulary == ("(missing)", "cook", "nurse")
    assert codes[:, 0].tolist() == [2, 3, 1, 2]
    assert numbers.dtype == torch.float32
    assert codes.dtype == torch.int64


def test_places_say_where_each_column_enters(fitted):
    numbers, codes = fitted.encode(split())
    for place in fitted.places():
        column = (numbers, codes)[place.input][:, place.index]
        alone = fit_table(split(), (place.column,)).encode(split())[0][:, 0]
        assert torch.equal(column, alone)


def test_chosen_rows_are_those_rows(fitted):
    rows = np.array([3, 0, 0])
    for part, whole in zip(fitted.encode(split(), rows), fitted.encode(split()), strict=True):
        assert torch.equal(part, whole[rows])


def test_repairs_are_made_as_promised_and_counted(fitted):
    odd = {
        "age": [float("inf"), float("nan"), None, 40.0],
        "job": ["pilot", "cook", "pilot", None],
        "member": [True] * 4,
        "pay": [5, 6, 7, 8],
    }
    numbers, codes = fitted.encode(split(odd))
    assert numbers[:3, 0].tolist() == [0.0, 0.0, 0.0]
    assert codes[:, 0].tolist() == [0, 2, 0, 1]
    assert torch.isfinite(numbers).all()
    assert fitted.irregularities(split(odd)) == [
        ("age", 2, "missing (NaN or null), replaced by the training mean"),
        ("age", 1, "infinite, replaced by the training mean"),
        ("job", 2, "a category never seen in training"),
    ]


def test_what_it_was_fitted_on_has_no_unseen_category(fitted):
    assert fitted.irregularities(split()) == [("age", 1, "missing (NaN or null), replaced by the training mean")]


def test_it_survives_json(fitted):
    assert TablePreprocessing.model_validate_json(fitted.model_dump_json()) == fitted


def test_columns_that_cannot_be_encoded(fitted):
    with pytest.raises(InputError, match="no column 'pay'"):
        fitted.encode(split({name: TRAIN[name] for name in ("age", "job", "member")}))
    with pytest.raises(InputError, match="column 'age' must hold numbers, found string"):
        fitted.encode(split({**TRAIN, "age": ["young"] * 4}))
    with pytest.raises(InputError, match="feature 'age' has no finite value; leave it out"):
        fit_table(split({**TRAIN, "age": pa.array([None] * 4, pa.float64())}), FEATURES)


def test_images_are_scaled_to_mean_zero_and_spread_one():
    pictures = np.random.default_rng(0).integers(0, 256, (6, 3, 5, 4), dtype=np.uint8)
    fitted = fit_images(split(None, images=pictures))
    (encoded,) = fitted.encode(split(None, images=pictures))
    assert encoded.shape == (6, 3, 5, 4)
    assert encoded.dtype == torch.float32
    assert float(encoded.mean()) == pytest.approx(0, abs=1e-5)
    assert float(encoded.std(unbiased=False)) == pytest.approx(1, rel=1e-5)


def test_grey_images_may_leave_their_channel_out():
    pictures = np.random.default_rng(0).normal(size=(6, 5, 4))
    fitted = fit_images(split(None, images=pictures))
    assert fitted.shape == (1, 5, 4)
    assert torch.equal(
        fitted.encode(split(None, images=pictures))[0], fitted.encode(split(None, images=pictures[:, None]))[0]
    )


def test_pictures_with_values_that_are_not_finite_are_counted():
    pictures = np.ones((3, 1, 2, 2))
    pictures[1, 0, 0, 0], pictures[2] = np.nan, np.inf
    rule = ImagePreprocessing(mean=0.5, scale=2.0, shape=(1, 2, 2))
    (encoded,) = rule.encode(split(None, images=pictures))
    assert encoded[2].tolist() == [[[0.0, 0.0], [0.0, 0.0]]]
    assert encoded[1].flatten().tolist() == [0.0, 0.25, 0.25, 0.25]
    assert rule.irregularities(split(None, images=pictures)) == [
        ("images", 2, "with values that are not finite, replaced by the mean")
    ]


def test_images_that_cannot_be_encoded():
    rule = ImagePreprocessing(shape=(1, 8, 8))
    with pytest.raises(InputError, match=r"images are 1x4x4 \(channels x height x width\), the model takes 1x8x8"):
        rule.encode(split(None, images=np.zeros((2, 4, 4))))
    with pytest.raises(InputError, match="has no array 'images'"):
        rule.encode(split())
    with pytest.raises(InputError, match="found shape"):
        fit_images(split(None, images=np.zeros((2, 1, 1, 4, 4))))
