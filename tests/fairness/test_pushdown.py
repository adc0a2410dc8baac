"""The same counts wherever the rows lie."""

import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from auditkit import InputError, check_fairness
from auditkit.fairness.check import check_predictions
from auditkit.fairness.counting.pushdown import check_table, count_predictions, count_table

COLUMNS = {"label": "truth", "prediction": "decision", "sensitive": ["sex", "race"]}


@pytest.fixture(scope="module")
def people() -> pa.Table:
    rng = np.random.default_rng(0)
    race = rng.choice(["Black", "White", 'he said "hi"', None], 5000, p=[0.3, 0.5, 0.1, 0.1])
    return pa.table(
        {
            "truth": rng.integers(0, 2, 5000),
            "decision": rng.integers(0, 2, 5000),
            "sex": rng.choice(["f", "m"], 5000),
            "race": pa.array(race.tolist()),
            "weight": rng.integers(1, 40, 5000) / 4,
        }
    )


@pytest.fixture(scope="module")
def sources(people, tmp_path_factory):
    folder = tmp_path_factory.mktemp("people")
    pq.write_table(people, folder / "people.parquet", row_group_size=700)
    parts = folder / "parts"
    parts.mkdir()
    for at in range(3):
        pq.write_table(people.slice(at * 2000, 2000), parts / f"{at}.parquet")
    people.to_pandas().to_csv(folder / "people.csv", index=False)
    return {
        "pandas": people.to_pandas(),
        "polars": pl.from_arrow(people),
        "lazy polars": pl.from_arrow(people).lazy(),
        "arrow": people,
        "duckdb": duckdb.from_arrow(people),
        "parquet": folder / "people.parquet",
        "many parquet files": parts,
        "a glob": str(parts / "*.parquet"),
        "csv": folder / "people.csv",
    }


EVERY = ["pandas", "polars", "lazy polars", "arrow", "duckdb", "parquet", "many parquet files", "a glob", "csv"]


@pytest.fixture(scope="module")
def expected(people):
    groups = {name: people[name] for name in ("sex", "race")}
    return check_fairness(people["truth"], people["decision"], sensitive_features=groups)


def same(check, expected):
    assert check.counts.groups == expected.counts.groups
    assert np.array_equal(check.counts.cells, expected.counts.cells)
    assert list(check.metrics) == list(expected.metrics)
    assert check.verdict == expected.verdict
    assert check.results == expected.results
    assert [caveat.text for caveat in check.caveats] == [caveat.text for caveat in expected.caveats]


@pytest.mark.parametrize("name", EVERY)
def test_every_source_gives_the_same_counts_numbers_and_caveats(name, sources, expected):
    same(check_predictions(count_predictions(sources[name], **COLUMNS)), expected)


def test_a_table_checked_where_it_lies_is_checked_alike(sources, expected):
    same(check_table(sources["parquet"], **COLUMNS), expected)


def test_a_dask_frame_gives_the_same_counts(people, expected):
    dask = pytest.importorskip("dask.dataframe", reason="dask is not installed")
    counts = count_table(dask.from_pandas(people.to_pandas(), npartitions=3), **COLUMNS).counts
    assert counts.groups == expected.counts.groups
    assert np.array_equal(counts.cells, expected.counts.cells)


@pytest.mark.parametrize("kind", ["numpy", "torch", "lists"])
def test_arrays_and_tensors_give_the_same_counts(kind, people, expected):
    made = {"numpy": np.asarray, "torch": lambda values: torch.from_numpy(values.copy()), "lists": np.ndarray.tolist}
    columns = [made[kind](people[name].to_numpy()) for name in ("truth", "decision")]
    same(check_fairness(*columns, sensitive_features={name: people[name] for name in ("sex", "race")}), expected)


@pytest.mark.parametrize("name", EVERY)
def test_weights_are_summed_at_the_source(name, sources, people):
    groups = {name: people[name] for name in ("sex", "race")}
    by_rows = check_fairness(
        people["truth"], people["decision"], sensitive_features=groups, sample_weight=people["weight"]
    ).counts
    counts = count_table(sources[name], **COLUMNS, weight="weight").counts
    assert np.array_equal(counts.cells, by_rows.cells)
    assert np.array_equal(counts.weights.total, by_rows.weights.total)
    assert np.array_equal(counts.weights.squares, by_rows.weights.squares)


def test_a_weighted_table_is_checked_as_its_rows_are(sources, people):
    groups = {name: people[name] for name in ("sex", "race")}
    by_rows = check_fairness(
        people["truth"], people["decision"], sensitive_features=groups, sample_weight=people["weight"]
    )
    same(check_table(sources["parquet"], **COLUMNS, weight="weight"), by_rows)


@pytest.mark.parametrize("source", ["pandas", "polars", "arrow", "duckdb"])
@pytest.mark.parametrize(
    ("values", "says"),
    [
        ([1.0, None, 2.0, 3.0], "1 of 4 rows have a weight in column 'w' that is missing"),
        ([1.0, -1.0, float("inf"), 3.0], "2 of 4 rows have a weight"),
        ([1.0, float("nan"), 2.0, 3.0], "1 of 4 rows have a weight"),
        ([0.0, 0.0, 0.0, 0.0], "every weight in column 'w' is 0"),
        (["a", "b", "c", "d"], "and not numbers"),
    ],
)
def test_weights_that_are_none_are_refused(source, values, says):
    table = pa.table({"truth": [0, 1, 0, 1], "decision": [0, 1, 1, 0], "sex": ["f", "f", "m", "m"], "w": values})
    as_source = {
        "pandas": pa.Table.to_pandas,
        "polars": pl.from_arrow,
        "arrow": lambda t: t,
        "duckdb": duckdb.from_arrow,
    }
    with pytest.raises(InputError, match=says):
        count_table(as_source[source](table), label="truth", prediction="decision", sensitive=["sex"], weight="w")


@settings(max_examples=25, deadline=None)
@given(st.data())
def test_order_batches_and_seed_leave_verdicts_unchanged(data):
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    n, gap = data.draw(st.integers(200, 3000)), data.draw(st.sampled_from([0.0, 0.3, 0.6]))
    sex = rng.choice(["f", "m"], n)
    decision = (rng.random(n) < 0.8 - gap * (sex == "f")).astype(int)
    table = pa.table({"truth": rng.integers(0, 2, n), "decision": decision, "sex": sex})
    settings = {"label": "truth", "prediction": "decision", "sensitive": ["sex"], "replicates": 200}
    first = check_table(table, **settings)
    cuts = sorted(data.draw(st.lists(st.integers(0, n), max_size=4)))
    shuffled = table.take(pa.array(rng.permutation(n)))
    parts = [shuffled.slice(a, b - a) for a, b in zip([0, *cuts], [*cuts, n], strict=True)]
    again = check_table(pa.concat_tables(parts), **settings)
    assert list(again.metrics) == list(first.metrics)
    assert again.results == first.results
    (ratio,) = (row for row in first.metrics if row.metric == "demographic_parity_ratio")
    edges = [edge for edge in (ratio.lower, ratio.upper) if edge is not None]
    if all(abs(edge - 0.8) > 0.05 for edge in edges):  # 200 resamples leave an edge uncertain by about 0.01
        assert check_table(table, **settings, seed=7).verdict == first.verdict


def test_the_order_of_rows_and_their_batches_change_nothing(people, expected):
    order = pa.array(np.random.default_rng(1).permutation(len(people)))
    shuffled = pa.concat_tables([people.take(order).slice(at, 999) for at in range(0, 5000, 999)])
    check = check_predictions(count_predictions(shuffled, **COLUMNS))
    assert list(check.metrics) == list(expected.metrics)


@pytest.mark.parametrize(
    ("source", "change", "says"),
    [
        ("parquet", {"label": "truh"}, "did you mean 'truth'"),
        ("pandas", {"sensitive": ["sx"]}, "did you mean 'sex'"),
        ("none.parquet", {}, "there is no such file"),
        (42, {}, "int cannot be counted"),
    ],
)
def test_what_cannot_be_counted_is_told_in_one_sentence(sources, source, change, says):
    with pytest.raises(InputError, match=says):
        count_predictions(sources.get(source, source), **(COLUMNS | change))


def test_missing_labels_are_counted_in_rows(people):
    broken = people.to_pandas().astype({"truth": "object"})
    broken.loc[:41, "truth"] = None
    with pytest.raises(InputError, match="42 of 5,000 rows have no value in column 'truth'"):
        count_predictions(broken, **COLUMNS)


def test_scores_are_no_decisions():
    scores = pd.DataFrame({"truth": [0, 1] * 60_000, "decision": np.arange(120_000) / 1e6, "sex": ["f", "m"] * 60_000})
    with pytest.raises(InputError, match="name a column of decisions, not of scores"):
        count_predictions(scores, label="truth", prediction="decision", sensitive=["sex"])
