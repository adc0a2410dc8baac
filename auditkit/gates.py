"""Gates: a written policy over the metric table, and the verdict that follows.

A gate is judged on the interval, not on the point: it passes only when the whole interval is within the limit, fails
only when the whole interval is beyond it, and is inconclusive when the interval straddles the limit. Groups too small
to judge keep a gate from passing. A gate on a metric that was not measured is missing, which fails the audit.

A policy of many gates would fail by chance more often than one gate does. So a gate fails only when it still does once
all gates of the policy are judged together (Holm 1979): its p-value, that of the limit being kept, is adjusted for all
that have one. Passing needs no adjustment, since a policy passes only when every gate does (Berger 1982, Technometrics
24(4), 295-300).
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from statistics import NormalDist

from auditkit.errors import nearest
from auditkit.evidence.metrics import MetricRow
from auditkit.evidence.verdict import GateResult, Verdict
from auditkit.spec import Gate
from auditkit.statistics.multiplicity import holm
from auditkit.theme import interval, number
from auditkit.theme import limit as as_written
from auditkit.undecided import what_would_decide

_SEVERITY: dict[str, int] = {"pass": 0, "inconclusive": 1, "missing": 2, "fail": 3}


def judge(rows: Sequence[MetricRow], gates: Mapping[str, Sequence[Gate] | Gate]) -> list[GateResult]:
    """Hold every gate against every metric row it speaks of.

    A gate's name is `analysis/metric`, or the bare metric where only one analysis has it. A gate without a split
    speaks of the test split where the metric has one.

    >>> row = MetricRow("performance", "accuracy", split="test", value=0.9, lower=0.88, upper=0.92, n=1000)
    >>> judge([row], {"accuracy": Gate(at_least=0.85)})[0].verdict
    'pass'
    """
    results: list[tuple[Gate, GateResult]] = []
    for name, conditions in gates.items():
        for gate in [conditions] if isinstance(conditions, Gate) else conditions:
            results.extend((gate, result) for result in _judge_one(name, gate, rows))
    return _adjusted(results)


def overall(results: Iterable[GateResult]) -> Verdict:
    """The audit's verdict: the worst of its blocking gates; a warning never outweighs them. No gates: missing.

    >>> overall([])
    'missing'
    """
    listed = list(results)
    if not listed:
        return "missing"
    blocking = [result.verdict for result in listed if result.blocking]
    if blocking:
        return max(blocking, key=_SEVERITY.__getitem__)
    return "inconclusive" if any(result.verdict != "pass" for result in listed) else "pass"


def passes(results: Iterable[GateResult]) -> bool:
    """Whether the audit ends with exit code 0: no gate blocks it."""
    return not any(result.blocking for result in results)


def _condition(gate: Gate, unit: str = "") -> str:
    word, edge = ("at least", gate.at_least) if gate.at_least is not None else ("at most", gate.at_most)
    assert edge is not None
    return f"{word} {as_written(edge, unit)}"


def _missing(name: str, gate: Gate, subject: str, reason: str) -> GateResult:
    return GateResult(name, _condition(gate), subject, "missing", True, reason)


def _judge_one(name: str, gate: Gate, rows: Sequence[MetricRow]) -> list[GateResult]:
    matching = [row for row in rows if name in (row.name, row.metric)]
    analyses = {row.analysis for row in matching}
    if not matching:
        known = {row.name for row in rows}
        bare = nearest(name, {row.metric for row in rows} if "/" not in name else known).split(" Known:")[0]
        return [_missing(name, gate, "", f"no analysis measured {name!r}; {bare.removesuffix('?')}")]
    if len(analyses) > 1 and "/" not in name:
        full = " or ".join(sorted({row.name for row in matching}))
        return [_missing(name, gate, "", f"{name!r} is ambiguous: write {full}")]
    split = gate.split or ("test" if any(row.split == "test" for row in matching) else None)
    if split is not None:
        matching = [row for row in matching if row.split == split]
        if not matching:
            return [_missing(name, gate, "", f"{name!r} was not measured on split {split!r}")]
    if not gate.of:
        return [_judge_row(name, gate, row, rows) for row in matching]
    results = []
    for wanted in gate.of:
        chosen = [row for row in matching if wanted in (row.attribute, row.group, row.detail)]
        gaps = [row for row in chosen if not row.group]
        if not chosen:
            known_names = {part for row in matching for part in (row.attribute, row.group, row.detail) if part}
            results.append(_missing(name, gate, wanted, f"not measured for {wanted!r}; {nearest(wanted, known_names)}"))
        results.extend(_judge_row(name, gate, row, rows) for row in (gaps or chosen))
    return results


def _judge_row(name: str, gate: Gate, row: MetricRow, rows: Sequence[MetricRow]) -> GateResult:
    subject = " · ".join(part for part in (row.attribute, row.group, row.detail) if part)
    verdict, reason = _verdict_of(gate, row, rows)
    blocking = verdict in ("fail", "missing") or (verdict == "inconclusive" and gate.on_inconclusive == "fail")
    return GateResult(
        name,
        _condition(gate, row.unit),
        subject,
        verdict,
        blocking,
        reason,
        row.value,
        row.lower,
        row.upper,
        row.n,
        row.unit,
        p_value=None if verdict == "missing" else _p_value(gate, row),
    )


def _verdict_of(gate: Gate, row: MetricRow, rows: Sequence[MetricRow]) -> tuple[Verdict, str]:
    if "p_value" in row.metric:
        return "missing", "a p-value tells how surprising a gap is, not how large; hold the gap itself to a limit"
    if row.status == "insufficient":
        return "inconclusive", row.reason
    if row.status != "ok" or row.value is None:
        return "missing", f"{row.status}: {row.reason}"
    if row.confidence is not None and row.confidence < gate.confidence:
        return "missing", (
            f"the gate asks for {gate.confidence:.0%} confidence, the interval was made at {row.confidence:.0%}; "
            "run the audit again with that confidence"
        )
    low = row.value if row.lower is None else row.lower
    high = row.value if row.upper is None else row.upper
    limit = gate.at_least if gate.at_least is not None else gate.at_most
    assert limit is not None
    within, beyond = (low >= limit, high < limit) if gate.at_least is not None else (high <= limit, low > limit)
    text = number(row.value, row.unit, row.lower, row.upper)
    if row.lower is not None:
        text += f" {interval(row.lower, row.upper, row.unit)}"
    shown = as_written(limit, row.unit)
    if beyond:
        return "fail", f"{text} is beyond the limit {shown}"
    if within and row.unjudged:
        left_out = ", ".join(row.unjudged[:5]) + (" …" if len(row.unjudged) > 5 else "")
        return "inconclusive", f"{text} is within the limit {shown}, but not every group could be judged: {left_out}"
    if within:
        return "pass", f"{text} is within the limit {shown}"
    return "inconclusive", f"{text} straddles the limit {shown}: {what_would_decide(row, limit, rows)}"


def _p_value(gate: Gate, row: MetricRow) -> float | None:
    """The p-value of the limit being kept, two-sided, from the interval; 1 where the value keeps it, None without one.

    The standard error is read off the side of the interval that faces the limit, of ratios on the logarithmic scale.
    """
    limit = gate.at_least if gate.at_least is not None else gate.at_most
    if row.value is None or row.lower is None or row.upper is None or limit is None:
        return None
    value, edge = row.value, row.upper if gate.at_least is not None else row.lower
    if (value >= limit) if gate.at_least is not None else (value <= limit):
        return 1.0
    if row.unit == "ratio" and min(value, edge, limit) > 0:
        value, edge, limit = math.log(value), math.log(edge), math.log(limit)
    error = abs(edge - value) / NormalDist().inv_cdf(0.5 + (row.confidence or 0.95) / 2)
    return math.erfc(abs(value - limit) / error / math.sqrt(2)) if error > 0 else 0.0


def _adjusted(results: Sequence[tuple[Gate, GateResult]]) -> list[GateResult]:
    """The results with p-values adjusted over the policy; a failure that does not outlast it is inconclusive."""
    p_values = [result.p_value for _, result in results if result.p_value is not None]
    adjusted = iter(holm(p_values).tolist()) if p_values else iter(())
    return [_after_holm(gate, result, next(adjusted), len(p_values)) if result.p_value is not None else result
            for gate, result in results]  # fmt: skip


def _after_holm(gate: Gate, result: GateResult, p: float, gates: int) -> GateResult:
    if result.verdict == "fail" and p > (1 - gate.confidence) * (1 + 1e-9):
        why = f", but not once {gates} gates are judged together (p {result.p_value:.2g}, by Holm {p:.2g})"
        blocking = gate.on_inconclusive == "fail"
        result = replace(result, verdict="inconclusive", blocking=blocking, reason=result.reason + why)
    return replace(result, p_adjusted=p)
