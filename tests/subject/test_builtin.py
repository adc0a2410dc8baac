"""The built-in subjects' data: who is in which split, and what the OOD sets differ in."""

import subprocess
import sys

import numpy as np
import pyarrow.compute as pc
import pytest

from auditkit.errors import InputError
from auditkit.subject.builtin import builtin
from auditkit.subject.builtin.adult import adult
from auditkit.subject.builtin.digits import digits

LEARNED = ("train", "validation", "test")


@pytest.fixture(scope="module")
def census():
    return adult()


@pytest.fixture(scope="module")
def numerals():
    return digits()


def test_every_person_of_the_census_is_in_exactly_one_of_the_disjoint_splits(census):
    splits, _ = census
    assert sum(len(splits[name]) for name in (*LEARNED, "over_65")) == 48_842
    sizes = [len(splits[name]) for name in LEARNED]
    for size, share in zip(sizes, (0.6, 0.2, 0.2), strict=True):
        assert abs(size - share * sum(sizes)) <= 1


def test_nobody_over_65_is_learned_from_or_judged_on(census):
    splits, _ = census
    assert max(pc.max(splits[name].column("age")).as_py() for name in (*LEARNED, "wrong_unit")) == 65
    assert pc.min(splits["over_65"].column("age")).as_py() == 66
    assert pc.unique(splits["over_65"].column("age_band")).to_pylist() == ["over 65"]


def test_age_bands_hold_the_ages_they_name(census):
    splits, _ = census
    for row in splits["test"].table.select(["age", "age_band"]).to_pylist():
        low, high = map(int, row["age_band"].split("-"))
        assert low <= row["age"] <= high


@pytest.mark.parametrize("column", ["class", "sex", "race", "age_band"])
def test_splits_are_stratified(census, column):
    splits, _ = census
    shares = []
    for name in LEARNED:
        counts = splits[name].column(column).value_counts()
        total = len(splits[name])
        shares.append({item["values"].as_py(): item["counts"].as_py() / total for item in counts})
    for value in shares[0]:
        assert max(share[value] for share in shares) - min(share[value] for share in shares) < 0.002


def test_the_wrong_unit_differs_from_test_in_the_hours_alone(census):
    splits, _ = census
    test, wrong = splits["test"].table, splits["wrong_unit"].table
    assert wrong.drop_columns(["hours-per-week"]).equals(test.drop_columns(["hours-per-week"]))
    assert wrong.column("hours-per-week").equals(pc.multiply(test.column("hours-per-week"), 100))


def test_the_sampling_weight_is_gone_and_groups_are_no_features_of_their_own(census):
    splits, schema = census
    assert "fnlwgt" not in splits["train"].table.column_names
    assert set(schema.sensitive) == {"sex", "race", "age_band"}
    assert "age_band" not in schema.features
    assert schema.label not in schema.features
    assert schema.classes == ("<=50K", ">50K")
    assert schema.positive_index == 1


def test_the_same_rows_every_time(census, numerals):
    for again, before in ((adult()[0], census[0]), (digits()[0], numerals[0])):
        assert {name: split.digest for name, split in again.items()} == {n: s.digest for n, s in before.items()}


def test_every_digit_is_in_exactly_one_split(numerals):
    from sklearn.datasets import load_digits

    splits, schema = numerals
    dealt = np.concatenate([splits[name].arrays["images"][:, 0] for name in LEARNED])
    original = load_digits().images.astype(np.float32)
    assert sorted(map(bytes, dealt)) == sorted(map(bytes, original))
    assert schema.sensitive == ()
    for name in LEARNED:
        assert np.bincount(splits[name].labels, minlength=10).min() >= 0.09 * len(splits[name])


def test_digits_ood_sets_are_pictures_of_the_same_kind(numerals):
    splits, _ = numerals
    for name in ("photographs", "noisy"):
        images = splits[name].arrays["images"]
        assert images.shape == splits["test"].arrays["images"].shape
        assert images.min() >= 0
        assert images.max() <= 16
        assert (images == np.round(images)).all()
    assert (splits["photographs"].labels == -1).all()
    assert splits["noisy"].labels.tolist() == splits["test"].labels.tolist()
    noise = splits["noisy"].arrays["images"] - splits["test"].arrays["images"]
    assert 2.5 < noise.std() < 6.5


def test_an_unknown_name_is_answered_with_the_nearest():
    with pytest.raises(InputError, match="did you mean 'adult'"):
        builtin("adlt")


def test_reading_data_imports_neither_torch_nor_shapiq():
    code = (
        "import sys, auditkit.subject.described, auditkit.subject.subject, auditkit.subject.preprocessing as p;"
        "from auditkit.subject.builtin import builtin; builtin('adult');"
        "print([name for name in ('torch', 'shapiq', 'lightning') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
