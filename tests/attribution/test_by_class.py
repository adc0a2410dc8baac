"""Importance by class and by answer, and how stable ranks are."""

import numpy as np
import pytest

from auditkit.attribution.by_class import by_class_table, rank_stability, selections, stability_row

RNG = np.random.default_rng


def test_selections_divide_the_rows():
    predictions, labels = np.array([0, 0, 1, 1, 1]), np.array([0, 1, 1, 1, -1])
    found = selections(["a", "b", "never"], predictions, labels)
    assert {key: rows.sum() for key, rows in found.items()} == {
        ("", ""): 5, ("class", "a"): 2, ("class", "b"): 3, ("answer", "right"): 3, ("answer", "wrong"): 1,
    }  # fmt: skip
    assert list(selections([], predictions, labels)) == [("", "")]
    assert ("answer", "right") not in selections(["a", "b"], predictions, np.full(5, -1))


def test_ranks_are_certain_where_shares_are_far_apart_and_open_where_they_are_alike():
    apart = np.tile([0.5, 0.3, 0.15, 0.05], (50, 1)) + RNG(0).normal(scale=0.01, size=(50, 4))
    found = rank_stability(apart, 0.95, RNG(1))
    assert found.lower.tolist() == found.upper.tolist() == [1, 2, 3, 4]
    assert found.agreement.min() == pytest.approx(1)
    alike = RNG(2).dirichlet(np.ones(12), size=50)
    found = rank_stability(alike, 0.95, RNG(3))
    assert (found.upper - found.lower).mean() > 4
    assert np.median(found.agreement) < 0.95
    assert found.leading.sum() == pytest.approx(5)


def test_each_class_has_its_own_shares_and_small_ones_are_named_and_not_judged():
    values = np.concatenate([np.tile([3.0, -1.0], (20, 1)), np.tile([1.0, 3.0], (20, 1)), np.ones((4, 2))])
    predictions = np.repeat([0, 1, 2], [20, 20, 4])
    chosen = selections(["a", "b", "few"], predictions, np.full(44, -1))
    table, agreement = by_class_table("m", values, ["x", "y"], chosen, 0.95, RNG(0))
    lines = {(line["by"], line["name"], line["column"]): line for line in table.to_pylist()}
    assert lines["class", "a", "x"]["share"] == pytest.approx(0.75)
    assert lines["class", "b", "x"]["share"] == pytest.approx(0.25)
    assert lines["class", "a", "y"]["signed"] == -1
    assert lines["class", "a", "x"]["rank"] == 1
    assert lines["class", "few", "x"]["status"] == "insufficient"
    assert lines["class", "few", "x"]["share"] is None
    assert "4 explained rows, fewer than 10" in lines["class", "few", "x"]["reason"]
    assert len(agreement) == 500


def test_intervals_cover_the_truth():
    truth, inside = np.array([0.6, 0.3, 0.1]), 0
    for seed in range(100):
        values = RNG(seed).dirichlet(5 * truth, size=60)
        chosen = {("", ""): np.ones(60, dtype=bool)}
        table, _ = by_class_table("m", values, ["x", "y", "z"], chosen, 0.95, RNG([seed, 1]))
        inside += sum(
            line["lower"] <= share <= line["upper"] for line, share in zip(table.to_pylist(), truth, strict=True)
        )
    assert 0.90 <= inside / 300 <= 0.99


def test_rows_without_attribution_say_so():
    table, agreement = by_class_table(
        "m", np.zeros((5, 2)), ["x", "y"], {("", ""): np.ones(5, dtype=bool)}, 0.95, RNG(0)
    )
    assert set(table.column("status").to_pylist()) == {"insufficient"}
    assert stability_row("m", "test", agreement, 0.95, 0).status == "not applicable"
