"""A fairness check of 10,000 rows beside vfairness 0.2.0 and bdp-model-gate 0.7.0, in one run on one machine.

The rivals run in a Python of their own, which AUDITKIT_RIVALS names, so that nothing of theirs is needed here:

    python -m venv rivals && rivals/bin/pip install vfairness==0.2.0 "bdp-model-gate[structured]==0.7.0"
    AUDITKIT_RIVALS=rivals/bin/python python -m benchmarks fairness_rivals

Each is asked what it offers, with its own defaults: vfairness for one interval of the demographic parity difference
(5,000 resamples) and for its report with intervals; bdp-model-gate for the intervals of its parity and equalised odds
checks (1,000 resamples) and for its whole gate on a model of two features. Ours is everything: all rates, gaps and
derived metrics of both attributes and their intersection with 10,000 resamples, permutation tests and verdicts.
"""

import os
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from auditkit.fairness.check import check_fairness
from auditkit.fairness.counting.counts import joined
from auditkit.fairness.result import FairnessCheck

TITLE = "A fairness check of 10,000 rows beside its closest rivals"
ROWS = 10_000

READ = """
import sys, time, warnings
import numpy as np
warnings.simplefilter("ignore")
table = np.load(sys.argv[1])
truth, decision, sex, race = (table[name] for name in ("truth", "decision", "sex", "race"))
"""


class Rival(NamedTuple):
    """What to import and what to run; it prints its seconds and how many intervals came of them."""

    package: str
    code: str


RIVALS = {
    "vfairness: one interval of demographic_parity_difference_with_ci by race": Rival(
        "vfairness",
        """
from vfairness.evaluation.vfairness_metrics.classification import demographic_parity_difference_with_ci
start = time.perf_counter()
demographic_parity_difference_with_ci(truth, decision, race, random_state=0)
print(time.perf_counter() - start, 1)
""",
    ),
    "vfairness: FairnessAnalyzer.get_report(include_ci=True) by race": Rival(
        "vfairness",
        """
from vfairness.evaluation.vfairness_metrics.analyzer import FairnessAnalyzer
start = time.perf_counter()
report = FairnessAnalyzer(truth, decision, race).get_report(include_ci=True, random_state=0)
print(time.perf_counter() - start, len(report["metrics_with_ci"]))
""",
    ),
    "bdp-model-gate: parity and equalised odds checks by sex and by race": Rival(
        "bdp_model_gate",
        """
import pandas as pd
from bdp_model_gate import StructuredGateContext
from bdp_model_gate.structured.calibration_checks import EqualisedOddsCheck
from bdp_model_gate.structured.fairness import DisparateImpactCheck
X = pd.DataFrame({"a": table["a"], "b": table["b"]})
groups = pd.DataFrame({"sex": sex, "race": race})
model = type("Model", (), {"predict": lambda self, X: (np.asarray(X)[:, 0] > 0).astype(int)})()
context = StructuredGateContext(model=model, X=X, y_true=truth, y_pred=decision, protected_df=groups)
start = time.perf_counter()
found = [*DisparateImpactCheck().run(context), *EqualisedOddsCheck().run(context)]
print(time.perf_counter() - start, sum("95%" in one.detail for one in found))
""",
    ),
    "bdp-model-gate: its whole gate, a model of two features": Rival(
        "bdp_model_gate",
        """
import pandas as pd
from bdp_model_gate import ModelGate, StructuredGateContext
X = pd.DataFrame({"a": table["a"], "b": table["b"]})
groups = pd.DataFrame({"sex": sex, "race": race})
model = type("Model", (), {"predict": lambda self, X: (np.asarray(X)[:, 0] > 0).astype(int)})()
context = StructuredGateContext(model=model, X=X, y_true=truth, y_pred=decision, protected_df=groups)
start = time.perf_counter()
found = ModelGate().run(context).results
print(time.perf_counter() - start, sum("95%" in one.detail for one in found))
""",
    ),
}


def people(rows: int = ROWS) -> dict[str, np.ndarray]:
    """Two attributes of 2 and 5 groups, labels, decisions, and two features."""
    rng = np.random.default_rng(0)
    truth = (rng.random(rows) < 0.3).astype(int)
    return {
        "sex": rng.choice(["f", "m"], rows),
        "race": rng.choice(list("abcde"), rows, p=[0.5, 0.2, 0.15, 0.1, 0.05]),
        "truth": truth,
        "decision": (rng.random(rows) < 0.2 + 0.4 * truth).astype(int),
        "a": rng.normal(size=rows),
        "b": rng.normal(size=rows),
    }


def seconds(work: Callable[[], FairnessCheck], runs: int = 7) -> tuple[float, FairnessCheck]:
    """The median of several runs, and what the last one found."""
    taken = []
    for _ in range(runs):
        start = time.perf_counter()
        check = work()
        assert check.verdict
        taken.append(time.perf_counter() - start)
    return statistics.median(taken), check


def rows() -> list[dict[str, str]]:
    """Ours, then every rival that is there."""
    table = people()
    truth, decision = table["truth"], table["decision"]
    groups = {name: table[name] for name in ("sex", "race")}
    ours, check = seconds(lambda: check_fairness(truth, decision, sensitive_features=groups))
    intervals = sum(row.lower is not None for row in check.metrics)
    alone, _ = seconds(
        lambda: [
            check_fairness(truth, decision, sensitive_features={name: column}, replicates=1000)
            for name, column in groups.items()
        ][-1]
    )
    lines = [
        _line(f"auditkit: everything, {len(check.metrics)} numbers, 10,000 resamples", ours, intervals),
        _line("auditkit: sex and race each by itself, 1,000 resamples", alone, intervals - _crossed(check)),
    ]
    python = os.environ.get("AUDITKIT_RIVALS")
    if not python:
        reason = "skipped: AUDITKIT_RIVALS names no Python that has the rivals"
        return lines + [_line(what, None, None, reason) for what in RIVALS]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "people.npz"
        np.savez(path, **table)  # type: ignore[arg-type]
        for what, rival in RIVALS.items():
            taken, found, against = _measured(python, path, rival)
            if taken and found:
                against = f"{taken / ours:,.0f} times everything of ours, {taken / alone:,.0f} times the second line, "
                against += f"{taken / found * intervals / ours:,.0f} times as long for each interval"
            lines.append(_line(what, taken, found, against))
    return lines


def _crossed(check: FairnessCheck) -> int:
    """How many intervals are those of intersections."""
    return sum(row.lower is not None and row.attribute == joined(["sex", "race"]) for row in check.metrics)


def _line(what: str, taken: float | None, intervals: int | None, against: str = "") -> dict[str, str]:
    took = "" if taken is None else f"{taken:.3f} s" if taken < 1 else f"{taken:.1f} s"
    return {"what": what, "intervals": str(intervals or ""), "takes": took, "against": against}


def _measured(python: str, path: Path, rival: Rival) -> tuple[float | None, int | None, str]:
    """A rival's seconds and intervals, or why there are none."""
    there = subprocess.run([python, "-c", f"import {rival.package}"], capture_output=True, text=True, check=False)
    if there.returncode:
        return None, None, f"skipped: {rival.package} cannot be imported there"
    done = subprocess.run([python, "-c", READ + rival.code, str(path)], capture_output=True, text=True, check=False)
    if done.returncode:
        return None, None, f"failed: {done.stderr.strip().splitlines()[-1]}"
    taken, found = done.stdout.split()[-2:]
    return float(taken), int(found), ""
