"""A small made-up lender: its applicants, its audit.yaml, and its command line."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa

AUDIT = """
name: loans
model: model
data:
  train: train.parquet
  validation: validation.parquet
  test: test.parquet
  ood: {elsewhere: elsewhere.parquet}
columns: {label: repaid, positive: "yes", sensitive: [sex]}
attribution: {rows: 24}
activations: {map_rows: 100}
energy: {seconds: 0.05, blocks: 3}
gates:
  performance/accuracy: {at_least: 0.5}
"""


def applicants(n: int, seed: int, shift: float = 0.0) -> pa.Table:
    generator = np.random.default_rng(seed)
    income, age = generator.normal(size=n) + shift, generator.uniform(20, 60, size=n)
    sex = generator.choice(["Female", "Male"], size=n)
    home = generator.choice(["rent", "own", "family"], size=n)
    repaid = income + 0.5 * (home == "own") + generator.normal(scale=0.5, size=n) > 0
    columns = {"income": income, "age": age, "home": home, "sex": sex, "repaid": np.where(repaid, "yes", "no")}
    return pa.table({name: pa.array(values.tolist()) for name, values in columns.items()})


def auditkit(*arguments: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run the command line as a user would."""
    command = [sys.executable, "-m", "auditkit", *map(str, arguments)]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "COLUMNS": "200"}
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd, check=False, env=environment)
