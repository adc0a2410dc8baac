"""The JSON report: for machines. Its JSON Schema is published beside it, in `schema/report-v1.json`.

Keys are sorted, text is UTF-8, and there is no NaN: a value that is not ok is null and its status says why. The same
evidence gives the same bytes.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from importlib.resources import files
from typing import Any

from auditkit.evidence.store import to_json

FORMAT = "auditkit/report/v1"


def render(evidence: Any) -> str:
    """The report as JSON text."""
    return to_json(record(evidence)).decode("utf-8")


def record(evidence: Any) -> dict[str, Any]:
    """The report as plain values: verdict, gates, caveats, every metric row, findings in words, identities."""
    info = evidence.info
    return {
        "format": FORMAT,
        "name": str(info.get("name", "audit")),
        "audit_id": str(info.get("audit_id", "")),
        "created": str(info.get("created", "")),
        "result_digest": info.get("result_digest"),
        "verdict": evidence.verdict,
        "gates": [asdict(gate) for gate in evidence.gates],
        "caveats": [asdict(caveat) for caveat in evidence.caveats],
        "metrics": [asdict(row) | {"unjudged": list(row.unjudged)} for row in evidence.rows],
        "findings": [
            {"analysis": name, "key": section.key, "title": section.title, "finding": section.finding}
            for name, sections in evidence.sections().items()
            for section in sections
        ],
        "identities": info.get("identities", {}),
        "ledger": info.get("ledger", []),
        "spec": info.get("spec", {}),
    }


def schema() -> dict[str, Any]:
    """The JSON Schema (2020-12) that every report of this format satisfies."""
    return json.loads((files("auditkit.report") / "schema" / "report-v1.json").read_text(encoding="utf-8"))
