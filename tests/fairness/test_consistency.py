"""Consistency against hand-worked values and scikit-learn's neighbours."""

import numpy as np
import pyarrow as pa
import pytest
from sklearn.neighbors import NearestNeighbors

from auditkit.errors import InputError
from auditkit.fairness.counting.counts import encode_groups
from auditkit.fairness.individual.consistency import consistency_findings, neighbour_means, space
from auditkit.fairness.settings import Settings


def test_worked_by_hand_with_and_without_itself() -> None:
    points, y = np.array([[0.0], [1.0], [3.0], [7.0]]), [1, 1, 0, 0]
    # two nearest others: 0 → {1, 3}, 1 → {0, 3}, 3 → {1, 0}, 7 → {3, 1}
    assert neighbour_means(points, y, 2).tolist() == [0.5, 0.5, 1.0, 0.5]
    # AIF360 counts a row itself: 0 → {0, 1}, 1 → {1, 0}, 3 → {3, 1}, 7 → {7, 3}
    assert neighbour_means(points, y, 2, itself=True).tolist() == [1.0, 1.0, 0.5, 0.0]


@pytest.mark.parametrize("k", [1, 5, 13])
def test_neighbours_are_those_of_scikit_learn(k: int) -> None:
    rng = np.random.default_rng(0)
    points, y = rng.normal(size=(700, 4)), rng.random(700) < 0.4
    index = NearestNeighbors(n_neighbors=k).fit(points)
    assert neighbour_means(points, y, k) == pytest.approx(y[index.kneighbors(return_distance=False)].mean(axis=1))
    counted = index.kneighbors(points, return_distance=False)
    assert neighbour_means(points, y, k, itself=True) == pytest.approx(y[counted].mean(axis=1))


def test_order_of_rows_changes_nothing_even_with_ties() -> None:
    rng = np.random.default_rng(1)
    points, y = rng.integers(0, 3, size=(400, 2)).astype(float), rng.random(400) < 0.5
    order = rng.permutation(400)
    assert neighbour_means(points[order], y[order]) == pytest.approx(neighbour_means(points, y)[order], abs=1e-12)


def test_far_from_the_origin_alike_rows_stay_alike() -> None:
    points = np.array([[1e4, -3.0], [1e4, -3.0], [1e4 + 1, -3.0]])
    assert neighbour_means(points, [0, 1, 1], 1).tolist() == [1.0, 0.0, 0.5]


def test_numbers_are_standardised_and_categories_are_columns() -> None:
    found = space({"pay": pa.array([1.0, 3.0, None]), "town": pa.array(["a", "b", None]), "same": pa.array([1, 1, 1])})
    assert found.points.tolist() == [[-1, 0, 1, 0], [1, 0, 0, 1], [0, 1, 0, 0]]
    assert found.left_out == ("same",)
    assert found.filled == (("pay", 1),)
    with pytest.raises(InputError, match="by which people differ"):
        space({"same": pa.array([1, 1])})


def sample(n: int = 1200) -> tuple[dict[str, pa.Array], np.ndarray, np.ndarray]:
    rng = np.random.default_rng(3)
    pay, sex = rng.normal(size=n), rng.choice(["f", "m"], n)
    return {"pay": pa.array(pay)}, pay, sex


def test_noisy_decisions_of_one_group_are_found() -> None:
    columns, pay, sex = sample()
    noisy = np.where(sex == "f", np.random.default_rng(4).random(len(pay)) < 0.5, pay > 0)
    groups = encode_groups({"sex": pa.array(sex)}, "here")
    found = {(row.metric, row.group): row for row in consistency_findings(columns, noisy, groups, Settings()).metrics}
    assert found["consistency", "f"].upper < found["consistency", "m"].lower
    gap = found["consistency_difference", ""]
    assert gap.lower > 0.1
    assert gap.detail == "m – f"
    apart = np.abs(noisy - neighbour_means(space(columns).points, noisy))
    assert found["consistency", ""].value == pytest.approx(1 - apart.mean(), abs=1e-12)


def test_many_rows_are_drawn_and_a_caveat_says_so() -> None:
    columns, pay, sex = sample()
    groups = encode_groups({"sex": pa.array(sex)}, "here")
    found = consistency_findings(columns, pay > 0, groups, Settings(), maximum_rows=500)
    assert any("500 of 1,200 rows" in caveat.text for caveat in found.caveats)
    assert next(row for row in found.metrics if row.metric == "consistency").n == 500


def test_what_cannot_be_judged_says_why() -> None:
    columns, pay, sex = sample(40)
    sex[:] = ["f"] * 37 + ["m"] * 3
    groups = encode_groups({"sex": pa.array(sex)}, "here")
    found = consistency_findings(columns, pay > 0, groups, Settings()).metrics
    gap = next(row for row in found if row.metric == "consistency_difference")
    assert gap.status == "insufficient"
    assert gap.unjudged == ("m",)
    same = consistency_findings({"a": pa.array([1] * 40)}, pay > 0, groups, Settings()).metrics
    assert [row.status for row in same] == ["insufficient"]
