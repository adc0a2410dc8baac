"""Multicalibration against closed forms, and its promise: bounds that hold for every cell at once."""

import numpy as np
import pyarrow as pa
import pytest

from auditkit.evidence.metrics import select
from auditkit.fairness.counting.counts import encode_groups
from auditkit.fairness.scores.bins import ScoreCounts
from auditkit.fairness.scores.multicalibration import cells_of, full_collection, multicalibration_rows
from auditkit.fairness.settings import Settings
from auditkit.statistics.intervals import normal_quantile, score_interval

SETTINGS = Settings()


def count(columns: dict[str, np.ndarray], truth: np.ndarray, scores: np.ndarray) -> ScoreCounts:
    groups = encode_groups({name: pa.array(values) for name, values in columns.items()}, "here")
    return ScoreCounts.tally(groups, truth, scores)


def test_the_worst_cell_is_the_largest_distance_of_label_and_score() -> None:
    group = np.repeat(["a", "b"], 100)
    truth = np.concatenate([np.arange(100) < 80, np.arange(100) < 55])
    counts = count({"sex": group}, truth, np.where(group == "a", 0.51, 0.57))
    (row,) = multicalibration_rows(counts, SETTINGS, "test")
    assert row.value == pytest.approx(0.80 - 0.51)
    assert (row.detail, row.attribute, row.n, row.unjudged) == ("a, scores 0.5 to 0.6", "sex", 200, ())
    z = normal_quantile(1 - 0.05 / 2)  # two cells
    low, high = score_interval(80, 100, z, corrected=True)
    assert (row.lower, row.upper) == pytest.approx((low - 0.51, high - 0.51))


def test_a_fault_in_an_intersection_only_is_found_there() -> None:
    rng = np.random.default_rng(0)
    n = 8000
    sex, race = rng.integers(0, 2, n), rng.integers(0, 2, n)
    truth = rng.random(n) < np.where(sex == race, 0.65, 0.35)
    columns = {"sex": np.array(["f", "m"])[sex], "race": np.array(["x", "y"])[race]}
    rows = {row.attribute: row for row in multicalibration_rows(count(columns, truth, np.full(n, 0.5)), SETTINGS)}
    assert max(rows["sex"].lower, rows["race"].lower) < 0.01
    assert rows["sex × race"].lower > 0.1
    assert rows["sex × race"].value == pytest.approx(0.15, abs=0.03)


def test_cells_with_few_rows_are_no_part_of_it_and_a_group_of_such_cells_is_named() -> None:
    rng = np.random.default_rng(1)
    group = np.array(["a"] * 500 + ["b"] * 500 + ["tiny"] * 20)
    scores = np.concatenate([rng.random(1000) * 0.2, np.full(20, 0.95)])
    truth = np.concatenate([rng.random(1000) < scores[:1000], np.zeros(20, dtype=bool)])
    (row,) = multicalibration_rows(count({"group": group}, truth, scores), SETTINGS)
    assert row.value < 0.2, "the twenty rows that are all wrong must not count"
    assert row.unjudged == ("tiny",)
    assert row.n == 1000
    few = count({"group": np.array(["a", "b"] * 20)}, np.array([True, False] * 20), np.linspace(0, 1, 40))
    (row,) = multicalibration_rows(few, SETTINGS)
    assert (row.status, row.value) == ("insufficient", None)
    assert row.unjudged == ("a", "b")


@pytest.mark.parametrize("off", [0.0, 0.12])
def test_bounds_hold_for_all_cells_at_once(off: float) -> None:
    rng = np.random.default_rng(2)
    runs, held, false = 200, 0, 0
    for _ in range(runs):
        n = 3000
        columns = {"sex": rng.choice(["f", "m"], n), "race": rng.choice(["x", "y", "z"], n, p=[0.7, 0.25, 0.05])}
        scores = rng.random(n)
        share = np.clip(scores + off * (columns["sex"] == "f") * (scores < 0.5), 0, 1)
        counts = count(columns, rng.random(n) < share, scores)
        row = multicalibration_rows(counts, SETTINGS)[-1]
        held += row.lower <= off + 1e-9
        false += row.lower > 0
    assert held / runs >= 0.95
    assert (false / runs <= 0.05) if off == 0 else (false / runs >= 0.5)


def test_the_table_lists_judged_cells_widest_first() -> None:
    rng = np.random.default_rng(3)
    n = 2000
    columns = {"sex": rng.choice(["f", "m"], n), "race": rng.choice(["x", "y"], n)}
    scores = rng.random(n)
    counts = count(columns, rng.random(n) < scores, scores)
    table = cells_of(counts, full_collection(counts.attributes, SETTINGS), SETTINGS).table().to_pylist()
    widths = [abs(record["difference"]) for record in table]
    assert widths == sorted(widths, reverse=True)
    assert {record["attribute"] for record in table} == {"", "sex", "race", "sex × race"}
    record = next(r for r in table if (r["group"], round(r["low"], 1)) == ("f × x", 0.3))
    mine = (columns["sex"] == "f") & (columns["race"] == "x") & (scores >= 0.3) & (scores < 0.4)
    assert record["n"] == mine.sum()
    assert record["score"] == pytest.approx(scores[mine].mean())
    (overall,) = select(multicalibration_rows(counts, SETTINGS), attribute="sex × race")
    assert overall.value == pytest.approx(widths[0])
    alone = multicalibration_rows(counts, Settings(intersections=False))
    assert {row.attribute for row in alone} == {"sex", "race"}
