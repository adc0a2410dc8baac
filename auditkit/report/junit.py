"""JUnit XML, which every CI shows: a suite per analysis, a test case per gate result.

A gate that fails is a failure, one whose evidence is missing an error; an inconclusive one is a failure where the
policy blocks on it and skipped with its reason where it only warns. Nothing but a pass is shown as passed.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any
from xml.etree import ElementTree

from auditkit.evidence.metrics import MetricRow
from auditkit.evidence.verdict import GateResult

_ILLEGAL = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters that XML 1.0 has no way to write, not even as entities."""


def render(evidence: Any) -> str:
    """The report as JUnit XML text."""
    suites: dict[str, list[GateResult]] = {}
    for gate in evidence.gates:
        suites.setdefault(_analysis_of(gate, evidence.rows), []).append(gate)
    root = ElementTree.Element("testsuites", _counts(evidence.gates) | {"name": f"auditkit {_legal(_name(evidence))}"})
    for analysis, gates in suites.items():
        _suite(root, analysis, gates, evidence)
    if not evidence.gates:
        _no_gates(root, evidence)
    ElementTree.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ElementTree.tostring(root, encoding="unicode") + "\n"


def _suite(root: ElementTree.Element, analysis: str, gates: list[GateResult], evidence: Any) -> None:
    attributes = {
        "name": _legal(analysis),
        "timestamp": _timestamp(evidence),
        "time": _seconds(analysis, evidence.rows),
    }
    suite = ElementTree.SubElement(root, "testsuite", attributes | _counts(gates))
    for gate in gates:
        _case(suite, analysis, gate)


def _case(suite: ElementTree.Element, analysis: str, gate: GateResult) -> None:
    metric = gate.gate.rpartition("/")[2]
    name = " ".join(part for part in (metric, f"[{gate.subject}]" if gate.subject else "", gate.condition) if part)
    case = ElementTree.SubElement(
        suite, "testcase", {"classname": _legal(f"auditkit.{analysis}"), "name": _legal(name), "time": "0"}
    )
    properties = ElementTree.SubElement(case, "properties")
    for key in ("condition", "value", "lower", "upper", "n", "unit"):
        value = getattr(gate, key)
        if value not in (None, ""):
            ElementTree.SubElement(properties, "property", {"name": key, "value": _legal(str(value))})
    outcome = _outcome(gate)
    if outcome != "passed":
        attributes = {"message": _legal(f"{gate.verdict}: {gate.reason}")}
        if outcome != "skipped":
            attributes["type"] = gate.verdict
        ElementTree.SubElement(case, outcome, attributes)


def _outcome(gate: GateResult) -> str:
    if gate.verdict == "pass":
        return "passed"
    if gate.verdict == "missing":
        return "error"
    return "failure" if gate.verdict == "fail" or gate.blocking else "skipped"


def _counts(gates: list[GateResult]) -> dict[str, str]:
    outcomes = [_outcome(gate) for gate in gates]
    counted = {"failures": "failure", "errors": "error", "skipped": "skipped"}
    return {"tests": str(len(gates))} | {key: str(outcomes.count(outcome)) for key, outcome in counted.items()}


def _no_gates(root: ElementTree.Element, evidence: Any) -> None:
    """An audit without a policy is one skipped case, so that no CI shows it as passed."""
    root.attrib |= {"tests": "1", "skipped": "1"}
    attributes = {"name": "policy", "tests": "1", "failures": "0", "errors": "0", "skipped": "1"}
    suite = ElementTree.SubElement(root, "testsuite", attributes | {"timestamp": _timestamp(evidence), "time": "0"})
    case = ElementTree.SubElement(suite, "testcase", {"classname": "auditkit.policy", "name": "gates", "time": "0"})
    ElementTree.SubElement(case, "skipped", {"message": "no gates were set, so nothing was judged"})


def _analysis_of(gate: GateResult, rows: list[MetricRow]) -> str:
    """The analysis a gate speaks of: named before the slash, or the one that has the bare metric."""
    analysis, slash, metric = gate.gate.rpartition("/")
    if slash:
        return analysis
    return next((row.analysis for row in rows if row.metric == metric), "policy")


def _seconds(analysis: str, rows: list[MetricRow]) -> str:
    """How long the discipline took, where the audit metered it."""
    took = [
        row.value for row in rows if (row.metric, row.detail) == ("phase_seconds", analysis) and row.value is not None
    ]
    return f"{took[0]:.3f}" if took else "0"


def _timestamp(evidence: Any) -> str:
    try:
        created = datetime.fromisoformat(str(evidence.info.get("created")))
    except ValueError:
        return "1970-01-01T00:00:00+00:00"
    return created.astimezone(UTC).isoformat(timespec="seconds")


def _name(evidence: Any) -> str:
    return str(evidence.info.get("name", "audit"))


def _legal(text: str) -> str:
    return _ILLEGAL.sub("", text)
