"""How fast a fairness check is: the whole command against importing fairlearn, and the bootstrap alone.

Runs are interleaved and medians are compared, so that a busy machine slows both sides alike. The table has 48,842 rows
and sensitive attributes of 2, 5 and 4 groups, as UCI Adult has.

At a million rows and 2 × 5 groups, beside fairlearn's MetricFrame with six metrics, the processor's seconds are told
and not the clock's, which on a machine that others use too say nothing; where ours has two threads, both are counted.
"""

import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv

from auditkit.fairness.counting.counts import Counts, encode_groups
from auditkit.fairness.groups.conclude import conclude
from auditkit.fairness.groups.definitions import RATES
from auditkit.fairness.groups.inference import infer
from auditkit.fairness.groups.margin import fraction_of
from auditkit.fairness.settings import Settings

TITLE = "Speed of a fairness check"
ROWS, MANY = 48_842, 1_000_000


def people(rows: int = ROWS) -> pa.Table:
    rng = np.random.default_rng(0)
    label = rng.random(rows) < 0.24
    return pa.table(
        {
            "sex": np.array(["Female", "Male"])[rng.choice(2, rows, p=[0.33, 0.67])],
            "race": np.array(["White", "Black", "Asian", "Native", "Other"])[
                rng.choice(5, rows, p=[0.855, 0.096, 0.031, 0.01, 0.008])
            ],
            "age": np.array(["17-29", "30-44", "45-59", "60+"])[rng.choice(4, rows, p=[0.3, 0.37, 0.24, 0.09])],
            "label": label.astype(int),
            "decision": (rng.random(rows) < 0.1 + 0.5 * label).astype(int),
            "score": rng.random(rows),
        }
    )


def seconds(command: list[str]) -> float:
    start = time.perf_counter()
    done = subprocess.run(command, capture_output=True, check=False)
    if done.returncode not in (0, 1):
        raise RuntimeError(done.stderr.decode())
    return time.perf_counter() - start


def whole_process(runs: int) -> tuple[float, float]:
    """Median seconds of the command and of the import."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "people.csv"
        pa.csv.write_csv(people(), path)
        ours = [sys.executable, "-m", "auditkit", "fairness", str(path), "--label", "label"]
        ours += ["--prediction", "decision", "--sensitive", "sex,race,age"]
        theirs = [sys.executable, "-c", "import fairlearn.metrics"]
        seconds(ours), seconds(theirs)
        pairs = [(seconds(ours), seconds(theirs)) for _ in range(runs)]
    return statistics.median(a for a, _ in pairs), statistics.median(b for _, b in pairs)


def inference(runs: int) -> tuple[float, float]:
    """Median seconds of all rates and gaps, with 10,000 resamples and with 200."""
    table = people()
    groups = encode_groups({name: table.column(name) for name in ("sex", "race", "age")}, "people")
    label, decision = (table.column(name).to_numpy() == 1 for name in ("label", "decision"))
    counts = Counts.tally(groups, label, decision)
    taken: dict[int, list[float]] = {10_000: [], 200: []}
    for _ in range(runs):
        for replicates, times in taken.items():
            start = time.perf_counter()
            infer(counts, Settings(replicates=replicates))
            times.append(time.perf_counter() - start)
    return statistics.median(taken[10_000]), statistics.median(taken[200])


def processor_seconds(work: Callable[[], Any], runs: int = 3) -> float:
    """The least processor time of several runs, all threads together."""
    taken = []
    for _ in range(runs):
        start = time.process_time()
        work()
        taken.append(time.process_time() - start)
    return min(taken)


def beside_metric_frame(rows: int = MANY) -> list[dict[str, str]]:
    """Six metrics of 2 × 5 groups by MetricFrame, and ours: points, a replicate of everything, everything."""
    import fairlearn.metrics as theirs
    from sklearn.metrics import accuracy_score

    rng = np.random.default_rng(0)
    groups = {"sex": rng.choice(["f", "m"], rows), "race": rng.choice(list("abcde"), rows)}
    truth, decision = rng.random(rows) < 0.3, rng.random(rows) < 0.3
    names = (
        "selection_rate",
        *(f"{kind}_{side}_rate" for kind in ("true", "false") for side in ("positive", "negative")),
    )
    six = {name: getattr(theirs, name) for name in names} | {"accuracy": accuracy_score}
    frame = processor_seconds(
        lambda: theirs.MetricFrame(metrics=six, y_true=truth, y_pred=decision, sensitive_features=groups).by_group, 1
    )
    columns = {name: pa.array(values) for name, values in groups.items()}
    codes = encode_groups(columns, "people")
    encoding = processor_seconds(lambda: encode_groups(columns, "people"))

    def points() -> None:
        counts = Counts.tally(codes, truth, decision)
        for rate in RATES.values():
            fraction_of(counts.cells, rate)

    counted = processor_seconds(points, 5)
    counts = Counts.tally(codes, truth, decision)
    every = processor_seconds(lambda: infer(counts, Settings()))
    start = time.perf_counter()
    everything = processor_seconds(lambda: conclude({"": counts}, Settings()).metrics)
    clock = (time.perf_counter() - start) / 3
    each = every / Settings().replicates
    return [
        {"what": f"MetricFrame, six metrics, {rows:,} rows, processor time", "median": f"{frame:.1f} s", "against": ""},
        {
            "what": "counting, all point values; groups encoded before",
            "median": f"{1000 * counted:.1f} ms",
            "against": f"{frame / counted:,.0f} times faster",
        },
        {
            "what": "the same with encoding the groups from text",
            "median": f"{1000 * (encoding + counted):.0f} ms",
            "against": f"{frame / (encoding + counted):,.0f} times faster",
        },
        {
            "what": "one resample of all rates and gaps",
            "median": f"{1e6 * each:.0f} µs",
            "against": f"{frame / each:,.0f} times faster than MetricFrame once, which it needs for a resample",
        },
        {
            "what": "after counting: 10,000 resamples, permutation tests, all gaps",
            "median": f"{everything:.2f} s",
            "against": f"{clock:.2f} s by the clock",
        },
    ]


def rows(runs: int = 7) -> list[dict[str, str]]:
    ours, theirs = whole_process(runs)
    many, few = inference(runs)
    return [
        {"what": f"`auditkit fairness`, {ROWS:,} rows, whole process", "median": f"{ours:.2f} s", "against": ""},
        {
            "what": "`import fairlearn.metrics`, whole process",
            "median": f"{theirs:.2f} s",
            "against": f"ours takes {ours / theirs:.2f} times as long",
        },
        {"what": "all rates and gaps, 10,000 resamples", "median": f"{many:.3f} s", "against": ""},
        {
            "what": "all rates and gaps, 200 resamples",
            "median": f"{few:.3f} s",
            "against": f"the other 9,800 add {many - few:.3f} s",
        },
        *beside_metric_frame(),
    ]
