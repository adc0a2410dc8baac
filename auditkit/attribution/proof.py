"""What stands beside one row's attribution: how far it adds up, what it cost, whether it was valid here; and how far
two methods agree on the row. Everything is read from evidence; what an audit did not keep is said.
"""

from __future__ import annotations

from typing import Any

from auditkit import theme
from auditkit.evidence.metrics import select
from auditkit.evidence.section import matching

NAME = "attribution"
NOT_KEPT = "not kept by this audit"


def proof(evidence: Any, method: str, row: int) -> dict[str, str]:
    """Fact → what is known of it, of one method on one row; empty where the method did not explain the row."""
    rows, methods = evidence.table(f"{NAME}/rows"), evidence.table(f"{NAME}/methods")
    found = [] if rows is None else matching(rows, method=method, row=row)
    if not found:
        return {}
    fact, known = found[0], (matching(methods, method=method) or [{}])[0] if methods is not None else {}
    return {
        "Validity": _validity(known),
        "Completeness gap": _gap(fact, known),
        "From, to": f"{_signed(fact.get('baseline_score'))} at the baseline, {_signed(fact.get('score'))} at the row",
        "Model evaluations": theme.number(fact["evaluations"], "rows")
        if fact.get("evaluations") is not None
        else NOT_KEPT,
        "Steps": _steps(fact),
    }


def agreement(evidence: Any, row: int, first: str, second: str, names: dict[str, str]) -> str:
    """How far two methods agree on a row and over all rows, as one line. names: method → title."""
    lines = evidence.table(f"{NAME}/row_agreement")
    if lines is None:
        return "How far two methods agree on one row was not kept by this audit; run it again to have it." + _overall(
            evidence, first, second
        )
    found = matching(lines, row=row, first=first, second=second) or matching(lines, row=row, first=second, second=first)
    if not found:
        return f"The audit holds no agreement of {names[first]} and {names[second]} on row {row}."
    line, said = found[0], []
    if line["rank"] is not None:
        said.append(f"their rankings correlate at {line['rank']:.2f}")
    if line["top"] is not None:
        said.append(f"they share {_percent(line['top'])} of the {line['k']} weightiest parts")
    if line["sign"] is not None:
        said.append(f"{_percent(line['sign'])} with the same sign")
    text = f"On this row {', '.join(said)}" if said else "On this row nothing can be compared"
    reason = f" ({line['reason']})" if line["reason"] else ""
    return f"{text}{reason}.{_overall(evidence, first, second)}"


def _overall(evidence: Any, first: str, second: str) -> str:
    """The median over all explained rows, from the metric table."""
    own = [row for row in evidence.rows if row.analysis == NAME]
    for pair in (f"{first} · {second}", f"{second} · {first}"):
        for row in select(own, metric="agreement", detail=pair):
            if row.value is not None:
                value = f"{theme.number(row.value, '', row.lower, row.upper)} {theme.interval(row.lower, row.upper)}"
                return f" Over {theme.number(row.n, 'rows')} explained rows the median correlation is {value}."
    return ""


def _validity(known: dict[str, Any]) -> str:
    status = known.get("status")
    if status is None:
        return NOT_KEPT
    return status + (f": {known['reason']}" if known.get("reason") else " for this model")


def _gap(fact: dict[str, Any], known: dict[str, Any]) -> str:
    if fact.get("relative_gap") is None:
        return NOT_KEPT
    told = theme.number(fact["relative_gap"], "rate") + (
        f" ({fact['gap']:+.2g})" if fact.get("gap") is not None else ""
    )
    return told if known.get("complete") else f"{told}; this method does not promise to add up"


def _steps(fact: dict[str, Any]) -> str:
    if "steps" not in fact:
        return NOT_KEPT
    if fact["steps"] is None:
        return "none: the method does not iterate"
    done = (
        {True: ", within the tolerance", False: ", the tolerance still missed"}.get(bool(fact["converged"]), "")
        if fact.get("converged") is not None
        else ""
    )
    return theme.number(fact["steps"], "rows") + done


def _signed(value: float | None) -> str:
    return theme.NO_VALUE if value is None else f"{value:+.4g}"


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"
