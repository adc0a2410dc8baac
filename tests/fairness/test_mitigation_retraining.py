"""Reweighing in closed form, and methods compared on rows that none has seen."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from fairlearn.metrics import demographic_parity_difference
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression
from sklearn.svm import LinearSVC

from auditkit.errors import InputError
from auditkit.fairness.counting.counts import encode_groups
from auditkit.fairness.mitigation.comparison import METHODS, compare_mitigations
from auditkit.fairness.mitigation.reweighing import reweighing
from auditkit.fairness.settings import Settings

QUICK = Settings(replicates=500)


def people(n: int = 8000) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A feature that carries the group, one that carries the label, and one of noise."""
    rng = np.random.default_rng(0)
    group = rng.choice(["f", "m"], n, p=[0.4, 0.6])
    truth = rng.random(n) < np.where(group == "m", 0.5, 0.25)
    features = np.column_stack(
        [(group == "m") + rng.normal(0, 0.5, n), 1.2 * truth + rng.normal(0, 1, n), rng.normal(0, 1, n)]
    )
    return features, truth, group


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 2), st.booleans()), min_size=1, max_size=60))
def test_after_weighting_label_and_group_are_independent(rows: list[tuple[int, bool]]) -> None:
    rows = [*rows, *((group, label) for group in range(3) for label in (False, True))]
    group, truth = np.array([row[0] for row in rows]), np.array([row[1] for row in rows])
    weights = reweighing(encode_groups({"g": pa.array(group)}, "here"), truth)
    table = np.array([[weights[(group == g) & (truth == y)].sum() for y in (False, True)] for g in range(3)])
    assert np.allclose(table, np.outer(table.sum(axis=1), table.sum(axis=0)) / table.sum(), atol=1e-9)
    assert np.allclose(table.sum(axis=1), np.bincount(group)), "groups keep their size"
    assert np.allclose(table.sum(axis=0), np.bincount(truth.astype(int))), "and labels theirs"


def test_a_group_without_a_label_cannot_be_weighted() -> None:
    codes = encode_groups({"g": pa.array(["a", "a", "b"])}, "here")
    with pytest.raises(InputError, match="'b' has no rows with a positive label"):
        reweighing(codes, [True, False, False])


@pytest.fixture(scope="module")
def compared():
    features, truth, group = people()
    return compare_mitigations(features, truth, {"sex": group}, limit=0.05, rounds=15, settings=QUICK)


def test_every_method_is_judged_and_named(compared) -> None:
    lines = {line["method"]: line for line in compared.table().to_pylist()}
    assert tuple(lines) == METHODS
    assert [lines[name]["knows_group"] for name in METHODS] == [False, False, False, True, True]
    assert lines[METHODS[3]]["policy"] == "deterministic"
    assert lines[METHODS[2]]["policy"] == lines[METHODS[4]]["policy"] == "randomised"
    assert lines["none"]["accuracy_change"] == 0
    assert lines["none"]["gained"] == lines["none"]["lost"] == 0
    for line in lines.values():
        assert line["gap_lower"] <= line["gap"] <= line["gap_upper"]
        assert line["accuracy_lower"] <= line["accuracy"] <= line["accuracy_upper"]
        assert line["accuracy"] == pytest.approx(lines["none"]["accuracy"] + line["accuracy_change"], abs=1e-9)


def test_mitigations_narrow_the_gap_at_a_cost(compared) -> None:
    lines = {line["method"]: line for line in compared.table().to_pylist()}
    assert lines["none"]["gap"] > 0.2
    assert lines["reweighing"]["gap"] < lines["none"]["gap"] - 0.1
    for name in METHODS[2:]:
        assert lines[name]["gap"] < 0.12, name
        assert lines[name]["accuracy_change_upper"] < 0


def test_people_moved_add_up(compared) -> None:
    lines = {line["method"]: line for line in compared.table().to_pylist()}
    for name in METHODS:
        mine = [line for line in compared.who().to_pylist() if line["method"] == name]
        assert sum(line["gained"] for line in mine) == lines[name]["gained"]
        assert sum(line["lost"] for line in mine) == lines[name]["lost"]


def test_the_plain_estimator_is_what_it_is_elsewhere(compared) -> None:
    features, truth, group = people()
    order = np.random.default_rng(0).permutation(len(truth))
    train, held_out = np.sort(order[:4000]), np.sort(order[5600:])
    model = LogisticRegression(max_iter=1000).fit(features[train], truth[train])
    decided = model.predict(features[held_out])
    line = compared.table().to_pylist()[0]
    assert line["n"] == len(held_out)
    assert line["accuracy"] == pytest.approx((decided == truth[held_out]).mean(), abs=1e-3)
    gap = demographic_parity_difference(truth[held_out], decided, sensitive_features=group[held_out])
    assert line["gap"] == pytest.approx(gap, abs=2e-3)


def test_data_frames_and_ratios_are_taken_too() -> None:
    features, truth, group = people(3000)
    found = compare_mitigations(
        pd.DataFrame(features, columns=["a", "b", "c"]), truth.astype(int), pd.Series(group, name="sex"),
        metric="four_fifths", limit=0.8, rounds=5, settings=QUICK,
    )  # fmt: skip
    lines = {line["method"]: line for line in found.table().to_pylist()}
    assert lines[METHODS[3]]["gap"] > lines["none"]["gap"] + 0.2


def test_input_that_cannot_be_compared_is_refused() -> None:
    features, truth, group = people(200)
    with pytest.raises(InputError, match="labels must be 0 and 1"):
        compare_mitigations(features, np.where(truth, 2, 1), group)
    with pytest.raises(InputError, match="one of each"):
        compare_mitigations(features[:50], truth, group)
    with pytest.raises(InputError, match="predict_proba"):
        compare_mitigations(features, truth, group, estimator=LinearSVC())
    with pytest.raises(InputError, match="not a gap"):
        compare_mitigations(features, truth, group, metric="accuracy")
