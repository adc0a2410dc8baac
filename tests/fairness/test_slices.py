import itertools
import warnings

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from auditkit.errors import InputError
from auditkit.fairness.slices import find_slices
from auditkit.fairness.slices.confirm import confirm_slices, hash_split, holm, hypergeometric_tail
from auditkit.fairness.slices.figures import slice_intervals
from auditkit.fairness.slices.predicates import code
from auditkit.fairness.slices.search import rank_slices
from auditkit.fairness.slices.view import slice_sections
from benchmarks.slice_search import PLANTED, planted


def brute_force(columns, loss, minimum, depth, caution):
    """The score of every slice, by going through all of them."""
    found = []
    every = [(at, place) for at, column in enumerate(columns) for place in range(len(column.predicates))]
    for size in range(1, depth + 1):
        for chosen in itertools.combinations(every, size):
            if len({at for at, _ in chosen}) < size:
                continue
            inside = np.logical_and.reduce([columns[at].member[place][columns[at].codes] for at, place in chosen])
            if inside.sum() >= minimum:
                allowance = caution * loss.std() / np.sqrt(inside.sum())
                found.append((loss[inside].mean() - allowance) / loss.mean() - 1)
    return sorted((score for score in found if score > 1e-9), reverse=True)


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    rows=st.integers(5, 60),
    depth=st.integers(1, 3),
    size=st.integers(1, 12),
    minimum=st.integers(1, 8),
    caution=st.sampled_from([0.0, 0.5, 1.0, 4.0]),
    binary=st.booleans(),
)
def test_the_search_finds_what_going_through_all_slices_finds(seed, rows, depth, size, minimum, caution, binary):
    rng = np.random.default_rng(seed)
    columns = [
        code("a", pa.array(rng.choice(["x", "y", "z", None], rows)), minimum),
        code("b", pa.array(rng.integers(0, 4, rows)), minimum),
        code("c", pa.array(np.where(rng.random(rows) < 0.2, np.nan, rng.normal(size=rows))), minimum),
    ]
    loss = (rng.random(rows) < 0.3).astype(float) if binary else rng.exponential(size=rows) * (rng.random(rows) < 0.7)
    found = rank_slices(columns, loss, minimum_rows=minimum, depth=depth, size=size, caution=caution).candidates
    wanted = brute_force(columns, loss, minimum, depth, caution)[:size] if loss.any() else []
    assert [one.score for one in found if one.score > 1e-9] == pytest.approx(wanted)
    for one in found:
        inside = np.logical_and.reduce([columns[at].member[place][columns[at].codes] for at, place in one.members])
        assert one.n == inside.sum()
        assert one.total == pytest.approx(loss[inside].sum())


@pytest.mark.parametrize("seed", range(5))
def test_a_planted_slice_is_found_first_and_confirmed(seed):
    columns, loss = planted(20_000, seed)
    first = find_slices(columns, loss, seed=seed).slices[0]
    assert first.text == PLANTED
    assert first.confirmed
    assert first.lower < 0.15 < first.upper


def test_nothing_is_confirmed_where_there_is_nothing():
    false = sum(bool(find_slices(*planted(4_000, seed, extra=0.0), seed=seed).found) for seed in range(12))
    assert false <= 2


def test_losses_that_are_not_0_and_1_are_confirmed_by_permutation():
    rng = np.random.default_rng(0)
    group = rng.choice(["a", "b", "c", "d"], 3_000, p=[0.05, 0.35, 0.3, 0.3])
    loss = rng.exponential(size=3_000) * np.where(group == "a", 2.0, 1.0)
    found = find_slices({"group": group, "noise": rng.normal(size=3_000)}, loss, top=1)
    assert found.slices[0].text.startswith("group = a")
    assert found.slices[0].confirmed
    assert found.table().column("unit").to_pylist() == [""]


def test_the_order_of_rows_changes_nothing():
    columns, loss = planted(3_000, 1)
    columns["twice"] = np.array(["same"] * 1_500 + ["other"] * 1_500)
    shuffled = np.random.default_rng(5).permutation(len(loss))
    other = find_slices({name: column[shuffled] for name, column in columns.items()}, loss[shuffled])
    assert find_slices(columns, loss).table().equals(other.table())
    assert find_slices(columns, loss) == other


def test_another_seed_splits_otherwise():
    columns, loss = planted(3_000, 1)
    assert find_slices(columns, loss, seed=1).search_rows != find_slices(columns, loss, seed=2).search_rows


def test_equal_rows_go_to_either_half():
    _, first = hash_split([np.zeros(10_000, dtype=np.int64)], np.zeros(10_000), 0)
    assert 4_800 < first.sum() < 5_200


@pytest.mark.parametrize("value", [0.0, 1.0, 0.25])
def test_losses_that_are_all_equal_show_nothing(value):
    columns, _ = planted(2_000, 0)
    found = find_slices(columns, np.full(2_000, value))
    assert found.slices == ()
    assert found.table().num_rows == 0
    assert slice_sections(found.table(), found.overall)[0].figure is None


def test_rows_without_a_value_can_be_the_slice():
    rng = np.random.default_rng(2)
    income = np.where(rng.random(8_000) < 0.1, np.nan, rng.normal(size=8_000))
    city = pa.array([None if rng.random() < 0.1 else "x" for _ in range(8_000)])
    loss = rng.random(8_000) < 0.1 + 0.3 * np.isnan(income)
    found = find_slices({"income": income, "city": city}, loss)
    assert "income is missing" in found.slices[0].text
    assert found.slices[0].conditions[0].kind == "missing"
    assert found.slices[0].confirmed
    loss = rng.random(8_000) < 0.1 + 0.3 * city.is_null().to_numpy(zero_copy_only=False)
    assert "city is missing" in find_slices({"income": income, "city": city}, loss).slices[0].text


def test_a_number_of_few_values_is_told_by_value():
    coded = code("children", pa.array([0, 1, 2, 3] * 10), 1)
    assert {predicate.text for predicate in coded.predicates} == {
        *(f"children = {value}" for value in range(4)),
        "children < 2", "children < 3", "1 ≤ children < 3", "children ≥ 1", "children ≥ 2",
    }  # fmt: skip


@settings(max_examples=80, deadline=None)
@given(
    values=st.lists(
        st.one_of(st.none(), st.floats(), st.floats(-100, 100), st.sampled_from([0.0, -0.0, 1.0])), min_size=1
    )
)
def test_a_predicate_holds_where_its_bins_say(values):
    column = pa.array(values, pa.float64())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        coded = code("x", column, 1)
    for predicate, member in zip(coded.predicates, coded.member, strict=True):
        assert (predicate.holds(column) == member[coded.codes]).all(), predicate


@pytest.mark.parametrize(
    "column",
    [
        pa.array(["a", "", None, "b"] * 5),
        pa.array([True, False, None, True] * 5),
        pa.array(["a", "b", None, "b"] * 5).dictionary_encode(),
        pa.array([1, 2, None, 7] * 5, pa.timestamp("s", "UTC")),
        pa.array(range(20), pa.date32()),
        pa.array(range(20), pa.uint8()),
        pa.chunked_array([["a", "b"], ["b", None]]).combine_chunks(),
    ],
)
def test_columns_of_every_kind(column):
    coded = code("x", column, 1)
    assert coded.predicates
    for predicate, member in zip(coded.predicates, coded.member, strict=True):
        assert (predicate.holds(column) == member[coded.codes]).all(), predicate
    holding = np.array([member[coded.codes] for member in coded.member])
    assert holding.any(axis=0).all()


def test_bounds_are_round():
    texts = {predicate.text for predicate in code("hours", pa.array(np.linspace(0, 80, 8_001)), 1).predicates}
    assert {"hours < 10", "hours ≥ 70", "20 ≤ hours < 40"} <= texts
    assert max(map(len, texts)) <= len("20.01 ≤ hours < 40.01")


HOSTILE = ["<b>x</b>", "a and b", "=1+1", "", "' or 1=1 --", "\n\t\0", "%{x}", "ü×≥"]


def test_hostile_names_stay_as_they_are():
    rng = np.random.default_rng(0)
    columns = {name: rng.choice(["<script>", "b"], 2_000) for name in HOSTILE}
    loss = rng.random(2_000) < 0.1 + 0.5 * (columns["<b>x</b>"] == "<script>")
    found = find_slices(columns, loss)
    assert found.slices[0].text.startswith("<b>x</b> = <script>")
    figure = slice_intervals(found.table(), found.overall)
    assert "<script>" not in str(figure.to_plotly_json())
    assert slice_sections(found.table(), found.overall)[0].finding


def test_slices_tell_their_rows():
    columns, loss = planted(5_000, 3)
    for one in find_slices(columns, loss).slices:
        assert one.holds(columns).sum() == one.n == one.search_n + one.confirm_n
        assert loss[one.holds(columns)].sum() == pytest.approx(
            one.search_n * one.search_loss + one.confirm_n * one.confirm_loss
        )


def test_columns_that_no_condition_cuts_are_named():
    columns = {"id": np.array([f"p{at}" for at in range(500)]), "sex": np.array(["f", "m"] * 250)}
    assert find_slices(columns, np.arange(500) % 3 == 0).unsearched == ("id",)


@given(st.integers(0, 30), st.integers(1, 30), st.integers(0, 60), st.integers(60, 80))
def test_fishers_p_is_scipys(bad, n, all_bad, rows):
    bad = min(bad, n, all_bad)
    table = [[bad, n - bad], [all_bad - bad, rows - n - all_bad + bad]]
    if min(min(line) for line in table) >= 0:
        wanted = stats.fisher_exact(table, alternative="greater").pvalue
        assert hypergeometric_tail(bad, n, all_bad, rows) == pytest.approx(wanted, rel=1e-9)


def test_holm_never_falls_below_a_smaller_ones():
    assert holm([0.03, 0.01, 0.02]) == pytest.approx([0.04, 0.03, 0.04])
    assert holm([]) == []


def test_the_permutation_keeps_its_level_for_skewed_losses():
    rng = np.random.default_rng(4)
    hits = 0
    for _ in range(60):
        loss = rng.exponential(size=400) ** 2
        hits += confirm_slices([np.arange(400) < 30], loss, 0.9, rng)[0].p <= 0.1
    assert hits <= 12


def test_a_slice_that_the_other_half_lacks_is_not_confirmed():
    told = confirm_slices([np.zeros(10, dtype=bool)], np.ones(10), 0.95, np.random.default_rng(0))[0]
    assert (told.confirmed, told.gap, told.p) == (False, None, None)
    assert "no rows in it" in told.reason


@pytest.mark.parametrize(
    ("columns", "loss", "more", "words"),
    [
        ({"a": ["x"] * 100}, [1.0] * 99, {}, "99"),
        ({"a": ["x"] * 100}, [-1.0] * 100, {}, "negative"),
        ({"a": ["x"] * 100}, [float("nan")] * 100, {}, "missing"),
        ({"a": ["x"] * 100}, [float("inf")] * 100, {}, "infinite"),
        ({"a": ["x"] * 100}, ["no"] * 100, {}, "numbers"),
        ({"a": ["x"] * 20}, [1.0] * 20, {}, "too few"),
        ({"a": []}, np.zeros(0), {}, "too few"),
        ({}, [1.0] * 100, {}, "column"),
        ({"a": ["x"] * 100}, [1.0] * 100, {"depth": 0}, "depth"),
        ({"a": ["x"] * 100}, [1.0] * 100, {"confidence": 95}, "confidence"),
        ({"a": [["x"]] * 100}, [1.0] * 100, {}, "plain value"),
    ],
)
def test_what_cannot_be_searched_is_refused(columns, loss, more, words):
    with pytest.raises(InputError, match=words):
        find_slices(columns, loss, **more)


def test_sections_say_which_slices_were_found():
    columns, loss = planted(20_000, 0)
    found = find_slices(columns, loss)
    section = slice_sections(found.table(), found.overall)[0]
    assert PLANTED in section.finding
    marks = section.table.column("verdict").to_pylist()
    assert marks.count("found") == len(found.found)
    assert marks.count("not confirmed") == len(found.slices) - len(found.found)
