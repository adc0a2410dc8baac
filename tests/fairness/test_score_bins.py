"""Score counts: the rows in them, at exact edges, mergeable, summable, and kept in a table."""

import io

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditkit.errors import InputError
from auditkit.fairness.counting.counts import encode_groups
from auditkit.fairness.scores.bins import ScoreCounts, bin_of, checked_scores, edges_of

BINS = 20


def drawn(seed: int, n: int = 300) -> tuple[dict[str, list[str]], np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    columns = {"sex": rng.choice(["f", "m"], n).tolist(), "race": rng.choice(["a", "b", "c"], n).tolist()}
    return columns, rng.random(n) < 0.4, rng.random(n).round(2)


def tally(seed: int, part: slice = slice(None), bins: int = BINS) -> ScoreCounts:
    columns, truth, scores = drawn(seed)
    groups = encode_groups({name: pa.array(column) for name, column in columns.items()}, "here")
    return ScoreCounts.tally(groups, truth[part], scores[part], bins, np.arange(len(truth))[part])


def test_cells_and_sums_are_those_of_the_rows() -> None:
    columns, truth, scores = drawn(0)
    counts = tally(0)
    for at, (sex, race) in enumerate(counts.groups):
        inside = (np.array(columns["sex"]) == sex) & (np.array(columns["race"]) == race)
        for label in (False, True):
            mine = scores[inside & (truth == label)]
            assert counts.cells[at, int(label)].tolist() == np.histogram(mine, edges_of(BINS))[0].tolist()
            assert counts.sums[0, at, int(label)].sum() == pytest.approx(mine.sum(), abs=1e-12)
            assert counts.sums[1, at, int(label)].sum() == pytest.approx((mine**2).sum(), abs=1e-12)


@given(st.integers(2, 1000), st.integers(0, 1000))
def test_a_threshold_on_an_edge_is_exact(bins: int, k: int) -> None:
    edge = min(k, bins) / bins
    near = np.array([np.nextafter(edge, 0), edge, np.nextafter(edge, 1)]).clip(0, 1)
    reached = bin_of(near, bins) >= min(k, bins)
    assert (reached == (near >= edge)).all() or edge == 1


@given(st.integers(0, 300))
def test_halves_merged_are_the_whole(cut: int) -> None:
    whole = tally(1)
    merged = tally(1, slice(None, cut)).merge(tally(1, slice(cut, None)))
    assert merged.groups == whole.groups
    assert (merged.cells == whole.cells).all()
    np.testing.assert_allclose(merged.sums, whole.sums, atol=1e-12)


def test_merging_different_groups_keeps_all_of_them() -> None:
    whole = tally(2)
    one, other = (ScoreCounts(whole.attributes, whole.groups[p], whole.cells[p], whole.sums[:, p])
                  for p in (slice(0, 4), slice(2, 6)))  # fmt: skip
    merged = one.merge(other)
    assert merged.groups == whole.groups
    assert merged.rows == one.rows + other.rows
    with pytest.raises(ValueError, match="cannot be added"):
        whole.merge(tally(2, bins=10))


def test_margins_are_counts_of_fewer_attributes() -> None:
    columns, truth, scores = drawn(3)
    groups = encode_groups({"sex": pa.array(columns["sex"])}, "here")
    margin = tally(3).margin(["sex"])
    direct = ScoreCounts.tally(groups, truth, scores, BINS)
    assert margin.groups == direct.groups
    assert (margin.cells == direct.cells).all()
    np.testing.assert_allclose(margin.sums, direct.sums, atol=1e-12)
    assert tally(3).margin([]).groups == ((),)


@pytest.mark.parametrize("part", [slice(None), slice(0, 3)])
def test_a_table_keeps_everything_also_through_parquet(part: slice) -> None:
    counts = tally(4, part)
    file = io.BytesIO()
    pq.write_table(counts.to_table(), file)
    back = ScoreCounts.from_table(pq.read_table(file))
    assert (back.attributes, back.groups, back.bins) == (counts.attributes, counts.groups, counts.bins)
    assert (back.cells == counts.cells).all()
    assert (back.sums == counts.sums).all()
    with pytest.raises(InputError, match="no table of score counts"):
        ScoreCounts.from_table(pa.table({"a": [1]}))


def test_decisions_at_a_place_are_those_of_the_threshold() -> None:
    _, truth, scores = drawn(5)
    decided = tally(5).margin([]).decided(7).cells[0]
    selected = scores >= 0.35
    assert decided[1, 1] == (selected & truth).sum()
    assert decided[0, 1] == (selected & ~truth).sum()
    assert decided.sum() == len(scores)


@pytest.mark.parametrize(
    ("scores", "says"),
    [
        ([-2.0, 3.0], "logits"),
        ([12.0, 99.0], "percentages: divide them by 100"),
        ([300.0, 850.0], "scorecard"),
        ([0.5, 1.0000000001], "rounding"),
        ([0.5, float("nan")], "missing or infinite in 1 of 2 rows, first in row 2"),
        ([0.5, float("inf")], "missing or infinite"),
        ([[0.5, 0.5]], "one number for each row"),
    ],
)
def test_other_numbers_are_refused_with_what_they_look_like(scores: list[float], says: str) -> None:
    with pytest.raises(InputError, match=says):
        checked_scores(scores)


def test_lengths_that_differ_are_refused() -> None:
    groups = encode_groups({"sex": pa.array(["f", "m"])}, "here")
    with pytest.raises(InputError, match="one of each for every row"):
        ScoreCounts.tally(groups, np.array([True, False]), [0.5])
