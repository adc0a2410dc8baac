"""Built-in subjects of one class: who is in training, and what is to be noticed."""

import numpy as np
import pyarrow.compute as pc
import pytest

from auditkit.subject.builtin import builtin
from auditkit.subject.builtin.unusual_census import KEPT

NAMES = ("unusual_digits", "unusual_census", "generated_digits")


@pytest.fixture(scope="module", params=NAMES)
def subject(request):
    return builtin(request.param)


def test_only_test_has_both_classes_and_thresholds_are_set_on_rows_of_one(subject):
    splits, schema = subject
    counts = {name: np.bincount(split.labels, minlength=2) for name, split in splits.items() if split.role != "ood"}
    (usual,) = np.flatnonzero(counts["train"])
    assert schema.classes[usual] in ("usual", "real")
    assert counts["validation"][1 - usual] == 0
    assert counts["test"].min() >= 300


def test_the_same_rows_every_time(subject):
    splits, _ = subject
    name = next(iter(splits.values())).origin.removeprefix("built-in ")
    again, _ = builtin(name)
    assert {name: split.digest for name, split in again.items()} == {n: s.digest for n, s in splits.items()}


def test_no_nine_is_among_usual_digits():
    splits, _ = builtin("unusual_digits")
    for name in ("train", "validation", "test", "noisy"):
        assert "9" not in splits[name].table["shows"].to_pylist()
    assert set(splits["nines"].table["shows"].to_pylist()) == {"9"}


def test_people_put_together_keep_who_they_are_and_each_value_is_one_that_occurs():
    splits, schema = builtin("unusual_census")
    table = splits["test"].table
    usual, unusual = (table.filter(pc.equal(table["kind"], kind)) for kind in schema.classes)
    for name in schema.features:
        known = set(table[name].to_pylist())
        assert set(unusual[name].to_pylist()) <= known
    pairs = {
        kind: part.group_by(["sex", "relationship"]).aggregate([("age", "count")]).to_pylist()
        for kind, part in (("usual", usual), ("unusual", unusual))
    }
    strange = {
        kind: sum(line["age_count"] for line in lines if (line["sex"], line["relationship"]) == ("Female", "Husband"))
        for kind, lines in pairs.items()
    }
    assert strange["unusual"] > 10 * (strange["usual"] + 1)
    from auditkit.subject.builtin.adult import AGE_BANDS

    edges = list(AGE_BANDS.values())
    bands = np.array(list(AGE_BANDS))[np.searchsorted(edges, unusual["age"].to_numpy())]
    assert bands.tolist() == unusual["age_band"].to_pylist()
    assert "age" in KEPT


def test_forgeries_are_whole_grey_levels_like_real_digits():
    splits, _ = builtin("generated_digits")
    images, labels = splits["test"].arrays["images"], splits["test"].labels
    forged, real = images[labels == 0], images[labels == 1]
    assert (forged == np.round(forged)).all()
    assert 0 <= forged.min() <= forged.max() <= 16
    assert np.abs(forged.mean(axis=0) - real.mean(axis=0)).mean() < 1
