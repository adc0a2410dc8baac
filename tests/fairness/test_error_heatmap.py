import itertools

import numpy as np
import pyarrow as pa
import pytest
from scipy import stats

from auditkit.errors import InputError
from auditkit.fairness.slices.error_figures import heatmap_figure
from auditkit.fairness.slices.error_view import heatmap_sections
from auditkit.fairness.slices.halves import split_rows
from auditkit.fairness.slices.heatmap import axis_of, error_heatmap
from auditkit.fairness.slices.predicates import code
from auditkit.statistics.intervals import wilson
from benchmarks.slice_search import planted


def small(seed=0, rows=4_000):
    rng = np.random.default_rng(seed)
    columns = {
        "a": rng.choice(["x", "y", "z"], rows),
        "b": rng.choice(["u", "v"], rows),
        "c": rng.choice(["p", "q", "r", "s"], rows),
    }
    return columns, rng


def test_the_pair_whose_crossing_tells_is_found():
    columns, rng = small()
    loss = rng.random(4_000) < 0.1 + 0.2 * ((columns["a"] == "x") ^ (columns["b"] == "u"))
    found = error_heatmap(split_rows(columns, loss, None, 0))
    assert {found.down.name, found.across.name} == {"a", "b"}
    assert found.p < 0.01
    assert found.pairs == 3


def test_the_pair_is_the_one_that_going_through_all_finds():
    columns, rng = small(4)
    loss = rng.exponential(size=4_000) * (1 + 0.5 * (columns["c"] == "q") + 0.5 * (columns["b"] == "u"))
    halves = split_rows(columns, loss, None, 0)
    scores = {}
    for first, second in itertools.combinations(halves.search.columns, 2):
        cells = first.codes * second.bins + second.codes
        parts = [halves.search.loss[cells == cell] for cell in np.unique(cells)]
        every = np.concatenate(parts)
        told = sum(part.sum() ** 2 / len(part) for part in parts) - every.sum() ** 2 / len(every)
        freedom = len(parts) - 1
        scores[first.name, second.name] = (told / every.var() - freedom) / np.sqrt(2 * freedom)
    found = error_heatmap(halves)
    assert {found.down.name, found.across.name} == set(max(scores, key=scores.get))


def test_p_keeps_its_level_where_there_is_nothing():
    hits = sum(error_heatmap(split_rows(*planted(1_500, seed, extra=0.0), None, seed)).p <= 0.1 for seed in range(30))
    assert hits <= 8


def test_p_is_near_that_of_pearsons_test_and_cells_are_wilsons():
    columns, rng = small(2)
    loss = (rng.random(4_000) < 0.2 + 0.05 * (columns["a"] == "x")) * 1.0
    found = error_heatmap(split_rows(columns, loss, None, 0), ("a", "b"), confidence=0.95)
    assert found.n.sum() == 4_000
    wanted = stats.chi2_contingency([found.total.ravel(), (found.n - found.total).ravel()], correction=False).pvalue
    assert found.p == pytest.approx(wanted, abs=0.02)
    for row, column in np.ndindex(*found.n.shape):
        inside = (columns["a"] == found.down.labels[row]) & (columns["b"] == found.across.labels[column])
        assert found.n[row, column] == inside.sum()
        assert found.total[row, column] == loss[inside].sum()
    low, high = wilson(found.total, found.n, 1 - 0.05 / 6)
    assert (found.lower <= low).all()
    assert np.allclose(found.lower, low, atol=0.003)
    assert np.allclose(found.upper, high, atol=0.003)


def test_cells_of_too_few_rows_are_not_judged():
    rng = np.random.default_rng(0)
    a = np.where(np.arange(4_000) < 60, "rare", rng.choice(["x", "y"], 4_000))
    b = rng.choice(["u", "v", "w"], 4_000)
    found = error_heatmap(split_rows({"a": a, "b": b}, rng.random(4_000) < 0.2, None, 0), ("a", "b"))
    lines = found.table().to_pylist()
    few = [line for line in lines if line["n"] < 30]
    assert few
    assert all(line["loss"] is None and line["lower"] is None and "fewer than 30" in line["reason"] for line in few)
    assert all(line["loss"] is not None for line in lines if line["n"] >= 30)
    section = heatmap_sections(found.table())[0]
    assert f"{len(few)} cells have too few rows" in section.finding
    assert sum("not judged" in text for text in section.figure.data[1].text) == len(few)


def test_axes_name_numbers_missing_values_and_what_is_rare():
    numbers = axis_of(code("x", pa.array([None, *range(800)]), 1))
    assert numbers.labels[0] == "< 100"
    assert numbers.labels[1] == "100 to 200"
    assert numbers.labels[-1] == "missing"
    assert numbers.codes[0] == len(numbers.labels) - 1
    many = axis_of(code("c", pa.array([f"v{at % 30:02d}" for at in range(900)]), 1))
    assert len(many.labels) == 11
    assert many.labels[-1] == "other"
    assert (many.codes == 10).sum() == 900 - 10 * 30
    text = axis_of(code("c", pa.array(["missing", None, "b"] * 10), 1))
    assert text.labels == ["b", "missing", "missing"]
    assert np.bincount(text.codes).tolist() == [10, 10, 10]


@pytest.mark.parametrize("pair", [("a", "a"), ("a", "nothing")])
def test_a_pair_that_is_none_is_refused(pair):
    columns, _ = small()
    with pytest.raises(InputError, match="two of the columns"):
        error_heatmap(split_rows(columns, np.zeros(4_000), None, 0), pair)


def test_one_column_makes_no_map():
    with pytest.raises(InputError, match="two columns"):
        error_heatmap(split_rows({"a": ["x", "y"] * 500}, [0, 1] * 500, None, 0))


@pytest.mark.parametrize("value", [0.0, 1.0, 0.4])
def test_losses_that_are_all_equal_tell_nothing(value):
    columns, _ = small()
    found = error_heatmap(split_rows(columns, np.full(4_000, value), None, 0))
    assert (found.p, found.explained) == (1.0, 0.0)
    assert "No pair" in heatmap_sections(found.table())[0].finding


def test_names_are_escaped_in_the_figure():
    columns, rng = small()
    columns["<i>a</i>"] = columns.pop("a")
    loss = rng.random(4_000) < 0.1
    figure = heatmap_figure(error_heatmap(split_rows(columns, loss, None, 0), ("<i>a</i>", "b")).table())
    assert "<i>" not in figure.layout.yaxis.title.text
    assert "<i>" not in figure.data[0].customdata[0][0]
