"""A finished audit as reports see it, with hostile names, for the tests of all formats."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import plotly.graph_objects as go
import pyarrow as pa

from auditkit.evidence.metrics import Caveat, MetricRow
from auditkit.evidence.section import Section
from auditkit.evidence.verdict import GateResult
from auditkit.theme import escape, template

EVIL = "<script>alert(1)</script>"
QUOTES = "quo\"te's 😀 | `x` \\ *b* [l](http://example.com) </td> --> ${x}"


@dataclass
class FakeEvidence:
    """The shape of `auditkit.evidence.store.Evidence`."""

    rows: list[MetricRow] = field(default_factory=list)
    gates: list[GateResult] = field(default_factory=list)
    caveats: list[Caveat] = field(default_factory=list)
    info: dict[str, Any] = field(default_factory=dict)
    verdict: str = "fail"
    made: dict[str, list[Section]] = field(default_factory=dict)
    titles: dict[str, str] = field(default_factory=dict)
    folder: Path = Path("reports/adult/0123456789ab")

    def sections(self) -> dict[str, list[Section]]:
        return self.made


def _figure() -> go.Figure:
    names = ["Female", EVIL, QUOTES]
    figure = go.Figure(go.Bar(x=[escape(name) for name in names], y=[0.1, 0.2, 0.3], customdata=names))
    return figure.update_layout(template=template(), title=escape(EVIL), yaxis_title="rate")


def fake_evidence(table_rows: int = 3) -> FakeEvidence:
    gates = [
        GateResult("accuracy", "at least 0.83", "", "pass", False, "within", 0.85, 0.84, 0.86, 9768, "rate"),
        GateResult(
            "fairness/parity_ratio", "at least 0.8", EVIL, "fail", True, f"{EVIL} beyond", 0.3, 0.2, 0.4, 9, "ratio"
        ),
        GateResult(
            "fairness/odds", "at most 0.1", QUOTES, "inconclusive", True, "straddles", 0.08, 0.05, 0.11, 50, "points"
        ),
        GateResult("ood/auroc", "at least 0.95", "fused", "inconclusive", False, "straddles", 0.95, 0.9, 0.99, 50),
        GateResult("ood/gone", "at least 0.95", "", "missing", True, "no analysis measured it\x00\x1b"),
    ]
    table = pa.table({f"group {EVIL}": [f"{EVIL} {i}" for i in range(table_rows)], "rate": ["31.0 %"] * table_rows})
    section = Section("rate", f"Rate of {EVIL}", f"{QUOTES} is low.", _figure(), f"Read {EVIL}.", table, f"How {EVIL}.")
    plain = Section("accuracy", "Accuracy", "Accuracy is 85.0 %.")
    return FakeEvidence(
        rows=[
            MetricRow("performance", "accuracy", split="test", value=0.85, lower=0.84, upper=0.86, n=9768, unit="rate"),
            MetricRow("fairness", "parity_ratio", attribute=EVIL, status="insufficient", reason=f"{EVIL} has 3 rows"),
            MetricRow("energy", "phase_seconds", detail="fairness", value=2.5, unit="s"),
        ],
        gates=gates,
        caveats=[Caveat("fairness", f"group {EVIL} is small"), Caveat("ood", QUOTES, level="note")],
        info={
            "name": f"adult {EVIL}",
            "audit_id": "0123456789ab",
            "created": "2025-11-21T10:30:00+01:00",
            "spec": {"name": EVIL},
            "result_digest": "ab" * 32,
            "identities": {
                "model": {
                    "digest": "cd" * 32,
                    "parameters": 1234,
                    "origin": QUOTES,
                    "architecture": {"path": "package.module:TabularMLP"},
                },
                "data": {EVIL: {"rows": 10, "digest": "ef" * 32, "role": "test", "origin": EVIL}},
                "code": {"version": "0.1.0", "digest": "12" * 32},
            },
            "ledger": [
                {"phase": "pass", "split": EVIL, "rows": 10, "forwards": 10, "backwards": 0, "forwards_per_row": 1.0}
            ],
        },
        made={"performance": [plain], "fairness": [section]},
        titles={"performance": "Performance", "fairness": f"Fairness {EVIL}"},
    )
