"""A hundred million rows counted where they lie, and checked: a Parquet file made by DuckDB, whose own GROUP BY is the
yardstick. A million rows beside fairlearn's MetricFrame are in `fairness_speed`.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

TITLE = "Fairness at scale"
MANY = 100_000_000

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


def rows() -> list[dict[str, str]]:
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
