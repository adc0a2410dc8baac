"""A case: a folder with an `audit.yaml` that is run as a user would, and what became of each discipline."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

DISCIPLINES = ("performance", "fairness", "attribution", "activations", "ood", "energy")
SMALL = {
    "attribution": {"rows": 12, "maximum_steps": 128},
    "activations": {"map_rows": 60},
    "fairness": {"replicates": 300},
    "performance": {"replicates": 300},
    "energy": {"seconds": 0.02, "blocks": 3},
}


@dataclass(frozen=True)
class Case:
    """make: fills an empty folder with what the audit needs and returns what its audit.yaml says.

    arguments: what the caller adds on the command line.
    """

    name: str
    make: Callable[[Path], dict[str, Any]]
    arguments: tuple[str, ...] = ()


def outcome(case: Case, folder: Path) -> dict[str, str]:
    """Run the case; discipline → "yes", or why it says nothing. A report must have come of it."""
    from auditkit.cli import main

    content = {"name": "case", **case.make(folder)}
    content = {**content, **{key: value for key, value in SMALL.items() if key not in content}}
    (folder / "audit.yaml").write_text(yaml.safe_dump(content, sort_keys=False, allow_unicode=True))
    code: Any = 0
    try:
        main(["run", str(folder / "audit.yaml"), "--out", str(folder / "reports"), "--quiet", *case.arguments])
    except SystemExit as stop:
        code = stop.code
    assert code in (0, 1, None), f"{case.name}: auditkit run ended with {code}"
    (report,) = (folder / "reports").rglob("report.json")
    assert (report.parent / "report.html").is_file()
    rows = json.loads(report.read_text())["metrics"]
    return {name: _said(name, [row for row in rows if row["analysis"] == name]) for name in DISCIPLINES}


def _said(discipline: str, rows: list[dict[str, Any]]) -> str:
    if discipline == "energy":  # what the audit itself took says nothing of the model
        rows = [row for row in rows if not row["metric"].startswith(("phase_", "audit_"))]
    if any(row["status"] == "ok" for row in rows):
        return "yes"
    reasons = [row["reason"] for row in rows if row["reason"]]
    assert reasons, f"{discipline} is empty and says nothing"
    return str(reasons[0])
