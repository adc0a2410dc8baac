"""A comparison kept as evidence: the same folder as an audit leaves, so that reports and verification are the same."""

from __future__ import annotations

import hashlib
import re
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from auditkit.environment import code_identity, environment
from auditkit.evidence.audit import Audit
from auditkit.evidence.section import Section
from auditkit.evidence.store import RunFolder, to_json
from auditkit.gates import judge, overall
from auditkit.spec import AuditSpec
from auditkit.subject.subject import Subject
from auditkit.variants.compare import Comparison
from auditkit.variants.findings import NAME
from auditkit.variants.view import sections


class KeptComparison(Audit):
    """A comparison's evidence, shown by the comparison's own view."""

    def sections(self) -> dict[str, list[Section]]:
        """The sections of the comparison."""
        return {NAME: sections(self)}


def keep(found: Comparison, subject: Subject, spec: AuditSpec, root: Path) -> KeptComparison:
    """Write a comparison's evidence under `root/<name>-variants/<id>` and open it.

    Gates of the spec on `variants/…` are judged; the others are those of an audit. What is there already is left as it
    is, but for timings: the id follows from models, data, settings and code.
    """
    models = {line["name"]: line["digest"] for line in found.findings.tables["models"].to_pylist()}
    data = {
        split.name: {"role": split.role, "rows": len(split), "digest": split.digest, "origin": split.origin}
        for split in subject.in_order()
    }
    inputs = [models, {name: entry["digest"] for name, entry in data.items()}, code_identity()["digest"]]
    inputs.append(spec.model_dump(mode="json", exclude={"model", "data"}))
    audit_id = hashlib.sha256(to_json(inputs)).hexdigest()[:12]
    name = f"{subject.name}-variants"
    folder = root / (re.sub(r"[^\w.-]+", "-", name).strip("-.") or NAME) / audit_id
    run = RunFolder(folder)
    if not run.complete:
        gates = {metric: gate for metric, gate in spec.gates.items() if metric.startswith(f"{NAME}/")}
        judged = judge([*found.findings.metrics, *found.findings.measured], gates)
        run.write(NAME, found.findings)
        record: dict[str, Any] = {
            "name": name,
            "audit_id": audit_id,
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
            "spec": spec.model_dump(mode="json") | {"analyses": [NAME]},
            "schema": asdict(subject.schema),
            "identities": {
                "model": {
                    "digest": subject.model.digest,
                    "origin": subject.model.origin,
                    "parameters": subject.model.parameters,
                    "architecture": subject.model.architecture or {"path": type(subject.model.module).__qualname__},
                    "device": str(subject.model.device),
                    "record": subject.model.record,
                },
                "variants": {name: digest for name, digest in models.items() if digest != subject.model.digest},
                "data": data,
                "code": code_identity(),
                "environment": environment(subject.model.device),
            },
            "titles": {NAME: "Deployment variants"},
            "verdict": overall(judged),
            "gates": [asdict(result) for result in judged],
            "caveats": [asdict(caveat) for caveat in found.findings.caveats],
            "ledger": [],
        }
        run.finish([NAME], record)
    return KeptComparison(folder)
