"""The verdict, told by word, mark and colour, and what it is made of."""

import streamlit as st

from auditkit.evidence.manifest import Verification
from auditkit.evidence.store import Evidence
from auditkit.evidence.verdict import GateResult
from auditkit.theme import VERDICTS, verdict_label
from dashboard.parts.table import show_markdown_table
from dashboard.parts.text import escape, muted, unbroken

_BOXES = {"pass": st.success, "fail": st.error, "inconclusive": st.warning, "missing": st.info}
_COLOURS = {"pass": "green", "fail": "red", "inconclusive": "yellow", "missing": "gray"}
_HEADLINES = {
    "pass": "Pass: every gate is met",
    "fail": "Fail: at least one gate is not met",
    "inconclusive": "Inconclusive: the evidence does not decide every gate",
    "missing": "Missing: what a gate asks for was not measured",
}


def show_verdict(evidence: Evidence) -> None:
    """The banner with the verdict of the whole audit."""
    verdict, gates = evidence.verdict, evidence.gates
    headline = _HEADLINES[verdict] if gates else "No verdict: the audit was given no gates"
    counts = [(word, sum(gate.verdict == word for gate in gates)) for word in VERDICTS]
    tally = " · ".join(f"{verdict_label(word)} {count}" for word, count in counts if count)
    explanation = tally or "Write `gates:` in the audit's YAML file and run it again to have it judged."
    _BOXES[verdict](f"### {VERDICTS[verdict][0]} {headline}\n\n{explanation}")


def show_gates(gates: list[GateResult]) -> None:
    """Every gate with what it asks, what was measured and why it was judged so."""
    cells = {
        "Verdict": [_coloured(gate.verdict, gate.blocking) for gate in gates],
        "Gate": [_asked(gate) for gate in gates],
        "Result": [_found(gate) for gate in gates],
    }
    show_markdown_table(cells)


def _asked(gate: GateResult) -> str:
    of = f" {muted('of')} {escape(gate.subject)}" if gate.subject else ""
    return f"**{escape(gate.gate)}** {unbroken(gate.condition)}{of}"


def _found(gate: GateResult) -> str:
    return escape(gate.reason) + (f" :gray[({unbroken(f'n = {gate.n:,}')})]" if gate.n is not None else "")


def _coloured(verdict: str, blocking: bool) -> str:
    label = unbroken(verdict_label(verdict) + ("" if blocking or verdict == "pass" else " (warns)"))
    return f":{_COLOURS[verdict]}[**{label}**]"


def show_integrity(found: Verification | str) -> None:
    """A warning above everything else where the evidence is not as the audit left it."""
    if isinstance(found, str):
        st.error(f"**This evidence cannot be checked.** {escape(found)}", icon=":material/gpp_maybe:")
    elif not found.intact:
        names = [*found.changed, *found.removed, *found.added]
        listed = ", ".join(escape(name) for name in names[:5]) + (f" and {len(names) - 5} more" if names[5:] else "")
        st.error(
            f"**This evidence was changed since the audit:** {listed}. Do not rely on what is shown; run the audit "
            "again. The page Report & evidence tells what was changed, removed or added.",
            icon=":material/gpp_bad:",
        )
