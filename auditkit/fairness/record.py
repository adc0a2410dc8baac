"""A fairness check kept as evidence: the same folder as an audit leaves, without a model.

`auditkit report`, `auditkit verify` and the dashboard read it like any other audit.
"""

from __future__ import annotations

import hashlib
import os
import platform
import re
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from auditkit.evidence.store import RunFolder, to_json
from auditkit.fairness.result import Check, FairnessCheck

_LIBRARIES = ("numpy", "pyarrow")


def keep(check: Check, root: Path) -> Path:
    """Write a check's evidence under `root/<name>/<id>` and return that folder.

    The id follows from the numbers, the policy, the settings and the version: the same check has the same id, and one
    that is there and whole is left as it is.
    """
    name = Path(check.where).stem.removesuffix(".csv") or "predictions"
    data = {"rows": check.size, "digest": _digest(_content(check))}
    policy = {metric: [gate.model_dump(mode="json") for gate in gates] for metric, gates in check.policy.items()}
    inputs = [data, check.info["schema"], asdict(check.settings), policy, version("auditkit")]
    audit_id = _digest(inputs)[:12]
    folder = root / (re.sub(r"[^\w.-]+", "-", name).strip("-.") or "predictions") / audit_id
    run = RunFolder(folder)
    if run.complete:
        return folder
    run.write("fairness", check.findings())
    run.finish(["fairness"], _record(check, name, audit_id, data, policy))
    return folder


def _content(check: Check) -> list[Any]:
    """What tells one check's data from another's: its counts, where there are any, and its numbers."""
    counted = [list(check.counts.groups), check.counts.cells.tolist()] if isinstance(check, FairnessCheck) else []
    numbers = [[row.metric, row.attribute, row.group, row.detail, row.value, row.lower] for row in check.metrics]
    return [*counted, numbers]


def _digest(content: Any) -> str:
    return hashlib.sha256(to_json(content)).hexdigest()


def _record(check: Check, name: str, audit_id: str, data: dict[str, Any], policy: dict[str, Any]) -> dict[str, Any]:
    settings = asdict(check.settings)
    seed = settings.pop("seed")[0]
    return {
        "name": name,
        "audit_id": audit_id,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "spec": {"name": name, "analyses": ["fairness"], "fairness": settings, "gates": policy, "seed": seed},
        "schema": check.info["schema"],
        "identities": {
            "model": {},
            "data": {"predictions": {"role": "test", **data, "origin": check.where}},
            "code": {"version": version("auditkit")},
            "environment": {
                "python": platform.python_version(),
                "system": f"{platform.system()} {platform.machine()}",
                "processors": os.cpu_count(),
                "libraries": {library: version(library) for library in _LIBRARIES},
            },
        },
        "task": check.info.get("task", "binary"),
        "titles": {"fairness": "Fairness"},
        "verdict": check.verdict,
        "gates": [asdict(result) for result in check.results],
        "caveats": [asdict(caveat) for caveat in check.caveats],
        "ledger": [],
    }
