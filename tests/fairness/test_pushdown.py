"""The same counts wherever the rows lie."""

import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from auditkit import InputError, check_fairness
from auditkit.fairness.check import check_predictions
from auditkit.fairness.pushdown import count_predictions

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


@pytest.fixture(scope="module")
def expected(people):
    groups = {name: people[name] for name in ("sex", "race")}
    return check_fairness(people["truth"], people["decision"], sensitive_features=groups)


@pytest.mark.parametrize(
    "name", ["pandas", "polars", "lazy polars", "arrow", "duckdb", "parquet", "many parquet files", "a glob", "csv"]
)
def test_every_source_gives_the_same_counts_numbers_and_caveats(name, sources, expected):
    check = check_predictions(count_predictions(sources[name], **COLUMNS))
    assert check.counts.groups == expected.counts.groups
    assert np.array_equal(check.counts.cells, expected.counts.cells)
    assert list(check.metrics) == list(expected.metrics)
    assert check.verdict == expected.verdict
    assert [caveat.text for caveat in check.caveats] == [caveat.text for caveat in expected.caveats]


def test_tensors_give_the_same_counts(people, expected):
    tensors = [torch.from_numpy(people[name].to_numpy().copy()) for name in ("truth", "decision")]
    groups = {name: people[name] for name in ("sex", "race")}
    assert list(check_fairness(*tensors, sensitive_features=groups).metrics) == list(expected.metrics)


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
