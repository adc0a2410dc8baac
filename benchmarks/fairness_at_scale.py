"""A million rows beside fairlearn's MetricFrame, and a hundred million rows counted where they lie.

fairlearn computes six metrics over 2 × 5 groups; ours are those, all other rates, gaps, 10,000 resamples, permutation
tests and a verdict. The hundred million rows are a Parquet file made by DuckDB, whose own GROUP BY is the yardstick.
"""

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

TITLE = "Fairness at scale"
ROWS, MANY = 1_000_000, 100_000_000

COUNTED = """
import resource, sys, time
from auditkit.fairness.counting.pushdown import check_table
start = time.perf_counter()
check = check_table(sys.argv[1], label="truth", prediction="decision", sensitive=["sex", "race"])
print(time.perf_counter() - start, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, check.counts.rows)
"""
GROUPED = """
import duckdb, sys, time
start = time.perf_counter()
duckdb.sql(f"select truth, decision, sex, race, count(*) from '{sys.argv[1]}' group by all").fetchall()
print(time.perf_counter() - start, 0, 0)
"""


def seconds(work: Callable[[], Any]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def at_a_million() -> list[dict[str, str]]:
    from fairlearn.metrics import (
        MetricFrame,
        false_negative_rate,
        false_positive_rate,
        selection_rate,
        true_negative_rate,
        true_positive_rate,
    )
    from sklearn.metrics import accuracy_score

    from auditkit.fairness.counting.counts import Counts, encode_groups
    from auditkit.fairness.groups.conclude import conclude
    from auditkit.fairness.groups.definitions import RATES
    from auditkit.fairness.groups.inference import infer
    from auditkit.fairness.groups.margin import fraction_of
    from auditkit.fairness.settings import Settings

    rng = np.random.default_rng(0)
    sex, race = rng.choice(["f", "m"], ROWS), rng.choice(list("abcde"), ROWS)
    truth, decision = rng.random(ROWS) < 0.3, rng.random(ROWS) < 0.3
    six = {
        f.__name__: f
        for f in (
            selection_rate,
            true_positive_rate,
            true_negative_rate,
            false_positive_rate,
            false_negative_rate,
            accuracy_score,
        )
    }
    codes = {"sex": sex, "race": race}
    theirs = seconds(lambda: MetricFrame(metrics=six, y_true=truth, y_pred=decision, sensitive_features=codes).by_group)
    import pyarrow as pa

    columns = {name: pa.array(values) for name, values in codes.items()}
    groups = encode_groups(columns, "people")
    encoding = min(seconds(lambda: encode_groups(columns, "people")) for _ in range(3))

    def points() -> None:
        counts = Counts.tally(groups, truth, decision)
        for rate in RATES.values():
            fraction_of(counts.cells, rate)

    ours = min(seconds(points) for _ in range(5))
    counts = Counts.tally(groups, truth, decision)
    every = min(seconds(lambda: infer(counts, Settings())) for _ in range(3))
    all_of_it = min(seconds(lambda: conclude({"": counts}, Settings()).metrics) for _ in range(3))
    return [
        {"what": f"MetricFrame, six metrics, {ROWS:,} rows", "takes": f"{theirs:.1f} s", "against": ""},
        {
            "what": "counting and all point values, groups encoded",
            "takes": f"{1000 * ours:.1f} ms",
            "against": f"{theirs / ours:,.0f} times faster",
        },
        {
            "what": "the same with encoding the groups from Arrow text columns",
            "takes": f"{1000 * (ours + encoding):.0f} ms",
            "against": f"{theirs / (ours + encoding):,.0f} times faster",
        },
        {
            "what": "one bootstrap replicate of everything",
            "takes": f"{1e6 * every / 10_000:.0f} µs",
            "against": f"{theirs / (every / 10_000):,.0f} times faster than one of MetricFrame's",
        },
        {
            "what": "after counting: 10,000 replicates, permutation tests, all gaps",
            "takes": f"{all_of_it:.2f} s",
            "against": "",
        },
    ]


def at_a_hundred_million() -> list[dict[str, str]]:
    import duckdb

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "people.parquet"
        duckdb.sql(
            "copy (select (random() < 0.3)::int as truth, (random() < 0.3)::int as decision, "
            "case when random() < 0.5 then 'f' else 'm' end as sex, "
            f"chr((97 + floor(random() * 5))::int) as race from range({MANY})) to '{path}' (format parquet)"
        )
        runs = {"ours": COUNTED, "theirs": GROUPED}
        taken: dict[str, list[list[float]]] = {name: [] for name in runs}
        for _ in range(3):
            for name, code in runs.items():
                done = subprocess.run(
                    [sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True
                )
                taken[name].append([float(part) for part in done.stdout.split()])
        ours, theirs = (sorted(taken[name])[1] for name in runs)
        size = path.stat().st_size / 2**20
    return [
        {"what": f"DuckDB's own GROUP BY, {MANY:,} rows, {size:.0f} MiB", "takes": f"{theirs[0]:.2f} s", "against": ""},
        {
            "what": f"a whole fairness check of the same file ({int(ours[2]):,} rows counted)",
            "takes": f"{ours[0]:.2f} s",
            "against": f"{ours[0] / theirs[0]:.2f} times as long; {ours[1]:.0f} MiB at most",
        },
    ]


def rows() -> list[dict[str, str]]:
    return at_a_million() + at_a_hundred_million()
