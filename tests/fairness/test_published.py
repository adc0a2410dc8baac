"""A check made again from a small file of counts is the check of the rows."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from auditkit import InputError, check_fairness
from auditkit.fairness.counted import check_counts
from auditkit.fairness.counting.counts import Counts, Weights
from auditkit.fairness.counting.published import (
    METADATA,
    PublishedCounts,
    from_table,
    is_counts_file,
    read_counts,
    to_table,
    write_counts,
)


def people(n=4000, seed=0, **more):
    rng = np.random.default_rng(seed)
    race = rng.choice(["Black", "White", 'he said "hi"', None], n, p=[0.3, 0.5, 0.19, 0.01])
    truth = rng.choice(["no", "yes"], n)
    score = np.clip(rng.normal(0.4 + 0.2 * (truth == "yes"), 0.2), 0, 1)
    columns = {"sex": rng.choice(["f", "m"], n), "race": pa.array(race.tolist())}
    return {"y_true": truth, "y_pred": np.where(score > 0.5, "yes", "no"), "sensitive_features": columns, **more}, score


@pytest.fixture(scope="module")
def check():
    columns, score = people()
    return check_fairness(**columns, scores=score, seed=3, policy={"equalized_odds_difference": {"at_most": 0.1}})


@pytest.fixture(scope="module")
def file(check, tmp_path_factory):
    return write_counts(check, tmp_path_factory.mktemp("counts") / "people.parquet")


def test_the_check_of_the_file_is_the_check_of_the_rows(check, file):
    again = check_counts(file, seed=3, policy={"equalized_odds_difference": {"at_most": 0.1}})
    assert list(again.metrics) == [row for row in check.metrics if row.metric != "auc"]
    assert again.results == check.results
    assert again.verdict == check.verdict
    assert again.caveats[: len(check.caveats)] == check.caveats
    assert "exact AUC" in again.caveats[-1].text
    assert (again.positive, again.classes) == ("yes", ("no", "yes"))
    assert again.info == check.info
    assert set(again.tables) == set(check.tables)
    for name, table in check.tables.items():
        assert again.tables[name].equals(table), name


def test_a_gate_on_what_counts_cannot_tell_does_not_pass(file):
    assert check_counts(file, policy={"auc": {"at_least": 0.1}}).verdict == "missing"


def test_the_file_is_small_and_holds_no_row(file, tmp_path):
    columns, _ = people(200_000)
    path = write_counts(check_fairness(**columns), tmp_path / "many.parquet")
    assert path.stat().st_size < 10_000
    assert pq.read_table(path).num_rows == 2 * 4 * 4
    assert file.stat().st_size < 200_000


def test_weights_come_back_as_they_were(tmp_path):
    columns, _ = people(sample_weight=np.random.default_rng(1).uniform(0.1, 9, 4000))
    check = check_fairness(**columns)
    again = check_counts(write_counts(check, tmp_path / "weighted.parquet"))
    assert list(again.metrics) == list(check.metrics)
    assert again.results == check.results
    assert again.caveats == check.caveats


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_any_counts_come_back_equal(data):
    names = data.draw(st.lists(st.text(min_size=1, max_size=8), min_size=1, max_size=3, unique=True))
    group = st.tuples(*[st.text(max_size=6) for _ in names])
    groups = tuple(sorted(data.draw(st.sets(group, min_size=1, max_size=6))))
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    cells = rng.integers(0, data.draw(st.sampled_from([2, 100, 2**40])), (len(groups), 2, 2))
    weights = Weights(cells * rng.random(cells.shape), cells * rng.random(cells.shape))
    for counts in (Counts(tuple(names), groups, cells), Counts(tuple(names), groups, cells, weights)):
        before = PublishedCounts(counts, positive=names[0], origin="π", excluded=3)
        after = from_table(to_table(before))
        assert (after.positive, after.origin, after.excluded) == (names[0], "π", 3)
        assert (after.counts.attributes, after.counts.groups) == (tuple(names), groups)
        assert np.array_equal(after.counts.cells, cells)
        if counts.weights is not None:
            assert np.array_equal(after.counts.weights.total, weights.total)
            assert np.array_equal(after.counts.weights.squares, weights.squares)


def test_a_counts_file_is_told_from_a_table_of_people(file, tmp_path):
    pq.write_table(pa.table({"sex": ["f"]}), tmp_path / "people.parquet")
    (tmp_path / "text.parquet").write_text("no Parquet")
    assert is_counts_file(file)
    assert not any(is_counts_file(tmp_path / name) for name in ("people.parquet", "text.parquet", "none.parquet"))
    with pytest.raises(InputError, match="these are no counts"):
        read_counts(tmp_path / "people.parquet")
    with pytest.raises(InputError, match="cannot be read as Parquet"):
        read_counts(tmp_path / "text.parquet")
    with pytest.raises(InputError, match="there is no such file"):
        read_counts(tmp_path / "none.parquet")


def _changed(table, **columns):
    for name, change in columns.items():
        values = change(table[name].to_pylist())
        table = table.set_column(table.column_names.index(name), name, pa.array(values, table.schema.field(name).type))
    return table


def _about(table, **more):
    told = json.loads(table.schema.metadata[METADATA]) | more
    return table.replace_schema_metadata({METADATA: json.dumps(told).encode()})


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (lambda t: t.slice(1), "cells are missing"),
        (lambda t: pa.concat_tables([t, t]), "there twice"),
        (lambda t: _changed(t, rows=lambda v: [-1, *v[1:]]), "negative"),
        (lambda t: _changed(t, rows=lambda v: [None, *v[1:]]), "a number is missing"),
        (lambda t: _changed(t, label=lambda v: [2, *v[1:]]), "none of the four"),
        (lambda t: _changed(t, group=lambda v: [["x", "y"], *v[1:]]), "not one value for each attribute"),
        (lambda t: _about(t, groups=[["f"]]), "others than those it names"),
        (lambda t: _about(t, attributes=[]), "attributes must be named"),
        (lambda t: _about(t, format=2), "counts of format 2"),
        (lambda t: t.replace_schema_metadata({METADATA: b"{"}), "damaged counts"),
        (lambda t: _about(t, caveats=[["only a text", "", "", ""]]), "damaged counts"),
    ],
)
def test_damaged_counts_are_refused(damage, says):
    counts = Counts(("sex",), (("f",), ("m",)), np.arange(8).reshape(2, 2, 2))
    with pytest.raises(InputError, match=says):
        from_table(damage(to_table(PublishedCounts(counts))), "counts.parquet")


def test_rows_by_score_must_be_the_same_rows(check):
    table = to_table(PublishedCounts.of(check))
    first = table["bin"].is_valid().to_pylist().index(True)
    more = _changed(table, rows=lambda v: [*v[:first], v[first] + 1, *v[first + 1 :]])
    with pytest.raises(InputError, match="rows by score are others"):
        from_table(more)


def test_rows_left_out_before_counting_are_told(check):
    again = check_counts(PublishedCounts.of(check, excluded=1234))
    assert any("1,234 rows were left out before these 4,000 were counted" in each.text for each in again.caveats)


@pytest.mark.parametrize("design", ["strata", "clusters"])
def test_a_design_that_counts_cannot_tell_is_refused(design):
    columns, _ = people(**{design: np.arange(4000) % 50})
    with pytest.raises(InputError, match="strata or clusters, which counts cannot tell"):
        PublishedCounts.of(check_fairness(**columns))


def test_one_group_is_no_comparison():
    counts = Counts(("sex",), (("f",),), np.array([[[40, 30], [20, 60]]]))
    with pytest.raises(InputError, match="one value"):
        check_counts(PublishedCounts(counts))
