"""The GROUP BY runs in Spark: a real local session, the same counts, and no rows brought here."""

import shutil

import numpy as np
import pyarrow as pa
import pytest

from auditkit import InputError, check_fairness
from auditkit.fairness.counting.pushdown import check_table, count_table

pyspark = pytest.importorskip("pyspark", reason="pyspark is not installed: pip install 'auditkit[spark]'")
if shutil.which("java") is None:
    pytest.skip("Spark needs Java, which is not installed", allow_module_level=True)

pytestmark = pytest.mark.filterwarnings("ignore")
COLUMNS = {"label": "truth", "prediction": "decision", "sensitive": ["sex", "race"]}


@pytest.fixture(scope="module")
def spark(tmp_path_factory):
    from pyspark.sql import SparkSession

    session = (
        SparkSession.builder.master("local[1]")
        .config("spark.ui.enabled", "false")
        .config("spark.sql.shuffle.partitions", "2")
        .config("spark.driver.host", "127.0.0.1")
        .config("spark.driver.bindAddress", "127.0.0.1")
        .config("spark.sql.warehouse.dir", str(tmp_path_factory.mktemp("spark")))
        .config("spark.log.level", "ERROR")
        .config("spark.sql.codegen.wholeStage", "false")
        .config("spark.driver.extraJavaOptions", "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC")
        .getOrCreate()
    )
    yield session
    session.stop()


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
def frame(spark, people):
    return spark.createDataFrame(people).repartition(3)


def by_rows(people, **more):
    groups = {name: people[name] for name in ("sex", "race")}
    return check_fairness(people["truth"], people["decision"], sensitive_features=groups, **more)


def test_spark_counts_and_brings_no_rows_here(frame, people, monkeypatch):
    brought = []

    def counted(original):
        def bring(self, *args, **kwargs):
            result = original(self, *args, **kwargs)
            brought.append(len(result))
            return result

        return bring

    for name in ("toArrow", "collect", "toPandas"):
        monkeypatch.setattr(type(frame), name, counted(getattr(type(frame), name)))
    check = check_table(frame, **COLUMNS)
    expected = by_rows(people)
    assert brought
    assert max(brought) <= 2 * 2 * 2 * 4
    assert check.counts.groups == expected.counts.groups
    assert np.array_equal(check.counts.cells, expected.counts.cells)
    assert list(check.metrics) == list(expected.metrics)
    assert check.results == expected.results
    assert [caveat.text for caveat in check.caveats] == [caveat.text for caveat in expected.caveats]


def test_spark_sums_weights(frame, people):
    counts = count_table(frame, **COLUMNS, weight="weight").counts
    expected = by_rows(people, sample_weight=people["weight"]).counts
    assert np.array_equal(counts.cells, expected.cells)
    assert np.array_equal(counts.weights.total, expected.weights.total)
    assert np.array_equal(counts.weights.squares, expected.weights.squares)


def test_weights_that_are_none_are_refused_by_spark_too(spark):
    weights = [1.0, None, float("nan"), -1.0]
    table = {"truth": [0, 1, 0, 1], "decision": [0, 1, 1, 0], "sex": ["f", "f", "m", "m"], "w": weights}
    broken = spark.createDataFrame(pa.table(table))
    with pytest.raises(InputError, match="3 of 4 rows have a weight in column 'w'"):
        count_table(broken, label="truth", prediction="decision", sensitive=["sex"], weight="w")


def test_an_unknown_column_is_told_before_spark_works(frame):
    with pytest.raises(InputError, match="did you mean 'truth'"):
        count_table(frame, **(COLUMNS | {"label": "truh"}))
