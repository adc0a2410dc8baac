"""What `auditkit fairness` does: read a table of predictions, check it, say what was found."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from auditkit.fairness.check import check_predictions
from auditkit.fairness.table import read_predictions
from auditkit.spec import read_yaml

LARGE = 256 * 2**20


def check_table(
    table: Path,
    *,
    label: str,
    prediction: str,
    sensitive: Sequence[str],
    score: str | None = None,
    positive: str | None = None,
    threshold: float | None = None,
    previous: str | None = None,
    ll144: tuple[str, str] | None = None,
    gates: Path | None = None,
    minimum_group: int = 30,
    confidence: float = 0.95,
    replicates: int = 10_000,
    seed: int = 0,
    out: Path | None = None,
    as_json: bool = False,
) -> int:
    """Check a file, print what was found, keep the evidence under `out` if given. Returns the exit code, 0 or 1.

    gates: a YAML file that maps metrics to conditions, by itself or under `gates:` as in audit.yaml. Raises InputError.
    """
    policy = None if gates is None else read_policy(gates)
    if is_large(table) and not any(part is not None for part in (score, threshold, previous)):
        from auditkit.fairness.pushdown import count_predictions

        found = count_predictions(table, label=label, prediction=prediction, sensitive=sensitive, positive=positive)
    else:
        found = read_predictions(table, label, prediction, score, sensitive, positive, threshold, previous)
    check = check_predictions(
        found,
        ll144=ll144,
        policy=policy,
        minimum_group=minimum_group,
        replicates=replicates,
        confidence=confidence,
        seed=seed,
        policy_name=str(gates or "policy"),
    )
    folder = None
    if out is not None:
        from auditkit.fairness.record import keep

        folder = keep(check, out)
    from auditkit.fairness.terminal import render, to_json

    if as_json:
        content = to_json(check) | {"evidence": None if folder is None else str(folder)}
        json.dump(content, sys.stdout, ensure_ascii=False, allow_nan=False, indent=2)
        sys.stdout.write("\n")
        return check.exit_code
    from rich.console import Console

    console = Console(highlight=False, markup=False, emoji=False)
    console.print(render(check, console.width))
    if folder is not None:
        console.print(
            f"\nevidence: {folder}\nreports:  auditkit report {folder} --format html,markdown", soft_wrap=True
        )
    return check.exit_code


def is_large(table: Path) -> bool:
    """Whether a table is counted where it lies rather than read: several files, or one of more than 256 MiB."""
    several = table.is_dir() or any(sign in str(table) for sign in "*?[")
    return several or (table.is_file() and table.stat().st_size > LARGE)


def read_policy(path: Path) -> dict[str, Any]:
    """The gates in a YAML file, by themselves or under the key `gates`."""
    content = read_yaml(path)
    inner = content.get("gates")
    return inner if set(content) == {"gates"} and isinstance(inner, dict) else content
