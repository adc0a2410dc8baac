"""Generators with planted faults: copying, forgotten kinds, rows far from real ones; and one without any."""

import numpy as np
import pytest
from scipy.spatial.distance import cdist

from auditkit.evidence.metrics import select
from auditkit.performance.generation.coverage import coverage_rows, kinds_of, missing_modes
from auditkit.performance.generation.fidelity import fidelity_rows, inside
from auditkit.performance.generation.memorisation import memorisation_rows
from auditkit.performance.generation.neighbours import nearest

KINDS = 5


def real(n, seed):
    """Rows of five kinds, each a cloud of its own, and their kinds."""
    rng = np.random.default_rng(seed)
    kinds = rng.integers(KINDS, size=n)
    return rng.normal(size=(n, 6)) + 8 * np.eye(KINDS, 6)[kinds], kinds


@pytest.mark.parametrize("k", [1, 3])
def test_nearest_neighbours_are_those_of_all_distances(k):
    rng = np.random.default_rng(k)
    rows, others = rng.normal(size=(40, 5)), rng.normal(size=(70, 5))
    distances, places = nearest(rows, others, k)
    every = cdist(rows, others)
    np.testing.assert_allclose(distances, np.sort(every, axis=1)[:, :k])
    np.testing.assert_array_equal(places, np.argsort(every, axis=1)[:, :k])
    itself, _ = nearest(others, others, 1, same=True)
    assert itself.min() > 0


def measured(generated, seed=0):
    train, held_out = real(800, seed)[0], real(400, seed + 1)[0]
    distances = [nearest(rows, train)[0][:, 0] for rows in (generated(train), held_out)]
    return {row.metric: row for row in memorisation_rows(*distances, "pixels", 0.95)}


def copies(rows):
    return rows["memorised_share"].lower > rows["memorised_share_by_chance"].upper


@pytest.mark.parametrize("share", [0.1, 1.0])
def test_a_generator_that_copies_a_tenth_of_the_time_is_caught(share):
    def copier(train):
        rng = np.random.default_rng(5)
        made = real(1000, 99)[0]
        copied = rng.random(1000) < share
        made[copied] = train[rng.integers(len(train), size=copied.sum())] + 0.01 * rng.normal(size=(copied.sum(), 6))
        return made

    rows = measured(copier)
    assert copies(rows)
    assert rows["memorised_share"].value == pytest.approx(share, abs=0.04)
    assert rows["nearer_than_held_out"].lower > 0.5 or share < 0.2


def test_a_faithful_generator_is_not_accused():
    found = [measured(lambda _train, seed=seed: real(1000, 1000 + seed)[0], seed=3 * seed) for seed in range(25)]
    assert sum(copies(rows) for rows in found) <= 1
    areas = [rows["nearer_than_held_out"] for rows in found]
    assert np.mean([row.lower <= 0.5 <= row.upper for row in areas]) >= 0.8
    chance = np.mean([rows["memorised_share"].value for rows in found])
    assert chance == pytest.approx(0.01, abs=0.005)


def test_forgotten_kinds_are_named():
    train, kinds = real(800, 0)
    rows, truth = real(1000, 1)
    kept = rows[~np.isin(truth, [1, 3])]
    names = [f"kind {place}" for place in range(KINDS)]
    found = list(coverage_rows(kinds_of(kept, train, kinds), kinds, names, (99, 100), 0.95))
    assert missing_modes(found) == ["kind 1", "kind 3"]
    (covered,) = select(found, metric="modes_covered")
    assert covered.value == pytest.approx(0.6)
    whole = list(coverage_rows(kinds_of(rows, train, kinds), kinds, names, (99, 100), 0.95))
    assert missing_modes(whole) == []
    shares = {row.detail: row for row in select(whole, metric="mode_share")}
    truths = np.bincount(truth) / 1000
    for place, name in enumerate(names):
        assert shares[name].lower <= truths[place] <= shares[name].upper


def test_few_generated_rows_are_no_proof_that_a_kind_is_missing():
    train, kinds = real(800, 0)
    names = [str(place) for place in range(KINDS)]
    found = coverage_rows(kinds_of(train[kinds == 0][:5], train, kinds), kinds, names, (1, 1), 0.95)
    assert missing_modes(list(found)) == []


def regions(generated):
    rng = np.random.default_rng(0)
    rows = fidelity_rows(generated, real(600, 0)[0], real(600, 1)[0], "pixels", 0.95, rng)
    return {row.metric.removeprefix("generated_"): row.value for row in rows}


def test_precision_falls_for_rows_that_are_not_real_and_recall_for_real_ones_that_are_not_made():
    faithful, (rows, kinds) = regions(real(600, 2)[0]), real(1500, 3)
    assert faithful["precision"] == pytest.approx(faithful["precision_of_held_out"], abs=0.08)
    assert faithful["recall"] == pytest.approx(faithful["recall_of_held_out"], abs=0.08)
    one = regions(rows[kinds == 0][:200])
    assert one["precision"] > 0.7
    assert one["recall"] < 0.3
    far = regions(np.concatenate([real(300, 4)[0], real(300, 5)[0] + 40]))
    assert far["precision"] == pytest.approx(0.5 * faithful["precision"], abs=0.1)


def test_inside_counts_rows_within_the_third_neighbour_s_distance():
    region = np.array([[0.0], [1.0], [2.0], [4.0]])
    radii = [4.0, 3.0, 2.0, 4.0]
    rows = np.array([[-3.9], [-4.1], [7.9], [8.1]])
    expected = (np.abs(rows - region.T) <= radii).any(axis=1).sum()
    assert inside(rows, region) == expected == 2
