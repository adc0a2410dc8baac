"""Which methods may be used on a model: method by method valid, degraded or refused, and why, as a section."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from auditkit import theme
from auditkit.evidence.section import Section

NAME = "attribution"
MARKS = {"valid": "✓ valid", "degraded": "≈ degraded", "refused": "✕ refused"}


def preflight_section(evidence: Any) -> list[Section]:
    """Every method there is; in audits that kept no such table, every method that was asked for."""
    known = evidence.table(f"{NAME}/preflight")
    table = evidence.table(f"{NAME}/methods") if known is None else known
    if table is None or table.num_rows == 0:
        return []
    lines = sorted(table.to_pylist(), key=lambda line: (list(MARKS).index(line["status"]), not line.get("used")))
    counts = [(word, [line for line in lines if line["status"] == word]) for word in MARKS]
    said = [f"{len(found)} {'is' if len(found) == 1 else 'are'} {word}" for word, found in counts if found]
    columns = {
        "method": [line["title"] for line in lines],
        "on this model": [MARKS[line["status"]] for line in lines],
        "why": [_sentence(line["reason"]) for line in lines],
    }
    if known is not None:
        columns["used in this audit"] = ["yes" if line["used"] else "" for line in lines]
    of = f"Of {len(lines)} methods" if known is not None else f"Of the {len(lines)} methods that were asked for"
    return [
        Section(
            "preflight",
            "Which methods may be used here",
            f"{of}, {', '.join(said)} on this model.",
            reading="Refused: it would give an answer that is wrong for this model, so none is given. Degraded: what "
            "it leaves out is named.",
            table=pa.table(columns),
            how="Asked of the model before anything is explained: which layers it has, which operations its graph "
            "goes through, whether a gradient leads back to every input, and what its rows are. "
            + (
                "Further methods are used where an audit names them under `attribution: methods:`."
                if known is not None
                else "This audit was made before all methods were asked; run it again for the others."
            ),
        )
    ]


def _sentence(reason: str) -> str:
    return reason[:1].upper() + reason[1:] if reason else theme.NO_VALUE
